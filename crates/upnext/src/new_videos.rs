//! What each model makes of videos that train has never seen, by how much is known of the viewer: the table beside
//! `--split first-seen`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use upnext_data::{Dataset, History, Query, Split};
use upnext_eval::{Bootstrap, Case, Interval, Ranked, measure};
use upnext_models::Recommender;

use crate::evaluation::Conditions;
use crate::lists::{Ranking, cases, cases_by};

/// Events of history that are shown, the newest; `None` shows all.
const SHOWN: [Option<usize>; 5] = [Some(0), Some(1), Some(3), Some(10), None];
/// The floor that time alone allows.
const POPULAR_NEW: &str = "popular-new";

/// Both tables, over new videos alone and over all that is ranked.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NewVideos {
    /// Length of the lists.
    pub(crate) k: usize,
    /// One a pool of candidates.
    pub(crate) pools: Vec<Pool>,
}

/// What is ranked, and how well.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Pool {
    /// In words.
    pub(crate) what: &'static str,
    /// How many videos.
    pub(crate) n: usize,
    /// One for each length of history that some viewer has.
    pub(crate) shown: Vec<Shown>,
}

/// The models' answers to questions of one length.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    /// Events of history, the newest before the question; absent where all are shown.
    pub(crate) events: Option<usize>,
    /// Questions of viewers who have that many.
    pub(crate) questions: usize,
    /// Floors first.
    pub(crate) models: Vec<OfModel>,
}

/// One model.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OfModel {
    /// Its name.
    pub(crate) name: String,
    /// Means over users, with intervals.
    pub(crate) metrics: BTreeMap<String, Interval>,
    /// NDCG minus that of `popular-new`, paired over the same resampled users.
    pub(crate) against_popular_new: Interval,
}

/// How often each new video was wanted, as far as was known at a moment.
struct PopularNew {
    /// When and what, in order of time.
    wanted: Vec<(i64, u32)>,
}

impl PopularNew {
    /// Counts only what is new in the test: older videos score as those that nobody has wanted yet.
    fn new(set: &Dataset, conditions: &Conditions, is_new: &[bool]) -> Self {
        let pairs = set.interactions(&conditions.relevance);
        let rows = pairs.rows().iter().filter(|row| row.is_positive() && is_new[row.video as usize]);
        let mut wanted: Vec<(i64, u32)> = rows.map(|row| (row.time, row.video)).collect();
        wanted.sort_unstable();
        Self { wanted }
    }

    /// Strictly before the question: at that very moment, nothing of it is known.
    fn score(&self, asked: i64, scores: &mut [f32]) {
        scores.fill(0.0);
        let known = &self.wanted[..self.wanted.partition_point(|&(time, _)| time < asked)];
        known.iter().for_each(|&(_, video)| scores[video as usize] += 1.0);
    }
}

/// The question with the newest so many events; `None` where the viewer has fewer.
fn cut(query: &Query, events: Option<usize>) -> Option<Query> {
    let Some(events) = events else { return Some(query.clone()) };
    let past = query.history.past();
    let newest = &past[past.len().checked_sub(events)?..];
    // What was seen stays masked: it is the model that knows less, not the feed.
    Some(Query { history: History::new(newest.iter().copied()), ..query.clone() })
}

