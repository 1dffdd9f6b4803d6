//! The twin of version 2 for programs that speak gRPC: `proto/upnext.proto`.
//!
//! Each call becomes a request to the same routes that HTTP has, so keys, roles, tenants, rates, limits, deadlines and metrics are the
//! same by construction.

/// Messages, client and server.
#[rustfmt::skip]
pub mod v2;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, StatusCode, header};
use form_urlencoded::Serializer;
use futures_util::stream;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::metadata::MetadataMap;
use tonic::transport::server::Connected;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};

use crate::tenants::Peer;
use crate::{ServeConfig, ServeError, Tenants, check_exposure};
use v2::up_next_server::{UpNext, UpNextServer};

/// Bytes of an answer that is handed on.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Serves gRPC on a listener of its own, until `shutdown` ends.
///
/// # Errors
/// If other machines can reach the address and there is no key, or the certificate cannot be used.
pub async fn serve(
    listener: TcpListener,
    tenants: impl Into<Tenants>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let tenants = tenants.into();
    let shared = Arc::clone(tenants.shared());
    let config = shared.config.clone();
    if check_exposure(&listener, &config)? {
        shared.expose(true);
    }
    let twin = Twin { router: TowerToHyperService::new(tenants.router()) };
    let service = UpNextServer::new(twin)
        .max_decoding_message_size(config.body_bytes_max)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let refused = |source: io::Error| ServeError::Listen { address: "gRPC".into(), source };
    let mut server = Server::builder()
        .timeout(Duration::from_millis(
            config.request_milliseconds_max.saturating_add(config.body_milliseconds_max),
        ))
        .concurrency_limit_per_connection(config.reads_max.max(1))
        .http2_keepalive_interval(Some(Duration::from_millis(config.head_milliseconds_max)))
        .http2_keepalive_timeout(Some(Duration::from_millis(config.head_milliseconds_max)));
    if let Some(identity) = identity(&config)? {
        let tls = ServerTlsConfig::new().identity(identity);
        server = server.tls_config(tls).map_err(|error| refused(io::Error::other(error)))?;
    }
    let places = Arc::new(Semaphore::new(config.connections_max));
    let connections = stream::unfold((listener, places), |(listener, places)| async move {
        // The semaphore is never closed.
        let place = Arc::clone(&places).acquire_owned().await.ok()?;
        let accepted = listener.accept().await.map(|(stream, peer)| {
            let _ = stream.set_nodelay(true);
            Held { stream, peer, _place: place }
        });
        Some((accepted, (listener, places)))
    });
    server
        .add_service(service)
        .serve_with_incoming_shutdown(connections, shutdown)
        .await
        .map_err(|error| refused(io::Error::other(error)))
}

fn identity(config: &ServeConfig) -> Result<Option<Identity>, ServeError> {
    if config.tls_cert.as_os_str().is_empty() {
        return Ok(None);
    }
    let read = |path: &std::path::Path, expected| {
        std::fs::read(path).map_err(|error| ServeError::Tls {
            path: path.display().to_string(),
            reason: error.to_string(),
            expected,
        })
    };
    Ok(Some(Identity::from_pem(
        read(&config.tls_cert, "a certificate")?,
        read(&config.tls_key, "a private key")?,
    )))
}

/// A connection, and its place among those that may be open.
struct Held {
    stream: TcpStream,
    peer: SocketAddr,
    _place: OwnedSemaphorePermit,
}

impl Connected for Held {
    type ConnectInfo = SocketAddr;

