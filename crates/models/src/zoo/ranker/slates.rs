//! The lists that the second stage learns from. The last wanted videos of each training history are held out, stage one
//! and every count are fitted on what is left, and stage one is asked for candidates at the place of each: so features
//! are of the kind that a question will have, and none is read off the answer.

use rayon::prelude::*;
use upnext_data::{Interaction, Interactions, Order, Query, hold_out};
use upnext_math::Matrix;
use upnext_math::seed::{Random, mix};

use super::features::{Signals, ask, block, columns, n_parts, slate};
use super::{Settings, discount};
use crate::train::shuffle;
use crate::{Context, Recommender, Training};

/// At most so many lists are learnt from, and as many questions of validation judge an epoch, evenly spread.
const SLATES_MAX: usize = 20_000;
const JUDGED_MAX: usize = 8_000;
/// How deep a list is judged: HR@10 + NDCG@10.
const DEPTH: usize = 10;

/// What is left of the training pairs, and questions for what was taken away.
pub(crate) struct HeldOut {
    /// What stage one and the counts are fitted on.
    pub(crate) left: Interactions,
    questions: Vec<Query>,
    /// Of each question the gain of each wanted video, in the order of `relevant`.
    gains: Vec<Vec<f32>>,
    /// What each question counts.
    weights: Vec<f32>,
}

impl HeldOut {
    /// Takes a tenth of each viewer's wanted videos away, at least one and at most `places`: the last ones, each a question
    /// of its own with all that came before it, or where nothing has an order, some at random as one question.
    pub(crate) fn new(training: &Training, settings: &Settings) -> Self {
        let (left, questions) = if training.order == Order::Unordered {
            hold_out(training.interactions, mix(training.seed ^ 0x4a7e))
        } else {
            last_places(training.interactions, settings.places)
        };
        let rows: Vec<Vec<Interaction>> = questions
            .iter()
            .map(|query| {
                let of = training.interactions.of(query.user);
                let row =
                    |&video: &u32| of.iter().find(|row| row.video == video && row.is_positive()).copied();
                query.relevant.iter().filter_map(row).collect()
            })
            .collect();
        let values: Vec<f32> = rows.iter().flatten().filter_map(|row| row.value).collect();
        let buckets = Buckets::new(values);
        let gain = |row: &Interaction| match row.value {
            Some(value) if settings.graded => (value / buckets.least).clamp(1.0, GAIN_MAX),
            _ => 1.0,
        };
        let weight =
            |row: &Interaction| row.value.map_or(1.0, |value| buckets.weight(value, settings.balance));
        let gains = rows.iter().map(|rows| rows.iter().map(gain).collect()).collect();
        let weights = rows.iter().map(|rows| rows.iter().map(weight).sum::<f32>() / rows.len().max(1) as f32);
        Self { weights: weights.collect(), gains, questions, left }
    }

    /// A training on what is left, which nothing judges and nothing goes on from.
    pub(crate) fn rest<'t>(&'t self, training: &Training<'t>) -> Training<'t> {
        Training {
            interactions: &self.left,
            validation: &[],
            validation_values: &[],
            start: None,
            ..training.clone()
        }
    }
}

/// The largest gain: a video that was watched four times over is worth no more.
const GAIN_MAX: f32 = 4.0;

/// Equally wide buckets of watch ratios or ratings.
struct Buckets {
    /// A low value among the wanted, which gains 1.
    least: f32,
    width: f32,
    counts: Vec<usize>,
}

impl Buckets {
    const N: usize = 10;

    fn new(mut values: Vec<f32>) -> Self {
        values.sort_unstable_by(f32::total_cmp);
        let at = |share: f32| values.get((share * values.len() as f32) as usize).copied().unwrap_or(1.0);
        let (least, high) = (at(0.05).max(1e-3), at(0.95));
        let width = ((high - least) / Self::N as f32).max(1e-6);
        let mut buckets = Self { least, width, counts: vec![0; Self::N] };
        for value in values {
            let at = buckets.of(value);
            buckets.counts[at] += 1;
        }
        buckets
    }

