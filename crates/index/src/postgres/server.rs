//! A server, and connections to it: made when they are needed, each call within a deadline. Errors name host and database, never the
//! password.

use std::error::Error;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{timeout, timeout_at};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PgConfig;
use crate::IndexError;

pub(super) type Parameters = Vec<Box<dyn ToSql + Sync + Send>>;

pub(super) struct Server {
    shared: Arc<Shared>,
    /// `None` once it is dropped.
    runtime: Option<Runtime>,
}

struct Shared {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    name: String,
    limits: PgConfig,
    places: Semaphore,
    /// Of connections that are being made, which may outlast the call that wanted one.
    connecting: Arc<Semaphore>,
    idle: Mutex<Vec<Client>>,
    /// Until when nobody tries to connect, and why.
    away: Mutex<Option<(Instant, String)>>,
}

impl Server {
    pub(super) fn of(url: &str, limits: &PgConfig) -> Result<Self, IndexError> {
        let unusable = |message: String| IndexError::Url { message };
        let mut config: Config =
            url.parse().map_err(|error: tokio_postgres::Error| unusable(said(&error)))?;
        if config.get_application_name().is_none() {
            config.application_name("upnext");
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(tls().map_err(|error| unusable(format!("TLS cannot be set up: {error}")))?),
        };
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => return Err(unusable("it names no host".into())),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        let name = format!("PostgreSQL {host}:{port}/{database}");
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("index-postgres")
            .enable_all()
            .build()
            .map_err(|error| unusable(format!("the system gives no thread: {error}")))?;
        let shared = Shared {
            config,
            tls,
            name,
            limits: limits.clone(),
            places: Semaphore::new(limits.connections.clamp(1, 1_024)),
            connecting: Arc::new(Semaphore::new(limits.connections.clamp(1, 1_024))),
            idle: Mutex::default(),
            away: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), runtime: Some(runtime) })
    }

    /// Host, port and database.
    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn failed(&self, doing: &'static str, message: String) -> IndexError {
        self.shared.failed(doing, message)
    }

    /// Until when a call that begins now may take.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.shared.answer_max()
    }

    /// Waits for what runs on the server's own thread; unlike `block_on` it may be called on a thread of another runtime.
    fn on<T: Send + 'static>(
        &self,
        until: Instant,
        doing: &'static str,
        work: impl Future<Output = Result<T, IndexError>> + Send + 'static,
    ) -> Result<T, IndexError> {
        let (say, said) = sync_channel(1);
        let runtime = self.runtime.as_ref().expect("it is taken only when this is dropped");
        let shared = Arc::clone(&self.shared);
        runtime.spawn(async move {
            let done = timeout_at(until.into(), work).await.unwrap_or_else(|_| {
                Err(shared.failed(doing, format!("no answer within {} ms", shared.answer_max().as_millis())))
            });
            let _ = say.send(done);
        });
        said.recv().unwrap_or_else(|_| Err(self.failed("ask", "the call has ended without an answer".into())))
    }

    /// The rows of one statement, which is its own transaction.
    pub(super) fn query(
        &self,
        doing: &'static str,
        sql: &'static str,
        given: Parameters,
    ) -> Result<Vec<Row>, IndexError> {
        self.query_until(self.deadline(), doing, sql, given)
    }

    /// The same, of several that have one deadline together.
    pub(super) fn query_until(
        &self,
        until: Instant,
        doing: &'static str,
        sql: &'static str,
        given: Parameters,
    ) -> Result<Vec<Row>, IndexError> {
        let shared = Arc::clone(&self.shared);
        self.on(until, doing, async move { shared.ask(doing, sql, &given).await })
    }

    /// Runs statements without parameters.
    pub(super) fn run(&self, doing: &'static str, statements: &'static str) -> Result<(), IndexError> {
        let shared = Arc::clone(&self.shared);
        self.on(self.deadline(), doing, async move {
            let client = shared.connected().await?;
            let done = client.batch_execute(statements).await;
            done.map_err(|error| shared.failed(doing, said(&error)))?;
            shared.idle().push(client);
            Ok(())
        })
    }

    /// Begins a transaction on a connection of its own, which is undone unless it is committed.
    pub(super) fn transaction(&self) -> Result<Transaction<'_>, IndexError> {
        let shared = Arc::clone(&self.shared);
        let client = self.on(self.deadline(), "begin", async move {
            let client = shared.connected().await?;
            let begun = client.batch_execute("BEGIN").await;
            begun.map_err(|error| shared.failed("begin", said(&error)))?;
            Ok(Arc::new(client))
        })?;
        Ok(Transaction { server: self, client })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(super) struct Transaction<'a> {
    server: &'a Server,
    client: Arc<Client>,
}

