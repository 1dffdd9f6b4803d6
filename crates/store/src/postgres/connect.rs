//! One connection to a server: made within a deadline, over TLS unless the URL says otherwise. Errors name host and database, never the
//! password.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::TlsStream;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification, Row, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{StoreConfig, StoreError};

/// The schema of the database that holds our tables, so that their names meet no others.
pub(super) const SCHEMA_NAME: &str = "upnext";

/// What is called with each notification that arrives.
pub(super) type Hears = Box<dyn Fn(&Notification) + Send>;

/// Where a database is, and how it is asked.
pub(super) struct Server {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    name: String,
    connect_max: Duration,
    answer_max: Duration,
    /// After this the server gives up what nobody waits for any more.
    statement_max: Duration,
}

impl Server {
    pub(super) fn of(url: &str, limits: &StoreConfig) -> Result<Self, StoreError> {
        let (url, root) = take_root(url);
        let mut config: Config =
            url.parse().map_err(|error: tokio_postgres::Error| StoreError::Url { message: said(&error) })?;
        let connect_max = Duration::from_millis(limits.server_connect_milliseconds_max);
        if config.get_application_name().is_none() {
            config.application_name("upnext");
        }
        config.connect_timeout(connect_max);
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => {
                let tls = tls(root.as_deref())
                    .map_err(|error| StoreError::Url { message: format!("TLS cannot be set up: {error}") })?;
                Some(tls)
            }
        };
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => return Err(StoreError::Url { message: "it names no host".into() }),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        let name = format!("PostgreSQL {host}:{port}/{database}");
        let answer_max = Duration::from_millis(limits.server_answer_milliseconds_max);
        let commit_max = Duration::from_millis(limits.server_commit_milliseconds_max);
        let statement_max = answer_max.max(commit_max) + Duration::from_secs(1);
        Ok(Self { config, tls, name, connect_max, answer_max, statement_max })
    }

    /// Host, port and database.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How long an answer may take.
    pub(super) fn answer_max(&self) -> Duration {
        self.answer_max
    }

    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        self.connect_to_hear(Box::new(|_| ())).await
    }

    /// A connection whose notifications are handed on as they arrive.
    pub(super) async fn connect_to_hear(&self, hears: Hears) -> Result<Connection, StoreError> {
        // The library's own limit is for each address; a name may have several.
        match timeout(self.connect_max, self.connect_at_leisure(hears)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.unreachable(said(&error))),
            Err(_) => Err(self.unreachable(format!("no answer within {} ms", self.connect_max.as_millis()))),
        }
    }

    async fn connect_at_leisure(&self, hears: Hears) -> Result<Connection, tokio_postgres::Error> {
        let client = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(drive(connection, hears));
                client
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(drive(connection, hears));
                client
            }
        };
        // What waits for nobody is ended by the server too. A stricter way of committing that the server has is left to it.
        let (statement, idle) = (self.statement_max.as_millis(), self.answer_max.as_millis());
        let settings = format!(
            "SET search_path = {SCHEMA_NAME}; SET statement_timeout = {statement};
             SET idle_in_transaction_session_timeout = {idle}; SET client_min_messages = warning;
             SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        );
        client.batch_execute(&settings).await?;
        Ok(Connection { client, statements: Mutex::default() })
    }

    pub(super) fn unreachable(&self, message: String) -> StoreError {
        StoreError::Unreachable { server: self.name.clone(), message }
    }

    pub(super) fn failed(&self, doing: &'static str, message: String) -> StoreError {
        StoreError::Server { server: self.name.clone(), doing, message }
    }

    pub(super) fn late(&self, doing: &'static str) -> StoreError {
        self.failed(doing, format!("no answer within {} ms", self.answer_max.as_millis()))
    }
}

/// Moves bytes between a client and its socket until either is gone.
async fn drive<T>(mut connection: tokio_postgres::Connection<Socket, T>, hears: Hears)
where
    T: TlsStream + Unpin,
{
    while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(notification) = message {
            hears(&notification);
        }
    }
}

/// A connection, and the statements that were prepared on it.
pub(super) struct Connection {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

impl Connection {
    pub(super) async fn query(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.prepared(sql).await?;
        self.client.query(&statement, parameters).await
    }

    /// Runs a statement; how many rows it changed.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<usize, tokio_postgres::Error> {
        let statement = self.prepared(sql).await?;
        let n = self.client.execute(&statement, parameters).await?;
        Ok(usize::try_from(n).unwrap_or(usize::MAX))
    }

    pub(super) async fn run(&self, statements: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(statements).await
    }

    async fn prepared(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, statement.clone());
        Ok(statement)
    }
}

/// Whether an error is of the connection or of a server that is going down or coming up, and not of what was asked.
pub(super) fn is_gone(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // 08: connection; 53300: too many of them; 57P: an administrator ends it; 40: it may work the next time.
        Some(code) => ["08", "40", "53300", "57P"].iter().any(|class| code.code().starts_with(class)),
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()),
    }
}

/// What a server said, with its hints: the library's own words are only "db error".
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    let Some(said) = error.as_db_error() else {
        return match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
    };
    let more = [said.detail(), said.hint()].into_iter().flatten().map(|more| format!("; {more}"));
    format!("{} ({}){}", said.message(), said.code().code(), more.collect::<String>())
}

/// What a URL says of TLS beside what the client knows: a file of certificates to trust.
fn take_root(url: &str) -> (String, Option<String>) {
    let Some((before, query)) = url.split_once('?') else { return (url.into(), None) };
    let (roots, rest): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|pair| pair.starts_with("sslrootcert="));
    let root = roots.last().and_then(|pair| pair.split_once('=')).map(|(_, file)| file.to_owned());
    (if rest.is_empty() { before.into() } else { format!("{before}?{}", rest.join("&")) }, root)
}

/// Certificates are always checked, against the machine's or those of a file; who has none to check says `sslmode=disable`.
fn tls(root: Option<&str>) -> Result<MakeRustlsConnect, Box<dyn Error>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    // Whoever was first has named it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = rustls::RootCertStore::empty();
    match root {
        None => {
            if let Ok((tls, _unreadable)) = MakeRustlsConnect::with_native_certs() {
                return Ok(tls);
            }
        }
        Some(file) => {
            for certificate in
                CertificateDer::pem_file_iter(file).map_err(|error| format!("{file}: {error}"))?
            {
                roots.add(certificate?)?;
            }
        }
    }
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
