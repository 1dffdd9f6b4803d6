//! The whole way from a dataset to a report: cut, lint, fit, ask, measure.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use upnext_data::{
    Dataset, Evidence, FeatureTable, Finding, Interaction, Interactions, Of, Query, Relevance, Split,
    SplitRule, Vectors, attribute_features, hold_out, inspect, label_features, overlap,
};
use upnext_eval::metric::{
    Calibration, Diversity, Jaccard, Kind as MetricKind, Novelty, Observation, Popularity, PredictionRow,
    Serendipity, against_baselines, by_creator_group, by_viewer_group, coverage, gap, gini, light_and_active,
    recommended_counts,
};
use upnext_eval::{
    Bootstrap, Candidates, Case, LeakNote, LeftOut, Measured, Protocol, Ranked, Report, Ties, measure,
};
use upnext_features::Content;
use upnext_ingest::vectors::{self, Stored};
use upnext_math::seed::mix;
use upnext_models::zoo::{Choices, Kind, Zoo};
use upnext_models::{Context, Facts, FitError, Settings, Training};

use crate::ablation::{Ablation, Features, Parts};
use crate::diagnosis;
use crate::facts::facts;
use crate::learning::{Learning, Watcher};
use crate::lists::{PoolOf, Ranking, cases_of_pools};
use crate::new_videos::{NewVideos, new_videos};
use crate::progress;
use crate::sampled::{NEGATIVES, Negatives, Sampler};
use crate::sweep::{self, Sweep};
use crate::true_top::{ContentScores, against_true_top, content_scores};

/// What is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CandidateRule {
    /// Every video that occurs in an event of the set.
    Occurring,
    /// Every video of the catalogue.
    Catalogue,
}

/// The conditions of an evaluation.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// How to cut.
    pub(crate) split: SplitRule,
    /// What counts as relevant.
    pub(crate) relevance: Relevance,
    /// Which models.
    pub(crate) models: Vec<Kind>,
    /// Which of them ranks requests afterwards.
    pub(crate) ranker: Kind,
    /// Lengths of lists.
    pub(crate) k: Vec<usize>,
    /// For split, models, ties and bootstrap.
    pub(crate) seed: u64,
    /// How equal scores rank.
    pub(crate) ties: Ties,
    /// What is ranked.
    pub(crate) candidates: CandidateRule,
    /// Resampled user sets behind each interval.
    pub(crate) bootstrap_samples: usize,
    /// Measure models as they are served, with so many entries of each video; `None` measures them whole.
    pub(crate) neighbours: Option<usize>,
    /// Kinds of leak over which a headline may stand all the same.
    pub(crate) allow_leak: Vec<String>,
    /// Vectors of the videos, by which the linter finds copies.
    pub(crate) vectors: Arc<[Stored]>,
    /// Rows of generated videos: ranked too, and how many of them were shown is told.
    pub(crate) generated_videos: Vec<u32>,
    /// How networks learn.
    pub(crate) learning: Learning,
    /// What a reader must know of where the questions come from; stands among the notes.
    pub(crate) remarks: Vec<String>,
    /// Whether the last model's lists are re-ranked, and how far.
    pub(crate) sweep: Option<sweep::Asked>,
    /// At most so many questions of validation and of test each, drawn by the seed; `None` asks all.
    pub(crate) questions_max: Option<usize>,
    /// The model that is taken apart.
    pub(crate) ablate: Option<Kind>,
    /// Sampled candidates that are ranked beside all of them, each a report of its own.
    pub(crate) negatives: Vec<Negatives>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            split: SplitRule::LeaveLastOut,
            relevance: Relevance::default(),
            models: vec![Kind::Popular, Kind::Markov, Kind::ItemKnn, Kind::Ease, Kind::ClosedBlend],
            ranker: Kind::ClosedBlend,
            k: vec![10, 20],
            seed: 1,
            ties: Ties::Pessimistic,
            candidates: CandidateRule::Occurring,
            bootstrap_samples: Bootstrap::default().samples,
            neighbours: None,
            allow_leak: Vec::new(),
            vectors: Arc::default(),
            generated_videos: Vec::new(),
            learning: Learning::default(),
            remarks: Vec::new(),
            sweep: None,
            questions_max: None,
            ablate: None,
            negatives: Vec::new(),
        }
    }
}

