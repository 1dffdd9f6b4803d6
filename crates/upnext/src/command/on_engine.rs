//! `upnext import --engine`: the same work, done by an engine of many machines.

use std::path::Path;

use anyhow::Result;

use crate::WrongUse;
use crate::loading::{CleanArgs, DataArgs};

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
    /// What is dropped.
    pub(crate) clean: &'a CleanArgs,
    /// Where the run goes, as the engine sees it.
    pub(crate) out: Option<&'a Path>,
    /// Replace a run that is there.
    pub(crate) force: bool,
    /// How pairs are cut; an engine knows one way.
    pub(crate) split: Option<&'a str>,
    /// Keep no table of dropped rows, which an engine always does.
    pub(crate) no_quarantine: bool,
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
        use upnext_data::SplitRule;
        use upnext_ingest::engine::flight::{self, Engine, Job};
        use upnext_ingest::{Format, SqlOptions};

        use crate::loading::parse_split;
        use crate::{output, progress};

        let Self { engine, data, clean, out, force, split, no_quarantine, json } = self;
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
        let (mut options, _) = data.options()?;
        clean.apply(&mut options)?;
        // Whatever the size, no row passes through here; what is no size is still told.
        clean.memory_bytes()?;
        let sql = SqlOptions { password: options.sql.password.clone(), ..SqlOptions::default() };
        let known_format = matches!(options.format, Format::Auto | Format::Csv | Format::Parquet);
        let split = parse_split(split)?.filter(|&rule| rule != SplitRule::GlobalTime);
        for (is_refused, argument, why) in [
            (!known_format, "--format", "on an engine csv and parquet are read"),
            (!options.features.is_empty(), "--features", "is not read on an engine"),
            (options.name.is_some(), "--name", "on an engine a run is named by --out alone"),
            (options.sql != sql, "--sql", "an engine reads files; import a database without --engine"),
            (split.is_some(), "--split", "on an engine pairs are cut by global-time alone"),
            (no_quarantine, "--no-quarantine", "an engine always keeps the table of dropped rows"),
        ] {
            if is_refused {
                return Err(WrongUse::of(argument, why).into());
            }
        }
        let token = std::env::var("UPNEXT_ENGINE_TOKEN").ok();
        let mut engine = Engine::connect(engine, token.as_deref())?;
        let name = format!("run-{}-{}", options.now.unwrap_or_default(), std::process::id());
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
        printed += &format!("\nrules {}\nrun: {}\n", options.rules, finished.folder);
        output::print(&printed)
    }
}
