//! What the second stage reads of a candidate, in named groups. All of it is counted on the pairs that stage one was
//! fitted on, so a feature never holds the answer that it is asked for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use upnext_data::{History, Interactions, Order};
use upnext_features::Content;
use upnext_math::dot::mean_and_deviation;
use upnext_math::{Matrix, Sparse, top_k};

use crate::zoo::markov::{normalise_rows, transitions};
use crate::{Context, Recommender, Shape, Training};

/// Features that come and go together in an ablation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Of each part of stage one and of its sum: the z-score over the catalogue, and the place among the candidates.
    Parts,
    /// How often the candidate followed what was wanted last, at one step and at several.
    Transitions,
    /// Who wanted it: ever, of late, and which share of those who met it.
    Popularity,
    /// Likeness in content to the last wanted video and to the mean of the history.
    Content,
    /// Of the viewer alone, so alike for all candidates: it says what the other features are worth.
    History,
    /// Of the video alone: its age, its length, how much is told of it.
    Video,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Parts, Self::Transitions, Self::Popularity, Self::Content, Self::History, Self::Video];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parts => "parts",
            Self::Transitions => "transitions",
            Self::Popularity => "popularity",
            Self::Content => "content",
            Self::History => "history",
            Self::Video => "video",
        }
    }
}

/// Features of each group beside the parts, which have two each and two of their sum.
const TRANSITIONS: usize = 7;
const POPULARITY: usize = 3;
const CONTENT: usize = 2;
const HISTORY: usize = 5;
const VIDEO: usize = 4;

/// The group of each column, for so many parts of stage one.
pub(super) fn columns(n_parts: usize) -> Vec<Group> {
    let widths = [2 * (n_parts + 1), TRANSITIONS, POPULARITY, CONTENT, HISTORY, VIDEO];
    let of_group = |(group, width): (Group, usize)| std::iter::repeat_n(group, width);
    Group::ALL.into_iter().zip(widths).flat_map(of_group).collect()
}

/// Numbers of opinions that are held at once: questions × parts × videos.
const OPINIONS_MAX: usize = 1 << 23;
/// Questions that stage one is asked at once, where so many fit.
const BLOCK: usize = 32;

/// How many questions to ask stage one at once.
pub(super) fn block(stage: &dyn Recommender) -> usize {
    (OPINIONS_MAX / (stage.n_videos().max(1) * (n_parts(stage) + 2))).clamp(1, BLOCK)
}

/// How many parts stage one has; one that is no blend is its own part.
pub(super) fn n_parts(stage: &dyn Recommender) -> usize {
    match stage.shape() {
        Shape::Blend(parts) => parts.len(),
        _ => 1,
    }
}

/// What stage one thinks of every video, for one question.
pub(super) struct Opinion {
    /// The z-scores of each part over the catalogue, `(parts, videos)`.
    parts: Matrix,
    /// Their weighted sum: the order of stage one.
    pub(super) total: Vec<f32>,
}

/// Asks stage one, each part for all questions at once.
pub(super) fn ask(stage: &dyn Recommender, questions: &[(&History, Context)]) -> Vec<Opinion> {
    let (n, n_parts) = (stage.n_videos(), n_parts(stage));
    let new = || Opinion { parts: Matrix::zeros(n_parts, n), total: vec![0.0; n] };
    let mut opinions: Vec<Opinion> = questions.iter().map(|_| new()).collect();
    let mut raw = Matrix::zeros(questions.len(), n);
    let mut hear = |at: usize, weight: f32, model: &dyn Recommender| {
        model.score_batch(questions, &mut raw);
        for (row, opinion) in opinions.iter_mut().enumerate() {
            let (mean, deviation) = mean_and_deviation(raw.row(row));
            let scale = 1.0 / (deviation + 1e-9);
            let z = opinion.parts.row_mut(at).iter_mut().zip(raw.row(row));
            for ((z, raw), total) in z.zip(&mut opinion.total) {
                *z = scale * (raw - mean);
                *total += weight * *z;
            }
        }
    };
    match stage.shape() {
        Shape::Blend(parts) => {
            parts.iter().enumerate().for_each(|(at, part)| hear(at, part.weight, part.model.as_ref()));
        }
        _ => hear(0, 1.0, stage),
    }
    opinions
}

