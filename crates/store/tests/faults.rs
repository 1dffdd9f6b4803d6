//! What happens when the disk is full, cannot be written, or was torn off in the middle of a write, and when
//! the clock goes back.
//!
//! This file is its own child for the full disk: with `UPNEXT_STORE_FILLER` set, it writes to that file until
//! it is refused.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

use upnext_store::{Counts, Feedback, FeedbackQuery, Sqlite, Store, StoreConfig, StoreError, Write};

fn feedback(user: &str, video: &str, value: f64, time: i64) -> Feedback {
    let (labels, comment) = (serde_json::Value::Null, String::new());
    Feedback { kind: "like".into(), user: user.into(), video: video.into(), value, time, labels, comment }
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_refuses_by_name_and_keeps_what_it_acknowledged() {
    if let Ok(path) = std::env::var("UPNEXT_STORE_FILLER") {
        return fill(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    // Files may not grow beyond 2 MiB: for a program, what a full disk is. Without the trap it would be killed.
    let script = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"";
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "a_disk_that_is_full_refuses_by_name_and_keeps_what_it_acknowledged",
        ])
        .env("UPNEXT_STORE_FILLER", &path)
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap();
    assert!(child.status.success(), "{said} {}", String::from_utf8_lossy(&child.stderr));
    let acknowledged = said.lines().filter(|line| line.contains("ack ")).count();
    let refused = said.lines().find(|line| line.starts_with("refused: ")).unwrap();
    assert!(refused.contains("store.db"), "{refused}");
    assert!(acknowledged > 10, "{said}");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
    let found = store.counts().unwrap().feedback;
    assert_eq!(found as usize, 100 * acknowledged, "a call that was refused left nothing");
    store.append(&[feedback("u", "with room again", 1.0, 1)], Write::Overwrite).unwrap();
}

fn fill(path: &Path) {
    let store = Sqlite::open(path, StoreConfig::default()).unwrap();
    for part in 0..1_000 {
        let rows: Vec<Feedback> =
            (0..100).map(|at| feedback(&format!("u{at}"), &format!("v{part}"), 1.0, at)).collect();
        match store.append(&rows, Write::Overwrite) {
            Ok(_) => println!("\nack {part}"),
            Err(error) => {
                println!("\nrefused: {error}");
                let read = store.history("u7", None, 9_999).unwrap();
                assert_eq!(read.len(), part, "what is there can still be read");
                return;
            }
        }
    }
    panic!("it was never refused");
}

#[test]
fn a_folder_that_cannot_be_written_and_a_file_that_may_not_be_are_named() {
    // No permission keeps an administrator out, but nobody can make files there.
    if cfg!(target_os = "linux") {
        let error = Sqlite::open("/proc/upnext/store.db", StoreConfig::default()).unwrap_err();
        assert!(error.to_string().contains("/proc/upnext"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(Sqlite::open(&path, StoreConfig::default()).unwrap());
    let mut only_read = path.metadata().unwrap().permissions();
    only_read.set_readonly(true);
    std::fs::set_permissions(&path, only_read).unwrap();
    let error = Sqlite::open(&path, StoreConfig::default()).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    let beside = Sqlite::open_to_read(&path, StoreConfig::default()).unwrap();
    assert_eq!(beside.counts().unwrap(), Counts::default(), "it can still be read");
}

/// A folder in memory where there is one: thousands of files are opened.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_transaction_opens_as_before_or_after_it() {
    let folder = quick_folder();
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    store.append(&[feedback("ann", "a", 1.0, 1), feedback("bob", "b", 2.0, 2)], Write::Overwrite).unwrap();
    let before = log_of(&path).metadata().unwrap().len();
    // The same time, so that only the row's own page changes.
    store.append(&[feedback("ann", "a", 7.0, 1)], Write::Overwrite).unwrap();
    // The files as a process that was killed now would leave them: the copy is made while it is open.
    let (file, log) = (std::fs::read(&path).unwrap(), std::fs::read(log_of(&path)).unwrap());
    drop(store);
    assert!(log.len() as u64 > before, "the last transaction stands at the end of the log");
    let cut = folder.path().join("cut.db");
    let mut values = Vec::new();
    for end in before as usize..=log.len() {
        let _ = std::fs::remove_file(folder.path().join("cut.db-shm"));
        std::fs::write(&cut, &file).unwrap();
        std::fs::write(log_of(&cut), &log[..end]).unwrap();
        let store = Sqlite::open(&cut, StoreConfig::default()).unwrap();
        let rows = store.feedback(&FeedbackQuery { n: 9, ..FeedbackQuery::default() }).unwrap().rows;
        assert_eq!(rows.len(), 2, "cut at {end}");
        assert_eq!(rows[1], feedback("bob", "b", 2.0, 2));
        assert_eq!(Feedback { value: 0.0, ..rows[0].clone() }, feedback("ann", "a", 0.0, 1));
        values.push(rows[0].value);
    }
    assert!(values.len() > 4_096, "a page at least");
    let (last, torn) = values.split_last().unwrap();
    assert_eq!(*last, 7.0, "whole, it is there");
    assert!(torn.iter().all(|&value| value == 1.0), "cut anywhere, nothing of it is there");
}

#[test]
fn a_byte_changed_in_the_last_transaction_undoes_it_whole() {
    let folder = quick_folder();
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
    store.append(&[feedback("ann", "a", 1.0, 1)], Write::Overwrite).unwrap();
    let before = log_of(&path).metadata().unwrap().len() as usize;
    store.append(&[feedback("ann", "a", 7.0, 1)], Write::Overwrite).unwrap();
    let (file, log) = (std::fs::read(&path).unwrap(), std::fs::read(log_of(&path)).unwrap());
    drop(store);
    let cut = folder.path().join("cut.db");
    for at in (before..log.len()).step_by(61) {
        let mut log = log.clone();
        log[at] ^= 0x10;
        std::fs::write(&cut, &file).unwrap();
        std::fs::write(log_of(&cut), &log).unwrap();
        let store = Sqlite::open(&cut, StoreConfig::default()).unwrap();
        assert_eq!(store.history("ann", None, 9).unwrap(), [feedback("ann", "a", 1.0, 1)], "changed at {at}");
    }
}

#[test]
fn a_clock_that_goes_back_loses_nothing_and_keeps_orders_apart() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("store.db"), StoreConfig::default()).unwrap();
    for (at, time) in [100, 50, 150, 20].into_iter().enumerate() {
        store.append(&[feedback("ann", &at.to_string(), 1.0, time)], Write::Accumulate).unwrap();
    }
    let videos = |rows: Vec<Feedback>| rows.into_iter().map(|f| f.video).collect::<Vec<_>>();
    assert_eq!(videos(store.history("ann", None, 9).unwrap()), ["3", "1", "0", "2"], "by time");
    let all = FeedbackQuery { n: 9, ..FeedbackQuery::default() };
    assert_eq!(videos(store.feedback(&all).unwrap().rows), ["0", "1", "2", "3"], "by first writing");
    // A second writing of a row with an earlier clock adds, and leaves the later time.
    store.append(&[feedback("ann", "2", 1.0, 10)], Write::Accumulate).unwrap();
    let newest = store.history("ann", None, 1).unwrap();
    assert_eq!((newest[0].value, newest[0].time), (2.0, 150));
}
