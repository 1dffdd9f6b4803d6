//! What every store promises. A store joins by one line of [`contract!`].

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    Counts, Feedback, FeedbackQuery, Identified, Memory, Page, Presence, Sqlite, Step, Store, StoreConfig,
    StoreError, StoredUser, StoredVideo, UserPatch, VideoPatch, Write,
};

/// One module of tests for a store; `$make` gets a config and returns the store with whatever must outlive it, or nothing where what it
/// needs is not installed.
macro_rules! contract {
    ($name:ident, $make:expr) => {
        mod $name {
            use super::*;

            macro_rules! promise {
                ($test:ident) => {
                    #[test]
                    fn $test() {
                        let Some((store, _keep)) = $make(limits()) else { return };
                        super::$test(&store);
                    }
                };
            }

            promise!(history_is_the_newest_oldest_first);
            promise!(a_bound_in_time_leaves_the_newest_before_it);
            promise!(post_adds_and_put_replaces);
            promise!(equal_times_keep_their_order);
            promise!(feedback_is_listed_by_any_part_of_its_key);
            promise!(feedback_is_deleted_by_its_key);
            promise!(pages_are_complete_and_hold_no_row_twice);
            promise!(a_patch_changes_what_it_names);
            promise!(a_deleted_user_or_video_is_gone_with_its_feedback);
            promise!(a_forgotten_user_leaves_a_receipt_and_nothing_else);
            promise!(old_feedback_goes_oldest_first_in_bounded_steps);
            promise!(hidden_and_deleted_videos_are_withheld);
            promise!(whatever_is_out_of_bounds_is_named_and_nothing_is_written);
            promise!(ids_may_be_any_string);
            promise!(versions_grow_with_changes);
            promise!(an_event_counts_once_for_as_long_as_its_id_is_remembered);
            promise!(a_step_along_a_stream_is_taken_once_and_with_its_events);
        }
    };
}

contract!(memory, |config| Some((Memory::new(config), ())));
contract!(sqlite, |config| {
    let folder = tempfile::tempdir().unwrap();
    Some((Sqlite::open(folder.path().join("store.db"), config).unwrap(), folder))
});
#[cfg(feature = "postgres")]
contract!(postgres, crate::postgres::tests::store);

fn limits() -> StoreConfig {
    StoreConfig {
        id_bytes_max: 40,
        comment_bytes_max: 20,
        labels_bytes_max: 30,
        categories_max: 3,
        batch_max: 50,
        unsorted_rows_max: 2,
        ..StoreConfig::default()
    }
}

fn feedback(kind: &str, user: &str, video: &str, value: f64, time: i64) -> Feedback {
    let (labels, comment) = (Value::Null, String::new());
    Feedback { kind: kind.into(), user: user.into(), video: video.into(), value, time, labels, comment }
}

fn user(id: &str) -> StoredUser {
    StoredUser { id: id.into(), ..StoredUser::default() }
}

fn video(id: &str) -> StoredVideo {
    StoredVideo { id: id.into(), ..StoredVideo::default() }
}

fn videos_of(rows: &[Feedback]) -> Vec<&str> {
    rows.iter().map(|f| f.video.as_str()).collect()
}

fn history_is_the_newest_oldest_first(store: &dyn Store) {
    let times = [5, 1, 9, 3, 7];
    for (at, time) in times.into_iter().enumerate() {
        assert_eq!(
            store.append(&[feedback("like", "ann", &at.to_string(), 1.0, time)], Write::Accumulate).unwrap(),
            1
        );
    }
    store.append(&[feedback("like", "bob", "x", 1.0, 4)], Write::Accumulate).unwrap();
    assert_eq!(videos_of(&store.history("ann", None, 3).unwrap()), ["0", "4", "2"]);
    assert_eq!(videos_of(&store.history("ann", None, 99).unwrap()), ["1", "3", "0", "4", "2"]);
    assert_eq!(store.history("ann", None, 0).unwrap(), []);
    assert_eq!(store.history("nobody", None, 9).unwrap(), []);
    assert_eq!(videos_of(&store.recent(4, None, 3).unwrap()), ["2", "4", "0"]);
    assert_eq!(videos_of(&store.recent(4, None, 99).unwrap()), ["2", "4", "0", "x"]);
    assert_eq!(store.counts().unwrap(), Counts { users: 2, videos: 0, feedback: 6 });
}

