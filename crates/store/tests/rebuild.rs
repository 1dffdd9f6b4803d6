//! What rows tell as well is named when it is damaged, and made anew from them.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;
use upnext_store::{
    Feedback, FeedbackQuery, Identified, Sqlite, Step, Store, StoreConfig, StoredUser, StoredVideo, Write,
};

fn event(at: i64) -> Feedback {
    Feedback {
        kind: "watch".into(),
        user: format!("u{}", at % 7),
        video: format!("v{}", at % 11),
        value: 1.0,
        time: at,
        labels: serde_json::Value::Null,
        comment: String::new(),
    }
}

/// A store with something in every table, of which only a part is sorted by video.
fn fill(path: &Path) {
    let config = StoreConfig { unsorted_rows_max: 10, ..StoreConfig::default() };
    let store = Sqlite::open(path, config).unwrap();
    let until = |n: i64| {
        for at in 0..n {
            store.append(&[event(at)], Write::Overwrite).unwrap();
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
    };
    until(60);
    store.put_users(&[StoredUser { id: "kim".into(), ..StoredUser::default() }]).unwrap();
    let videos =
        ["v1", "hid"].map(|id| StoredVideo { id: id.into(), hidden: id == "hid", ..StoredVideo::default() });
    store.put_videos(&videos).unwrap();
    let events = [Identified { id: Some("e1".into()), feedback: event(60), write: Write::Overwrite }];
    store.append_once(&events, Some(Step { stream: "s", from: 0, to: 1 }), 60).unwrap();
    store.delete_feedback(None, "u3", "v3").unwrap();
    store.forget("u5", 61).unwrap();
}

fn dump(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    let store = Sqlite::open_to_read(path, StoreConfig::default()).unwrap();
    store.dump(&mut out, &mut |_, _| ()).unwrap();
    out
}

fn problems(path: &Path) -> Vec<String> {
    Sqlite::open_to_read(path, StoreConfig::default()).unwrap().verify().unwrap().problems
}

/// What a question by video answers, which needs every tree but that by time; and by time.
fn answers(path: &Path) -> (Vec<Feedback>, Vec<Feedback>) {
    let store = Sqlite::open_to_read(path, StoreConfig::default()).unwrap();
    let query = FeedbackQuery { video: Some("v2"), n: 99, ..FeedbackQuery::default() };
    (store.feedback(&query).unwrap().rows, store.recent(0, None, 99).unwrap())
}

/// Changes rows behind the back of a tree, which stays as it was.
fn behind(connection: &Connection, tree: &str, change: &str) {
    let schema = |sql: &str| {
        connection
            .execute_batch(&format!("PRAGMA writable_schema = ON; {sql}; PRAGMA writable_schema = RESET"))
    };
    schema(&format!("CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema WHERE name = '{tree}'; DELETE FROM sqlite_schema WHERE name = '{tree}'")).unwrap();
    connection.execute_batch(change).unwrap();
    schema("INSERT INTO sqlite_schema SELECT * FROM kept; DROP TABLE kept").unwrap();
}

#[test]
fn each_derived_thing_is_named_when_damaged_and_made_anew_from_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.db");
    fill(&sound);
    assert_eq!(problems(&sound), [""; 0]);
    let (whole, answered) = (dump(&sound), answers(&sound));
    assert!(!answered.0.is_empty() && !answered.1.is_empty());

    type Damage = (&'static str, &'static str, fn(&Connection));
    macro_rules! by {
        ($sql:literal) => {
            |connection: &Connection| connection.execute_batch($sql).unwrap()
        };
    }
    let damages: [Damage; 13] = [
        ("rows lost by video", "should be sorted by video", by!("DELETE FROM feedback_by_video")),
        (
            "rows made up by video",
            "sorted by video, but gone",
            by!("INSERT INTO feedback_by_video VALUES ('v2', 4711)"),
        ),
        (
            "the mark too far",
            "should be sorted by video",
            by!("DELETE FROM feedback_by_video WHERE number > 5; UPDATE state SET value = 99999"),
        ),
        ("the mark lost", "how far rows are sorted", by!("DELETE FROM state")),
        ("a table lost", "table feedback_by_video is missing", by!("DROP TABLE feedback_by_video")),
        ("the marks' table lost", "table state is missing", by!("DROP TABLE state")),
        ("the trigger lost", "trigger feedback_gone is missing", by!("DROP TRIGGER feedback_gone")),
        (
            "the trigger changed",
            "trigger feedback_gone is another one",
            by!(
                "DROP TRIGGER feedback_gone; CREATE TRIGGER feedback_gone AFTER DELETE ON feedback BEGIN SELECT 1; END"
            ),
        ),
        ("a tree lost", "index feedback_by_number is missing", by!("DROP INDEX feedback_by_number")),
        ("another lost", "index event_ids_by_time is missing", by!("DROP INDEX event_ids_by_time")),
        (
            "a tree of others",
            "index feedback_by_time is another one",
            by!("DROP INDEX feedback_by_time; CREATE INDEX feedback_by_time ON feedback (value)"),
        ),
        ("a tree behind its rows", "feedback_by_time", |connection| {
            behind(connection, "feedback_by_time", "UPDATE feedback SET time = time + 5");
        }),
        ("a tree of hidden videos behind them", "videos_withheld", |connection| {
            behind(connection, "videos_withheld", "UPDATE videos SET hidden = NOT hidden");
        }),
    ];
    for (what, named, damage) in damages {
        let path = folder.path().join(format!("{}.db", what.replace(' ', "-")));
        std::fs::copy(&sound, &path).unwrap();
        let rows_before = {
            let connection = Connection::open(&path).unwrap();
            damage(&connection);
            // Where the damage changed rows, to get them out of step, those rows are the truth now.
            let sum =
                "SELECT total(time * number + 0 * value) + (SELECT total(hidden) FROM videos) FROM feedback";
            connection.query_row(sum, [], |row| row.get::<_, f64>(0)).unwrap()
        };
        let found = problems(&path);
        assert!(found.iter().any(|problem| problem.contains(named)), "{what}: {named} is not in {found:?}");
        Sqlite::rebuild(&path, &StoreConfig::default()).unwrap();
        assert_eq!(problems(&path), [""; 0], "{what}");
        if !what.contains("behind") {
            assert!(dump(&path) == whole, "{what}: the dump is another one");
            assert_eq!(answers(&path), answered, "{what}");
        }
        let connection = Connection::open(&path).unwrap();
        let sum =
            "SELECT total(time * number + 0 * value) + (SELECT total(hidden) FROM videos) FROM feedback";
        assert_eq!(connection.query_row(sum, [], |row| row.get::<_, f64>(0)).unwrap(), rows_before, "{what}");
        drop(connection);
        // It goes on as any other.
        let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
        store.append(&[event(1_000)], Write::Overwrite).unwrap();
        assert_eq!(store.recent(1_000, None, 9).unwrap(), [event(1_000)]);
    }
}

#[test]
fn a_tree_whose_pages_are_torn_is_made_anew_and_a_store_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fill(&path);
    let (whole, answered) = (dump(&path), answers(&path));
    for tree in ["feedback_by_time", "feedback_by_video", "feedback_by_number"] {
        let connection = Connection::open(&path).unwrap();
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64;
        let page = number(&format!("SELECT rootpage FROM sqlite_schema WHERE name = '{tree}'"));
        let bytes = number("PRAGMA page_size");
        drop(connection);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&vec![0xAB; bytes as usize], (page - 1) * bytes).unwrap();
        drop(file);
        let found = problems(&path);
        assert!(!found.is_empty(), "{tree}");
        Sqlite::rebuild(&path, &StoreConfig::default()).unwrap();
        assert_eq!(problems(&path), [""; 0], "{tree}");
        assert!(dump(&path) == whole && answers(&path) == answered, "{tree}");
    }
    let _held = Sqlite::open(&path, StoreConfig::default()).unwrap();
    let error = Sqlite::rebuild(&path, &StoreConfig::default()).unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
    let missing = folder.path().join("none.db");
    assert!(Sqlite::rebuild(&missing, &StoreConfig::default()).is_err() && !missing.exists());
}
