//! The order after the models have spoken.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use upnext_data::{Action, Dataset, Event, Events, Order, Relevance};
use upnext_math::Matrix;
use upnext_models::zoo::Fusion;

use crate::scorer::Actions;
use crate::testing::{World, dataset, ids, request};
use crate::{
    ActionRates, ActionWeights, ActionsConfig, FeedConfig, ReasonKind, Request, Response, ShelfKind,
};

fn plain(user: &str, n: usize) -> Request {
    Request { lambda: Some(1.0), ..request(user, n) }
}

#[test]
fn of_near_duplicates_only_the_first_stands_within_a_window() {
    // Videos of one genre are the same.
    let axes = (0..15).flat_map(|row| (0..3).map(move |axis| if row / 5 == axis { 1.0 } else { 0.0 }));
    let fused = Arc::new(Fusion::of_vectors(&Matrix::from_rows(15, 3, axes.collect()), 1.0));
    let ask = |near_duplicate, near_duplicate_window| {
        let config = FeedConfig { near_duplicate, near_duplicate_window, ..FeedConfig::default() };
        let world = World::varied_by(Some(fused.clone()), config, Vec::new());
        let response = world.feed.recommend(&plain("stranger", 15));
        let genres = ids(&response).into_iter().map(|id| id[..id.len() - 1].to_string());
        genres.collect::<Vec<_>>()
    };
    let differ = |window: &[String]| HashSet::<&String>::from_iter(window).len() == window.len();
    let (before, after) = (ask(0.0, 2), ask(0.99, 2));
    assert!(!before.windows(3).all(differ), "{before:?}");
    assert!(after.windows(3).all(differ), "{after:?}");
    // Where nothing else is left, they follow: the list is full.
    let wide = ask(0.99, 20);
    assert!(wide.len() == 15 && differ(&wide[..3]) && !differ(&wide[..4]), "{wide:?}");
}

#[test]
fn the_next_video_of_an_author_keeps_a_part_of_its_score_and_never_less_than_the_floor() {
    let ask = |author_decay, author_floor| {
        let config = FeedConfig { author_decay, author_floor, ..FeedConfig::default() };
        World::with(config, Vec::new()).feed.recommend(&plain("stranger", 15)).slate
    };
    let (before, after) = (ask(1.0, 0.0), ask(0.5, 0.2));
    assert!(before.iter().all(|slot| slot.parts.iter().all(|(part, _)| part != "author")));
    let least = before.iter().map(|slot| slot.score).fold(f64::INFINITY, f64::min);
    let mut kept = BTreeMap::<&str, Vec<f64>>::new();
    for slot in &before {
        let later = after.iter().find(|later| later.video == slot.video).unwrap();
        let share = if slot.score > least { (later.score - least) / (slot.score - least) } else { f64::NAN };
        kept.entry(&slot.video[slot.video.len() - 1..]).or_default().push(share);
    }
    // Three videos of each maker, best first: 1, 0.8 * 0.5 + 0.2, 0.8 * 0.25 + 0.2.
    for shares in kept.values() {
        let expected = [1.0, 0.6, 0.4];
        assert!(
            shares.iter().zip(expected).all(|(share, e)| share.is_nan() || (share - e).abs() < 1e-9),
            "{shares:?}"
        );
    }
}

#[test]
fn weights_of_actions_add_what_people_do_with_a_video_on_the_scale_of_the_models() {
    let mut world = World::new();
    // As this world, but that everybody kept `space2` and half of them refused `space3`.
    let small = dataset();
    let mut events = Events::new();
    small.events().iter().for_each(|event| events.push(event));
    for user in 0..15 {
        let event = |video, action| Event { user, video, action, time: 1, value: None, ratio: None };
        events.push(event(12, Action::Collect));
        events.push(event(13, if user % 2 == 0 { Action::Hate } else { Action::Like }));
    }
    let told = Dataset::new("told", small.users.clone(), small.videos.clone(), events, Order::Timed, None);
    let rates = Arc::new(ActionRates::new(Arc::new(told), Relevance::default(), 1.0));
    let scorers = &mut world.feed.pipeline.scorers;
    let at = scorers.iter().position(|scorer| scorer.name() == "actions").unwrap();
    scorers[at] = Box::new(Actions::new(rates, ActionWeights::default(), 1.0));

    let before = world.feed.recommend(&plain("u5", 11));
    let ask = |text| {
        let weights = Some(ActionWeights::parse(text).unwrap());
        world.feed.recommend(&Request { weights, ..plain("u5", 11) })
    };
    let place = |response: &Response, id: &str| ids(response).iter().position(|one| *one == id).unwrap();
    let (kept, spared) = (ask("collect:3"), ask("hate:-5,collect:0"));
    assert!(place(&kept, "space2") < place(&before, "space2"), "{:?}", ids(&kept));
    assert!(place(&spared, "space3") > place(&before, "space3"), "{:?}", ids(&spared));
    let parts = |response: &Response| -> Vec<f64> {
        let parts = response.slate.iter().flat_map(|slot| slot.parts.clone());
        parts.filter(|(part, _)| part == "actions").map(|(_, value)| value).collect()
    };
    let added = parts(&kept);
    let squares = added.iter().map(|part| part * part).sum::<f64>() / added.len() as f64;
    assert!(added.iter().sum::<f64>().abs() < 1e-9 && (squares - 1.0).abs() < 1e-9, "{added:?}");
    assert!(parts(&before).is_empty(), "off where no weights are given");

    let bad =
        ActionsConfig { weights: [("like".to_string(), f64::INFINITY)].into(), ..ActionsConfig::default() };
    let config = FeedConfig { actions: bad, ..FeedConfig::default() };
    assert!(config.check().is_err(), "weights that are not finite are refused");
}

