//! From the outside world to a [`Dataset`]: readers of logs and catalogues, the cleaning report, and the run
//! folder on disk.
//!
//! This crate knows file formats. It does not know models.

mod clean;
mod error;
mod features;
mod formats;
mod gather;
mod options;
mod source;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use upnext_data::Dataset;

pub use clean::{CleaningReport, Dropped, Example, FileRead, Reason};
pub use error::IngestError;
pub use options::{Field, Format, Limits, Map, Options, Progress};

use gather::Gather;

/// What an import yields.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The clean set.
    pub dataset: Dataset,
    /// What was read, kept and dropped.
    pub cleaning: CleaningReport,
    /// What the files were taken for, and why.
    pub recognised: String,
    /// What a user of the data should be told.
    pub notice: Option<Notice>,
}

/// Terms of a data set, in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The licence's name.
    pub licence: String,
    /// What to say where somebody sees the data.
    pub text: String,
}

/// Reads files, or one folder, into a clean set.
///
/// # Errors
/// Whatever makes the files useless, named with file, line and column; see [`IngestError`].
pub fn read(
    files: &[PathBuf],
    options: &Options,
    progress: &dyn Fn(Progress),
) -> Result<Imported, IngestError> {
    let first = files.first().ok_or(IngestError::NoFiles)?;
    let mut gather = Gather::new(options, progress);
    for file in files {
        formats::lines::read(&mut gather, file, options.format, None)?;
    }
    gather.number_densely(false);
    for file in &options.features {
        features::attributes(&mut gather, file)?;
    }
    let name = options.name.clone().unwrap_or_else(|| name_of(first));
    let (dataset, cleaning) = gather.finish(name)?;
    Ok(Imported { dataset, cleaning, recognised: options.format.to_string(), notice: None })
}

/// `Beauty` for `data/Beauty.txt.zst`.
fn name_of(path: &Path) -> String {
    let name = path.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
    name.split('.').find(|part| !part.is_empty()).unwrap_or("data").to_string()
}
