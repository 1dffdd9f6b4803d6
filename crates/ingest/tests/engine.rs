//! Both readers agree, memory is bounded, and nothing half-written stays.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use upnext_data::{Relevance, SplitRule};
use upnext_ingest::{
    ImportError, IngestError, Limits, Options, Reason, Rules, Summary, Target, import, read, run, validate,
};

const HEADER: &str = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n";

fn options(rules: Rules) -> Options {
    Options { rules, relevance: "any".parse().unwrap(), now: Some(1_800_000_000_000), ..Options::default() }
}

fn by_ranges_of(bytes: usize, rules: Rules) -> Options {
    Options { limits: Limits { range_bytes: bytes, ..Limits::default() }, ..options(rules) }
}

/// Imports into `run` beside the file.
fn into(
    folder: &Path,
    files: &[&str],
    options: &Options,
    memory_bytes: usize,
) -> Result<Summary, ImportError> {
    let files: Vec<PathBuf> = files.iter().map(|name| folder.join(name)).collect();
    let run = folder.join("run");
    let target = Target {
        run: Some(&run),
        replace: true,
        command: "upnext import".into(),
        seed: 1,
        relevance: &|_, natural: &Relevance| natural.clone(),
        memory_bytes,
        quarantine: true,
        split: Some(SplitRule::GlobalTime),
        keep_every: None,
        go_on: false,
    };
    import(&files, options, &target, &|_| ())
}

