//! Much at once, as Gorse's tools send and fetch it; and what its dashboard asks.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use upnext_serve::{About, AppState, ServeConfig};
use upnext_store::{Sqlite, StoreConfig};
use world::{World, ids};

async fn lines(world: &World, path: &str) -> Vec<Value> {
    let (status, headers, bytes) = world.send(Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::OK, "application/jsonl"));
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn form(world: &World, path: &str, file: &str) -> (StatusCode, Value) {
    let body = format!(
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.jsonl\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{file}\r\n--B--\r\n"
    );
    let request = Request::post(path).header("content-type", "multipart/form-data; boundary=B");
    let (status, _, bytes) = world.send(request.body(Body::from(body)).unwrap()).await;
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn what_is_exported_can_be_imported_elsewhere() {
    let (world, other) = (World::new(), World::new());
    let users: Vec<Value> = (0..2_500)
        .map(|n| json!({"UserId": format!("p{n:04}"), "Labels": {"n": n}, "Comment": "a\nb"}))
        .collect();
    let jsonl = |rows: &[Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let (status, answer) = form(&world, "/api/bulk/users", &jsonl(&users)).await;
    assert_eq!((status, &answer), (StatusCode::OK, &json!({"RowAffected": 2_500})));
    let items = [json!({"ItemId": "fresh", "IsHidden": true, "Categories": ["space"],
        "Timestamp": "2026-01-01T00:00:00Z", "Labels": {"mood": "dark"}, "Comment": "Fresh"})];
    assert_eq!(world.change("POST", "/api/bulk/items", &jsonl(&items)).await, json!({"RowAffected": 1}));
    let feedback = [json!({"FeedbackType": "watch", "UserId": "p0001", "ItemId": "space1", "Value": 0.5,
        "Timestamp": "2026-01-01T00:00:00Z", "Labels": {"on": "tv"}, "Comment": "c"})];
    for _ in 0..2 {
        let body = jsonl(&feedback) + "\n";
        assert_eq!(world.change("POST", "/api/bulk/feedback", &body).await, json!({"RowAffected": 1}));
    }
    assert_eq!(lines(&world, "/api/bulk/users").await, users, "all pages, in order");
    assert_eq!(lines(&world, "/api/bulk/items").await, items);
    assert_eq!(lines(&world, "/api/bulk/feedback").await, feedback, "sent twice is the same");

    let dump = lines(&world, "/api/dump").await;
    let restored = other.change("POST", "/api/restore", &jsonl(&dump)).await;
    assert_eq!(restored, json!({"Users": 2_500, "Items": 1, "Feedback": 1}));
    assert_eq!(lines(&other, "/api/dump").await, dump);

    assert_eq!(world.fail("POST", "/api/purge", None).await.1, "not_confirmed");
    assert_eq!(world.fail("POST", "/api/purge?check_list=delete_users", None).await.1, "not_confirmed");
    let all = "delete_cache,delete_feedback,delete_items,delete_users";
    world.change("POST", &format!("/api/purge?check_list={all}"), "").await;
    assert_eq!(lines(&world, "/api/dump").await, Vec::<Value>::new());
    assert_eq!(ids(&world.get("/api/v2/recommend/p0001?n=18").await).len(), 18, "the run is another file's");
}

#[tokio::test]
async fn a_line_that_is_wrong_is_named_and_none_is_written() {
    let world = World::new();
    for (path, file, said) in [
        ("/api/bulk/users", "{\"UserId\":\"a\"}\n{\"User\":1}", "line 2"),
        ("/api/bulk/users", "{\"UserId\":\"a\"} {}", "line 1"),
        ("/api/bulk/users", "{\"UserId\":\"a\"}\n{\"UserId\":\"\"}", "empty"),
        ("/api/bulk/items", "\n\n[", "line 3"),
        ("/api/bulk/feedback", "{\"FeedbackType\":\"x\",\"UserId\":\"a\",\"ItemId\":\"\"}", "empty"),
        ("/api/restore", "{\"User\":{\"UserId\":\"a\"}}\n{\"Cat\":{}}", "line 2"),
    ] {
        let (status, answer) = form(&world, path, file).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == StatusCode::BAD_REQUEST && message.contains(said), "{path} {file}: {message}");
    }
    let request = Request::post("/api/bulk/users").header("content-type", "multipart/form-data; boundary=B");
    let (status, _, _) = world.send(request.body(Body::from("--B--")).unwrap()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let counts = world.state.store().counts().unwrap();
    assert_eq!((counts.users, counts.videos, counts.feedback), (0, 0, 0));
}

#[tokio::test]
async fn an_export_is_whole_or_breaks_off_and_few_go_on_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(folder.path().join("store.db"), StoreConfig::default()).unwrap());
    let config = ServeConfig { request_milliseconds_max: 300, ..ServeConfig::default() };
    let world = World::of(AppState::new(store, config, About::default()).unwrap());
    let users: String = (0..6_000)
        .map(|n| format!("{{\"UserId\":\"p{n:04}\",\"Comment\":\"{}\"}}\n", "x".repeat(1_000)))
        .collect();
    world.change("POST", "/api/bulk/users", &users).await;
    // Two that are not read keep a third out, until they are given up.
    let begin = async || {
        use tower::ServiceExt;
        let request = Request::get("/api/bulk/users").body(Body::empty()).unwrap();
        upnext_serve::app(world.state.clone()).oneshot(request).await.unwrap()
    };
    let (first, second) = (begin().await, begin().await);
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    let (status, code, _) = world.fail("GET", "/api/dump", None).await;
    assert_eq!((status, code.as_str()), (503, "busy"));
    let start = Instant::now();
    while world.send(Request::get("/api/dump").body(Body::empty()).unwrap()).await.0 != StatusCode::OK {
        assert!(start.elapsed() < Duration::from_secs(10), "those that nobody reads are never given up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lines(&world, "/api/bulk/users").await.len(), 6_000);
    for given_up in [first, second] {
        let read = axum::body::to_bytes(given_up.into_body(), usize::MAX).await;
        assert!(read.is_err(), "half an export looks like a whole one");
    }
}

#[tokio::test]
async fn a_dashboard_finds_numbers_and_whole_items() {
    let world = World::new();
    world.change("POST", "/api/v2/events", r#"[{"user":"ann","video":"space1","action":"like"}]"#).await;
    let stats = world.get("/api/dashboard/stats").await;
    assert_eq!((&stats["NumUsers"], &stats["NumTotalPosFeedback"]), (&json!(1), &json!(1)));
    assert_eq!(world.get("/api/dashboard/categories").await, json!(["comedy", "crime", "space"]));
    assert_eq!(world.get("/api/dashboard/users").await["Users"][0]["UserId"], "ann");
    assert_eq!(world.get("/api/dashboard/user/ann").await["UserId"], "ann");
    assert_eq!(world.get("/api/dashboard/user/ann/feedback/like").await[0]["ItemId"], "space1");
    for list in ["popular", "latest", "recommend/ann"] {
        let items = world.get(&format!("/api/dashboard/{list}?n=2")).await;
        assert_eq!(items.as_array().unwrap().len(), 2, "{list}");
        assert!(
            items[0]["ItemId"].is_string()
                && items[0]["Score"].is_number()
                && items[0]["Comment"].is_string()
        );
    }
}

#[tokio::test]
async fn items_are_found_by_title_and_a_path_may_end_in_a_slash() {
    let world = World::new();
    let found = world.get("/api/items?q=space+number+3&n=2").await;
    assert_eq!((&found["Items"][0]["ItemId"], &found["Cursor"]), (&json!("space3"), &json!("")));
    assert_eq!(world.get("/api/recommend/u7/").await, world.get("/api/recommend/u7").await);
}

#[tokio::test]
async fn an_import_that_stops_says_after_how_many_rows() {
    let world = World::new();
    let line = |at: usize| {
        let comment = if at == 1_500 { "x".repeat(100_000) } else { String::new() };
        serde_json::json!({"UserId": format!("n{at}"), "Comment": comment}).to_string()
    };
    let lines: Vec<String> = (0..2_000).map(line).collect();
    let (status, _, message) = world.fail("POST", "/api/bulk/users", Some(&lines.join("\n"))).await;
    assert!(status == 400 && message.contains("after 1000 rows"), "{status} {message}");
    assert_eq!(world.state.store().counts().unwrap().users, 1_000);
}
