//! A dump is the whole store as of one moment, and comes back whole or not at all.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use serde_json::json;
use upnext_store::{
    Counts, Feedback, FeedbackQuery, Identified, Presence, Sqlite, Step, Store, StoreConfig, StoreError,
    StoredUser, StoredVideo, Write,
};

fn feedback(kind: &str, user: &str, video: &str, value: f64, time: i64) -> Feedback {
    let (labels, comment) = (serde_json::Value::Null, String::new());
    Feedback { kind: kind.into(), user: user.into(), video: video.into(), value, time, labels, comment }
}

fn filled(path: &Path) -> Sqlite {
    let store = Sqlite::open(path, StoreConfig::default()).unwrap();
    store
        .put_users(&[StoredUser { id: "ann".into(), labels: json!({"age": 30.1}), comment: "a\nb".into() }])
        .unwrap();
    let video = StoredVideo {
        id: "影片\u{0}\"".into(),
        hidden: true,
        categories: vec!["a".into(), "b".into()],
        time: Some(i64::MIN),
        labels: json!([0.1, null]),
        comment: "One".into(),
    };
    store.put_videos(&[video, StoredVideo { id: "w".into(), ..StoredVideo::default() }]).unwrap();
    store.delete_user("buried").unwrap();
    store.delete_video("w").unwrap();
    let rows = [
        feedback("like", "bob", "z", 0.1 + 0.2, 5),
        feedback("like", "bob", "a", f64::MAX, 5),
        Feedback {
            labels: json!({"d": 1e-300}),
            comment: "c".into(),
            ..feedback("read", "ann", "a", -5e-324, i64::MAX)
        },
    ];
    store.append(&rows, Write::Overwrite).unwrap();
    store.append(&[feedback("like", "lost", "a", 1.0, 1)], Write::Overwrite).unwrap();
    store.forget("lost", 9).unwrap();
    store
}

fn told(store: &Sqlite) -> String {
    let all = FeedbackQuery { n: 1_000, ..FeedbackQuery::default() };
    let (users, videos) = (store.users("", 99).unwrap(), store.videos("", 99).unwrap());
    let presence = (store.user_presence("buried").unwrap(), store.video_presence("w").unwrap());
    assert_eq!(presence, (Presence::Deleted, Presence::Deleted));
    format!("{users:?} {videos:?} {:?} {:?}", store.feedback(&all).unwrap(), store.receipts(0).unwrap())
}

fn dump(store: &Sqlite) -> Vec<u8> {
    let mut out = Vec::new();
    store.dump(&mut out, &mut |_, _| ()).unwrap();
    out
}

fn restore(path: &Path, bytes: &[u8], merge: bool) -> Result<Counts, StoreError> {
    Sqlite::restore(path, &StoreConfig::default(), &mut &*bytes, merge, &mut |_, _| ())
}

#[test]
fn a_dump_restores_to_the_same_store_to_the_bit_and_dumps_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder.path().join("a.db"));
    let (mut bytes, mut heard) = (Vec::new(), Vec::new());
    store.dump(&mut bytes, &mut |done, of| heard.push((done, of))).unwrap();
    assert_eq!(heard, [(9, 9)], "3 users, 2 videos, 3 rows of feedback, 1 receipt");
    let path = folder.path().join("b.db");
    restore(&path, &bytes, false).unwrap();
    let back = Sqlite::open(&path, StoreConfig::default()).unwrap();
    assert_eq!(told(&back), told(&store));
    assert_eq!(dump(&back), bytes);
    assert_eq!(back.verify().unwrap().problems, [""; 0]);
    let on_a = FeedbackQuery { video: Some("a"), n: 9, ..FeedbackQuery::default() };
    assert_eq!(back.feedback(&on_a).unwrap().rows.len(), 2);
}

