//! The engine of others against our own: the same files through both, compared row for row.
//!
//! The engine is a real one, Sail in cluster mode, started here as a process: `pip install pysail`, found as
//! `target/venv/bin/sail` or where UPNEXT_SAIL says. Without it these tests skip and say so, unless
//! UPNEXT_REQUIRE_SERVERS=1.
#![cfg(feature = "scale")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use upnext_data::{Action, Counts, Dataset, Judgement, Relevance, Split, SplitRule};
use upnext_ingest::engine::flight::{self, Engine, Finished, FlightError, Job};
use upnext_ingest::{Map, Options, Reason};

/// A process that ends with the test.
struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn missing(what: &str) -> Option<PathBuf> {
    let said = format!("{what}: not found, so there is nothing to compare with; see docs/operations.md");
    assert!(std::env::var("UPNEXT_REQUIRE_SERVERS").is_err(), "{said}");
    eprintln!("skipped: {said}");
    None
}

/// A program of the virtual environment that holds Sail.
fn program(name: &str) -> Option<PathBuf> {
    let folder = match std::env::var("UPNEXT_SAIL") {
        Ok(sail) => Path::new(&sail).parent().unwrap().to_owned(),
        Err(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin"),
    };
    let program = folder.join(name);
    if program.exists() { Some(program) } else { missing(name) }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts Sail in cluster mode with four workers, and waits until it answers.
fn sail(environment: &[(&str, &str)]) -> Option<Server> {
    let port = free_port();
    let process = Command::new(program("sail")?)
        .args(["flight", "server", "--port", &port.to_string()])
        .env("SAIL_MODE", "local-cluster")
        .env("SAIL_CLUSTER__WORKER_INITIAL_COUNT", "4")
        .env("SAIL_CLUSTER__WORKER_MAX_COUNT", "4")
        .envs(environment.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server { process, url: format!("grpc://127.0.0.1:{port}") };
    let start = Instant::now();
    while let Err(error) = Engine::connect(&server.url, None) {
        assert!(start.elapsed() < Duration::from_secs(60), "{error}");
        std::thread::sleep(Duration::from_millis(200));
    }
    Some(server)
}

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

/// Rows of a log in which every twelfth has a fault, of each kind in turn; times tie often.
fn write_log(path: &Path, rows: u64, users: u64, videos: u64) {
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    let mut draw = Draw(1);
    writeln!(file, "{HEADER}").unwrap();
    let (mut line, mut last) = (String::new(), String::new());
    for row in 0..rows {
        let user = draw.below(users);
        // The least of two draws: some videos are seen far more often.
        let video = draw.below(videos).min(draw.below(videos));
        let second = 1_593_878_400 + draw.below(20_000) * 60;
        let duration = 3_000 + 500 * (video % 100);
        let watched = draw.below(3 * duration);
        let fraction = ["", ".25", ".264"][draw.below(3) as usize];
        let like = ["0", "0", "0", "0", "1", ""][draw.below(6) as usize];
        let hate = if draw.below(50) == 0 { "1" } else { "0" };
        let stars = ["", "", "3", "4.5"][draw.below(4) as usize];
        let ratio = match draw.below(3) {
            0 => String::new(),
            _ => format!("{}", watched as f64 / duration as f64),
        };
        line.clear();
        let fault = if row % 12 == 0 { row / 12 % 32 } else { u64::MAX };
        let mut say = |text: std::fmt::Arguments| line.write_fmt(text).unwrap();
        match fault {
            0 | 30 | 31 => say(format_args!("{last}")),
            1 => say(format_args!(",{video},{second},{watched},{duration},{ratio},{like},{hate},{stars}")),
            2 => say(format_args!("{user},,{second},{watched},{duration},{ratio},{like},{hate},{stars}")),
            3 => say(format_args!("{user},{video},,{watched},{duration},{ratio},{like},{hate},{stars}")),
            4 => say(format_args!("{user},{video},-{second},{watched},{duration},{ratio},0,0,")),
            5 => say(format_args!("{user},{video},4{second},{watched},{duration},{ratio},0,0,")),
            6 => say(format_args!("{user},{video},{second},{watched},0,{ratio},0,0,")),
            7 => say(format_args!("{user},{video},{second},-{watched}1,{duration},,0,0,")),
            8 => say(format_args!("{user},{video},{second},{watched},99999999999,,0,0,")),
            9 => say(format_args!("{user},{video},{second},{watched},{duration},NaN,0,0,")),
            10 => say(format_args!("{user},{video},{second},{watched},{duration},inf,0,0,")),
            11 => say(format_args!("{user},{video},{second},{watched},{duration},1e39,0,0,")),
            12 => say(format_args!("{user},{video},{second},abc,{duration},{ratio},0,0,")),
            13 => say(format_args!("{user},{video},yesterday,{watched},{duration},{ratio},0,0,")),
            14 => say(format_args!("{user},{video},{second},{watched},{duration},{ratio},0,0,5,6,7")),
            15 => say(format_args!("{user},{video}")),
            16 => say(format_args!("{user},{video},{second}")),
            17 => say(format_args!("{user},{video},{second},null,N/A,,0,0,none")),
            18 => say(format_args!(
                "\"{user}\",\" {video}\",\"{second}\",{watched},{duration},\"{ratio}\",0,0,"
            )),
            19 => say(format_args!(" {user} ,{video}\t,{second} ,{watched},{duration},{ratio},true,false,")),
            20 => {
                say(format_args!("{user},{video},2020-07-05 05:27:48.378,{watched},{duration},{ratio},0,0,"))
            }
            21 => say(format_args!("{user},{video},2020/07/05,{watched},{duration},{ratio},0,0,")),
            22 => say(format_args!("{user},{video},20200705,{watched},{duration},{ratio},0,0,")),
            23 => say(format_args!("{user},{video},{second}000,{watched},{duration},{ratio},0,0,")),
            24 => say(format_args!("{user},{video},{second}000000,{watched},{duration},-0.5,0,0,")),
            25 => say(format_args!(
                "\"{user}, the \"\"first\"\"\",{video},{second},{watched},{duration},{ratio},0,0,"
            )),
            26 => say(format_args!("{user},{video},nan,{watched},{duration},{ratio},0,0,")),
            27 => say(format_args!("{user},{},{second},{watched},{duration},{ratio},0,0,", "v".repeat(600))),
            28 => say(format_args!("{user},{video},{second},9e9,{duration},,0,0,")),
            29 => say(format_args!("{user},{video},{second},{watched},{duration},{ratio},2,maybe,")),
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

/// Compares all that the engine made with what our own reader makes of the same file.
fn compare(engine: &mut Engine, finished: &Finished, file: &Path, options: &Options) -> Dataset {
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
        assert!(theirs > 0, "{name}: the log has each fault");
    }
    let user_name = |row: u32| set.users.names().name(row);
    let video_name = |row: u32| set.videos.names().name(row);

    // Events, each user's in the same order.
    let mut events: HashMap<&str, Vec<(String, String, i64, Option<u32>, Option<u32>)>> = HashMap::new();
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
    let near = |a: f64, b: f32| (a - f64::from(b)).abs() <= a.abs() * f64::from(f32::EPSILON);
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

#[test]
fn a_log_with_every_kind_of_fault_becomes_the_same_on_an_engine() {
    let Some(server) = sail(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    let rows = std::env::var("UPNEXT_FLIGHT_ROWS").map_or(1_000_000, |rows| rows.parse().unwrap());
    write_log(&log, rows, rows / 20 + 10, rows / 200 + 50);
    let mut engine = Engine::connect(&server.url, None).unwrap();
    let out = folder.path().join("run");
    let start = Instant::now();
    let finished = run(&mut engine, &log, out.to_str().unwrap(), &options()).unwrap();
    eprintln!("{} rows on the engine in {:.1} s: {finished:?}", finished.read, start.elapsed().as_secs_f64());
    let set = compare(&mut engine, &finished, &log, &options());

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

    // A run that is there stays, unless it may be replaced.
    let error = run(&mut engine, &log, out.to_str().unwrap(), &options()).unwrap_err();
    assert!(matches!(error, FlightError::Exists { .. }), "{error}");
}

#[test]
fn a_query_that_fails_names_its_step_and_leaves_no_run() {
    let Some(server) = sail(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    write_log(&log, 2_000, 100, 50);
    let mut engine = Engine::connect(&server.url, None).unwrap();
    let error = run(&mut engine, &log, "nowhere://bucket/run", &options()).unwrap_err().to_string();
    assert!(error.contains("nowhere") && error.contains(&server.url), "{error}");

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
    let Some(mut server) = sail(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    write_log(&log, 20_000, 1_000, 100);
    let mut engine = Engine::connect(&server.url, None).unwrap();
    let out = folder.path().join("run");
    let sources = [log.to_str().unwrap().to_owned()];
    let options = options();
    let job =
        Job { sources: &sources, out: out.to_str().unwrap(), name: "run-1", options: &options, force: false };
    let process = std::cell::RefCell::new(&mut server.process);
    let error = flight::run(&mut engine, &job, &|step| {
        if step.name == "05_split.sql" {
            process.borrow_mut().kill().unwrap();
            process.borrow_mut().wait().unwrap();
        }
    });
    let error = error.unwrap_err();
    assert!(matches!(&error, FlightError::Stopped { step, .. } if step == "05_split.sql"), "{error:?}");
    assert!(error.to_string().contains("no run was written"), "{error}");
    assert!(!out.join("manifest").exists());
}

#[test]
fn an_object_store_is_read_and_written_by_the_engine_alone() {
    let (Some(moto), Some(python)) = (program("moto_server"), program("python3")) else { return };
    let port = free_port();
    let process = Command::new(moto)
        .args(["-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let store = Server { process, url: format!("http://127.0.0.1:{port}") };
    let keys =
        [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")];
    let endpoint = [("AWS_ENDPOINT", store.url.as_str()), ("AWS_ALLOW_HTTP", "true")];
    let environment: Vec<(&str, &str)> = keys.into_iter().chain(endpoint).collect();
    let Some(server) = sail(&environment) else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    write_log(&log, 20_000, 1_000, 100);
    let script = "import sys, time, boto3\n\
                  for _ in range(100):\n\
                  \x20   try:\n\
                  \x20       s3 = boto3.client('s3', endpoint_url=sys.argv[1]); s3.create_bucket(Bucket='lake'); break\n\
                  \x20   except Exception: time.sleep(0.2)\n\
                  s3.upload_file(sys.argv[2], 'lake', 'raw/log.csv')";
    let status = Command::new(&python)
        .args(["-c", script, &store.url, log.to_str().unwrap()])
        .envs(keys)
        .status()
        .unwrap();
    assert!(status.success());

    let mut engine = Engine::connect(&server.url, None).unwrap();
    let finished = run(&mut engine, Path::new("s3://lake/raw/*.csv"), "s3://lake/run", &options()).unwrap();
    assert_eq!(finished.folder, "s3://lake/run/run-1");
    compare(&mut engine, &finished, &log, &options());
    let error = run(&mut engine, Path::new("s3://lake/raw/*.csv"), "s3://lake/run", &options()).unwrap_err();
    assert!(matches!(error, FlightError::Exists { .. }), "{error}");
    let error = run(&mut engine, Path::new("s3://lake/gone/*.csv"), "s3://lake/b", &options()).unwrap_err();
    assert!(error.to_string().contains("s3://lake/gone"), "{error}");
}