/// What an evaluation leaves behind.
pub(crate) struct Evaluation {
    /// The numbers.
    pub(crate) report: Report,
    /// The same over sampled candidates, where these were asked for; never a headline.
    pub(crate) sampled: Vec<Report>,
    /// What was chosen on validation, for fitting again on everything.
    pub(crate) choices: Choices,
    /// What variety costs, where that was asked for.
    pub(crate) sweep: Option<Sweep>,
    /// Videos first seen in the test, where the split is by that.
    pub(crate) new_videos: Option<NewVideos>,
    /// What each part of a model adds, where that was asked for.
    pub(crate) ablation: Option<Ablation>,
}

/// The metrics of every table, for each K; AUC has none.
const ACCURACY: [MetricKind; 9] = [
    MetricKind::Hr,
    MetricKind::Ndcg,
    MetricKind::Recall,
    MetricKind::Precision,
    MetricKind::F1,
    MetricKind::Mrr,
    MetricKind::Map,
    MetricKind::MapMinK,
    MetricKind::Jaccard,
];

/// A leak that nothing makes harmless: no headline is printed over it.
#[derive(Debug)]
pub(crate) struct OpenLeak(LeakNote);

impl std::fmt::Display for OpenLeak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LeakNote { leak, note, .. } = &self.0;
        write!(
            f,
            "leak `{leak}`: {note}; a headline over it would be wrong: mend the split, or pass --allow-leak {leak} to \
             print it all the same"
        )
    }
}

impl std::error::Error for OpenLeak {}

/// Cuts, lints, fits on train, chooses on validation, and looks at the test once.
pub(crate) fn evaluate(set: &Dataset, conditions: &Conditions) -> Result<Evaluation> {
    let split = Split::new(set, &conditions.relevance, conditions.split, conditions.seed)?;
    evaluate_split(set, &split, conditions)
}

/// The same for a set that is cut already: of so many questions as the conditions allow.
pub(crate) fn evaluate_split(set: &Dataset, split: &Split, conditions: &Conditions) -> Result<Evaluation> {
    let Some(max) = conditions.questions_max.filter(|&max| max < split.test.len()) else {
        return evaluate_all(set, split, conditions);
    };
    let (mut split, mut conditions) = (split.clone(), conditions.clone());
    conditions.remarks.push(format!("{max} of {} questions, drawn by the seed", split.test.len()));
    draw(&mut split.test, max, conditions.seed);
    draw(&mut split.validation, max, conditions.seed);
    evaluate_all(set, &split, &conditions)
}

/// Keeps `n` of some questions, in their order.
pub(crate) fn draw(questions: &mut Vec<Query>, n: usize, seed: u64) {
    let mut by_lot: Vec<(u64, usize)> =
        (0..questions.len()).map(|at| (mix(seed ^ mix(at as u64)), at)).collect();
    by_lot.sort_unstable();
    let kept: HashSet<usize> = by_lot.into_iter().take(n).map(|(_, at)| at).collect();
    let mut at = 0..;
    questions.retain(|_| at.next().is_some_and(|at| kept.contains(&at)));
}