/// What a log may hold in each column: mostly good values.
fn row() -> impl Strategy<Value = String> {
    let id = prop::sample::select(vec!["1", "2", "3", "31", "x y", "é", " 7", "", "007", "NA"]);
    let watch =
        prop::sample::select(vec!["0", "5000", "3", "12.5", "", "-4", "1e3", "many", "nan", "604800001"]);
    let length = prop::sample::select(vec!["1000", "7000", "0", "", "86400001", " 9 "]);
    let time = prop::sample::select(vec![
        "1593898068.264",
        "1593898069",
        "0",
        "-1",
        "",
        "20200705",
        "99999999999",
        "2020-07-05 00:00:00",
        "soon",
    ]);
    let ratio = prop::sample::select(vec!["1.2738353765323993", "0.5", "", "-1", "inf", "1e39", "2"]);
    let end = prop::sample::select(vec!["\n", "\n", "\n", "\n", "\n\n", ",9\n", "\r\n"]);
    (id.clone(), id, watch, length, time, ratio, end, 0..60u8).prop_map(|(u, v, w, l, t, r, end, odd)| {
        match odd {
            0 => format!("\"{u}\",{v},{w},{l},a,b,{t},{r}\n"),
            1 => format!("{u},{v}\n"),
            2 => format!("{u},\"a\nb\",{w},{l},a,b,{t},{r}\n"),
            3..6 => format!("{u},{v},{w},{l},a,b,{t},{r}{end}"),
            6..12 => format!("{u},{v},{w},{l},a,,{t},{r}\n"),
            12..30 => format!("{u},{v},5000,7000,a,b,1593898068.264,0.5\n"),
            _ => format!("{u},{v},{w},{l},a,b,{t},{r}\n"),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn ranges_read_what_the_row_by_row_reader_reads(
        rows in prop::collection::vec(row(), 1..60),
        bytes in prop::sample::select(vec![1usize, 7, 64, 300, 4 << 20]),
        name in prop::sample::select(vec!["default", "kuairec", "none"]),
        cut in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let mut text = HEADER.to_string() + &rows.concat();
        if cut {
            text.pop();
        }
        fs::write(&path, text).unwrap();
        let rules: Rules = name.parse().unwrap();
        let one = read(std::slice::from_ref(&path), &by_ranges_of(0, rules.clone()), &|_| ());
        let other = read(&[path], &by_ranges_of(bytes, rules), &|_| ());
        match (one, other) {
            (Ok(one), Ok(other)) => {
                prop_assert_eq!(one.dataset.digest(), other.dataset.digest());
                prop_assert_eq!(one.dataset.videos.videos(), other.dataset.videos.videos());
                prop_assert_eq!(one.cleaning, other.cleaning);
            }
            (Err(one), Err(other)) => prop_assert_eq!(one.to_string(), other.to_string()),
            (one, other) => prop_assert!(
                false, "{:?} {:?}", one.map(|i| i.cleaning), other.map(|i| i.cleaning)
            ),
        }
    }
}

/// Users and videos by turns, a row a second, and some faults.
fn log(rows: u32) -> String {
    let mut log = HEADER.to_string();
    for row in 0..rows {
        let (user, video) = (row.wrapping_mul(2_654_435_761) % 500, row.wrapping_mul(40_503) % 90);
        let time = if row % 50 == 7 { 0 } else { 1_593_898_068 + i64::from(row) };
        let user = if row % 40 == 3 { String::new() } else { user.to_string() };
        let line =
            format!("{user},{video},{},7000,a,b,{time},{}\n", row % 9_000, f64::from(row % 900) / 700.0);
        log += &line;
        if row % 30 == 11 {
            log += &line;
        }
    }
    log
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_small_memory_makes_the_same_run_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log.csv"), log(20_000)).unwrap();
    let options = options(Rules::kuairec());
    let whole = read(&[folder.path().join("log.csv")], &options, &|_| ()).unwrap();
    let mut digests = Vec::new();
    for memory in [100_000, usize::MAX] {
        let made = into(folder.path(), &["log.csv"], &options, memory).unwrap();
        assert_eq!(made.cleaning, whole.cleaning);
        let opened = run::open(&folder.path().join("run")).unwrap();
        assert_eq!((opened.manifest.digest, opened.cleaning), (made.digest.clone(), whole.cleaning.clone()));
        assert_eq!(names_in(folder.path()), ["log.csv", "run"]);
        let batches = run::event_batches(&folder.path().join("run")).unwrap();
        assert_eq!(batches.n_events(), made.cleaning.events as u64);
        digests.push(made.digest);
    }
    assert_eq!(digests, [whole.dataset.digest(), whole.dataset.digest()]);
}

#[test]
fn under_kuairec_every_fault_is_counted_once_and_stands_in_the_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "1,5,10,100,a,b,1593898068.5,0.1\n\
                1,5,10,100,a,b,1593898068.5,0.1\n\
                1,6,10,100,a,,1593898069,0.1\n\
                2,5,10,100,a,b,0,0.1\n\
                2,5,10,100,a,b,0,0.1\n\
                2,6,10,100,a,b,-3,0.1\n\
                2,6,10,100,a,b,1593898070,0.1\n\
                1,6,10,100,a,b,1593898071,0.1\n";
    fs::write(folder.path().join("log.csv"), HEADER.to_string() + rows).unwrap();
    let made = into(folder.path(), &["log.csv"], &options(Rules::kuairec()), 1 << 30).unwrap();
    let dropped = |reason| made.cleaning.rows_dropped(reason);
    // Line 6 repeats line 5 and has the time 0: it is a duplicate first.
    assert_eq!((dropped(Reason::Missing), dropped(Reason::Duplicate)), (1, 2));
    assert_eq!((dropped(Reason::ZeroTime), dropped(Reason::NegativeTime)), (1, 1));
    assert_eq!((made.cleaning.read, made.cleaning.kept), (8, 3));
    let file = fs::File::open(folder.path().join("run").join(run::QUARANTINE)).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut told = Vec::new();
    for batch in batches.map(Result::unwrap) {
        let text = |name: &str, at: usize| {
            batch.column_by_name(name).unwrap().as_string::<i32>().value(at).to_string()
        };
        for at in 0..batch.num_rows() {
            told.push((text("reason", at), text("row", at)));
        }
    }
    told.sort();
    let reasons: Vec<&str> = told.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["duplicate", "duplicate", "missing", "negative time", "zero time"]);
    assert_eq!(told[2].1, "1,6,10,100,a,,1593898069,0.1");
    assert!(told[4].1.starts_with("user=2,video=5,action=watch,time=0,"), "{told:?}");
}

#[test]
fn pairs_are_cut_at_the_exact_quantiles_of_their_first_times() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = HEADER.to_string();
    // Twenty pairs in twenty seconds; the last watch of the first pair comes at the end.
    for at in 0..20 {
        log += &format!("{},{},4000,8000,a,b,{},0.5\n", at % 4, at, 1_593_898_100 + at);
    }
    log += "0,0,4000,8000,a,b,1593898200,0.75\n";
    fs::write(folder.path().join("log.csv"), log).unwrap();
    let made = into(folder.path(), &["log.csv"], &options(Rules::default()), 1 << 30).unwrap();
    assert_eq!(made.pairs, Some([16, 2, 2]));
    assert_eq!(made.cuts, Some((1_593_898_116_000, 1_593_898_118_000)));
    let file = fs::File::open(folder.path().join("run").join(run::INTERACTIONS)).unwrap();
    let batch =
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap();
    let last = batch.column_by_name("last_time").unwrap().as_primitive::<Int64Type>().value(0);
    let events = batch.column_by_name("events").unwrap().as_primitive::<UInt32Type>().value(0);
    let part = batch.column_by_name("part").unwrap().as_primitive::<UInt8Type>().value(0);
    assert_eq!((last, events, part), (1_593_898_200_000, 2, 0));
}

