//! A disk that takes half a second for what others do in milliseconds: writers are told to come back, readers notice nothing, and in
//! the end the state is that of a fast disk.
//!
//! The disk is slow for real: a library loaded before the C library sleeps in `fsync` and `fdatasync` while a file says so.

#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service::Service;

mod service;

const SYNC_MILLISECONDS: u64 = 500;
const WRITERS: usize = 12;
const EVENTS_EACH: usize = 4;

const SLOW_DISK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int after_a_while(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *flag = getenv("SLOW_WHILE");
    if (flag && access(flag, F_OK) == 0) {
        struct timespec time = {0, SYNC_MILLISECONDS * 1000000L};
        nanosleep(&time, NULL);
    }
    return real(file);
}

int fsync(int file) { return after_a_while("fsync", file); }
int fdatasync(int file) { return after_a_while("fdatasync", file); }
"#;

/// The library that makes the disk slow.
fn library(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("slow.c"), folder.join("slow.so"));
    std::fs::write(&source, SLOW_DISK).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg(format!("-DSYNC_MILLISECONDS={SYNC_MILLISECONDS}"))
        .arg("-ldl")
        .status();
    assert!(built.unwrap().success(), "a C compiler is there: it built SQLite");
    library
}

/// Status, head and body.
fn ask(address: &str, method: &str, path: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let n = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {n}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_string())
}

fn event(writer: usize, at: usize) -> String {
    let time = 1_700_500_000_000i64 + at as i64;
    json!([{"user": format!("u{writer}"), "video": format!("v{at}"), "action": "like", "time": time}])
        .to_string()
}

/// Every row of feedback, in an order of its own.
fn state(address: &str) -> Vec<String> {
    let (status, _, body) = ask(address, "GET", "/api/feedback?n=10000", "");
    assert_eq!(status, 200, "{body}");
    let page: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(page["Cursor"], "");
    let mut rows: Vec<String> = page["Feedback"].as_array().unwrap().iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

#[test]
fn while_the_disk_is_slow_writers_are_told_to_come_back_reads_go_on_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let run = service::small_run(folder.path());
    let (library, flag) = (library(folder.path()), folder.path().join("slow"));
    let config = folder.path().join("c.toml");
    std::fs::write(&config, "[store]\nqueue_calls_max = 2\n").unwrap();
    let environment = [("LD_PRELOAD", library.to_str().unwrap()), ("SLOW_WHILE", flag.to_str().unwrap())];
    let more = ["--config", config.to_str().unwrap()];
    let mut service = Service::start_with(&run, &environment, &more);
    let address = service.address.as_str();
    assert_eq!(ask(address, "POST", "/api/v2/events", &event(99, 0)).0, 200);

    std::fs::write(&flag, "").unwrap();
    let (refused, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut reads = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let refused = &refused;
                scope.spawn(move || {
                    for at in 0..EVENTS_EACH {
                        loop {
                            let (status, head, body) =
                                ask(address, "POST", "/api/v2/events", &event(writer, at));
                            if status == 200 {
                                break;
                            }
                            assert_eq!(status, 503, "{body}");
                            assert!(
                                head.contains("\r\nretry-after: ") && body.contains("busy"),
                                "{head} {body}"
                            );
                            refused.fetch_add(1, Ordering::Relaxed);
                            std::thread::sleep(Duration::from_millis(20));
                        }
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut times = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let (status, _, body) = ask(address, "GET", "/api/v2/recommend/u3?n=5", "");
                assert!(status == 200 && body.contains(r#""failures":[]"#), "{status} {body}");
                times.push(begun.elapsed());
                std::thread::sleep(Duration::from_millis(5));
            }
            times
        });
        let begun = Instant::now();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert!(begun.elapsed() > Duration::from_millis(4 * SYNC_MILLISECONDS), "the disk was not slow");
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    reads.sort();
    let (refused, median) = (refused.into_inner(), reads[reads.len() / 2]);
    println!(
        "{refused} writes were told to come back; {} reads, median {median:?}, longest {:?}",
        reads.len(),
        reads[reads.len() - 1]
    );
    assert!(refused > WRITERS, "more wait than the queue takes: {refused}");
    // Most reads fall into a sync; none of them waits for it.
    assert!(median < Duration::from_millis(SYNC_MILLISECONDS / 2), "{median:?}");

    // Killed while the disk is still slow: what was acknowledged is there, and is what a fast disk would hold.
    service.child.kill().unwrap();
    service.child.wait().unwrap();
    let again = Service::start(&run);
    let found = state(&again.address);
    drop(again);

    let other = tempfile::tempdir().unwrap();
    let fast = Service::start(&service::small_run(other.path()));
    assert_eq!(ask(&fast.address, "POST", "/api/v2/events", &event(99, 0)).0, 200);
    for writer in 0..WRITERS {
        for at in 0..EVENTS_EACH {
            assert_eq!(ask(&fast.address, "POST", "/api/v2/events", &event(writer, at)).0, 200);
        }
    }
    assert_eq!(state(&fast.address), found);
    assert_eq!(found.len(), WRITERS * EVENTS_EACH + 1);
}
