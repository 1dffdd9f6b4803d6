//! The engine of others against our own: the same files through both, compared row for row.
//!
//! The engine is a real one, Sail in cluster mode, started here as a process: `pip install pysail`, found as
//! `target/venv/bin/sail` or where UPNEXT_SAIL says. Without it these tests skip and say so, unless
//! UPNEXT_REQUIRE_SERVERS=1. UPNEXT_FLIGHT_ROWS says how many rows are compared, a million without it.
#![cfg(feature = "scale")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod servers;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufWriter, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use servers::{S3, Sail};
use upnext_data::{Action, Counts, Dataset, Judgement, Split, SplitRule};
use upnext_ingest::engine::flight::{self, Engine, Finished, FlightError, Job};
use upnext_ingest::{Map, Options, Reason, Rules};

fn run(engine: &mut Engine, source: &Path, out: &str, options: &Options) -> Result<Finished, FlightError> {
    let sources = [source.to_str().unwrap().to_owned()];
    let job = Job { sources: &sources, out, name: "run-1", options, force: false };
    flight::run(engine, &job, &|_| {})
}

/// Deterministic numbers (splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }
}

const HEADER: &str =
    "user_id,video_id,timestamp,play_duration,video_duration,watch_ratio,is_like,is_hate,rating";

