//! The work on data, done by an engine that others run: the SQL goes out through Arrow Flight SQL, the engine reads
//! and writes, and no row of the log passes through this process.
//!
//! The statements lie in `sql/`, in the order of their numbers, in Spark's dialect; `plan` fills their places. The
//! result equals that of the embedded engine row for row: a test compares a million.

mod client;
mod counts;
mod error;
mod plan;

use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use serde::Serialize;

use crate::Options;

pub use client::Engine;
pub use counts::read_counts;
pub use error::FlightError;
use plan::{Statement, What};

/// What an engine shall do.
pub struct Job<'a> {
    /// Files or globs as the engine sees them: `s3://bucket/raw/*.parquet`, `/data/log.csv`.
    pub sources: &'a [String],
    /// Where the run goes: a folder or a prefix of an object store, as the engine sees it.
    pub out: &'a str,
    /// The name of this run inside `out`, another for each.
    pub name: &'a str,
    /// Which column holds what, what is relevant, what is dropped, and how long an id may be.
    pub options: &'a Options,
    /// Whether a run that is there may be replaced.
    pub force: bool,
}

/// What an engine did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finished {
    /// The folder of this run; its tables are `rows`, `events`, `split`, `popularity`, and so on.
    pub folder: String,
    /// Rows read.
    pub read: u64,
    /// Rows kept.
    pub kept: u64,
    /// Rows dropped for each reason, those that occurred.
    pub dropped: Vec<(String, u64)>,
    /// Users with an event.
    pub users: u64,
    /// Videos with an event.
    pub videos: u64,
    /// Events made; a row with several marks makes several.
    pub events: u64,
    /// Which columns were read as what.
    pub columns: String,
    /// Seconds of each step, by the name of its file.
    pub seconds: Vec<(&'static str, f64)>,
}

/// Where the work stands.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The SQL file that begins.
    pub name: &'static str,
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub of: usize,
}

/// Cleans, deduplicates, joins, splits and counts on the engine. What fails half-way leaves no run: the manifest, which
/// names the run's folder, is written last, and an older run stays until then.
///
/// # Errors
/// An engine that refuses, fails or stops, named with the step; columns that are missing; a run that is there.
pub fn run(engine: &mut Engine, job: &Job, progress: &dyn Fn(Step)) -> Result<Finished, FlightError> {
    plan::check(job.options)?;
    let out = plan::location(job.out);
    let manifest = format!("{out}/manifest");
    if !job.force && count(engine, "manifest", plan::count_lines(&manifest))? > 0 {
        return Err(FlightError::Exists { out: job.out.into() });
    }
    let mut sources = Vec::with_capacity(job.sources.len());
    for (number, source) in job.sources.iter().enumerate() {
        sources.push(plan::Source::find(engine, source, number, job)?);
    }
    let folder = format!("{out}/{}", job.name);
    let statements = plan::statements(&sources, &folder, &manifest, job);
    let mut finished = Finished {
        folder: folder.clone(),
        read: 0,
        kept: 0,
        dropped: Vec::new(),
        users: 0,
        videos: 0,
        events: 0,
        columns: plan::described(&sources),
        seconds: Vec::new(),
    };
    let of = statements.len();
    for (done, Statement { name, what }) in statements.into_iter().enumerate() {
        progress(Step { name, done, of });
        let start = Instant::now();
        match what {
            What::Once(sql) => engine.execute(name, sql)?,
            What::Rounds { rounds, counts } => {
                let mut left = count(engine, name, counts[0].clone())?;
                for at in [0, 1].into_iter().cycle() {
                    engine.execute(name, rounds[at].clone())?;
                    let before = std::mem::replace(&mut left, count(engine, name, counts[1 - at].clone())?);
                    if left == before {
                        break;
                    }
                }
            }
            What::Last(sql) => {
                report(engine, &folder, &mut finished)?;
                engine.execute(name, sql)?;
            }
        }
        finished.seconds.push((name, start.elapsed().as_secs_f64()));
    }
    Ok(finished)
}

/// Reads what was dropped; a run without any row or event is none.
fn report(engine: &mut Engine, folder: &str, finished: &mut Finished) -> Result<(), FlightError> {
    let step = "cleaning";
    let mut counted: Vec<(String, u64)> = Vec::new();
    let url = engine.url().to_owned();
    engine.query(step, plan::select(&format!("{folder}/cleaning"), "reason, n_rows"), |batch| {
        let (Some(reasons), Some(rows)) =
            (plan::texts(batch.column(0)), batch.column(1).as_primitive_opt::<Int64Type>())
        else {
            return Err(FlightError::Answer {
                url: url.clone(),
                step: step.into(),
                found: format!("{:?}", batch.schema()),
                expected: "a text and a whole number",
            });
        };
        counted.extend(reasons.into_iter().zip(rows.values().iter().map(|&n| n as u64)));
        Ok(())
    })?;
    for (name, rows) in counted {
        match name.as_str() {
            "kept" => finished.kept = rows,
            "events" => finished.events = rows,
            "users" => finished.users = rows,
            "videos" => finished.videos = rows,
            _ => finished.dropped.push((name, rows)),
        }
    }
    finished.read = finished.kept + finished.dropped.iter().map(|(_, rows)| rows).sum::<u64>();
    finished.dropped.sort();
    if finished.kept == 0 {
        let dropped: Vec<String> =
            finished.dropped.iter().map(|(name, rows)| format!("{rows} {name}")).collect();
        return Err(FlightError::Failed {
            url,
            step: step.into(),
            why: format!(
                "of {} rows none was kept ({}); see {folder}/quarantine",
                finished.read,
                dropped.join(", ")
            ),
        });
    }
    Ok(())
}

fn count(engine: &mut Engine, step: &str, sql: String) -> Result<i64, FlightError> {
    let mut found = 0;
    engine.query(step, sql, |batch| {
        found += batch.column(0).as_primitive_opt::<Int64Type>().map_or(0, |n| n.values().iter().sum());
        Ok(())
    })?;
    Ok(found)
}
