//! `upnext rollback`: an earlier version of a run is served again.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use upnext_ingest::run;

use crate::command::doctor::digests;
use crate::command::train::MODEL_FILE;
use crate::output;
use crate::retraining::Versions;

/// Arguments of `rollback`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  upnext rollback runs/mine\n  upnext rollback runs/mine --to 0")]
pub(crate) struct RollbackArgs {
    /// The run folder, which a service may be serving: it follows within a second or two
    run: PathBuf,
    /// The version to serve; without it, the newest before the one that is served. 0 is the run itself
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl RollbackArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no such version, or it is damaged.
    pub(crate) fn run(self) -> Result<()> {
        run::manifest(&self.run)?;
        let versions = Versions::of(&self.run);
        // A pointer that cannot be read is mended by naming a version, or the newest that is there.
        let from = versions.current().ok();
        let newest = versions.all().into_iter().last();
        let to = match (self.to, from) {
            (Some(to), _) => Some(to),
            (None, Some(from)) => versions.before(from),
            (None, None) => newest,
        };
        let to = to.with_context(|| {
            format!("{}: the run itself is served, and there is nothing before it", self.run.display())
        })?;
        let folder = versions.folder(to);
        digests(&folder)?;
        if to > 0 && !run::manifest(&folder)?.files.contains_key(MODEL_FILE) {
            bail!("{}: has no models, so it is not served; `--to` names another version", folder.display());
        }
        versions.serve(to)?;
        if self.json {
            return output::print(
                &serde_json::json!({"from": from, "to": to, "versions": versions.all()}).to_string(),
            );
        }
        output::print(&format!("version {to} is served from now on; there are {:?}", versions.all()))
    }
}
