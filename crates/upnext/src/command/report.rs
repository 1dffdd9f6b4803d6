//! `upnext report`: what is in the data, as one page that needs no network, and as JSON. Events pass by;
//! only those of a set that is not large are held, for the diagnosis.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use upnext_data::{Log, Order, Relevance, SplitRule};
use upnext_ingest::{Target, run};

use crate::command::train::TRAINING_FOLDER;
use crate::diagnosis::{self, Diagnosis};
use crate::evaluation::{Conditions, vectors_of};
use crate::loading::{DataArgs, natural_split, parse_split, relevance_of};
use crate::report::measure::training::curves;
use crate::report::measure::{Section, absent};
use crate::report::{draw, measure};
use crate::{WrongUse, output, progress};

/// Arguments of `report`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext report runs/mine\n  upnext report ratings.csv --out report.html --json\n\nA run folder keeps data-report.html and data-report.json; of other data they are written here."
)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The page to write, ending in .html; the numbers go beside it, ending in .json
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// leave-last-out, global-time, per-user-90-10, random or given; without it, what fits the set
    #[arg(long)]
    split: Option<String>,
    /// Draw the training curves of this folder, which --checkpoints has filled; of a run folder its own
    #[arg(long, value_name = "DIR")]
    training: Option<PathBuf>,
    /// Seed of sampled points and of a random split
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The numbers as one JSON object
    #[arg(long)]
    json: bool,
}

/// The page and the numbers, in a run folder or in the working folder.
const PAGE: &str = "data-report.html";
const NUMBERS: &str = "data-report.json";

/// A diagnosis holds all events: beyond so many it is a command of its own.
const DIAGNOSED_EVENTS_MAX: usize = 2_000_000;
/// The same for videos: each question costs a score for every one.
const DIAGNOSED_VIDEOS_MAX: usize = 50_000;

/// Events between two moves of the bar.
const STEP: u64 = 1 << 16;

/// Memory for the import of what is no run; rows beyond it wait on disk.
const IMPORT_BYTES: usize = 1 << 30;

impl ReportArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the data cannot be read or the page cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        if let Some(out) = &self.out
            && out.extension().is_none_or(|end| !end.eq_ignore_ascii_case("html"))
        {
            return Err(WrongUse::of("--out", "expected a file that ends in .html").into());
        }
        let split = parse_split(self.split.as_deref())?;
        let run_folder = match &self.data.files[..] {
            [folder] if run::is_run(folder) => Some(folder),
            _ => None,
        };
        // Other data is imported first, so that its events pass by as those of a run do.
        let scratch = tempfile::tempdir().context("no temporary folder can be made: set TMPDIR to one")?;
        let (log, recognised) = match run_folder {
            Some(folder) => (run::open_log(folder)?, "a run folder".into()),
            None => {
                let run = scratch.path().join("run");
                let recognised = self.import(&run)?;
                (run::open_log(&run)?, recognised)
            }
        };
        let set = log.set();
        let mut tally = measure::Tally::new(set.users.len(), set.videos.len(), set.order == Order::Timed);
        let bar = progress::bar(log.n_events as usize, "counting");
        log.pass(&mut |event, _| {
            tally.add(event);
            if tally.events.is_multiple_of(STEP) {
                bar.inc(STEP);
            }
        })?;
        bar.finish_and_clear();
        let training = match (&self.training, run_folder) {
            (Some(folder), _) => curves(folder)?,
            (None, Some(run)) => curves(&run.join(TRAINING_FOLDER))?,
            (None, None) => Vec::new(),
        };
        let wheel = progress::wheel("measuring");
        let relevance = match &self.data.relevance {
            Some(rule) => rule.parse().map_err(|error| WrongUse::of("--relevance", error))?,
            None => log.manifest.relevance.parse()?,
        };
        let split = split.unwrap_or_else(|| natural_split(&log));
        let held = run_folder.map_or_else(|| scratch.path().join("run"), Clone::clone);
        let diagnosis = self.diagnosis(&held, log.n_events as usize, &relevance, split)?;
        let origin = measure::Origin {
            digest: log.manifest.digest.clone(),
            recognised,
            cleaning: log.cleaning.clone(),
            n_circumstances: log.n_circumstances,
            notice: log.manifest.notice.clone(),
            relevance,
            split,
            seed: self.seed,
            diagnosis,
            training,
        };
        let report = measure::report(&log, &tally, origin)?;
        let page = draw::page(&report);
        let numbers = serde_json::to_vec_pretty(&report)?;
        wheel.finish_and_clear();
        let (page_path, numbers_path) = match (&self.out, run_folder) {
            (Some(out), _) => (out.clone(), out.with_extension("json")),
            (None, Some(folder)) => (folder.join(PAGE), folder.join(NUMBERS)),
            (None, None) => (PAGE.into(), NUMBERS.into()),
        };
        match (&self.out, run_folder) {
            (None, Some(folder)) => {
                run::add_file(folder, PAGE, page.as_bytes())?;
                run::add_file(folder, NUMBERS, &numbers)?;
            }
            _ => {
                output::write_file(&page_path, page.as_bytes())?;
                output::write_file(&numbers_path, &numbers)?;
            }
        }
        if self.json {
            return output::print(&serde_json::to_string(&report)?);
        }
        let size = &report.dimensions;
        output::print(&format!(
            "{}: {} events of {} users on {} videos, density {:.4} %\npage:    {} ({:.1} MB, opens without network)\nnumbers: {}",
            report.set.name,
            size.events,
            size.users,
            size.videos,
            size.density_percent,
            page_path.display(),
            page.len() as f64 / 1e6,
            numbers_path.display(),
        ))
    }

    /// Which kind of model pays on a set that is small enough to be held.
    fn diagnosis(
        &self,
        run: &Path,
        n_events: usize,
        relevance: &Relevance,
        split: SplitRule,
    ) -> Result<Section<Diagnosis>> {
        if n_events > DIAGNOSED_EVENTS_MAX {
            return Ok(absent(format!(
                "the set has more than {DIAGNOSED_EVENTS_MAX} events, which would have to be held: use upnext eval \
                 RUN --diagnose"
            )));
        }
        let dataset = run::open(run)?.dataset;
        if dataset.videos.len() > DIAGNOSED_VIDEOS_MAX {
            return Ok(absent(format!(
                "each question costs a score for every video, of which there are more than {DIAGNOSED_VIDEOS_MAX}, and a page \
                 should not take minutes: use upnext eval RUN --diagnose"
            )));
        }
        let vectors = match vectors_of(run) {
            Ok(vectors) => vectors,
            Err(error) => return Ok(absent(format!("{error:#}"))),
        };
        let conditions = Conditions {
            split,
            relevance: relevance.clone(),
            seed: self.seed,
            vectors,
            ..Conditions::default()
        };
        Ok(match diagnosis::of_set(&dataset, &conditions) {
            Ok(diagnosis) => Section::There(diagnosis),
            Err(error) => absent(error.to_string()),
        })
    }

    /// Imports what is no run, and says what it was taken for.
    fn import(&self, run: &Path) -> Result<String> {
        let (options, given) = self.data.options()?;
        let target = Target {
            run: Some(run),
            replace: false,
            command: String::new(),
            seed: self.seed,
            relevance: &|recognised, natural| relevance_of(given.as_ref(), recognised, || natural.clone()),
            memory_bytes: IMPORT_BYTES,
            quarantine: false,
            split: None,
            keep_every: None,
            go_on: false,
        };
        let made =
            progress::importing(|told| upnext_ingest::import(&self.data.files, &options, &target, told))?;
        Ok(made.recognised)
    }
}