/// Asks models for new videos.
///
/// # Errors
/// When a number is not finite.
pub(crate) fn new_videos(
    set: &Dataset,
    split: &Split,
    models: &[std::sync::Arc<dyn Recommender>],
    ranking: &Ranking,
    conditions: &Conditions,
) -> Result<NewVideos> {
    let (_, second) = split.cuts.unwrap_or((i64::MAX, i64::MAX));
    // New is what nobody has done anything with before the test.
    let mut is_new = vec![true; set.videos.len()];
    for event in set.events().iter().filter(|event| event.time < second) {
        is_new[event.video as usize] = false;
    }
    let new: Vec<u32> = ranking.candidates.iter().copied().filter(|&row| is_new[row as usize]).collect();
    let floor = PopularNew::new(set, conditions, &is_new);
    let k = conditions.k.first().copied().unwrap_or(10);
    let metrics = [upnext_eval::metric::Kind::Ndcg, upnext_eval::metric::Kind::Hr];
    let bootstrap = Bootstrap { samples: conditions.bootstrap_samples, ..Bootstrap::default() };
    let mut pools = Vec::new();
    for (what, candidates) in
        [("new videos alone", &new[..]), ("all videos that are ranked", ranking.candidates)]
    {
        let ranking = Ranking { candidates, depth: k, ..*ranking };
        let mut shown = Vec::new();
        for events in SHOWN {
            let questions: Vec<Query> = split.test.iter().filter_map(|query| cut(query, events)).collect();
            if questions.is_empty() {
                continue;
            }
            let mut of_models: Vec<(String, Vec<Case>)> = vec![(
                POPULAR_NEW.into(),
                cases_by(set.videos.len(), &questions, &ranking, |query, scores| {
                    floor.score(query.at.unwrap_or(i64::MIN), scores);
                }),
            )];
            for model in models {
                of_models.push((model.name().into(), cases(model.as_ref(), &questions, &ranking, &|_| {})));
            }
            let tables: Vec<_> =
                of_models.iter().map(|(_, cases)| measure(&Ranked::grid(&metrics, &[k]), cases)).collect();
            let columns: Vec<&[f64]> =
                tables.iter().flat_map(|table| table.columns().map(|(_, column)| column)).collect();
            let resampled = bootstrap.resample(&columns, conditions.seed)?;
            let n_metrics = metrics.len();
            let rows = of_models.into_iter().zip(&tables).enumerate().map(|(at, ((name, _), table))| {
                let names = table.names().iter().cloned().enumerate();
                let metrics = names.map(|(m, name)| (name, resampled.interval(at * n_metrics + m))).collect();
                OfModel { name, metrics, against_popular_new: resampled.difference(at * n_metrics, 0) }
            });
            shown.push(Shown { events, questions: questions.len(), models: rows.collect() });
        }
        pools.push(Pool { what, n: candidates.len(), shown });
    }
    Ok(NewVideos { k, pools })
}

impl NewVideos {
    /// Both tables for a terminal.
    pub(crate) fn in_words(&self) -> String {
        let k = self.k;
        let mut text = format!(
            "\n=== videos first seen in the test, by how much of a viewer's past is shown ===\n\
             asked at the moment a viewer wants the first of them; {POPULAR_NEW} counts who wanted each before that moment\n"
        );
        let interval = |of: &Interval| format!("{:.4} [{:.4}, {:.4}]", of.mean, of.low, of.high);
        for pool in &self.pools {
            text += &format!("\n{}: {}\n", pool.what, pool.n);
            for shown in &pool.shown {
                let events = match shown.events {
                    Some(1) => "the newest event".into(),
                    Some(events) => format!("the newest {events} events"),
                    None => "all events".into(),
                };
                let head = format!("{events}, {} questions", shown.questions);
                let (ndcg, hr) = (format!("ndcg@{k}"), format!("hr@{k}"));
                text +=
                    &format!("{head:<38} {ndcg:>24} {hr:>24} {:>27}\n", format!("{ndcg} - {POPULAR_NEW}"));
                for model in &shown.models {
                    let against = model.against_popular_new;
                    text += &format!(
                        "  {:<36} {:>24} {:>24} {:>27}\n",
                        model.name,
                        interval(&model.metrics[&ndcg]),
                        interval(&model.metrics[&hr]),
                        format!("{:+.4} [{:+.4}, {:+.4}]", against.mean, against.low, against.high),
                    );
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::Past;

    #[test]
    fn what_happens_at_the_moment_of_a_question_is_not_known_to_it() {
        let floor = PopularNew { wanted: vec![(10, 0), (20, 1), (20, 1), (30, 2)] };
        let at = |moment| {
            let mut scores = [9.0; 3];
            floor.score(moment, &mut scores);
            scores
        };
        assert_eq!(at(10), [0.0, 0.0, 0.0]);
        assert_eq!(at(20), [1.0, 0.0, 0.0]);
        assert_eq!(at(31), [1.0, 2.0, 1.0]);
    }

    #[test]
    fn a_cut_question_knows_the_newest_and_still_masks_all() {
        let past = |video| Past { video, ..History::of_positives(&[video]).past()[0] };
        let query = Query {
            user: 0,
            history: History::new([past(4), past(2), past(7)]),
            masked: vec![2, 4, 7],
            relevant: vec![1],
            at: Some(5),
        };
        let shown = cut(&query, Some(1)).unwrap();
        assert_eq!((shown.history.positives(), &shown.masked[..]), (&[7][..], &[2, 4, 7][..]));
        assert!(cut(&query, Some(0)).unwrap().history.past().is_empty());
        assert!(cut(&query, Some(10)).is_none());
    }
}