/// The best unseen videos of stage one, best first. Seen ones would take the places of those that can be shown.
pub(super) fn slate(total: &[f32], history: &History, n_candidates: usize) -> Vec<u32> {
    let mut unseen = total.to_vec();
    for past in history.past() {
        if let Some(score) = unseen.get_mut(past.video as usize) {
            *score = f32::NEG_INFINITY;
        }
    }
    top_k(&unseen, n_candidates)
}

/// Wanted videos of a history that are read, the newest.
const LAST: usize = 20;
/// What an older one of these counts against the next newer.
const DECAY: f32 = 0.7;
/// Gaps over which what was wanted soon after is counted, and how a gap counts: `gap^-0.7`.
const GAPS: (usize, f32) = (10, 0.7);
/// First steps of a walk of two, the likeliest.
const HOPS: usize = 50;
/// What shrinks the share of those who met a video and wanted it towards the share over all videos.
const SHRINK: f32 = 10.0;
/// Scores of a part that differ by less share a place: a batch adds in another order than a single question.
const SAME: f32 = 1e-3;
const DAY_MS: f64 = 86_400_000.0;

/// What is known of videos and of what follows what; `n` is the catalogue.
#[derive(Clone)]
pub(super) struct Signals {
    /// The chance of the next wanted video, rows shrunk by 2, `(n, n)`; empty where nothing has an order.
    pub(super) next: Sparse,
    /// Counts of what was wanted within ten places, `(n, n)`, the earlier video's row.
    pub(super) near: Sparse,
    /// `ln(1 + viewers who wanted it)`.
    pub(super) wanted: Vec<f32>,
    /// The same of the newest tenth of all pairs; zeros without times.
    pub(super) recent: Vec<f32>,
    /// Which share of those who met it wanted it, shrunk.
    pub(super) share: Vec<f32>,
    /// Days from 1970 to the first pair; negative where that is not known.
    pub(super) first_seen: Vec<f32>,
    /// `ln(1 + seconds)`; negative where the length is not known.
    pub(super) seconds: Vec<f32>,
    pub(super) content: Option<Arc<Content>>,
}

impl Signals {
    /// Counted on some pairs; content and lengths are facts.
    pub(super) fn new(interactions: &Interactions, training: &Training) -> Self {
        let n = interactions.n_videos();
        let (next, near) = if training.order == Order::Unordered {
            (Sparse::from_rows(n, vec![Vec::new(); n]), Sparse::from_rows(n, vec![Vec::new(); n]))
        } else {
            let sequences = interactions.sequences();
            let next = normalise_rows(transitions(&sequences, n, 1, 1.0), 2.0);
            (next, transitions(&sequences, n, GAPS.0, GAPS.1))
        };
        let (mut met, mut recent) = (vec![0u32; n], vec![0u32; n]);
        let mut first_seen = vec![-1.0f32; n];
        let mut times: Vec<i64> = Vec::new();
        if training.order == Order::Timed {
            times.extend(interactions.rows().iter().map(|row| row.time));
            times.sort_unstable();
        }
        let newest_tenth = times.get(times.len() * 9 / 10).copied();
        for row in interactions.rows() {
            let at = row.video as usize;
            met[at] += 1;
            if let Some(start) = newest_tenth {
                recent[at] += u32::from(row.is_positive() && row.time >= start);
                let day = days(row.time);
                if first_seen[at] < 0.0 || day < first_seen[at] {
                    first_seen[at] = day.max(0.0);
                }
            }
        }
        let wanted = interactions.popularity();
        let sum = |counts: &[u32]| counts.iter().map(|&n| f64::from(n)).sum::<f64>();
        let overall = (sum(&wanted) / sum(&met).max(1.0)) as f32;
        let share =
            wanted.iter().zip(&met).map(|(&w, &m)| (w as f32 + SHRINK * overall) / (m as f32 + SHRINK));
        let share = share.collect();
        let known = training.facts.as_ref().map_or(&[][..], |facts| &facts.seconds);
        let seconds = (0..n).map(|at| known.get(at).copied().flatten().map_or(-1.0, |s| s.max(0.0).ln_1p()));
        let log = |counts: Vec<u32>| counts.into_iter().map(|n| (n as f32).ln_1p()).collect();
        Self {
            next,
            near,
            wanted: log(wanted),
            recent: log(recent),
            share,
            first_seen,
            seconds: seconds.collect(),
            content: training.content.clone(),
        }
    }

