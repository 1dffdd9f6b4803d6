//! An import of several files that ended early goes on after the last file that it had read, and makes the same run.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_array::cast::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use upnext_data::{Relevance, SplitRule};
use upnext_ingest::{Format, ImportError, Map, Options, Stage, Summary, Target, import, run};

const FILES: usize = 5;
/// A file of which no row can be read.
const BAD: &str =
    "user,video,watch_seconds,duration,time,mood\nu1,v1,long,longer,late,calm\nu2,v2,short,long,soon,calm\n";

/// File `at` of the log: users and videos come anew in each, and every 40th row has a fault.
fn log(at: usize) -> String {
    let mut log = String::from("user,video,watch_seconds,duration,time,mood\n");
    for row in 0..2_000_u32 {
        let number = row + 2_000 * at as u32;
        let (user, video) = (number.wrapping_mul(2_654_435_761) % (300 * (at as u32 + 1)), number % 97);
        let time = if row % 40 == 7 { -5 } else { 1_593_898_068 + i64::from(number) };
        let mood = ["calm", "bright", ""][number as usize % 3];
        log += &format!("u{user},v{video},{},30,{time},{mood}\n", number % 29);
    }
    log
}

fn folder_of_logs() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..FILES).map(|at| folder.path().join(format!("log-{at}.csv"))).collect();
    files.iter().enumerate().for_each(|(at, file)| fs::write(file, log(at)).unwrap());
    (folder, files)
}

/// Imports into `name` beside the files; also the names of the files whose bytes were read.
fn into(
    name: &str,
    files: &[PathBuf],
    change: &dyn Fn(&mut Options, &mut Target),
) -> (Result<Summary, ImportError>, BTreeSet<String>) {
    let run = files[0].parent().unwrap().join(name);
    let map: Map = "user=user,video=video,labels=mood".parse().unwrap();
    let now = Some(1_800_000_000_000);
    let mut options = Options { format: Format::Csv, map, now, ..Options::default() };
    let mut target = Target {
        run: Some(&run),
        replace: true,
        command: "upnext import".into(),
        seed: 1,
        relevance: &|_, natural: &Relevance| natural.clone(),
        memory_bytes: 1 << 20,
        quarantine: true,
        split: Some(SplitRule::GlobalTime),
        keep_every: Some(Duration::ZERO),
        go_on: true,
    };
    change(&mut options, &mut target);
    let seen = RefCell::new(BTreeSet::new());
    let done = import(files, &options, &target, &|progress| {
        if let Stage::Read(file) = progress.stage {
            seen.borrow_mut().insert(file.file_name().unwrap().to_string_lossy().into_owned());
        }
    });
    (done, seen.into_inner())
}

/// Each dropped row, as text.
fn quarantined(run: &Path) -> BTreeSet<String> {
    let file = fs::File::open(run.join("quarantine.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut rows = BTreeSet::new();
    for batch in reader.map(Result::unwrap) {
        for row in 0..batch.num_rows() {
            let text = |at: usize| batch.column(at).as_string::<i32>().value(row).to_string();
            let line = batch.column(1).as_primitive::<arrow_array::types::UInt64Type>().value(row);
            rows.insert([text(0), line.to_string(), text(2), text(3), text(4)].join("|"));
        }
    }
    rows
}

#[test]
fn what_was_read_before_a_failure_is_not_read_again_and_the_run_is_the_same() {
    let (folder, files) = folder_of_logs();
    let (whole, read) = into("whole", &files, &|_, target| target.keep_every = None);
    let whole = whole.unwrap();
    assert_eq!((read.len(), whole.went_on), (FILES, None));

    let good = fs::read(&files[3]).unwrap();
    fs::write(&files[3], BAD).unwrap();
    let (failed, _) = into("run", &files, &|options, _| options.limits.line_bytes_max = 20);
    assert!(failed.is_err(), "a line of the first file is too long: nothing was read");
    assert!(!folder.path().join(".run.kept").exists());

    let (failed, read) = into("run", &files, &|options, _| options.limits.columns_max = 64);
    let failed = failed.unwrap_err().to_string();
    assert!(failed.contains("log-3.csv") && failed.contains("3 of 5 files of events were read"), "{failed}");
    assert!(read.contains("log-0.csv") && !folder.path().join("run").exists());

    // The bad file is mended, which takes nothing from those before it.
    fs::write(&files[3], good).unwrap();
    let (done, read) = into("run", &files, &|options, _| options.limits.columns_max = 64);
    let done = done.unwrap();
    assert_eq!(read, BTreeSet::from(["log-3.csv".to_string(), "log-4.csv".into()]));
    assert_eq!(done.went_on, Some((3, FILES)));
    assert_eq!((done.digest, done.pairs, done.cuts), (whole.digest, whole.pairs, whole.cuts));
    assert_eq!(done.cleaning, whole.cleaning);
    assert_eq!(done.cleaning.read, 2_000 * FILES as u64);
    let dropped = quarantined(&done.run);
    assert_eq!(dropped.len() as u64, done.cleaning.read - done.cleaning.kept);
    assert_eq!(dropped, quarantined(&whole.run));
    run::open(&done.run).unwrap();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn other_files_or_options_and_whoever_asks_for_it_start_over() {
    let (folder, files) = folder_of_logs();
    let good = fs::read(&files[4]).unwrap();
    let interrupt = || {
        fs::write(&files[4], BAD).unwrap();
        assert!(into("run", &files, &|_, _| ()).0.is_err());
        fs::write(&files[4], &good).unwrap();
        assert!(folder.path().join(".run.kept/state").exists());
    };
    let went_on = |change: &dyn Fn(&mut Options, &mut Target)| into("run", &files, change).0.unwrap().went_on;
    interrupt();
    assert_eq!(went_on(&|_, target| target.go_on = false), None);
    interrupt();
    assert_eq!(went_on(&|options, _| options.rules = "kuairec".parse().unwrap()), None);
    // Whoever overwrites what was kept leaves no state that speaks of it, even when killed before its own first.
    interrupt();
    fs::write(&files[4], BAD).unwrap();
    let other = |options: &mut Options, target: &mut Target| {
        options.rules = "none".parse().unwrap();
        target.keep_every = Some(Duration::from_secs(3_600));
    };
    assert!(into("run", &files, &other).0.is_err());
    fs::write(&files[4], &good).unwrap();
    assert_eq!(went_on(&|_, _| ()), None);
    interrupt();
    fs::write(&files[0], log(0) + "u1,v1,1,30,1593898068,\n").unwrap();
    assert_eq!(went_on(&|_, _| ()), None);
    interrupt();
    let state = folder.path().join(".run.kept/state");
    let bytes = fs::read(&state).unwrap();
    for end in [0, 1, 40, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&state, &bytes[..end]).unwrap();
        assert_eq!(went_on(&|_, _| ()), None, "a state that ends after {end} bytes");
        interrupt();
    }
    fs::remove_file(folder.path().join(".run.kept/rows")).unwrap();
    assert_eq!(went_on(&|_, _| ()), None, "records are gone");
    interrupt();
    assert_eq!(went_on(&|_, _| ()), Some((4, FILES)));
}