#[test]
fn rows_that_are_numbered_twice_on_disk_are_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    // Small whole numbers are rows of their own first; then a core leaves some out.
    let line = |user: u32| -> String {
        let videos = (0..30).map(|step| (user * 7 + step * step) % 300 + 1 + u32::from(user == 9) * 2_000);
        videos.map(|video| format!("{} {video}\n", user + 1)).collect()
    };
    fs::write(folder.path().join("log.txt"), (0..1_500).map(line).collect::<String>()).unwrap();
    let mut rules = Rules::default();
    rules.set("k-core=3").unwrap();
    let options = Options { format: upnext_ingest::Format::Sasrec, ..options(rules) };
    let whole = read(&[folder.path().join("log.txt")], &options, &|_| ()).unwrap();
    assert!(whole.cleaning.rows_dropped(Reason::TooFewEvents) >= 30, "{}", whole.cleaning);
    let run = folder.path().join("run");
    let target = Target {
        run: Some(&run),
        replace: true,
        command: String::new(),
        seed: 1,
        relevance: &|_, natural: &Relevance| natural.clone(),
        memory_bytes: 1 << 20,
        quarantine: true,
        split: None,
        keep_every: None,
        go_on: false,
    };
    let made = import(&[folder.path().join("log.txt")], &options, &target, &|_| ()).unwrap();
    assert_eq!((made.digest, made.cleaning), (whole.dataset.digest(), whole.cleaning));
}

#[test]
fn the_only_user_that_a_least_leaves_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [("a", "x"), ("b", "x"), ("b", "y"), ("b", "z")]
        .map(|(user, video)| format!("{user},{video},5,10,a,b,1593898100,0.5\n"));
    fs::write(folder.path().join("log.csv"), HEADER.to_string() + &rows.concat()).unwrap();
    let mut rules = Rules::default();
    rules.set("min-user-events=2").unwrap();
    let error = read(&[folder.path().join("log.csv")], &options(rules), &|_| ()).unwrap_err();
    assert!(matches!(&error, IngestError::OnlyOne { what: "user", id, .. } if id == "b"), "{error}");
}

#[test]
fn cores_are_peeled_until_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    // 3 and z go first, then y has one event left.
    let pairs = [(1, "x"), (1, "y"), (2, "x"), (2, "w"), (1, "w"), (3, "y"), (4, "x"), (4, "w")];
    let rows =
        pairs.iter().zip(0..).map(|((u, v), at)| format!("{u},{v},5,10,a,b,{},0.5\n", 1_593_898_100 + at));
    fs::write(folder.path().join("log.csv"), HEADER.to_string() + &rows.collect::<String>()).unwrap();
    let mut rules = Rules::default();
    rules.set("k-core=2").unwrap();
    let set = read(&[folder.path().join("log.csv")], &options(rules), &|_| ()).unwrap();
    assert_eq!(set.cleaning.rows_dropped(Reason::TooFewEvents), 2);
    let dataset = &set.dataset;
    assert_eq!((dataset.events().len(), set.cleaning.kept), (6, 6));
    // Who is below the least is not in the set, and rows are those of who is.
    assert!(dataset.users.names().iter().eq(["1", "2", "4"]));
    assert!(dataset.videos.names().iter().eq(["x", "w"]));
    assert_eq!((set.cleaning.users, set.cleaning.videos), (3, 2));
    let events = dataset.events().iter().map(|e| (dataset.users.name(e.user), dataset.videos.name(e.video)));
    let expected = [("1", "x"), ("1", "w"), ("2", "x"), ("2", "w"), ("4", "x"), ("4", "w")];
    assert_eq!(events.collect::<Vec<_>>(), expected);
}