    /// The features of some candidates, `(candidates, columns)`.
    pub(super) fn describe(
        &self,
        opinion: &Opinion,
        (history, context): (&History, &Context),
        slate: &[u32],
    ) -> Matrix {
        let n_parts = opinion.parts.n_rows();
        let mut features = Matrix::zeros(slate.len(), columns(n_parts).len());
        for part in 0..n_parts {
            put_score(&mut features, 2 * part, opinion.parts.row(part), slate);
        }
        put_score(&mut features, 2 * n_parts, &opinion.total, slate);
        let first = 2 * (n_parts + 1);
        let viewer = Viewer::new(self, (history, context), slate);
        for (at, &video) in slate.iter().enumerate() {
            let groups = [
                &viewer.transitions(at, video)[..],
                &self.popularity(video),
                &viewer.content(video),
                &viewer.features,
                &self.video(video, viewer.now),
            ];
            let row = &mut features.row_mut(at)[first..];
            row.iter_mut().zip(groups.concat()).for_each(|(to, from)| *to = from);
        }
        features
    }

    fn popularity(&self, video: u32) -> [f32; POPULARITY] {
        let at = video as usize;
        [self.wanted[at], self.recent[at], self.share[at]]
    }

    fn video(&self, video: u32, now: Option<f32>) -> [f32; VIDEO] {
        let at = video as usize;
        let age = match now {
            Some(now) if self.first_seen[at] >= 0.0 => (now - self.first_seen[at]).max(0.0).ln_1p(),
            _ => 0.0,
        };
        let told = self.content.as_ref().map_or(0, |content| content.vectors().row(at).0.len());
        let seconds = self.seconds[at];
        [age, seconds.max(0.0), f32::from(u8::from(seconds >= 0.0)), (told as f32).ln_1p()]
    }
}

fn days(time: i64) -> f32 {
    (time as f64 / DAY_MS) as f32
}

/// The z-score of each candidate and `ln(1 + place)` over `ln(1 + candidates)`.
fn put_score(features: &mut Matrix, column: usize, scores: &[f32], slate: &[u32]) {
    let mut sorted: Vec<f32> = slate.iter().map(|&video| scores[video as usize]).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let scale = 1.0 / (sorted.len() as f32).ln_1p().max(1e-6);
    for (at, &video) in slate.iter().enumerate() {
        let score = scores[video as usize];
        let place = sorted.partition_point(|&other| other > score + SAME);
        let row = features.row_mut(at);
        row[column] = score;
        row[column + 1] = scale * (place as f32).ln_1p();
    }
}

/// What is known of who asks, made once for all candidates.
struct Viewer<'a> {
    signals: &'a Signals,
    /// The newest wanted videos that are known, newest first.
    newest: Vec<u32>,
    /// Of each candidate the decayed counts of following the newest videos, and how many of these it followed.
    reached: Vec<[f32; 2]>,
    /// Where a walk of two steps from the last video ends, by row.
    two_steps: Vec<(u32, f32)>,
    /// Content of the last video and of the history, of unit length.
    contents: [Vec<f32>; 2],
    features: [f32; HISTORY],
    now: Option<f32>,
}

