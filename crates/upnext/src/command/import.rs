//! `upnext import`: from logs to a run folder, saying what was dropped and why.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use upnext_ingest::{CleaningReport, Notice, run};

use super::on_engine::OnEngine;
use crate::loading::DataArgs;
use crate::output;

/// Arguments of `import`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext import ratings.csv --map user=userId,video=movieId,time=timestamp --out runs/mine\n  upnext import Beauty.txt --format s3rec --features Beauty_item2attributes.json --json\n  upnext import 's3://lake/raw/*.parquet' --engine grpc://sail:32010 --out s3://lake/run"
)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The run folder to make; without it, runs/ and the set's name
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Let an engine do it through Arrow Flight SQL: grpc://[user:password@]host:port, or grpc+tls://
    #[arg(long, value_name = "URL", requires = "out")]
    engine: Option<String>,
    /// Replace a run folder that is there
    #[arg(long)]
    force: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed<'a> {
    run: std::borrow::Cow<'a, str>,
    name: &'a str,
    recognised: &'a str,
    digest: String,
    users: usize,
    videos: usize,
    events: usize,
    relevance: String,
    cleaning: &'a CleaningReport,
    notice: Option<&'a Notice>,
}

/// The command line, for the manifest; what is not Unicode is replaced.
fn command_line() -> String {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}

impl ImportArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the files cannot be read or the run folder cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        if let Some(engine) = &self.engine {
            let Self { data, out, force, json, .. } = &self;
            return OnEngine { engine, data, out: out.as_deref(), force: *force, json: *json }.run();
        }
        let loaded = self.data.load()?;
        let set = &loaded.dataset;
        let out = self.out.unwrap_or_else(|| PathBuf::from("runs").join(&set.name));
        let about = run::About {
            relevance: loaded.relevance.to_string(),
            notice: loaded.notice.clone(),
            recognised: loaded.recognised.clone(),
            command: command_line(),
            seed: 1,
        };
        run::write(&out, set, &loaded.cleaning, &about, self.force)?;
        let printed = Printed {
            run: out.to_string_lossy(),
            name: &set.name,
            recognised: &loaded.recognised,
            digest: set.digest(),
            users: set.users.len(),
            videos: set.videos.len(),
            events: set.events().len(),
            relevance: loaded.relevance.to_string(),
            cleaning: &loaded.cleaning,
            notice: loaded.notice.as_ref(),
        };
        if self.json {
            return output::print(&serde_json::to_string(&printed)?);
        }
        let mut text = format!("{}: {}\n\n{}", printed.name, printed.recognised, printed.cleaning);
        if let Some(notice) = &printed.notice {
            text += &format!("\n{} ({})\n", notice.text, notice.licence);
        }
        text += &format!("\nrun folder: {}\nnext: upnext train {0}\n", out.display());
        output::print(&text)
    }
}
