//! What a viewer is not shown.

use std::collections::HashSet;

use upnext_store::Store;

use crate::testing::{DAY, NOW, World, feedback, ids, request, video};
use crate::{Expression, FeedConfig, FilterConfig, Request, Verdict};

fn shown(world: &World, request: &Request) -> HashSet<String> {
    let response = world.feed.recommend(request);
    assert!(response.failures.is_empty(), "{:?}", response.failures);
    ids(&response).into_iter().map(String::from).collect()
}

fn filter(text: &str) -> Option<Expression> {
    Some(Expression::parse(text, FilterConfig::default().limits()).unwrap())
}

/// Why a video is not shown: the filter that explains it.
fn refused_by(world: &World, request: &Request, video: &str) -> String {
    let told = world.feed.explain(request, video);
    assert_eq!(told.verdict, Verdict::Filtered, "{}", told.text);
    told.text
}

#[test]
fn what_was_seen_long_ago_comes_back_where_that_is_set_and_what_was_refused_never() {
    let ask = |repeat_after_days, now| {
        let world = World::with(FeedConfig { repeat_after_days, ..FeedConfig::default() }, Vec::new());
        let told = [
            ("watch", "crime0", 11),
            ("watch", "crime1", 9),
            ("hate", "crime2", 11),
            ("watch", "crime3", 11),
        ];
        for (kind, video, days) in told {
            world
                .store
                .append(&[feedback(kind, "x", video, NOW - days * DAY)], upnext_store::Write::Overwrite)
                .unwrap();
        }
        // Seen again since.
        world
            .store
            .append(&[feedback("read", "x", "crime3", NOW - DAY)], upnext_store::Write::Overwrite)
            .unwrap();
        let shown = shown(&world, &Request { now, ..request("x", 50) });
        ["crime0", "crime1", "crime2", "crime3"].map(|id| shown.contains(id))
    };
    assert_eq!(ask(0.0, NOW), [false; 4]);
    assert_eq!(ask(10.0, NOW), [true, false, false, false]);
    // A clock that went back makes nothing older, and `x` has not done yet what lies ahead of it.
    assert_eq!(ask(10.0, NOW - 2 * DAY), [false; 4]);
    assert_eq!(ask(10.0, i64::MIN), [true; 4], "nothing was seen before everything");
}

#[test]
fn a_blocked_author_is_gone_until_the_block_is_taken_back() {
    let world = World::new();
    world
        .store
        .put_videos(&[upnext_store::StoredVideo {
            labels: serde_json::json!({"creator": "maker2"}),
            ..video("fresh", Some(NOW - 1), &[])
        }])
        .unwrap();
    let all = request("x", 50);
    assert!(shown(&world, &all).contains("fresh"));
    world.tell("block_author", "x", "crime2");
    let left = shown(&world, &all);
    assert!(
        left.len() == 12 && !left.contains("fresh") && left.iter().all(|id| !id.ends_with('2')),
        "{left:?}"
    );
    assert!(refused_by(&world, &all, "comedy2").ends_with("removed by the filter blocked-author"));
    world.store.delete_feedback(Some("block_author"), "x", "crime2").unwrap();
    assert!(shown(&world, &all).contains("fresh"));

    let asked = Request { block_authors: vec!["maker0".into(), "nobody".into()], ..all };
    assert!(shown(&world, &asked).iter().all(|id| !id.ends_with('0')));
}

#[test]
fn language_region_and_age_are_read_from_labels_and_what_has_none_stays_unless_that_is_strict() {
    // In this world a genre is a language and a region, and the number of a video its age.
    let kinds = |name: &str| vec![name.to_string()];
    let config = |strict: &[&str]| FeedConfig {
        filters: FilterConfig {
            language_kinds: kinds("genre"),
            region_kinds: kinds("genre"),
            age_kinds: kinds("tag"),
            strict: strict.iter().map(|name| (*name).to_string()).collect(),
            ..FilterConfig::default()
        },
        ..FeedConfig::default()
    };
    for (strict, has_fresh) in [(&[][..], true), (&["language", "region", "age"], false)] {
        let world = World::with(config(strict), Vec::new());
        world.store.put_videos(&[video("fresh", Some(NOW - 1), &[])]).unwrap();
        let spoken = Request { language: Some("crime".into()), ..request("x", 50) };
        let there = Request { region: Some("Crime".into()), ..request("x", 50) };
        let young = Request { age_max: Some(1), ..request("x", 50) };
        for asked in [&spoken, &there] {
            let shown = shown(&world, asked);
            assert!((0..5).all(|at| shown.contains(&format!("crime{at}"))), "{shown:?}");
            assert_eq!((shown.len(), shown.contains("fresh")), (5 + usize::from(has_fresh), has_fresh));
        }
        let few = shown(&world, &young);
        assert!(few.contains("space1") && !few.contains("space2"), "{few:?}");
        assert_eq!((few.len(), few.contains("fresh")), (6 + usize::from(has_fresh), has_fresh));
        assert!(refused_by(&world, &spoken, "space1").ends_with("the filter language"));
        assert!(refused_by(&world, &there, "space1").ends_with("the filter region"));
        assert!(refused_by(&world, &young, "space2").ends_with("the filter age"));
    }
}

#[test]
fn categories_mean_all_of_them_and_a_bar_either() {
    let world = World::new();
    let of = |categories: &[&str]| {
        let categories = categories.iter().map(|name| (*name).to_string()).collect();
        shown(&world, &Request { categories, ..request("x", 50) }).len()
    };
    assert_eq!(
        [of(&["Comedy|Crime"]), of(&["Comedy|Crime", "tag:1|tag:2"]), of(&["Opera|Crime"])],
        [10, 4, 5]
    );
}

#[test]
fn an_expression_is_obeyed_to_the_last_row_and_to_none() {
    let config = FeedConfig { candidates_per_source: 1, ..FeedConfig::default() };
    let world = World::with(config, Vec::new());
    let ask = |text| Request { filter: filter(text), ..request("x", 50) };
    assert_eq!(
        shown(&world, &ask("genre:Comedy and not (tag:4 or year < 1993)")),
        HashSet::from(["comedy3".into()])
    );
    assert_eq!(shown(&world, &ask("planet:Mars")), HashSet::new());
    assert_eq!(shown(&world, &ask("not planet:Mars")).len(), 15);
    assert!(refused_by(&world, &ask("genre:Crime"), "space1").ends_with("the filter expression"));
    // The store's word counts at once, though answers are remembered.
    world.store.put_videos(&[video("fresh", Some(NOW), &["Comedy"])]).unwrap();
    assert!(shown(&world, &ask("genre:Comedy")).contains("fresh"));
    // More than there is: everything, once.
    let everything = world.feed.recommend(&Request { n: usize::MAX, ..request("x", 0) });
    assert_eq!(everything.slate.len(), 16);
    assert!(world.feed.recommend(&Request { offset: 900, ..request("x", 50) }).slate.is_empty());
}
