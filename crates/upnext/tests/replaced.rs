//! The files of a run are changed under a service: renamed over, cut, written over. It answers on, as before or from what is whole.

#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use service::{Service, ask};

mod service;

/// Slates and the parts that failed, of ten users.
fn slates(address: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut failures = Vec::new();
    let slates = (0..10).map(|user| {
        let (status, body) = ask(&mut stream, "GET", &format!("/api/v2/recommend/u{user}?n=5"), "").unwrap();
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        failures.extend(body["failures"].as_array().unwrap().iter().map(Value::to_string));
        let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
        body["items"].as_array().unwrap().iter().map(id).collect()
    });
    (slates.collect(), failures)
}

/// All files of a folder and of those within it, but for the store and what lies beside it.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            true => files(&path, into),
            false if name.starts_with("store.sqlite") || name.starts_with("audit") => {}
            false => into.push(path),
        }
    }
}

fn upnext(arguments: &[&str]) {
    let done = Command::new(env!("CARGO_BIN_EXE_upnext")).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A trained run, and a configuration by which so few videos are exact that its index is searched.
fn indexed(folder: &Path) -> (PathBuf, String) {
    let run = service::small_run(folder);
    let config = folder.join("upnext.toml");
    std::fs::write(&config, "[feed]\nexact_videos_max = 4\n").unwrap();
    upnext(&["train", run.to_str().unwrap(), "--ranker", "closed-blend"]);
    upnext(&["index", run.to_str().unwrap()]);
    (run, config.to_str().unwrap().to_owned())
}

#[test]
fn files_that_are_replaced_or_written_over_while_requests_run_stop_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (run, config) = indexed(folder.path());
    let mut paths = Vec::new();
    files(&run, &mut paths);
    let has = |ending: &str| paths.iter().any(|path| path.to_str().unwrap().ends_with(ending));
    assert!(
        has("model.safetensors") && paths.iter().any(|path| path.parent().unwrap().ends_with("index")),
        "{paths:?}"
    );

    let service = Service::start_with(&run, &[], &["--config", &config]);
    let (before, failures) = slates(&service.address);
    assert_eq!(failures, [""; 0]);
    let (stop, n_asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let askers: Vec<_> = (0..3)
        .map(|_| {
            let (stop, n_asked, address) = (Arc::clone(&stop), Arc::clone(&n_asked), service.address.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    slates(&address);
                    n_asked.fetch_add(10, Ordering::Relaxed);
                }
            })
        })
        .collect();

    // By renaming: those who have a file open keep the old one, whatever the new one holds.
    for (at, path) in paths.iter().enumerate() {
        let bytes = std::fs::read(path).unwrap();
        let aside = path.with_extension("new");
        std::fs::write(&aside, if at % 2 == 0 { bytes } else { b"torn".to_vec() }).unwrap();
        std::fs::rename(&aside, path).unwrap();
    }
    assert_eq!(slates(&service.address), (before.clone(), Vec::new()));

    // Cut and written over where they lie.
    let whole: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for path in &paths {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(path, b"").unwrap();
    }
    let n = n_asked.load(Ordering::Relaxed);
    let until = Instant::now() + Duration::from_secs(20);
    while n_asked.load(Ordering::Relaxed) < n + 100 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(slates(&service.address), (before.clone(), Vec::new()));
    for (path, bytes) in paths.iter().zip(whole) {
        std::fs::write(path, bytes).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    askers.into_iter().for_each(|asker| asker.join().unwrap());
    assert!(n_asked.load(Ordering::Relaxed) > n, "nobody asked meanwhile");
}

#[test]
fn an_index_that_is_cut_where_it_lies_costs_its_own_candidates_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (run, config) = indexed(folder.path());
    let service = Service::start_with(&run, &[], &["--config", &config]);
    let (before, failures) = slates(&service.address);
    assert_eq!(failures, [""; 0]);
    let mut indexes = Vec::new();
    files(&run.join("index"), &mut indexes);
    for path in &indexes {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(path, b"").unwrap();
    }
    let (now, failures) = slates(&service.address);
    assert!(now.iter().zip(&before).all(|(now, before)| !now.is_empty() || before.is_empty()));
    assert!(failures.iter().any(|failure| failure.contains("was changed where it lies")), "{failures:?}");

    // At SIGHUP it is built again.
    let id = service.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    let until = Instant::now() + Duration::from_secs(30);
    while slates(&service.address) != (before.clone(), Vec::new()) {
        assert!(Instant::now() < until, "it does not recover: {:?}", slates(&service.address));
        std::thread::sleep(Duration::from_millis(100));
    }
}
