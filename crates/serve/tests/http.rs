//! The service without a port: our own routes, Gorse's routes, limits, keys, and errors.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use upnext_serve::{About, AppState, ServeConfig, TasteMap};
use upnext_store::Memory;
use world::slow::Slow;
use world::{ODD, World, ids};

fn encoded(id: &str) -> String {
    id.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_item_at_once_are_all_kept() {
    let world = std::sync::Arc::new(World::new());
    let categories: Vec<String> = (0..16).map(|at| format!("shelf {at}")).collect();
    // Nobody has written the item yet, so each of them may be the first.
    for item in ["space1", "space2", "space3"] {
        let puts = categories.iter().map(|category| {
            let (world, path) = (
                std::sync::Arc::clone(&world),
                format!("/api/item/{item}/category/{}", category.replace(' ', "%20")),
            );
            tokio::spawn(async move { world.change("PUT", &path, "").await })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap();
        }
        let kept = world.get(&format!("/api/item/{item}")).await["Categories"].to_string();
        assert!(
            categories.iter().all(|category| kept.contains(&format!("\"{category}\""))),
            "{item}: {kept}"
        );
    }
}

#[tokio::test]
async fn a_like_takes_its_video_off_the_slate_and_raises_its_neighbours_in_the_next_answer() {
    let world = World::new();
    let before = ids(&world.get("/api/v2/recommend/new?n=18").await);
    assert_eq!(before.len(), 18);
    world.change("POST", "/api/v2/events", r#"[{"user":"new","video":"comedy2","action":"like"}]"#).await;
    let after = ids(&world.get("/api/v2/recommend/new?n=17").await);
    assert!(!after.contains(&"comedy2".to_owned()), "what was liked has been seen");
    let place = |list: &[String], id: &str| list.iter().position(|one| one == id).unwrap();
    for neighbour in ["comedy1", "comedy3", "comedy4"] {
        assert!(place(&after, neighbour) < place(&before, neighbour), "{neighbour}\n{before:?}\n{after:?}");
    }
    let plain = ids(&world.get("/api/v2/recommend/new?n=4&lambda=1").await);
    assert!(plain.iter().filter(|id| id.starts_with("comedy")).count() >= 3, "{plain:?}");
}

#[tokio::test]
async fn an_answer_explains_itself_and_is_found_again_by_its_id() {
    let world = World::new();
    world
        .change(
            "POST",
            "/api/v2/events",
            r#"[{"user":"ann","video":"crime1","action":"like","time":"2026-01-31T12:00:00Z"}]"#,
        )
        .await;
    let answer = world.get("/api/v2/recommend/ann?n=3&lambda=0.9").await;
    let item = &answer["items"][0];
    assert_eq!(
        item["title"].as_str().map(|title| title.starts_with("The crime number")),
        Some(true),
        "{item}"
    );
    assert_eq!(item["labels"], json!({"genre": ["crime"]}));
    let parts: f64 = item["parts"].as_object().unwrap().values().map(|part| part.as_f64().unwrap()).sum();
    assert!((parts - item["score"].as_f64().unwrap()).abs() < 1e-9, "parts add up: {item}");
    assert!(!item["sources"].as_array().unwrap().is_empty() && item["reason"]["text"].is_string());
    let stages: Vec<&str> = answer["trace"]["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["name"].as_str().unwrap())
        .collect();
    assert_eq!(stages, ["sources", "filters", "scorers", "rerank"]);
    assert_eq!((&answer["user"], &answer["failures"]), (&json!("ann"), &json!([])));
    assert!(answer["took_microseconds"].as_u64().unwrap() > 0);

    let again = world.get(&format!("/api/v2/trace/{}", answer["request_id"].as_str().unwrap())).await;
    assert_eq!(again, answer);
    assert_eq!(world.fail("GET", "/api/v2/trace/none", None).await.1, "unknown_request");
}

#[tokio::test]
async fn the_page_finds_all_it_asks_for() {
    let world = World::new();
    let feed = world.get("/api/v2/feed/nobody?n=4&pick=space1&pick=space2").await;
    let shelves = feed["shelves"].as_array().unwrap();
    assert!(!shelves.is_empty() && feed.get("items").is_none());
    assert!(
        shelves
            .iter()
            .all(|shelf| shelf["name"].is_string() && !shelf["items"].as_array().unwrap().is_empty())
    );
    assert!(shelves[0]["items"][0]["id"].as_str().unwrap().starts_with("space"), "{}", shelves[0]);

    let viewers = world.get("/api/v2/viewers?n=5").await;
    assert_eq!(viewers["viewers"].as_array().unwrap().len(), 5);
    assert!(viewers["viewers"][0]["id"].is_string() && viewers["viewers"][0]["events"].is_u64());

    let history = world.get("/api/v2/history/u7?n=2").await;
    assert_eq!((history["events"].as_array().unwrap().len(), &history["total"]), (2, &json!(6)));
    assert_eq!(world.get("/api/v2/history/nobody").await["events"], json!([]));

    let found = world.get("/api/v2/videos?query=space+number+3&n=5").await;
    assert_eq!(found["videos"][0]["id"], "space3");
    assert_eq!(world.get("/api/v2/videos").await["videos"].as_array().unwrap().len(), 10);

    assert_eq!(world.get("/api/v2/report").await, json!({"status": "running"}));
    world.state.set_report(json!({"models": []}));
    assert_eq!(world.get("/api/v2/report").await, json!({"models": []}));

    let about = world.get("/api/v2/about").await;
    assert_eq!(
        (&about["name"], &about["notice"], &about["ready"]),
        (&json!("small"), &json!("for tests only"), &json!(true))
    );

    let shown = world.get("/api/v2/explain?user=u7&video=crime1").await;
    assert_eq!(shown["verdict"], "shown", "number 1 is the one that viewer u7 has not seen: {shown}");
    let seen = world.get("/api/v2/explain?user=u7&video=crime2").await;
    assert_eq!(seen["verdict"], "filtered");
    assert_eq!(world.fail("GET", "/api/v2/explain?user=u7&video=none", None).await.0, 404);
}

#[tokio::test]
async fn the_map_is_absent_then_drawing_then_there() {
    let world = World::new();
    assert_eq!(world.get("/api/v2/map").await["status"], "absent");
    let (status, code, message) = world.fail("GET", "/api/v2/map/comedy1", None).await;
    assert_eq!((status, &code[..]), (404, "no_map"), "{message}");
    world.state.set_map(TasteMap::Drawing);
    assert_eq!(world.get("/api/v2/map").await["status"], "drawing");
    assert_eq!(world.fail("GET", "/api/v2/journey/u0", None).await.0, 503);

    world.state.set_map(TasteMap::Ready(Arc::new(world::map())));
    let map = world.get("/api/v2/map").await;
    assert_eq!((&map["status"], &map["groups"][1]), (&json!("ready"), &json!({"name": "crime", "n": 6})));
    assert_eq!(map["projections"][0]["places"].as_array().unwrap().len(), 3 * 18);
    let odd = world.get(&format!("/api/v2/map/{}", encoded(ODD))).await;
    assert_eq!((&odd["id"], &odd["near"][0][0]), (&json!(ODD), &json!("labels")));
    assert_eq!(world.fail("GET", "/api/v2/map/nothing", None).await.0, 404);
    let path = world.get("/api/v2/map/viewer/u0").await;
    assert_eq!((path["steps"].as_array().unwrap().len(), &path["total"]), (5, &json!(5)));
    assert!(path["recommended"].as_array().unwrap().iter().all(|video| video["point"].is_u64()));
    let journey = world.get("/api/v2/journey/u0").await;
    assert_eq!(journey["steps"][4]["slate"].as_array().unwrap().len(), 10);
    assert_eq!(world.get("/api/v2/journey/stranger").await["steps"], json!([]));
}

#[tokio::test]
async fn a_picture_is_there_with_a_tag_and_never_of_what_is_hidden() {
    let world = World::new();
    let pictures = [("space1", &b"a picture"[..]), (ODD, b"another"), ("stranger", b"of no video")];
    let pictures: HashMap<String, Vec<u8>> =
        pictures.map(|(id, jpeg)| (id.to_owned(), jpeg.to_vec())).into_iter().collect();
    assert_eq!(world.fail("GET", "/api/v2/videos/space1/picture", None).await.1, "no_picture");
    world.state.set_pictures(Arc::new(pictures));
    let get = async |id: &str, tag: Option<&str>| {
        let mut request = Request::get(format!("/api/v2/videos/{}/picture", encoded(id)));
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        world.send(request.body(Body::empty()).unwrap()).await
    };
    let (status, headers, bytes) = get("space1", None).await;
    assert_eq!((status, &bytes[..]), (StatusCode::OK, &b"a picture"[..]));
    assert_eq!(headers["content-type"], "image/jpeg");
    assert_eq!(headers["cache-control"], "no-cache");
    let tag = headers["etag"].to_str().unwrap();
    let (status, _, bytes) = get("space1", Some(tag)).await;
    assert_eq!((status, bytes.len()), (StatusCode::NOT_MODIFIED, 0));
    let (status, _, bytes) = get(ODD, Some(tag)).await;
    assert_eq!((status, &bytes[..]), (StatusCode::OK, &b"another"[..]), "the tag is that of another picture");

    let (status, code, message) = world.fail("GET", "/api/v2/videos/space2/picture", None).await;
    assert_eq!((status, &code[..]), (404, "no_picture"), "{message}");
    assert_eq!(world.fail("GET", "/api/v2/videos/stranger/picture", None).await.1, "unknown_item");

    // A page knows which to ask for.
    world.state.set_map(TasteMap::Ready(Arc::new(world::map())));
    for (id, has) in [("space1", true), ("space2", false)] {
        assert_eq!(world.get(&format!("/api/v2/map/{id}")).await["picture"], has);
        let found = world.get(&format!("/api/v2/videos?query=space+number+{}&n=1", &id[5..])).await;
        assert_eq!(found["videos"][0]["picture"], has, "{found}");
    }
    let feed = world.get("/api/v2/feed/nobody?n=20&pick=space3&pick=space2").await;
    let items =
        feed["shelves"].as_array().unwrap().iter().flat_map(|shelf| shelf["items"].as_array().unwrap());
    let with: Vec<_> = items.filter(|item| item["picture"] == true).map(|item| &item["id"]).collect();
    assert!(with.contains(&&json!("space1")) && with.iter().all(|id| **id == "space1" || **id == ODD));

    world.change("PATCH", "/api/item/space1", r#"{"IsHidden":true}"#).await;
    assert_eq!(world.fail("GET", "/api/v2/videos/space1/picture", None).await.1, "unknown_item");
    world.change("DELETE", &format!("/api/item/{}", encoded(ODD)), "").await;
    assert_eq!(get(ODD, None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_question_in_a_body_goes_by_its_picks() {
    let world = World::new();
    let body =
        r#"{"picks":["crime1","crime2"],"n":3,"exclude":["crime3"],"categories":["crime"],"diversity":0.1}"#;
    let answer = world.change("POST", "/api/v2/recommend", body).await;
    let ids = ids(&answer);
    assert_eq!(answer["user"], Value::Null);
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| id.starts_with("crime") && id != "crime3"), "{ids:?}");
    let (_, code, message) = world.fail("POST", "/api/v2/recommend", Some(r#"{"lamda":0.5}"#)).await;
    assert!(code == "bad_field" && message.contains("lamda"), "{message}");
    let both = r#"{"lambda":0.5,"diversity":0.9}"#;
    assert!(world.fail("POST", "/api/v2/recommend", Some(both)).await.2.contains("disagree"));
}

#[tokio::test]
async fn items_and_users_are_written_read_changed_and_deleted_as_gorse_does() {
    let world = World::new();
    let item = r#"{"ItemId":"fresh","IsHidden":false,"Categories":["space","new"],"Timestamp":"2026-01-01T00:00:00Z","Labels":{"mood":"dark"},"Comment":"Fresh"}"#;
    assert_eq!(world.change("POST", "/api/item", item).await, json!({"RowAffected": 1}));
    assert_eq!(world.get("/api/item/fresh").await, serde_json::from_str::<Value>(item).unwrap());
    assert!(ids(&world.get("/api/latest?n=3").await).contains(&"fresh".to_owned()));

    world.change("PATCH", "/api/item/fresh", r#"{"IsHidden":true,"Comment":"Gone"}"#).await;
    let changed = world.get("/api/item/fresh").await;
    assert_eq!(
        (&changed["IsHidden"], &changed["Comment"], &changed["Categories"]),
        (&json!(true), &json!("Gone"), &json!(["space", "new"]))
    );
    assert!(!ids(&world.get("/api/latest?n=18").await).contains(&"fresh".to_owned()));
    world.ask("PUT", "/api/item/fresh/category/odd%2Fone", &[], None).await;
    world.ask("DELETE", "/api/item/fresh/category/new", &[], None).await;
    assert_eq!(world.get("/api/item/fresh").await["Categories"], json!(["space", "odd/one"]));
    assert_eq!(world.change("DELETE", "/api/item/fresh", "null").await, json!({"RowAffected": 1}));
    assert_eq!(world.fail("GET", "/api/item/fresh", None).await.1, "unknown_item");
    assert_eq!(world.change("DELETE", "/api/item/fresh", "").await, json!({"RowAffected": 0}));

    let users = r#"[{"UserId":"ann","Labels":{"a":1},"Comment":"x"},{"UserId":"bob"}]"#;
    assert_eq!(world.change("POST", "/api/users", users).await, json!({"RowAffected": 2}));
    world.change("PATCH", "/api/user/ann", r#"{"Comment":"y"}"#).await;
    assert_eq!(
        world.get("/api/user/ann").await,
        json!({"UserId": "ann", "Labels": {"a": 1}, "Comment": "y"})
    );
    let page = world.get("/api/users?n=1").await;
    assert_eq!((&page["Users"][0]["UserId"], &page["Cursor"]), (&json!("ann"), &json!("ann")));
    let rest = world.get("/api/users?n=1&cursor=ann").await;
    assert_eq!((&rest["Users"][0]["UserId"], &rest["Cursor"]), (&json!("bob"), &json!("")));
    assert_eq!(world.change("DELETE", "/api/user/bob", "").await, json!({"RowAffected": 1}));
    assert_eq!(world.fail("GET", "/api/user/bob", None).await.0, 404);
}

#[tokio::test]
async fn an_item_or_user_of_the_run_is_there_without_having_been_written_and_can_be_changed() {
    let world = World::new();
    assert_eq!(world.get("/api/user/u3").await["UserId"], "u3");
    let item = world.get("/api/item/space1").await;
    assert_eq!((&item["Comment"], &item["Categories"]), (&json!("The space number 1"), &json!(["space"])));
    world.change("PATCH", "/api/item/space1", r#"{"IsHidden":true}"#).await;
    let item = world.get("/api/item/space1").await;
    assert_eq!((&item["IsHidden"], &item["Comment"]), (&json!(true), &json!("The space number 1")));
    assert!(!ids(&world.get("/api/v2/recommend/nobody?n=18").await).contains(&"space1".to_owned()));

    world.change("DELETE", "/api/item/space2", "").await;
    assert_eq!(world.fail("GET", "/api/item/space2", None).await.0, 404);
    assert!(!ids(&world.get("/api/v2/recommend/nobody?n=18").await).contains(&"space2".to_owned()));
    world.change("DELETE", "/api/user/u3", "").await;
    assert_eq!(world.fail("GET", "/api/user/u3", None).await.0, 404);
    assert_eq!(world.get("/api/v2/history/u3").await["total"], 0, "who was deleted is a stranger");
}

#[tokio::test]
async fn feedback_adds_with_post_replaces_with_put_and_is_listed_by_its_key() {
    let world = World::new();
    let row = |value: f64| {
        json!([{"FeedbackType": "read", "UserId": "ann", "ItemId": "space1", "Value": value, "Timestamp": "2024-05-01"}]).to_string()
    };
    world.change("POST", "/api/feedback", &row(0.5)).await;
    world.change("POST", "/api/feedback", &row(0.25)).await;
    let one = world.get("/api/feedback/read/ann/space1").await;
    assert_eq!((&one["Value"], &one["Timestamp"]), (&json!(0.75), &json!("2024-05-01T00:00:00Z")));
    world.change("PUT", "/api/feedback", &row(0.1)).await;
    assert_eq!(world.get("/api/feedback/ann/space1").await[0]["Value"], 0.1);
    world
        .change("POST", "/api/feedback", r#"[{"FeedbackType":"like","UserId":"ann","ItemId":"space1"}]"#)
        .await;

    assert_eq!(world.get("/api/user/ann/feedback").await.as_array().unwrap().len(), 2);
    assert_eq!(world.get("/api/user/ann/feedback/like").await.as_array().unwrap().len(), 1);
    assert_eq!(world.get("/api/item/space1/feedback").await.as_array().unwrap().len(), 2);
    assert_eq!(world.get("/api/item/space1/feedback/read").await.as_array().unwrap().len(), 1);
    let page = world.get("/api/feedback?n=1").await;
    assert_eq!(page["Feedback"][0]["FeedbackType"], "read");
    let next = world.get(&format!("/api/feedback?n=1&cursor={}", page["Cursor"].as_str().unwrap())).await;
    assert_eq!((&next["Feedback"][0]["FeedbackType"], &next["Cursor"]), (&json!("like"), &json!("")));
    assert_eq!(world.get("/api/feedback/like").await["Feedback"].as_array().unwrap().len(), 1);
    assert_eq!(world.fail("GET", "/api/feedback?cursor=x", None).await.1, "bad_cursor");
    assert_eq!(world.fail("GET", "/api/feedback/hate/ann/space1", None).await.0, 404);

    assert_eq!(world.change("DELETE", "/api/feedback/like/ann/space1", "").await, json!({"RowAffected": 1}));
    assert_eq!(world.change("DELETE", "/api/feedback/ann/space1", "").await, json!({"RowAffected": 1}));
    assert_eq!(world.get("/api/user/ann/feedback").await, json!([]));
    assert_eq!(world.get("/api/user/ann").await["UserId"], "ann", "feedback adds its user");
}

#[tokio::test]
async fn feedback_on_an_unknown_item_adds_it_unless_that_is_switched_off() {
    let row = r#"[{"FeedbackType":"like","UserId":"ann","ItemId":"unheard","Value":1}]"#;
    let world = World::new();
    world.change("POST", "/api/feedback", row).await;
    assert_eq!(world.get("/api/item/unheard").await["ItemId"], "unheard");
    world.change("POST", "/api/feedback", &row.replace("unheard", "space1")).await;
    assert_eq!(
        world.get("/api/items?n=9").await["Items"].as_array().unwrap().len(),
        1,
        "the run's items stay as they are"
    );

    let world = World::with(ServeConfig { auto_insert_items: false, ..ServeConfig::default() });
    world.change("POST", "/api/feedback", row).await;
    assert_eq!(world.fail("GET", "/api/item/unheard", None).await.0, 404);
}

#[tokio::test]
async fn gorse_s_lists_speak_gorse() {
    let world = World::new();
    let plain = world.get("/api/recommend/u7?n=3").await;
    assert!(plain.as_array().unwrap().iter().all(Value::is_string), "{plain}");
    let (_, scored) = world.ask("GET", "/api/recommend/u7?n=3", &[("x-api-version", "2")], None).await;
    assert!(scored[0]["Id"].is_string() && scored[0]["Score"].is_f64(), "{scored}");
    assert_eq!(ids(&plain), ids(&scored));
    for path in ["/api/recommend/u7?n=9&category=space", "/api/recommend/u7/space?n=9"] {
        assert!(ids(&world.get(path).await).iter().all(|id| id.starts_with("space")), "{path}");
    }
    assert_eq!(
        world.get("/api/recommend/u7?category=space&category=crime").await,
        json!([]),
        "categories are joined by AND"
    );

    let near = ids(&world.get("/api/item/space1/neighbors?n=3").await);
    assert!(near.iter().all(|id| id.starts_with("space") && id != "space1"), "{near:?}");
    assert_eq!(ids(&world.get("/api/item-to-item/neighbors/space1?n=3").await), near);
    assert_eq!(ids(&world.get("/api/item/space1/neighbors?n=2&offset=1").await), near[1..]);
    let seen = world.get("/api/item/space1/neighbors?n=9&user-id=u14").await;
    assert!(!ids(&seen).contains(&"space3".to_owned()), "user-id leaves out what was seen: {seen}");
    assert_eq!(world.fail("GET", "/api/item/none/neighbors", None).await.1, "unknown_item");

    let users = ids(&world.get("/api/user/u7/neighbors?n=3").await);
    assert!(users.iter().all(|id| ["u6", "u8", "u9", "u10", "u11"].contains(&id.as_str())), "{users:?}");
    assert_eq!(ids(&world.get("/api/user-to-user/neighbors/u7?n=3").await), users);
    assert_eq!(world.fail("GET", "/api/user/nobody/neighbors", None).await.1, "unknown_user");

    let popular = ids(&world.get("/api/popular?n=18").await);
    assert_eq!((popular.len(), popular[0].as_str()), (18, "comedy0"));
    assert_eq!(ids(&world.get("/api/non-personalized/popular?n=18").await), popular);
    assert!(ids(&world.get("/api/popular/space?n=18").await).iter().all(|id| id.starts_with("space")));
    assert_eq!(ids(&world.get("/api/non-personalized/latest?n=1").await), ["space5"]);
    assert_eq!(world.fail("GET", "/api/non-personalized/odd", None).await.1, "unknown_recommender");
    assert_eq!(ids(&world.get("/api/collaborative-filtering/u7?n=3").await), ids(&plain));
}

#[tokio::test]
async fn a_session_is_answered_and_not_stored() {
    let world = World::new();
    let session = r#"[{"FeedbackType":"like","UserId":"","ItemId":"space1","Timestamp":""},{"FeedbackType":"hate","UserId":"s","ItemId":"space2"}]"#;
    let answer = world.change("POST", "/api/session/recommend?n=3", session).await;
    assert!(answer[0]["Score"].is_f64());
    let answer = ids(&answer);
    assert!(answer[0].starts_with("space"), "{answer:?}");
    assert!(!answer.contains(&"space1".to_owned()) && !answer.contains(&"space2".to_owned()), "{answer:?}");
    assert_eq!(world.state.store().counts().unwrap().feedback, 0);
}

#[tokio::test]
async fn what_is_written_back_is_seen_and_says_nothing_of_taste() {
    let world = World::new();
    let first = ids(&world.get("/api/recommend/ann?n=3&write-back-type=read").await);
    let second = ids(&world.get("/api/recommend/ann?n=3").await);
    assert!(first.iter().all(|id| !second.contains(id)), "{first:?} {second:?}");
    let history = world.get("/api/v2/history/ann").await;
    assert!(
        history["events"].as_array().unwrap().iter().all(|event| event["judgement"] == "neutral"),
        "{history}"
    );

    world.get("/api/recommend/bob?n=3&write-back-type=read&write-back-delay=10m").await;
    let row = &world.get("/api/user/bob/feedback").await[0];
    assert_eq!(world.get("/api/v2/history/bob").await["total"], 0, "it counts in ten minutes");
    assert!(row["Timestamp"].as_str().unwrap() > jiff::Timestamp::now().to_string().as_str(), "{row}");
    assert_eq!(
        world.fail("GET", "/api/recommend/bob?write-back-type=read&write-back-delay=soon", None).await.0,
        400
    );
}

#[tokio::test]
async fn ids_with_odd_characters_go_all_the_way() {
    let world = World::new();
    let (video, user) = (encoded(ODD), encoded("a/b c?d#é\u{1F980}"));
    assert_eq!(world.get(&format!("/api/item/{video}")).await["ItemId"], ODD);
    let event = json!([{"user": "a/b c?d#é\u{1F980}", "video": ODD, "action": "like"}]);
    world.change("POST", "/api/v2/events", &event.to_string()).await;
    let history = world.get(&format!("/api/v2/history/{user}")).await;
    assert_eq!(history["events"][0]["video"], ODD);
    let near = ids(&world.get(&format!("/api/item/{video}/neighbors?n=3")).await);
    assert!(near.iter().all(|id| id.starts_with("crime")), "{near:?}");
    assert_eq!(world.get(&format!("/api/feedback/{user}/{video}")).await[0]["ItemId"], ODD);
    assert!(!ids(&world.get(&format!("/api/recommend/{user}?n=18")).await).contains(&ODD.to_owned()));
    assert_eq!(
        world.change("DELETE", &format!("/api/feedback/like/{user}/{video}"), "").await["RowAffected"],
        1
    );
    assert_eq!(world.fail("GET", "/api/item/%FF%FE", None).await.0, 400, "not UTF-8");
}

#[tokio::test]
async fn bad_input_is_named_and_nothing_of_it_is_written() {
    let world = World::with(ServeConfig {
        body_bytes_max: 2_000,
        question_bytes_max: 1_000,
        batch_max: 5,
        id_bytes_max: 20,
        ..ServeConfig::default()
    });
    let good = r#"{"FeedbackType":"like","UserId":"ann","ItemId":"space1","Value":1}"#;
    let many = format!("[{}]", [good; 6].join(","));
    let long = "x".repeat(21);
    let cases = [
        ("POST", "/api/feedback", Some("[{\"FeedbackType\":".into()), 400, "bad_json", "line 1 column 17"),
        ("POST", "/api/feedback", Some(String::new()), 400, "bad_json", "EOF"),
        ("POST", "/api/feedback", Some("[]x".into()), 400, "bad_json", "goes on"),
        ("POST", "/api/feedback", Some("{}".into()), 400, "bad_field", "expected a sequence"),
        (
            "POST",
            "/api/feedback",
            Some(format!("[{good},{}]", good.replace(":1}", ":\"much\"}"))),
            400,
            "bad_field",
            "[1].Value",
        ),
        (
            "POST",
            "/api/feedback",
            Some(format!("[{}]", good.replace("\"ann\"", "7"))),
            400,
            "bad_field",
            "[0].UserId",
        ),
        (
            "POST",
            "/api/feedback",
            Some(format!("[{}]", good.replace("ItemId", "Item"))),
            400,
            "bad_field",
            "missing field `ItemId`",
        ),
        (
            "POST",
            "/api/feedback",
            Some(format!("[{good},{}]", good.replace("ann", ""))),
            400,
            "bad_id",
            "user of row 1 is empty",
        ),
        (
            "POST",
            "/api/feedback",
            Some(format!("[{good},{}]", good.replace("ann", &long))),
            400,
            "bad_id",
            "21 bytes",
        ),
        (
            "POST",
            "/api/feedback",
            Some(format!("[{}]", good.replace(":1}", ":1,\"Timestamp\":\"soon\"}"))),
            400,
            "bad_field",
            "[0].Timestamp",
        ),
        (
            "POST",
            "/api/feedback",
            Some(format!("[{}]", good.replace(":1}", ":1,\"Timestamp\":-5}"))),
            400,
            "bad_time",
            "before 1970",
        ),
        (
            "POST",
            "/api/feedback",
            Some(format!("[{}]", good.replace(":1}", ":1,\"Timestamp\":\"9000-01-01\"}"))),
            400,
            "bad_time",
            "ahead",
        ),
        ("POST", "/api/feedback", Some(many), 400, "too_many", "6 rows"),
        ("POST", "/api/feedback", Some(format!("[{}]", " ".repeat(3_000))), 413, "too_large", "2000 bytes"),
        (
            "POST",
            "/api/v2/events",
            Some(r#"[{"user":"ann","video":"v","action":"like","what":1}]"#.into()),
            400,
            "bad_field",
            "what",
        ),
        (
            "POST",
            "/api/v2/events",
            Some(r#"[{"user":"ann","video":"v","action":""}]"#.into()),
            400,
            "bad_id",
            "kind of row 0 is empty",
        ),
        (
            "POST",
            "/api/v2/events",
            Some(r#"[{"user":"ann","video":"v","action":"like","value":1e999}]"#.into()),
            400,
            "bad_json",
            "out of range",
        ),
        ("GET", "/api/v2/recommend/ann?n=0", None, 400, "bad_parameter", "from 1 to 500"),
        ("GET", "/api/v2/recommend/ann?n=501", None, 400, "bad_parameter", "501"),
        ("GET", "/api/v2/recommend/ann?n=-1", None, 400, "bad_parameter", "-1"),
        ("GET", "/api/v2/recommend/ann?n=ten", None, 400, "bad_parameter", "ten"),
        (
            "GET",
            "/api/v2/recommend/ann?n=10&offset=99999999999999999999",
            None,
            400,
            "bad_parameter",
            "offset",
        ),
        ("GET", "/api/v2/recommend/ann?lambda=2", None, 400, "bad_parameter", "from 0 to 1"),
        ("GET", "/api/v2/recommend/ann?lambda=NaN", None, 400, "bad_parameter", "lambda"),
        ("GET", "/api/v2/recommend/ann?lamda=0.5", None, 400, "unknown_parameter", "lamda"),
        ("GET", "/api/v2/explain?user=ann", None, 400, "missing_parameter", "video"),
        ("GET", "/api/recommend/ann?n=0", None, 400, "bad_parameter", "`n`"),
        ("GET", "/api/users?n=10001", None, 400, "bad_parameter", "10000"),
        ("POST", "/api/v2/recommend", Some(r#"{"n":0}"#.into()), 400, "bad_parameter", "`n`"),
        ("POST", "/api/v2/recommend", Some(" ".repeat(1_001)), 413, "too_large", "1000 bytes"),
        ("GET", "/api/nothing", None, 404, "no_such_route", "/api/nothing"),
        ("GET", "/nothing/at/all", None, 404, "no_such_route", "nothing"),
        ("DELETE", "/api/recommend/ann", None, 405, "wrong_method", "DELETE"),
        ("GET", "/api/session/recommend", None, 405, "wrong_method", "GET"),
    ];
    for (method, path, body, status, code, said) in cases {
        let (found, found_code, message) = world.fail(method, path, body.as_deref()).await;
        assert_eq!((found, found_code.as_str()), (status, code), "{method} {path} {body:?}: {message}");
        assert!(message.contains(said), "{method} {path} {body:?}: {message:?} does not say {said:?}");
    }
    assert_eq!(world.state.store().counts().unwrap().feedback, 0);
}

#[tokio::test]
async fn a_stranger_gets_a_normal_answer_and_a_named_one_404() {
    let world = World::new();
    assert_eq!(ids(&world.get("/api/v2/recommend/nobody").await).len(), 10);
    assert_eq!(ids(&world.get("/api/recommend/nobody").await).len(), 10);
    assert_eq!(world.fail("GET", "/api/user/nobody", None).await.1, "unknown_user");
    assert_eq!(world.fail("GET", "/api/item/nothing", None).await.1, "unknown_item");
    assert_eq!(world.fail("PATCH", "/api/item/nothing", Some("{}")).await.1, "unknown_item");
    assert_eq!(world.fail("PATCH", "/api/user/nobody", Some("{}")).await.1, "unknown_user");
}

#[tokio::test]
async fn with_a_key_everything_needs_it_unless_reads_are_open() {
    let world = World::with(ServeConfig { key: Some("secret".into()), ..ServeConfig::default() });
    let event = r#"[{"user":"ann","video":"space1","action":"like"}]"#;
    for (method, path, body) in [
        ("POST", "/api/v2/events", Some(event)),
        ("POST", "/api/user", Some("{}")),
        ("PATCH", "/api/item/space1", Some("{}")),
        ("DELETE", "/api/user/u1", None),
        ("PUT", "/api/feedback", Some("[]")),
        ("GET", "/api/users", None),
        ("GET", "/api/user/u1", None),
        ("GET", "/api/feedback", None),
        ("GET", "/api/recommend/ann?write-back-type=read", None),
    ] {
        for headers in [&[][..], &[("x-api-key", "wrong")], &[("x-api-key", "")]] {
            let (status, json) = world.ask(method, path, headers, body).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {json}");
        }
        let (status, json) = world.ask(method, path, &[("x-api-key", "secret")], body).await;
        assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {json}");
    }
    assert_eq!(world.fail("GET", "/api/v2/recommend/ann", None).await.0, 401);
    world.get("/api/health/live").await;
    let open = ServeConfig { key: Some("secret".into()), open_reads: true, ..ServeConfig::default() };
    let world = World::with(open);
    world.get("/api/v2/recommend/ann").await;
    world.get("/api/v2/about").await;
    world.change("POST", "/api/session/recommend", "[]").await;
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_write_nor_read() {
    let world = World::new();
    let event = Some(r#"[{"user":"ann","video":"space1","action":"like"}]"#);
    let host = ("host", "127.0.0.1:8088");
    for headers in [
        &[host, ("origin", "https://evil.example")][..],
        &[host, ("origin", "null")],
        &[host, ("origin", "http://127.0.0.1:9999")],
        &[host, ("sec-fetch-site", "cross-site")],
        &[host, ("sec-fetch-site", "same-site")],
        &[("host", "evil.example")],
    ] {
        let (status, json) = world.ask("POST", "/api/v2/events", headers, event).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{headers:?}: {json}");
    }
    let (status, _) = world.ask("GET", "/api/users", &[("host", "evil.example:8088")], None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a name that points here");
    let image = "/api/recommend/ann?write-back-type=read";
    let (status, _) = world.ask("GET", image, &[host, ("sec-fetch-site", "cross-site")], None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "an image elsewhere");
    assert_eq!(world.state.store().counts().unwrap().feedback, 0);

    for headers in [
        &[host][..],
        &[host, ("origin", "http://127.0.0.1:8088"), ("sec-fetch-site", "same-origin")],
        &[("host", "localhost:1"), ("origin", "http://localhost:1")],
        &[("host", "[::1]:1")],
    ] {
        let (status, json) = world.ask("POST", "/api/v2/events", headers, event).await;
        assert_eq!(status, StatusCode::OK, "{headers:?}: {json}");
    }
    let behind = World::with(ServeConfig { hosts: vec!["films.example".into()], ..ServeConfig::default() });
    let (status, _) = behind.ask("GET", "/api/users", &[("host", "films.example")], None).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn until_there_is_a_feed_requests_are_told_to_come_back_and_writes_are_taken() {
    let store = Arc::new(Memory::default());
    let state = AppState::new(store.clone(), ServeConfig::default(), About::default()).unwrap();
    let world = World::of(state);
    assert_eq!(world.fail("GET", "/api/v2/feed/ann", None).await.0, 503);
    assert_eq!(world.fail("GET", "/api/recommend/ann", None).await.1, "not_ready");
    assert_eq!(world.ask("GET", "/api/health/ready", &[], None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.get("/api/health/live").await["Ready"], false);
    assert_eq!(world.get("/api/v2/about").await["ready"], false);
    world.change("POST", "/api/v2/events", r#"[{"user":"ann","video":"space1","action":"like"}]"#).await;
    world.state.publish(world::feed(store));
    assert_eq!(world.get("/api/health/ready").await["Ready"], true);
    assert_eq!(world.get("/api/v2/history/ann").await["total"], 1);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let world = World::new();
    world.change("POST", "/api/v2/events", r#"[{"user":"ann","video":"space1","action":"like"},{"user":"ann","video":"space2","action":"teleport"}]"#).await;
    world.get("/api/v2/recommend/ann").await;
    world.fail("GET", "/api/v2/recommend/ann?n=0", None).await;
    let request = axum::http::Request::get("/metrics").body(axum::body::Body::empty()).unwrap();
    let (_, headers, bytes) = world.send(request).await;
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(bytes).unwrap();
    for line in [
        "upnext_request_duration_seconds_count{route=\"/api/v2/recommend/{user}\",status=\"200\"} 1",
        "upnext_request_duration_seconds_count{route=\"/api/v2/recommend/{user}\",status=\"400\"} 1",
        "upnext_stage_duration_seconds_count{stage=\"sources\"} 1",
        "upnext_events_total{type=\"like\"} 1",
        "upnext_events_total{type=\"other\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(
        text.contains("upnext_candidates{source=\"markov\"}")
            && text.contains("upnext_filtered_total{filter=")
    );
}

#[tokio::test]
async fn the_description_is_read_by_its_own_page() {
    let world = World::new();
    let described = world.get("/apidocs.json").await;
    assert!(described["openapi"].as_str().unwrap().starts_with("3."));
    assert_eq!(described["paths"]["/api/v2/events"]["post"]["security"], json!([{"key": ["write"]}]));
    for path in ["/apidocs", "/apidocs.js", "/"] {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let (status, headers, bytes) = world.send(request).await;
        assert_eq!(status, StatusCode::OK);
        assert!(headers.contains_key("content-security-policy") && !bytes.is_empty(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_told_so_and_readers_beyond_the_bound_wait() {
    let (store, held) = Slow::new();
    let store = Arc::new(store);
    let config = ServeConfig { request_milliseconds_max: 100, reads_max: 1, ..ServeConfig::default() };
    let world = World::of(AppState::new(store, config, About::default()).unwrap());
    let (status, code, message) = world.fail("GET", "/api/user/ann", None).await;
    assert_eq!((status, code.as_str()), (503, "too_slow"), "{message}");
    // The first still holds the only place, so this one never begins.
    assert_eq!(world.fail("GET", "/api/user/bob", None).await.0, 503);
    let event = Some(r#"[{"user":"ann","video":"space1","action":"like"}]"#);
    assert_eq!(world.fail("POST", "/api/v2/events", event).await.0, 503, "writes have places of their own");
    held.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.fail("GET", "/api/user/ann", None).await.0, 404);
}
