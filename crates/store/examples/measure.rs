//! `measure FILE DUMP`: how long a store that is there takes for what is not an event: opening (an earlier schema is changed), a history, a question by
//! video, forgetting, deleting what is old, verifying, a dump into the file `DUMP`, and restoring that into `DUMP.db`. One JSON object, in seconds.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::time::Instant;

use upnext_store::{FeedbackQuery, Sqlite, Store, StoreConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, dump] = words.as_slice() else { return Err("expected FILE DUMP".into()) };
    let mut told = serde_json::Map::new();
    let mut tell = |what: &str, begin: Instant| {
        told.insert(what.into(), begin.elapsed().as_secs_f64().into());
    };
    let at = Instant::now();
    let store = Sqlite::open(file, StoreConfig::default())?;
    tell("open", at);
    let users = store.users("", 10_000)?.rows;
    let at = Instant::now();
    let mut n_rows = 0;
    for user in &users {
        n_rows += store.history(&user.id, Some(i64::MAX - 1), 1_000)?.len();
    }
    tell("histories", at);
    let video = store.recent(i64::MIN, None, 1)?.pop().map(|row| row.video).unwrap_or_default();
    let at = Instant::now();
    store.feedback(&FeedbackQuery { video: Some(&video), n: 100, ..FeedbackQuery::default() })?;
    tell("question_by_video", at);
    let at = Instant::now();
    for user in users.iter().take(3) {
        store.forget(&user.id, 0)?;
    }
    tell("forget_three", at);
    let at = Instant::now();
    let expired = (0..10).map(|_| store.expire(i64::MAX, 10_000)).sum::<Result<usize, _>>()?;
    tell("expire", at);
    let at = Instant::now();
    let bytes_back = store.compact(10_000)?;
    tell("compact", at);
    let at = Instant::now();
    let report = store.verify()?;
    tell("verify", at);
    let at = Instant::now();
    store.dump(&mut BufWriter::new(File::create(dump)?), &mut |_, _| ())?;
    tell("dump", at);
    let at = Instant::now();
    let into = PathBuf::from(format!("{dump}.db"));
    let config = StoreConfig::default();
    Sqlite::restore(&into, &config, &mut BufReader::new(File::open(dump)?), false, &mut |_, _| ())?;
    tell("restore", at);
    told.insert("histories_rows".into(), n_rows.into());
    told.insert("histories_users".into(), users.len().into());
    told.insert("expired_rows".into(), expired.into());
    told.insert("compacted_bytes".into(), bytes_back.into());
    told.insert("rows".into(), report.counts.feedback.into());
    told.insert("problems".into(), report.problems.into());
    println!("{}", serde_json::Value::Object(told));
    Ok(())
}
