//! Choosing on validation: weights of a blend by coordinate ascent, one setting out of several.

use rayon::prelude::*;
use upnext_data::Query;
use upnext_math::dot::mean_and_deviation;
use upnext_math::{Matrix, top_k};

use crate::{Context, Recommender};

/// How deep the choice looks: HR@10 + NDCG@10.
const DEPTH: usize = 10;
/// Each model brings its best unseen videos into the pool.
const POOL: usize = 100;
/// Questions scored at once by one thread, at most, and the scores that it may hold for them.
const BLOCK: usize = 32;
const SCORES_MAX: usize = 32 << 20;
/// What is less is 0: steps forth and back leave such rests.
const WEIGHT_MIN: f32 = 1e-4;
/// At most this many validation questions are used, evenly spread.
const QUESTIONS_MAX: usize = 25_000;

/// What a choice came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// One weight for each model.
    pub weights: Vec<f32>,
    /// HR@10 on validation.
    pub hit_rate: f64,
    /// NDCG@10 on validation.
    pub ndcg: f64,
}

impl Choice {
    /// HR@10 + NDCG@10, which is what is chosen by.
    pub fn score(&self) -> f64 {
        self.hit_rate + self.ndcg
    }
}

/// Every model's z-scores of the videos that any model would show, for each validation question.
///
/// A held-out video that no model brings into the pool stays out of it and counts as a miss: weights fitted on
/// a pool into which the target was forced find that target, not the viewer's taste.
pub struct Pool {
    /// For each question: `(models, pool)` z-scores, then which pool entries are relevant.
    questions: Vec<PoolOfOne>,
    n_models: usize,
    /// Mean deviation of each model's raw scores, by which single contributions can be compared.
    deviations: Vec<f32>,
}

struct PoolOfOne {
    scores: Vec<f32>,
    n_pool: usize,
    relevant_at: Vec<u32>,
    ideal: f64,
}

/// The DCG of `n_relevant` videos at the top of a list of `k`.
fn ideal(n_relevant: usize, k: usize) -> f64 {
    (0..n_relevant.min(k)).map(|rank| 1.0 / (rank as f64 + 2.0).log2()).sum()
}

impl Pool {
    /// Scores every question with every model. `candidates` are sorted.
    pub fn new(models: &[&dyn Recommender], questions: &[Query], candidates: &[u32]) -> Self {
        let n_videos = models.iter().map(|m| m.n_videos()).max().unwrap_or(0);
        let mut is_candidate = vec![false; n_videos];
        candidates.iter().for_each(|&video| is_candidate[video as usize] = true);
        let step = questions.len().div_ceil(QUESTIONS_MAX).max(1);
        let chosen: Vec<&Query> = questions.iter().step_by(step).collect();
        let blocks: Vec<(Vec<PoolOfOne>, Vec<f64>)> = chosen
            .par_chunks((SCORES_MAX / (models.len() * n_videos).max(1)).clamp(1, BLOCK))
            .map(|block| score_block(models, block, &is_candidate, n_videos))
            .collect();
        let mut deviations = vec![0.0f64; models.len()];
        let mut pools = Vec::with_capacity(chosen.len());
        for (block, sums) in blocks {
            deviations.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
            pools.extend(block);
        }
        let n = pools.len().max(1) as f64;
        let deviations = deviations.iter().map(|&sum| (sum / n) as f32).collect();
        Self { questions: pools, n_models: models.len(), deviations }
    }

    /// Mean deviation of each model's raw scores.
    pub fn deviations(&self) -> &[f32] {
        &self.deviations
    }

    /// HR@10 and NDCG@10 of a weighting.
    pub fn measure(&self, weights: &[f32]) -> (f64, f64) {
        let sums: Vec<Vec<f32>> = self.questions.iter().map(|pool| pool.blend(weights)).collect();
        self.measure_sums(|at, _| sums[at].clone())
    }

    /// HR@10 and NDCG@10 of each question, in their order.
    pub fn judged(&self, weights: &[f32]) -> Vec<[f64; 2]> {
        let one = |pool: &PoolOfOne| {
            let (hit, ndcg) = pool.measure(&pool.blend(weights));
            [hit, ndcg]
        };
        self.questions.par_iter().with_min_len(64).map(one).collect()
    }

    /// What a weighting comes to.
    pub fn choice(&self, weights: Vec<f32>) -> Choice {
        let (hit_rate, ndcg) = self.measure(&weights);
        Choice { weights, hit_rate, ndcg }
    }

    fn measure_sums(&self, scores: impl Fn(usize, &PoolOfOne) -> Vec<f32> + Sync) -> (f64, f64) {
        let (hit, ndcg) = self
            .questions
            .par_iter()
            .enumerate()
            .with_min_len(64)
            .map(|(at, pool)| pool.measure(&scores(at, pool)))
            .collect::<Vec<_>>()
            .into_iter()
            .fold((0.0, 0.0), |total, one| (total.0 + one.0, total.1 + one.1));
        let n = self.questions.len().max(1) as f64;
        (hit / n, ndcg / n)
    }

    /// Coordinate ascent on HR@10 + NDCG@10: steps of `step` up or down, each kept when it gains more than
    /// 2e-5, until no weight moves. Weights stay at or above 0: negative ones exploit a pool.
    pub fn ascend(&self, start: &[f32], step: f32) -> Choice {
        self.ascend_some(start, step, &vec![true; self.n_models])
    }

