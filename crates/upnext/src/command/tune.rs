//! `upnext tune`: searches settings of one model on validation, within a time budget; the test is never looked at.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use upnext_data::{Dataset, Split};
use upnext_features::Content;
use upnext_ingest::run;
use upnext_math::seed::Random;
use upnext_models::train::{Epoch, Step, Watch, Which, Wish};
use upnext_models::zoo::{Kind, Zoo};
use upnext_models::{FitError, Pool, Settings, Training};

use crate::evaluation::vectors_of;
use crate::facts::facts;
use crate::learning::LearningArgs;
use crate::loading::{DataArgs, natural_split, parse_split};
use crate::{WrongUse, config, output, progress};

/// Arguments of `tune`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext tune Beauty.txt --format s3rec --model sasrec --minutes 30 --search dropout=0.1..0.6 \\\n    --search learn.rate=0.0003..0.003:log --search dimension=32,64,128 --out best.toml"
)]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The model: one with a section of settings
    #[arg(long)]
    model: String,
    /// As of `eval`; the part for validation decides, the part for test is left alone
    #[arg(long)]
    split: Option<String>,
    /// Minutes in all; the trial that runs then is stopped
    #[arg(long, default_value_t = 20.0, value_name = "N")]
    minutes: f64,
    /// Trials that are drawn, the settings as they stand among them
    #[arg(long, default_value_t = 12, value_name = "N")]
    trials: usize,
    /// Epochs of the first rung of successive halving; each next one gives a third of the trials three times as many
    #[arg(long, default_value_t = 3, value_name = "N")]
    first_epochs: u32,
    /// What is searched, as often as needed: KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B,C; without it, what usually matters
    #[arg(long, value_name = "KEY=VALUES")]
    search: Vec<String>,
    /// Seed of split, trials and models
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the best settings here, as a file for --settings
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    learning: LearningArgs,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

const TRIALS_MAX: usize = 1_000;
/// What of the trials goes on, and how many times more epochs it gets.
const HALVING: usize = 3;

/// Values that a setting may take.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    Between { low: f64, high: f64, log: bool },
    Of(Vec<String>),
}

impl Values {
    fn parse(text: &str) -> Option<Self> {
        if let Some((low, high)) = text.split_once("..") {
            let (high, log) = high.strip_suffix(":log").map_or((high, false), |high| (high, true));
            let (low, high): (f64, f64) = (low.parse().ok()?, high.parse().ok()?);
            let is_range = low.is_finite() && high.is_finite() && low < high && (!log || low > 0.0);
            return is_range.then_some(Self::Between { low, high, log });
        }
        let values: Vec<String> = text.split(',').map(|value| value.trim().to_string()).collect();
        values.iter().all(|value| !value.is_empty()).then_some(Self::Of(values))
    }

    fn draw(&self, random: &mut Random) -> String {
        match self {
            Self::Between { low, high, log: false } => {
                format!("{:.4}", low + (high - low) * f64::from(random.uniform()))
            }
            Self::Between { low, high, log: true } => {
                format!("{:.4e}", low * (high / low).powf(f64::from(random.uniform())))
            }
            Self::Of(values) => values[random.below(values.len())].clone(),
        }
    }
}

/// What is searched where nobody says.
fn usual(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Sasrec | Kind::Bsarec | Kind::Esasrec | Kind::Hstu => &[
            "dropout=0.1..0.6",
            "learn.rate=0.0003..0.003:log",
            "dimension=32,64,128",
            "learn.batch=64,128,256",
        ],
        Kind::TwoTower => &[
            "dropout=0.0..0.5",
            "learn.rate=0.0003..0.003:log",
            "dimension=64,128",
            "temperature=0.05..0.2",
            "id_dropout=0.0..0.3",
        ],
        Kind::Wmf => &[
            "dimensions=32,64,128",
            "unobserved=0.01..0.3:log",
            "regularisation=0.001..0.1:log",
            "decay=0.7..1.0",
        ],
        Kind::FeatureTower => &[
            "dropout=0.0..0.5",
            "learn.rate=0.0003..0.003:log",
            "dimension=32,64,128",
            "temperature=0.05..0.2",
        ],
        Kind::Bpr => {
            &["dimension=32,64,128", "learn.rate=0.0003..0.01:log", "learn.weight_decay=0.0001..0.1:log"]
        }
        Kind::LightGcn => &[
            "dimension=32,64,128",
            "layers=0,1,2",
            "dropped=0.0..0.8",
            "damping=0.0..0.8",
            "learn.rate=0.0003..0.01:log",
            "learn.weight_decay=0.001..3.0:log",
        ],
        Kind::Profile => &[
            "hidden=128,256,512",
            "learn.rate=0.0003..0.003:log",
            "temperature=0.05..0.2",
            "favourites=1,3,10",
        ],
        Kind::Ranker => &[
            "dropout=0.0..0.3",
            "learn.rate=0.0003..0.01:log",
            "learn.weight_decay=0.001..0.1:log",
            "negatives=32,64,128",
        ],
        _ => &["dropout=0.0..0.5", "learn.rate=0.0002..0.003:log", "ids=0,8,16,32"],
    }
}

