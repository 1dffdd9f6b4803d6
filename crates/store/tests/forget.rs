//! Who is forgotten leaves no byte, what is old goes in steps, and the disk gets its space back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use upnext_store::{
    Counts, Feedback, Identified, Presence, Receipt, Sqlite, Store, StoreConfig, StoreError, StoredUser,
    StoredVideo, UserPatch, Write,
};

fn feedback(kind: &str, user: &str, video: &str, time: i64) -> Feedback {
    let (labels, comment) = (serde_json::Value::Null, String::new());
    Feedback { kind: kind.into(), user: user.into(), video: video.into(), value: 1.0, time, labels, comment }
}

/// The names of files of the folder in which the bytes stand.
fn files_with(folder: &Path, bytes: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let held = std::fs::read(&path).unwrap();
        if held.windows(bytes.len()).any(|window| window == bytes.as_bytes()) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn no_byte_of_a_forgotten_id_is_left_and_the_receipt_names_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    // Among enough users that pages split and cells move, as in a store that has grown.
    let id = |at: usize| format!("person-{:04}-{at:05}", (at * 7919) % 10_000);
    for part in (0..4_000).collect::<Vec<_>>().chunks(500) {
        let rows: Vec<Feedback> = part
            .iter()
            .flat_map(|&at| ["a", "b"].map(|v| feedback("watch", &id(at), v, at as i64)))
            .collect();
        store.append(&rows, Write::Overwrite).unwrap();
        let users = part.iter().map(|&at| StoredUser {
            id: id(at),
            labels: json!({"at": at}),
            comment: String::new(),
        });
        store.put_users(&users.collect::<Vec<_>>()).unwrap();
    }
    let gone = id(1_234);
    store.append(&[feedback("like", &gone, "a", 5)], Write::Overwrite).unwrap();
    let patch = UserPatch { comment: Some(format!("I am {gone}")), labels: None };
    store.patch_user(&gone, &patch).unwrap();
    assert!(!files_with(folder.path(), &gone).is_empty());

    let receipt = store.forget(&gone, 77).unwrap();
    assert_eq!(files_with(folder.path(), &gone), [""; 0], "while the store is open");
    let kinds = BTreeMap::from([("like".to_owned(), 1), ("watch".to_owned(), 2)]);
    assert_eq!((receipt.time, receipt.profiles, &receipt.feedback), (77, 1, &kinds));
    assert_eq!(store.user_presence(&gone).unwrap(), Presence::Unknown);
    assert_eq!(store.history(&gone, None, 9).unwrap(), []);
    assert_eq!(store.counts().unwrap(), Counts { users: 3_999, videos: 0, feedback: 7_998 });

    // The clock may go back; receipts stand in the order in which they were given.
    let again = store.forget(&gone, 70).unwrap();
    assert_eq!((again.profiles, again.feedback.len()), (0, 0), "there was nothing left");
    assert_eq!(store.receipts(0).unwrap(), [receipt.clone(), again.clone()]);
    assert_eq!(store.receipts(1).unwrap(), std::slice::from_ref(&again));
    assert!(Receipt::chained(&[receipt.clone(), again.clone()]));
    assert!(!Receipt::chained(std::slice::from_ref(&again)), "the first was taken out");
    let altered = Receipt { profiles: 0, ..receipt };
    assert!(!Receipt::chained(&[altered, again]));

    store.append(&[feedback("like", &id(7), "z", 5)], Write::Overwrite).unwrap();
    drop(store);
    assert_eq!(files_with(folder.path(), &gone), [""; 0], "after it was closed");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
    store.append(&[feedback("like", &gone, "a", 5)], Write::Overwrite).unwrap();
    assert_eq!(store.history(&gone, None, 9).unwrap().len(), 1, "who comes back begins anew");
}

#[test]
fn every_one_of_a_hundred_users_can_be_forgotten_to_the_last_byte() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("store.db"), StoreConfig::default()).unwrap();
    let id = |at: usize| format!("viewer-{:03}", (at * 37) % 100);
    for at in 0..100 {
        let rows: Vec<Feedback> = (0..30).map(|v| feedback("watch", &id(at), &format!("v{v}"), v)).collect();
        store.append(&rows, Write::Overwrite).unwrap();
    }
    for at in 0..100 {
        store.forget(&id(at), 0).unwrap();
        assert_eq!(files_with(folder.path(), &id(at)), [""; 0]);
    }
    assert_eq!(store.counts().unwrap(), Counts::default());
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
}