    /// [`Pool::ascend`] where only some models may move.
    pub fn ascend_some(&self, start: &[f32], step: f32, may_move: &[bool]) -> Choice {
        const GAIN_MIN: f64 = 2e-5;
        const ROUNDS_MAX: usize = 20;
        assert!(start.len() == self.n_models && may_move.len() == self.n_models, "one for each model");
        let mut weights = start.to_vec();
        let mut sums: Vec<Vec<f32>> = self.questions.iter().map(|pool| pool.blend(&weights)).collect();
        let mut best = self.measure_sums(|at, _| sums[at].clone());
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for model in (0..self.n_models).filter(|&model| may_move[model]) {
                for change in [step, -step] {
                    while weights[model] + change > -1e-6 {
                        let stepped = |at: usize, pool: &PoolOfOne| pool.moved(&sums[at], model, change);
                        let tried = self.measure_sums(stepped);
                        if tried.0 + tried.1 <= best.0 + best.1 + GAIN_MIN {
                            break;
                        }
                        best = tried;
                        weights[model] = (weights[model] + change).max(0.0);
                        sums = self.questions.iter().map(|pool| pool.blend(&weights)).collect();
                        moved = true;
                    }
                }
            }
            if !moved {
                break;
            }
        }
        weights.iter_mut().filter(|weight| **weight < WEIGHT_MIN).for_each(|weight| *weight = 0.0);
        Choice { weights, hit_rate: best.0, ndcg: best.1 }
    }
}

impl PoolOfOne {
    fn of_model(&self, model: usize) -> &[f32] {
        &self.scores[model * self.n_pool..(model + 1) * self.n_pool]
    }

    fn blend(&self, weights: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.n_pool];
        for (model, &weight) in weights.iter().enumerate() {
            upnext_math::dot::add_scaled(&mut sums, weight, self.of_model(model));
        }
        sums
    }

    fn moved(&self, sums: &[f32], model: usize, change: f32) -> Vec<f32> {
        let mut sums = sums.to_vec();
        upnext_math::dot::add_scaled(&mut sums, change, self.of_model(model));
        sums
    }

    fn measure(&self, scores: &[f32]) -> (f64, f64) {
        let (mut hit, mut gain) = (0.0, 0.0);
        for &at in &self.relevant_at {
            let target = scores[at as usize];
            let at_least = scores.iter().filter(|&&score| score >= target).count();
            // Other relevant videos of the same score do not stand in the way.
            let tied = |&&other: &&u32| other != at && scores[other as usize] == target;
            let rank = at_least - 1 - self.relevant_at.iter().filter(tied).count();
            if rank < DEPTH {
                hit = 1.0;
                gain += 1.0 / (rank as f64 + 2.0).log2();
            }
        }
        (hit, if self.ideal > 0.0 { gain / self.ideal } else { 0.0 })
    }
}

fn score_block(
    models: &[&dyn Recommender],
    block: &[&Query],
    is_candidate: &[bool],
    n_videos: usize,
) -> (Vec<PoolOfOne>, Vec<f64>) {
    let asked: Vec<_> = block
        .iter()
        .map(|query| (&query.history, Context { now: query.at, user: Some(query.user), seed: 0 }))
        .collect();
    let mut deviations = vec![0.0; models.len()];
    let mut stats = vec![vec![(0.0, 1.0); block.len()]; models.len()];
    let scores: Vec<Matrix> = models
        .iter()
        .enumerate()
        .map(|(at, model)| {
            let mut scores = Matrix::zeros(block.len(), model.n_videos());
            model.score_batch(&asked, &mut scores);
            for (row, stat) in stats[at].iter_mut().enumerate() {
                *stat = mean_and_deviation(scores.row(row));
                deviations[at] += f64::from(stat.1);
            }
            scores
        })
        .collect();
    let mut masked = vec![f32::NEG_INFINITY; n_videos];
    let pools = block
        .iter()
        .enumerate()
        .map(|(row, query)| {
            let mut pool: Vec<u32> = Vec::new();
            for scores in &scores {
                let scores = scores.row(row);
                for (video, score) in scores.iter().enumerate() {
                    masked[video] = if is_candidate[video] { *score } else { f32::NEG_INFINITY };
                }
                query.masked.iter().for_each(|&video| masked[video as usize] = f32::NEG_INFINITY);
                pool.extend(top_k(&masked[..scores.len()], POOL));
            }
            pool.sort_unstable();
            pool.dedup();
            let mut of_models = Vec::with_capacity(models.len() * pool.len());
            for (model, scores) in scores.iter().enumerate() {
                let (mean, deviation) = stats[model][row];
                let z = |&video: &u32| (scores.row(row)[video as usize] - mean) / (deviation + 1e-9);
                of_models.extend(pool.iter().map(z));
            }
            let relevant_at = query
                .relevant
                .iter()
                .filter_map(|video| pool.binary_search(video).ok().map(|at| at as u32))
                .collect();
            PoolOfOne {
                scores: of_models,
                n_pool: pool.len(),
                relevant_at,
                ideal: ideal(query.relevant.len(), DEPTH),
            }
        })
        .collect();
    (pools, deviations)
}

/// HR@10 + NDCG@10 of one model on validation, pessimistic ties: what single settings are chosen by.
pub(crate) fn validation_score(model: &dyn Recommender, questions: &[Query], candidates: &[u32]) -> f64 {
    let (hit, ndcg) = Pool::new(&[model], questions, candidates).measure(&[1.0]);
    hit + ndcg
}