/// A draw of settings, and what it came to.
#[derive(Clone, Debug, Serialize)]
struct Trial {
    set: Vec<String>,
    /// The best on validation, larger being better.
    score: Option<f64>,
    /// Epochs that it was given at most.
    epochs: u32,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Outcome {
    set: String,
    split: String,
    model: &'static str,
    metric: String,
    seed: u64,
    seconds: f64,
    best: Trial,
    trials: Vec<Trial>,
}

/// Keeps the checkpoints of a trial in memory, so that the next rung goes on where it was, and stops in time.
struct Rung {
    until: Instant,
    files: Mutex<HashMap<Which, Vec<u8>>>,
    best: Mutex<Option<(f64, &'static str)>>,
}

impl Watch for Rung {
    fn kept(&self, _: &str, which: Which) -> Option<Vec<u8>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(&which).cloned()
    }

    fn keep(&self, _: &str, which: Which, file: &dyn Fn() -> Vec<u8>) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(which, file());
    }

    fn step(&self, _: &Step) -> Wish {
        if Instant::now() > self.until { Wish::Stop } else { Wish::GoOn }
    }

    fn epoch(&self, epoch: &Epoch) {
        let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(score) = epoch.validation.filter(|score| best.is_none_or(|(best, _)| *score > best)) {
            *best = Some((score, epoch.metric));
        }
    }
}

