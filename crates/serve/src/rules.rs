//! Rules that were put over HTTP: they stand in place of the configuration's, in a file where there is one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use upnext_pipeline::{Feed, Rule};

use crate::error::ApiError;
use crate::rest::Change;
use crate::{AppState, ServeError};

/// What was put, and where it is kept.
#[derive(Default)]
pub(crate) struct KeptRules {
    file: Option<PathBuf>,
    put: Option<Vec<Rule>>,
}

/// The rules that a service kept in a file, if it did.
///
/// # Errors
/// If the file is there and is not such rules.
pub fn rules_in(file: &Path) -> Result<Option<Vec<Rule>>, ServeError> {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| broken(file, &error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(broken(file, &error)),
    }
}

fn broken(file: &Path, reason: &dyn std::fmt::Display) -> ServeError {
    ServeError::Rules { path: file.display().to_string(), reason: reason.to_string() }
}

impl AppState {
    /// Keeps rules that are put in this file from now on, and takes up those that it holds.
    ///
    /// # Errors
    /// If the file is there and is not such rules.
    pub fn keep_rules_in(&self, file: PathBuf) -> Result<(), ServeError> {
        let put = rules_in(&file)?;
        if let (Some(feed), Some(rules)) = (self.feed(), &put) {
            feed.set_rules(rules.clone()).map_err(|error| broken(&file, &error))?;
        }
        *self.rules() = KeptRules { file: Some(file), put };
        Ok(())
    }

    /// Lets rules hold in place of the configuration's, or these again. What was answered is on disk, where there is a
    /// file; a rule that cannot be used changes nothing.
    pub(crate) fn put_rules(&self, rules: Option<Vec<Rule>>) -> Result<(), ApiError> {
        let feed = self.ready_feed()?;
        // One change at a time: the file and the feed say the same.
        let mut kept = self.rules();
        let old = feed.rules();
        feed.set_rules(rules.clone().unwrap_or_else(|| feed.config().rules.clone())).map_err(|error| {
            ApiError::bad(
                "bad_field",
                error.to_string(),
                "the old rules go on; docs/rules.md shows the shape",
            )
        })?;
        if let Err(error) = kept.write(rules.as_deref()) {
            // These held a moment ago.
            let _ = feed.set_rules(old);
            tracing::error!(%error, "the rules could not be kept");
            return Err(ApiError::unavailable(
                "store_failed",
                "the rules could not be kept; the old ones go on",
                5,
            ));
        }
        kept.put = rules;
        self.changes().tell(Change::Feed);
        Ok(())
    }

    /// Whether the rules that hold were put here, and whether they outlast the process.
    pub(crate) fn kept_rules(&self) -> (bool, bool) {
        let kept = self.rules();
        (kept.put.is_some(), kept.file.is_some() || kept.put.is_none())
    }

    /// A new feed takes over what was put.
    pub(crate) fn hand_rules_to(&self, feed: &Feed) {
        if let Some(rules) = &self.rules().put
            && let Err(error) = feed.set_rules(rules.clone())
        {
            tracing::error!(%error, "the new feed does not take the rules that were put; those of its configuration hold");
        }
    }

    fn rules(&self) -> MutexGuard<'_, KeptRules> {
        self.kept_rules_cell().lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptRules {
    /// Written aside and renamed, so that a file is whole or not there.
    fn write(&self, rules: Option<&[Rule]>) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        match rules {
            None => match fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Some(rules) => {
                let aside = file.with_extension("part");
                let mut bytes = fs::File::create(&aside)?;
                serde_json::to_writer_pretty(&mut bytes, rules)?;
                bytes.sync_all()?;
                fs::rename(&aside, file)
            }
        }
    }
}