    fn of(&self, value: f32) -> usize {
        (((value - self.least) / self.width).max(0.0) as usize).min(Self::N - 1)
    }

    /// `(1 / (share of the bucket × buckets))^power`, from a tenth to ten; its mean over all values is near 1.
    fn weight(&self, value: f32, power: f32) -> f32 {
        let all: usize = self.counts.iter().sum();
        let used = self.counts.iter().filter(|&&n| n > 0).count().max(1);
        let even = all as f32 / used as f32;
        (even / self.counts[self.of(value)].max(1) as f32).powf(power).clamp(0.1, 10.0)
    }
}

fn last_places(interactions: &Interactions, places_max: usize) -> (Interactions, Vec<Query>) {
    let (mut left, mut questions) = (Vec::with_capacity(interactions.n_users()), Vec::new());
    for (user, rows) in (0..).zip(interactions.users()) {
        let wanted: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].is_positive()).collect();
        // One wanted video must be left to answer from.
        let n = wanted.len().div_ceil(10).min(places_max).min(wanted.len().saturating_sub(1));
        let held = &wanted[wanted.len() - n..];
        left.push(rows[..held.first().copied().unwrap_or(rows.len())].to_vec());
        for &at in held {
            let history = Interactions::history_of(&rows[..at]);
            questions.push(Query {
                user,
                masked: history.seen(),
                history,
                relevant: vec![rows[at].video],
                at: (rows[at].time != 0).then_some(rows[at].time),
            });
        }
    }
    (Interactions::from_users(interactions.n_videos(), left), questions)
}

/// Lists of candidates with what is known of each, one after another.
pub(super) struct Slates {
    /// `(candidates of all lists, columns)`, on one scale.
    pub(super) features: Matrix,
    /// Stage one's score of each candidate.
    pub(super) totals: Vec<f32>,
    /// 0 where it was not wanted.
    pub(super) gains: Vec<f32>,
    /// Where each list starts; one more than lists.
    pub(super) starts: Vec<usize>,
    /// What each list counts in training.
    pub(super) weights: Vec<f32>,
    /// Of each list how many wanted videos there were in all, those that stage one did not find among them.
    n_relevant: Vec<usize>,
    /// Questions that were asked; of those without a list, stage one found nothing that was wanted.
    pub(super) n_questions: usize,
}

impl Slates {
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn range(&self, at: usize) -> std::ops::Range<usize> {
        self.starts[at]..self.starts[at + 1]
    }

    fn of_lists(lists: Vec<List>, n_columns: usize, n_questions: usize) -> Self {
        let mut slates = Self {
            features: Matrix::zeros(0, n_columns),
            totals: Vec::new(),
            gains: Vec::new(),
            starts: vec![0],
            weights: Vec::new(),
            n_relevant: Vec::new(),
            n_questions,
        };
        let n: usize = lists.iter().map(|list| list.gains.len()).sum();
        let mut features = Vec::with_capacity(n * n_columns);
        for list in lists {
            features.extend_from_slice(list.features.values());
            slates.totals.extend(list.totals);
            slates.gains.extend(list.gains);
            slates.starts.push(slates.gains.len());
            slates.weights.push(list.weight);
            slates.n_relevant.push(list.n_relevant);
        }
        slates.features = Matrix::from_rows(n, n_columns, features);
        slates
    }

    /// HR@10 + NDCG@10 of each list for scores of all candidates, ties pessimistic.
    pub(super) fn judge(&self, scores: &[f32]) -> Vec<[f64; 2]> {
        (0..self.len()).map(|at| self.judge_one(at, &scores[self.range(at)])).collect()
    }

