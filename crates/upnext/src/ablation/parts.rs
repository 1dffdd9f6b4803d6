//! What each model of a blend adds, and what it costs. Judged on the test: weights and models were chosen before, and nothing is
//! chosen here.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use upnext_data::Query;
use upnext_eval::{Bootstrap, Interval};
use upnext_math::Matrix;
use upnext_models::zoo::Part;
use upnext_models::{Context, Pool, Recommender, Shape};

use super::difference;
use crate::progress;

/// Questions whose scores are held at once.
const QUESTIONS: usize = 1_024;
/// Questions by which scoring is timed, so many at a time.
const TIMED: usize = 256;
const AT_ONCE: usize = 32;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Parts {
    /// The model that was taken apart.
    pub(crate) model: String,
    /// Questions of the test.
    pub(crate) questions: usize,
    /// All parts at their weights.
    pub(crate) whole: Row,
    /// Milliseconds in which one thread scores the catalogue for a viewer, 32 at once.
    pub(crate) score_milliseconds: f64,
    /// Each part, in the order of the blend.
    pub(crate) parts: Vec<OfPart>,
    /// Where a second stage is among the parts: the blend whose candidates it orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<Stage>,
}

/// One order of the catalogue.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// HR@10.
    #[serde(rename = "hr@10")]
    pub(crate) hr: Interval,
    /// NDCG@10.
    #[serde(rename = "ndcg@10")]
    pub(crate) ndcg: Interval,
    /// NDCG@10 minus that of the blend that it is part of, by the same viewers; of what a second stage stands on, minus that of
    /// the whole.
    pub(crate) against: Interval,
}

/// A model of the blend.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OfPart {
    /// Its name; a second one of the same kind is numbered.
    pub(crate) part: String,
    /// Its weight.
    pub(crate) weight: f32,
    /// It alone.
    pub(crate) alone: Row,
    /// All others at their weights; `None` where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) without: Option<Row>,
    /// As of the whole.
    pub(crate) score_milliseconds: f64,
}

/// What a second stage stands on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stage {
    /// Its own order of the catalogue.
    pub(crate) whole: Row,
    /// Its parts.
    pub(crate) parts: Vec<OfPart>,
}

impl Parts {
    /// Judges every order by the hundred best videos of each part; `None` where the model is no blend.
    ///
    /// # Errors
    /// When the bootstrap has settings that make no interval.
    pub(crate) fn new(
        model: &dyn Recommender,
        questions: &[Query],
        candidates: &[u32],
        (bootstrap, seed): (Bootstrap, u64),
    ) -> Result<Option<Self>> {
        let Shape::Blend(parts) = model.shape() else { return Ok(None) };
        let stage = parts.iter().find_map(|part| match part.model.stage()?.shape() {
            Shape::Blend(parts) => Some(parts),
            _ => None,
        });
        let all = [parts, stage.unwrap_or_default()];
        let models: Vec<&dyn Recommender> =
            all.iter().copied().flatten().map(|part| part.model.as_ref()).collect();
        let weights: Vec<f32> = all.iter().copied().flatten().map(|part| part.weight).collect();
        let orders = orders(all.map(<[Part]>::len), &weights);
        let mut judged = vec![[Vec::new(), Vec::new()]; orders.len()];
        let bar = progress::bar(questions.len(), "taking the blend apart");
        for some in questions.chunks(QUESTIONS) {
            let pool = Pool::new(&models, some, candidates);
            for (columns, order) in judged.iter_mut().zip(&orders) {
                for [hit, ndcg] in pool.judged(&order.weights) {
                    columns[0].push(hit);
                    columns[1].push(ndcg);
                }
            }
            bar.inc(some.len() as u64);
        }
        bar.finish_and_clear();
        let columns: Vec<&[f64]> = judged.iter().flat_map(|[hits, ndcg]| [&hits[..], &ndcg[..]]).collect();
        let resampled = bootstrap.resample(&columns, seed)?;
        let mut rows = orders.iter().enumerate().map(|(at, order)| Row {
            hr: resampled.interval(2 * at),
            ndcg: resampled.interval(2 * at + 1),
            against: resampled.difference(2 * at + 1, 2 * order.against + 1),
        });
        let mut next = || rows.next().expect("an order for each row");
        let of_parts = |parts: &[Part], next: &mut dyn FnMut() -> Row| -> Vec<OfPart> {
            let of_part = |(part, name): (&Part, String)| OfPart {
                part: name,
                weight: part.weight,
                alone: next(),
                without: (parts.len() > 1).then(&mut *next),
                score_milliseconds: milliseconds(part.model.as_ref(), questions),
            };
            parts.iter().zip(names(parts)).map(of_part).collect()
        };
        Ok(Some(Self {
            model: model.name().to_string(),
            questions: questions.len(),
            whole: next(),
            score_milliseconds: milliseconds(model, questions),
            parts: of_parts(parts, &mut next),
            stage: stage.map(|parts| Stage { whole: next(), parts: of_parts(parts, &mut next) }),
        }))
    }

