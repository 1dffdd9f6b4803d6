//! `upnext train`: fits what a run serves, and measures it first.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use upnext_eval::Report;
use upnext_ingest::run::{self, RunFolder};
use upnext_models::zoo::{Choices, Kind};

use crate::command::eval::{check_leaks, parse_models, print_report};
use crate::evaluation::{Conditions, evaluate, vectors_of};
use crate::learning::LearningArgs;
use crate::loading::{natural_split, parse_split};
use crate::serving::{self, Depth};

/// Arguments of `train`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  upnext train runs/mine --json")]
pub(crate) struct TrainArgs {
    /// The run folder that `upnext import` made
    run: PathBuf,
    /// leave-last-out, global-time, per-user-90-10, random or given; without it, what fits the set
    #[arg(long)]
    split: Option<String>,
    /// Models of the results table; the closed blend is always fitted, because it ranks
    #[arg(long, value_delimiter = ',', default_value = "popular,markov,item-knn,ease,closed-blend")]
    models: Vec<String>,
    /// Seed of split, models and bootstrap
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a headline over this kind of leak all the same: shared_pairs, time, test_in_history,
    /// features_after_cut, candidate_pool, duplicate_videos, target_feature, all
    #[arg(long, value_name = "NAME")]
    allow_leak: Vec<String>,
    #[command(flatten)]
    learning: LearningArgs,
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

/// The names of what training leaves in a run.
pub(crate) const MODEL_FILE: &str = "model.safetensors";
/// Where checkpoints of networks and the metrics of their epochs lie.
pub(crate) const TRAINING_FOLDER: &str = "training";
/// The results table.
pub(crate) const REPORT_FILE: &str = "report.json";

impl TrainArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the run cannot be read, fitted or written.
    pub(crate) fn run(self) -> Result<()> {
        let mut models = parse_models(&self.models)?;
        if !models.contains(&Kind::ClosedBlend) {
            models.push(Kind::ClosedBlend);
        }
        check_leaks(&self.allow_leak)?;
        let split = parse_split(self.split.as_deref())?;
        let folder = run::open(&self.run)?;
        let mut conditions = conditions(&folder, self.seed)?;
        conditions.models = models;
        conditions.allow_leak = self.allow_leak;
        conditions.vectors = vectors_of(&self.run)?;
        conditions.split = split.unwrap_or(conditions.split);
        conditions.learning = self.learning.read()?;
        conditions.learning.folder.get_or_insert_with(|| self.run.join(TRAINING_FOLDER));
        let report = train(&self.run, &folder, &conditions)?;
        print_report(&report, self.json)
    }
}

/// The conditions that fit a run.
///
/// # Errors
/// When the manifest's rule of relevance cannot be read.
pub(crate) fn conditions(folder: &RunFolder, seed: u64) -> Result<Conditions> {
    Ok(Conditions {
        split: natural_split(&folder.dataset),
        relevance: folder.manifest.relevance.parse()?,
        seed,
        ..Conditions::default()
    })
}

/// Measures, chooses on validation, fits on everything, and writes model and report into the run.
///
/// # Errors
/// When the set cannot be cut or fitted, or the run cannot be written.
pub(crate) fn train(path: &Path, folder: &RunFolder, conditions: &Conditions) -> Result<Report> {
    let evaluation = evaluate(&folder.dataset, conditions)?;
    add_models(path, folder, conditions, evaluation.choices)?;
    run::add_file(path, REPORT_FILE, &serde_json::to_vec_pretty(&evaluation.report)?)?;
    Ok(evaluation.report)
}

/// Fits what is served on everything, and writes it into the run.
///
/// # Errors
/// When the set cannot be fitted, or the run cannot be written.
pub(crate) fn add_models(
    path: &Path,
    folder: &RunFolder,
    conditions: &Conditions,
    choices: Choices,
) -> Result<()> {
    let learning = conditions.learning.under("served");
    let (relevance, seed) = (&conditions.relevance, conditions.seed);
    let models = serving::fit(&folder.dataset, relevance, seed, (choices, &learning), Depth::Full)?;
    run::add_file(path, MODEL_FILE, &serving::to_bytes(&models)?)?;
    Ok(())
}