#[test]
fn a_dump_with_any_line_altered_lost_or_cut_is_refused_by_the_line_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = dump(&filled(&folder.path().join("a.db")));
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let path = folder.path().join("b.db");
    let refused = |bad: &[u8], line: usize, how: &str| {
        let error = restore(&path, bad, false).unwrap_err();
        assert!(
            matches!(error, StoreError::Dump { line: named, .. } if named == line as u64),
            "{how}: {error}"
        );
        let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
        assert_eq!(store.counts().unwrap(), Counts::default(), "{how}");
    };
    for at in 0..lines.len() {
        let (before, after) = (lines[..at].concat(), lines[at + 1..].concat());
        let mut altered = lines[at].to_vec();
        let middle = altered.len() - 4;
        altered[middle] ^= 1;
        refused(&[&before[..], &altered, &after].concat(), at + 1, "altered");
        refused(&[&before[..], &after].concat(), at + 1, "lost");
        if at + 1 < lines.len() {
            refused(&[&before[..], lines[at], lines[at], &after].concat(), at + 2, "twice");
        }
        refused(&before, at + 1, "cut between lines");
        refused(&[&before[..], &lines[at][..lines[at].len() / 2]].concat(), at + 1, "cut within a line");
    }
    restore(&path, &bytes, false).unwrap();
}

#[test]
fn a_store_that_holds_something_is_left_alone_unless_told_to_merge() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = dump(&filled(&folder.path().join("a.db")));
    let path = folder.path().join("b.db");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    store
        .append(
            &[feedback("like", "bob", "a", 2.0, 1), feedback("like", "eve", "a", 2.0, 1)],
            Write::Overwrite,
        )
        .unwrap();
    drop(store);
    let error = restore(&path, &bytes, false).unwrap_err();
    assert!(matches!(error, StoreError::NotEmpty { .. }), "{error}");
    restore(&path, &bytes, true).unwrap();
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    assert_eq!(store.history("eve", None, 9).unwrap(), [feedback("like", "eve", "a", 2.0, 1)]);
    let bob = store.history("bob", None, 9).unwrap();
    assert_eq!(bob.iter().map(|f| f.value).collect::<Vec<_>>(), [f64::MAX, 0.1 + 0.2]);
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
}

#[test]
fn a_dump_of_a_store_that_is_written_meanwhile_is_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("a.db"), StoreConfig::default()).unwrap();
    let pair = |at: i64| ["a", "b"].map(|video| feedback("like", &format!("u{at}"), video, 1.0, at));
    store.append(&(0..500).flat_map(pair).collect::<Vec<_>>(), Write::Overwrite).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in 500.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                store.append(&pair(at), Write::Overwrite).unwrap();
            }
        });
        for round in 0..20 {
            let bytes = dump(&store);
            let counts = restore(&folder.path().join(format!("{round}.db")), &bytes, false).unwrap();
            // Each commit adds one user and two rows.
            assert_eq!(counts.feedback, 2 * counts.users);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn rows_that_come_after_the_newest_of_a_restored_store_went_are_found_by_video() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("a.db"), StoreConfig::default()).unwrap();
    let rows = ["a", "b", "c"].map(|video| feedback("like", "ann", video, 1.0, 1));
    store.append(&rows, Write::Overwrite).unwrap();
    let path = folder.path().join("b.db");
    restore(&path, &dump(&store), false).unwrap();
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    store.delete_feedback(None, "ann", "c").unwrap();
    drop(store);
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    let new = feedback("like", "bob", "d", 1.0, 2);
    store.append(std::slice::from_ref(&new), Write::Overwrite).unwrap();
    let on_d = FeedbackQuery { video: Some("d"), n: 9, ..FeedbackQuery::default() };
    assert_eq!(store.feedback(&on_d).unwrap().rows, [new]);
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
}

fn played(id: &str) -> Identified {
    Identified {
        id: Some(id.into()),
        write: Write::Accumulate,
        feedback: feedback("watch", "ann", "a", 1.0, 1),
    }
}

#[test]
fn an_event_and_a_step_that_were_taken_before_a_dump_are_not_taken_again_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("a.db"), StoreConfig::default()).unwrap();
    let step = Step { stream: "events", from: 0, to: 7 };
    store.append_once(&[played("e1"), played("e2")], Some(step), 5).unwrap();
    let bytes = dump(&store);
    let path = folder.path().join("b.db");
    restore(&path, &bytes, false).unwrap();
    let back = Sqlite::open(&path, StoreConfig::default()).unwrap();
    assert_eq!(dump(&back), bytes);
    assert_eq!(back.position("events").unwrap(), 7);
    assert_eq!(back.append_once(&[played("e2"), played("e3")], None, 6).unwrap(), 1);
    assert_eq!(back.history("ann", None, 9).unwrap()[0].value, 3.0);
}