    fn judge_one(&self, at: usize, scores: &[f32]) -> [f64; 2] {
        let gains = &self.gains[self.range(at)];
        let mut places = Vec::new();
        for (i, _) in gains.iter().enumerate().filter(|&(_, &gain)| gain > 0.0) {
            // Another wanted one of the same score does not stand in the way.
            let before = |(j, &score): (usize, &f32)| {
                score > scores[i] || (score == scores[i] && (gains[j] <= 0.0 || j < i))
            };
            places.push(scores.iter().enumerate().filter(|&(j, score)| j != i && before((j, score))).count());
        }
        let hit = places.iter().any(|&place| place < DEPTH);
        // From 0: the sum of nothing would be -0, which is printed.
        let gain =
            places.iter().filter(|&&place| place < DEPTH).fold(0.0, |sum, &place| sum + discount(place));
        let ideal: f64 = (0..self.n_relevant[at].min(DEPTH)).map(discount).sum();
        [f64::from(u8::from(hit)), if ideal > 0.0 { gain / ideal } else { 0.0 }]
    }
}

struct List {
    videos: Vec<u32>,
    features: Matrix,
    totals: Vec<f32>,
    gains: Vec<f32>,
    weight: f32,
    n_relevant: usize,
}

impl List {
    /// Keeps what was wanted and at most `most` others, drawn by a seed.
    fn sample(&mut self, most: usize, seed: u64) {
        let (mut kept, mut others): (Vec<usize>, Vec<usize>) =
            (0..self.gains.len()).partition(|&at| self.gains[at] > 0.0);
        if others.len() > most {
            shuffle(&mut others, &mut Random::new(seed));
            others.truncate(most);
            kept.append(&mut others);
            kept.sort_unstable();
            self.keep(&kept);
        }
    }

    fn keep(&mut self, kept: &[usize]) {
        let rows: Vec<f32> = kept.iter().flat_map(|&at| self.features.row(at)).copied().collect();
        self.features = Matrix::from_rows(kept.len(), self.features.n_columns(), rows);
        self.videos = kept.iter().map(|&at| self.videos[at]).collect();
        self.totals = kept.iter().map(|&at| self.totals[at]).collect();
        self.gains = kept.iter().map(|&at| self.gains[at]).collect();
    }
}

/// What the second stage learns from and is judged by, on one scale.
pub(crate) struct Ground {
    pub(super) train: Slates,
    pub(super) validation: Slates,
    /// Mean and one over deviation of each column on train; the second is 0 where a column never differs.
    pub(super) scale: Vec<(f32, f32)>,
    pub(super) groups: Vec<super::Group>,
}

/// Standardised numbers stay within this: a part may give a video hundreds of deviations.
const FURTHEST: f32 = 8.0;

pub(super) fn standardise(features: &mut Matrix, scale: &[(f32, f32)]) {
    for row in features.values_mut().chunks_exact_mut(scale.len().max(1)) {
        for (x, (mean, by)) in row.iter_mut().zip(scale) {
            *x = ((*x - mean) * by).clamp(-FURTHEST, FURTHEST);
        }
    }
}

impl Ground {
    /// `inner` and its counts are fitted on what `held` left; `stage` and `signals` on all of train, for validation.
    pub(super) fn new(
        training: &Training,
        settings: &Settings,
        held: &HeldOut,
        inner: &dyn Recommender,
        (stage, signals): (&dyn Recommender, &Signals),
    ) -> Self {
        let of_left = Signals::new(&held.left, training);
        let n_columns = columns(n_parts(stage)).len();
        let step = step(held.questions.len(), SLATES_MAX);
        let lists = collect(inner, &of_left, (&held.questions, step), settings, |at, _, list| {
            let seed = mix(training.seed ^ mix(at as u64));
            list.sample(settings.negatives, seed);
            list.weight = held.weights[at];
            // Gains came as places among the wanted, from 1.
            let found = list.gains.iter_mut().filter(|gain| **gain > 0.0);
            found.for_each(|gain| *gain = held.gains[at][*gain as usize - 1]);
        });
        let mut train = Slates::of_lists(lists, n_columns, held.questions.len().div_ceil(step));
        let mut is_candidate = vec![training.candidates.is_empty(); stage.n_videos()];
        training.candidates.iter().for_each(|&video| is_candidate[video as usize] = true);
        let questions = training.validation;
        let step = self::step(questions.len(), JUDGED_MAX);
        let lists = collect(stage, signals, (questions, step), settings, |_, query, list| {
            let shown =
                |video: u32| is_candidate[video as usize] && query.masked.binary_search(&video).is_err();
            let kept: Vec<usize> = (0..list.videos.len()).filter(|&at| shown(list.videos[at])).collect();
            list.keep(&kept);
            list.gains.iter_mut().for_each(|gain| *gain = gain.min(1.0));
        });
        let mut validation = Slates::of_lists(lists, n_columns, questions.len().div_ceil(step));
        let scale = scale(&train.features);
        standardise(&mut train.features, &scale);
        standardise(&mut validation.features, &scale);
        Self { train, validation, scale, groups: columns(n_parts(stage)) }
    }