impl TuneArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the set cannot be read or cut, or no trial comes to anything.
    pub(crate) fn run(self) -> Result<()> {
        let kind: Kind = self.model.parse().map_err(|error| WrongUse::of("--model", error))?;
        // `fusion` is a space that `profile` lives in: by what comes next, that one is decided.
        if !(kind.learns() || kind == Kind::Wmf) || kind == Kind::Fusion {
            return Err(WrongUse::of(
                "--model",
                format!("`{kind}` has no settings that validation could decide"),
            )
            .into());
        }
        if !(1..=TRIALS_MAX).contains(&self.trials) || self.first_epochs == 0 {
            return Err(WrongUse(format!(
                "--trials: expected 1 to {TRIALS_MAX}; --first-epochs: at least 1"
            ))
            .into());
        }
        if !(self.minutes.is_finite() && self.minutes > 0.0) {
            return Err(WrongUse::of("--minutes", "expected a positive number").into());
        }
        let space = self.space(kind)?;
        let split = parse_split(self.split.as_deref())?;
        let base = self.learning.clone().read()?.settings;
        let loaded = self.data.load()?;
        let set = &loaded.dataset;
        let rule = split.unwrap_or_else(|| natural_split(set));
        let split = Split::new(set, &loaded.relevance, rule, self.seed)?;
        if split.validation.is_empty() {
            bail!("{}: this split has no part for validation: choose another with --split", set.name);
        }
        let vectors = match &self.data.files[..] {
            [folder] if run::is_run(folder) => vectors_of(folder)?,
            _ => loaded.vectors()?,
        };
        let candidates = set.videos_in_events();
        let training = Training {
            content: Content::new(&set.videos).map(Arc::new),
            facts: Some(Arc::new(facts(set, &vectors))),
            validation: &split.validation,
            validation_values: &split.validation_values,
            candidates: &candidates,
            settings: Arc::clone(&base),
            ..Training::of(&split.train, set.order, self.seed)
        };
        let outcome = self.search(kind, &space, training, set, rule.name())?;
        if let Some(file) = &self.out {
            output::write_file(file, best_as_toml(kind, &base, &outcome.best)?.as_bytes())?;
        }
        if self.json {
            return output::print(&serde_json::to_string(&outcome)?);
        }
        output::print(&in_words(&outcome))
    }

    /// What is searched, by key under the model.
    fn space(&self, kind: Kind) -> Result<Vec<(String, Values)>> {
        let usual: Vec<String> = usual(kind).iter().map(|text| (*text).to_string()).collect();
        let asked = if self.search.is_empty() { &usual } else { &self.search };
        let parse = |text: &String| {
            let (key, values) = text.split_once('=')?;
            let key = key.trim().strip_prefix(&format!("{kind}.")).unwrap_or(key.trim());
            Some((key.to_string(), Values::parse(values)?))
        };
        let expected = "expected KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B,C";
        asked
            .iter()
            .map(|text| {
                parse(text).ok_or_else(|| WrongUse::of("--search", format!("`{text}`: {expected}")).into())
            })
            .collect()
    }

    fn search(
        &self,
        kind: Kind,
        space: &[(String, Values)],
        training: Training,
        set: &Dataset,
        split: &str,
    ) -> Result<Outcome> {
        let begun = Instant::now();
        let until = begun + Duration::from_secs_f64(60.0 * self.minutes);
        let mut random = Random::new(self.seed);
        let base = Settings::clone(&training.settings);
        let mut trials: Vec<(Trial, Rung)> = (0..self.trials)
            .map(|at| {
                // The first is what stands there: a search must not do worse than nothing.
                let set = match at {
                    0 => Vec::new(),
                    _ => space
                        .iter()
                        .map(|(key, values)| format!("{kind}.{key}={}", values.draw(&mut random)))
                        .collect(),
                };
                let trial = Trial { set, score: None, epochs: 0, seconds: 0.0, error: None };
                (trial, Rung { until, files: Mutex::default(), best: Mutex::default() })
            })
            .collect();
        // All of them before the first is trained: a wrong key costs nobody an hour.
        for (trial, _) in &trials {
            settings_of(kind, &base, trial, self.first_epochs)?;
        }
        let mut epochs = self.first_epochs;
        let mut alive: Vec<usize> = (0..trials.len()).collect();
        let mut metric = "hr@10 + ndcg@10".to_string();
        while !alive.is_empty() && Instant::now() < until {
            let bar = progress::bar(alive.len(), &format!("{kind}, at most {epochs} epochs"));
            for &at in &alive {
                if Instant::now() > until {
                    break;
                }
                let (trial, rung) = &mut trials[at];
                let started = Instant::now();
                trial.epochs = epochs;
                match one(kind, &base, trial, rung, &training, epochs)? {
                    Ok((score, what)) => {
                        trial.score = Some(score);
                        metric = what;
                    }
                    Err(error) => trial.error = Some(error),
                }
                trial.seconds += started.elapsed().as_secs_f64();
                bar.inc(1);
            }
            bar.finish_and_clear();
            alive.retain(|&at| trials[at].0.score.is_some() && trials[at].0.error.is_none());
            alive.sort_by(|&a, &b| {
                let score = |at: usize| trials[at].0.score.unwrap_or(f64::NEG_INFINITY);
                score(b).total_cmp(&score(a))
            });
            // The last one alive has nobody to be compared with; a model without epochs is done at once.
            if alive.len() == 1 || !kind.learns() {
                break;
            }
            alive.truncate(alive.len().div_ceil(HALVING));
            epochs = epochs.saturating_mul(HALVING as u32);
        }
        let mut trials: Vec<Trial> = trials.into_iter().map(|(trial, _)| trial).collect();
        let score = |trial: &Trial| trial.score.unwrap_or(f64::NEG_INFINITY);
        trials.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let Some(best) = trials.first().filter(|trial| trial.score.is_some()).cloned() else {
            let why = trials.iter().find_map(|trial| trial.error.clone());
            bail!("no trial came to anything: {}", why.unwrap_or_else(|| "the time was too short".into()));
        };
        let seconds = begun.elapsed().as_secs_f64();
        let (set, split) = (format!("{} ({})", set.name, set.digest()), split.to_string());
        Ok(Outcome { set, split, model: kind.name(), metric, seed: self.seed, seconds, best, trials })
    }
}

