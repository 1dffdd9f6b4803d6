//! An import that is killed with signal 9, again and again, goes on after the files that it had read, and ends in the
//! same run as one that nobody disturbed.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod terminal;

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use terminal::Desk;

const FILES: u32 = 12;
const ROWS: u32 = 40_000;
const LINE: &str = "import logs/*.csv --memory 64MiB --keep-every 0 --split global-time --json";

fn log(file: u32) -> String {
    let mut log = String::from("user,video,watch_seconds,duration,timestamp\n");
    for row in 0..ROWS {
        let at = file * ROWS + row;
        let user = at.wrapping_mul(2_654_435_761) % (1_000 * (file + 1));
        writeln!(log, "{user},{},{},20,{}", at % 1_009, at % 23, 1_593_898_068 + at).unwrap();
    }
    log
}

/// What an import says, without what may differ.
fn said(mut said: Value) -> Value {
    let said_of = said.as_object_mut().unwrap();
    said_of.remove("run");
    said_of.remove("files_read_before");
    said
}

#[test]
fn a_killed_import_goes_on_and_makes_the_same_run() {
    let desk = Desk::new();
    for file in 0..FILES {
        desk.write(&format!("logs/{file}.csv"), log(file));
    }
    let whole = desk.run(&format!("{LINE} --out whole")).json();
    assert_eq!(whole["files_read_before"], 0);

    let state = desk.path(".run.kept/state");
    let newest = || fs::metadata(&state).and_then(|about| about.modified()).ok();
    let args: Vec<String> = format!("{LINE} --out run").split(' ').map(str::to_owned).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    for kill in 0..3 {
        let before = newest();
        let mut child = desk.command(&args).spawn().unwrap();
        let ended = loop {
            if newest().is_some_and(|now| Some(now) != before) {
                // SIGKILL: nothing of the process runs after this.
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(ended.code().is_none() && state.exists(), "kill {kill} came after the end: {ended}");
        assert!(!desk.path("run").exists());
    }
    let done = desk.run(&format!("{LINE} --out run")).json();
    assert!(done["files_read_before"].as_u64() >= Some(3), "{}", done["files_read_before"]);
    assert_eq!(said(done), said(whole));
    for file in ["events", "interactions", "users", "videos"].map(|name| format!("dataset/{name}.parquet")) {
        let path = |run: &str| desk.path(&format!("{run}/{file}"));
        let bytes = |run: &str| fs::read(path(run)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(bytes("run") == bytes("whole"), "{file} differs");
    }
    assert!(!desk.path(".run.kept").exists());
}
