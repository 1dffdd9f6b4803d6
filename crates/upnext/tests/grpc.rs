//! The gRPC twin answers as HTTP does, with the same keys and the same words for what is wrong.

#![cfg(feature = "scale")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use service::{Service, ask};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use upnext_serve::grpc::v2::up_next_client::UpNextClient;
use upnext_serve::grpc::v2::{
    Event, ExplainRequest, NewItem, PutItemsRequest, RecommendRequest, SendEventsRequest,
};

#[path = "../../ingest/tests/servers/process.rs"]
mod process;

mod service;

/// A call with the key.
fn with_key<T>(message: T) -> Request<T> {
    let mut call = Request::new(message);
    call.metadata_mut().insert("x-api-key", MetadataValue::from_static("s3cret"));
    call
}

fn event(user: &str, video: &str, action: &str) -> SendEventsRequest {
    let (user, video, action) = (user.into(), video.into(), action.into());
    SendEventsRequest { events: vec![Event { user, video, action, ..Event::default() }] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_asks_sends_and_is_refused_as_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let run = service::small_run(folder.path());
    // Reading is open to all, so that a request by hand needs no key.
    let open = folder.path().join("upnext.toml");
    std::fs::write(&open, "[serve]\nopen_reads = true\n").unwrap();
    let address = format!("127.0.0.1:{}", process::free_port());
    let service = Service::start_with(
        &run,
        &[("UPNEXT_KEY", "s3cret")],
        &["--grpc", &address, "--config", open.to_str().unwrap()],
    );
    let until = Instant::now() + Duration::from_secs(20);
    let mut client = loop {
        match UpNextClient::connect(format!("http://{address}")).await {
            Ok(client) => break client,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };

    // The same slate as over HTTP.
    let question = RecommendRequest { user: "u1".into(), n: 5, ..RecommendRequest::default() };
    let slate = client.recommend(with_key(question.clone())).await.unwrap().into_inner();
    assert_eq!((slate.items.len(), slate.failures.len(), slate.request_id.is_empty()), (5, 0, false));
    assert!(slate.items.iter().all(|item| !item.reason.is_empty() && !item.sources.is_empty()));
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let (status, body) = ask(&mut stream, "GET", "/api/v2/recommend/u1?n=5", "").unwrap();
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let ids = |item: &Value| item["id"].as_str().unwrap().to_owned();
    let there: Vec<String> = body["items"].as_array().unwrap().iter().map(ids).collect();
    assert_eq!(slate.items.iter().map(|item| item.id.clone()).collect::<Vec<_>>(), there);

    // Who has no key may not write, and hears why.
    let first = slate.items[0].id.clone();
    let refused = client.send_events(Request::new(event("u1", &first, "like"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(refused.message().contains("API key"), "{refused}");

    // What was sent changes the next answer.
    let accepted = client.send_events(with_key(event("u1", &first, "like"))).await.unwrap().into_inner();
    assert_eq!((accepted.accepted, accepted.counted), (1, 1));
    let named = || {
        let mut events = event("u2", "v1", "like");
        events.events[0].event_id = "e1".into();
        with_key(events)
    };
    for counted in [1, 0] {
        let answer = client.send_events(named()).await.unwrap().into_inner();
        assert_eq!((answer.accepted, answer.counted), (1, counted), "an id counts once");
    }
    let slate = client.recommend(with_key(question)).await.unwrap().into_inner();
    assert!(slate.items.iter().all(|item| item.id != first), "{first} was seen");
    let question = ExplainRequest { user: "u1".into(), video: first.clone() };
    let explained = client.explain(with_key(question)).await.unwrap().into_inner();
    assert_eq!(explained.verdict, "filtered", "{}", explained.json);

    // What is wrong is said with its place, in the code that clients of gRPC act on.
    let wrong = client.send_events(with_key(event("", "v1", "like"))).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument, "{wrong}");
    assert!(wrong.message().contains("[0]") && wrong.message().contains("user"), "{wrong}");
    let unknown = ExplainRequest { user: "u1".into(), video: "nothing".into() };
    assert_eq!(client.explain(with_key(unknown)).await.unwrap_err().code(), Code::NotFound);
    let large = RecommendRequest { n: 1_000_000, ..RecommendRequest::default() };
    assert_eq!(client.recommend(with_key(large)).await.unwrap_err().code(), Code::InvalidArgument);

    let item = NewItem {
        id: "brand-new".into(),
        labels: r#"{"tags": ["new"]}"#.into(),
        comment: "New".into(),
        ..NewItem::default()
    };
    let items = |item: NewItem| with_key(PutItemsRequest { items: vec![item] });
    assert_eq!(client.put_items(items(item.clone())).await.unwrap().into_inner().written, 1);
    let broken = NewItem { labels: "{".into(), ..item };
    let broken = client.put_items(items(broken)).await.unwrap_err();
    assert!(broken.message().contains("labels of row 0 are not JSON"), "{broken}");
}
