//! At most so many of one category, and of one author.

use std::collections::HashMap;

use crate::pipeline::{Reranker, StageError};
use crate::{Candidate, Query};

/// Fills places in the plain order, holding back what belongs to a group that already has its cap. `groups` are those
/// of each candidate, best first: numbers below the length of `cap`, each once. Where nothing that fits is left, every
/// cap rises by one, so lists are full; a candidate without groups always fits.
///
/// Costs `n` looks at a candidate's groups for each rise. Caps of at least `places` give back the plain order.
///
/// Returns the positions of the picked, at most `places`.
pub fn caps(groups: &[Vec<u32>], cap: &[usize], places: usize) -> Vec<usize> {
    let places = places.min(groups.len());
    let mut count = vec![0usize; cap.len()];
    let mut left: Vec<usize> = (0..groups.len()).collect();
    let mut picked = Vec::with_capacity(places);
    for rise in 0.. {
        if picked.len() == places {
            break;
        }
        // What is held back in a round stays so until the caps rise: counts only grow.
        left.retain(|&at| {
            let fits = groups[at].iter().all(|&group| count[group as usize] < cap[group as usize] + rise);
            if picked.len() == places || !fits {
                return true;
            }
            groups[at].iter().for_each(|&group| count[group as usize] += 1);
            picked.push(at);
            false
        });
    }
    picked
}

/// The re-rank by caps.
pub struct Caps {
    /// Most videos of one category.
    pub of_category: usize,
    /// Most videos of one author.
    pub of_author: usize,
    /// Kinds of label that are categories: `genre` in `genre:Comedy`.
    pub category_kinds: Vec<String>,
    /// Kinds of label that name an author, where no creator is known: `director`.
    pub author_kinds: Vec<String>,
    /// The best so many candidates take part.
    pub pool: usize,
}

impl Reranker for Caps {
    fn name(&self) -> &str {
        "caps"
    }

    fn rerank(&self, query: &Query, ranked: &[Candidate], places: usize) -> Result<Vec<usize>, StageError> {
        let pool = &ranked[..ranked.len().min(self.pool)];
        // A request that asks for the plain ranking gets it; there is nothing between that and the caps.
        if query.request.lambda.is_some_and(|lambda| lambda >= 1.0) {
            return Ok((0..pool.len().min(places)).collect());
        }
        let (mut numbers, mut cap) = (HashMap::new(), Vec::new());
        let groups: Vec<Vec<u32>> = pool
            .iter()
            .map(|candidate| {
                let row = candidate.row();
                let categories = query.stock.genres(row, &self.category_kinds);
                let authors = query.stock.authors(row, &self.author_kinds);
                let categories = categories.into_iter().map(|name| (0, name, self.of_category));
                let authors = authors.into_iter().map(|name| (1, name, self.of_author));
                let mut groups: Vec<u32> = categories
                    .chain(authors)
                    .map(|(kind, name, most)| {
                        *numbers.entry((kind, name)).or_insert_with(|| {
                            cap.push(most);
                            cap.len() as u32 - 1
                        })
                    })
                    .collect();
                groups.sort_unstable();
                groups.dedup();
                groups
            })
            .collect();
        Ok(caps(&groups, &cap, places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_third_comedy_waits_until_nothing_else_is_left() {
        let (comedy, drama) = (0, 1);
        let groups = [vec![comedy], vec![comedy], vec![comedy], vec![drama], vec![]];
        assert_eq!(caps(&groups, &[2, 2], 5), [0, 1, 3, 4, 2]);
        assert_eq!(caps(&groups, &[1, 1], 5), [0, 3, 4, 1, 2]);
        assert_eq!(caps(&groups, &[5, 5], 5), [0, 1, 2, 3, 4]);
        assert_eq!(caps(&[], &[], 3), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn each_place_goes_to_the_first_that_asks_for_the_smallest_rise(
            groups in prop::collection::vec(prop::collection::btree_set(0..6u32, 0..4), 0..24),
            cap in prop::collection::vec(1..5usize, 6),
        ) {
            let groups: Vec<Vec<u32>> = groups.into_iter().map(|of| of.into_iter().collect()).collect();
            let n = groups.len();
            let mut plain: Vec<usize> = Vec::new();
            while plain.len() < n {
                let rise = |at: &usize| groups[*at].iter().map(|&group| {
                    let shown = plain.iter().filter(|&&p| groups[p].contains(&group)).count();
                    (shown + 1).saturating_sub(cap[group as usize])
                }).max().unwrap_or(0);
                let best = (0..n).filter(|at| !plain.contains(at)).min_by_key(|at| (rise(at), *at));
                plain.extend(best);
            }
            prop_assert_eq!(&caps(&groups, &cap, n), &plain);
            // The first places do not depend on how many are asked for, and wide caps change nothing.
            prop_assert_eq!(&caps(&groups, &cap, n / 2)[..], &plain[..n / 2]);
            prop_assert_eq!(caps(&groups, &[n.max(1); 6], n), (0..n).collect::<Vec<_>>());
        }
    }
}
