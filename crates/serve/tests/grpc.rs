//! The door of gRPC: who says nothing keeps nobody out, and what is refused is refused early.

#![cfg(feature = "grpc")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Request};
use upnext_serve::grpc::v2::up_next_client::UpNextClient;
use upnext_serve::grpc::v2::{Event, NewItem, PutItemsRequest, RecommendRequest, SendEventsRequest};
use upnext_serve::{About, AppState, ServeConfig, bind, grpc};
use upnext_store::{Memory, Store};

fn with_key<T>(message: T) -> Request<T> {
    let mut call = Request::new(message);
    call.metadata_mut().insert("x-api-key", MetadataValue::from_static("s3cret"));
    call
}

fn items(n: usize) -> PutItemsRequest {
    let item = |at| NewItem { id: format!("v{at}"), time: 50_000_000_000, ..NewItem::default() };
    PutItemsRequest { items: (0..n).map(item).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_keeps_nobody_out_and_what_is_refused_is_refused_early() {
    let store = Arc::new(Memory::default());
    let config = ServeConfig {
        key: Some("s3cret".into()),
        connections_max: 2,
        batch_max: 3,
        question_bytes_max: 1_000,
        ..ServeConfig::default()
    };
    let own: Arc<dyn Store> = Arc::clone(&store) as _;
    let state = AppState::new(own, config, About::default()).unwrap();
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(grpc::serve(listener, state, async move { drop(stopped.await) }));

    let silent = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    let connected = UpNextClient::connect(format!("http://{address}"));
    let mut client = tokio::time::timeout(Duration::from_secs(5), connected).await.unwrap().unwrap();
    let written = client.put_items(with_key(items(3))).await.unwrap().into_inner().written;
    assert_eq!(written, 3);
    drop(silent);

    // Before 1973, and no second of it is taken for another.
    assert_eq!(store.video("v0").unwrap().unwrap().time, Some(50_000_000_000));
    let refused = client.put_items(with_key(items(4))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("at most 3"), "{refused}");
    let many = SendEventsRequest { events: vec![Event::default(); 4] };
    assert_eq!(client.send_events(with_key(many.clone())).await.unwrap_err().code(), Code::InvalidArgument);
    // Of a stranger nothing is looked at.
    assert_eq!(client.send_events(many).await.unwrap_err().code(), Code::Unauthenticated);
    let long = RecommendRequest { user: "x".repeat(2_000), ..RecommendRequest::default() };
    assert_eq!(client.recommend(with_key(long)).await.unwrap_err().code(), Code::OutOfRange);

    drop(client);
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_tls_are_answered_to_who_trusts_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config =
        ServeConfig { key: Some("s3cret".into()), tls_cert: cert, tls_key: key, ..ServeConfig::default() };
    let state = AppState::new(Arc::new(Memory::default()), config, About::default()).unwrap();
    let listener = bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(grpc::serve(listener, state, async move { drop(stopped.await) }));

    let over = |pem: String| {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)).domain_name("localhost");
        Endpoint::from_shared(format!("https://127.0.0.1:{port}")).unwrap().tls_config(tls).unwrap()
    };
    let mut client = UpNextClient::new(over(made.cert.pem()).connect().await.unwrap());
    assert_eq!(client.put_items(with_key(items(2))).await.unwrap().into_inner().written, 2);
    assert_eq!(client.put_items(items(2)).await.unwrap_err().code(), Code::Unauthenticated);
    // Who does not know the certificate, or speaks plainly, is not answered.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    assert!(over(other.cert.pem()).connect().await.is_err());
    let plain = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    let asked = match plain.connect().await {
        Ok(channel) => UpNextClient::new(channel).put_items(with_key(items(1))).await.map(drop),
        Err(error) => Err(tonic::Status::unavailable(error.to_string())),
    };
    assert!(asked.is_err(), "nothing is said in plain text");

    drop(client);
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_end_is_cut_off_at_the_stop() {
    let (store, held) = world::slow::Slow::new();
    let config = ServeConfig { stop_milliseconds_max: 300, ..ServeConfig::default() };
    let state = AppState::new(Arc::new(store), config, About::default()).unwrap();
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(grpc::serve(listener, state, async move { drop(stopped.await) }));
    let mut client = UpNextClient::connect(format!("http://{address}")).await.unwrap();
    let event = Event { user: "u".into(), video: "v".into(), action: "like".into(), ..Event::default() };
    let call =
        tokio::spawn(async move { client.send_events(SendEventsRequest { events: vec![event] }).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!call.is_finished(), "the store holds it");
    let begun = Instant::now();
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("it waits for ever").unwrap().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(250), "calls get a time to finish");
    held.store(false, Ordering::Release);
}