#[test]
fn a_stranger_s_circumstances_count_until_a_past_is_known() {
    let config = FeedConfig {
        filters: crate::FilterConfig { language_kinds: vec!["tag".into()], ..crate::FilterConfig::default() },
        ..FeedConfig::default()
    };
    let world = World::with(config, Vec::new());
    let parts = |request: &Request| -> HashSet<String> {
        let slate = world.feed.recommend(request).slate;
        slate.into_iter().flat_map(|slot| slot.parts).map(|(part, _)| part).collect()
    };
    let told = |user| Request { hour: Some(1), language: Some("3".into()), ..plain(user, 15) };
    // The events of this world are at midnight.
    let stranger = parts(&told("stranger"));
    assert!(stranger.contains("hour") && stranger.contains("language"), "{stranger:?}");
    assert!(!parts(&Request { hour: Some(13), ..plain("stranger", 15) }).contains("hour"));
    assert!(!parts(&told("u5")).contains("hour"));
}

#[test]
fn each_kind_of_shelf_can_be_asked_for_alone_and_paged_through() {
    let world = World::new();
    world.tell("like", "viewer", "crime1");
    world.tell("like", "other", "space2");
    let shelf = |kind, video: Option<&str>, offset| {
        let shelves = world.feed.shelf(&Request { offset, ..plain("viewer", 2) }, kind, video).unwrap();
        assert!(shelves.failures.is_empty() && shelves.shelves.len() <= 1);
        shelves.shelves.into_iter().next().map(|shelf| {
            assert_eq!(shelf.kind, kind);
            (shelf.name, shelf.items.into_iter().map(|slot| slot.video).collect::<Vec<_>>())
        })
    };
    let name = |kind, video| shelf(kind, video, 0).unwrap().0;
    assert_eq!(name(ShelfKind::TopPicks, None), "Top picks for you");
    assert_eq!(name(ShelfKind::BecauseYouWatched, None), "Because you liked Crime 1");
    assert_eq!(name(ShelfKind::MoreLike, Some("space1")), "More like Space 1");
    assert_eq!(name(ShelfKind::MostPopular, None), "Most popular");
    assert_eq!(
        shelf(ShelfKind::TrendingNow, None, 0).unwrap(),
        ("Trending now".into(), vec!["space2".into()])
    );
    assert_eq!(shelf(ShelfKind::New, None, 0), None, "nothing came in: no empty shelf");
    for (kind, video) in
        [(ShelfKind::TopPicks, None), (ShelfKind::MostPopular, None), (ShelfKind::MoreLike, Some("space1"))]
    {
        let (first, second) = (shelf(kind, video, 0).unwrap().1, shelf(kind, video, 2).unwrap().1);
        assert!(first.iter().all(|id| !second.contains(id)) && second.len() == 2, "{first:?} {second:?}");
    }
    let asked = plain("viewer", 2);
    assert!(world.feed.shelf(&asked, ShelfKind::MoreLike, None).is_none());
    assert!(world.feed.shelf(&asked, ShelfKind::MoreLike, Some("nothing")).is_none());
    // The whole feed names its kinds in this order.
    let kinds: Vec<ShelfKind> =
        world.feed.shelves(&plain("viewer", 2)).shelves.iter().map(|s| s.kind).collect();
    use ShelfKind::{BecauseYouWatched, MostPopular, TopPicks, TrendingNow};
    assert!(
        kinds.starts_with(&[TopPicks, BecauseYouWatched, MostPopular]) && kinds.contains(&TrendingNow),
        "{kinds:?}"
    );
}

