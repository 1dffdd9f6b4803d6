//! What cheap models come to on validation, and how much of it is left when they see less of the past, or the past in another
//! order.

use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use upnext_data::{History, Judgement, Past, Query};
use upnext_eval::metric::Kind as MetricKind;
use upnext_eval::{Bootstrap, Interval, Ranked, Ties, measure};
use upnext_math::seed::mix;
use upnext_models::zoo::{Kind, Zoo};
use upnext_models::{FitError, Recommender, Training};

use super::transitions::shuffle;
use crate::lists::{Ranking, cases};

/// Length of the lists.
pub(crate) const K: usize = 10;
/// Wanted videos that are shown, the newest; `None` shows all.
const LENGTHS: [Option<usize>; 6] = [Some(1), Some(2), Some(5), Some(10), Some(20), None];
/// EASE inverts a matrix of the smaller of users and videos; beyond so many it is no cheap model, and item-knn stands in.
const EASE_ROWS_MAX: usize = 8_000;

/// A model on validation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OfModel {
    /// Which.
    pub(crate) model: Kind,
    /// Whether it is one table of counts: videos, or a video after another.
    pub(crate) trivial: bool,
    /// HR@10.
    pub(crate) hr: f64,
    /// NDCG@10.
    pub(crate) ndcg: f64,
}

impl OfModel {
    /// What models are ordered by here, as settings are chosen: HR@10 + NDCG@10.
    pub(crate) fn score(&self) -> f64 {
        self.hr + self.ndcg
    }
}

/// A model that is shown a part of the past.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Shown {
    /// Wanted videos, the newest; absent where all are shown.
    pub(crate) videos: Option<usize>,
    /// Share of the questions whose history is longer.
    pub(crate) longer: f64,
    /// HR@10.
    pub(crate) hr: f64,
    /// NDCG@10.
    pub(crate) ndcg: f64,
}

/// All parts, and all of it in another order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Histories {
    /// Which model.
    pub(crate) model: Kind,
    /// From one video to all.
    pub(crate) shown: Vec<Shown>,
    /// All, in an order drawn by the seed; absent for a model that reads no order.
    pub(crate) shuffled: Option<Shuffled>,
}

/// The whole past in another order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Shuffled {
    /// HR@10.
    pub(crate) hr: f64,
    /// NDCG@10.
    pub(crate) ndcg: f64,
    /// NDCG@10 in order minus that, paired over resampled users.
    pub(crate) lost_ndcg: Interval,
}

impl Histories {
    /// HR@10 + NDCG@10 where so much is shown.
    pub(crate) fn score(&self, videos: Option<usize>) -> Option<f64> {
        self.shown.iter().find(|shown| shown.videos == videos).map(|shown| shown.hr + shown.ndcg)
    }
}

