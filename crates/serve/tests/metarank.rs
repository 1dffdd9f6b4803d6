//! Events and rankings in the shapes of Metarank's clients.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::sync::Arc;

use serde_json::{Value, json};
use upnext_store::{Sqlite, StoreConfig};
use world::World;

const NOW: i64 = 1_767_225_600_000;
const MINUTE: i64 = 60_000;

fn interaction(id: &str, more: Value) -> Value {
    let mut event = json!({"event": "interaction", "id": id, "timestamp": NOW.to_string(), "type": "like", "item": "space1"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

async fn send(world: &World, events: Value) -> Value {
    world.change("POST", "/feedback", &events.to_string()).await
}

#[tokio::test]
async fn every_kind_of_event_is_taken_in_the_shape_that_metarank_answers() {
    let world = World::new();
    let events = json!([
        {"event": "item", "id": "i1", "timestamp": NOW, "item": "fresh", "fields": [
            {"name": "title", "value": "A fresh film"}, {"name": "genre", "value": ["space", "war"]},
            {"name": "budget", "value": 12.5}, {"name": "new", "value": true}]},
        {"event": "item", "id": "i2", "timestamp": NOW, "item": "fresh", "fields": [{"name": "budget", "value": 13}]},
        {"event": "user", "id": "u1", "timestamp": NOW, "user": "ann", "fields": [{"name": "age", "value": 30}]},
        {"event": "ranking", "id": "r1", "timestamp": NOW, "user": "ann", "session": "s1", "fields": [],
         "items": [{"id": "space1", "label": 1, "fields": []}, {"id": "crime1"}]},
        interaction("e1", json!({"ranking": "r1", "user": "ann", "session": "s1", "fields": []})),
    ]);
    let answer = send(&world, events).await;
    assert_eq!((&answer["accepted"], &answer["status"]), (&json!(5), &json!("ok")), "{answer}");
    assert!(answer["tookMillis"].is_u64() && answer["updated"].is_u64(), "{answer}");
    let item = world.get("/api/item/fresh").await;
    assert_eq!((&item["Comment"], &item["Categories"]), (&json!("A fresh film"), &json!(["space", "war"])));
    assert_eq!(
        (&item["Labels"]["budget"], &item["Labels"]["new"]),
        (&json!(13), &json!(true)),
        "fields add up"
    );
    assert_eq!(world.get("/api/user/ann").await["Labels"], json!({"age": 30}));
    assert_eq!(world.get("/api/v2/history/ann").await["events"][0]["video"], "space1");
    // One event may stand alone.
    assert_eq!(
        send(&world, interaction("e2", json!({"user": "ann", "item": "space2"}))).await["accepted"],
        1
    );
    assert_eq!(world.get("/api/v2/history/ann").await["total"], 2);
}

#[tokio::test]
async fn an_interaction_belongs_to_its_ranking_for_half_an_hour() {
    let world = World::new();
    let ranking = json!({"event": "ranking", "id": "r1", "timestamp": NOW, "session": "s1", "items": []});
    send(&world, ranking).await;
    let at = |id: &str, item: &str, time: i64| {
        interaction(id, json!({"ranking": "r1", "item": item, "timestamp": time}))
    };
    send(&world, at("e1", "space1", NOW + 30 * MINUTE)).await;
    let history = world.get("/api/v2/history/session:s1").await;
    assert_eq!((&history["total"], &history["events"][0]["video"]), (&json!(1), &json!("space1")));
    for (id, ranking, time) in
        [("e2", "r1", NOW + 30 * MINUTE + 1), ("e3", "r1", NOW - 1), ("e4", "unheard", NOW)]
    {
        let late = interaction(id, json!({"ranking": ranking, "timestamp": time, "item": "space2"}));
        let (status, code, message) = world.fail("POST", "/feedback", Some(&late.to_string())).await;
        assert!(status == 400 && code == "bad_field" && message.contains("names nobody"), "{message}");
    }
    // Who is named counts whatever the ranking.
    send(&world, interaction("e5", json!({"ranking": "unheard", "user": "ann"}))).await;
    assert_eq!(world.get("/api/v2/history/ann").await["total"], 1);
}

#[tokio::test]
async fn an_event_that_is_sent_again_counts_once_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(Sqlite::open(folder.path().join("store.db"), StoreConfig::default()).unwrap());
    let watch = |id: &str, share: f64| {
        interaction(
            id,
            json!({"user": "ann", "type": "watch", "fields": [{"name": "value", "value": share}]}),
        )
    };
    let value = async |world: &World| {
        let rows = world.get("/api/user/ann/feedback/watch").await;
        assert_eq!(rows.as_array().unwrap().len(), 1);
        rows[0]["Value"].clone()
    };
    {
        let world = World::of(world::state_over(open(), upnext_serve::ServeConfig::default()));
        send(&world, json!([watch("e1", 0.2), watch("e1", 0.2)])).await;
        assert_eq!(value(&world).await, json!(0.2));
        send(&world, watch("e2", 0.9)).await;
        let again = send(&world, watch("e1", 0.2)).await;
        assert_eq!((&again["accepted"], &again["updated"]), (&json!(1), &json!(0)));
        assert_eq!(value(&world).await, json!(0.9), "what is old does not come back");
        let event = r#"[{"user":"bob","video":"space1","action":"watch","value":0.5,"event_id":"e2"}]"#;
        world.change("POST", "/api/v2/events", event).await;
        assert_eq!(world.get("/api/v2/history/bob").await["total"], 0, "ids are those of all events");
        let event = event.replace("e2", "e3");
        world.change("POST", "/api/v2/events", &event).await;
        world.change("POST", "/api/v2/events", &event.replace("0.5", "0.1")).await;
        assert_eq!(world.get("/api/user/bob/feedback/watch").await[0]["Value"], json!(0.5));
    }
    let world = World::of(world::state_over(open(), upnext_serve::ServeConfig::default()));
    for (id, share) in [("e1", 0.2), ("e2", 0.9)] {
        assert_eq!(send(&world, watch(id, share)).await["updated"], 0, "the store knows {id}");
        assert_eq!(value(&world).await, json!(0.9));
    }
    let event =
        |id: &str| json!({"user": "bob", "video": "space1", "action": "watch", "value": 0.1, "event_id": id});
    let events =
        json!([event("e3"), event("e4"), event("e4"), {"user": "bob", "video": "space2", "action": "like"}]);
    let answer = world.change("POST", "/api/v2/events", &events.to_string()).await;
    assert_eq!(answer, json!({"accepted": 4, "counted": 2}), "one is new, one has no id");
}

#[tokio::test]
async fn given_items_are_ranked_for_a_viewer_and_explained() {
    let world = World::new();
    world.change("POST", "/api/v2/events", r#"[{"user":"ann","video":"space1","action":"like"}]"#).await;
    let items = ["crime1", "space2", "unheard", "space1", "comedy1"];
    let ranking = json!({"event": "ranking", "id": "r1", "timestamp": NOW, "user": "ann",
        "items": items.map(|id| json!({"id": id}))});
    let answer = world.change("POST", "/rank/xgboost?explain=true", &ranking.to_string()).await;
    let ranked: Vec<&str> =
        answer["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect();
    assert_eq!((ranked.len(), ranked[0]), (5, "space2"), "{answer}");
    assert_eq!(ranked[3..], ["unheard", "space1"], "unknown and seen ones come last, as they were given");
    let scores: Vec<f64> =
        answer["items"].as_array().unwrap().iter().map(|item| item["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let parts = answer["items"][0]["features"].as_array().unwrap();
    let sum: f64 = parts.iter().map(|part| part["value"].as_f64().unwrap()).sum();
    assert!((sum - scores[0]).abs() < 1e-9, "{parts:?}");
    let plain = world.change("POST", "/rank/xgboost", &ranking.to_string()).await;
    assert!(plain["items"][0].get("features").is_none() && plain["took"].is_u64());
    // What was ranked can be named by an interaction.
    send(&world, interaction("e9", json!({"ranking": "r1", "item": "space3", "timestamp": NOW + MINUTE})))
        .await;
    assert_eq!(world.get("/api/v2/history/ann").await["total"], 2);

    let body = json!({"count": 3, "items": ["crime1", "crime2"]}).to_string();
    let answer = world.change("POST", "/recommend/similar", &body).await;
    assert_eq!(answer["items"].as_array().unwrap().len(), 3);
    assert!(answer["items"][0]["item"].as_str().unwrap().starts_with("crime"), "{answer}");
}

#[tokio::test]
async fn what_is_no_event_is_named_and_nothing_of_the_batch_is_written() {
    let world = World::new();
    let good = interaction("e1", json!({"user": "ann"}));
    for (bad, said) in [
        (json!({"event": "dance", "id": "x"}), "dance"),
        (json!({"event": "item", "id": "x"}), "item"),
        (interaction("", json!({"user": "ann"})), "empty"),
        (interaction("x", json!({"user": "ann", "timestamp": "soon"})), "soon"),
        (interaction("x", json!({})), "names nobody"),
        (json!(7), "[1]"),
    ] {
        let body = json!([good, bad]).to_string();
        let (status, _, message) = world.fail("POST", "/feedback", Some(&body)).await;
        assert!(status == 400 && message.contains(said), "{message} does not say {said}");
    }
    assert_eq!(world.fail("POST", "/rank/x?explain=perhaps", Some(r#"{"id":"r","items":[]}"#)).await.0, 400);
    assert_eq!(world.fail("POST", "/recommend/x", Some(r#"{"count":0}"#)).await.0, 400);
    assert_eq!(world.fail("POST", "/train/x", None).await.1, "no_such_route");
    assert_eq!(world.state.store().counts().unwrap().feedback, 0);
    // It was not taken, so it can be sent again.
    assert_eq!(send(&world, good).await["updated"], 1);
}

#[tokio::test]
async fn nobody_takes_over_what_was_shown_to_another_and_only_what_was_written_is_remembered() {
    let world = World::new();
    let ranking = |id: &str, user: &str| json!({"event": "ranking", "id": id, "timestamp": NOW, "user": user, "items": [{"id": "crime1"}]});
    let rank = |ranking: Value| ranking.to_string();
    world.change("POST", "/rank/x", &rank(ranking("r1", "ann"))).await;
    world.change("POST", "/rank/x", &rank(ranking("r1", "bob"))).await;
    send(&world, interaction("e1", json!({"ranking": "r1", "item": "space3", "timestamp": NOW + MINUTE})))
        .await;
    assert_eq!(world.get("/api/v2/history/ann").await["total"], 1);
    assert_eq!(world.get("/api/v2/history/bob").await["total"], 0);

    // The second event is wrong, so the ranking before it was not taken; nor is one whose user is no id.
    let batch = json!([ranking("r2", "ann"), interaction("", json!({"user": "ann"}))]).to_string();
    assert_eq!(world.fail("POST", "/feedback", Some(&batch)).await.0, 400);
    let long = ranking("r3", &"x".repeat(10_000)).to_string();
    assert_eq!(world.fail("POST", "/feedback", Some(&long)).await.0, 400);
    for id in ["r2", "r3"] {
        let names = interaction("e2", json!({"ranking": id, "item": "space3", "timestamp": NOW + MINUTE}));
        let (status, _, message) = world.fail("POST", "/feedback", Some(&names.to_string())).await;
        assert!(status == 400 && message.contains("names nobody"), "{message}");
    }
}