impl<'a> Viewer<'a> {
    fn new(signals: &'a Signals, (history, context): (&History, &Context), slate: &[u32]) -> Self {
        let n = signals.wanted.len();
        let known = history.newest(LAST).map(|(_, video)| video).filter(|&video| (video as usize) < n);
        let newest: Vec<u32> = known.collect();
        let last = newest.first().copied();
        let two_steps = last.map_or_else(Vec::new, |last| {
            let (columns, chances) = signals.next.row(last as usize);
            let mut first: Vec<(u32, f32)> = columns.iter().copied().zip(chances.iter().copied()).collect();
            upnext_math::keep_strongest(&mut first, HOPS);
            first.sort_unstable_by_key(|&(column, _)| column);
            signals.next.sum_of_rows(first)
        });
        let newest_time = history.past().last().map_or(0, |past| past.time);
        let now = context.now.or((newest_time != 0).then_some(newest_time));
        let since = match now {
            Some(now) if newest_time != 0 => ((now - newest_time).max(0) as f64 / DAY_MS).ln_1p() as f32,
            _ => 0.0,
        };
        let mean = |values: &mut dyn Iterator<Item = f32>| {
            let (sum, n) = values.fold((0.0, 0.0f32), |(sum, n), x| (sum + x, n + 1.0));
            sum / n.max(1.0)
        };
        let features = [
            (history.positives().len() as f32).ln_1p(),
            since,
            last.map_or(0.0, |last| signals.wanted[last as usize]),
            mean(&mut newest.iter().map(|&video| signals.wanted[video as usize])),
            (history.positives().len() as f32 + 1.0) / (history.past().len() as f32 + 1.0),
        ];
        let contents = [content_of(signals, &newest[..newest.len().min(1)]), content_of(signals, &newest)];
        let reached = reached(&signals.near, &newest, slate);
        Self { signals, newest, reached, two_steps, contents, features, now: now.map(days) }
    }

    fn transitions(&self, at: usize, video: u32) -> [f32; TRANSITIONS] {
        let Signals { next, near, .. } = self.signals;
        let chance =
            |place: usize| self.newest.get(place).map_or(0.0, |&from| next.get(from as usize, video));
        let count = |from: u32, to: u32| near.get(from as usize, to).max(0.0).ln_1p();
        let last = self.newest.first().copied();
        let [sum, reaching] = self.reached[at];
        let two = self.two_steps.binary_search_by_key(&video, |&(row, _)| row);
        [
            chance(0).max(0.0).sqrt(),
            chance(1).max(0.0).sqrt(),
            last.map_or(0.0, |last| count(last, video)),
            last.map_or(0.0, |last| count(video, last)),
            sum,
            reaching / self.newest.len().max(1) as f32,
            two.map_or(0.0, |at| self.two_steps[at].1.max(0.0).sqrt()),
        ]
    }

    fn content(&self, video: u32) -> [f32; CONTENT] {
        let Some(content) = &self.signals.content else { return [0.0; CONTENT] };
        let (columns, values) = content.vectors().row(video as usize);
        let cosine = |of: &Vec<f32>| columns.iter().zip(values).map(|(&c, &x)| x * of[c as usize]).sum();
        [cosine(&self.contents[0]), cosine(&self.contents[1])]
    }
}

/// Goes through the counts of each of the newest videos once: looking up every candidate in each of them takes many times longer.
fn reached(near: &Sparse, newest: &[u32], slate: &[u32]) -> Vec<[f32; 2]> {
    let mut places: Vec<Option<u32>> = vec![None; near.n_columns()];
    (0..).zip(slate).for_each(|(at, &video)| places[video as usize] = Some(at));
    let (mut reached, mut weight) = (vec![[0.0, 0.0]; slate.len()], 1.0);
    for &from in newest {
        let (columns, counts) = near.row(from as usize);
        for (&column, &count) in columns.iter().zip(counts) {
            if let (Some(at), true) = (places[column as usize], count > 0.0) {
                let [sum, n] = &mut reached[at as usize];
                *sum += weight * count.ln_1p();
                *n += 1.0;
            }
        }
        weight *= DECAY;
    }
    reached
}

/// The sum of the content of some videos, older ones by less, scaled to unit length; empty without content.
fn content_of(signals: &Signals, newest: &[u32]) -> Vec<f32> {
    let Some(content) = &signals.content else { return Vec::new() };
    let mut sum = vec![0.0; content.vectors().n_columns()];
    let mut weight = 1.0;
    for &video in newest {
        content.vectors().add_row_to(video as usize, weight, &mut sum);
        weight *= DECAY;
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    let scale = 1.0 / length.max(1e-6);
    sum.iter_mut().for_each(|x| *x *= scale);
    sum
}
