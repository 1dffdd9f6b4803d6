//! A file that an earlier build wrote is read as it was, and refused where it cannot be.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;
use upnext_store::{
    Counts, Feedback, FeedbackQuery, Presence, SCHEMA_VERSION, Sqlite, Store, StoreConfig, StoreError,
    StoredUser, StoredVideo, Write,
};

/// `tests/data/version-1.sqlite` was written by the build whose schema was 1.
fn version_1(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("store.db");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/version-1.sqlite"), &path).unwrap();
    path
}

fn feedback(kind: &str, user: &str, video: &str, value: f64, time: i64) -> Feedback {
    let (labels, comment) = (serde_json::Value::Null, String::new());
    Feedback { kind: kind.into(), user: user.into(), video: video.into(), value, time, labels, comment }
}

#[test]
fn a_file_of_schema_1_says_afterwards_what_it_said_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = version_1(folder.path());
    let error = Sqlite::open_to_read(&path, StoreConfig::default()).unwrap_err();
    assert!(matches!(error, StoreError::Older { found: 1, expected: SCHEMA_VERSION, .. }), "{error}");

    drop(Sqlite::open(&path, StoreConfig::default()).unwrap());
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    assert_eq!(store.counts().unwrap(), Counts { users: 8, videos: 2, feedback: 24 });
    let all = store.feedback(&FeedbackQuery { n: 100, ..FeedbackQuery::default() }).unwrap().rows;
    let told = Feedback {
        labels: json!({"device": "tv"}),
        comment: "good".into(),
        ..feedback("read", "bob", "v2", 0.75, 9)
    };
    let first = [
        feedback("like", "bob", "v2", 1.0, 7),
        told.clone(),
        feedback("like", "bob", "a", 1.0, 7),
        feedback("like", "ann", "v1", 1.0, 3),
        feedback("like", "影片\u{0}", "a\u{0}b", -1.5, i64::MIN),
    ];
    assert_eq!(all[..5], first, "in the order of first writing");
    let history = store.history("bob", None, 9).unwrap();
    assert_eq!(history, [first[0].clone(), first[2].clone(), told]);
    let on_v2 = FeedbackQuery { video: Some("v2"), n: 9, ..FeedbackQuery::default() };
    assert_eq!(store.feedback(&on_v2).unwrap().rows.len(), 3);
    let ann = StoredUser { id: "ann".into(), labels: json!({"age": 30}), comment: "first".into() };
    assert_eq!(store.user("ann").unwrap(), Some(ann));
    assert_eq!(store.user_presence("gone").unwrap(), Presence::Deleted);
    assert_eq!(store.hidden(9).unwrap(), ["gone", "v1"]);
    let v1 = StoredVideo {
        id: "v1".into(),
        hidden: true,
        categories: vec!["a".into(), "b".into()],
        time: Some(-5),
        labels: json!(["x", 1.5]),
        comment: "One".into(),
    };
    assert_eq!(store.video("v1").unwrap(), Some(v1));

    // A row that is there keeps its place, a new one comes last.
    let more = [feedback("like", "bob", "v2", 1.0, 8), feedback("like", "bob", "new", 1.0, 8)];
    store.append(&more, Write::Accumulate).unwrap();
    let all = store.feedback(&FeedbackQuery { n: 100, ..FeedbackQuery::default() }).unwrap().rows;
    assert_eq!((all.len(), all[0].value, &all[24].video[..]), (25, 2.0, "new"));
}

#[test]
fn a_migration_that_fails_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = version_1(folder.path());
    // A table in the way of the new ones.
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE state (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Sqlite::open(&path, StoreConfig::default()).unwrap_err();
    assert!(matches!(error, StoreError::Migration { found: 1, .. }), "{error}");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let n: i64 = connection.query_row("SELECT count(*) FROM feedback", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 24);
    drop(connection);
    // Bytes 18 and 19 say that there is a write-ahead log; 24 to 28 and 92 to 100 count changes.
    let after = std::fs::read(&path).unwrap();
    assert_eq!(before.len(), after.len());
    assert_eq!(before[100..], after[100..]);
}