fn evaluate_all(set: &Dataset, split: &Split, conditions: &Conditions) -> Result<Evaluation> {
    let candidates = match conditions.candidates {
        CandidateRule::Occurring => {
            let mut occurring = set.videos_in_events();
            // Generated rows come last, so the order stays; nobody has seen them.
            occurring.extend(&conditions.generated_videos);
            occurring
        }
        CandidateRule::Catalogue => (0..set.videos.len() as u32).collect(),
    };
    let content = Content::new(&set.videos).map(Arc::new);
    let facts = Arc::new(facts(set, &conditions.vectors));
    let scores = content_scores(set, split);
    let findings = lint_with_evidence(set, split, &candidates, scores.as_ref(), conditions);
    let allowed =
        |leak: &LeakNote| conditions.allow_leak.iter().any(|name| *name == leak.leak || name == "all");
    let leaks: Vec<LeakNote> = findings.iter().map(LeakNote::from).collect();
    if let Some(leak) = leaks.iter().find(|leak| !leak.handled && !allowed(leak)) {
        return Err(OpenLeak(leak.clone()).into());
    }
    let scores = scores.map(|scores| scores.table);
    let mut left_out = Vec::new();
    let (mut choices, mut held_out_note) = (Choices::new(), None);
    if split.validation.is_empty() && conditions.models.iter().any(|kind| needs_choice(*kind)) {
        choices = choose_on_a_tenth(
            set,
            &split.train,
            (content.clone(), Arc::clone(&facts)),
            &candidates,
            conditions,
        )?;
        held_out_note = Some("settings chosen on a random tenth of train, models then fitted on all of it");
    }
    let watcher = Watcher::new(&conditions.learning);
    let training = Training {
        content,
        scores,
        validation: &split.validation,
        validation_values: &split.validation_values,
        facts: Some(facts),
        candidates: &candidates,
        settings: Arc::clone(&conditions.learning.settings),
        watch: &watcher,
        ..Training::of(&split.train, set.order, conditions.seed)
    };
    let mut zoo = Zoo::with_choices(training, choices);
    let depth = conditions.k.iter().copied().max().unwrap_or(10);
    let ranking = Ranking { candidates: &candidates, depth, ties: conditions.ties, seed: conditions.seed };
    let (mut measured, mut of_samples) = (Vec::new(), vec![Vec::new(); conditions.negatives.len()]);
    for &kind in &conditions.models {
        let done = fit_and_measure(kind, &mut zoo, set, split, &ranking, conditions)?;
        watcher.rest();
        match done {
            Ok((model, sampled)) => {
                measured.push(model);
                of_samples.iter_mut().zip(sampled).for_each(|(of, model)| of.push(model));
            }
            Err(reason) => left_out.push(LeftOut { name: kind.name().into(), reason }),
        }
    }
    if measured.is_empty() {
        let reasons: Vec<String> = left_out.iter().map(|l| l.reason.clone()).collect();
        bail!("no model could be fitted: {}", reasons.join("; "));
    }
    let mut notes = notes(split, held_out_note);
    notes.splice(0..0, conditions.remarks.iter().cloned());
    let protocol = Protocol {
        set: set.name.clone(),
        digest: set.digest(),
        split: conditions.split.name().into(),
        relevance: conditions.relevance.to_string(),
        fitted_on: "train".into(),
        history: match conditions.split {
            SplitRule::Given | SplitRule::ColdVideos => "train",
            SplitRule::FirstSeen => "all before the question",
            SplitRule::ColdUsers => "train, or the first three of a cold user",
            _ => "train and validation",
        }
        .into(),
        candidates: Candidates {
            n: candidates.len(),
            what: match conditions.candidates {
                CandidateRule::Occurring => "all videos of the log",
                CandidateRule::Catalogue => "whole catalogue",
            }
            .into(),
        },
        masked: "seen in the history".into(),
        ties: conditions.ties,
        k: conditions.k.clone(),
        seed: conditions.seed,
        users: split.test.len(),
        bootstrap: Bootstrap { samples: conditions.bootstrap_samples, ..Bootstrap::default() },
        notes,
        leaks,
    };
    let headline = format!("ndcg@{}", conditions.k.first().copied().unwrap_or(10));
    let sampled = conditions.negatives.iter().zip(of_samples).map(|(negatives, measured)| {
        let candidates = Candidates { n: NEGATIVES + 1, what: negatives.what() };
        let protocol = Protocol { candidates, ..protocol.clone() };
        Report::new(protocol, &headline, measured, left_out.clone())
    });
    let sampled: Vec<Report> = sampled.collect::<Result<_, _>>()?;
    let mut report = Report::new(protocol, &headline, measured, left_out)?;
    report.predictions = predictions(&mut zoo, split, conditions)?;
    report.overlap = Some(overlap(split));
    let sweep = match &conditions.sweep {
        Some(asked) => Some(swept(asked, &mut zoo, set, split, &ranking, &report.protocol, conditions)?),
        None => None,
    };
    let judged_by = (report.protocol.bootstrap, conditions.seed);
    let ablation = match conditions.ablate {
        None => None,
        Some(Kind::Ranker) => {
            let wheel = progress::wheel("learning without each group of features");
            let judged = zoo.ablate_ranker(&conditions.models)?;
            wheel.finish_and_clear();
            Some(Ablation::Features(Features::new(&judged, judged_by)?))
        }
        Some(kind) => {
            let model = zoo.fit(kind, &conditions.models)?.model;
            Parts::new(model.as_ref(), &split.test, &candidates, judged_by)?.map(Ablation::Parts)
        }
    };
    let new_videos = match conditions.split {
        SplitRule::FirstSeen => {
            let floor = [Kind::Random].into_iter().filter(|floor| !conditions.models.contains(floor));
            let asked = floor.chain(conditions.models.iter().copied());
            let fitted: Vec<_> = asked
                .filter_map(|kind| zoo.fit(kind, &conditions.models).ok())
                .map(|fitted| fitted.model)
                .collect();
            Some(new_videos(set, split, &fitted, &ranking, conditions)?)
        }
        _ => None,
    };
    watcher.rest();
    Ok(Evaluation { report, sampled, choices: zoo.choices().clone(), sweep, new_videos, ablation })
}

