//! `upnext import --engine`: the same work, done by an engine of many machines.

use std::path::Path;

use anyhow::Result;

use crate::WrongUse;
use crate::loading::DataArgs;

/// What `import` knows besides the data.
#[cfg_attr(
    not(feature = "scale"),
    expect(dead_code, reason = "a build that cannot reach engines only says so")
)]
pub(crate) struct OnEngine<'a> {
    /// `grpc://host:port`.
    pub(crate) engine: &'a str,
    /// The files as the engine sees them, and what is to be known of them.
    pub(crate) data: &'a DataArgs,
    /// Where the run goes, as the engine sees it.
    pub(crate) out: Option<&'a Path>,
    /// Replace a run that is there.
    pub(crate) force: bool,
    /// One JSON object instead of text.
    pub(crate) json: bool,
}

#[cfg(not(feature = "scale"))]
impl OnEngine<'_> {
    /// Says that this build cannot.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn run(self) -> Result<()> {
        let Self { engine, .. } = self;
        let why = format!("{engine}: this build cannot reach engines; build it with `--features scale`");
        Err(WrongUse::of("--engine", why).into())
    }
}

#[cfg(feature = "scale")]
impl OnEngine<'_> {
    /// Runs the steps on the engine and prints what they dropped and made.
    ///
    /// # Errors
    /// When arguments cannot be meant, or the engine does not do the work.
    pub(crate) fn run(self) -> Result<()> {
        use std::time::{SystemTime, UNIX_EPOCH};

        use anyhow::Context;
        use upnext_data::Relevance;
        use upnext_ingest::engine::flight::{self, Engine, Job};
        use upnext_ingest::{IngestError, Map, Options};

        use crate::{output, progress};

        let Self { engine, data, out, force, json } = self;
        let text = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .ok_or_else(|| WrongUse(format!("{}: an engine takes names in Unicode only", path.display())))
        };
        let out = out.ok_or_else(|| {
            WrongUse::of("--engine", "needs --out, a folder or prefix that the engine can write")
        })?;
        let out = text(out)?;
        let sources = data.files.iter().map(|file| text(file)).collect::<Result<Vec<String>, WrongUse>>()?;
        if data.format != "auto" && data.format != "csv" && data.format != "parquet" {
            return Err(WrongUse::of("--format", "on an engine csv and parquet are read").into());
        }
        if !data.features.is_empty() {
            return Err(WrongUse::of("--features", "is not read on an engine").into());
        }
        let relevance = data.relevance.as_deref().map(str::parse::<Relevance>).transpose();
        let relevance = relevance.map_err(|error| WrongUse::of("--relevance", error))?.unwrap_or_default();
        let map: Map = data
            .map
            .as_deref()
            .unwrap_or_default()
            .parse()
            .map_err(|error: IngestError| WrongUse(error.to_string()))?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock is before 1970: set it")?
            .as_millis() as i64;
        let options = Options { map, relevance, now: Some(now), ..Options::default() };
        let token = std::env::var("UPNEXT_ENGINE_TOKEN").ok();
        let mut engine = Engine::connect(engine, token.as_deref())?;
        let name = format!("run-{now}-{}", std::process::id());
        let job = Job { sources: &sources, out: &out, name: &name, options: &options, force };
        let bar = progress::bar(0, "asking for columns");
        let finished = flight::run(&mut engine, &job, &|step| {
            bar.set_length(step.of as u64);
            bar.set_position(step.done as u64);
            bar.set_message(step.name);
        })?;
        bar.finish_and_clear();
        if json {
            return output::print(&serde_json::to_string(&finished)?);
        }
        let percent = |rows: u64| 100.0 * rows as f64 / finished.read as f64;
        let mut printed = format!("{}\n\n{:<28} {:>12}\n", finished.columns, "rows read", finished.read);
        let dropped = finished
            .dropped
            .iter()
            .map(|(reason, rows)| (format!("dropped: {}", reason.replace('_', " ")), *rows));
        for (what, rows) in std::iter::once(("kept".to_owned(), finished.kept)).chain(dropped) {
            printed += &format!("{what:<28} {rows:>12}  {:>6.2} %\n", percent(rows));
        }
        printed += &format!(
            "{} events of {} users on {} videos\n\n",
            finished.events, finished.users, finished.videos
        );
        for (step, seconds) in &finished.seconds {
            printed += &format!("{step:<28} {seconds:>10.1} s\n");
        }
        printed += &format!("\nrun: {}\n", finished.folder);
        output::print(&printed)
    }
}