    /// The table.
    pub(crate) fn in_words(&self) -> String {
        let mut text = format!(
            "\n=== what each model of {} adds ===\n\
             {} questions of the test, the weights of validation; NDCG@10 against the whole with its paired 95 % interval\n\n\
             {:<34} {:>8} {:>8}   against the whole\n{}   {:.2} ms a viewer\n",
            self.model,
            self.questions,
            "order",
            "HR@10",
            "NDCG@10",
            line("all", &self.whole),
            self.score_milliseconds
        );
        text += &lines(&self.parts);
        if let Some(stage) = &self.stage {
            text +=
                &format!("\n{:<34} {:>8} {:>8}   against the whole\n", "its candidates", "HR@10", "NDCG@10");
            text += &format!("{}\n", line("all of the blend under it", &stage.whole));
            text +=
                &format!("\n{:<34} {:>8} {:>8}   against that blend\n", "its candidates", "HR@10", "NDCG@10");
            text += &lines(&stage.parts);
        }
        text
    }
}

fn line(name: &str, row: &Row) -> String {
    format!("{name:<34} {:>8.4} {:>8.4}   {}", row.hr.mean, row.ndcg.mean, difference(&row.against))
}

fn lines(parts: &[OfPart]) -> String {
    let mut text = String::new();
    for of in parts {
        if let Some(without) = &of.without {
            text += &format!("{}\n", line(&format!("without {}", of.part), without));
        }
    }
    for of in parts {
        let name = format!("{} alone, weight {:.2}", of.part, of.weight);
        text += &format!("{}   {:.2} ms a viewer\n", line(&name, &of.alone), of.score_milliseconds);
    }
    text
}

/// Weights of the blend's models, then of those under its second stage; and the order that it is held against.
struct Order {
    weights: Vec<f32>,
    against: usize,
}

/// The whole, each part alone and left out; then the same of what a second stage stands on.
fn orders([n, n_stage]: [usize; 2], weights: &[f32]) -> Vec<Order> {
    let only = |is_kept: &dyn Fn(usize) -> bool| -> Vec<f32> {
        let kept = weights.iter().enumerate();
        kept.map(|(at, &weight)| if is_kept(at) { weight } else { 0.0 }).collect()
    };
    let mut orders: Vec<Order> = Vec::new();
    for range in [0..n, n..n + n_stage].into_iter().filter(|range| !range.is_empty()) {
        let whole = orders.len();
        orders.push(Order { weights: only(&|at| range.contains(&at)), against: 0 });
        for of in range.clone() {
            orders.push(Order { weights: only(&|at| at == of), against: whole });
            if range.len() > 1 {
                let others = only(&|at| range.contains(&at) && at != of);
                orders.push(Order { weights: others, against: whole });
            }
        }
    }
    orders
}

/// Names of parts, numbered from the second of a name on.
fn names(parts: &[Part]) -> Vec<String> {
    let name = |at: usize| {
        let name = parts[at].model.name();
        match parts[..at].iter().filter(|part| part.model.name() == name).count() {
            0 => name.to_string(),
            before => format!("{name} {}", before + 1),
        }
    };
    (0..parts.len()).map(name).collect()
}

