//! `upnext pictures`: small pictures of videos into a run folder, for the page and the taste map.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;
use upnext_encode::Limits;
use upnext_ingest::pictures::PICTURES;

use crate::encoding::pictures::{FAILURES_FILE, Ledger, make};
use crate::encoding::{Modality, Wanted};
use crate::{WrongUse, config, output};

/// Arguments of `pictures`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext pictures runs/films --from posters/\n  upnext pictures runs/films --from posters.tar --index index.parquet --id-column movie_id --file-column name\n  upnext pictures runs/clips --from clips/ --of video\n\nThe run keeps them in pictures.bin. A second call with other files adds to what is there. `upnext serve` and `upnext map` show them."
)]
pub(crate) struct PicturesArgs {
    /// The run folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// A folder or .tar archive with a file for each video, named by its id
    #[arg(long, value_name = "WHERE")]
    from: PathBuf,
    /// A table that says which file belongs to which video
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Its column of ids
    #[arg(long, value_name = "COLUMN", requires = "index")]
    id_column: Option<String>,
    /// Its column of names of files
    #[arg(long, value_name = "COLUMN", requires = "index")]
    file_column: Option<String>,
    /// What the files are
    #[arg(long, value_enum, default_value_t = Of::Image)]
    of: Of,
    /// Pixels that a picture is high, at most; it is at most twice as wide
    #[arg(long, value_name = "PIXELS", default_value_t = 240, value_parser = clap::value_parser!(u32).range(16..=720))]
    height: u32,
    /// A bound on what is read of a file, for example file_bytes_max=1000000; may stand again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    workers: Option<u16>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What a picture is made of.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// Posters, covers, frames
    Image,
    /// Clips: the frame in the middle of each
    Video,
}

impl PicturesArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the files or the run cannot be read, the run cannot be written, or not one picture came out.
    pub(crate) fn run(self) -> Result<()> {
        let limits: Limits =
            config::from_toml("", &self.set).map_err(|error| WrongUse::of("--set", format!("{error:#}")))?;
        let wanted = Wanted {
            of: match self.of {
                Of::Image => Modality::Image,
                Of::Video => Modality::Video,
            },
            from: Some(self.from),
            index: self.index,
            id_column: self.id_column,
            file_column: self.file_column,
            limits,
            ..Wanted::default()
        };
        let workers = self.workers.map_or_else(rayon::current_num_threads, usize::from);
        let ledger = make(&self.run, &wanted, self.height, workers)?;
        if self.json {
            let failures: Vec<_> =
                ledger.failures.iter().map(|(video, why)| json!({ "video": video, "reason": why })).collect();
            let numbers = json!({
                "videos": ledger.videos, "made": ledger.made, "replaced": ledger.replaced, "kept": ledger.kept,
                "failures": failures, "files_of_no_video": ledger.unknown.len(),
                "second_files": ledger.repeated.len(), "not_looked_at": ledger.skipped, "lost": ledger.lost, "bytes": ledger.bytes,
                "seconds": ledger.seconds,
            });
            return output::print(&numbers.to_string());
        }
        output::print(&in_words(&ledger, &self.run))
    }
}

/// Failures that are printed, and files that were not looked at. A file has all of the failures.
const SHOWN: usize = 10;

fn in_words(ledger: &Ledger, run: &Path) -> String {
    let with = ledger.made + ledger.replaced + ledger.kept;
    let mut text = format!(
        "{with} of {} videos have a picture, {:.1} MB, in {:.1} s\n\n",
        ledger.videos,
        ledger.bytes as f64 / 1e6,
        ledger.seconds
    );
    let rows = [
        ("made", ledger.made, true),
        ("replaced", ledger.replaced, true),
        ("kept", ledger.kept, true),
        ("failed", ledger.failures.len(), true),
        ("files of no video", ledger.unknown.len(), false),
        ("a second file of a video", ledger.repeated.len(), false),
        ("not looked at", ledger.skipped.len(), false),
    ];
    for (what, n, always) in rows {
        if n > 0 || always {
            let _ = writeln!(text, "{what:28}{n:>10}");
        }
    }
    if let Some(lost) = &ledger.lost {
        let _ = writeln!(text, "\nthe pictures that were there could not be kept: {lost}");
    }
    let failures: Vec<String> =
        ledger.failures.iter().map(|(video, why)| format!("{video}: {why}")).collect();
    for list in [&failures, &ledger.skipped] {
        for (at, what) in list.iter().take(SHOWN).enumerate() {
            let _ = writeln!(text, "{}  {}", if at == 0 { "\n" } else { "" }, output::one_line(what));
        }
        if list.len() > SHOWN {
            let _ = writeln!(text, "  and {} more", list.len() - SHOWN);
        }
    }
    let _ = writeln!(text, "\n{0}/{PICTURES} and {0}/{FAILURES_FILE}", run.display());
    text
}
