//! What each kind of vectors of a run adds: to lists of videos that nobody has seen, and to those of the models that count.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::Serialize;
use upnext_data::{Dataset, Query, Relevance, Split, SplitRule};
use upnext_eval::metric::{Kind as MetricKind, Metric};
use upnext_eval::{Bootstrap, Case, Ranked, Ties};
use upnext_ingest::run;
use upnext_ingest::vectors::Stored;
use upnext_math::Matrix;
use upnext_models::zoo::{Blend, Fusion, Kind, Part, Zoo};
use upnext_models::{Pool, Recommender, Training};

use crate::evaluation::vectors_of;
use crate::lists::{Ranking, cases};
use crate::loading::natural_split;
use crate::progress;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Ablation {
    set: String,
    seed: u64,
    relevance: String,
    modalities: Vec<Covered>,
    tables: Vec<Table>,
    /// Kinds of questions that the set does not allow, and why.
    left_out: Vec<(&'static str, String)>,
}

/// One kind of vectors.
#[derive(Debug, Serialize)]
struct Covered {
    name: String,
    videos: usize,
    of: usize,
}

/// One kind of questions.
#[derive(Debug, Serialize)]
struct Table {
    /// `cold` or `warm`.
    questions: &'static str,
    split: String,
    users: usize,
    candidates: usize,
    /// NDCG@10 of what counts beside the vectors; of popularity where nothing can.
    base: Measured,
    /// Everything together.
    all: Measured,
    /// Each kind alone with the base.
    alone: Vec<Added>,
    /// Each kind left out of everything.
    without: Vec<Added>,
}

#[derive(Clone, Debug, Serialize)]
struct Measured {
    ndcg: f64,
    interval: [f64; 2],
    weights: Vec<(String, f32)>,
}

#[derive(Debug, Serialize)]
struct Added {
    modality: String,
    ndcg: f64,
    /// What it adds: alone over the base, or everything over everything but it.
    adds: f64,
    interval: [f64; 2],
}

const K: usize = 10;

/// Measures a run: a cold split, in which a tenth of the videos has no event in train, and the set's natural one.
///
/// # Errors
/// When the run has no vectors, or cannot be cut.
pub(crate) fn ablate(path: &Path, seed: u64) -> Result<Ablation> {
    let opened = run::open(path)?;
    let relevance: Relevance = opened.manifest.relevance.parse()?;
    let set = opened.dataset;
    let stored = vectors_of(path)?;
    let modalities: Vec<(String, Arc<dyn Recommender>)> =
        stored.iter().map(|of| (of.coverage.name.clone(), likeness(of))).collect();
    if modalities.is_empty() {
        bail!("{} has no vectors: make some with `upnext encode` or `upnext vectors`", path.display());
    }
    let natural = natural_split(&set);
    let (mut tables, mut left_out) = (Vec::new(), Vec::new());
    for (questions, rule) in [("cold", SplitRule::ColdVideos), ("warm", natural)] {
        let wheel = progress::wheel(&format!("measuring {questions} videos"));
        match table(&set, &relevance, (questions, rule), &modalities, seed) {
            Ok(table) => tables.push(table),
            Err(error) => left_out.push((questions, format!("{error:#}"))),
        }
        wheel.finish_and_clear();
    }
    if tables.is_empty() {
        let why: Vec<String> =
            left_out.iter().map(|(questions, why)| format!("{questions}: {why}")).collect();
        bail!("nothing can be measured: {}", why.join("; "));
    }
    let covered = |of: &Stored| Covered {
        name: of.coverage.name.clone(),
        videos: of.present.iter().filter(|&&present| present).count(),
        of: of.present.len(),
    };
    Ok(Ablation {
        set: set.name.clone(),
        seed,
        relevance: relevance.to_string(),
        modalities: stored.iter().map(covered).collect(),
        tables,
        left_out,
    })
}

/// The cosine of vectors with the mean of those of what was wanted.
fn likeness(of: &Stored) -> Arc<dyn Recommender> {
    /// Weight of each step into the past.
    const DECAY: f32 = 0.9;
    let rows = Matrix::from_rows(of.present.len(), of.dim, of.values.clone());
    Arc::new(Fusion::of_vectors(&rows, DECAY))
}

fn table(
    set: &Dataset,
    relevance: &Relevance,
    (questions, rule): (&'static str, SplitRule),
    modalities: &[(String, Arc<dyn Recommender>)],
    seed: u64,
) -> Result<Table> {
    let split = Split::new(set, relevance, rule, seed)?;
    let cold = questions == "cold";
    // A cold question is answered from cold videos: among all, those that people know would fill the list.
    let candidates: Vec<u32> = if cold { cold_videos(set, &split) } else { set.videos_in_events() };
    let (validation, test) = halves(&split);
    let training = Training {
        validation: &validation,
        candidates: &candidates,
        ..Training::of(&split.train, set.order, seed)
    };
    let mut zoo = Zoo::with_choices(training, upnext_models::zoo::Choices::new());
    let mut base: Vec<(String, Arc<dyn Recommender>)> = Vec::new();
    if !cold {
        for kind in [Kind::Markov, Kind::Ease, Kind::ItemKnn] {
            if let Ok(fitted) = zoo.fit(kind, &[]) {
                base.push((kind.name().into(), fitted.model));
            }
        }
    }
    if base.is_empty() {
        base.push((Kind::Popular.name().into(), zoo.fit(Kind::Popular, &[])?.model));
    }
    let ranking = Ranking { candidates: &candidates, depth: K, ties: Ties::Pessimistic, seed };
    let ndcg = Ranked::at(MetricKind::Ndcg, K).expect("10 is a length of a list");
    let measure = |parts: &[(String, Arc<dyn Recommender>)]| -> (Vec<f64>, Vec<(String, f32)>) {
        let models: Vec<&dyn Recommender> = parts.iter().map(|(_, model)| model.as_ref()).collect();
        let pool = Pool::new(&models, &validation, &candidates);
        let start = vec![1.0; parts.len()];
        let weights = [0.5, 0.1].iter().fold(start, |from, &step| pool.ascend(&from, step).weights);
        let blended = parts.iter().zip(&weights).map(|((_, model), &weight)| Part {
            weight,
            deviation: 1.0,
            model: Arc::clone(model),
        });
        let blend = Blend::new("blend", blended.collect());
        let asked: Vec<Case> = cases(&blend, &test, &ranking, &|_| {});
        let named = parts.iter().zip(&weights).map(|((name, _), &weight)| (name.clone(), weight));
        (ndcg.measure(&asked), named.collect())
    };
    let joined = |more: &[usize]| -> Vec<(String, Arc<dyn Recommender>)> {
        base.iter().chain(more.iter().map(|&at| &modalities[at])).cloned().collect()
    };
    let every: Vec<usize> = (0..modalities.len()).collect();
    let (of_base, base_weights) = measure(&base);
    let (of_all, all_weights) = measure(&joined(&every));
    let bootstrap = Bootstrap::default();
    let measured = |values: &[f64], weights: Vec<(String, f32)>| -> Result<Measured> {
        let mean = bootstrap.resample(&[values], seed)?.interval(0);
        Ok(Measured { ndcg: mean.mean, interval: [mean.low, mean.high], weights })
    };
    let added = |values: &[f64], with: &[f64], less: &[f64], at: usize| -> Result<Added> {
        let difference = bootstrap.resample(&[with, less], seed)?.difference(0, 1);
        Ok(Added {
            modality: modalities[at].0.clone(),
            ndcg: values.iter().sum::<f64>() / values.len().max(1) as f64,
            adds: difference.mean,
            interval: [difference.low, difference.high],
        })
    };
    let (mut alone, mut without) = (Vec::new(), Vec::new());
    for at in 0..modalities.len() {
        let (values, _) = measure(&joined(&[at]));
        alone.push(added(&values, &values, &of_base, at)?);
        let others: Vec<usize> = every.iter().copied().filter(|&other| other != at).collect();
        let (values, _) = measure(&joined(&others));
        without.push(added(&values, &of_all, &values, at)?);
    }
    Ok(Table {
        questions,
        split: rule.name().into(),
        users: test.len(),
        candidates: candidates.len(),
        base: measured(&of_base, base_weights)?,
        all: measured(&of_all, all_weights)?,
        alone,
        without,
    })
}

/// The videos that train does not know and somebody is asked for.
fn cold_videos(set: &Dataset, split: &Split) -> Vec<u32> {
    let counts = split.train.popularity();
    set.videos_in_events().into_iter().filter(|&video| counts[video as usize] == 0).collect()
}

/// Questions to choose weights on and questions to measure: where a split has no validation, every other one.
fn halves(split: &Split) -> (Vec<Query>, Vec<Query>) {
    if !split.validation.is_empty() {
        return (split.validation.clone(), split.test.clone());
    }
    let of = |rest: usize| split.test.iter().skip(rest).step_by(2).cloned().collect();
    (of(0), of(1))
}

impl Ablation {
    /// As a person reads it.
    pub(crate) fn in_words(&self) -> String {
        let mut text =
            format!("What each kind of vectors adds: {}, {}, seed {}\n", self.set, self.relevance, self.seed);
        for of in &self.modalities {
            let _ = writeln!(text, "  {:20} {} of {} videos", of.name, of.videos, of.of);
        }
        for table in &self.tables {
            let _ = writeln!(
                text,
                "\n{} videos: NDCG@{K} of {} viewers, {} candidates, split {}, weights chosen on validation",
                table.questions, table.users, table.candidates, table.split
            );
            let names: Vec<&str> = table.base.weights.iter().map(|(name, _)| name.as_str()).collect();
            let _ = writeln!(
                text,
                "  {:20} {}",
                names.join(" + "),
                with_interval(table.base.ndcg, table.base.interval)
            );
            let _ = writeln!(
                text,
                "  {:20} {}",
                "with all vectors",
                with_interval(table.all.ndcg, table.all.interval)
            );
            for (added, left_out) in table.alone.iter().zip(&table.without) {
                let _ = writeln!(
                    text,
                    "  {:20} alone {}; beside the others {}",
                    added.modality,
                    verdict(added.adds, added.interval),
                    verdict(left_out.adds, left_out.interval)
                );
            }
        }
        for (questions, why) in &self.left_out {
            let _ = writeln!(text, "\n{questions} videos left out: {why}");
        }
        text
    }
}

fn with_interval(mean: f64, [low, high]: [f64; 2]) -> String {
    format!("{mean:.4} [{low:.4}, {high:.4}]")
}

/// What it adds, or that this is nothing that the questions can tell.
fn verdict(adds: f64, [low, high]: [f64; 2]) -> String {
    let what = if low > 0.0 {
        "adds"
    } else if high < 0.0 {
        "harms"
    } else {
        "nothing to be told"
    };
    format!("{what}: {adds:+.4} [{low:+.4}, {high:+.4}]")
}
