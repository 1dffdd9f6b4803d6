//! Stored tables, vectors and manifests, and changed copies of them: an error in words or a dataset.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../corpus/mutations.rs"]
mod mutations;

use std::fs;
use std::path::Path;

use upnext_ingest::vectors::{self, VectorOptions};
use upnext_ingest::{Limits, Options, read, run};

/// Endings that lead to the readers.
const NAMES: [&str; 7] =
    ["log.csv", "log.parquet", "log.txt", "log.jsonl", "ratings.dat", "log.csv.gz", "big_matrix.csv"];

#[test]
fn tables_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { line_bytes_max: 1 << 14, features_bytes_max: 1 << 16, ..Limits::default() };
    let done = std::cell::Cell::new(0);
    let n = mutations::replay("tables", |bytes| {
        for name in NAMES {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let options = Options { limits: limits.clone(), ..Options::default() };
            match read(std::slice::from_ref(&path), &options, &|_| ()) {
                Ok(_) => done.set(done.get() + 1),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
            fs::remove_file(&path).unwrap();
        }
    });
    assert!(n > 20 && done.get() > 5, "{n} inputs, {} datasets", done.get());
}

/// A run of three videos.
fn small(folder: &Path) -> std::path::PathBuf {
    let log = folder.join("log.txt");
    fs::write(&log, "1 2 3\n2 3 1\n").unwrap();
    let imported = read(&[log], &Options::default(), &|_| ()).unwrap();
    let path = folder.join("run");
    run::write(&path, &imported.dataset, &imported.cleaning, &run::About::default(), true).unwrap();
    path
}

#[test]
fn matrices_of_numpy_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = small(folder.path());
    let path = folder.path().join("vectors.npy");
    let done = std::cell::Cell::new(0);
    let n = mutations::replay("npy", |bytes| {
        fs::write(&path, bytes).unwrap();
        let options = VectorOptions {
            name: "seen".into(),
            from: path.display().to_string(),
            ..VectorOptions::default()
        };
        match vectors::import(&run, &options, &|_| {}) {
            Ok(_) => done.set(done.get() + 1),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
    assert!(n > 50 && done.get() > 0, "{n} inputs, {} matrices", done.get());
}

#[test]
fn manifests_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = small(folder.path());
    let manifest = run.join("manifest.json");
    let own = fs::read(&manifest).unwrap();
    let n = mutations::replay("manifests", |bytes| {
        fs::write(&manifest, bytes).unwrap();
        if let Err(error) = run::open(&run) {
            assert!(!error.to_string().is_empty());
        }
    });
    assert!(n > 50);
    fs::write(&manifest, own).unwrap();
    run::open(&run).unwrap();
}