/// Re-ranks the lists of the last model that could be fitted.
fn swept(
    asked: &sweep::Asked,
    zoo: &mut Zoo,
    set: &Dataset,
    split: &Split,
    ranking: &Ranking,
    protocol: &Protocol,
    conditions: &Conditions,
) -> Result<Sweep> {
    let fitted = conditions.models.iter().rev().find_map(|&kind| zoo.fit(kind, &conditions.models).ok());
    let model =
        fitted.map(|fitted| fitted.model).context("no model could be fitted, so no list can be re-ranked")?;
    let wheel = progress::wheel("fitting vectors to vary by");
    let vectors = match zoo.fit_for_variety() {
        Ok(model) => match model.tower() {
            Some(tower) => Ok(sweep::Space::of_vectors("fused", tower.items())),
            None => Err("the model has none".into()),
        },
        Err(FitError::Needs { needs, .. }) => Err(format!("needs {needs}")),
        Err(error) => return Err(error.into()),
    };
    wheel.finish_and_clear();
    let k = conditions.k.first().copied().unwrap_or(10);
    let ranking = Ranking { depth: asked.pool.max(k), ..*ranking };
    let (yard, missing) = sweep::Yard::new(set, split, vectors, &ranking, (k, protocol.bootstrap));
    let wheel = progress::wheel(&format!("re-ranking the lists of {}", model.name()));
    let fingerprint = format!(
        "{}, split {}, relevance {}, {} candidates, {} masked, seed {}, fingerprint {}",
        protocol.set,
        protocol.split,
        protocol.relevance,
        protocol.candidates.n,
        protocol.masked,
        protocol.seed,
        protocol.fingerprint()
    );
    let sweep = yard.sweep(model.as_ref(), split, asked, (missing, fingerprint))?;
    wheel.finish_and_clear();
    Ok(sweep)
}

