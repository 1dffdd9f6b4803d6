//! From a model and questions to the cases that `eval` measures.

use rayon::prelude::*;
use upnext_data::Query;
use upnext_eval::{Case, Ties};
use upnext_math::seed::mix;
use upnext_math::{Matrix, top_k};
use upnext_models::{Context, Recommender};

/// Questions scored at once by one thread: memory grows with this, the catalogue and the threads, never with
/// the number of users.
const BLOCK: usize = 32;

/// What is ranked, how deep, and how equal scores count.
pub(crate) struct Ranking<'a> {
    /// Rows that may be ranked, sorted.
    pub(crate) candidates: &'a [u32],
    /// Length of the lists.
    pub(crate) depth: usize,
    /// How a relevant video ranks among equal scores.
    pub(crate) ties: Ties,
    /// For ties at random, and for models that draw.
    pub(crate) seed: u64,
}

/// Asks a model every question. `done` is told of each block of questions that is answered.
pub(crate) fn cases(
    model: &dyn Recommender,
    questions: &[Query],
    ranking: &Ranking,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<Case> {
    let score = |block: &[Query], scores: &mut Matrix| of_model(model, block, ranking, scores);
    ask(model.n_videos(), questions, ranking, done, score, |(query, scores, is_candidate)| {
        case(query, scores, is_candidate, ranking)
    })
}

/// The rows among which a question's wanted videos are ranked.
pub(crate) type PoolOf<'a> = dyn Fn(&Query) -> Vec<u32> + Sync + 'a;

/// The same for several sets of candidates at once: the cases of all candidates, then those of each of `pools`, which names the
/// rows that one question ranks.
pub(crate) fn cases_of_pools(
    model: &dyn Recommender,
    questions: &[Query],
    ranking: &Ranking,
    pools: &[&PoolOf<'_>],
    done: &(dyn Fn(usize) + Sync),
) -> Vec<Vec<Case>> {
    let score = |block: &[Query], scores: &mut Matrix| of_model(model, block, ranking, scores);
    let answers = ask(model.n_videos(), questions, ranking, done, score, |(query, scores, is_candidate)| {
        let given = if pools.is_empty() { Vec::new() } else { scores.to_vec() };
        let mut cases = vec![case(query, scores, is_candidate, ranking)];
        cases.extend(pools.iter().map(|pool| {
            let rows = pool(query);
            let (mut of_pool, mut within) = (vec![f32::NEG_INFINITY; given.len()], vec![false; given.len()]);
            for &row in &rows {
                (of_pool[row as usize], within[row as usize]) = (given[row as usize], true);
            }
            case(query, &mut of_pool, &within, &Ranking { candidates: &rows, ..*ranking })
        }));
        cases
    });
    let mut by_pool: Vec<Vec<Case>> = vec![Vec::with_capacity(answers.len()); pools.len() + 1];
    for cases in answers {
        by_pool.iter_mut().zip(cases).for_each(|(of_pool, case)| of_pool.push(case));
    }
    by_pool
}

/// The same with the scores of what each list holds, best first: what a re-rank chooses from.
pub(crate) fn pools(
    model: &dyn Recommender,
    questions: &[Query],
    ranking: &Ranking,
) -> Vec<(Case, Vec<f64>)> {
    let score = |block: &[Query], scores: &mut Matrix| of_model(model, block, ranking, scores);
    ask(model.n_videos(), questions, ranking, &|_| {}, score, |(query, scores, is_candidate)| {
        let given = scores.to_vec();
        let case = case(query, scores, is_candidate, ranking);
        let of_list = case.list.iter().map(|&row| f64::from(given[row as usize])).collect();
        (case, of_list)
    })
}

/// Cases of what is no model: one that scores a question by what it alone knows.
pub(crate) fn cases_by(
    n_videos: usize,
    questions: &[Query],
    ranking: &Ranking,
    score: impl Fn(&Query, &mut [f32]) + Sync,
) -> Vec<Case> {
    let score = |block: &[Query], scores: &mut Matrix| {
        block.iter().enumerate().for_each(|(at, query)| score(query, scores.row_mut(at)));
    };
    ask(n_videos, questions, ranking, &|_| {}, score, |(query, scores, is_candidate)| {
        case(query, scores, is_candidate, ranking)
    })
}

fn of_model(model: &dyn Recommender, block: &[Query], ranking: &Ranking, scores: &mut Matrix) {
    let context = |query: &Query| Context { now: query.at, user: Some(query.user), seed: ranking.seed };
    let asked: Vec<_> = block.iter().map(|query| (&query.history, context(query))).collect();
    model.score_batch(&asked, scores);
}

/// Scores block after block of questions, on all threads, and makes an answer of each question, its scores, and which
/// rows may be ranked.
fn ask<A: Send>(
    n_videos: usize,
    questions: &[Query],
    ranking: &Ranking,
    done: &(dyn Fn(usize) + Sync),
    score: impl Fn(&[Query], &mut Matrix) + Sync,
    answer: impl Fn((&Query, &mut [f32], &[bool])) -> A + Sync,
) -> Vec<A> {
    let mut is_candidate = vec![false; n_videos];
    ranking.candidates.iter().for_each(|&row| is_candidate[row as usize] = true);
    questions
        .par_chunks(BLOCK)
        .flat_map_iter(|block| {
            let mut scores = Matrix::zeros(block.len(), n_videos);
            score(block, &mut scores);
            let answers: Vec<A> = block
                .iter()
                .enumerate()
                .map(|(at, query)| answer((query, scores.row_mut(at), &is_candidate)))
                .collect();
            done(block.len());
            answers
        })
        .collect()
}

fn case(query: &Query, scores: &mut [f32], is_candidate: &[bool], ranking: &Ranking) -> Case {
    for (score, &candidate) in scores.iter_mut().zip(is_candidate) {
        if !candidate {
            *score = f32::NEG_INFINITY;
        }
    }
    let mut n_masked = 0;
    for &row in &query.masked {
        n_masked += usize::from(is_candidate[row as usize]);
        scores[row as usize] = f32::NEG_INFINITY;
    }
    let of_relevant: Vec<f32> = query.relevant.iter().map(|&row| scores[row as usize]).collect();
    let mut ranks = ranks(&query.relevant, &of_relevant, scores, ranking, query.user);
    // The others in their order; then each relevant one is put at its rank.
    query.relevant.iter().for_each(|&row| scores[row as usize] = f32::NEG_INFINITY);
    let mut others = top_k(scores, ranking.depth).into_iter();
    let mut list = Vec::with_capacity(ranking.depth);
    let mut placed: Vec<(u32, u32)> = ranks.iter().copied().zip(query.relevant.iter().copied()).collect();
    placed.sort_unstable();
    let mut placed = placed.into_iter().peekable();
    while list.len() < ranking.depth {
        if let Some((_, row)) = placed.next_if(|&(rank, _)| rank as usize == list.len()) {
            list.push(row);
        } else if let Some(row) = others.next() {
            list.push(row);
        } else {
            break;
        }
    }
    for (rank, score) in ranks.iter_mut().zip(&of_relevant) {
        if *score == f32::NEG_INFINITY {
            *rank = Case::MISSING;
        }
    }
    let n_candidates = (ranking.candidates.len() - n_masked) as u32;
    Case { user: query.user, list, relevant: query.relevant.clone(), gains: None, ranks, n_candidates }
}

/// The rank of each relevant video: how many others come before it. Relevant videos of one score stand in
/// their order, so that their ranks differ.
fn ranks(relevant: &[u32], of_relevant: &[f32], scores: &[f32], ranking: &Ranking, user: u32) -> Vec<u32> {
    const COUNT_UP_TO: usize = 16;
    let draw = |row: u32| mix(ranking.seed ^ mix((u64::from(user) << 32) | u64::from(row)));
    // Whether `other` of the same score stands before a relevant one.
    let before = |other: u32, row: u32| match ranking.ties {
        Ties::Pessimistic => relevant.binary_search(&other).is_err() || other < row,
        Ties::Random => draw(other) < draw(row),
        Ties::Row => other < row,
    };
    let sorted = (relevant.len() > COUNT_UP_TO).then(|| {
        let mut sorted: Vec<u32> =
            (0..scores.len() as u32).filter(|&row| scores[row as usize] > f32::NEG_INFINITY).collect();
        sorted.sort_unstable_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        sorted
    });
    relevant
        .iter()
        .zip(of_relevant)
        .map(|(&row, &score)| {
            if score == f32::NEG_INFINITY {
                return u32::MAX;
            }
            let tied_before = |other: &u32| *other != row && before(*other, row);
            let count = match &sorted {
                None => (0..)
                    .zip(scores)
                    .filter(|&(other, &s): &(u32, &f32)| s > score || (s == score && tied_before(&other)))
                    .count(),
                Some(sorted) => {
                    let first = sorted.partition_point(|&other| scores[other as usize] > score);
                    let tied = sorted[first..].iter().take_while(|&&other| scores[other as usize] == score);
                    first + tied.filter(|other| tied_before(other)).count()
                }
            };
            count as u32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::History;
    use upnext_models::zoo::{Kind, Zoo};

    /// A model with the scores we want: popularity of made-up pairs.
    fn popular(counts: &[usize]) -> std::sync::Arc<dyn Recommender> {
        use upnext_data::{Interaction, Interactions, Judgement, Order};
        let users = (0..counts.iter().copied().max().unwrap_or(0)).map(|user| {
            (0..counts.len() as u32)
                .filter(|&video| counts[video as usize] > user)
                .map(|video| Interaction {
                    video,
                    time: 0,
                    value: None,
                    judgement: Judgement::Positive,
                    actions: upnext_data::Actions::default(),
                })
                .collect()
        });
        let interactions = Interactions::from_users(counts.len(), users.collect());
        let training = upnext_models::Training::of(&interactions, Order::Sequence, 0);
        Zoo::new(training).fit(Kind::Popular, &[]).unwrap().model
    }

    fn ask(counts: &[usize], masked: &[u32], relevant: &[u32], candidates: &[u32], ties: Ties) -> Case {
        let query = Query {
            user: 0,
            history: History::default(),
            masked: masked.to_vec(),
            relevant: relevant.to_vec(),
            at: None,
        };
        let ranking = Ranking { candidates, depth: 3, ties, seed: 1 };
        cases(popular(counts).as_ref(), &[query], &ranking, &|_| {}).remove(0)
    }

    #[test]
    fn a_tied_target_stands_last_when_ties_are_pessimistic() {
        let case = ask(&[5, 3, 3, 3, 1], &[], &[1], &[0, 1, 2, 3, 4], Ties::Pessimistic);
        assert_eq!((case.list, case.ranks), (vec![0, 2, 3], vec![3]));
        let case = ask(&[5, 3, 3, 3, 1], &[], &[1], &[0, 1, 2, 3, 4], Ties::Row);
        assert_eq!((case.list, case.ranks), (vec![0, 1, 2], vec![1]));
    }

    #[test]
    fn masked_and_foreign_videos_are_not_ranked() {
        let case = ask(&[5, 4, 3, 2, 1], &[0], &[3], &[0, 1, 3, 4], Ties::Pessimistic);
        assert_eq!((case.list, case.ranks, case.n_candidates), (vec![1, 3, 4], vec![1], 3));
        let case = ask(&[5, 4, 3, 2, 1], &[0], &[2], &[0, 1, 3, 4], Ties::Pessimistic);
        assert_eq!(case.ranks, [Case::MISSING]);
    }

    #[test]
    fn a_pool_of_a_few_candidates_ranks_the_same_scores_higher() {
        // Video 5 is sixth of eight; among itself and three others it is second.
        let model = popular(&[9, 8, 7, 6, 5, 4, 3, 2]);
        let candidates: Vec<u32> = (0..8).collect();
        let query =
            Query { user: 0, history: History::default(), masked: vec![1], relevant: vec![5], at: None };
        let ranking = Ranking { candidates: &candidates, depth: 3, ties: Ties::Pessimistic, seed: 1 };
        let pools: [&PoolOf<'_>; 1] = [&|_| vec![3, 5, 6, 7]];
        let by_pool = cases_of_pools(model.as_ref(), &[query], &ranking, &pools, &|_| {});
        let told = |at: usize| (by_pool[at][0].ranks[0], by_pool[at][0].n_candidates);
        assert_eq!((told(0), told(1)), ((4, 7), (1, 4)), "the seen video 1 stands in nobody's way");
        assert_eq!(by_pool[1][0].list, [3, 5, 6]);
    }

    #[test]
    fn many_relevant_videos_rank_as_few_do() {
        let counts: Vec<usize> = (0..60).map(|v| (v * 7) % 13).collect();
        let relevant: Vec<u32> = (0..60).step_by(3).collect();
        let candidates: Vec<u32> = (0..60).collect();
        let all = ask(&counts, &[], &relevant, &candidates, Ties::Pessimistic);
        for (at, &row) in relevant.iter().enumerate() {
            let plain = (0..60u32).filter(|&other| {
                let (a, b) = (counts[other as usize], counts[row as usize]);
                a > b || (a == b && other != row && (!relevant.contains(&other) || other < row))
            });
            assert_eq!(all.ranks[at] as usize, plain.count());
        }
    }
}
