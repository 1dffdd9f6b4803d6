//! Random bytes and random JSON to every route: no panic, and no 5xx.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use axum::body::Body;
use axum::http::{Method, Request};
use proptest::prelude::*;
use serde_json::{Value, json};
use upnext_serve::ServeConfig;
use world::World;

/// Every way to ask, read from the service's own description.
fn routes(world: &World, runtime: &tokio::runtime::Runtime) -> Vec<(String, String)> {
    let described = runtime.block_on(world.get("/apidocs.json"));
    let mut routes = Vec::new();
    // What goes on for minutes has a test of its own.
    for (path, item) in
        described["paths"].as_object().unwrap().iter().filter(|(path, _)| *path != "/api/v2/live")
    {
        for method in ["get", "post", "put", "patch", "delete"] {
            if item.get(method).is_some() {
                routes.push((method.to_uppercase(), path.clone()));
            }
        }
    }
    assert!(routes.len() > 50);
    routes
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

/// Ids that are known, odd, or nothing at all.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["u1", "space1", "like", "read", "neighbors", "popular", "space", "comedy0"]).prop_map(String::from),
        1 => Just(percent(world::ODD.as_bytes())),
        1 => prop::collection::vec(any::<u8>(), 1..12).prop_map(|bytes| percent(&bytes)),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "n",
        "offset",
        "cursor",
        "category",
        "user-id",
        "write-back-type",
        "write-back-delay",
        "lambda",
        "diversity",
        "exclude",
        "pick",
        "query",
        "video",
        "user",
        "filter",
        "language",
        "age_max",
        "session",
        "hour",
        "weights",
        "rules",
        "kind",
        "odd",
    ]);
    let value = prop_oneof![
        2 => prop::sample::select(vec!["0", "1", "3", "500", "-1", "99999999999999999999", "0.5", "NaN", "1e40", "u1", "space1", "10m", "-5h", "space"]).prop_map(String::from),
        1 => prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| percent(&bytes)),
    ];
    prop::collection::vec((name, value), 0..4).prop_map(|pairs| {
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    })
}

/// JSON of any shape, over the names that bodies use.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "u1",
            "space1",
            "like",
            "hate",
            "2026-01-01",
            "9999-12-31T23:59:59Z",
            "影片"
        ])
        .prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop::sample::select(vec![
            "UserId",
            "ItemId",
            "FeedbackType",
            "Value",
            "Timestamp",
            "Labels",
            "Comment",
            "Categories",
            "IsHidden",
            "user",
            "video",
            "action",
            "value",
            "time",
            "n",
            "picks",
            "exclude",
            "categories",
            "lambda",
            "odd",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

/// JSON of nearly the right shape, so that handlers are reached.
fn near_json() -> impl Strategy<Value = Value> {
    let id = prop::sample::select(vec!["u1", "space1", "like", "read", "新", "a/b", "comedy0"]);
    let row = (id.clone(), id.clone(), id.clone(), any::<f64>(), any_json(), any_json()).prop_map(
        |(kind, user, item, value, time, labels)| {
            json!({
                "FeedbackType": kind, "UserId": user, "ItemId": item, "Value": value, "Timestamp": time, "Labels": labels,
            })
        },
    );
    let event = (id.clone(), id.clone(), id.clone(), any::<f64>(), any::<i64>()).prop_map(
        |(user, video, action, value, time)| json!({"user": user, "video": video, "action": action, "value": value, "time": time}),
    );
    let question = (id.clone(), 0usize..600, 0usize..1_200, prop::collection::vec(id, 0..4), -0.5..1.5f32).prop_map(
        |(user, n, offset, picks, lambda)| json!({"user": user, "n": n, "offset": offset, "picks": picks, "lambda": lambda}),
    );
    let row = row.boxed();
    prop_oneof![
        prop::collection::vec(row.clone(), 0..4).prop_map(Value::from),
        row,
        prop::collection::vec(event, 0..4).prop_map(Value::from),
        question,
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200),
        2 => any_json().prop_map(|json| json.to_string().into_bytes()),
        3 => near_json().prop_map(|json| json.to_string().into_bytes()),
        1 => (near_json(), any::<prop::sample::Index>()).prop_map(|(json, cut)| {
            let mut bytes = json.to_string().into_bytes();
            bytes.truncate(cut.index(bytes.len() + 1));
            bytes
        }),
    ]
}

#[test]
fn whatever_is_sent_is_answered_without_a_fault_of_ours() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::with(ServeConfig { body_bytes_max: 1_000, batch_max: 3, ..ServeConfig::default() });
    world.state.set_map(upnext_serve::TasteMap::Ready(std::sync::Arc::new(world::map())));
    let routes = routes(&world, &runtime);
    let asked = (0..routes.len(), [segment(), segment(), segment()], query(), body());
    let config = ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let succeeded = std::cell::Cell::new(0);
    runner
        .run(&asked, |(at, segments, query, body)| {
            let (method, path) = &routes[at];
            let mut segments = segments.into_iter();
            let filled: Vec<String> = path
                .split('/')
                .map(|part| if part.starts_with('{') { segments.next().unwrap() } else { part.to_owned() })
                .collect();
            let uri = format!("{}?{query}", filled.join("/"));
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request =
                Request::builder().method(method.clone()).uri(&uri).body(Body::from(body.clone())).unwrap();
            let (status, headers, bytes) = runtime.block_on(world.send(request));
            let said = String::from_utf8_lossy(&bytes);
            prop_assert!(
                status.as_u16() < 500,
                "{} {} {:?} answered {}: {}",
                method,
                uri,
                String::from_utf8_lossy(&body),
                status,
                said
            );
            if status.is_success() {
                succeeded.set(succeeded.get() + 1);
            } else {
                let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                prop_assert!(
                    world::error_of(&json).is_some(),
                    "{} {} answered {} {:?}: {}",
                    method,
                    uri,
                    status,
                    headers,
                    said
                );
            }
            Ok(())
        })
        .unwrap();
    assert!(succeeded.get() > 300, "only {} requests went all the way", succeeded.get());
    runtime.block_on(world.get("/api/v2/recommend/u1"));
}

#[test]
fn random_paths_find_nothing_and_break_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let path = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..7);
    runner
        .run(&path, |parts| {
            let uri = parts.iter().fold(String::new(), |uri, part| format!("{uri}/{}", percent(part)));
            let uri = if uri.is_empty() { "/".to_owned() } else { uri };
            let request = Request::get(&uri).body(Body::empty()).unwrap();
            let (status, _, _) = runtime.block_on(world.send(request));
            prop_assert!(status.as_u16() < 500, "{} answered {}", uri, status);
            Ok(())
        })
        .unwrap();
}