fn milliseconds(model: &dyn Recommender, questions: &[Query]) -> f64 {
    let step = questions.len().div_ceil(TIMED).max(1);
    let asked: Vec<_> = (questions.iter().step_by(step))
        .map(|query| (&query.history, Context { now: query.at, user: Some(query.user), seed: 0 }))
        .collect();
    let mut scores: Vec<Matrix> =
        asked.chunks(AT_ONCE).map(|some| Matrix::zeros(some.len(), model.n_videos())).collect();
    let started = Instant::now();
    for (some, scores) in asked.chunks(AT_ONCE).zip(&mut scores) {
        model.score_batch(some, scores);
    }
    1e3 * started.elapsed().as_secs_f64() / asked.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use upnext_data::History;
    use upnext_models::zoo::Blend;

    use super::*;

    /// Ranks videos from the first on, or from the last.
    struct Rising(f32);

    impl Recommender for Rising {
        fn name(&self) -> &str {
            "rising"
        }

        fn n_videos(&self) -> usize {
            40
        }

        fn score_all(&self, _: &History, _: &Context, scores: &mut [f32]) {
            scores.iter_mut().enumerate().for_each(|(at, score)| *score = self.0 * at as f32);
        }

        fn save(&self, _: &mut upnext_models::checkpoint::Writer<'_>) -> upnext_models::checkpoint::Form {
            unreachable!("nobody saves it")
        }
    }

    #[test]
    fn what_a_second_stage_stands_on_is_held_against_itself() {
        let orders = orders([1, 2], &[1.0, 0.3, 0.7]);
        let told: Vec<(&[f32], usize)> = orders.iter().map(|of| (&of.weights[..], of.against)).collect();
        let expected: [(&[f32], usize); 7] = [
            (&[1.0, 0.0, 0.0], 0),
            (&[1.0, 0.0, 0.0], 0),
            (&[0.0, 0.3, 0.7], 0),
            (&[0.0, 0.3, 0.0], 2),
            (&[0.0, 0.0, 0.7], 2),
            (&[0.0, 0.0, 0.7], 2),
            (&[0.0, 0.3, 0.0], 2),
        ];
        assert_eq!(
            told, expected,
            "the second stage, it alone; then the two under it, each alone and left out"
        );
    }

    #[test]
    fn a_part_that_misleads_costs_what_the_others_have() {
        let part = |weight, sign| Part { weight, deviation: 1.0, model: Arc::new(Rising(sign)) };
        let blend = Blend::new("blend", vec![part(2.0, 1.0), part(1.0, -1.0)]);
        // Everyone wants the last but one, which the first part has at the second place.
        let questions: Vec<Query> = (0..50)
            .map(|user| Query {
                user,
                history: History::default(),
                masked: vec![],
                relevant: vec![38],
                at: None,
            })
            .collect();
        let candidates: Vec<u32> = (0..40).collect();
        let bootstrap = Bootstrap { samples: 50, level: 0.95 };
        let found = Parts::new(&blend, &questions, &candidates, (bootstrap, 1)).unwrap().unwrap();
        assert_eq!(found.parts.iter().map(|of| &of.part[..]).collect::<Vec<_>>(), ["rising", "rising 2"]);
        let second = 1.0 / 3_f64.log2();
        assert!((found.whole.ndcg.mean - second).abs() < 1e-9);
        assert!((found.parts[0].alone.ndcg.mean - second).abs() < 1e-9);
        assert_eq!(found.parts[1].alone.hr.mean, 0.0);
        let without = |at: usize| found.parts[at].without.as_ref().unwrap().against;
        assert!((without(0).mean + second).abs() < 1e-9, "only the misleading one is left");
        assert_eq!(without(1), Interval::default());
        let words = found.in_words();
        assert!(words.contains("without rising 2") && words.contains("rising alone, weight 2.00"), "{words}");
        assert!(Parts::new(&Rising(1.0), &questions, &candidates, (bootstrap, 1)).unwrap().is_none());
    }
}
