//! The twin of version 2 for programs that speak gRPC: `proto/upnext.proto`.
//!
//! Each call becomes a request to the same routes that HTTP has, so tenants, limits, deadlines and metrics are the same by
//! construction. Key, role and rate are looked at before a message is read.

/// Messages, client and server.
#[rustfmt::skip]
pub mod v2;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{self, Method, StatusCode, header};
use axum::response::IntoResponse;
use form_urlencoded::Serializer;
use futures_util::stream::poll_fn;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};
use tonic::codegen::Service;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Response, Status};

use crate::connections::{Connection, Connections};
use crate::tenants::{Admitted, Doors, Peer, Shared};
use crate::tls::Tls;
use crate::{ServeError, Tenants, check_exposure, moment, rest};
use v2::up_next_server::{UpNext, UpNextServer};

/// Bytes of an answer that is handed on.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A connection lives no longer than this, so that clients come back and spread over the services that there are.
const CONNECTION_MAX: Duration = Duration::from_secs(30 * 60);
/// With these bytes a client begins to speak HTTP/2 (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;

/// Serves gRPC on a listener of its own, until `shutdown` ends; then calls in flight may finish, for a bounded time.
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
    let doors = tenants.doors();
    let router = TowerToHyperService::new(doors.clone().router());
    let twin = Arc::new(Twin { router, batch_max: config.batch_max });
    let bounded = |bytes_max| {
        UpNextServer::from_arc(Arc::clone(&twin))
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(ANSWER_BYTES_MAX)
    };
    let asks = bounded(config.question_bytes_max.min(config.body_bytes_max));
    let service = Guarded { doors, asks, writes: bounded(config.body_bytes_max) };
    let head_limit = Duration::from_millis(config.head_milliseconds_max);
    let mut server = Server::builder()
        .timeout(Duration::from_millis(
            config.request_milliseconds_max.saturating_add(config.body_milliseconds_max),
        ))
        .concurrency_limit_per_connection(config.reads_max.max(1))
        .max_connection_age(CONNECTION_MAX)
        .http2_keepalive_interval(Some(head_limit))
        .http2_keepalive_timeout(Some(head_limit));
    let stop_milliseconds_max = config.stop_milliseconds_max;
    let (sender, mut receiver) = mpsc::channel::<io::Result<Wire>>(1);
    tokio::spawn(accept(listener, shared, sender));
    let (tell, told) = oneshot::channel();
    let shutdown = async {
        shutdown.await;
        let _ = tell.send(());
    };
    let limit = Duration::from_millis(stop_milliseconds_max);
    let cut_off = async {
        // A server that ended by itself has nothing to be cut off.
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(limit).await;
    };
    let served = server
        .add_service(service)
        .serve_with_incoming_shutdown(poll_fn(move |context| receiver.poll_recv(context)), shutdown);
    tokio::select! {
        ended = served => ended
            .map_err(|error| ServeError::Listen { address: "gRPC".into(), source: io::Error::other(error) }),
        () = cut_off => {
            tracing::warn!(limit_milliseconds = stop_milliseconds_max, "calls were cut off at the stop");
            Ok(())
        }
    }
}

/// Takes connections, and hands on those that shook hands, until nobody wants them any more.
async fn accept(listener: TcpListener, shared: Arc<Shared>, sender: mpsc::Sender<io::Result<Wire>>) {
    let connections = Connections::new(shared.config.connections_max);
    let head_limit = Duration::from_millis(shared.config.head_milliseconds_max);
    loop {
        let (stream, peer, place) = tokio::select! {
            accepted = connections.accept(&listener) => accepted,
            () = sender.closed() => return,
        };
        let place = Arc::new(place);
        let deadline = Instant::now() + head_limit;
        let acceptor = shared.tls.as_ref().map(Tls::acceptor_of_http2);
        let sender = sender.clone();
        tokio::spawn(async move {
            let stream: Box<dyn Stream> = match acceptor {
                None => Box::new(stream),
                Some(acceptor) => {
                    let handshake = tokio::time::timeout_at(deadline, acceptor.accept(stream));
                    let shaken = tokio::select! {
                        shaken = handshake => shaken,
                        () = place.told_to_leave() => return,
                    };
                    match shaken {
                        Ok(Ok(stream)) => Box::new(stream),
                        Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
                        Err(_) => return tracing::debug!("a handshake took too long"),
                    }
                }
            };
            // A server that has stopped wants no more.
            let _ = sender.send(Ok(Wire::new(stream, Caller { peer, place }, deadline))).await;
        });
    }
}