    fn connect_info(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Calls as requests to the routes of HTTP.
struct Twin {
    router: TowerToHyperService<Router>,
}

impl Twin {
    /// Asks a route; what it answers as JSON.
    async fn ask<T>(
        &self,
        call: &Request<T>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Status> {
        let mut request = axum::http::Request::builder().method(method).uri(path);
        for name in ["x-api-key", "authorization", "x-tenant"] {
            for value in call.metadata().get_all(name) {
                request = request.header(name, value.as_encoded_bytes());
            }
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if let Some(peer) = call.extensions().get::<SocketAddr>() {
            request.extensions_mut().insert(Peer(*peer));
        }
        let answer = match self.router.call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let (parts, body) = answer.into_parts();
        let bytes =
            to_bytes(body, ANSWER_BYTES_MAX).await.map_err(|error| Status::internal(error.to_string()))?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if parts.status.is_success() {
            return Ok(value);
        }
        let said = |field: &str| value["error"][field].as_str().unwrap_or_default().to_owned();
        let mut metadata = MetadataMap::new();
        if let Some(seconds) = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok())
            && let Ok(seconds) = seconds.parse()
        {
            metadata.insert("retry-after", seconds);
        }
        let message = format!("{}: {}; {}", said("code"), said("message"), said("hint"));
        Err(Status::with_metadata(code(parts.status), message, metadata))
    }
}

fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::INSUFFICIENT_STORAGE => {
            Code::ResourceExhausted
        }
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        status if status.is_client_error() => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

/// An object without what was left empty, which in this protocol is not there.
fn given(fields: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        _ => false,
    };
    match fields {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !is_empty(value)).collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[tonic::async_trait]
impl UpNext for Twin {
    async fn recommend(&self, call: Request<v2::RecommendRequest>) -> Result<Response<v2::Slate>, Status> {
        let asked = call.get_ref();
        let body = given(json!({
            "user": asked.user,
            "n": (asked.n > 0).then_some(asked.n),
            "offset": asked.offset,
            "picks": asked.picks,
            "exclude": asked.exclude,
            "categories": asked.categories,
            "block_authors": asked.block_authors,
            "diversity": asked.diversity,
            "filter": asked.filter,
            "language": asked.language,
            "region": asked.region,
            "device": asked.device,
            "session": asked.session,
        }));
        let answer = self.ask(&call, Method::POST, "/api/v2/recommend", Some(body)).await?;
        let item = |item: &Value| v2::Item {
            id: text(&item["id"]),
            score: item["score"].as_f64().unwrap_or_default(),
            title: text(&item["title"]),
            sources: texts(&item["sources"]),
            parts: (item["parts"].as_object().into_iter().flatten())
                .filter_map(|(name, part)| Some((name.clone(), part.as_f64()?)))
                .collect(),
            reason: text(&item["reason"]["text"]),
            propensity: item["propensity"].as_f64(),
        };
        let failure = |failure: &Value| {
            format!("{} {}: {}", text(&failure["stage"]), text(&failure["part"]), text(&failure["message"]))
        };
        let list = |name: &str| answer[name].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Response::new(v2::Slate {
            request_id: text(&answer["request_id"]),
            items: list("items").iter().map(item).collect(),
            took_microseconds: answer["took_microseconds"].as_u64().unwrap_or_default(),
            failures: list("failures").iter().map(failure).collect(),
        }))
    }

    async fn send_events(
        &self,
        call: Request<v2::SendEventsRequest>,
    ) -> Result<Response<v2::SendEventsResponse>, Status> {
        let event = |event: &v2::Event| {
            let mut fields = given(json!({
                "user": event.user,
                "session": event.session,
                "value": event.value,
                "time": (event.time != 0).then_some(event.time),
                "event_id": event.event_id,
            }));
            // Of these an empty one is named as what is wrong.
            fields["video"] = json!(event.video);
            fields["action"] = json!(event.action);
            fields
        };
        let body = Value::Array(call.get_ref().events.iter().map(event).collect());
        let answer = self.ask(&call, Method::POST, "/api/v2/events", Some(body)).await?;
        Ok(Response::new(v2::SendEventsResponse {
            accepted: answer["accepted"].as_u64().unwrap_or_default(),
        }))
    }

    async fn put_items(
        &self,
        call: Request<v2::PutItemsRequest>,
    ) -> Result<Response<v2::PutItemsResponse>, Status> {
        let mut items = Vec::with_capacity(call.get_ref().items.len());
        for (at, item) in call.get_ref().items.iter().enumerate() {
            let labels: Value = match item.labels.as_str() {
                "" => Value::Null,
                labels => serde_json::from_str(labels).map_err(|error| {
                    Status::invalid_argument(format!("labels of row {at} are not JSON: {error}"))
                })?,
            };
            let time = (item.time != 0).then_some(item.time);
            items.push(json!({
                "ItemId": item.id,
                "IsHidden": item.hidden,
                "Categories": item.categories,
                "Timestamp": time,
                "Labels": labels,
                "Comment": item.comment,
            }));
        }
        let answer = self.ask(&call, Method::POST, "/api/items", Some(Value::Array(items))).await?;
        Ok(Response::new(v2::PutItemsResponse {
            written: answer["RowAffected"].as_u64().unwrap_or_default(),
        }))
    }

    async fn explain(&self, call: Request<v2::ExplainRequest>) -> Result<Response<v2::Explanation>, Status> {
        let path = format!("/api/v2/explain?{}", question(call.get_ref()));
        let answer = self.ask(&call, Method::GET, &path, None).await?;
        Ok(Response::new(v2::Explanation { verdict: text(&answer["verdict"]), json: answer.to_string() }))
    }
}

/// Of which video, and to whom, as a query.
fn question(asked: &v2::ExplainRequest) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("video", &asked.video);
    if !asked.user.is_empty() {
        query.append_pair("user", &asked.user);
    }
    query.finish()
}
