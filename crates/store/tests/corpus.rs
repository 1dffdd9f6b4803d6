//! Stored dumps and store files, and changed copies of them: refused in words, or read.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../corpus/mutations.rs"]
mod mutations;

use upnext_store::{FeedbackQuery, Sqlite, Store, StoreConfig};

/// The lines of a dump with checks that fit, so that what they say is read.
fn sealed(bodies: &[u8]) -> Vec<u8> {
    let mut before = String::new();
    let mut out = Vec::new();
    for body in bodies.split(|byte| *byte == b'\n').filter(|body| !body.is_empty()) {
        let check = blake3::hash(&[before.as_bytes(), body].concat()).to_hex()[..32].to_string();
        out.extend([b"[\"", check.as_bytes(), b"\",", body, b"]\n"].concat());
        before = check;
    }
    out
}

#[test]
fn dumps_are_restored_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let restored = std::cell::Cell::new(0);
    let restore = |bytes: &[u8]| {
        let path = folder.path().join("store.db");
        let done = Sqlite::restore(&path, &StoreConfig::default(), &mut &*bytes, false, &mut |_, _| ());
        match done {
            Ok(_) => {
                restored.set(restored.get() + 1);
                let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
                assert_eq!(store.verify().unwrap().problems, [""; 0]);
                // What was taken can be given back.
                store.dump(&mut Vec::new(), &mut |_, _| ()).unwrap();
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    };
    let n = mutations::replay("dumps", |bytes| {
        restore(bytes);
        restore(&sealed(bytes));
    });
    assert!(n > 50 && restored.get() >= 2, "{n} inputs, {} of them restored", restored.get());
}

#[test]
fn files_of_stores_are_opened_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let opened = std::cell::Cell::new(0);
    let n = mutations::replay("stores", |bytes| {
        let path = folder.path().join("store.db");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(store) = Sqlite::open(&path, StoreConfig::default()) {
            opened.set(opened.get() + 1);
            // Each answers or says what is wrong; damage need not be seen by each.
            let all = FeedbackQuery { n: 100, ..FeedbackQuery::default() };
            let _ = (store.feedback(&all), store.users("", 100), store.videos("", 100), store.counts());
            let _ = (store.history("u1", None, 100), store.recent(0, None, 100), store.hidden(100));
            let _ = store.verify();
        }
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    });
    assert!(n > 50 && opened.get() > 0, "{n} inputs, {} of them opened", opened.get());
}
