//! Acknowledged means durable: a process that writes is killed again and again, and nothing it acknowledged
//! is missing afterwards.
//!
//! This file is its own child: with `UPNEXT_STORE_WRITER` set, it writes to that file from several threads,
//! and prints each event after the store has acknowledged it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use upnext_store::{Feedback, FeedbackQuery, Sqlite, Store, StoreConfig, Write};

const KILLS: usize = 100;
const THREADS: usize = 4;

#[test]
fn every_acknowledged_event_is_there_after_each_of_many_kills() {
    if let Ok(path) = std::env::var("UPNEXT_STORE_WRITER") {
        write_until_killed(&path);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut acknowledged: HashSet<String> = HashSet::new();
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "every_acknowledged_event_is_there_after_each_of_many_kills"])
            .env("UPNEXT_STORE_WRITER", &path)
            .env("UPNEXT_STORE_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            // A line cut off by the kill was never said in full, so it counts for nothing.
            let said = |line: String| Some(line.strip_prefix("ack ")?.strip_suffix(" end")?.to_owned());
            lines.map_while(Result::ok).filter_map(said).collect::<Vec<String>>()
        });
        // Kill at another point each time, in the middle of whatever it does, opening the file included.
        let random = (round as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        std::thread::sleep(Duration::from_micros(5_000 + random % 120_000));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "the child ended by itself: {status}");
        acknowledged.extend(reader.join().unwrap());

        let store = Sqlite::open(&path, StoreConfig::default()).unwrap();
        let mut found = HashSet::new();
        let mut cursor = String::new();
        loop {
            let page = store
                .feedback(&FeedbackQuery { cursor: &cursor, n: 10_000, ..FeedbackQuery::default() })
                .unwrap();
            found.extend(page.rows.into_iter().map(|f| f.video));
            cursor = page.cursor;
            if cursor.is_empty() {
                break;
            }
        }
        let lost: Vec<&String> = acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "kill {round} lost {} acknowledged events: {lost:?}", lost.len());
    }
    assert!(acknowledged.len() > 10 * KILLS, "only {} events were acknowledged", acknowledged.len());
    println!("{KILLS} kills, {} acknowledged events, none lost", acknowledged.len());
}

fn write_until_killed(path: &str) -> ! {
    let round = std::env::var("UPNEXT_STORE_ROUND").unwrap();
    let store = Sqlite::open(path, StoreConfig::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, round) = (&store, &round);
            scope.spawn(move || {
                for at in 0.. {
                    let batch: Vec<Feedback> = (0..3)
                        .map(|part| Feedback {
                            kind: "watch".into(),
                            user: format!("viewer {thread}"),
                            video: format!("{round}-{thread}-{at}-{part}"),
                            value: 1.0,
                            time: at,
                            labels: serde_json::Value::Null,
                            comment: String::new(),
                        })
                        .collect();
                    store.append(&batch, Write::Accumulate).unwrap();
                    let mut out = std::io::stdout().lock();
                    for event in &batch {
                        writeln!(out, "ack {} end", event.video).unwrap();
                    }
                    out.flush().unwrap();
                }
            });
        }
    });
    unreachable!("the threads write until the process is killed")
}