#[test]
fn a_share_of_places_explores_tells_its_propensity_and_repeats_for_the_same_request() {
    let config = FeedConfig { explore_share: 0.3, ..FeedConfig::default() };
    let world = World::with(config, Vec::new());
    let (mut explored, mut places) = (0, 0);
    for seed in 0..200 {
        let asked = Request { seed, ..request("u5", 5) };
        let response = world.feed.recommend(&asked);
        assert!(response.failures.is_empty(), "{:?}", response.failures);
        for slot in &response.slate {
            let is_drawn = slot.reason.kind == ReasonKind::Explored;
            // Ten are permitted, five of them stand on the slate.
            let expected = if is_drawn { 0.3 / 5.0 } else { 0.7 };
            assert!((slot.propensity.unwrap() - expected).abs() < 1e-9, "{slot:?}");
            (explored, places) = (explored + usize::from(is_drawn), places + 1);
        }
        let unique: HashSet<&str> = ids(&response).into_iter().collect();
        assert_eq!(unique.len(), response.slate.len());
        assert_eq!(world.feed.recommend(&asked).slate, response.slate);
    }
    let share = explored as f64 / places as f64;
    assert!((0.25..0.35).contains(&share), "{share}");
    let plain = World::new().ask("u5", 5);
    assert!(plain.slate.iter().all(|slot| slot.propensity.is_none()));
}

#[test]
fn a_newcomer_that_was_shown_least_gets_the_next_place() {
    let world = World::with(FeedConfig { newcomer_every: 5, ..FeedConfig::default() }, Vec::new());
    let videos = ["n0", "n1", "n2"].map(|id| crate::testing::video(id, Some(crate::testing::NOW - 1), &[]));
    upnext_store::Store::put_videos(world.store.as_ref(), &videos).unwrap();
    let mut shown = std::collections::BTreeMap::new();
    for _ in 0..30 {
        for slot in world.ask("u5", 5).slate.iter().filter(|slot| slot.video.starts_with('n')) {
            *shown.entry(slot.video.clone()).or_insert(0) += 1;
        }
    }
    assert_eq!(shown.values().copied().collect::<Vec<i32>>(), [10, 10, 10], "{shown:?}");
}

#[test]
fn what_a_followed_author_made_is_a_candidate_and_says_so() {
    let world = World::new();
    world.tell("follow", "u0", "space3");
    let response = world.ask("u0", 10);
    let by_maker: Vec<&crate::Slot> =
        response.slate.iter().filter(|slot| slot.sources.iter().any(|source| source == "followed")).collect();
    assert!(!by_maker.is_empty(), "{:?}", response.slate);
    for slot in by_maker {
        assert!(slot.video.ends_with('3'), "{}", slot.video);
        assert_eq!(slot.reason.text, "by maker3, whom you follow");
    }
}

#[test]
fn a_cascade_orders_what_one_model_found_by_another() {
    let content: Arc<dyn upnext_models::Recommender> = Arc::new(crate::testing::Broken {
        name: "content",
        n: 15,
        how: crate::testing::Fault::PanicInBecause,
    });
    let cascade = |select: &str| crate::CascadeConfig {
        name: "both".into(),
        narrow: "closed-blend".into(),
        to: 3,
        select: select.into(),
    };
    let config = FeedConfig { cascades: vec![cascade("content")], ..FeedConfig::default() };
    let world = World::with(config, vec![content]);
    let ranks = |source: &str| -> Vec<u32> {
        let outcome = world.feed.pipeline.outcome(&plain("u0", 5));
        let found = outcome.query.models().len();
        assert_eq!(found, 2);
        let rows = world.feed.of_source(&outcome, source, 10);
        rows.into_iter().map(|(row, _)| row).collect()
    };
    let (mut narrowed, both) = (ranks("closed-blend"), ranks("both"));
    narrowed.truncate(3);
    // The other model scores by row, the last highest.
    narrowed.sort_unstable_by_key(|&row| std::cmp::Reverse(row));
    assert_eq!(both, narrowed);
    let unknown = FeedConfig { cascades: vec![cascade("nobody")], ..FeedConfig::default() };
    let error = World::try_with(unknown).err().unwrap().to_string();
    assert_eq!(error, r#"cascade "both" names the model "nobody", but the feed has closed-blend"#);
}