/// Rows of a log in which every twelfth has a fault, of each kind in turn; times tie often, and now and then a user
/// does much within seconds.
fn write_log(path: &Path, rows: u64, users: u64, videos: u64) {
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    let mut draw = Draw(1);
    writeln!(file, "{HEADER}").unwrap();
    let (mut line, mut last) = (String::new(), String::new());
    // The least of two draws: some videos are seen far more often.
    let pick = |draw: &mut Draw| draw.below(videos).min(draw.below(videos));
    let mut burst = None;
    for row in 0..rows {
        let (user, video, second) = match burst.filter(|_| draw.below(8) > 0) {
            Some((user, video, second)) if draw.below(3) == 0 => (user, video, second + draw.below(8)),
            Some((user, _, second)) => (user, pick(&mut draw), second + draw.below(8)),
            None => (draw.below(users), pick(&mut draw), 1_593_878_400 + draw.below(20_000) * 60),
        };
        let goes_on = burst.is_some_and(|(of, ..)| of == user) || draw.below(200) == 0;
        burst = goes_on.then_some((user, video, second));
        // A row in which nothing is missing.
        let is_full = goes_on || draw.below(2) == 0;
        let duration = 3_000 + 500 * (video % 100);
        let watched = draw.below(3 * duration);
        let fraction = ["", ".25", ".264"][draw.below(3) as usize];
        let like = ["0", "0", "0", "0", "1", ""][draw.below(if is_full { 5 } else { 6 }) as usize];
        let hate = if draw.below(50) == 0 { "1" } else { "0" };
        let stars = ["3", "4.5", "", ""][draw.below(if is_full { 2 } else { 4 }) as usize];
        let ratio = match draw.below(3) {
            0 if !is_full => String::new(),
            _ => format!("{}", watched as f64 / duration as f64),
        };
        line.clear();
        let fault = if row % 12 == 11 { row / 12 % 33 } else { u64::MAX };
        let mut say = |text: std::fmt::Arguments| line.write_fmt(text).unwrap();
        match fault {
            0 | 30 | 31 => say(format_args!("{last}")),
            1 => say(format_args!(",{video},{second},{watched},{duration},{ratio},{like},{hate},{stars}")),
            2 => say(format_args!("{user},,{second},{watched},{duration},{ratio},{like},{hate},{stars}")),
            3 => say(format_args!("{user},{video},,{watched},{duration},{ratio},{like},{hate},{stars}")),
            4 => say(format_args!("{user},{video},-{second},{watched},{duration},{ratio},0,0,{stars}")),
            5 => say(format_args!("{user},{video},4{second},{watched},{duration},{ratio},0,0,{stars}")),
            6 => say(format_args!("{user},{video},{second},{watched},0,{ratio},0,0,{stars}")),
            7 => say(format_args!("{user},{video},{second},-{watched}1,{duration},,0,0,{stars}")),
            8 => say(format_args!("{user},{video},{second},{watched},99999999999,,0,0,{stars}")),
            9 => say(format_args!("{user},{video},{second},{watched},{duration},NaN,0,0,{stars}")),
            10 => say(format_args!("{user},{video},{second},{watched},{duration},inf,0,0,{stars}")),
            11 => say(format_args!("{user},{video},{second},{watched},{duration},1e39,0,0,{stars}")),
            12 => say(format_args!("{user},{video},{second},abc,{duration},{ratio},0,0,{stars}")),
            13 => say(format_args!("{user},{video},yesterday,{watched},{duration},{ratio},0,0,{stars}")),
            14 => say(format_args!("{user},{video},{second},{watched},{duration},{ratio},0,0,5,6,7")),
            15 => say(format_args!("{user},{video}")),
            16 => say(format_args!("{user},{video},{second}")),
            17 => say(format_args!("{user},{video},{second},null,N/A,,0,0,none")),
            18 => say(format_args!(
                "\"{user}\",\" {video}\",\"{second}\",{watched},{duration},\"{ratio}\",0,0,{stars}"
            )),
            19 => say(format_args!(
                " {user} ,{video}\t,{second} ,{watched},{duration},{ratio},true,false,{stars}"
            )),
            20 => say(format_args!(
                "{user},{video},2020-07-05 05:27:48.378,{watched},{duration},{ratio},0,0,{stars}"
            )),
            21 => say(format_args!("{user},{video},2020/07/05,{watched},{duration},{ratio},0,0,{stars}")),
            22 => say(format_args!("{user},{video},20200705,{watched},{duration},{ratio},0,0,{stars}")),
            23 => say(format_args!("{user},{video},{second}000,{watched},{duration},{ratio},0,0,{stars}")),
            24 => say(format_args!("{user},{video},{second}000000,{watched},{duration},-0.5,0,0,{stars}")),
            25 => say(format_args!(
                "\"{user}, the \"\"first\"\"\",{video},{second},{watched},{duration},{ratio},0,0,{stars}"
            )),
            26 => say(format_args!("{user},{video},nan,{watched},{duration},{ratio},0,0,{stars}")),
            27 => say(format_args!(
                "{user},{},{second},{watched},{duration},{ratio},0,0,{stars}",
                "v".repeat(600)
            )),
            28 => say(format_args!("{user},{video},{second},9e9,{duration},,0,0,{stars}")),
            29 => say(format_args!("{user},{video},{second},{watched},{duration},{ratio},2,maybe,{stars}")),
            32 => say(format_args!("{user},{video},0,{watched},{duration},{ratio},0,0,{stars}")),
            _ => say(format_args!(
                "{user},{video},{second}{fraction},{watched},{duration},{ratio},{like},{hate},{stars}"
            )),
        }
        writeln!(file, "{line}").unwrap();
        std::mem::swap(&mut line, &mut last);
    }
    file.into_inner().unwrap();
}

fn options() -> Options {
    Options { now: Some(1_600_000_000_000), ..Options::default() }
}

