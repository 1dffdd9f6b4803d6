//! Live pages: what changes is told as it changes, to a bounded number of listeners.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use upnext_serve::{AppState, ServeConfig, bind, serve};

/// A page that listens.
struct Page {
    stream: TcpStream,
    heard: String,
}

impl Page {
    async fn at(address: std::net::SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        Self { stream, heard: String::new() }
    }

    /// Reads on until this is heard.
    async fn hears(&mut self, what: &str) {
        let limit = Duration::from_secs(5);
        let mut buffer = [0; 4_096];
        while !self.heard.contains(what) {
            let read = tokio::time::timeout(limit, self.stream.read(&mut buffer)).await;
            let n = read.unwrap_or_else(|_| panic!("{what} is not heard: {}", self.heard)).unwrap();
            assert!(n > 0, "the stream ended: {}", self.heard);
            self.heard += &String::from_utf8_lossy(&buffer[..n]);
        }
    }
}

async fn started(
    state: AppState,
) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let service = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        serve(listener, state, stopped).await.unwrap();
    });
    (address, stop, service)
}

async fn event(address: std::net::SocketAddr, user: &str, video: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = format!(r#"[{{"user":"{user}","video":"{video}","action":"like"}}]"#);
    let head = "POST /api/v2/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_hears_of_its_viewer_and_of_a_new_feed_and_of_nobody_else() {
    let state = world::state(ServeConfig::default());
    let (address, stop, service) = started(state.clone()).await;
    let mut ann = Page::at(address, "/api/v2/live?user=ann").await;
    let mut all = Page::at(address, "/api/v2/live").await;
    ann.hears("event: hello").await;
    all.hears("event: hello").await;
    assert!(ann.heard.to_lowercase().contains("content-type: text/event-stream"), "{}", ann.heard);
    event(address, "bob", "space1").await;
    event(address, "ann", "space2").await;
    ann.hears("event: events\ndata: {\"events\":1,").await;
    assert_eq!(ann.heard.matches("event: events").count(), 1, "of bob nothing: {}", ann.heard);
    all.hears("event: events").await;
    assert!(!all.heard.contains("bob") && !all.heard.contains("ann"), "names are not told: {}", all.heard);
    state.publish(world::feed(Arc::clone(state.store())));
    ann.hears("event: feed").await;
    // A stop does not wait for those who listen for ever.
    let start = Instant::now();
    stop.send(()).unwrap();
    service.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_listener_too_many_is_told_so_and_who_leaves_makes_room() {
    let state = world::state(ServeConfig { listeners_max: 1, ..ServeConfig::default() });
    let (address, stop, service) = started(state).await;
    let mut first = Page::at(address, "/api/v2/live").await;
    first.hears("event: hello").await;
    let mut second = Page::at(address, "/api/v2/live").await;
    second.hears("503").await;
    second.hears("busy").await;
    drop(first);
    let start = Instant::now();
    loop {
        let mut third = Page::at(address, "/api/v2/live").await;
        third.hears("\r\n\r\n").await;
        if third.heard.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        // Something must be said for it to be noticed that nobody is there.
        event(address, "ann", "space1").await;
    }
    stop.send(()).unwrap();
    service.await.unwrap();
}