#[test]
fn old_feedback_goes_in_steps_and_its_space_goes_back_to_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    for part in 0..20 {
        let rows =
            (0..1_000).map(|at| feedback("watch", &format!("user {at}"), &format!("video {part}"), part));
        store.append(&rows.collect::<Vec<_>>(), Write::Overwrite).unwrap();
    }
    assert_eq!(store.expire(i64::MIN, 1_000).unwrap(), 0);
    let mut steps = Vec::new();
    loop {
        match store.expire(15, 4_000).unwrap() {
            0 => break,
            n => steps.push(n),
        }
    }
    assert_eq!(steps, [4_000, 4_000, 4_000, 3_000]);
    let left = store.recent(i64::MIN, None, 9_999).unwrap();
    assert_eq!(left.len(), 5_000);
    assert!(left.iter().all(|f| f.time >= 15), "what is as old as the bound stays");
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
    drop(store);
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    let before = path.metadata().unwrap().len();
    let mut back = 0;
    loop {
        match store.compact(50).unwrap() {
            0 => break,
            n => back += n,
        }
    }
    let after = path.metadata().unwrap().len();
    assert_eq!(before - back, after);
    assert!(after < before / 2, "{before} bytes became {after}");
    assert_eq!(store.recent(i64::MIN, None, 9_999).unwrap(), left);
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
}

#[test]
fn with_too_little_free_on_the_disk_what_adds_is_refused_and_what_deletes_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    let ann = StoredUser { id: "ann".into(), ..StoredUser::default() };
    let rows = [1, 2, 3].map(|at| feedback("like", "ann", &at.to_string(), at));
    store.append(&rows, Write::Overwrite).unwrap();
    drop(store);
    let full = StoreConfig { free_bytes_min: u64::MAX, ..StoreConfig::default() };
    let store = Sqlite::open(&path, full).unwrap();
    let error = store.append(&rows, Write::Overwrite).unwrap_err();
    assert!(matches!(&error, StoreError::NoRoom { folder: named, .. } if named == folder.path()), "{error}");
    assert!(error.to_string().contains(&u64::MAX.to_string()), "{error}");
    assert!(store.put_users(&[ann]).is_err());
    assert!(store.put_videos(&[StoredVideo::default()]).is_err());
    assert!(store.patch_user("ann", &UserPatch::default()).is_err());
    assert_eq!(store.delete_feedback(None, "ann", "1").unwrap(), 1);
    assert_eq!(store.expire(3, 9).unwrap(), 1);
    assert_eq!(store.forget("ann", 0).unwrap().feedback["like"], 1);
    assert_eq!(store.counts().unwrap(), Counts::default());
}

#[test]
fn an_event_whose_id_names_the_user_leaves_no_byte_and_still_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("store.db"), StoreConfig::default()).unwrap();
    let gone = "person-0001-00042";
    let event = Identified {
        id: Some(format!("{gone}/play/1")),
        write: Write::Accumulate,
        feedback: feedback("watch", gone, "a", 1),
    };
    assert_eq!(store.append_once(std::slice::from_ref(&event), None, 5).unwrap(), 1);
    store.forget(gone, 6).unwrap();
    assert_eq!(files_with(folder.path(), gone), [""; 0]);
    assert_eq!(store.append_once(&[event], None, 7).unwrap(), 0);
}

#[test]
fn bytes_of_a_forgotten_id_that_stay_are_told_unless_rows_of_others_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    // The second's id begins with the first's, and the third's is a word of the tables.
    let ids = ["person-1", "person-10", "by_video_until", "person-2"];
    store.append(&ids.map(|id| feedback("watch", id, "a", 1)), Write::Overwrite).unwrap();
    store.forget("person-1", 5).unwrap();
    store.forget("by_video_until", 5).unwrap();
    drop(store);
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE foreign_notes (x TEXT); INSERT INTO foreign_notes VALUES ('person-2')")
        .unwrap();
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    let error = store.forget("person-2", 6).unwrap_err();
    assert!(matches!(&error, StoreError::NotErased { path: named } if *named == path), "{error}");
    assert_eq!(store.history("person-2", None, 9).unwrap(), []);
}