/// Rows of a table on the engine.
fn table(
    engine: &mut Engine,
    finished: &Finished,
    name: &str,
    columns: &str,
    mut take: impl FnMut(&RecordBatch),
) {
    let sql = format!("SELECT {columns} FROM parquet.`{}/{name}`", finished.folder);
    engine
        .query(name, sql, |batch| {
            take(&batch);
            Ok(())
        })
        .unwrap();
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> &str {
    let column = batch.column(column);
    match column.as_string_view_opt() {
        Some(texts) => texts.value(row),
        None => column.as_string::<i32>().value(row),
    }
}

fn int(batch: &RecordBatch, column: usize, row: usize) -> i64 {
    let column = batch.column(column);
    match column.as_primitive_opt::<Int64Type>() {
        Some(ints) => ints.value(row),
        None => i64::from(column.as_primitive::<arrow_array::types::Int32Type>().value(row)),
    }
}

fn float(batch: &RecordBatch, column: usize, row: usize) -> Option<f32> {
    let column = batch.column(column);
    column.is_valid(row).then(|| column.as_primitive::<Float32Type>().value(row))
}

/// Video, action, time, and the bits of value and ratio of one event.
type Told = (String, String, i64, Option<u32>, Option<u32>);

/// The sums of one pair, as the engine names them.
#[derive(Clone, Debug, Default)]
struct Sums {
    first: i64,
    last: i64,
    events: i64,
    watch_seconds: Option<f64>,
    ratio_max: Option<f32>,
    ratios: f64,
    n_ratios: u32,
}

/// Rules that are off without being asked for.
const OFF: [Reason; 6] = [
    Reason::ZeroTime,
    Reason::RatioBeyondCap,
    Reason::UnknownReference,
    Reason::NearDuplicate,
    Reason::Bot,
    Reason::TooFewEvents,
];

/// Compares all that the engine made with what our own reader makes of the same file. Rows are dropped for each
/// reason but those in `unmet`.
fn compare(
    engine: &mut Engine,
    finished: &Finished,
    file: &Path,
    options: &Options,
    unmet: &[Reason],
) -> Dataset {
    let ours = upnext_ingest::read(&[file.to_owned()], options, &|_| {}).unwrap();
    let (set, report) = (ours.dataset, ours.cleaning);
    let relevance = &options.relevance;
    assert_eq!(finished.read, report.read);
    assert_eq!(finished.kept, report.kept);
    let dropped: BTreeMap<String, u64> = finished.dropped.iter().cloned().collect();
    for reason in Reason::ALL {
        let name = serde_json::to_string(&reason).unwrap();
        let theirs = dropped.get(name.trim_matches('"')).copied().unwrap_or(0);
        assert_eq!(theirs, report.rows_dropped(reason), "{name}");
        assert_eq!(theirs == 0, unmet.contains(&reason), "{name}: {theirs} rows");
    }
    let user_name = |row: u32| set.users.names().name(row);
    let video_name = |row: u32| set.videos.names().name(row);

    // Events, each user's in the same order.
    let mut events: HashMap<&str, Vec<Told>> = HashMap::new();
    let bits = |x: Option<f32>| x.map(f32::to_bits);
    for event in set.events().iter() {
        events.entry(user_name(event.user)).or_default().push((
            video_name(event.video).into(),
            event.action.name().into(),
            event.time,
            bits(event.value),
            bits(event.ratio),
        ));
    }
    let mut n_events = 0;
    table(engine, finished, "events", "user_id, video_id, action, time, value, ratio, position", |batch| {
        for row in 0..batch.num_rows() {
            let at = int(batch, 6, row) as usize - 1;
            let theirs = (
                text(batch, 1, row).to_owned(),
                text(batch, 2, row).to_owned(),
                int(batch, 3, row),
                bits(float(batch, 4, row)),
                bits(float(batch, 5, row)),
            );
            assert_eq!(events[text(batch, 0, row)][at], theirs, "user {} event {at}", text(batch, 0, row));
            n_events += 1;
        }
    });
    assert_eq!(n_events, set.events().len());

    // Pairs and their parts.
    let split = Split::new(&set, relevance, SplitRule::GlobalTime, 1).unwrap();
    let cuts = split.cuts.expect("a split by time has cuts");
    let mut sums: HashMap<(u32, u32), Sums> = HashMap::new();
    for event in set.events().iter() {
        let of =
            sums.entry((event.user, event.video)).or_insert(Sums { first: event.time, ..Sums::default() });
        of.last = event.time;
        of.events += 1;
        if let (Action::Watch, Some(seconds)) = (event.action, event.value) {
            *of.watch_seconds.get_or_insert(0.0) += f64::from(seconds);
        }
        if let Some(ratio) = event.ratio {
            of.ratio_max = Some(of.ratio_max.map_or(ratio, |most| most.max(ratio)));
            of.ratios += f64::from(ratio);
            of.n_ratios += 1;
        }
    }
    let pairs = set.interactions(relevance);
    let mut ours: HashMap<(&str, &str), (usize, u32, u32)> = HashMap::new();
    for user in 0..set.users.len() as u32 {
        for (at, pair) in pairs.of(user).iter().enumerate() {
            ours.insert((user_name(user), video_name(pair.video)), (at, user, pair.video));
        }
    }
    // Sums depend on the order of adding; what is endless is so in any.
    let near =
        |a: f64, b: f32| a as f32 == b || (a - f64::from(b)).abs() <= a.abs() * f64::from(f32::EPSILON);
    let mut n_pairs = 0;
    let columns = "user_id, video_id, time, value, judgement, first_time, last_time, events, watch_seconds, \
                   ratio_max, ratio_mean, sequence, part";
    table(engine, finished, "split", columns, |batch| {
        for row in 0..batch.num_rows() {
            let key = (text(batch, 0, row), text(batch, 1, row));
            let (at, user, video) = ours[&key];
            let pair = &pairs.of(user)[at];
            let judgement = match pair.judgement {
                Judgement::Positive => "positive",
                Judgement::Neutral => "neutral",
                Judgement::Negative => "negative",
            };
            let part = match pair.time {
                time if time < cuts.0 => "train",
                time if time < cuts.1 => "validation",
                _ => "test",
            };
            assert_eq!((int(batch, 2, row), text(batch, 4, row)), (pair.time, judgement), "{key:?}");
            assert_eq!(bits(float(batch, 3, row)), bits(pair.value), "{key:?}");
            assert_eq!((int(batch, 11, row) as usize - 1, text(batch, 12, row)), (at, part), "{key:?}");
            let of = &sums[&(user, video)];
            let theirs = (int(batch, 5, row), int(batch, 6, row), int(batch, 7, row));
            assert_eq!(theirs, (of.first, of.last, of.events), "{key:?}");
            assert_eq!(bits(float(batch, 9, row)), bits(of.ratio_max), "{key:?}");
            match (of.watch_seconds, float(batch, 8, row)) {
                (Some(ours), Some(theirs)) => assert!(near(ours, theirs), "{key:?}: {ours} {theirs}"),
                (ours, theirs) => assert!(ours.is_none() && theirs.is_none(), "{key:?}"),
            }
            match float(batch, 10, row) {
                Some(theirs) => assert!(near(of.ratios / f64::from(of.n_ratios), theirs), "{key:?}"),
                None => assert_eq!(of.n_ratios, 0, "{key:?}"),
            }
            n_pairs += 1;
        }
    });
    assert_eq!(n_pairs, pairs.len());

    let theirs = flight::read_counts(engine, &finished.folder, set.videos.names()).unwrap();
    let ours = Counts::new(&split.train);
    assert_eq!(theirs.popularity, ours.popularity);
    assert_eq!(theirs.transitions, ours.transitions);
    assert_eq!(theirs.co_occurrences, ours.co_occurrences);
    assert!(ours.transitions.len() > 100 && ours.co_occurrences.len() > 100);
    set
}

/// Runs a log through both.
fn compared(engine: &mut Engine, log: &Path, out: &Path, options: &Options, unmet: &[Reason]) -> Dataset {
    let finished = run(engine, log, out.to_str().unwrap(), options).unwrap();
    let seconds: f64 = finished.seconds.iter().map(|(_, seconds)| seconds).sum();
    eprintln!("{} rows on the engine in {seconds:.1} s: {finished:?}", finished.read);
    compare(engine, &finished, log, options, unmet)
}

fn with_rules(set: &str, rules: &[&str]) -> Options {
    let mut changed: Rules = set.parse().unwrap();
    rules.iter().for_each(|rule| changed.set(rule).unwrap());
    Options { rules: changed, ..options() }
}

#[test]
fn a_log_with_every_kind_of_fault_becomes_the_same_on_an_engine_by_any_rules() {
    let Some(server) = Sail::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    let rows = std::env::var("UPNEXT_FLIGHT_ROWS").map_or(1_000_000, |rows| rows.parse().unwrap());
    write_log(&log, rows, rows / 20 + 10, rows / 200 + 50);
    let mut engine = server.connect();
    let out = folder.path().join("run");
    let set = compared(&mut engine, &log, &out, &options(), &OFF);

    // What the engine wrote is a log like any other: our own reader finds the same events in it.
    let mut parts: Vec<PathBuf> = std::fs::read_dir(out.join("run-1/events"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "parquet"))
        .collect();
    parts.sort();
    let map: Map = "user=user_id,video=video_id,time=time,action=action,value=value,ratio=ratio,position=-"
        .parse()
        .unwrap();
    let again = upnext_ingest::read(&parts, &Options { map, ..options() }, &|_| {}).unwrap();
    assert_eq!(again.dataset.events().len(), set.events().len());
    drop((set, again));

    // A run that is there stays, unless it may be replaced.
    let error = run(&mut engine, &log, out.to_str().unwrap(), &options()).unwrap_err();
    assert!(matches!(error, FlightError::Exists { .. }), "{error}");

    let every = with_rules(
        "default",
        &[
            "missing=any",
            "duplicate=row",
            "zero-time=on",
            "ratio-max=2.5",
            "near-duplicate=5",
            "bots=6/minute",
            "min-user-events=3",
            "min-video-events=2",
            "k-core=5",
        ],
    );
    compared(&mut engine, &log, &folder.path().join("every"), &every, &[Reason::UnknownReference]);
}

#[test]
fn each_set_of_rules_and_rare_users_asked_once_become_the_same() {
    let Some(server) = Sail::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    write_log(&log, 20_000, 1_000, 150);
    let mut engine = server.connect();
    let mut unmet = OFF.to_vec();
    unmet.retain(|&reason| reason != Reason::ZeroTime);
    unmet.extend([Reason::FutureTime, Reason::ImpossibleDuration]);
    compared(&mut engine, &log, &folder.path().join("kuairec"), &with_rules("kuairec", &[]), &unmet);

    // Nothing is a duplicate, and whatever is a number is taken: a watch of no length has an endless ratio.
    let once = with_rules("none", &["min-user-events=18", "min-video-events=18"]);
    let mut unmet = OFF.to_vec();
    unmet.retain(|&reason| reason != Reason::TooFewEvents);
    unmet.extend([Reason::Duplicate, Reason::NegativeTime, Reason::FutureTime, Reason::ImpossibleDuration]);
    let once = compared(&mut engine, &log, &folder.path().join("once"), &once, &unmet);
    // One round leaves users and videos that the next takes out.
    let core = with_rules("none", &["k-core=18"]);
    let core = compared(&mut engine, &log, &folder.path().join("core"), &core, &unmet);
    assert!(core.events().len() < once.events().len());
}

/// The log as a table of types: each row's numbers, or nothing where there is none.
fn write_parquet(path: &Path, rows: u64) {
    let mut draw = Draw(2);
    let mut ids = [Vec::new(), Vec::new()];
    let (mut times, mut watched, mut durations) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ratios, mut likes, mut devices) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let fault = if row % 9 == 0 { row / 9 % 9 } else { u64::MAX };
        if fault == 8 {
            let again = |column: &mut Vec<Option<i64>>| column.extend_from_within(column.len() - 1..);
            ids.iter_mut().for_each(again);
            [&mut times, &mut durations].into_iter().for_each(again);
            watched.extend_from_within(watched.len() - 1..);
            ratios.extend_from_within(ratios.len() - 1..);
            likes.extend_from_within(likes.len() - 1..);
            devices.extend_from_within(devices.len() - 1..);
            continue;
        }
        let second = 1_593_878_400 + draw.below(20_000) as i64 * 60;
        ids[0].push((fault != 0).then(|| draw.below(rows / 20) as i64));
        ids[1].push((fault != 1).then(|| draw.below(100) as i64));
        times.push(match fault {
            2 => None,
            3 => Some(-second * 1_000),
            4 => Some(second * 4_000),
            5 => Some(0),
            _ => Some(second * 1_000 + draw.below(1_000) as i64),
        });
        durations.push(Some(if fault == 6 { 0 } else { 3_000 + draw.below(50_000) as i64 }));
        watched.push((draw.below(20) > 0).then(|| draw.below(60_000) as f64 / 4.0));
        ratios.push(match fault {
            7 => Some(f32::NAN),
            _ => (draw.below(3) > 0).then(|| draw.below(400) as f32 / 100.0),
        });
        likes.push((draw.below(9) > 0).then(|| draw.below(5) == 0));
        devices.push((draw.below(9) > 0).then(|| ["phone", "NULL", "tv"][draw.below(3) as usize]));
    }
    let [users, videos] = ids;
    let columns: [(&str, ArrayRef); 8] = [
        ("user_id", Arc::new(Int64Array::from(users))),
        ("video_id", Arc::new(Int64Array::from(videos))),
        ("timestamp", Arc::new(TimestampMillisecondArray::from(times))),
        ("play_duration", Arc::new(Float64Array::from(watched))),
        ("video_duration", Arc::new(Int64Array::from(durations))),
        ("watch_ratio", Arc::new(Float32Array::from(ratios))),
        ("is_like", Arc::new(BooleanArray::from(likes))),
        ("device", Arc::new(StringArray::from(devices))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_with_its_types_becomes_the_same() {
    let Some(server) = Sail::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.parquet");
    write_parquet(&log, 20_000);
    let mut engine = server.connect();
    let mut unmet = OFF.to_vec();
    unmet.push(Reason::Malformed);
    compared(&mut engine, &log, &folder.path().join("default"), &options(), &unmet);
    let mut unmet = OFF.to_vec();
    unmet.retain(|&reason| reason != Reason::ZeroTime);
    unmet.extend([Reason::FutureTime, Reason::ImpossibleDuration, Reason::NonFinite, Reason::Malformed]);
    compared(&mut engine, &log, &folder.path().join("kuairec"), &with_rules("kuairec", &[]), &unmet);
}

#[test]
fn what_cannot_be_done_or_fails_is_named_and_leaves_no_run() {
    let Some(server) = Sail::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    write_log(&log, 2_000, 100, 50);
    let mut engine = server.connect();
    let error = run(&mut engine, &log, "nowhere://bucket/run", &options()).unwrap_err().to_string();
    assert!(error.contains("nowhere") && error.contains(&server.url), "{error}");
    let unknown = with_rules("default", &["unknown-reference=on"]);
    let out = folder.path().join("out");
    let error = run(&mut engine, &log, out.to_str().unwrap(), &unknown).unwrap_err().to_string();
    assert!(error.contains("unknown-reference is not done on an engine"), "{error}");
    assert!(!out.exists());

    // A source without the columns says which there are, as without an engine.
    let other = folder.path().join("other.csv");
    std::fs::write(&other, "a,b\n1,2\n").unwrap();
    let error = run(&mut engine, &other, "/nowhere", &options()).unwrap_err().to_string();
    assert!(error.contains("has no column `user_id`") && error.contains("`a`, `b`"), "{error}");
    let none = folder.path().join("none.csv");
    let error = run(&mut engine, &none, "/nowhere", &options()).unwrap_err().to_string();
    assert!(error.contains("none.csv"), "{error}");
}

#[test]
fn an_engine_that_stops_half_way_leaves_no_run() {
    let Some(server) = Sail::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    write_log(&log, 20_000, 1_000, 100);
    let mut engine = server.connect();
    let out = folder.path().join("run");
    let sources = [log.to_str().unwrap().to_owned()];
    let options = options();
    let job =
        Job { sources: &sources, out: out.to_str().unwrap(), name: "run-1", options: &options, force: false };
    let server = std::cell::RefCell::new(server);
    let error = flight::run(&mut engine, &job, &|step| {
        if step.name == "09_split.sql" {
            server.borrow_mut().kill();
        }
    });
    let error = error.unwrap_err();
    assert!(matches!(&error, FlightError::Stopped { step, .. } if step == "09_split.sql"), "{error:?}");
    assert!(error.to_string().contains("no run was written"), "{error}");
    assert!(!out.join("manifest").exists());
}

#[test]
fn an_object_store_is_read_and_written_by_the_engine_alone() {
    let Some(store) = S3::start() else { return };
    let endpoint = store.endpoint();
    let environment = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let Some(server) = Sail::start(&environment) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    write_log(&log, 20_000, 1_000, 100);
    store.put("", &[]);
    store.put("raw/log.csv", &std::fs::read(&log).unwrap());

    let mut engine = server.connect();
    let (raw, out) = (Path::new("s3://vectors/raw/*.csv"), "s3://vectors/run");
    let finished = run(&mut engine, raw, out, &options()).unwrap();
    assert_eq!(finished.folder, "s3://vectors/run/run-1");
    compare(&mut engine, &finished, &log, &options(), &OFF);
    let error = run(&mut engine, raw, out, &options()).unwrap_err();
    assert!(matches!(error, FlightError::Exists { .. }), "{error}");
    let gone = Path::new("s3://vectors/gone/*.csv");
    let error = run(&mut engine, gone, "s3://vectors/b", &options()).unwrap_err();
    assert!(error.to_string().contains("s3://vectors/gone"), "{error}");

    // Keys that the store does not know are the engine's, and so is what is said of them.
    store.check_credentials();
    let error = run(&mut engine, raw, "s3://vectors/c", &options()).unwrap_err().to_string();
    assert!(error.contains("403") && !error.contains("hidden"), "{error}");
    store.check_nothing();
    assert!(!store.has("c/manifest"));
}

/// A server that answers each request of gRPC with a status, and an address that leads to it.
fn stub(status: &'static str, message: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // The client goes away when it has its answer.
            std::thread::spawn(move || answer(&mut stream.unwrap(), status, message));
        }
    });
    address
}

