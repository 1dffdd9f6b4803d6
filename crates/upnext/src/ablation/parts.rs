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
const QUESTIONS: usize = 4_096;
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
    /// Each part, in the order of the blend.
    pub(crate) parts: Vec<OfPart>,
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
    /// NDCG@10 minus that of the whole blend, by the same viewers.
    pub(crate) against_whole: Interval,
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
    /// All others at their weights.
    pub(crate) without: Row,
    /// Milliseconds in which one thread scores the catalogue for a viewer, 32 at once.
    pub(crate) score_milliseconds: f64,
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
        let weights: Vec<f32> = parts.iter().map(|part| part.weight).collect();
        let mut orders = vec![weights.clone()];
        for at in 0..parts.len() {
            let only = |is_kept: &dyn Fn(usize) -> bool| {
                let kept = weights.iter().enumerate();
                kept.map(|(at, &weight)| if is_kept(at) { weight } else { 0.0 }).collect::<Vec<f32>>()
            };
            orders.push(only(&|other| other == at));
            orders.push(only(&|other| other != at));
        }
        let models: Vec<&dyn Recommender> = parts.iter().map(|part| part.model.as_ref()).collect();
        let mut judged = vec![[Vec::new(), Vec::new()]; orders.len()];
        let bar = progress::bar(questions.len(), "taking the blend apart");
        for some in questions.chunks(QUESTIONS) {
            let pool = Pool::new(&models, some, candidates);
            for (columns, weights) in judged.iter_mut().zip(&orders) {
                for [hit, ndcg] in pool.judged(weights) {
                    columns[0].push(hit);
                    columns[1].push(ndcg);
                }
            }
            bar.inc(some.len() as u64);
        }
        bar.finish_and_clear();
        let columns: Vec<&[f64]> = judged.iter().flat_map(|[hits, ndcg]| [&hits[..], &ndcg[..]]).collect();
        let resampled = bootstrap.resample(&columns, seed)?;
        let row = |at: usize| Row {
            hr: resampled.interval(2 * at),
            ndcg: resampled.interval(2 * at + 1),
            against_whole: resampled.difference(2 * at + 1, 1),
        };
        let names = names(parts);
        let of_part = |(at, (part, name)): (usize, (&Part, String))| OfPart {
            part: name,
            weight: part.weight,
            alone: row(1 + 2 * at),
            without: row(2 + 2 * at),
            score_milliseconds: milliseconds(part.model.as_ref(), questions),
        };
        Ok(Some(Self {
            model: model.name().to_string(),
            questions: questions.len(),
            whole: row(0),
            parts: parts.iter().zip(names).enumerate().map(of_part).collect(),
        }))
    }
}

impl Parts {
    /// The table.
    pub(crate) fn in_words(&self) -> String {
        let line = |name: &str, row: &Row| {
            format!("{name:<34} {:>8.4} {:>8.4}   {}", row.hr.mean, row.ndcg.mean, difference(&row.against_whole))
        };
        let mut text = format!(
            "\n=== what each model of {} adds ===\n\
             {} questions of the test, the weights of validation; NDCG@10 against the whole with its paired 95 % interval\n\n\
             {:<34} {:>8} {:>8}   against the whole\n{}\n",
            self.model,
            self.questions,
            "order",
            "HR@10",
            "NDCG@10",
            line("all", &self.whole)
        );
        for of in &self.parts {
            text += &format!("{}\n", line(&format!("without {}", of.part), &of.without));
        }
        text.push('\n');
        for of in &self.parts {
            let name = format!("{} alone, weight {:.2}", of.part, of.weight);
            text += &format!("{}   {:.2} ms a viewer\n", line(&name, &of.alone), of.score_milliseconds);
        }
        text
    }
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
    let mut scores = Matrix::zeros(AT_ONCE, model.n_videos());
    let started = Instant::now();
    for some in asked.chunks_exact(AT_ONCE) {
        model.score_batch(some, &mut scores);
    }
    let n = asked.len() / AT_ONCE * AT_ONCE;
    1e3 * started.elapsed().as_secs_f64() / n.max(1) as f64
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
    fn a_part_that_misleads_costs_what_the_others_have() {
        let part = |weight, sign| Part { weight, deviation: 1.0, model: Arc::new(Rising(sign)) };
        let blend = Blend::new("blend", vec![part(2.0, 1.0), part(1.0, -1.0)]);
        // Everyone wants the last but one, which the first part has at the second place.
        let questions: Vec<Query> = (0..50)
            .map(|user| Query { user, history: History::default(), masked: vec![], relevant: vec![38], at: None })
            .collect();
        let candidates: Vec<u32> = (0..40).collect();
        let bootstrap = Bootstrap { samples: 50, level: 0.95 };
        let found = Parts::new(&blend, &questions, &candidates, (bootstrap, 1)).unwrap().unwrap();
        assert_eq!(found.parts.iter().map(|of| &of.part[..]).collect::<Vec<_>>(), ["rising", "rising 2"]);
        let second = 1.0 / 3_f64.log2();
        assert!((found.whole.ndcg.mean - second).abs() < 1e-9);
        assert!((found.parts[0].alone.ndcg.mean - second).abs() < 1e-9);
        assert_eq!(found.parts[1].alone.hr.mean, 0.0);
        assert!((found.parts[0].without.against_whole.mean + second).abs() < 1e-9, "only the misleading one is left");
        assert_eq!(found.parts[1].without.against_whole, Interval::default());
        let words = found.in_words();
        assert!(words.contains("without rising 2") && words.contains("rising alone, weight 2.00"), "{words}");
        assert!(Parts::new(&Rising(1.0), &questions, &candidates, (bootstrap, 1)).unwrap().is_none());
    }
}
