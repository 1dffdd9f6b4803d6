//! `upnext import`: from logs to a run folder, saying what was dropped and why.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use upnext_data::SplitRule;
use upnext_ingest::{CleaningReport, Notice, Target, run};

use super::on_engine::OnEngine;
use crate::loading::{CleanArgs, DataArgs, parse_split, relevance_of};
use crate::{output, progress};

/// Arguments of `import`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext import ratings.csv --map user=userId,video=movieId,time=timestamp --out runs/mine\n  upnext import Beauty.txt --format s3rec --features Beauty_item2attributes.json --json\n  upnext import big_matrix.csv --rules kuairec --rule bots=120/minute --split global-time --memory 2GiB\n  upnext import sqlite:///var/lib/app.db --sql-events interactions --sql-videos videos\n  PGPASSWORD=… upnext import postgres://reader@db.internal/app --events-per-user 40\n  upnext import 's3://lake/raw/*.csv' --engine grpc://sail:32010 --out s3://lake/run"
)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    clean: CleanArgs,
    /// The run folder to make; without it, runs/ and the set's name
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Let an engine do it through Arrow Flight SQL: `grpc://user:password@host:port`, or grpc+tls://
    #[arg(long, value_name = "URL", requires = "out")]
    engine: Option<String>,
    /// Replace a run folder that is there
    #[arg(long)]
    force: bool,
    /// Also one row for each pair of user and video, cut by this rule (global-time), and statistics of videos
    #[arg(long, value_name = "RULE")]
    split: Option<String>,
    /// Keep no file of dropped rows
    #[arg(long)]
    no_quarantine: bool,
    /// Of several files, keep what was read after a file every so many seconds: an import that ends early goes on there
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    keep_every: u64,
    /// Start over, and leave what an import that ended early has kept
    #[arg(long)]
    fresh: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed<'a> {
    run: std::borrow::Cow<'a, str>,
    name: &'a str,
    recognised: &'a str,
    digest: &'a str,
    users: usize,
    videos: usize,
    events: usize,
    relevance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<Pairs>,
    /// Files of events that an earlier import had read.
    files_read_before: usize,
    cleaning: &'a CleaningReport,
    notice: Option<&'a Notice>,
}

#[derive(Serialize)]
struct Pairs {
    rule: &'static str,
    pairs: [u64; 3],
    cuts: (i64, i64),
}

/// The command line, for the manifest; what is not Unicode is replaced, and passwords are left out.
fn command_line() -> String {
    let words = std::env::args_os().map(|word| upnext_ingest::without_password(&word.to_string_lossy()));
    let words: Vec<String> = words.collect();
    words.join(" ")
}

impl ImportArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the files cannot be read or the run folder cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        if let Some(engine) = &self.engine {
            let Self { data, clean, out, force, split, no_quarantine, json, .. } = &self;
            let (out, split) = (out.as_deref(), split.as_deref());
            let (force, no_quarantine, json) = (*force, *no_quarantine, *json);
            return OnEngine { engine, data, clean, out, force, split, no_quarantine, json }.run();
        }
        let split = parse_split(self.split.as_deref())?;
        if let [folder] = &self.data.files[..]
            && run::is_run(folder)
        {
            return self.copy();
        }
        let (mut options, given) = self.data.options()?;
        self.clean.apply(&mut options)?;
        let target = Target {
            run: self.out.as_deref(),
            replace: self.force,
            command: command_line(),
            seed: 1,
            relevance: &|recognised, natural| relevance_of(given.as_ref(), recognised, || natural.clone()),
            memory_bytes: self.clean.memory_bytes()?,
            quarantine: !self.no_quarantine,
            split,
            keep_every: Some(Duration::from_secs(self.keep_every)),
            go_on: !self.fresh,
        };
        let made =
            progress::importing(|told| upnext_ingest::import(&self.data.files, &options, &target, told))?;
        if let Some((files, of_files)) = made.went_on {
            tracing::info!("went on after {files} of {of_files} files that were read before");
        }
        for vectors in &made.vectors {
            let coverage = upnext_ingest::vectors::add(&made.run, vectors)?;
            tracing::info!("vectors {}: {} of {} videos", vectors.name, coverage.found.n, coverage.videos);
        }
        for file in &made.vector_files {
            let (run, file) = (made.run.display(), file.display());
            tracing::info!("{file}: vectors; `upnext vectors {run} --from {file} --name NAME` takes them in");
        }
        let split = made.pairs.zip(made.cuts).map(|(pairs, cuts)| Pairs {
            rule: SplitRule::GlobalTime.name(),
            pairs,
            cuts,
        });
        self.print(&Printed {
            run: made.run.to_string_lossy(),
            name: &made.name,
            recognised: &made.recognised,
            digest: &made.digest,
            users: made.cleaning.users,
            videos: made.cleaning.videos,
            events: made.cleaning.events,
            relevance: made.relevance.to_string(),
            split,
            files_read_before: made.went_on.map_or(0, |(files, _)| files),
            cleaning: &made.cleaning,
            notice: made.notice.as_ref(),
        })
    }

    /// A run folder is read and written again as it is.
    fn copy(&self) -> Result<()> {
        let loaded = self.data.load()?;
        let set = &loaded.dataset;
        let out = self.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&set.name));
        let about = run::About {
            relevance: loaded.relevance.to_string(),
            notice: loaded.notice.clone(),
            recognised: loaded.recognised.clone(),
            command: command_line(),
            seed: 1,
        };
        run::write(&out, set, &loaded.cleaning, &about, self.force)?;
        self.print(&Printed {
            run: out.to_string_lossy(),
            name: &set.name,
            recognised: &loaded.recognised,
            digest: &set.digest(),
            users: set.users.len(),
            videos: set.videos.len(),
            events: set.events().len(),
            relevance: loaded.relevance.to_string(),
            split: None,
            files_read_before: 0,
            cleaning: &loaded.cleaning,
            notice: loaded.notice.as_ref(),
        })
    }

    fn print(&self, printed: &Printed) -> Result<()> {
        if self.json {
            return output::print(&serde_json::to_string(printed)?);
        }
        let mut text = format!("{}: {}\n\n{}", printed.name, printed.recognised, printed.cleaning);
        if let Some(Pairs { rule, pairs: [train, validation, test], .. }) = &printed.split {
            text += &format!("pairs by {rule}: {train} train, {validation} validation, {test} test\n");
        }
        if let Some(notice) = &printed.notice {
            text += &format!("\n{} ({})\n", notice.text, notice.licence);
        }
        text += &format!("\nrun folder: {}\nnext: upnext train {0}\n", printed.run);
        output::print(&text)
    }
}