fn a_bound_in_time_leaves_the_newest_before_it(store: &dyn Store) {
    let batch: Vec<Feedback> = [5, 1, 9, 3, 7, 5]
        .iter()
        .enumerate()
        .map(|(at, &time)| feedback("like", "ann", &at.to_string(), 1.0, time))
        .collect();
    store.append(&batch, Write::Overwrite).unwrap();
    store.append(&[feedback("like", "bob", "x", 1.0, 6)], Write::Overwrite).unwrap();
    assert_eq!(
        videos_of(&store.history("ann", Some(5), 2).unwrap()),
        ["0", "5"],
        "later rows take no places"
    );
    assert_eq!(videos_of(&store.history("ann", Some(4), 9).unwrap()), ["1", "3"]);
    assert_eq!(store.history("ann", Some(0), 9).unwrap(), []);
    assert_eq!(store.history("ann", Some(i64::MAX), 9).unwrap(), store.history("ann", None, 9).unwrap());
    assert_eq!(videos_of(&store.recent(5, Some(6), 9).unwrap()), ["x", "5", "0"]);
    assert_eq!(videos_of(&store.recent(5, Some(6), 2).unwrap()), ["x", "5"]);
    assert_eq!(store.recent(6, Some(5), 9).unwrap(), [], "an empty span holds nothing");
    assert_eq!(store.next_time("ann", 5).unwrap(), Some(7));
    assert_eq!(store.next_time("ann", i64::MIN).unwrap(), Some(1));
    assert_eq!((store.next_time("ann", 9).unwrap(), store.next_time("nobody", 0).unwrap()), (None, None));
}

fn post_adds_and_put_replaces(store: &dyn Store) {
    let mut first = feedback("read", "ann", "v", 0.5, 20);
    first.labels = json!({"device": "tv"});
    first.comment = "good".into();
    store.append(&[first.clone()], Write::Accumulate).unwrap();
    store
        .append(
            &[feedback("read", "ann", "v", 0.25, 10), feedback("read", "ann", "v", 1.0, 15)],
            Write::Accumulate,
        )
        .unwrap();
    let sum = Feedback { value: 1.75, ..first };
    assert_eq!(store.history("ann", None, 9).unwrap(), std::slice::from_ref(&sum));

    let new = Feedback { comment: "better".into(), ..feedback("read", "ann", "v", 2.0, 5) };
    store.append(std::slice::from_ref(&new), Write::Overwrite).unwrap();
    assert_eq!(store.history("ann", None, 9).unwrap(), [new]);

    for _ in 0..3 {
        store.append(&[feedback("read", "ann", "v", f64::MAX, 5)], Write::Accumulate).unwrap();
    }
    assert_eq!(store.history("ann", None, 9).unwrap()[0].value, f64::MAX, "a sum stays finite");
}

fn equal_times_keep_their_order(store: &dyn Store) {
    let batch: Vec<Feedback> = ["b", "a", "c"].map(|v| feedback("like", "ann", v, 1.0, 7)).into();
    store.append(&batch, Write::Overwrite).unwrap();
    store.append(&[feedback("like", "ann", "0", 1.0, 7)], Write::Overwrite).unwrap();
    assert_eq!(videos_of(&store.history("ann", None, 9).unwrap()), ["b", "a", "c", "0"]);
    assert_eq!(videos_of(&store.history("ann", None, 2).unwrap()), ["c", "0"]);
    assert_eq!(videos_of(&store.recent(0, None, 9).unwrap()), ["0", "c", "a", "b"]);
}

fn feedback_is_listed_by_any_part_of_its_key(store: &dyn Store) {
    let all = [
        feedback("like", "ann", "v1", 1.0, 3),
        feedback("read", "ann", "v1", 1.0, 2),
        feedback("like", "bob", "v1", 1.0, 1),
        feedback("like", "ann", "v2", 1.0, 9),
    ];
    store.append(&all, Write::Accumulate).unwrap();
    let listed = |kind, user, video| {
        let page = store.feedback(&FeedbackQuery { kind, user, video, cursor: "", n: 10 }).unwrap();
        assert_eq!(page.cursor, "");
        page.rows
    };
    let [a, b, c, d] = all.clone();
    assert_eq!(listed(None, None, None), all);
    assert_eq!(listed(Some("like"), None, None), [a.clone(), c.clone(), d.clone()]);
    assert_eq!(listed(None, Some("ann"), None), [a.clone(), b.clone(), d.clone()]);
    assert_eq!(listed(None, None, Some("v1")), [a.clone(), b.clone(), c.clone()]);
    assert_eq!(listed(None, Some("ann"), Some("v1")), [a.clone(), b]);
    assert_eq!(listed(Some("like"), Some("ann"), None), [a.clone(), d]);
    assert_eq!(listed(Some("like"), None, Some("v1")), [a.clone(), c]);
    assert_eq!(listed(Some("like"), Some("ann"), Some("v1")), [a]);
    assert_eq!(listed(Some("hate"), None, None), []);
    let bad = store.feedback(&FeedbackQuery { cursor: "-1; drop", n: 1, ..FeedbackQuery::default() });
    assert!(matches!(bad, Err(StoreError::Cursor { .. })));
}