#[test]
fn references_to_nothing_are_dropped_where_a_table_of_videos_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows =
        "user_id,video_id,timestamp\n1,a,1593898100\n2,b,1593898101\n1,b,1593898102\n2,ghost,1593898103\n";
    fs::write(at("log.csv"), rows).unwrap();
    fs::write(at("videos.csv"), "video_id,title\na,A\nb,B\nc,C\n").unwrap();
    let mut rules = Rules::default();
    rules.set("unknown-reference=on").unwrap();
    let set = read(&[at("log.csv"), at("videos.csv")], &options(rules), &|_| ()).unwrap();
    assert_eq!(set.cleaning.rows_dropped(Reason::UnknownReference), 1);
    let example =
        &set.cleaning.dropped.iter().find(|d| d.reason == Reason::UnknownReference).unwrap().examples[0];
    assert!(example.to_string().contains("log.csv, line 5") && example.note.contains("ghost"), "{example}");
}

#[test]
fn strict_stops_at_the_first_bad_row_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = log(100).replace("\n,", "\n9,");
    text += "9,8,many,7000,a,b,1593898068,0.5\n9,8,4,7000,a,b,1593898068,0.5\n";
    let line = text.lines().count() - 1;
    fs::write(folder.path().join("log.csv"), text).unwrap();
    for range_bytes in [0, 100] {
        let options = Options { strict: true, ..by_ranges_of(range_bytes, Rules::default()) };
        let error = into(folder.path(), &["log.csv"], &options, 1 << 30).unwrap_err();
        assert!(matches!(error, ImportError::Ingest(IngestError::Strict { .. })), "{error}");
        let error = error.to_string();
        assert!(error.contains(&format!("log.csv, line {line}:")) && error.contains("`many`"), "{error}");
        assert_eq!(names_in(folder.path()), ["log.csv"]);
    }
}

#[test]
fn files_that_vanish_or_end_half_way_leave_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), log(3_000)).unwrap();
    let packed = zstd::encode_all(log(3_000).as_bytes(), 3).unwrap();
    fs::write(folder.path().join("b.csv.zst"), &packed[..packed.len() / 2]).unwrap();
    let error = into(folder.path(), &["a.csv", "b.csv.zst"], &options(Rules::default()), 10_000).unwrap_err();
    assert!(error.to_string().contains("b.csv.zst") && error.to_string().contains("end early"), "{error}");
    assert_eq!(names_in(folder.path()), ["a.csv", "b.csv.zst"]);
    let error = into(folder.path(), &["a.csv", "gone.csv"], &options(Rules::default()), 10_000).unwrap_err();
    assert!(error.to_string().contains("gone.csv"), "{error}");
    assert_eq!(names_in(folder.path()), ["a.csv", "b.csv.zst"]);
}

#[test]
fn what_a_killed_import_left_beside_its_folder_goes_and_what_others_use_stays() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log.csv"), log(300)).unwrap();
    // No process has a number beyond 2^22.
    let (dead, alive) = (4_194_305u32, std::process::id());
    let names = [
        format!(".run.{dead}.rows"),
        format!(".run.{dead}.quarantine"),
        format!(".run.{dead}.notes"),
        format!(".other.{dead}.rows"),
        format!(".run.{}.rows", if alive == 1 { 2 } else { 1 }),
    ];
    for name in &names {
        fs::write(folder.path().join(name), "left").unwrap();
    }
    let used = folder.path().join(format!(".run.{}.rows", dead + 1));
    let held = fs::File::create(&used).unwrap();
    held.lock().unwrap();
    let aside = [dead, dead + 1].map(|pid| folder.path().join(format!(".run.{pid}")));
    for folder in &aside {
        fs::create_dir_all(folder.join("dataset")).unwrap();
    }
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    for old in [aside[0].join("dataset"), aside[0].clone()] {
        fs::File::open(old).unwrap().set_modified(long_ago).unwrap();
    }
    into(folder.path(), &["log.csv"], &options(Rules::default()), usize::MAX).unwrap();
    let left = names_in(folder.path());
    if Path::new("/proc/self").exists() {
        assert!(!left.contains(&names[0]) && !left.contains(&names[1]), "{left:?}");
        assert!(!aside[0].exists(), "{left:?}");
    }
    assert!(
        names[2..].iter().all(|name| left.contains(name)) && used.exists() && aside[1].exists(),
        "{left:?}"
    );
}

#[test]
fn validate_tells_what_an_import_would_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log.csv"), log(3_000)).unwrap();
    let files = [folder.path().join("log.csv")];
    let options = options(Rules::kuairec());
    let checked = validate(&files, &options, 10_000, folder.path(), &|_| ()).unwrap();
    assert_eq!(checked.cleaning, read(&files, &options, &|_| ()).unwrap().cleaning);
    assert_eq!(names_in(folder.path()), ["log.csv"]);
}