/// What bytes come and go by.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a call comes from, and the connection that it came by.
#[derive(Clone)]
struct Caller {
    peer: SocketAddr,
    place: Arc<Connection>,
}

/// A connection that must begin to speak in time, and goes when it is told to.
struct Wire {
    stream: Box<dyn Stream>,
    caller: Caller,
    told_to_leave: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Until it has begun: by when, and how many bytes have come.
    begins: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Wire {
    fn new(stream: Box<dyn Stream>, caller: Caller, deadline: Instant) -> Self {
        let place = Arc::clone(&caller.place);
        let told_to_leave = Box::pin(async move { place.told_to_leave().await });
        let begins = Some((Box::pin(tokio::time::sleep_until(deadline)), 0));
        Self { stream, caller, told_to_leave, begins }
    }
}

impl Connected for Wire {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let own = &mut *self;
        // Once told it ends, so it is not asked again.
        if own.told_to_leave.as_mut().poll(context).is_ready() {
            own.told_to_leave = Box::pin(std::future::pending());
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Some((deadline, _)) = &mut own.begins
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut own.stream).poll_read(context, into);
        if let Some((_, n)) = &mut own.begins {
            *n += into.filled().len() - before;
            if *n >= PREFACE_BYTES {
                own.begins = None;
            }
        }
        read
    }
}

impl AsyncWrite for Wire {
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

/// The routes of HTTP that the calls ask.
const RECOMMEND: (Method, &str) = (Method::POST, "/api/v2/recommend");
const EVENTS: (Method, &str) = (Method::POST, "/api/v2/events");
const ITEMS: (Method, &str) = (Method::POST, "/api/items");
const EXPLAIN: (Method, &str) = (Method::GET, "/api/v2/explain");

/// Looks at key, rate and role before anything of a message is read.
#[derive(Clone)]
struct Guarded {
    doors: Doors,
    /// For calls that only ask, whose messages are small.
    asks: UpNextServer<Twin>,
    writes: UpNextServer<Twin>,
}

impl NamedService for Guarded {
    const NAME: &'static str = v2::up_next_server::SERVICE_NAME;
}

impl Service<http::Request<tonic::body::Body>> for Guarded {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<tonic::body::Body>) -> Self::Future {
        let caller = request.extensions().get::<Caller>().cloned();
        let (method, path) = match request.uri().path().rsplit('/').next() {
            Some("Recommend") => RECOMMEND,
            Some("Explain") => EXPLAIN,
            Some("PutItems") => ITEMS,
            // An unknown call, too, is answered only to somebody who may call.
            _ => EVENTS,
        };
        let access = rest::access(&method, path);
        let peer = caller.as_ref().map(|caller| caller.peer.ip());
        let busy = caller.map(|caller| caller.place.begin());
        if let Err(error) = self.doors.admit(request.headers(), peer, access) {
            return Box::pin(async move {
                let _busy = busy;
                Ok(refusal(error.into_response()).await.into_http())
            });
        }
        request.extensions_mut().insert(Admitted);
        let only_asks = path == RECOMMEND.1 || path == EXPLAIN.1;
        let answer = if only_asks { self.asks.call(request) } else { self.writes.call(request) };
        Box::pin(async move {
            let _busy = busy;
            answer.await
        })
    }
}

/// What a refusal of HTTP says, as a status.
async fn refusal(answer: axum::response::Response) -> Status {
    let (parts, body) = answer.into_parts();
    let bytes = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap_or_default();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let said = |field: &str| value["error"][field].as_str().unwrap_or_default().to_owned();
    let mut metadata = MetadataMap::new();
    if let Some(seconds) = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok())
        && let Ok(seconds) = seconds.parse()
    {
        metadata.insert("retry-after", seconds);
    }
    let message = format!("{}: {}; {}", said("code"), said("message"), said("hint"));
    Status::with_metadata(code(parts.status), message, metadata)
}

