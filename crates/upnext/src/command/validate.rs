//! `upnext validate`: all of an import but writing.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use upnext_ingest::{CleaningReport, Notice};

use crate::loading::{CleanArgs, DataArgs, relevance_of};
use crate::{output, progress};

/// Arguments of `validate`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext validate ratings.csv --map user=userId,video=movieId,time=timestamp\n  upnext validate big_matrix.csv --rules kuairec --json"
)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    clean: CleanArgs,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed<'a> {
    name: &'a str,
    recognised: &'a str,
    relevance: String,
    cleaning: &'a CleaningReport,
    notice: Option<&'a Notice>,
}

impl ValidateArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the files could not be imported.
    pub(crate) fn run(self) -> Result<()> {
        let (mut options, given) = self.data.options()?;
        self.clean.apply(&mut options)?;
        let memory = self.clean.memory_bytes()?;
        let checked = progress::importing(|told| {
            upnext_ingest::validate(&self.data.files, &options, memory, &std::env::temp_dir(), told)
        })?;
        let relevance = relevance_of(given.as_ref(), &checked.recognised, || checked.natural.clone());
        let printed = Printed {
            name: &checked.name,
            recognised: &checked.recognised,
            relevance: relevance.to_string(),
            cleaning: &checked.cleaning,
            notice: checked.notice.as_ref(),
        };
        if self.json {
            return output::print(&serde_json::to_string(&printed)?);
        }
        output::print(&format!(
            "{}: {}\n\n{}\ncan be imported; nothing was written\n",
            printed.name, printed.recognised, printed.cleaning
        ))
    }
}
