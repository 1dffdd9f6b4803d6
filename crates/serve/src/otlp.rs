//! Spans to a collector, by the OpenTelemetry protocol over gRPC.
//!
//! It runs beside the answers and takes what was recorded from a bounded queue. A collector that is gone is tried again at growing
//! intervals; meanwhile the queue fills and what comes then is lost.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::ServeError;
use crate::spans::{Part, Recorded, TelemetryConfig};

/// The longest pause before a collector is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What exports spans, until it is told to finish.
pub struct Exporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Begins to export what comes, with these headers, such as a token; needs a runtime of tokio around it.
    ///
    /// # Errors
    /// If the URL or a header cannot be meant.
    pub fn start(
        config: &TelemetryConfig,
        headers: &[(String, String)],
        recorded: Receiver<Recorded>,
    ) -> Result<Self, ServeError> {
        config.check()?;
        let wrong = |found: String, expected| ServeError::Config { key: "otlp_url", found, expected };
        let url = &config.otlp_url;
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|_| wrong(url.clone(), "a URL such as http://collector:4317"))?;
        let limit = Duration::from_millis(config.answer_milliseconds_max.max(1));
        let mut endpoint = endpoint.connect_timeout(limit).timeout(limit);
        if url.starts_with("https://") {
            endpoint = endpoint
                .tls_config(ClientTlsConfig::new().with_native_roots())
                .map_err(|error| wrong(error.to_string(), "a URL whose certificate can be checked"))?;
        }
        let mut metadata = Vec::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase().parse::<AsciiMetadataKey>();
            match (name, value.parse::<AsciiMetadataValue>()) {
                (Ok(name), Ok(value)) => metadata.push((name, value)),
                // It may be a secret, so it is not shown.
                _ => return Err(wrong("a header".into(), "headers of the form NAME=VALUE")),
            }
        }
        let (stop, stopped) = oneshot::channel();
        let client = TraceServiceClient::new(endpoint.connect_lazy());
        let export = Export { client, metadata, config: config.clone(), is_silent: false };
        Ok(Self { stop, task: tokio::spawn(export.run(recorded, stopped)) })
    }

    /// Tries once more to export what waits, for a bounded time.
    pub async fn finish(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

struct Export {
    client: TraceServiceClient<Channel>,
    metadata: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    config: TelemetryConfig,
    /// Whether the collector did not answer last time.
    is_silent: bool,
}

impl Export {
    async fn run(mut self, mut recorded: Receiver<Recorded>, mut stopped: oneshot::Receiver<()>) {
        let gather = Duration::from_millis(self.config.gather_milliseconds_max);
        let max = self.config.batch_requests_max.max(1);
        let mut batch = Vec::new();
        let mut pause = Duration::from_secs(1);
        loop {
            tokio::select! {
                n = recorded.recv_many(&mut batch, max) => if n == 0 { return },
                _ = &mut stopped => break,
            }
            tokio::select! {
                () = tokio::time::sleep(gather) => {}
                _ = &mut stopped => break,
            }
            while batch.len() < max
                && let Ok(one) = recorded.try_recv()
            {
                batch.push(one);
            }
            while !batch.is_empty() {
                let sent = tokio::select! {
                    sent = self.send(&batch) => sent,
                    // The collector may have taken them already: then they come twice.
                    _ = &mut stopped => return self.last(batch, recorded).await,
                };
                if sent {
                    pause = Duration::from_secs(1);
                    batch.clear();
                    break;
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                    _ = &mut stopped => return self.last(batch, recorded).await,
                }
            }
        }
        self.last(batch, recorded).await;
    }

    /// What waits, once.
    async fn last(mut self, mut batch: Vec<Recorded>, mut recorded: Receiver<Recorded>) {
        while let Ok(one) = recorded.try_recv() {
            batch.push(one);
        }
        let limit = Duration::from_millis(self.config.stop_milliseconds_max);
        let send = async {
            for batch in batch.chunks(self.config.batch_requests_max.max(1)) {
                if !self.send(batch).await {
                    return;
                }
            }
        };
        if tokio::time::timeout(limit, send).await.is_err() {
            tracing::warn!("spans were not exported before the stop");
        }
    }

    /// Whether the collector is done with them: took them, or will never do so. Said in the log when that changes.
    async fn send(&mut self, batch: &[Recorded]) -> bool {
        let mut request = tonic::Request::new(message(batch, &self.config.service_name));
        for (name, value) in &self.metadata {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        // A collector that hangs is no better than one that is gone, whatever the connection does.
        let limit = Duration::from_millis(self.config.answer_milliseconds_max.max(1));
        let sent = tokio::time::timeout(limit, self.client.export(request)).await;
        let problem = match &sent {
            Ok(Ok(_)) => None,
            Ok(Err(status)) => Some(status.message().to_owned()),
            Err(_) => Some(format!("no answer in {} ms", limit.as_millis())),
        };
        match (&problem, self.is_silent) {
            (Some(problem), false) => {
                tracing::warn!(problem, url = self.config.otlp_url, "the collector takes no spans");
            }
            (None, true) => tracing::info!("the collector takes spans again"),
            _ => {}
        }
        self.is_silent = problem.is_some();
        match sent {
            Ok(Ok(_)) => true,
            Ok(Err(status)) => !may_be_sent_again(status.code()),
            Err(_) => false,
        }
    }
}

/// What OTLP calls retryable; after other answers the same spans would be refused for ever.
fn may_be_sent_again(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, Unavailable};
    matches!(code, Aborted | Cancelled | DataLoss | DeadlineExceeded | OutOfRange | Unavailable)
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: usize) -> KeyValue {
    pair(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn message(batch: &[Recorded], service: &str) -> ExportTraceServiceRequest {
    let version = env!("CARGO_PKG_VERSION");
    let resource = Resource {
        attributes: vec![
            text("service.name", service),
            text("service.version", version),
            number("process.pid", std::process::id() as usize),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope { name: "upnext".into(), version: version.into(), ..Default::default() };
    let spans = batch.iter().flat_map(spans).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

/// The request and its parts. Names of attributes are those of OpenTelemetry's conventions where there are any.
fn spans(request: &Recorded) -> Vec<Span> {
    let begun = nanoseconds(request.begun);
    let mut attributes = vec![
        text("http.request.method", &request.method),
        text("http.route", &request.route),
        number("http.response.status_code", request.status.into()),
    ];
    if !request.tenant.is_empty() {
        attributes.push(text("upnext.tenant", &request.tenant));
    }
    let is_error = request.status >= 500;
    let root = Span {
        trace_id: request.trace_id.to_vec(),
        span_id: request.span_id.to_vec(),
        trace_state: request.trace_state.clone(),
        parent_span_id: request.parent.map(Vec::from).unwrap_or_default(),
        flags: 1,
        name: format!("{} {}", request.method, request.route),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: begun,
        end_time_unix_nano: begun + wide(request.took),
        attributes,
        status: is_error.then(|| failed(String::new())),
        ..Span::default()
    };
    let part = |part: &Part| {
        let start = begun + wide(part.after);
        let mut attributes = Vec::new();
        if let Some((entered, left)) = part.candidates {
            attributes
                .extend([number("upnext.candidates.in", entered), number("upnext.candidates.out", left)]);
        }
        let event = |(part, said): &(String, String)| Event {
            time_unix_nano: start,
            name: "exception".into(),
            attributes: vec![text("exception.type", part), text("exception.message", said)],
            ..Event::default()
        };
        Span {
            trace_id: request.trace_id.to_vec(),
            span_id: part.span_id.to_vec(),
            parent_span_id: request.span_id.to_vec(),
            flags: 1,
            name: part.name.clone(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + wide(part.took),
            attributes,
            events: part.failures.iter().map(event).collect(),
            status: part.failures.first().map(|(part, said)| failed(format!("{part}: {said}"))),
            ..Span::default()
        }
    };
    std::iter::once(root).chain(request.parts.iter().map(part)).collect()
}

fn failed(message: String) -> Status {
    Status { message, code: status::StatusCode::Error.into() }
}

fn nanoseconds(time: SystemTime) -> u64 {
    wide(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn wide(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
