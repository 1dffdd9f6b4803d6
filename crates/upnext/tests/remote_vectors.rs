//! A service that searches its vectors in PostgreSQL with pgvector: the same answers as by its own, and answers without them while the
//! server is away.

#![cfg(feature = "scale")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::time::{Duration, Instant};

use serde_json::Value;
use terminal::{Service, desk};

#[path = "../../ingest/tests/servers/postgres.rs"]
mod postgres;

#[path = "../../ingest/tests/servers/process.rs"]
mod process;

mod terminal;

#[test]
fn vectors_of_a_run_are_searched_on_a_server_and_a_request_goes_on_without_them() {
    let Some(mut server) = postgres::Postgres::start_with_vectors() else { return };
    let desk = desk();
    desk.run("import log.csv --out run").done();
    desk.run("train run --ranker two-tower").done();
    desk.run("index run --to mysql://x").wrong(&["--to", "postgres://"]);
    let url = format!("{}?sslmode=disable", server.url());
    desk.write("own.toml", "[feed]\nexact_videos_max = 0\n");
    desk.write("remote.toml", format!("[store]\nvectors_url = \"{url}\"\nvectors_answer_milliseconds_max = 10000\n[feed]\nexact_videos_max = 0\n"));
    let serve = |config: &str| {
        Service::start(&desk, &["serve", "run", "--listen", "127.0.0.1:0", "--json", "--config", config])
    };
    let slate = |service: &Service| -> (Vec<String>, String) {
        let (status, body) = service.ask("GET", "/api/v2/recommend/u1?n=5", "");
        assert_eq!(status, 200, "{body}");
        let slate: Value = serde_json::from_str(&body).unwrap();
        let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
        (slate["items"].as_array().unwrap().iter().map(id).collect(), slate["failures"].to_string())
    };
    let own = serve("own.toml");
    let (expected, failures) = slate(&own);
    assert_eq!((expected.len(), failures.as_str()), (5, "[]"));
    assert_eq!(own.stop(), 0);

    // The index of the run is gone, so nothing but the server can answer.
    std::fs::remove_dir_all(desk.path("run/index")).unwrap();
    let said = desk.run("index run --to --config remote.toml --json").json();
    let sets = said["sets"].as_array().unwrap();
    assert!(!sets.is_empty() && sets.iter().all(|set| set["rows"] == 20), "{said}");
    let service = serve("remote.toml");
    assert!(!desk.path("run/index").exists(), "none was built");
    assert_eq!(slate(&service), (expected.clone(), "[]".into()));

    server.kill();
    let begun = Instant::now();
    let (without, failures) = slate(&service);
    assert!(failures.contains("PostgreSQL 127.0.0.1") && !failures.contains("s3cret"), "{failures}");
    assert_eq!(without.len(), 5, "other sources answer: {failures}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    server.start_again();
    let until = Instant::now() + Duration::from_secs(20);
    while slate(&service) != (expected.clone(), "[]".into()) {
        assert!(Instant::now() < until, "{:?}", slate(&service));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(service.stop(), 0);

    // Who starts while it is away searches the run's own.
    server.kill();
    let service = serve("remote.toml");
    assert_eq!(slate(&service), (expected, "[]".into()));
    assert_eq!(service.stop(), 0);
}