/// Fits what the set allows, and asks it.
///
/// # Errors
/// When a model cannot be fitted for another reason than that the set lacks something.
pub(super) fn measured(training: &Training, validation: &[Query]) -> Result<(Vec<OfModel>, Vec<Histories>)> {
    let ranking =
        Ranking { candidates: training.candidates, depth: K, ties: Ties::Pessimistic, seed: training.seed };
    let without_order = if is_cheap_for_ease(training) { Kind::Ease } else { Kind::ItemKnn };
    let asked = [
        (Kind::Popular, true),
        (Kind::PopularRecent, true),
        (Kind::Markov1, true),
        (Kind::Markov, false),
        (Kind::DirectedCosine, false),
        (without_order, false),
        (Kind::Content, false),
    ];
    let mut zoo = Zoo::new(training.clone());
    let (mut models, mut histories) = (Vec::new(), Vec::new());
    for (kind, trivial) in asked {
        let model = match zoo.fit(kind, &[]) {
            Ok(fitted) => fitted.model,
            Err(FitError::Needs { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let whole = figures(&model, validation, &ranking);
        models.push(OfModel { model: kind, trivial, hr: whole.hr, ndcg: mean(&whole.ndcg) });
        let reads_order = kind == Kind::DirectedCosine;
        if reads_order || kind == without_order {
            histories.push(of_parts(kind, &model, (validation, &whole), &ranking, reads_order)?);
        }
    }
    Ok((models, histories))
}

fn is_cheap_for_ease(training: &Training) -> bool {
    let users = training.interactions.users().filter(|rows| !rows.is_empty()).count();
    let videos = training.interactions.popularity().into_iter().filter(|&n| n > 0).count();
    users.min(videos) <= EASE_ROWS_MAX
}

/// What one model comes to: HR@10, and NDCG@10 of each question.
struct Figures {
    hr: f64,
    ndcg: Vec<f64>,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn figures(model: &Arc<dyn Recommender>, questions: &[Query], ranking: &Ranking) -> Figures {
    let table = measure(
        &Ranked::grid(&[MetricKind::Hr, MetricKind::Ndcg], &[K]),
        &cases(model.as_ref(), questions, ranking, &|_| {}),
    );
    let column = |name: &str| table.column(&format!("{name}@{K}")).unwrap_or_default();
    Figures { hr: mean(column("hr")), ndcg: column("ndcg").to_vec() }
}

fn of_parts(
    kind: Kind,
    model: &Arc<dyn Recommender>,
    (validation, whole): (&[Query], &Figures),
    ranking: &Ranking,
    reads_order: bool,
) -> Result<Histories> {
    let with = |change: &dyn Fn(&Query) -> History| -> Vec<Query> {
        validation.iter().map(|query| Query { history: change(query), ..query.clone() }).collect()
    };
    let mut shown = Vec::new();
    for videos in LENGTHS {
        let longer = videos
            .map_or(0, |n| validation.iter().filter(|query| query.history.positives().len() > n).count());
        let (hr, ndcg) = match videos {
            None => (whole.hr, mean(&whole.ndcg)),
            Some(n) => {
                let part = figures(model, &with(&|query: &Query| newest(&query.history, n)), ranking);
                (part.hr, mean(&part.ndcg))
            }
        };
        shown.push(Shown { videos, longer: super::shape::share(longer, validation.len()), hr, ndcg });
    }
    let shuffled = match reads_order {
        false => None,
        true => {
            let seed = ranking.seed;
            let mixed = |query: &Query| shuffled(&query.history, mix(seed ^ mix(u64::from(query.user))));
            let part = figures(model, &with(&mixed), ranking);
            let resampled = Bootstrap::default().resample(&[&whole.ndcg, &part.ndcg], seed)?;
            let lost_ndcg = resampled.difference(0, 1);
            Some(Shuffled { hr: part.hr, ndcg: mean(&part.ndcg), lost_ndcg })
        }
    };
    Ok(Histories { model: kind, shown, shuffled })
}

/// The past from the `n`-th newest wanted video on.
fn newest(history: &History, n: usize) -> History {
    let past = history.past();
    let is_wanted = |past: &Past| past.judgement == Judgement::Positive;
    let from = (0..past.len()).rev().filter(|&at| is_wanted(&past[at])).nth(n.saturating_sub(1)).unwrap_or(0);
    History::new(past[from..].iter().copied())
}

/// The same videos in another order, at the same times.
fn shuffled(history: &History, seed: u64) -> History {
    let mut mixed = history.past().to_vec();
    shuffle(&mut mixed, seed);
    let times = history.past().iter().map(|past| past.time);
    History::new(mixed.into_iter().zip(times).map(|(past, time)| Past { time, ..past }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_history_and_the_same_videos_in_another_order() {
        let history = History::of_positives(&(0..30).collect::<Vec<u32>>());
        assert_eq!(newest(&history, 2).positives(), [28, 29]);
        assert_eq!(newest(&history, 50), history);
        let mixed = shuffled(&history, 1);
        assert_ne!(mixed.positives(), history.positives());
        assert_eq!(mixed.seen(), history.seen());
    }
}