/// HTTP/2 by hand (RFC 9113): frames of nine bytes and a payload; what is asked is not read.
fn answer(stream: &mut TcpStream, status: &str, message: &str) -> std::io::Result<()> {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload)?;
        if head[3] == SETTINGS && head[4] == 0 {
            stream.write_all(&[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0])?;
        }
        if head[3] == HEADERS {
            // `:status: 200` by its number, then names and values as they are.
            let mut headers = vec![0x88];
            for text in
                [("content-type", "application/grpc"), ("grpc-status", status), ("grpc-message", message)]
            {
                headers.push(0);
                for text in [text.0, text.1] {
                    headers.push(text.len() as u8);
                    headers.extend(text.as_bytes());
                }
            }
            // The headers end here, and so does the stream.
            let mut frame = vec![0, 0, headers.len() as u8, HEADERS, 0b101];
            frame.extend(&head[5..]);
            stream.write_all(&[frame, headers].concat())?;
        }
    }
}

#[test]
fn credentials_that_an_engine_refuses_are_told_and_never_shown() {
    let address = stub("16", "no such token");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut engine = Engine::connect(&format!("grpc://{address}"), Some("s3cret")).unwrap();
    let error = run(&mut engine, Path::new("/log.csv"), out.to_str().unwrap(), &options()).unwrap_err();
    assert!(matches!(error, FlightError::Credentials { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("no such token") && error.contains("UPNEXT_ENGINE_TOKEN"), "{error}");
    assert!(!error.contains("s3cret") && !out.exists(), "{error}");
    // A user and a password are shown at once.
    let error = Engine::connect(&format!("grpc://ann:s3cret@{address}"), None).err().unwrap();
    assert!(matches!(error, FlightError::Credentials { .. }), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[test]
fn an_engine_without_tls_is_told_where_tls_is_asked_for() {
    let address = stub("0", "");
    let error = Engine::connect(&format!("grpc+tls://{address}"), None).err().unwrap();
    assert!(matches!(error, FlightError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("grpc+tls"), "{error}");
}
