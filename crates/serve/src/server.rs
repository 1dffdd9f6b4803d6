//! The router as a whole, and the loop that serves it on a socket.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Sleep;

use crate::connections::{Busy, Connection, Connections};
use crate::error::ApiError;
use crate::extract::BodyLimit;
use crate::keys::Keys;
use crate::tenants::Peer;
use crate::tls::Tls;
use crate::{AppState, ServeConfig, ServeError, Tenants, auth, dashboard, rest, telemetry};

/// Bytes of a head, and of what is read ahead of a body.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The whole service, of one tenant or several. Until [`serve`] says otherwise it takes itself to be on loopback.
pub fn app(tenants: impl Into<Tenants>) -> Router {
    tenants.into().router()
}

/// Everything that a tenant's requests can reach.
pub(crate) fn of_tenant(state: AppState) -> Router {
    let mut router: Router<AppState> = dashboard::router();
    for route in rest::routes() {
        let bytes_max = match route.writes() {
            true => state.config().body_bytes_max,
            false => state.config().question_bytes_max,
        };
        router = router.route(route.path, route.handler.layer(Extension(BodyLimit(bytes_max))));
    }
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_way)
        .layer(from_fn_with_state(state.clone(), auth::guard))
        .layer(from_fn_with_state(state.clone(), telemetry::measure))
        .with_state(state)
}

async fn nothing_here(uri: Uri) -> ApiError {
    let message = format!("there is nothing at {}", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "no_such_route", message, "/apidocs lists every route")
}

async fn not_this_way(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} does not answer {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message, "/apidocs lists every route")
}

/// Listens on an address such as `127.0.0.1:8088`; port 0 takes a free one.
///
/// # Errors
/// If it is no address, is in use, or is not ours to listen on.
pub async fn bind(address: &str) -> Result<TcpListener, ServeError> {
    listener(address).await.map_err(|source| {
        let address = address.to_owned();
        match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse { address },
            io::ErrorKind::InvalidInput => ServeError::Address { address, source },
            _ => ServeError::Listen { address, source },
        }
    })
}

/// Connections that the system keeps for the service until it takes them. Beyond it drops what comes, and who came tries again a second later:
/// the usual 128 are less than a crowd that comes at once. The system has a bound of its own (`net.core.somaxconn`).
const WAITING_MAX: u32 = 4_096;

/// The first of the address's meanings that can be listened on.
async fn listener(address: &str) -> io::Result<TcpListener> {
    let mut problem = io::Error::new(io::ErrorKind::InvalidInput, "it names nothing");
    for address in tokio::net::lookup_host(address).await? {
        match listener_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

fn listener_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Else a service that comes back waits for connections of the one before.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING_MAX)
}

/// Whether other machines can reach the listener.
///
/// # Errors
/// If they can and there is no key, or the keys cannot be read.
pub fn check_exposure(listener: &TcpListener, config: &ServeConfig) -> Result<bool, ServeError> {
    let keys = Keys::open(config.key.as_deref(), &config.keys_file, Duration::MAX)?;
    exposed(listener, &keys)
}

fn exposed(listener: &TcpListener, keys: &Keys) -> Result<bool, ServeError> {
    let address = listener
        .local_addr()
        .map_err(|source| ServeError::Listen { address: "the socket".into(), source })?;
    let exposed = !address.ip().to_canonical().is_loopback();
    match exposed && keys.is_empty() {
        true => Err(ServeError::KeyRequired { address }),
        false => Ok(exposed),
    }
}

/// Serves until `shutdown` ends, then lets requests in flight finish, for a bounded time.
///
/// # Errors
/// If other machines can reach the address and there is no key.
pub async fn serve(
    listener: TcpListener,
    tenants: impl Into<Tenants>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let tenants = tenants.into();
    let shared = Arc::clone(tenants.shared());
    shared.expose(exposed(&listener, &shared.keys)?);

    let service = TowerToHyperService::new(app(tenants));
    let mut http = http1::Builder::new();
    let head_limit = Duration::from_millis(shared.config.head_milliseconds_max);
    http.timer(TokioTimer::new()).header_read_timeout(head_limit).max_buf_size(HEAD_BYTES_MAX);
    let connections = Connections::new(shared.config.connections_max);
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, peer, place) = tokio::select! {
            accepted = connections.accept(&listener) => accepted,
            () = &mut shutdown => break,
        };
        let talk = Talk {
            http: http.clone(),
            service: service.clone(),
            peer: Peer(peer),
            place,
            graceful: graceful.watcher(),
            patience: head_limit,
        };
        match shared.tls.as_ref().map(Tls::acceptor) {
            None => drop(tokio::spawn(talk.over(stream))),
            Some(acceptor) => drop(tokio::spawn(async move {
                let handshake = tokio::time::timeout(head_limit, acceptor.accept(stream));
                let shaken = tokio::select! {
                    shaken = handshake => shaken,
                    () = talk.place.told_to_leave() => return,
                };
                match shaken {
                    Ok(Ok(stream)) => talk.over(stream).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                    Err(_) => tracing::debug!("a handshake took too long"),
                }
            })),
        }
    }
    drop(listener);
    shared.stop();
    let limit = Duration::from_millis(shared.config.stop_milliseconds_max);
    if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            limit_milliseconds = shared.config.stop_milliseconds_max,
            "requests were cut off at the stop"
        );
    }
    Ok(())
}

/// One connection, and what answers on it.
struct Talk {
    http: http1::Builder,
    service: TowerToHyperService<Router>,
    peer: Peer,
    place: Connection,
    graceful: Watcher,
    patience: Duration,
}

impl Talk {
    async fn over(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { http, service, peer, place, graceful, patience } = self;
        let place = Arc::new(place);
        let at_work = Arc::clone(&place);
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let busy = at_work.begin();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let answer = service.call(request);
            async move {
                let response = answer.await?;
                // The connection is at work until the body is sent.
                Ok::<_, Infallible>(response.map(|body| Held { body, _busy: busy }))
            }
        });
        let connection =
            graceful.watch(http.serve_connection(TokioIo::new(Patient::new(stream, patience)), answer));
        tokio::select! {
            ended = connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
            () = place.told_to_leave() => tracing::debug!("an idle connection made room"),
        }
    }
}

/// A connection that ends when nobody takes what is written for too long: else who does not read keeps a place for ever.
struct Patient<S> {
    stream: S,
    patience: Duration,
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waits: None }
    }

    /// What came of a write: where it waits, it may not wait for ever.
    fn bounded<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let patience = self.patience;
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        waits.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(shut, context)
    }
}

/// A body whose request is at work until it is sent.
struct Held {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn who_does_not_read_is_not_waited_for_for_ever() {
        let (near, _far) = tokio::io::duplex(8);
        let mut patient = Patient::new(near, Duration::from_millis(20));
        patient.write_all(b"12345678").await.unwrap();
        let late = tokio::time::timeout(Duration::from_secs(5), patient.write_all(b"9")).await.unwrap();
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