/// Shows the linter everything that the models read, and what lies beside it in the set.
fn lint_with_evidence(
    set: &Dataset,
    split: &Split,
    candidates: &[u32],
    scores: Option<&ContentScores>,
    conditions: &Conditions,
) -> Vec<Finding> {
    let mut features = attribute_features(set);
    features.extend(label_features(
        &set.videos,
        conditions.models.iter().any(|kind| reads_labels(*kind, &conditions.learning.settings)),
    ));
    let read = conditions.models.contains(&Kind::ContentScores);
    let days = scores.filter(|_| read).map_or(&[][..], |scores| &scores.days);
    features.extend(days.last().map(|&day| FeatureTable {
        name: Kind::ContentScores.name(),
        of: Of::Videos,
        values: &[],
        computed_up_to: Some((i64::from(day) + 1) * DAY_MS),
        read,
    }));
    let vectors: Vec<Vectors> =
        conditions.vectors.iter().map(|of| Vectors { dim: of.dim, values: &of.values }).collect();
    inspect(
        split,
        &Evidence {
            videos: Some(&set.videos),
            vectors: &vectors,
            candidates: Some(candidates),
            features: &features,
            days_used: days,
        },
    )
}

const DAY_MS: i64 = 86_400_000;

/// Whether a model compares videos by their labels, where there are any.
fn reads_labels(kind: Kind, settings: &Settings) -> bool {
    let of_network = match kind {
        Kind::Sasrec => settings.sasrec.content,
        Kind::Bsarec => settings.bsarec.content,
        Kind::Esasrec => settings.esasrec.content,
        Kind::Hstu => settings.hstu.content,
        _ => false,
    };
    of_network
        || matches!(
            kind,
            Kind::Content
                | Kind::ContentNeighbours
                | Kind::DirectedCosineContent
                | Kind::Smoothed
                | Kind::Walk
                | Kind::LightGcn
                | Kind::TwoTower
                | Kind::FeatureTower
                | Kind::Fusion
                | Kind::Profile
                | Kind::WatchTowers
                | Kind::WatchIds
                | Kind::WatchD2q
                | Kind::WatchLogistic
                | Kind::WatchTasks
                | Kind::Auto
                | Kind::ClosedBlend
                | Kind::Ranker
        )
}

/// All vectors of videos that a run holds, for the linter.
///
/// # Errors
/// When a file of them is not the one that was written.
pub(crate) fn vectors_of(run: &Path) -> Result<Arc<[Stored]>> {
    let names = vectors::names(run)?;
    let read: Vec<Option<Stored>> =
        names.iter().map(|name| vectors::read(run, name)).collect::<Result<_, _>>()?;
    Ok(read.into_iter().flatten().collect())
}

