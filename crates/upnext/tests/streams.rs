//! Each event of a stream counts once: `upnext consume` is killed again and again, the broker and the database go down in between, and
//! what is kept in the end is what one quiet pass keeps.

#![cfg(feature = "scale")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use serde_json::{Value, json};
use upnext_store::{Feedback, FeedbackQuery, Postgres, Sqlite, Store, StoreConfig, StoredUser};

#[path = "../../ingest/tests/servers/postgres.rs"]
mod postgres;

#[path = "../../ingest/tests/servers/process.rs"]
mod process;

/// A NATS server with JetStream, and its files.
struct Nats {
    child: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
}

impl Nats {
    fn start() -> Option<Self> {
        let is_there = Command::new("nats-server").arg("--version").stdout(Stdio::null()).status();
        if !is_there.is_ok_and(|status| status.success()) {
            process::skip("NATS is not installed (apt-get install nats-server)");
            return None;
        }
        let mut server =
            Self { child: None, port: process::free_port(), folder: tempfile::tempdir().unwrap() };
        server.launch();
        Some(server)
    }

    fn launch(&mut self) {
        let mut child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        process::wait_for(self.port, &mut child);
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `upnext consume` into a folder, killed when this is dropped.
struct Consumer(Child);

impl Consumer {
    fn start(nats: &Nats, folder: &Path, more: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_upnext"))
            .args(["consume", &format!("{}/EVENTS", nats.url()), "--json", "--run"])
            .arg(folder)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Waits until it ends well; what it said last.
    fn done(mut self) -> Value {
        let (mut out, mut err) = (String::new(), String::new());
        std::io::Read::read_to_string(self.0.stdout.as_mut().unwrap(), &mut out).unwrap();
        std::io::Read::read_to_string(self.0.stderr.as_mut().unwrap(), &mut err).unwrap();
        assert!(self.0.wait().unwrap().success(), "{out}{err}");
        serde_json::from_str::<Value>(out.lines().last().unwrap()).unwrap()["done"].clone()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The message that stands at a place: events of three worlds, one by one and in lists, some sent twice, some broken.
fn message(at: usize) -> String {
    let (user, video) = (format!("u{}", at * 7 % 23), format!("v{}", at * at % 31));
    let ours = |id: usize, value: f64| json!({"event_id": format!("e{id}"), "user": user, "video": video, "action": "watch", "value": value});
    match at % 20 {
        // Sent again, long after, and as if it said something else: the id counts.
        3 | 11 if at > 399 => ours(at - 399, -1.0).to_string(),
        5 => json!({"FeedbackType": "read", "UserId": user, "ItemId": video, "Value": 1.0}).to_string(),
        7 => json!([ours(at, at as f64), {"FeedbackType": "read", "UserId": user, "ItemId": "all", "Value": 0.5}]).to_string(),
        9 => json!({"event": "interaction", "id": format!("m{at}"), "timestamp": 1_600_000_000_000_u64 + at as u64,
            "user": user, "item": video, "type": "click"})
        .to_string(),
        13 => "{\"user\": ".into(),
        17 => json!([ours(at, 1.0), {"user": user}]).to_string(),
        19 => json!({"event": "ranking", "id": "r", "items": []}).to_string(),
        _ => ours(at, at as f64).to_string(),
    }
}

/// Sends messages until each was acknowledged by the broker, which may be down for a while.
async fn send(url: String, n: usize) {
    let client = async_nats::connect(url).await.unwrap();
    let mut context = jetstream::new(client);
    context.set_timeout(Duration::from_millis(500));
    for at in 0..n {
        loop {
            if let Ok(sent) = context.publish("events.web", message(at).into()).await
                && sent.await.is_ok()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if at % 8 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

async fn make_stream(url: &str) {
    let context = jetstream::new(async_nats::connect(url).await.unwrap());
    let config = jetstream::stream::Config {
        name: "EVENTS".into(),
        subjects: vec!["events.>".into()],
        ..jetstream::stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
}

/// All that a store keeps, in the order in which it was first written.
fn kept(store: &dyn Store) -> (Vec<Feedback>, Vec<StoredUser>) {
    let all = store.feedback(&FeedbackQuery { n: 100_000, ..FeedbackQuery::default() }).unwrap();
    assert_eq!(all.cursor, "");
    (all.rows, store.users("", 100_000).unwrap().rows)
}

fn kept_in(folder: &Path) -> (Vec<Feedback>, Vec<StoredUser>) {
    kept(&Sqlite::open_to_read(folder.join("store.sqlite"), StoreConfig::default()).unwrap())
}

/// The places of messages that were set aside.
fn dead_in(folder: &Path) -> BTreeSet<u64> {
    let text = std::fs::read_to_string(folder.join("dead-letters.jsonl")).unwrap();
    let place = |line: &str| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap();
    text.lines().map(place).collect()
}

#[test]
fn a_batch_is_bounded_by_bytes_and_a_message_that_is_larger_comes_all_the_same() {
    const N: usize = 200;
    let Some(nats) = Nats::start() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        make_stream(&nats.url()).await;
        let context = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
        for at in 0..N {
            let padding = " ".repeat(if at == N / 2 { 500_000 } else { 100 });
            let event = json!({"event_id": format!("e{at}"), "user": "ann", "video": format!("v{at}"), "action": "like"});
            context.publish("events.web", format!("{event}{padding}").into()).await.unwrap().await.unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("upnext.toml");
    std::fs::write(&config, "[stream]\nbatch_bytes_max = 2000\nprogress_milliseconds = 1\n").unwrap();
    let more = ["--once", "--config", config.to_str().unwrap()];
    let mut consumer = Consumer::start(&nats, folder.path(), &more);
    let mut said = String::new();
    std::io::Read::read_to_string(consumer.0.stdout.as_mut().unwrap(), &mut said).unwrap();
    assert!(consumer.0.wait().unwrap().success(), "{said}");
    // All two hundred would fit into one batch by their number.
    assert!(said.lines().count() >= 8, "{said}");
    assert_eq!(kept_in(folder.path()).0.len(), N);
}

#[test]
fn a_reader_that_is_killed_again_and_again_keeps_what_one_quiet_pass_keeps() {
    const N: usize = 6_000;
    let Some(mut nats) = Nats::start() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(make_stream(&nats.url()));
    let (killed, quiet) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let producer = runtime.spawn(send(nats.url(), N));

    let mut kills = 0;
    while !producer.is_finished() || kills < 8 {
        let consumer = Consumer::start(&nats, killed.path(), &[]);
        std::thread::sleep(Duration::from_millis(120 + 90 * (kills % 5)));
        if kills == 3 {
            // The broker goes in the middle, under a reader and a producer that both wait for it.
            nats.kill();
            std::thread::sleep(Duration::from_millis(300));
            nats.launch();
            std::thread::sleep(Duration::from_millis(1_500));
        }
        drop(consumer);
        kills += 1;
        assert!(kills < 500, "the producer does not come to an end");
    }
    runtime.block_on(producer).unwrap();
    Consumer::start(&nats, killed.path(), &["--once"]).done();

    // Another store, another name: the whole stream from its start.
    let said = Consumer::start(&nats, quiet.path(), &["--once", "--name", "quiet"]).done();
    let (expected, found) = (kept_in(quiet.path()), kept_in(killed.path()));
    assert!(expected.0.len() > 500, "{}", expected.0.len());
    assert_eq!(found.1, expected.1);
    assert_eq!(found.0.len(), expected.0.len());
    for (found, expected) in found.0.iter().zip(&expected.0) {
        assert_eq!(found, expected);
    }
    assert!(said["written"].as_u64() < said["events"].as_u64(), "some were sent twice: {said}");
    assert!(expected.0.iter().all(|row| row.value >= 0.0), "what came again did not count");
    let dead = dead_in(quiet.path());
    assert_eq!(dead_in(killed.path()), dead);
    assert_eq!(dead.len() as u64, said["dead"].as_u64().unwrap());
    assert!(dead.len() >= N / 10, "{} were set aside", dead.len());
    println!("{kills} kills, {said}");
}

#[test]
fn a_reader_waits_for_a_database_that_is_down_and_ends_when_it_is_told() {
    const N: usize = 1_500;
    let (Some(mut database), Some(nats)) = (postgres::Postgres::start(), Nats::start()) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(make_stream(&nats.url()));
    let (shared, quiet) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = shared.path().join("upnext.toml");
    std::fs::write(
        &config,
        "[stream]\nbatch_max = 50\nretry_milliseconds = 50\n[store]\nserver_commit_milliseconds_max = 500\n",
    )
    .unwrap();
    let url = database.url();
    let options = ["--store", url.as_str(), "--config", config.to_str().unwrap()];
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut consumer = Consumer::start(&nats, shared.path(), &options);
            while !is_done.load(Ordering::Relaxed) {
                assert!(consumer.0.try_wait().unwrap().is_none(), "it gave up");
                std::thread::sleep(Duration::from_millis(20));
            }
            let told = Command::new("kill").args(["-TERM", &consumer.0.id().to_string()]).status().unwrap();
            assert!(told.success());
            consumer.done();
        });
        let producer = runtime.spawn(send(nats.url(), N));
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(400));
            database.kill();
            std::thread::sleep(Duration::from_millis(700));
            database.start_again();
        }
        runtime.block_on(producer).unwrap();
        let last = message(N - 2);
        let store = Postgres::open(&url, StoreConfig::default()).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        let id: Value = serde_json::from_str(&last).unwrap();
        let is_there = || {
            let rows = store.history(id["user"].as_str().unwrap(), None, 100_000).unwrap();
            rows.iter().any(|row| row.video == id["video"] && row.value == id["value"].as_f64().unwrap())
        };
        while !is_there() {
            assert!(Instant::now() < until, "the last event does not come");
            std::thread::sleep(Duration::from_millis(50));
        }
        is_done.store(true, Ordering::Relaxed);
    });
    Consumer::start(&nats, shared.path(), &[&options[..], &["--once"]].concat()).done();
    Consumer::start(&nats, quiet.path(), &["--once", "--name", "quiet"]).done();
    let store = Postgres::open(&url, StoreConfig::default()).unwrap();
    let (found, expected) = (kept(&store), kept_in(quiet.path()));
    assert_eq!(found.1, expected.1);
    assert_eq!(found.0, expected.0);
    assert_eq!(dead_in(shared.path()), dead_in(quiet.path()));
}

#[test]
fn what_is_not_there_is_named_without_the_password() {
    let said = |arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let out = Command::new(env!("CARGO_BIN_EXE_upnext"))
            .args(["consume", "--run", folder.path().to_str().unwrap()])
            .args(arguments)
            .output()
            .unwrap();
        (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    let (code, error) = said(&["kafka://host/EVENTS"]);
    assert!(code == 2 && error.contains("nats://HOST:PORT/STREAM"), "{error}");
    let (code, error) = said(&["nats://ann:s3cret@127.0.0.1:1/EVENTS"]);
    assert!(code == 1 && error.contains("NATS 127.0.0.1:1, stream EVENTS: cannot connect"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    let Some(nats) = Nats::start() else { return };
    let (code, error) = said(&[&format!("{}/NOTHING", nats.url())]);
    assert!(code == 1 && error.contains("stream NOTHING") && error.contains("not found"), "{error}");
}
