//! Spans of requests reach a collector that speaks OTLP, and a collector that does not answer costs nobody anything.

#![cfg(feature = "scale")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use service::{Service, ask};
use tonic::{Request, Response, Status};

#[path = "../../ingest/tests/servers/process.rs"]
mod process;

mod service;

/// A collector that hands on what it is told, with the token that came with it.
struct Collector(Sender<(Option<String>, ExportTraceServiceRequest)>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let token = request.metadata().get("x-token").map(|token| token.to_str().unwrap().to_owned());
        self.0.send((token, request.into_inner())).unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

type Told = Receiver<(Option<String>, ExportTraceServiceRequest)>;

/// A collector on a port; what it is told comes out here.
fn collector() -> (u16, Told) {
    let (sender, told) = channel();
    let port = process::free_port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = format!("127.0.0.1:{port}").parse().unwrap();
        let server =
            tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
        runtime.block_on(server.serve(address)).unwrap();
    });
    (port, told)
}

fn configured(folder: &Path, port: u16, more: &str) -> PathBuf {
    let path = folder.join(format!("{port}.toml"));
    std::fs::write(&path, format!("[telemetry]\notlp_url = \"http://127.0.0.1:{port}\"\n{more}")).unwrap();
    path
}

fn terminate(service: &Service) {
    let id = service.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
}

/// A question that belongs to a trace.
fn ask_in(stream: &mut TcpStream, path: &str, parent: &str) -> u16 {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\ntraceparent: {parent}\r\ntracestate: a=1\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn attributes(all: &[KeyValue]) -> BTreeMap<&str, String> {
    let value = |one: &KeyValue| match one.value.as_ref().and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    all.iter().map(|one| (one.key.as_str(), value(one))).collect()
}

fn spans(told: &ExportTraceServiceRequest) -> Vec<Span> {
    let scopes = told.resource_spans.iter().flat_map(|of| &of.scope_spans);
    scopes.flat_map(|scope| scope.spans.clone()).collect()
}

#[test]
fn a_request_and_its_stages_arrive_as_spans_of_the_trace_that_it_came_with() {
    let folder = tempfile::tempdir().unwrap();
    let run = service::small_run(folder.path());
    let (port, told) = collector();
    let config = configured(folder.path(), port, "gather_milliseconds_max = 20\nservice_name = \"films\"\n");
    let mut service = Service::start_with(
        &run,
        &[("OTEL_EXPORTER_OTLP_HEADERS", "x-token=s3cret")],
        &["--config", config.to_str().unwrap()],
    );
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    // Its sender records nothing, so neither is this.
    assert_eq!(
        ask_in(&mut stream, "/api/v2/recommend/u2?n=5", &format!("00-{trace}-00f067aa0ba902b7-00")),
        200
    );
    assert_eq!(
        ask_in(&mut stream, "/api/v2/recommend/u1?n=5", &format!("00-{trace}-00f067aa0ba902b7-01")),
        200
    );

    let (token, request) = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(token.as_deref(), Some("s3cret"));
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(attributes(&resource.attributes)["service.name"], "films");
    let spans_of_slate = spans(&request);
    let root = &spans_of_slate[0];
    assert_eq!((root.name.as_str(), root.kind), ("GET /api/v2/recommend/{user}", SpanKind::Server as i32));
    assert_eq!(root.trace_id, trace.as_bytes().chunks(2).map(hex).collect::<Vec<u8>>());
    assert_eq!(root.parent_span_id, "00f067aa0ba902b7".as_bytes().chunks(2).map(hex).collect::<Vec<u8>>());
    assert_eq!(root.trace_state, "a=1");
    let said = attributes(&root.attributes);
    assert_eq!(
        (said["http.route"].as_str(), said["http.response.status_code"].as_str()),
        ("/api/v2/recommend/{user}", "200")
    );
    assert!(!format!("{request:?}").contains("u1"), "no person is named");
    let names: Vec<&str> = spans_of_slate[1..].iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["wait", "hydrate", "sources", "filters", "scorers", "rerank", "served"]);
    for span in &spans_of_slate[1..] {
        assert_eq!((&span.trace_id, &span.parent_span_id), (&root.trace_id, &root.span_id), "{}", span.name);
        let within = root.start_time_unix_nano..=root.end_time_unix_nano;
        assert!(
            within.contains(&span.start_time_unix_nano) && within.contains(&span.end_time_unix_nano),
            "{span:?}"
        );
    }
    assert!(attributes(&spans_of_slate[3].attributes)["upnext.candidates.out"].parse::<u32>().unwrap() > 0);

    // A change begins a trace of its own; health is not recorded.
    ask(&mut stream, "GET", "/api/health/ready", "").unwrap();
    let event = r#"[{"user":"u1","video":"v1","action":"like"}]"#;
    assert_eq!(ask(&mut stream, "POST", "/api/v2/events", event).unwrap().0, 200);
    let (_, request) = told.recv_timeout(Duration::from_secs(20)).unwrap();
    let spans_of_event = spans(&request);
    let names: Vec<&str> = spans_of_event.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["POST /api/v2/events", "wait", "commit"]);
    assert!(spans_of_event[0].parent_span_id.is_empty() && spans_of_event[0].trace_id != root.trace_id);

    // What waits is exported at the stop.
    assert_eq!(ask(&mut stream, "GET", "/api/v2/about", "").unwrap().0, 200);
    drop(stream);
    terminate(&service);
    assert!(service.child.wait().unwrap().success());
    let (_, request) = told.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(spans(&request)[0].name, "GET /api/v2/about");
}

fn hex(digits: &[u8]) -> u8 {
    u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
}

#[test]
fn a_collector_that_is_gone_or_never_answers_costs_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let run = service::small_run(folder.path());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [process::free_port(), silent.local_addr().unwrap().port()] {
        let limits = "queue_requests_max = 4\nbatch_requests_max = 2\ngather_milliseconds_max = 0\nstop_milliseconds_max = 300\n";
        let config = configured(folder.path(), port, limits);
        let mut service = Service::start_with(&run, &[], &["--config", config.to_str().unwrap()]);
        let mut stream = TcpStream::connect(&service.address).unwrap();
        let mut times: Vec<Duration> = (0..100)
            .map(|at| {
                let begun = Instant::now();
                let path = format!("/api/v2/recommend/u{}?n=5", at % 30);
                assert_eq!(ask(&mut stream, "GET", &path, "").unwrap().0, 200);
                begun.elapsed()
            })
            .collect();
        times.sort();
        assert!(times[95] < Duration::from_secs(2), "{times:?}");
        let (_, metrics) = ask(&mut stream, "GET", "/metrics", "").unwrap();
        let lost = metrics.lines().find_map(|line| line.strip_prefix("upnext_spans_lost_total "));
        assert!(lost.unwrap().parse::<u64>().unwrap() >= 90, "{lost:?}");
        drop(stream);
        let begun = Instant::now();
        terminate(&service);
        assert!(service.child.wait().unwrap().success());
        assert!(begun.elapsed() < Duration::from_secs(5), "the stop took {:?}", begun.elapsed());
    }
}