#[test]
fn a_store_that_stands_in_a_stream_is_not_empty_and_a_merge_keeps_where_it_is_farther() {
    let folder = tempfile::tempdir().unwrap();
    let stands_at = |name: &str, to: u64| {
        let path = folder.path().join(name);
        let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
        store.append_once(&[], Some(Step { stream: "events", from: 0, to }), 5).unwrap();
        (path, dump(&store))
    };
    let ((path, _), (_, farther), (_, nearer)) = (stands_at("a", 5), stands_at("b", 9), stands_at("c", 3));
    let error = restore(&path, &farther, false).unwrap_err();
    assert!(matches!(error, StoreError::NotEmpty { .. }), "{error}");
    for (bytes, expected) in [(&nearer, 5), (&farther, 9)] {
        restore(&path, bytes, true).unwrap();
        let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
        assert_eq!(store.position("events").unwrap(), expected);
    }
}

/// The dump as version 1 had it, which knew no events and positions.
fn version_1(bytes: &[u8]) -> Vec<u8> {
    let (mut before, mut out) = (String::new(), String::new());
    for line in std::str::from_utf8(bytes).unwrap().lines() {
        let (_, body) = line.strip_suffix(']').unwrap().split_once("\",").unwrap();
        let body = body.replace("\"version\":2", "\"version\":1");
        let body = body.replace(",\"event_ids\":0,\"positions\":0", "");
        before = blake3::hash(format!("{before}{body}").as_bytes()).to_hex()[..32].to_owned();
        out += &format!("[\"{before}\",{body}]\n");
    }
    out.into_bytes()
}

#[test]
fn a_dump_of_version_1_restores_to_what_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder.path().join("a.db"));
    let old = version_1(&dump(&store));
    assert!(!String::from_utf8_lossy(&old).contains("event_ids"));
    let path = folder.path().join("b.db");
    restore(&path, &old, false).unwrap();
    assert_eq!(told(&Sqlite::open(&path, StoreConfig::default()).unwrap()), told(&store));
}

#[test]
fn a_merge_continues_the_chain_of_receipts_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let first = dump(&filled(&path));
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    store.append(&[feedback("like", "second", "a", 1.0, 1)], Write::Overwrite).unwrap();
    store.forget("second", 10).unwrap();
    let (both, receipts) = (dump(&store), store.receipts(0).unwrap());
    drop(store);
    let merged = |path: &Path, bytes: &[u8]| {
        restore(path, bytes, true).unwrap();
        let store = Sqlite::open(path, StoreConfig::default()).unwrap();
        assert_eq!(store.verify().unwrap().problems, [""; 0]);
        assert_eq!(store.receipts(0).unwrap(), receipts);
    };
    merged(&path, &first);
    merged(&path, &both);
    // A copy that lacks the second learns of it.
    let copy = folder.path().join("b.db");
    restore(&copy, &first, false).unwrap();
    merged(&copy, &both);

    let other = folder.path().join("c.db");
    let store = Sqlite::open(&other, StoreConfig::default()).unwrap();
    store.forget("third", 11).unwrap();
    let before = dump(&store);
    drop(store);
    let error = restore(&other, &both, true).unwrap_err().to_string();
    assert!(error.contains("receipt") && error.contains("new file"), "{error}");
    assert_eq!(dump(&Sqlite::open(&other, StoreConfig::default()).unwrap()), before);
}

#[test]
fn who_and_what_is_deleted_in_a_dump_loses_its_feedback_in_a_merge() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = dump(&filled(&folder.path().join("a.db")));
    let path = folder.path().join("b.db");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    let rows = [
        feedback("like", "buried", "a", 1.0, 1),
        feedback("like", "eve", "w", 1.0, 1),
        feedback("like", "eve", "x", 1.0, 1),
    ];
    store.append(&rows, Write::Overwrite).unwrap();
    drop(store);
    restore(&path, &bytes, true).unwrap();
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    assert_eq!(store.user_presence("buried").unwrap(), Presence::Deleted);
    assert_eq!(store.history("buried", None, 9).unwrap(), []);
    assert_eq!(store.history("eve", None, 9).unwrap(), [rows[2].clone()]);
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
}
