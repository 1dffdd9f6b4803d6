//! Two towers that others read: a NumPy script makes the same vectors from the exported files; and a network that goes on
//! from an older run when videos and users have come.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod terminal;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use terminal::Desk;

/// Viewers walk through videos in order, each at a stride of their own; the log ends at a moment.
fn log(n_users: u32, n_videos: u32, until: u32) -> String {
    let mut log = String::from("user,video,ratio,timestamp\n");
    for user in 0..n_users {
        for at in 0..14 {
            let time = 1_600_000_000 + at * 86_400 + user;
            if at < until {
                let video = (user * 5 + at * (1 + user % 2)) % n_videos;
                writeln!(log, "u{user},v{video},{},{time}", 0.5 + 0.1 * f64::from(at % 7)).unwrap();
            }
        }
    }
    log
}

/// A Python with NumPy: where UPNEXT_PYTHON says, the one that `.ci/run` makes, or the machine's own.
fn python() -> Option<PathBuf> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    let named = std::env::var_os("UPNEXT_PYTHON").map(PathBuf::from);
    let candidates = named.into_iter().chain([made, "python3".into()]);
    candidates.into_iter().find(|python| {
        Command::new(python).args(["-c", "import numpy"]).output().is_ok_and(|done| done.status.success())
    })
}

const TWO_TOWER: &str = "--set two-tower.dimension=16 --set two-tower.item_layers=[16,8] --set two-tower.learn.epochs_max=3 \
                         --set two-tower.negatives=16 --set two-tower.learn.batch=32";

#[test]
fn numpy_alone_reads_the_exported_towers_and_gets_the_same_vectors() {
    let desk = Desk::new();
    desk.write("log.csv", log(40, 30, 14));
    let titles: String = (0..30)
        .map(|video| format!("v{video},A film about {} number {video}\n", ["cats", "dogs", "sea"][video % 3]))
        .collect();
    desk.write("videos.csv", format!("video,title\n{titles}"));
    desk.run("import log.csv videos.csv --out run --relevance any").done();
    desk.run("export run --out towers").failed(&["there is no model", "upnext train"]);
    desk.run("train run --models popular --bogus").wrong(&["--bogus"]);
    desk.run("train run --models popular --ranker closed-blend").done();
    desk.run("export run --out towers").failed(&["no two-tower", "--ranker two-tower"]);
    desk.run(&format!("train run --models popular --ranker two-tower {TWO_TOWER}")).done();
    desk.run("recommend run --user u3 --n 5 --json").json();
    let done = desk.run("export run --out towers --json").json();
    assert_eq!((done["videos"].as_u64(), done["dimension"].as_u64()), (Some(30), Some(8)));
    let schema: serde_json::Value = serde_json::from_str(&desk.read("towers/schema.json")).unwrap();
    assert_eq!(schema["settings"]["item_layers"], serde_json::json!([16, 8]));

    let Some(python) = python() else {
        assert!(std::env::var_os("UPNEXT_REQUIRE_SERVERS").is_none(), "no Python with NumPy");
        eprintln!("skipped: no Python with NumPy at hand");
        return;
    };
    let said = Command::new(python)
        .arg(desk.path("towers/upnext-towers.py"))
        .arg(desk.path("towers"))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && out.contains("largest difference"), "{out}{err}");
}

#[test]
fn a_network_goes_on_from_an_older_run_and_new_videos_and_users_have_rows() {
    let desk = Desk::new();
    // In the older log there are fewer users and videos, and the last days are missing.
    desk.write("old.csv", log(30, 20, 10)).write("new.csv", log(40, 30, 14));
    for name in ["old", "new"] {
        desk.run(&format!("import {name}.csv --out {name} --relevance any")).done();
    }
    for ranker in ["sasrec", "bsarec", "esasrec", "hstu", "two-tower"] {
        let small = format!("{TWO_TOWER} --set {ranker}.dimension=16 --set {ranker}.learn.epochs_max=3");
        desk.run(&format!("train old --models popular --ranker {ranker} {small}")).done();
        let line = format!("train new --from old --since 2020-09-23T12:26:40Z --epochs 2 {small} --json");
        let done = desk.run(&line).json();
        assert_eq!((done["model"].as_str(), done["new_videos"].as_u64()), (Some(ranker), Some(10)));
        assert_eq!((done["new_users"].as_u64(), done["epochs"].as_u64()), (Some(10), Some(2)));
        let answer = desk.run("recommend new --user u39 --n 10 --json").json();
        assert!(!answer["slate"].as_array().unwrap().is_empty(), "{answer}");
    }
    desk.run("train new --from old").wrong(&["--since"]);
    desk.run("train new --from old --since soon").wrong(&["--since", "`soon`"]);
    desk.run("train new --from old --since 2030-01-01").failed(&["no event since then"]);
    desk.run("train old --models popular").done();
    desk.run("train new --from old --since 2020-09-23").failed(&["no network that can go on", "--ranker"]);
}
