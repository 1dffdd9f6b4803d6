//! What a request may ask for beyond a number of videos: filters, pages of a session, rules, kinds of shelf.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::collections::HashSet;

use serde_json::{Value, json};
use upnext_serve::ServeConfig;
use world::{World, ids};

#[tokio::test]
async fn a_filter_is_the_same_in_a_query_and_in_a_body() {
    let world = World::new();
    let text = "genre:crime and not (year < 1997 or year > 1999)";
    let query = "genre:crime%20and%20not%20(year%20%3C%201997%20or%20year%20%3E%201999)";
    let asked = ids(&world.get(&format!("/api/v2/recommend/new?filter={query}")).await);
    assert_eq!(
        HashSet::<String>::from_iter(asked.clone()),
        ["crime1", "crime2", "crime3"].map(String::from).into()
    );
    let body = json!({"user": "new", "filter": text}).to_string();
    assert_eq!(ids(&world.change("POST", "/api/v2/recommend", &body).await), asked);
    let either = ids(&world.get("/api/v2/recommend/new?n=18&category=crime%7Cspace").await);
    assert_eq!(either.len(), 12);
    let told = world.get(&format!("/api/v2/explain?user=new&video=space1&filter={query}")).await;
    assert_eq!(told["text"], "The space number 1 was removed by the filter expression");
    // Nothing bears such labels here, so they keep everything.
    let open =
        "/api/v2/recommend/new?n=18&language=en&region=NO&age_max=12&device=tv&hour=20&block_author=ann";
    assert_eq!(ids(&world.get(open).await).len(), 18);
}

