//! Settings of the models that have some, by the names of the models.

use serde::{Deserialize, Serialize};

use crate::FitError;
use crate::zoo::sasrec;

/// One section a model; a file of these says only what differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Of `sasrec`.
    pub sasrec: sasrec::Settings,
}

impl Settings {
    /// Checks every section.
    ///
    /// # Errors
    /// Names the first setting that cannot be meant, and what was expected.
    pub fn check(&self) -> Result<(), FitError> {
        self.sasrec.check()
    }
}
