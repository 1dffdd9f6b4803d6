//! The router as a whole, and the loop that serves it on a socket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::extract::BodyLimit;
use crate::{AppState, ServeConfig, ServeError, auth, dashboard, rest, telemetry};

/// The whole service. Until [`serve`] says otherwise it takes itself to be on loopback.
pub fn app(state: AppState) -> Router {
    let mut router: Router<AppState> = dashboard::router();
    for route in rest::routes() {
        let bytes_max = match route.writes() {
            true => state.config().body_bytes_max,
            false => state.config().question_bytes_max,
        };
        let limits = (Extension(BodyLimit(bytes_max)), DefaultBodyLimit::max(bytes_max));
        router = router.route(route.path, route.handler.layer(limits));
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
    TcpListener::bind(address).await.map_err(|source| {
        let address = address.to_owned();
        match source.kind() {
            std::io::ErrorKind::AddrInUse => ServeError::InUse { address },
            std::io::ErrorKind::InvalidInput => ServeError::Address { address, source },
            _ => ServeError::Listen { address, source },
        }
    })
}

/// Whether other machines can reach the listener.
///
/// # Errors
/// If they can and there is no key.
pub fn check_exposure(listener: &TcpListener, config: &ServeConfig) -> Result<bool, ServeError> {
    let address = listener
        .local_addr()
        .map_err(|source| ServeError::Listen { address: "the socket".into(), source })?;
    let exposed = !address.ip().to_canonical().is_loopback();
    match exposed && config.key.is_none() {
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
    state: AppState,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let exposed = check_exposure(&listener, state.config())?;
    state.expose(exposed);

    let config = state.config().clone();
    let service = TowerToHyperService::new(app(state));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(config.head_milliseconds_max));
    let places = Arc::new(Semaphore::new(config.connections_max));
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or the peer went away: neither ends the service.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    let limit = Duration::from_millis(config.stop_milliseconds_max);
    if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            limit_milliseconds = config.stop_milliseconds_max,
            "requests were cut off at the stop"
        );
    }
    Ok(())
}
