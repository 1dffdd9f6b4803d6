//! Stored bodies, cursors, expressions, messages and files of every wire format, and changed copies of them: an answer or a refusal in words,
//! never a fault of ours.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../corpus/mutations.rs"]
mod mutations;
mod world;

use std::cell::Cell;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use upnext_serve::{ServeConfig, keys_in, read_message, rules_in};
use world::World;

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

/// Where the inputs of a format are sent.
enum To {
    /// As the body of such a request.
    Body(&'static str, &'static str),
    /// Percent-encoded at the end of such a path.
    Query(&'static str),
}

#[test]
fn whatever_is_sent_is_answered_or_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::with(ServeConfig { body_bytes_max: 1 << 16, batch_max: 50, ..ServeConfig::default() });
    let send = |method: &str, path: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        let (status, _, bytes) = runtime.block_on(world.send(request));
        let said = String::from_utf8_lossy(&bytes);
        assert!(status.as_u16() < 500, "{method} {path} answered {status}: {said}");
        let json = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
        assert!(status.is_success() || world::error_of(&json).is_some(), "{status}: {said}");
        status.is_success()
    };
    for (format, to) in [
        ("v2-events", To::Body("POST", "/api/v2/events")),
        ("v2-recommend", To::Body("POST", "/api/v2/recommend")),
        ("gorse-feedback", To::Body("POST", "/api/feedback")),
        ("gorse-feedback", To::Body("POST", "/api/session/recommend?n=5")),
        ("gorse-items", To::Body("POST", "/api/items")),
        ("gorse-users", To::Body("POST", "/api/users")),
        ("gorse-lines", To::Body("POST", "/api/bulk/feedback")),
        ("gorse-restore", To::Body("POST", "/api/restore")),
        ("metarank-events", To::Body("POST", "/feedback")),
        ("metarank-rank", To::Body("POST", "/rank/any?explain=true")),
        ("rules", To::Body("PUT", "/api/v2/rules")),
        ("expressions", To::Query("/api/v2/recommend/u1?filter=")),
        ("cursors", To::Query("/api/feedback?cursor=")),
        ("cursors", To::Query("/api/items?cursor=")),
        ("cursors", To::Query("/api/users?cursor=")),
    ] {
        let succeeded = Cell::new(0);
        let n = mutations::replay(format, |bytes| {
            let done = match &to {
                To::Body(method, path) => send(method, path, bytes.to_vec()),
                // A head has a bound of its own.
                To::Query(path) => {
                    send("GET", &format!("{path}{}", percent(&bytes[..bytes.len().min(8_192)])), Vec::new())
                }
            };
            succeeded.set(succeeded.get() + usize::from(done));
        });
        assert!(n > 10 && succeeded.get() > 0, "{format}: {n} inputs, {} of them taken", succeeded.get());
    }
    runtime.block_on(world.change("DELETE", "/api/v2/rules", ""));
    runtime.block_on(world.get("/api/v2/recommend/u1"));
}

#[test]
fn messages_of_streams_are_read_or_refused() {
    let config = ServeConfig { json_depth_max: 16, batch_max: 50, ..ServeConfig::default() };
    let read = Cell::new(0);
    mutations::replay("stream-messages", |bytes| match read_message(bytes, 1_700_000_000_000, &config) {
        Ok(message) => {
            let sound = |text: &str| (1..=config.id_bytes_max).contains(&text.len());
            assert!(
                message
                    .events
                    .iter()
                    .all(|event| sound(&event.feedback.user) && sound(&event.feedback.video))
            );
            read.set(read.get() + 1);
        }
        Err(why) => assert!(!why.is_empty()),
    });
    assert!(read.get() > 1);
}

#[test]
fn files_of_keys_and_rules_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let read = Cell::new(0);
    mutations::replay("keys-files", |bytes| {
        std::fs::write(&path, bytes).unwrap();
        match keys_in(&path) {
            Ok(_) => read.set(read.get() + 1),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
    assert!(read.get() > 0);
    mutations::replay("rules", |bytes| {
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = rules_in(&path) {
            assert!(!error.to_string().is_empty());
        }
    });
}

#[cfg(feature = "grpc")]
mod grpc {
    use std::cell::{Cell, RefCell};
    use std::net::SocketAddr;

    use prost::Message;
    use tonic::{Code, Status};
    use upnext_serve::grpc::v2::up_next_client::UpNextClient;
    use upnext_serve::grpc::v2::{ExplainRequest, PutItemsRequest, RecommendRequest, SendEventsRequest};
    use upnext_serve::{ServeConfig, bind, grpc};

    use super::{mutations, world};

    type Client = UpNextClient<tonic::transport::Channel>;

    /// Whatever can be decoded is asked; refusals are the caller's fault, not ours.
    fn told<T>(answer: Result<T, Status>, taken: &Cell<usize>) {
        match answer {
            Ok(_) => taken.set(taken.get() + 1),
            Err(status) => {
                let ours = [Code::Internal, Code::Unknown, Code::Unavailable, Code::DataLoss];
                assert!(!ours.contains(&status.code()), "{status}");
            }
        }
    }

    #[test]
    fn messages_of_grpc_are_answered_or_refused() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let state = world::state(ServeConfig { batch_max: 50, ..ServeConfig::default() });
        let address: SocketAddr = runtime.block_on(async {
            let listener = bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(grpc::serve(listener, state, std::future::pending()));
            address
        });
        let connected = runtime.block_on(UpNextClient::connect(format!("http://{address}"))).unwrap();
        let client = RefCell::new(connected);
        let ask = |bytes: &[u8], taken: &Cell<usize>, which: usize| {
            let client: &mut Client = &mut client.borrow_mut();
            runtime.block_on(async {
                match which {
                    0 => {
                        if let Ok(message) = RecommendRequest::decode(bytes) {
                            told(client.recommend(message).await, taken);
                        }
                    }
                    1 => {
                        if let Ok(message) = SendEventsRequest::decode(bytes) {
                            told(client.send_events(message).await, taken);
                        }
                    }
                    2 => {
                        if let Ok(message) = PutItemsRequest::decode(bytes) {
                            told(client.put_items(message).await, taken);
                        }
                    }
                    _ => {
                        if let Ok(message) = ExplainRequest::decode(bytes) {
                            told(client.explain(message).await, taken);
                        }
                    }
                }
            });
        };
        for (which, format) in
            ["grpc-recommend", "grpc-events", "grpc-items", "grpc-explain"].into_iter().enumerate()
        {
            let taken = Cell::new(0);
            let n = mutations::replay(format, |bytes| ask(bytes, &taken, which));
            assert!(n > 20 && taken.get() > 0, "{format}: {n} inputs, {} of them taken", taken.get());
        }
    }
}