/// Calls as requests to the routes of HTTP.
struct Twin {
    router: TowerToHyperService<Router>,
    batch_max: usize,
}

impl Twin {
    /// Asks a route; what it answers as JSON.
    async fn ask<T>(
        &self,
        call: &Request<T>,
        (method, path): (Method, &str),
        body: Option<Value>,
    ) -> Result<Value, Status> {
        let mut request = axum::http::Request::builder().method(method).uri(path);
        for name in ["x-api-key", "authorization", "x-tenant", "traceparent", "tracestate"] {
            for value in call.metadata().get_all(name) {
                request = request.header(name, value.as_encoded_bytes());
            }
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if let Some(caller) = call.extensions().get::<Caller>() {
            request.extensions_mut().insert(Peer(caller.peer));
        }
        if call.extensions().get::<Admitted>().is_some() {
            request.extensions_mut().insert(Admitted);
        }
        let answer = match hyper::service::Service::call(&self.router, request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        if !answer.status().is_success() {
            return Err(refusal(answer).await);
        }
        let bytes = to_bytes(answer.into_body(), ANSWER_BYTES_MAX)
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Before rows are turned into JSON.
    fn check_batch(&self, n: usize) -> Result<(), Status> {
        match n > self.batch_max {
            true => Err(Status::invalid_argument(format!(
                "too_many: {n} rows; at most {} are taken at once: send them in batches",
                self.batch_max
            ))),
            false => Ok(()),
        }
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

/// A time as text: as a number, one before 1973 would be read as seconds. 0 is none; what is no time stays a number, which is refused.
fn time_of(milliseconds: i64) -> Option<Value> {
    let is_time = Timestamp::from_millisecond(milliseconds).is_ok();
    let time = if is_time { json!(moment::written(Some(milliseconds))) } else { json!(milliseconds) };
    (milliseconds != 0).then_some(time)
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
        let answer = self.ask(&call, RECOMMEND, Some(body)).await?;
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
        self.check_batch(call.get_ref().events.len())?;
        let event = |event: &v2::Event| {
            let mut fields = given(json!({
                "user": event.user,
                "session": event.session,
                "value": event.value,
                "time": time_of(event.time),
                "event_id": event.event_id,
            }));
            // Of these an empty one is named as what is wrong.
            fields["video"] = json!(event.video);
            fields["action"] = json!(event.action);
            fields
        };
        let body = Value::Array(call.get_ref().events.iter().map(event).collect());
        let answer = self.ask(&call, EVENTS, Some(body)).await?;
        Ok(Response::new(v2::SendEventsResponse {
            accepted: answer["accepted"].as_u64().unwrap_or_default(),
            counted: answer["counted"].as_u64().unwrap_or_default(),
        }))
    }

    async fn put_items(
        &self,
        call: Request<v2::PutItemsRequest>,
    ) -> Result<Response<v2::PutItemsResponse>, Status> {
        self.check_batch(call.get_ref().items.len())?;
        let mut items = Vec::with_capacity(call.get_ref().items.len());
        for (at, item) in call.get_ref().items.iter().enumerate() {
            let labels: Value = match item.labels.as_str() {
                "" => Value::Null,
                labels => serde_json::from_str(labels).map_err(|error| {
                    Status::invalid_argument(format!("labels of row {at} are not JSON: {error}"))
                })?,
            };
            items.push(json!({
                "ItemId": item.id,
                "IsHidden": item.hidden,
                "Categories": item.categories,
                "Timestamp": time_of(item.time),
                "Labels": labels,
                "Comment": item.comment,
            }));
        }
        let answer = self.ask(&call, ITEMS, Some(Value::Array(items))).await?;
        Ok(Response::new(v2::PutItemsResponse {
            written: answer["RowAffected"].as_u64().unwrap_or_default(),
        }))
    }

    async fn explain(&self, call: Request<v2::ExplainRequest>) -> Result<Response<v2::Explanation>, Status> {
        let (method, path) = EXPLAIN;
        let path = format!("{path}?{}", question(call.get_ref()));
        let answer = self.ask(&call, (method, &path), None).await?;
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
