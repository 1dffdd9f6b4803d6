//! `upnext report`: what is in the data, as one page that needs no network, and as JSON.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use upnext_data::Order;
use upnext_ingest::run;

use crate::loading::{DataArgs, Loaded, natural_split, parse_split};
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

/// Events between two moves of the bar.
const STEP: usize = 1 << 16;

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
        let Loaded { dataset: set, relevance, cleaning, recognised, notice } = self.data.load()?;
        let mut tally = measure::Tally::new(set.users.len(), set.videos.len(), set.order == Order::Timed);
        let bar = progress::bar(set.events().len(), "counting");
        for (at, event) in set.events().iter().enumerate() {
            tally.add(&event);
            if at % STEP == STEP - 1 {
                bar.inc(STEP as u64);
            }
        }
        bar.finish_and_clear();
        let wheel = progress::wheel("measuring");
        let split = split.unwrap_or_else(|| natural_split(&set));
        let origin = measure::Origin { recognised, cleaning, notice, relevance, split, seed: self.seed };
        let report = measure::report(&set, &tally, origin);
        let page = draw::page(&report);
        let numbers = serde_json::to_vec_pretty(&report)?;
        wheel.finish_and_clear();
        let run_folder = match &self.data.files[..] {
            [folder] if run::is_run(folder) => Some(folder),
            _ => None,
        };
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
            set.name,
            size.events,
            size.users,
            size.videos,
            size.density_percent,
            page_path.display(),
            page.len() as f64 / 1e6,
            numbers_path.display(),
        ))
    }
}