/// Errors of the models that predict values, beside the constants anyone could predict.
fn predictions(zoo: &mut Zoo, split: &Split, conditions: &Conditions) -> Result<Vec<PredictionRow>> {
    let observation = |user: u32, row: &Interaction| {
        Some(Observation { user, video: row.video, value: f64::from(row.value?) })
    };
    let users = (0..).zip(split.train.users());
    let train: Vec<Observation> =
        users.flat_map(|(user, rows)| rows.iter().filter_map(move |row| observation(user, row))).collect();
    let test: Vec<Observation> =
        split.held_out_values.iter().filter_map(|(user, row)| observation(*user, row)).collect();
    let mut rows: Vec<PredictionRow> = Vec::new();
    if train.is_empty() || test.is_empty() {
        return Ok(rows);
    }
    let predicting = [
        Kind::VideoMean,
        Kind::VideoMedian,
        Kind::Bias,
        Kind::BiasMedian,
        Kind::WatchTowers,
        Kind::WatchIds,
        Kind::WatchD2q,
        Kind::WatchLogistic,
    ];
    let mut asked: Vec<Kind> =
        predicting.into_iter().filter(|kind| conditions.models.contains(kind) && zoo.has(*kind)).collect();
    // What every regressor is held against.
    if !asked.is_empty() {
        asked.retain(|&kind| kind != Kind::BiasMedian);
        asked.insert(0, Kind::BiasMedian);
    }
    let mut errors_of_bias: Vec<f64> = Vec::new();
    for kind in asked {
        let model = zoo.fit(kind, &[])?.model;
        let mut predicted = Vec::with_capacity(test.len());
        for pairs in test.chunk_by(|a, b| a.user == b.user) {
            let history = split.train.history(pairs[0].user);
            let videos: Vec<u32> = pairs.iter().map(|pair| pair.video).collect();
            let mut scores = vec![0.0; videos.len()];
            let context = Context { now: None, user: Some(pairs[0].user), seed: conditions.seed };
            model.score(&history, &context, &videos, &mut scores);
            predicted.extend(scores.into_iter().map(f64::from));
        }
        let errors = mean_errors_of_users(&test, &predicted);
        if kind == Kind::BiasMedian {
            errors_of_bias = errors.clone();
        }
        let bootstrap = Bootstrap { samples: conditions.bootstrap_samples, ..Bootstrap::default() };
        let resampled = bootstrap.resample(&[&errors, &errors_of_bias], conditions.seed)?;
        let against_bias = (kind != Kind::BiasMedian).then(|| resampled.difference(0, 1));
        for row in against_baselines(&train, &test, &predicted)? {
            if row.name == "model" {
                rows.push(PredictionRow { name: kind.name().into(), against_bias, ..row });
            } else if !rows.iter().any(|known| known.name == row.name) {
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

/// The mean absolute error of each user, who come in their order.
fn mean_errors_of_users(test: &[Observation], predicted: &[f64]) -> Vec<f64> {
    let errors: Vec<(u32, f64)> =
        test.iter().zip(predicted).map(|(seen, said)| (seen.user, (said - seen.value).abs())).collect();
    let of_users = errors.chunk_by(|a, b| a.0 == b.0);
    of_users
        .map(|of_user| of_user.iter().map(|(_, error)| error).sum::<f64>() / of_user.len() as f64)
        .collect()
}

fn needs_choice(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Ease
            | Kind::EaseDecayed
            | Kind::MarkovEase
            | Kind::Walk
            | Kind::Auto
            | Kind::Blend
            | Kind::ClosedBlend
            | Kind::Ranker
    )
}

fn notes(split: &Split, held_out: Option<&str>) -> Vec<String> {
    let cold = split.test.iter().filter(|query| query.history.positives().is_empty()).count();
    let mut notes: Vec<String> = held_out.map(str::to_string).into_iter().collect();
    if cold > 0 {
        let who =
            if cold == 1 { "1 user of the test has" } else { &format!("{cold} users of the test have") };
        notes.push(format!("{who} no history and are counted"));
    }
    notes
}

/// Settings for a set that came split without a validation part.
fn choose_on_a_tenth(
    set: &Dataset,
    train: &Interactions,
    (content, facts): (Option<Arc<Content>>, Arc<Facts>),
    candidates: &[u32],
    conditions: &Conditions,
) -> Result<Choices> {
    let (left, validation) = hold_out(train, conditions.seed);
    let watcher = Watcher::new(&conditions.learning.under("choosing"));
    let mut zoo = Zoo::new(Training {
        content,
        facts: Some(facts),
        validation: &validation,
        candidates,
        settings: Arc::clone(&conditions.learning.settings),
        watch: &watcher,
        ..Training::of(&left, set.order, conditions.seed)
    });
    for &kind in conditions.models.iter().filter(|kind| needs_choice(**kind)) {
        let wheel = progress::wheel(&format!("choosing for {kind}"));
        match zoo.fit(kind, &conditions.models) {
            Ok(_) | Err(FitError::Needs { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        wheel.finish_and_clear();
    }
    Ok(zoo.choices().clone())
}

/// What was measured over all candidates, and over each kind of sampled ones. The outer error stops everything; the inner one
/// leaves this model out by name.
fn fit_and_measure(
    kind: Kind,
    zoo: &mut Zoo,
    set: &Dataset,
    split: &Split,
    ranking: &Ranking,
    conditions: &Conditions,
) -> Result<Result<(Measured, Vec<Measured>), String>> {
    let started = Instant::now();
    let wheel = progress::wheel(&format!("fitting {kind}"));
    let fitted = match zoo.fit(kind, &conditions.models) {
        Ok(fitted) => fitted,
        Err(FitError::Needs { needs, .. }) => return Ok(Err(format!("needs {needs}"))),
        Err(error) => return Err(error.into()),
    };
    wheel.finish_and_clear();
    let mut notes = if fitted.note.is_empty() { Vec::new() } else { vec![fitted.note] };
    let mut model = fitted.model;
    if let Some((neighbours, compact)) = conditions.neighbours.and_then(|n| Some((n, model.compact(n)?))) {
        notes.push(format!("as it is served: the {neighbours} strongest entries of each video"));
        model = compact;
    }
    let fit_seconds = started.elapsed().as_secs_f64();
    if kind == Kind::Auto {
        let wheel = progress::wheel("diagnosing the set");
        notes.push(match diagnosis::diagnose(zoo.training(), Some(set.events())) {
            Ok(found) => found.in_short(),
            Err(error) => format!("the set cannot be diagnosed: {error}"),
        });
        wheel.finish_and_clear();
    }
    let started = Instant::now();
    let bar = progress::bar(split.test.len(), &format!("asking {kind}"));
    let popularity = if conditions.negatives.is_empty() { Vec::new() } else { split.train.popularity() };
    let samplers = conditions.negatives.iter().map(|&negatives| Sampler {
        negatives,
        candidates: ranking.candidates,
        popularity: &popularity,
        seed: ranking.seed,
    });
    let pools: Vec<_> = samplers.map(|sampler| move |query: &Query| sampler.of(query)).collect();
    let pools: Vec<&PoolOf<'_>> =
        pools.iter().map(|pool| pool as &(dyn Fn(&Query) -> Vec<u32> + Sync)).collect();
    let mut by_pool =
        cases_of_pools(model.as_ref(), &split.test, ranking, &pools, &|n| bar.inc(n as u64)).into_iter();
    let cases = by_pool.next().unwrap_or_default();
    bar.finish_and_clear();
    let score_seconds = started.elapsed().as_secs_f64();
    let mut table = measure(&Ranked::grid(&ACCURACY, &conditions.k), &cases);
    if let Some(auc) = Ranked::at(MetricKind::Auc, 1) {
        table.add(&auc, &cases)?;
    }
    let mut overall = beyond_accuracy(&mut table, &cases, set, split, ranking.candidates.len(), conditions)?;
    overall.extend(against_true_top(&cases, &split.held_out_values, &conditions.k));
    let of_all = Measured {
        name: kind.name().into(),
        floor: kind.is_floor(),
        table,
        overall,
        fit_seconds,
        score_seconds,
        notes,
    };
    let of_samples = by_pool.map(|cases| Measured {
        name: of_all.name.clone(),
        floor: of_all.floor,
        table: measure(&Ranked::grid(&ACCURACY, &conditions.k), &cases),
        ..Measured::default()
    });
    let of_samples = of_samples.collect();
    Ok(Ok((of_all, of_samples)))
}

/// Diversity, novelty, coverage and fairness of the lists, at the first K.
fn beyond_accuracy(
    table: &mut upnext_eval::Table,
    cases: &[Case],
    set: &Dataset,
    split: &Split,
    n_candidates: usize,
    conditions: &Conditions,
) -> Result<BTreeMap<String, f64>> {
    let k = conditions.k.first().copied().unwrap_or(10);
    let popularity = split.train.popularity();
    let labels: Vec<Vec<u32>> = set.videos.videos().iter().map(|video| video.labels.clone()).collect();
    let n_users = split.train.users().filter(|rows| !rows.is_empty()).count();
    table.add(&Novelty { k, counts: &popularity, n_users }, cases)?;
    table.add(&Popularity { k, counts: &popularity }, cases)?;
    table.add(&Serendipity::new(k, &popularity), cases)?;
    if labels.iter().any(|labels| !labels.is_empty()) {
        let distance = Jaccard { name: "jaccard_labels".into(), labels: &labels };
        table.add(&Diversity { k, distance: &distance }, cases)?;
        let histories: std::collections::HashMap<u32, &Query> =
            split.test.iter().map(|query| (query.user, query)).collect();
        let history = |user: u32| histories[&user].history.positives().to_vec();
        let labels = broad_labels(set, &labels);
        table.add(&Calibration { k, labels: &labels, history, alpha: CALIBRATION_ALPHA }, cases)?;
    }
    let counts = recommended_counts(cases, k, set.videos.len());
    let of_candidates: Vec<u32> = {
        // Every candidate, shown or not; a list never holds another video.
        let mut shown: Vec<u32> = counts.iter().copied().filter(|&n| n > 0).collect();
        shown.resize(n_candidates.max(shown.len()), 0);
        shown
    };
    let mut overall = BTreeMap::from([
        (format!("coverage@{k}"), coverage(&of_candidates)),
        (format!("gini@{k}"), gini(&of_candidates)),
    ]);
    if !conditions.generated_videos.is_empty() {
        let shown = conditions.generated_videos.iter().filter(|&&video| counts[video as usize] > 0).count();
        let share = shown as f64 / conditions.generated_videos.len() as f64;
        overall.insert(format!("generated_cold_videos_shown@{k}"), share);
    }
    // Creators in two groups: those with less than the median of plays, and the others.
    if set.videos.creators.len() > 1 {
        let groups = creator_groups(set, &popularity);
        for group in by_creator_group(cases, k, &groups) {
            let who = if group.group == 0 { "small_creators" } else { "large_creators" };
            overall.insert(format!("exposure_ratio_{who}@{k}"), group.exposure_ratio);
            overall.insert(format!("recall_{who}@{k}"), group.recall);
        }
    }
    let watched: Vec<u32> = cases.iter().map(|case| split.train.of(case.user).len() as u32).collect();
    let groups: std::collections::HashMap<u32, u32> =
        cases.iter().map(|case| case.user).zip(light_and_active(&watched)).collect();
    if let Some(recall) = table.column(&format!("recall@{k}")) {
        let groups = by_viewer_group(recall, cases, |user| groups.get(&user).copied());
        for group in &groups {
            let who = if group.group == 0 { "light" } else { "active" };
            overall.insert(format!("recall_{who}_viewers@{k}"), group.mean);
        }
        overall.insert(format!("recall_gap_light_active@{k}"), gap(&groups));
    }
    Ok(overall)
}

/// Smoothing of calibration, as in Steck 2018.
const CALIBRATION_ALPHA: f64 = 0.01;

/// Labels that at least one video in a hundred has: a mix of casts or of rare tags would say nothing.
fn broad_labels(set: &Dataset, labels: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut videos_with = vec![0usize; set.videos.labels.len()];
    labels.iter().flatten().for_each(|&label| videos_with[label as usize] += 1);
    let broad = |label: &&u32| videos_with[**label as usize] * 100 >= labels.len();
    labels.iter().map(|labels| labels.iter().filter(broad).copied().collect()).collect()
}

fn creator_groups(set: &Dataset, popularity: &[u32]) -> Vec<Option<u32>> {
    let mut plays = vec![0u64; set.videos.creators.len()];
    for (video, &n) in set.videos.videos().iter().zip(popularity) {
        if let Some(creator) = video.creator {
            plays[creator as usize] += u64::from(n);
        }
    }
    let mut sorted = plays.clone();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    set.videos
        .videos()
        .iter()
        .map(|video| video.creator.map(|creator| u32::from(plays[creator as usize] >= median)))
        .collect()
}