#[tokio::test]
async fn what_cannot_be_asked_is_named() {
    let world = World::new();
    for (query, said) in [
        ("filter=genre", "`filter`: at character 6 of the expression stands the end"),
        ("filter=(((((((((((((((((((((((a:b", "nested more than 20 deep"),
        ("weights=like:NaN", "the weight of like is NaN; expected a finite number"),
        ("weights=hate:3", "expected at most 0"),
        ("weights=smile:3", "no action \"smile\""),
        ("hour=24", "from 0 to 23"),
        ("age_max=old", "`age_max` is \"old\""),
        ("rules=wet", "expected dry"),
        ("kind=nice", "a kind of shelf"),
        ("sesion=s", "there is no parameter `sesion`"),
    ] {
        let route = if query.starts_with("kind") { "feed" } else { "recommend" };
        let (status, _, message) = world.fail("GET", &format!("/api/v2/{route}/ann?{query}"), None).await;
        assert!(status == 400 && message.contains(said), "{query}: {message}");
    }
    for body in [json!({"weights": {"like": "much"}}), json!({"hour": 24}), json!({"filter": "("})] {
        assert_eq!(world.fail("POST", "/api/v2/recommend", Some(&body.to_string())).await.0, 400, "{body}");
    }
    assert_eq!(world.fail("GET", "/api/v2/feed/ann?kind=more_like", None).await.1, "missing_parameter");
    assert_eq!(world.fail("GET", "/api/v2/feed/ann?kind=more_like&video=none", None).await.0, 404);
    let (_, code, message) =
        world.fail("POST", "/api/v2/events", Some(r#"[{"video":"v","action":"like"}]"#)).await;
    assert_eq!((code.as_str(), message.contains("[0]")), ("bad_field", true), "{message}");
}

#[tokio::test]
async fn a_session_is_shown_everything_once_whatever_it_does_in_between() {
    let world = World::new();
    let mut seen: Vec<String> = Vec::new();
    for page in 0..3 {
        let answer = world.get("/api/v2/recommend?session=s1&n=6").await;
        seen.extend(ids(&answer));
        // Of somebody without a name: it counts in this session.
        let event = json!([{"session": "s1", "video": format!("space{page}"), "action": "like"}]);
        world.change("POST", "/api/v2/events", &event.to_string()).await;
    }
    let once: HashSet<&String> = seen.iter().collect();
    assert_eq!(once.len(), seen.len(), "{seen:?}");
    assert!(seen.len() >= 15, "only what was liked before it was shown is missing: {seen:?}");
    let history = world.get("/api/v2/history/session:s1").await;
    assert_eq!(history["total"], 3);
    // Another session begins anew, and pages by places agree with it.
    let first = ids(&world.get("/api/v2/recommend?session=s2&lambda=1&n=6").await);
    let second = ids(&world.get("/api/v2/recommend?session=s2&lambda=1&n=6&offset=6").await);
    assert_eq!([first, second].concat(), ids(&world.get("/api/v2/recommend?lambda=1&n=12").await));
}

#[tokio::test]
async fn rules_are_put_tried_explained_and_taken_back() {
    let world = World::new();
    let plain = ids(&world.get("/api/v2/recommend/u7?n=3").await);
    let rules = r#"[{"name":"autumn","action":"pin","place":2,"videos":["space4"]}]"#;
    let dry = world.get("/api/v2/rules").await;
    assert_eq!(dry, json!({"rules": [], "put": false, "durable": true}));
    let put = world.change("PUT", "/api/v2/rules", rules).await;
    assert_eq!(
        (&put["rules"][0]["name"], &put["put"], &put["durable"]),
        (&json!("autumn"), &json!(true), &json!(false))
    );

    let tried = world.get("/api/v2/recommend/u7?n=3&rules=dry").await;
    assert_eq!(ids(&tried), plain);
    assert_eq!(tried["trace"]["rules"][0], json!({"rule": "autumn", "dry_run": true, "videos": 1}));
    let change = json!({"video": "space4", "from": null, "to": 2});
    assert!(tried["trace"]["would_change"].as_array().unwrap().contains(&change), "{tried}");

    let shown = world.get("/api/v2/recommend/u7?n=3").await;
    assert_eq!((ids(&shown)[1].as_str(), &shown["items"][1]["reason"]["kind"]), ("space4", &json!("pinned")));
    let told = world.get("/api/v2/explain?user=u7&video=space4&n=3").await;
    assert_eq!(told["text"], "The space number 4 is shown at place 2: placed here by the rule autumn");

    let contradiction = r#"[{"name":"a","action":"pin","videos":["space4"]},{"name":"b","action":"pin","videos":["space3"]}]"#;
    world.change("PUT", "/api/v2/rules", contradiction).await;
    let shown = world.get("/api/v2/recommend/u7?n=3").await;
    assert_eq!((ids(&shown).len(), ids(&shown)[0].as_str()), (3, "space4"));
    assert_eq!(
        shown["failures"][0]["message"],
        "rule b pins space3 to place 1, where rule a pins space4: the first rule holds"
    );

    let bad = r#"[{"name":"c","action":"boost","amount":-1,"videos":["space1"]}]"#;
    let (status, code, message) = world.fail("PUT", "/api/v2/rules", Some(bad)).await;
    assert!(status == 400 && code == "bad_field" && message.contains("`amount` is -1"), "{message}");
    let (_, _, message) = world.fail("PUT", "/api/v2/rules", Some(r#"[{"name":"c","action":"hide"}]"#)).await;
    assert!(message.contains("[0].action"), "{message}");
    assert_eq!(world.get("/api/v2/rules").await["rules"][0]["name"], "a", "the old ones go on");

    assert_eq!(world.change("DELETE", "/api/v2/rules", "").await["rules"], json!([]));
    assert_eq!(ids(&world.get("/api/v2/recommend/u7?n=3").await), plain);
}

#[tokio::test]
async fn rules_outlast_the_service_and_its_feeds_where_there_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    let rules = r#"[{"name":"autumn","action":"pin","videos":["space4"]}]"#;
    let pinned = async |world: &World| ids(&world.get("/api/v2/recommend/u7?n=1").await) == ["space4"];
    let world = World::new();
    world.state.keep_rules_in(file.clone()).unwrap();
    assert!(!pinned(&world).await);
    assert_eq!(world.change("PUT", "/api/v2/rules", rules).await["durable"], true);
    assert!(pinned(&world).await);
    // The models were fitted again.
    world.state.publish(world::feed(std::sync::Arc::clone(world.state.store())));
    assert!(pinned(&world).await);

    let later = World::new();
    later.state.keep_rules_in(file.clone()).unwrap();
    assert!(pinned(&later).await);
    later.change("DELETE", "/api/v2/rules", "").await;
    assert!(!file.exists() && !pinned(&later).await);

    std::fs::write(&file, "[{]").unwrap();
    let error = World::new().state.keep_rules_in(file).unwrap_err().to_string();
    assert!(error.contains("rules.json") && error.contains("mend or remove"), "{error}");
}

#[tokio::test]
async fn with_a_key_rules_need_it() {
    let world = World::with(ServeConfig { key: Some("secret".into()), ..ServeConfig::default() });
    for method in ["GET", "PUT", "DELETE"] {
        let body = Some("[]").filter(|_| method == "PUT");
        assert_eq!(world.fail(method, "/api/v2/rules", body).await.0, 401, "{method}");
        let (status, answer) = world.ask(method, "/api/v2/rules", &[("x-api-key", "secret")], body).await;
        assert_eq!(status, 200, "{method}: {answer}");
    }
}

#[tokio::test]
async fn kinds_of_shelf_and_videos_to_begin_with_can_be_asked_for() {
    let world = World::new();
    let kinds = async |path: &str| -> Vec<Value> {
        let feed = world.get(path).await;
        feed["shelves"].as_array().unwrap().iter().map(|shelf| shelf["kind"].clone()).collect()
    };
    assert_eq!(kinds("/api/v2/feed/u7?n=2&kind=most_popular").await, ["most_popular"]);
    let more = world.get("/api/v2/feed/u7?n=2&kind=more_like&video=space1").await;
    assert_eq!(more["shelves"][0]["name"], "More like The space number 1");
    assert!(kinds("/api/v2/feed/u7?n=2").await.contains(&json!("top_picks")));

    let begin = world.get("/api/v2/onboarding?n=3").await;
    let videos = begin["videos"].as_array().unwrap();
    let genres: HashSet<&Value> = videos.iter().map(|video| &video["labels"]["genre"][0]).collect();
    assert_eq!((videos.len(), genres.len()), (3, 3), "one of each genre: {begin}");
    let before = ids(&world.get("/api/v2/recommend?n=3").await);
    let after = ids(&world.get("/api/v2/recommend?n=3&pick=space1&pick=space2&pick=space3&lambda=1").await);
    let of_space = |list: &[String]| list.iter().filter(|id| id.starts_with("space")).count();
    assert!(of_space(&after) > of_space(&before), "{before:?} {after:?}");
}
