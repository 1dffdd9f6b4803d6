//! One page after the other.

use crate::testing::{NOW, World, feedback, ids, request};
use crate::{FeedConfig, Request, Response, ServedConfig, Verdict};
use upnext_store::Store;

fn page(user: &str, n: usize) -> Request {
    Request { session: Some("s".into()), ..request(user, n) }
}

fn owned(response: &Response) -> Vec<String> {
    ids(response).into_iter().map(String::from).collect()
}

#[test]
fn a_page_never_repeats_an_earlier_one_though_an_event_re_ranks_all_in_between() {
    // With an offset, and without: the next page either way.
    for step in [5, 0] {
        let world = World::new();
        let first = owned(&world.feed.recommend(&page("new", 5)));
        let plain = owned(&world.ask("new", 15));
        world.tell("like", "new", "space4");
        assert_ne!(owned(&world.ask("new", 14))[..5], plain[..5], "another order");
        let second = owned(&world.feed.recommend(&Request { offset: step, ..page("new", 5) }));
        let third = owned(&world.feed.recommend(&Request { offset: 2 * step, ..page("new", 5) }));
        let mut all: Vec<&String> = first.iter().chain(&second).chain(&third).collect();
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!((second.len(), all.len()), (5, n), "{first:?} {second:?} {third:?}");
        assert!(n >= 14, "and nothing is lost but what was liked: {all:?}");
        assert!(world.feed.recommend(&Request { offset: 3 * step, ..page("new", 5) }).slate.is_empty());
    }
}

#[test]
fn a_clock_that_goes_back_brings_nothing_back() {
    let world = World::new();
    let first = owned(&world.feed.recommend(&page("new", 5)));
    for now in [NOW - 1_000_000_000, i64::MIN, i64::MAX, 0] {
        let next = owned(&world.feed.recommend(&Request { now, ..page("new", 3) }));
        assert!(next.iter().all(|id| !first.contains(id)), "{next:?}");
    }
}

#[test]
fn asking_why_serves_nothing_and_says_what_was_served() {
    let world = World::new();
    let first = owned(&world.feed.recommend(&page("new", 5)));
    let told = world.feed.explain(&page("new", 5), &first[0]);
    assert_eq!(told.verdict, Verdict::Filtered);
    assert!(told.text.ends_with("was removed by the filter served"), "{}", told.text);
    let next = world.feed.explain(&page("new", 5), "space4");
    let second = owned(&world.feed.recommend(&page("new", 5)));
    assert_eq!(second.contains(&"space4".to_string()), next.verdict == Verdict::Shown);
    // Other sessions, and none, are not concerned.
    assert_eq!(owned(&world.ask("new", 5)), first);
    assert_eq!(owned(&world.feed.recommend(&Request { session: Some("t".into()), ..page("new", 5) })), first);
}

#[test]
fn where_it_is_set_a_user_is_not_served_the_same_for_some_minutes() {
    let served = ServedConfig { user_minutes: 10.0, ..ServedConfig::default() };
    let world = World::with(FeedConfig { served, ..FeedConfig::default() }, Vec::new());
    let (first, second) = (owned(&world.ask("u5", 4)), owned(&world.ask("u5", 4)));
    assert!(first.iter().all(|id| !second.contains(id)), "{first:?} {second:?}");
    assert_eq!(owned(&world.ask("u6", 4)).len(), 4);
}

#[test]
fn a_session_without_a_user_is_known_by_what_it_did() {
    let world = World::new();
    world
        .store
        .append(&[feedback("like", "session:s", "space1", NOW - 1)], upnext_store::Write::Overwrite)
        .unwrap();
    let response = world.feed.recommend(&Request { user: None, lambda: Some(1.0), ..page("", 3) });
    assert!(ids(&response).iter().filter(|id| id.starts_with("space")).count() >= 2, "{:?}", ids(&response));
    assert!(!ids(&response).contains(&"space1"));
}

#[test]
fn a_shelf_in_a_session_is_not_shown_twice() {
    let world = World::new();
    let of = |shelves: crate::Shelves| -> Vec<String> {
        shelves.shelves.into_iter().flat_map(|shelf| shelf.items).map(|slot| slot.video).collect()
    };
    let first = of(world.feed.shelves(&page("u5", 2)));
    let second = of(world.feed.shelves(&page("u5", 2)));
    assert!(!first.is_empty() && first.iter().all(|id| !second.contains(id)), "{first:?} {second:?}");
}
