//! `upnext forget`: erases a user everywhere, and prints a receipt that names nobody.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use upnext_data::{Dataset, Events};
use upnext_ingest::run;

use crate::command::recommend::now;
use crate::command::train::TRAINING_FOLDER;
use crate::config::Config;
use crate::output;
use crate::retraining::Versions;
use crate::stores::Place;

/// Arguments of `forget`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext forget runs/mine --user 42 --json\nStop the service first: it has the store. Models that were fitted with the user are removed; `upnext train` or the next `serve` fits them anew."
)]
pub(crate) struct ForgetArgs {
    /// The run folder
    run: PathBuf,
    /// The user's outside id
    #[arg(long, allow_negative_numbers = true)]
    user: String,
    /// The store: a file, or a database as postgres://user@host/database; without it, store.sqlite in the run folder
    #[arg(long, value_name = "FILE|URL")]
    store: Option<String>,
    /// Keep the models, in which the user is one voice among all
    #[arg(long)]
    keep_models: bool,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl ForgetArgs {
    /// Runs the command. What is erased stays erased if it ends early; asked again, it goes on.
    ///
    /// # Errors
    /// When the store is in use, or a file cannot be rewritten.
    pub(crate) fn run(self) -> Result<()> {
        let config = Config::read(self.config.as_deref())?;
        run::manifest(&self.run)?;
        let place = Place::of(self.store.as_deref(), &config.store, &self.run);
        // The store first: where it is in use, nothing is touched.
        let receipt = match &place {
            Place::File(file) if !file.exists() => None,
            place => Some(place.open(&config.store)?.forget(&self.user, now())?),
        };
        let versions = Versions::of(&self.run);
        let mut erased = 0;
        for number in versions.all() {
            erased += self.erase(&versions.folder(number))?;
        }
        // A version whose models are gone is not served; the run itself is, and gets models at the next start.
        if !self.keep_models && versions.current().is_ok_and(|current| current > 0) {
            versions.serve(0)?;
        }
        let done = serde_json::json!({
            "time": receipt.as_ref().map(|receipt| receipt.time),
            "profiles": receipt.as_ref().map_or(0, |receipt| receipt.profiles),
            "feedback": receipt.as_ref().map(|receipt| &receipt.feedback),
            "digest": receipt.as_ref().map(|receipt| &receipt.digest),
            "events_of_runs": erased,
        });
        if self.json {
            return output::print(&done.to_string());
        }
        let rows: u64 = receipt.iter().flat_map(|receipt| receipt.feedback.values()).sum();
        let digest = receipt.map_or_else(|| "no store, no receipt".into(), |receipt| receipt.digest);
        output::print(&format!(
            "forgotten: {rows} rows of feedback and {erased} events of runs\nreceipt {digest}"
        ))
    }

    /// Erases the user from one run folder; returns how many events that were.
    fn erase(&self, folder: &Path) -> Result<usize> {
        let opened = run::open(folder)?;
        let old = &opened.dataset;
        let Some(row) = old.users.row(&self.user) else { return Ok(0) };
        let (mut events, mut parts) = (Events::new(), old.parts().map(|_| Vec::new()));
        for (at, event) in old.events().iter().enumerate().filter(|(_, event)| event.user != row) {
            events.push(event);
            if let (Some(parts), Some(of)) = (&mut parts, old.parts()) {
                parts.push(of[at]);
            }
        }
        let n_erased = old.events().len() - events.len();
        let users = old.users.without(&[row]);
        let mut set = Dataset::new(old.name.clone(), users, old.videos.clone(), events, old.order, parts);
        set.daily = old.daily.clone();
        set.circumstances = old.circumstances.iter().filter(|one| one.user != row).cloned().collect();
        // Checkpoints of networks, which are no files of the manifest; before the set, which tells afterwards that all is done.
        let training = folder.join(TRAINING_FOLDER);
        if !self.keep_models && training.is_dir() {
            std::fs::remove_dir_all(&training)
                .with_context(|| format!("{}: cannot be removed", training.display()))?;
        }
        let of_videos = |name: &str| name.starts_with("embeddings/") || name.starts_with("pictures/");
        let of_models = |name: &str| !name.starts_with("dataset/") && !name.contains("quarantine");
        run::rewrite(folder, &set, &|name| of_videos(name) || self.keep_models && of_models(name))?;
        let left = run::open(folder)?;
        ensure!(
            left.dataset.users.row(&self.user).is_none(),
            "{}: the user is still there",
            folder.display()
        );
        Ok(n_erased)
    }
}
