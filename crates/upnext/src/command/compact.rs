//! `upnext compact`: deletes feedback that is too old, and gives the space back to the disk.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use upnext_store::clear;

use crate::command::recommend::now;
use crate::config::Config;
use crate::stores::Place;
use crate::{output, progress};

/// Arguments of `compact`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext compact runs/mine --older-than 90\nStop the service first, unless the store is a database: it has the file. A service does the same by itself with `[store] feedback_days_max`. Rows of the run stay: what it was fitted on is not in the store."
)]
pub(crate) struct CompactArgs {
    /// The run folder, or the file of a store
    run: PathBuf,
    /// Delete feedback whose time is more than so many days ago; without it, as `[store] feedback_days_max` says
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    older_than: Option<u32>,
    /// The store: a file, or a database as postgres://user@host/database; without it, store.sqlite in the run folder
    #[arg(long, value_name = "FILE|URL")]
    store: Option<String>,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl CompactArgs {
    /// Runs the command. What is gone stays gone if it ends early; asked again, it goes on.
    ///
    /// # Errors
    /// When the store is missing, in use, or cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        let mut config = Config::read(self.config.as_deref())?.store;
        config.feedback_days_max = self.older_than.unwrap_or(config.feedback_days_max);
        let place = match self.store.as_deref() {
            None if !self.run.is_dir() => Place::File(self.run.clone()),
            asked => Place::of(asked, &config, &self.run),
        };
        // A database has others that write; a file is ours.
        let (n_rows_max, pause) = match &place {
            Place::File(file) => {
                ensure!(
                    file.exists(),
                    "{}: there is no store; `upnext serve` makes it in a run folder",
                    file.display()
                );
                (config.commit_rows_max, Duration::ZERO)
            }
            Place::Database(_) => {
                (config.expire_rows_max, Duration::from_millis(config.expire_pause_milliseconds))
            }
        };
        let store = place.open(&config)?;
        let (wheel, mut rows, mut bytes) = (progress::wheel("looking for what is too old"), 0, 0);
        let cleared = clear(store.as_ref(), config.feedback_since(now()), n_rows_max, &mut |step| {
            (rows, bytes) = (rows + step.rows, bytes + step.bytes);
            wheel.set_message(format!("{rows} rows deleted, {} MiB given back", bytes >> 20));
            std::thread::sleep(pause);
            true
        });
        wheel.finish_and_clear();
        let cleared = cleared?;
        let left = store.counts()?.feedback;
        if self.json {
            let said = serde_json::json!({"rows": cleared.rows, "bytes": cleared.bytes, "feedback": left});
            return output::print(&said.to_string());
        }
        let mebibytes = cleared.bytes as f64 / f64::from(1 << 20);
        output::print(&format!(
            "{} rows of feedback deleted, {left} are left; {mebibytes:.1} MiB given back to the disk",
            cleared.rows
        ))
    }
}
