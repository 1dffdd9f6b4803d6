//! The service on a socket: where it listens, how it stops, and what it does with slow clients.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use upnext_serve::{ServeConfig, ServeError, bind, serve};
use upnext_store::{Memory, Sqlite, Store, StoreConfig};

struct Running {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    service: JoinHandle<Result<(), ServeError>>,
}

async fn run(store: Arc<dyn Store>, config: ServeConfig) -> Running {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let service = tokio::spawn(serve(listener, world::state_over(store, config), shutdown));
    Running { address, stop, service }
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn hear(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_port_in_use_and_a_wrong_address_are_named_with_what_to_do() {
    let first = bind("127.0.0.1:0").await.unwrap();
    let address = first.local_addr().unwrap().to_string();
    let error = bind(&address).await.unwrap_err();
    assert!(matches!(error, ServeError::InUse { .. }), "{error}");
    assert!(error.to_string().starts_with(&address) && error.to_string().contains("port 0"), "{error}");
    let error = bind("here").await.unwrap_err();
    assert!(matches!(error, ServeError::Address { .. }), "{error}");
    let error = bind("192.0.2.1:80").await.unwrap_err();
    assert!(matches!(error, ServeError::Listen { .. }), "{error}");
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_a_key() {
    let listener = bind("0.0.0.0:0").await.unwrap();
    let state = world::state(ServeConfig::default());
    let error = serve(listener, state, std::future::pending()).await.unwrap_err();
    assert!(matches!(error, ServeError::KeyRequired { .. }), "{error}");
    assert!(error.to_string().contains("--key"), "{error}");

    let listener = bind("0.0.0.0:0").await.unwrap();
    let state = world::state(ServeConfig { key: Some("secret".into()), ..ServeConfig::default() });
    serve(listener, state, std::future::ready(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_a_request_in_flight_finish_and_its_events_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Arc::new(Sqlite::open(&path, StoreConfig::default()).unwrap());
    let running = run(store, ServeConfig::default()).await;
    let body = r#"[{"user":"ann","video":"space1","action":"like"}]"#;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "POST /api/v2/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    say(&mut stream, &head).await;
    say(&mut stream, &body[..10]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    say(&mut stream, &body[10..]).await;
    let answer = hear(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"accepted":1,"counted":1}"#),
        "{answer}"
    );
    running.service.await.unwrap().unwrap();
    let refused = TcpStream::connect(running.address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    assert_eq!(store.history("ann", None, 9).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_ever() {
    let config = ServeConfig { stop_milliseconds_max: 100, ..ServeConfig::default() };
    let running = run(Arc::new(Memory::default()), config).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    say(&mut stream, "POST /api/v2/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n[").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    running.stop.send(()).unwrap();
    running.service.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_and_a_head_that_does_not_end_are_not_waited_for() {
    let config =
        ServeConfig { body_milliseconds_max: 100, head_milliseconds_max: 200, ..ServeConfig::default() };
    let running = run(Arc::new(Memory::default()), config).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    say(&mut stream, "POST /api/v2/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n[").await;
    let answer = tokio::time::timeout(Duration::from_secs(5), hear(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too_slow"), "{answer}");

    let mut stream = TcpStream::connect(running.address).await.unwrap();
    say(&mut stream, "GET /api/v2/about HTTP/1.1\r\nhost: loc").await;
    tokio::time::timeout(Duration::from_secs(5), hear(&mut stream)).await.unwrap();
    running.stop.send(()).unwrap();
    running.service.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_are_all_acknowledged_or_told_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(folder.path().join("store.db"), StoreConfig::default()).unwrap());
    let running = run(store.clone(), ServeConfig::default()).await;
    let mut writers = Vec::new();
    for writer in 0..40 {
        let address = running.address;
        writers.push(tokio::spawn(async move {
            let mut acknowledged = 0;
            for at in 0..10 {
                let body = format!(r#"[{{"user":"w{writer}","video":"v{at}","action":"like"}}]"#);
                let mut stream = TcpStream::connect(address).await.unwrap();
                let head = format!("POST /api/v2/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                say(&mut stream, &(head + &body)).await;
                let answer = hear(&mut stream).await;
                match answer.split(' ').nth(1) {
                    Some("200") => acknowledged += 1,
                    Some("503") => assert!(answer.contains("retry-after: "), "{answer}"),
                    _ => panic!("{answer}"),
                }
            }
            acknowledged
        }));
    }
    let mut acknowledged = 0;
    for writer in writers {
        acknowledged += writer.await.unwrap();
    }
    assert!(acknowledged > 0);
    assert_eq!(store.counts().unwrap().feedback, acknowledged);
    running.stop.send(()).unwrap();
    running.service.await.unwrap().unwrap();
}