    /// What changes when the lists do: for telling one training from another.
    pub(super) fn fingerprint(&self) -> u64 {
        let numbers = [&self.train, &self.validation].into_iter().flat_map(|slates| {
            let of = slates.features.values().iter().chain(&slates.totals).chain(&slates.gains);
            of.chain(&slates.weights)
        });
        numbers.fold(1, |all, x| mix(all ^ u64::from(x.to_bits())))
    }
}

/// Of so many the how many-th to take, so that at most `most` are.
fn step(n: usize, most: usize) -> usize {
    n.div_ceil(most).max(1)
}

fn scale(features: &Matrix) -> Vec<(f32, f32)> {
    let (n, n_columns) = (features.n_rows().max(1) as f64, features.n_columns());
    let (mut sums, mut squares) = (vec![0.0f64; n_columns], vec![0.0f64; n_columns]);
    for row in features.values().chunks_exact(n_columns.max(1)) {
        for ((sum, square), &x) in sums.iter_mut().zip(&mut squares).zip(row) {
            *sum += f64::from(x);
            *square += f64::from(x) * f64::from(x);
        }
    }
    let one = |(sum, square): (f64, f64)| {
        let mean = sum / n;
        let deviation = (square / n - mean * mean).max(0.0).sqrt();
        (mean as f32, if deviation > 1e-4 { (1.0 / deviation) as f32 } else { 0.0 })
    };
    sums.into_iter().zip(squares).map(one).collect()
}

/// Asks stage one, and makes a list of each question for which it found something that was wanted. A target is never forced
/// into a list: one that learns to find what stage one missed is good at that alone.
fn collect(
    stage: &dyn Recommender,
    signals: &Signals,
    (questions, step): (&[Query], usize),
    settings: &Settings,
    finish: impl Fn(usize, &Query, &mut List) + Sync,
) -> Vec<List> {
    let asked: Vec<usize> = (0..questions.len()).step_by(step).collect();
    asked
        .par_chunks(block(stage))
        .flat_map_iter(|block| {
            let contexts = block.iter().map(|&at| {
                let query = &questions[at];
                (&query.history, Context { now: query.at, user: Some(query.user), seed: 0 })
            });
            let contexts: Vec<_> = contexts.collect();
            let opinions = ask(stage, &contexts);
            let lists = block.iter().zip(&contexts).zip(&opinions).filter_map(|((&at, asked), opinion)| {
                let query = &questions[at];
                let candidates = slate(&opinion.total, &query.history, settings.candidates);
                let place =
                    |video: &u32| query.relevant.binary_search(video).map_or(0.0, |at| at as f32 + 1.0);
                let gains: Vec<f32> = candidates.iter().map(place).collect();
                if gains.iter().all(|&gain| gain == 0.0) {
                    return None;
                }
                let mut list = List {
                    features: signals.describe(opinion, (asked.0, &asked.1), &candidates),
                    totals: candidates.iter().map(|&video| opinion.total[video as usize]).collect(),
                    gains,
                    videos: candidates,
                    weight: 1.0,
                    n_relevant: query.relevant.len(),
                };
                finish(at, query, &mut list);
                Some(list)
            });
            lists.collect::<Vec<_>>()
        })
        .collect()
}