/// The settings of a draw.
fn settings_of(kind: Kind, base: &Settings, trial: &Trial, epochs: u32) -> Result<Settings> {
    let mut set = trial.set.clone();
    if kind.learns() {
        set.push(format!("{kind}.learn.epochs_max={epochs}"));
    }
    let text = toml::to_string(base).context("settings are plain data")?;
    config::from_toml(&text, &set).map_err(|error| WrongUse::of("--search", format!("{error:#}")).into())
}

/// Trains one draw up to some epochs; its score and what that is, or why there is none.
fn one(
    kind: Kind,
    base: &Settings,
    trial: &Trial,
    rung: &Rung,
    training: &Training,
    epochs: u32,
) -> Result<Result<(f64, String), String>> {
    let settings = settings_of(kind, base, trial, epochs)?;
    if let Err(error) = settings.check() {
        return Ok(Err(error.to_string()));
    }
    let training = Training { settings: Arc::new(settings), watch: rung, ..training.clone() };
    let (validation, candidates) = (training.validation, training.candidates);
    match Zoo::new(training).fit(kind, &[]) {
        Ok(_) if kind.learns() => {}
        Ok(fitted) => {
            let (hit_rate, ndcg) =
                Pool::new(&[fitted.model.as_ref()], validation, candidates).measure(&[1.0]);
            return Ok(Ok((hit_rate + ndcg, "hr@10 + ndcg@10".into())));
        }
        // The time is over: what the epochs before came to counts.
        Err(FitError::Stopped { .. }) => {}
        Err(error @ FitError::Needs { .. }) => return Err(error.into()),
        Err(error) => return Ok(Err(error.to_string())),
    }
    let best = *rung.best.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(best.map(|(score, metric)| (score, metric.to_string())).ok_or_else(|| "no epoch ended in time".into()))
}

/// The whole section of the best draw, without how long it was trained.
fn best_as_toml(kind: Kind, base: &Settings, best: &Trial) -> Result<String> {
    let text = toml::to_string(base).context("settings are plain data")?;
    let settings: Settings = config::from_toml(&text, &best.set)?;
    let mut all = toml::Table::try_from(settings)?;
    let section = all.remove(kind.name()).context("a model that is tuned has a section")?;
    let section = toml::Table::from_iter([(kind.name().to_string(), section)]);
    Ok(format!("# The best of `upnext tune`, by validation.\n{}", toml::to_string(&section)?))
}

fn in_words(outcome: &Outcome) -> String {
    let mut text = format!("{:>8}  {:>6}  {:>7}  settings\n", "score", "epochs", "seconds");
    for trial in &outcome.trials {
        let score = trial.score.map_or("-".to_string(), |score| format!("{score:.4}"));
        let set = if trial.set.is_empty() { "as they stand".to_string() } else { trial.set.join(" ") };
        text += &format!("{score:>8}  {:>6}  {:>7.1}  {set}", trial.epochs, trial.seconds);
        text += &trial.error.as_ref().map_or("\n".to_string(), |error| format!("  ({error})\n"));
    }
    let Outcome { set, split, metric, seed, .. } = outcome;
    text + &format!(
        "\nprotocol: {set}, {split}, {metric} on validation, seed {seed}; the test was not looked at\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_ranges_or_lists_and_draws_stay_within() {
        assert_eq!(Values::parse("0.1..0.5"), Some(Values::Between { low: 0.1, high: 0.5, log: false }));
        assert_eq!(Values::parse("32,64"), Some(Values::Of(vec!["32".into(), "64".into()])));
        for wrong in ["0.5..0.1", "0..1:log", "a..b", "1,,2", ""] {
            assert_eq!(Values::parse(wrong), None, "{wrong}");
        }
        let mut random = Random::new(1);
        let rates = Values::parse("0.0001..0.01:log").unwrap();
        let drawn: Vec<f64> = (0..200).map(|_| rates.draw(&mut random).parse().unwrap()).collect();
        assert!(drawn.iter().all(|rate| (0.9999e-4..1.0001e-2).contains(rate)));
        // As many below the middle of the scale as above.
        assert!(drawn.iter().filter(|&&rate| rate < 1e-3).count().abs_diff(100) < 25);
    }
}
