//! `upnext index`: the indexes that a large catalogue is searched by.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use upnext_index::Index;
use upnext_ingest::run::{self, RunFolder};
use upnext_pipeline::FeedModels;
use upnext_store::StoreUrl;

use crate::command::train::MODEL_FILE;
use crate::config::Config;
use crate::retraining::Versions;
use crate::{WrongUse, indexes, output, serving};

/// Arguments of `index`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext index runs/mine --recall 0.99\n  upnext index runs/mine --to postgres://upnext@db.internal/upnext"
)]
pub(crate) struct IndexArgs {
    /// The run folder, trained
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The share of the true neighbours that a search shall find, 0.5 to 0.999
    #[arg(long, default_value_t = indexes::RECALL, value_name = "SHARE")]
    recall: f32,
    /// Put the vectors of the version that is served into a database with pgvector instead, postgres://user@host/database, where services
    /// search them by `[store] vectors_url`; without URL that one, or UPNEXT_VECTORS, which no listing of processes shows
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    to: Option<String>,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// The models of a run that was trained.
///
/// # Errors
/// When there are none, or they cannot be read.
pub(crate) fn models(path: &Path, folder: &RunFolder) -> Result<FeedModels> {
    let bytes = run::read_file(path, MODEL_FILE)?
        .with_context(|| format!("{}: has no models; fit them with `upnext train`", path.display()))?;
    serving::from_bytes(&bytes, &folder.dataset)
}

impl IndexArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the run has no models, or cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        if !(0.5..=0.999).contains(&self.recall) {
            return Err(WrongUse::of("--recall", format!("{}: expected 0.5 to 0.999", self.recall)).into());
        }
        if let Some(url) = &self.to {
            return self.publish(url);
        }
        let models = models(&self.run, &run::open(&self.run)?)?;
        let built = indexes::open_or_build(&self.run, &models, &indexes::settings(self.recall))?;
        if built.is_empty() {
            bail!(
                "{}: no model of it scores by vectors, so there is nothing to index; `--ranker` of `upnext train` names one that does, two-tower or profile for example",
                self.run.display()
            );
        }
        if self.json {
            let one = |built: &indexes::Built| {
                serde_json::json!({
                    "model": built.name, "file": built.file, "was_there": built.was_there, "seconds": built.seconds,
                    "rows": built.index.len(), "dimensions": built.index.dim(), "lists": built.index.n_lists(),
                    "bits": built.index.bits().count(), "recall": built.index.config().recall,
                    "resident_bytes": built.index.resident_bytes(),
                })
            };
            let all: Vec<serde_json::Value> = built.iter().map(one).collect();
            return output::print(&serde_json::json!({ "indexes": all }).to_string());
        }
        let mut text = String::new();
        for built in &built {
            let index = &built.index;
            let _ = writeln!(
                text,
                "{}: {} vectors of {} numbers in {} lists of {}-bit codes, recall {}, {:.1} MiB in memory, {} in {:.1} s\n  {}",
                built.name,
                index.len(),
                index.dim(),
                index.n_lists(),
                index.bits().count(),
                index.config().recall,
                index.resident_bytes() as f64 / f64::from(1 << 20),
                if built.was_there { "opened" } else { "built" },
                built.seconds,
                built.file.display(),
            );
        }
        output::print(&text)
    }

    fn publish(&self, url: &str) -> Result<()> {
        let expected = || WrongUse::of("--to", "expected postgres://user@host:5432/database");
        let url = match url {
            "" => Config::read(self.config.as_deref())?.store.vectors_url,
            url => StoreUrl::of(url),
        };
        let url = url.ok_or_else(expected)?;
        let versions = Versions::of(&self.run);
        let folder = versions.folder(versions.current()?);
        let published = indexes::publish(&url, &models(&folder, &run::open(&folder)?)?)?;
        if published.is_empty() {
            bail!("{}: no model of it scores by vectors, so there is nothing to put there", folder.display());
        }
        if self.json {
            let one = |(set, rows): &(String, usize)| serde_json::json!({"set": set, "rows": rows});
            let all: Vec<serde_json::Value> = published.iter().map(one).collect();
            return output::print(&serde_json::json!({ "sets": all }).to_string());
        }
        let line = |(set, rows): &(String, usize)| format!("{set}: {rows} vectors\n");
        output::print(published.iter().map(line).collect::<String>().trim_end())
    }
}