fn feedback_is_deleted_by_its_key(store: &dyn Store) {
    let all = ["like", "read", "hate"].map(|kind| feedback(kind, "ann", "v", 1.0, 1));
    store.append(&all, Write::Accumulate).unwrap();
    assert_eq!(store.delete_feedback(Some("read"), "ann", "v").unwrap(), 1);
    assert_eq!(store.delete_feedback(Some("read"), "ann", "v").unwrap(), 0);
    assert_eq!(store.delete_feedback(None, "ann", "other").unwrap(), 0);
    assert_eq!(store.delete_feedback(None, "ann", "v").unwrap(), 2);
    assert_eq!(store.history("ann", None, 9).unwrap(), []);
}

fn walk<T>(mut next: impl FnMut(&str) -> Page<T>) -> (Vec<T>, usize) {
    let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = next(&cursor);
        pages += 1;
        all.extend(page.rows);
        cursor = page.cursor;
        if cursor.is_empty() {
            return (all, pages);
        }
    }
}

fn pages_are_complete_and_hold_no_row_twice(store: &dyn Store) {
    let names: Vec<String> = (0..7).map(|at| format!("n{at}")).collect();
    store.put_users(&names.iter().map(|id| user(id)).collect::<Vec<_>>()).unwrap();
    store.put_videos(&names.iter().rev().map(|id| video(id)).collect::<Vec<_>>()).unwrap();
    store
        .append(
            &names.iter().map(|id| feedback("like", id, id, 1.0, 1)).collect::<Vec<_>>(),
            Write::Accumulate,
        )
        .unwrap();
    for n in [1, 2, 3, 7, 8] {
        let (users, pages) = walk(|cursor| store.users(cursor, n).unwrap());
        assert_eq!(users.iter().map(|u| &u.id).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        assert_eq!(pages, 7_usize.div_ceil(n));
        let (videos, _) = walk(|cursor| store.videos(cursor, n).unwrap());
        assert_eq!(videos.iter().map(|v| &v.id).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        let (rows, pages) =
            walk(|cursor| store.feedback(&FeedbackQuery { cursor, n, ..FeedbackQuery::default() }).unwrap());
        assert_eq!(videos_of(&rows), names);
        assert_eq!(pages, 7_usize.div_ceil(n));
    }
}

fn a_patch_changes_what_it_names(store: &dyn Store) {
    let ann = StoredUser { id: "ann".into(), labels: json!({"a": 1}), comment: "x".into() };
    store.put_users(std::slice::from_ref(&ann)).unwrap();
    let patch = UserPatch { comment: Some("y".into()), labels: None };
    assert!(store.patch_user("ann", &patch).unwrap());
    assert_eq!(store.user("ann").unwrap(), Some(StoredUser { comment: "y".into(), ..ann }));
    assert!(!store.patch_user("nobody", &patch).unwrap());

    let v = StoredVideo {
        id: "v".into(),
        hidden: false,
        categories: vec!["a".into()],
        time: None,
        labels: json!([1, "two"]),
        comment: "Heat".into(),
    };
    store.put_videos(std::slice::from_ref(&v)).unwrap();
    let patch = VideoPatch {
        hidden: Some(true),
        time: Some(-5),
        add_category: Some("b".into()),
        remove_category: Some("a".into()),
        ..VideoPatch::default()
    };
    assert!(store.patch_video("v", &patch).unwrap());
    let changed = StoredVideo { hidden: true, time: Some(-5), categories: vec!["b".into()], ..v };
    assert_eq!(store.video("v").unwrap(), Some(changed.clone()));
    let same = VideoPatch { add_category: Some("b".into()), ..VideoPatch::default() };
    assert!(store.patch_video("v", &same).unwrap());
    assert_eq!(store.video("v").unwrap(), Some(changed));
    assert!(!store.patch_video("other", &patch).unwrap());
}

fn a_deleted_user_or_video_is_gone_with_its_feedback(store: &dyn Store) {
    store.put_users(&[user("ann"), user("bob")]).unwrap();
    store.put_videos(&[video("v"), video("w")]).unwrap();
    let all = [("ann", "v"), ("ann", "w"), ("bob", "v"), ("bob", "w")];
    store.append(&all.map(|(u, v)| feedback("like", u, v, 1.0, 1)), Write::Accumulate).unwrap();

    assert!(store.delete_user("ann").unwrap());
    assert_eq!((store.user("ann").unwrap(), store.history("ann", None, 9).unwrap()), (None, vec![]));
    assert!(!store.delete_user("ann").unwrap(), "it is gone already");
    assert!(store.delete_video("v").unwrap());
    assert_eq!(store.video("v").unwrap(), None);
    assert_eq!(videos_of(&store.history("bob", None, 9).unwrap()), ["w"]);
    assert_eq!(store.counts().unwrap(), Counts { users: 1, videos: 1, feedback: 1 });
    assert_eq!(store.users("", 9).unwrap().rows, [user("bob")]);
    assert_eq!(store.videos("", 9).unwrap().rows, [video("w")]);

    assert_eq!(store.user_presence("ann").unwrap(), Presence::Deleted);
    assert_eq!(store.video_presence("v").unwrap(), Presence::Deleted);
    assert_eq!(store.video_presence("w").unwrap(), Presence::Present);
    assert_eq!(store.user_presence("zoe").unwrap(), Presence::Unknown);
    assert!(!store.delete_video("unheard of").unwrap());
    assert_eq!(store.video_presence("unheard of").unwrap(), Presence::Deleted);

    store.append(&[feedback("like", "ann", "w", 1.0, 1)], Write::Accumulate).unwrap();
    assert_eq!(store.user("ann").unwrap(), Some(user("ann")), "who comes back is there");
    store.put_videos(&[video("v")]).unwrap();
    assert_eq!(store.video_presence("v").unwrap(), Presence::Present);
}

fn a_forgotten_user_leaves_a_receipt_and_nothing_else(store: &dyn Store) {
    store.put_users(&[user("ann"), user("bob")]).unwrap();
    let all = [("like", "ann"), ("read", "ann"), ("like", "bob")];
    store.append(&all.map(|(kind, u)| feedback(kind, u, "v", 1.0, 1)), Write::Accumulate).unwrap();
    let before = store.user_version("ann");
    let receipt = store.forget("ann", 5).unwrap();
    assert_eq!((receipt.time, receipt.profiles), (5, 1));
    assert_eq!(receipt.feedback.into_iter().collect::<Vec<_>>(), [("like".into(), 1), ("read".into(), 1)]);
    assert_ne!(store.user_version("ann"), before);
    assert_eq!(
        store.user_presence("ann").unwrap(),
        Presence::Unknown,
        "not even that it was deleted is known"
    );
    assert_eq!(store.counts().unwrap(), Counts { users: 1, videos: 0, feedback: 1 });
    store.delete_user("bob").unwrap();
    assert_eq!(store.forget("bob", 6).unwrap().profiles, 1, "that it was deleted is forgotten too");
    assert_eq!(store.user_presence("bob").unwrap(), Presence::Unknown);
    let nobody = store.forget("nobody", 7).unwrap();
    assert_eq!((nobody.profiles, nobody.feedback.len()), (0, 0));
    assert!(store.forget("", 7).unwrap_err().is_input());
    store.append(&[feedback("like", "ann", "v", 1.0, 1)], Write::Accumulate).unwrap();
    assert_eq!(store.history("ann", None, 9).unwrap().len(), 1);
}

fn old_feedback_goes_oldest_first_in_bounded_steps(store: &dyn Store) {
    let batch = [5, 1, 9, 3, 3].iter().enumerate();
    let batch: Vec<Feedback> =
        batch.map(|(at, &time)| feedback("like", "ann", &at.to_string(), 1.0, time)).collect();
    store.append(&batch, Write::Overwrite).unwrap();
    assert_eq!(store.expire(1, 9).unwrap(), 0);
    assert_eq!(store.expire(5, 2).unwrap(), 2);
    assert_eq!(videos_of(&store.history("ann", None, 9).unwrap()), ["4", "0", "2"]);
    let before = store.user_version("ann");
    assert_eq!(store.expire(i64::MAX, 9).unwrap(), 3);
    assert_ne!(store.user_version("ann"), before);
    assert_eq!(store.counts().unwrap(), Counts { users: 1, videos: 0, feedback: 0 });
}

fn hidden_and_deleted_videos_are_withheld(store: &dyn Store) {
    let timed = |id: &str, time, hidden| StoredVideo { time, hidden, ..video(id) };
    store
        .put_videos(&[
            timed("c", Some(5), false),
            timed("a", Some(5), false),
            timed("b", None, false),
            timed("d", Some(9), false),
            timed("x", Some(7), true),
            timed("y", Some(8), false),
        ])
        .unwrap();
    store.delete_video("y").unwrap();
    assert_eq!(store.hidden(9).unwrap(), ["x", "y"]);
    assert_eq!(store.hidden(1).unwrap(), ["x"]);
    let latest = store.latest_videos(9).unwrap();
    assert_eq!(latest.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["d", "a", "c", "b"]);
    assert_eq!(store.latest_videos(2).unwrap(), latest[..2]);
}

fn whatever_is_out_of_bounds_is_named_and_nothing_is_written(store: &dyn Store) {
    let long = "x".repeat(41);
    let good = feedback("like", "ann", "v", 1.0, 1);
    let bad = [
        (
            Feedback { user: long.clone(), ..good.clone() },
            "user id of row 1 is 41 bytes; expected at most 40",
        ),
        (Feedback { video: String::new(), ..good.clone() }, "video id of row 1 is empty"),
        (Feedback { kind: String::new(), ..good.clone() }, "kind of row 1 is empty"),
        (Feedback { value: f64::NAN, ..good.clone() }, "value of row 1 is NaN"),
        (Feedback { comment: "x".repeat(21), ..good.clone() }, "comment of row 1 is 21 bytes"),
        (Feedback { labels: json!(long), ..good.clone() }, "labels of row 1 is 43 bytes"),
    ];
    for (row, message) in bad {
        let error = store.append(&[good.clone(), row], Write::Accumulate).unwrap_err();
        assert!(error.is_input() && error.to_string().starts_with(message), "{error}");
    }
    let error = store.append(&vec![good; 51], Write::Accumulate).unwrap_err();
    assert!(error.to_string().starts_with("51 rows of feedback were given; expected at most 50"), "{error}");
    let categories = ["a", "b", "c", "d"].map(String::from).to_vec();
    let error = store.put_videos(&[StoredVideo { categories, ..video("v") }]).unwrap_err();
    assert!(
        error.to_string().starts_with("4 categories of one video were given; expected at most 3"),
        "{error}"
    );
    assert!(store.put_users(&[user(&long)]).unwrap_err().is_input());
    assert!(store.delete_user(&long).unwrap_err().is_input());
    assert!(store.delete_video("").unwrap_err().is_input());
    assert_eq!(store.counts().unwrap(), Counts::default());
}

fn ids_may_be_any_string(store: &dyn Store) {
    let odd = ["a/b", "影片", "\u{0}", "a\u{0}b", "'; DROP TABLE users; --", " ", "%2F", "🦀", "\n"];
    for id in odd {
        let row = feedback(id, id, id, 1.0, 1);
        store.append(std::slice::from_ref(&row), Write::Accumulate).unwrap();
        store.put_videos(&[StoredVideo { categories: vec![id.into()], ..video(id) }]).unwrap();
        assert_eq!(store.history(id, None, 9).unwrap(), [row]);
        assert_eq!(store.video(id).unwrap().unwrap().categories, [id]);
    }
    let ids: BTreeSet<String> = store.users("", 99).unwrap().rows.into_iter().map(|u| u.id).collect();
    assert_eq!(ids, odd.map(String::from).into());
    let (walked, _) = walk(|cursor| store.users(cursor, 1).unwrap());
    assert_eq!(walked.len(), odd.len());
}

fn versions_grow_with_changes(store: &dyn Store) {
    let first = store.version();
    store.append(&[feedback("like", "ann", "v", 1.0, 1)], Write::Accumulate).unwrap();
    let second = store.version();
    assert!(second.feedback > first.feedback && second.videos == first.videos);
    store.put_videos(&[video("v")]).unwrap();
    let third = store.version();
    assert!(third.videos > second.videos);
    store.history("ann", None, 1).unwrap();
    assert_eq!(store.version(), third, "reading changes nothing");

    let mut before = store.user_version("ann");
    let mut changed = |what: &str| {
        let now = store.user_version("ann");
        assert_ne!(now, before, "{what}");
        before = now;
    };
    store.append(&[feedback("like", "ann", "w", 1.0, 2)], Write::Overwrite).unwrap();
    changed("an event");
    store.delete_feedback(None, "ann", "w").unwrap();
    changed("an event taken back");
    store.delete_video("v").unwrap();
    changed("a video that took its feedback along");
    store.delete_user("ann").unwrap();
    changed("the user's end");
    store.put_users(&[StoredUser { id: "ann".into(), ..StoredUser::default() }]).unwrap();
    changed("the user's return");
}

fn identified(id: &str, video: &str, write: Write) -> Identified {
    Identified { id: Some(id.into()), write, feedback: feedback("like", "ann", video, 1.0, 1) }
}

fn an_event_counts_once_for_as_long_as_its_id_is_remembered(store: &dyn Store) {
    const DAY: i64 = 86_400_000;
    let value = |video: &str| {
        let rows = store.history("ann", None, 99).unwrap();
        rows.iter().find(|f| f.video == video).map_or(0.0, |f| f.value)
    };
    let one = identified("e1", "v", Write::Accumulate);
    let before = store.user_version("ann");
    assert_eq!(store.append_once(&[one.clone(), one.clone()], None, 0).unwrap(), 1, "twice in one call");
    assert_ne!(store.user_version("ann"), before);
    assert_eq!(store.append_once(std::slice::from_ref(&one), None, 7 * DAY).unwrap(), 0, "in another call");
    // Who it is of and what it says plays no part: the id is the event's.
    assert_eq!(store.append_once(&[identified("e1", "w", Write::Overwrite)], None, 0).unwrap(), 0);
    assert_eq!((value("v"), value("w")), (1.0, 0.0));
    let unnamed = Identified { id: None, ..one.clone() };
    assert_eq!(store.append_once(&[unnamed.clone(), unnamed], None, 0).unwrap(), 2, "no id, no memory");
    assert_eq!(value("v"), 3.0);
    // In the order of the call, whichever way each is written.
    let mixed = [
        identified("e2", "x", Write::Accumulate),
        identified("e3", "x", Write::Accumulate),
        identified("e4", "x", Write::Overwrite),
        identified("e5", "x", Write::Accumulate),
        identified("a\u{0}", "x", Write::Accumulate),
    ];
    assert_eq!(store.append_once(&mixed, None, 0).unwrap(), 5);
    assert_eq!(value("x"), 3.0);
    assert_eq!(store.append_once(&mixed[4..], None, 0).unwrap(), 0);
    assert_eq!(store.append_once(&[one], None, 7 * DAY + 1).unwrap(), 1, "it was forgotten");
    assert_eq!(value("v"), 4.0);

    let bad = [
        identified("", "v", Write::Overwrite),
        identified(&"x".repeat(41), "v", Write::Overwrite),
        identified("e9", "", Write::Overwrite),
    ];
    for bad in bad {
        let both = [identified("e8", "y", Write::Overwrite), bad];
        assert!(store.append_once(&both, None, 0).unwrap_err().is_input());
    }
    assert_eq!(value("y"), 0.0);
    assert_eq!(store.append_once(&[identified("e8", "y", Write::Overwrite)], None, 0).unwrap(), 1);
}

fn a_step_along_a_stream_is_taken_once_and_with_its_events(store: &dyn Store) {
    let step = |from, to| Some(Step { stream: "clicks", from, to });
    assert_eq!(store.position("clicks").unwrap(), 0);
    let first = [identified("e1", "v", Write::Accumulate)];
    assert_eq!(store.append_once(&first, step(0, 4), 0).unwrap(), 1);
    assert_eq!((store.position("clicks").unwrap(), store.position("other").unwrap()), (4, 0));
    let second = [identified("e2", "v", Write::Accumulate)];
    for from in [0, 3, 5] {
        let moved = store.append_once(&second, step(from, 9), 0).unwrap_err();
        assert!(matches!(moved, StoreError::Moved { found: 4, expected, .. } if expected == from), "{moved}");
    }
    assert_eq!(store.append_once(&[], step(4, 6), 0).unwrap(), 0, "what stood there was of no use");
    assert_eq!(store.append_once(&second, step(6, 7), 0).unwrap(), 1, "the id was not taken in vain");
    assert_eq!(store.position("clicks").unwrap(), 7);
    assert_eq!(store.history("ann", None, 9).unwrap()[0].value, 2.0);
    let elsewhere = Some(Step { stream: "other", from: 0, to: 1 });
    store.append_once(&[], elsewhere, 0).unwrap();
    assert_eq!((store.position("clicks").unwrap(), store.position("other").unwrap()), (7, 1));
}

/// A random change, over few ids, so that keys meet.
#[derive(Clone, Debug)]
enum Change {
    Append(Vec<Feedback>, bool),
    DeleteFeedback(Option<String>, String, String),
    PutUser(StoredUser),
    PatchUser(String, UserPatch),
    DeleteUser(String),
    Once(Vec<(Option<String>, Feedback, bool)>, u64, i64),
    Forget(String),
    Expire(i64, usize),
    PutVideo(StoredVideo),
    PatchVideo(String, VideoPatch),
    DeleteVideo(String),
}

fn a_change() -> impl Strategy<Value = Change> {
    let id = || "[ab\u{0}é]{0,2}".prop_map(String::from);
    let labels = || prop_oneof![Just(Value::Null), Just(json!({"a": [1, 2.5]})), Just(json!("text"))];
    let time = || prop_oneof![-3_i64..6, any::<i64>()];
    // Adding 0 turns -0 into 0: SQLite keeps no sign of zero.
    let value = || prop_oneof![-2.0..2.0_f64, any::<f64>()].prop_map(|value| value + 0.0);
    let row = (id(), id(), id(), value(), time(), labels(), id()).prop_map(
        |(kind, user, video, value, time, labels, comment)| Feedback {
            kind,
            user,
            video,
            value,
            time,
            labels,
            comment,
        },
    );
    let event = row.clone();
    prop_oneof![
        4 => (prop::collection::vec(row, 0..5), any::<bool>()).prop_map(|(rows, add)| Change::Append(rows, add)),
        1 => (prop::option::of(id()), id(), id()).prop_map(|(k, u, v)| Change::DeleteFeedback(k, u, v)),
        1 => (id(), labels(), id()).prop_map(|(id, labels, comment)| Change::PutUser(StoredUser { id, labels, comment })),
        1 => (id(), prop::option::of(labels())).prop_map(|(id, labels)| Change::PatchUser(id, UserPatch { labels, comment: None })),
        1 => id().prop_map(Change::DeleteUser),
        2 => (prop::collection::vec((prop::option::of(id()), event, any::<bool>()), 0..5), 0..3_u64, 0..3_i64)
            .prop_map(|(events, from, weeks)| Change::Once(events, from, weeks * 700_000_000)),
        1 => id().prop_map(Change::Forget),
        1 => (time(), 0..3_usize).prop_map(|(before, n)| Change::Expire(before, n)),
        2 => (id(), any::<bool>(), prop::collection::vec(id(), 0..5), prop::option::of(time()), labels()).prop_map(
            |(id, hidden, categories, time, labels)| {
                Change::PutVideo(StoredVideo { id, hidden, categories, time, labels, comment: String::new() })
            }
        ),
        1 => (id(), prop::option::of(any::<bool>()), prop::option::of(id()), prop::option::of(id())).prop_map(
            |(id, hidden, add_category, remove_category)| {
                Change::PatchVideo(id, VideoPatch { hidden, add_category, remove_category, ..VideoPatch::default() })
            }
        ),
        1 => id().prop_map(Change::DeleteVideo),
    ]
}

/// What a change answered, in words that can be compared.
fn apply(store: &dyn Store, change: &Change) -> String {
    match change {
        Change::Append(rows, true) => {
            format!("{:?}", store.append(rows, Write::Accumulate).map_err(|e| e.to_string()))
        }
        Change::Append(rows, false) => {
            format!("{:?}", store.append(rows, Write::Overwrite).map_err(|e| e.to_string()))
        }
        Change::DeleteFeedback(kind, user, video) => {
            format!("{:?}", store.delete_feedback(kind.as_deref(), user, video).map_err(|e| e.to_string()))
        }
        Change::PutUser(user) => {
            format!("{:?}", store.put_users(std::slice::from_ref(user)).map_err(|e| e.to_string()))
        }
        Change::PatchUser(id, patch) => {
            format!("{:?}", store.patch_user(id, patch).map_err(|e| e.to_string()))
        }
        Change::DeleteUser(id) => format!("{:?}", store.delete_user(id).map_err(|e| e.to_string())),
        Change::Once(events, from, now) => {
            let events: Vec<Identified> = events
                .iter()
                .map(|(id, feedback, add)| {
                    let write = if *add { Write::Accumulate } else { Write::Overwrite };
                    Identified { id: id.clone(), write, feedback: feedback.clone() }
                })
                .collect();
            let step = Some(Step { stream: "clicks", from: *from, to: from + 1 });
            let done = store.append_once(&events, step, *now).map_err(|e| e.to_string());
            format!("{done:?} {:?}", store.position("clicks").map_err(|e| e.to_string()))
        }
        Change::Forget(id) => format!("{:?}", store.forget(id, 8).map_err(|e| e.to_string())),
        Change::Expire(before, n) => format!("{:?}", store.expire(*before, *n).map_err(|e| e.to_string())),
        Change::PutVideo(video) => {
            format!("{:?}", store.put_videos(std::slice::from_ref(video)).map_err(|e| e.to_string()))
        }
        Change::PatchVideo(id, patch) => {
            format!("{:?}", store.patch_video(id, patch).map_err(|e| e.to_string()))
        }
        Change::DeleteVideo(id) => format!("{:?}", store.delete_video(id).map_err(|e| e.to_string())),
    }
}

/// Everything a store can say, for these users.
fn told(store: &dyn Store, users: &[String]) -> String {
    let all = FeedbackQuery { n: 1_000, ..FeedbackQuery::default() };
    let histories: Vec<_> = users
        .iter()
        .map(|user| {
            let until = store.history(user, Some(2), 3).unwrap();
            (store.history(user, None, 3).unwrap(), until, store.next_time(user, 2).unwrap())
        })
        .collect();
    format!(
        "{:#?}",
        (
            store.users("", 1_000).unwrap(),
            store.videos("", 1_000).unwrap(),
            store.feedback(&all).unwrap(),
            store.recent(i64::MIN, None, 7).unwrap(),
            store.recent(-3, Some(4), 7).unwrap(),
            store.latest_videos(5).unwrap(),
            store.hidden(100).unwrap(),
            store.counts().unwrap(),
            histories,
        )
    )
}

/// A file that was just closed. Between fork and exec, a program that another test starts holds its lock too.
fn opened_again(path: &std::path::Path) -> Sqlite {
    for _ in 0..100 {
        match Sqlite::open(path, limits()) {
            Err(StoreError::Locked { .. }) => std::thread::sleep(std::time::Duration::from_millis(20)),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays locked", path.display())
}

#[cfg(feature = "postgres")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn postgres_answers_as_memory_does(changes in prop::collection::vec(a_change(), 1..25)) {
        let Some((clever, ())) = crate::postgres::tests::store(limits()) else { return Ok(()) };
        let plain = Memory::new(limits());
        for change in &changes {
            prop_assert_eq!(apply(&plain, change), apply(&clever, change), "{:?}", change);
        }
        let users: Vec<String> = ["a", "b", "é", "ab", "\u{0}"].map(String::from).into();
        prop_assert_eq!(told(&plain, &users), told(&clever, &users));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn sqlite_answers_as_memory_does_and_still_does_after_it_was_closed(
        changes in prop::collection::vec(a_change(), 1..25)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let plain = Memory::new(limits());
        let clever = Sqlite::open(&path, limits()).unwrap();
        for change in &changes {
            prop_assert_eq!(apply(&plain, change), apply(&clever, change), "{:?}", change);
        }
        let users: Vec<String> = ["a", "b", "é", "ab", "\u{0}"].map(String::from).into();
        let said = told(&plain, &users);
        prop_assert_eq!(&said, &told(&clever, &users));
        drop(clever);
        let reopened = opened_again(&path);
        prop_assert_eq!(reopened.verify().unwrap().problems, Vec::<String>::new());
        prop_assert_eq!(&said, &told(&reopened, &users));
    }

    #[test]
    fn a_file_of_random_bytes_or_with_some_of_them_changed_is_refused_or_read_without_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in prop::option::of(any::<prop::sample::Index>()),
        all_random in prop::option::of(prop::collection::vec(any::<u8>(), 0..9_000)),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = Sqlite::open(&path, limits()).unwrap();
        for at in 0..20 {
            let id = format!("n{at}");
            store.append(&[Feedback { labels: json!({"a": at}), ..feedback("like", &id, &id, 1.0, at) }], Write::Accumulate).unwrap();
            store.put_videos(&[StoredVideo { categories: vec![id.clone()], ..video(&id) }]).unwrap();
        }
        drop(store);
        let mut bytes = std::fs::read(&path).unwrap();
        match all_random {
            Some(random) => bytes = random,
            None => {
                for (at, byte) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
            }
        }
        std::fs::write(&path, bytes).unwrap();
        match Sqlite::open(&path, limits()) {
            Err(error) => prop_assert!(error.to_string().contains("store.db"), "{}", error),
            Ok(store) => {
                let _ = (store.users("", 99), store.videos("", 99), store.history("n3", None, 9), store.recent(0, None, 9));
                let _ = (store.hidden(9), store.latest_videos(9), store.counts(), store.user("n1"), store.video("n1"));
                let _ = store.feedback(&FeedbackQuery { n: 99, ..FeedbackQuery::default() });
                let _ = (store.append(&[feedback("like", "n3", "n4", 1.0, 1)], Write::Accumulate), store.delete_user("n5"));
            }
        }
    }
}
