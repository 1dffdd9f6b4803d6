//! `upnext train`: fits what a run serves, and measures it first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use upnext_eval::Report;
use upnext_ingest::run::{self, RunFolder};
use upnext_models::checkpoint;
use upnext_models::train::Start;
use upnext_models::zoo::{Choices, Kind};
use upnext_pipeline::FeedConfig;

use crate::command::eval::{check_leaks, parse_models, print_report};
use crate::evaluation::{Conditions, evaluate, vectors_of};
use crate::learning::LearningArgs;
use crate::loading::{moment, natural_split, parse_split};
use crate::serving::{self, Depth};
use crate::{WrongUse, indexes, output};

/// Arguments of `train`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  upnext train runs/mine --json")]
pub(crate) struct TrainArgs {
    /// The run folder that `upnext import` made
    run: PathBuf,
    /// leave-last-out, global-time, per-user-90-10, random or given; without it, what fits the set
    #[arg(long)]
    split: Option<String>,
    /// Models of the results table
    #[arg(long, value_delimiter = ',', default_value = "popular,markov,item-knn,ease,closed-blend")]
    models: Vec<String>,
    /// What ranks requests: a model, `blend` of all those of the table, or `auto`, which tries what fits the set, weighs it on
    /// validation and blends it
    #[arg(long, default_value = "auto", value_name = "MODEL")]
    ranker: String,
    /// Minutes in which `auto` tries and weighs (15); fitting what it chose on everything comes after
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// Measure, and choose weights, on at most so many questions, drawn by the seed: each costs a score for every video
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    questions: Option<u32>,
    /// Seed of split, models and bootstrap
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on from the network that ranks in this older run, on events since --since: known videos keep what was learnt, new
    /// ones get rows. Nothing is measured, since that run may have seen any test
    #[arg(long, value_name = "RUN", requires = "since")]
    from: Option<PathBuf>,
    /// The first moment that --from has not seen: a date or time (UTC where it names no zone), or milliseconds since 1970
    #[arg(long, value_name = "TIME", requires = "from")]
    since: Option<String>,
    /// Epochs of --from
    #[arg(long, default_value_t = 3, value_name = "N", requires = "from")]
    epochs: u32,
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
        let ranker: Kind = self.ranker.parse().map_err(|error| WrongUse::of("--ranker", error))?;
        let mut models = parse_models(&self.models)?;
        if !models.contains(&ranker) {
            models.push(ranker);
        }
        check_leaks(&self.allow_leak)?;
        let split = parse_split(self.split.as_deref())?;
        let folder = run::open(&self.run)?;
        let mut conditions = conditions(&folder, self.seed)?;
        (conditions.models, conditions.ranker) = (models, ranker);
        conditions.allow_leak = self.allow_leak;
        conditions.questions_max = self.questions.map(|n| n as usize);
        conditions.vectors = vectors_of(&self.run)?;
        conditions.split = split.unwrap_or(conditions.split);
        conditions.learning = self.learning.read()?.within(self.minutes)?;
        conditions.learning.folder.get_or_insert_with(|| self.run.join(TRAINING_FOLDER));
        if let (Some(from), Some(since)) = (&self.from, &self.since) {
            return go_on(&self.run, &folder, &mut conditions, from, (since, self.epochs), self.json);
        }
        let report = train(&self.run, &folder, &conditions)?;
        print_report(&report, self.json)
    }
}

/// Goes on from the network of an older run, and writes what is served.
fn go_on(
    path: &Path,
    folder: &RunFolder,
    conditions: &mut Conditions,
    from: &Path,
    (since, epochs): (&str, u32),
    json: bool,
) -> Result<()> {
    let since = moment(since).ok_or_else(|| {
        WrongUse::of(
            "--since",
            format!("`{since}`: expected a date or time such as 2026-03-01, or milliseconds"),
        )
    })?;
    if epochs == 0 {
        return Err(WrongUse::of("--epochs", "expected at least 1").into());
    }
    let older = run::open(from)?;
    let file = from.join(MODEL_FILE);
    let bytes = std::fs::read(&file)
        .with_context(|| format!("{}: there is no model; fit one with `upnext train`", file.display()))?;
    // Its shape is that of the older run, whatever is set now.
    let mut settings = (*conditions.learning.settings).clone();
    let Some((model, parameters)) = checkpoint::network(&bytes, &mut settings)? else {
        bail!(
            "{}: what ranks there is no network that can go on; train it with --ranker sasrec, bsarec, esasrec, hstu or two-tower",
            from.display()
        );
    };
    let set = &folder.dataset;
    let videos: Vec<Option<u32>> =
        (0..set.videos.len() as u32).map(|video| older.dataset.videos.row(set.videos.name(video))).collect();
    let (n_new, n_events) = (
        videos.iter().filter(|video| video.is_none()).count(),
        set.events().times().iter().filter(|&&time| time >= since).count(),
    );
    if n_events == 0 {
        bail!("{}: no event since then", path.display());
    }
    let n_new_users = (0..set.users.len() as u32)
        .filter(|&user| older.dataset.users.row(set.users.name(user)).is_none())
        .count();
    conditions.learning.settings = Arc::new(settings);
    conditions.ranker = model.parse()?;
    let choices = Choices::from([(conditions.ranker, vec![epochs as f32])]);
    let start = Start { model, parameters, videos, since };
    add_models(path, folder, conditions, choices, Some(&start))?;
    let model = &start.model;
    if json {
        let done = serde_json::json!({
            "model": model, "epochs": epochs, "events": n_events, "new_videos": n_new, "new_users": n_new_users,
        });
        return output::print(&done.to_string());
    }
    output::print(&format!(
        "{model} went on for {epochs} epochs on {n_events} events; {n_new} videos and {n_new_users} users are new"
    ))
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
    add_models(path, folder, conditions, evaluation.choices, None)?;
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
    start: Option<&Start>,
) -> Result<()> {
    let learning = conditions.learning.under("served");
    let (relevance, seed) = (&conditions.relevance, conditions.seed);
    let depth = Depth::Full(conditions.ranker, &conditions.models);
    let chosen = (choices, &learning, &conditions.vectors[..], start);
    let models = serving::fit(&folder.dataset, relevance, seed, chosen, depth)?;
    run::add_file(path, MODEL_FILE, &serving::to_bytes(&models)?)?;
    if folder.dataset.videos.len() > FeedConfig::default().exact_videos_max {
        indexes::open_or_build(path, &models, &indexes::settings(indexes::RECALL))?;
    }
    Ok(())
}
