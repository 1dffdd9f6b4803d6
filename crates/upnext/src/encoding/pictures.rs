//! Small pictures of videos for the page: of picture files, or of clips the frame in the middle.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use upnext_encode::job::Things;
use upnext_encode::things::OfFiles;
use upnext_encode::{Ffmpeg, Files, Picture};
use upnext_ingest::pictures::{self, Pictures};
use upnext_ingest::run::{self, RunError};

use super::{Modality, Placed, Target, Wanted, place};
use crate::{WrongUse, progress};

/// A picture is at most so many times as wide as high: a page shows them upright, and a line of pixels is none.
const WIDTH_PER_HEIGHT: u32 = 2;
/// Quality of JPEG, up to 100: below it faces and letters blur, above it files grow without being seen.
const QUALITY: u8 = 80;
/// Pictures that a thread makes before they are written, so that memory does not grow with the catalogue.
const BATCH_PER_WORKER: usize = 32;
/// What is wrong with which video, a line of JSON each, beside the pictures.
pub(crate) const FAILURES_FILE: &str = "pictures.failures.jsonl";

/// What became of the files, and what the run has now.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Videos of the run.
    pub(crate) videos: usize,
    /// Videos that have a picture now and had none.
    pub(crate) made: usize,
    /// Videos whose picture is another one now.
    pub(crate) replaced: usize,
    /// Videos that keep the picture they had.
    pub(crate) kept: usize,
    /// Videos and what is wrong with their files.
    pub(crate) failures: Vec<(String, String)>,
    /// Files of no video.
    pub(crate) unknown: Vec<String>,
    /// Files of videos that have one already.
    pub(crate) repeated: Vec<String>,
    /// What was not looked at, and why.
    pub(crate) skipped: Vec<String>,
    /// Why the pictures that were there could not be kept, if so.
    pub(crate) lost: Option<String>,
    /// Bytes of all pictures.
    pub(crate) bytes: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// Makes the pictures that `wanted` names, at most `height` pixels high, and puts them into the run beside those it has.
///
/// # Errors
/// When the files or the run cannot be read, the run cannot be written, or not one picture came out.
pub(crate) fn make(run: &Path, wanted: &Wanted, height: u32, workers: usize) -> Result<Ledger> {
    wanted.limits.check().map_err(|error| WrongUse(error.to_string()))?;
    let begun = Instant::now();
    let from = wanted.from.as_deref().context("pictures are made of files: name their folder with --from")?;
    let files = Files::open(from)?;
    let catalogue = run::open(run)?.dataset.videos;
    let Placed { ids, places, unknown, repeated, skipped, wrong } =
        place(wanted, &Target::Run(run, &catalogue), Some(&files))?;
    let ffmpeg = (wanted.of == Modality::Video).then(Ffmpeg::find).transpose()?;
    let n = places.len();
    let bar = progress::bar(places.iter().flatten().count(), "making pictures");
    let things = OfFiles { files: &files, places, limits: &wanted.limits, ffmpeg: ffmpeg.as_ref() };
    let small = |row: usize| -> Result<Option<Vec<u8>>, String> {
        let picture: Option<Picture> = match wanted.of {
            Modality::Video => things.middle_frame(row)?,
            _ => Things::<Picture>::open(&things, row, &|_| false)?.and_then(|opened| opened.input),
        };
        picture.map(|it| it.within(WIDTH_PER_HEIGHT * height, height).jpeg(QUALITY)).transpose()
    };
    let one = |row: usize| {
        things.places[row]?;
        // A decoder that panics is no reason to lose the rest.
        let made = catch_unwind(AssertUnwindSafe(|| small(row)));
        bar.inc(1);
        made.unwrap_or_else(|_| Err("its decoder panicked".into())).transpose()
    };
    let mut ledger = Ledger { videos: n, unknown, repeated, skipped, ..Ledger::default() };
    let old = match Pictures::open(run, n) {
        // What is damaged is made again; what cannot be read just now may be whole.
        Err(error @ (RunError::Changed { .. } | RunError::Table { .. })) => {
            ledger.lost = Some(error.to_string());
            None
        }
        opened => opened?,
    };
    let mut failures: Vec<(usize, String)> = wrong;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(workers).build()?;
    let written = pictures::put(run, n, |writer| {
        let rows: Vec<usize> = (0..n).collect();
        for batch in rows.chunks(BATCH_PER_WORKER * workers.max(1)) {
            let made: Vec<_> = threads.install(|| batch.par_iter().map(|&row| one(row)).collect());
            for (&row, made) in batch.iter().zip(made) {
                let had = old.as_ref().filter(|old| old.has(row as u32));
                let jpeg = match made {
                    Some(Ok(jpeg)) => {
                        *(if had.is_some() { &mut ledger.replaced } else { &mut ledger.made }) += 1;
                        jpeg
                    }
                    other => {
                        failures.extend(other.and_then(Result::err).map(|why| (row, why)));
                        ledger.kept += usize::from(had.is_some());
                        let kept = had.map(|old| old.read(row as u32)).transpose();
                        kept.context("the pictures that were there cannot be read")?
                            .flatten()
                            .unwrap_or_default()
                    }
                };
                ledger.bytes += jpeg.len() as u64;
                writer.push(&jpeg)?;
            }
        }
        if ledger.made + ledger.replaced == 0 {
            bail!("{}", nothing(&ids, &failures, &ledger.unknown));
        }
        Ok(())
    });
    bar.finish_and_clear();
    written?;
    failures.sort_by_key(|(row, _)| *row);
    ledger.failures = failures.into_iter().map(|(row, why)| (ids[row].clone(), why)).collect();
    let lines: String = ledger.failures.iter().map(line).collect();
    run::add_file(run, FAILURES_FILE, lines.as_bytes())?;
    ledger.seconds = begun.elapsed().as_secs_f64();
    Ok(ledger)
}

fn line((video, reason): &(String, String)) -> String {
    format!("{{\"video\":{},\"reason\":{}}}\n", serde_json::json!(video), serde_json::json!(reason))
}

/// Why not one picture came out.
fn nothing(ids: &[String], failures: &[(usize, String)], unknown: &[String]) -> String {
    let mut said = String::from("not one picture came out");
    if let Some((row, why)) = failures.first() {
        said += &format!("; {} failed, the first of video `{}`: {why}", failures.len(), ids[*row]);
    }
    if let Some(file) = unknown.first() {
        said += &format!(
            "; {} files are of no video of the run, the first is `{file}`: files are named by ids, or --index says which is whose",
            unknown.len()
        );
    }
    if failures.is_empty() && unknown.is_empty() {
        said += ": there are no files in it";
    }
    said
}