impl Transaction<'_> {
    pub(super) fn query(&mut self, sql: &'static str, given: Parameters) -> Result<Vec<Row>, IndexError> {
        let (shared, client) = (Arc::clone(&self.server.shared), Arc::clone(&self.client));
        self.server.on(self.server.deadline(), "write a set", async move {
            let rows = client.query(sql, &borrowed(&given)).await;
            rows.map_err(|error| shared.failed("write a set", said(&error)))
        })
    }

    /// Without it the connection is closed with the last of its clients, and the server undoes what was done.
    pub(super) fn commit(self) -> Result<(), IndexError> {
        let shared = Arc::clone(&self.server.shared);
        let client = self.client;
        self.server.on(self.server.deadline(), "commit", async move {
            let done = client.batch_execute("COMMIT").await;
            done.map_err(|error| shared.failed("commit", said(&error)))
        })
    }
}

impl Shared {
    fn failed(&self, doing: &'static str, message: String) -> IndexError {
        IndexError::Server { server: self.name.clone(), doing, message }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self) -> std::sync::MutexGuard<'_, Option<(Instant, String)>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_max(&self) -> Duration {
        Duration::from_millis(self.limits.answer_milliseconds_max)
    }

    async fn ask(
        self: &Arc<Self>,
        doing: &'static str,
        sql: &str,
        given: &Parameters,
    ) -> Result<Vec<Row>, IndexError> {
        let _place = self.places.acquire().await.map_err(|_| self.failed(doing, "it is closed".into()))?;
        let mut left = self.idle().pop();
        loop {
            let (client, is_new) = match left.take() {
                Some(client) => (client, false),
                None => (self.connected().await?, true),
            };
            match client.query(sql, &borrowed(given)).await {
                Ok(rows) => {
                    self.idle().push(client);
                    return Ok(rows);
                }
                // One that lay idle may have been cut off, and the others with it. What was asked is done once or not at all: a
                // statement that changes says so by its answer, and is not sent again when it may have been done.
                Err(error) if is_closed(&error) && !is_new && is_read(sql) => self.idle().clear(),
                Err(error) if is_closed(&error) => {
                    self.idle().clear();
                    return Err(self.failed(doing, said(&error)));
                }
                Err(error) => {
                    self.idle().push(client);
                    return Err(self.failed(doing, said(&error)));
                }
            }
        }
    }

    /// A new connection. Making it goes on where the caller waits no longer: the next one finds it, or hears at once that there is none.
    async fn connected(self: &Arc<Self>) -> Result<Client, IndexError> {
        let doing = "connect";
        if let Some((until, why)) = &*self.away()
            && Instant::now() < *until
        {
            return Err(self.failed(doing, why.clone()));
        }
        let Ok(place) = Arc::clone(&self.connecting).try_acquire_owned() else {
            return Err(self.failed(doing, "as many connections as there may be are being made".into()));
        };
        let (say, heard) = oneshot::channel();
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let _place = place;
            let connect_max = Duration::from_millis(shared.limits.connect_milliseconds_max);
            let connected = match timeout(connect_max, shared.connect()).await {
                Ok(Ok(client)) => Ok(client),
                Ok(Err(error)) => Err(said(&error)),
                Err(_) => Err(format!("no answer within {} ms", connect_max.as_millis())),
            };
            let retry = Duration::from_millis(shared.limits.retry_milliseconds);
            *shared.away() = connected.as_ref().err().map(|why| (Instant::now() + retry, why.clone()));
            if let Err(Ok(client)) = say.send(connected) {
                shared.idle().push(client);
            }
        });
        let connected = heard.await.unwrap_or_else(|_| Err("the connecting has ended".into()));
        connected.map_err(|why| self.failed(doing, why))
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let client = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                client
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(connection);
                client
            }
        };
        // What nobody waits for any more is ended by the server too. Writing a set is one transaction of many short statements.
        let most = self.limits.answer_milliseconds_max;
        client
            .batch_execute(&format!("SET statement_timeout = {most}; SET client_min_messages = warning"))
            .await?;
        Ok(client)
    }
}

fn is_read(sql: &str) -> bool {
    sql.starts_with("SELECT")
}

fn borrowed(given: &Parameters) -> Vec<&(dyn ToSql + Sync)> {
    given.iter().map(|one| one.as_ref() as &(dyn ToSql + Sync)).collect()
}

fn is_closed(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => ["08", "57P"].iter().any(|class| code.code().starts_with(class)),
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()),
    }
}

/// What a server said: the library's own words are only "db error".
fn said(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

/// Certificates are always checked, against the machine's; who has none to check says `sslmode=disable`.
fn tls() -> Result<MakeRustlsConnect, Box<dyn Error>> {
    // Whoever was first has named it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match MakeRustlsConnect::with_native_certs() {
        Ok((tls, _unreadable)) => Ok(tls),
        Err(_) => {
            let roots = rustls::RootCertStore::empty();
            let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            Ok(MakeRustlsConnect::new(config))
        }
    }
}
