//! One question and its answer: what every metric looks at.

/// One user, the list that was made, and the truth.
///
/// Measures of accuracy read `ranks`, so whoever ranked decides how equal scores count (pessimistic: a
/// relevant video stands behind all that score the same), and says so in the [`Protocol`](crate::Protocol).
/// Measures beyond accuracy read `list`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// The user's row.
    pub user: u32,
    /// The top of the ranking, best first; ties were already broken by whoever made the list.
    pub list: Vec<u32>,
    /// The relevant videos, sorted, each once; at least one.
    pub relevant: Vec<u32>,
    /// How relevant each is, parallel to `relevant`; `None` when all are equally so. A gain below 0, or not
    /// finite, counts as 0.
    pub gains: Option<Vec<f32>>,
    /// The 0-based rank of each relevant video among the candidates, parallel to `relevant`; `u32::MAX` when
    /// it is not a candidate, which counts as a miss.
    pub ranks: Vec<u32>,
    /// How many candidates were ranked.
    pub n_candidates: u32,
}

impl Case {
    /// The rank that says: not a candidate.
    pub const MISSING: u32 = u32::MAX;

    /// A case from a list alone: ranks are positions in the list, and what is not in it is a miss.
    ///
    /// Right for every measure at a `k` up to the length of the list; [`auc`](crate::metric::Kind::Auc) needs
    /// ranks among all candidates. `relevant` may come unsorted and with repeats.
    pub fn from_list(user: u32, list: Vec<u32>, mut relevant: Vec<u32>, n_candidates: u32) -> Self {
        relevant.sort_unstable();
        relevant.dedup();
        let mut ranks = vec![Self::MISSING; relevant.len()];
        for (rank, video) in list.iter().enumerate() {
            if let Ok(at) = relevant.binary_search(video) {
                // A list that repeats a video is judged by its first place.
                ranks[at] = ranks[at].min(rank as u32);
            }
        }
        Self { user, list, relevant, gains: None, ranks, n_candidates }
    }

    /// The gain of the relevant video at a position: 1 where none were given.
    pub fn gain(&self, at: usize) -> f64 {
        let Some(gains) = &self.gains else { return 1.0 };
        gains.get(at).map_or(0.0, |&gain| if gain.is_finite() { f64::from(gain.max(0.0)) } else { 0.0 })
    }

    /// The first `k` of the list, or all where it is shorter.
    pub fn top(&self, k: usize) -> &[u32] {
        &self.list[..k.min(self.list.len())]
    }

    /// Whether a video is relevant.
    pub fn is_relevant(&self, video: u32) -> bool {
        self.relevant.binary_search(&video).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_positions_in_the_list_and_what_is_not_in_it_is_a_miss() {
        let case = Case::from_list(3, vec![7, 1, 2, 7], vec![9, 7, 2, 2], 10);
        assert_eq!(case.relevant, [2, 7, 9]);
        assert_eq!(case.ranks, [2, 0, Case::MISSING]);
    }

    #[test]
    fn a_gain_that_is_no_gain_counts_as_nothing() {
        let gains = Some(vec![2.0, -1.0, f32::NAN]);
        let case = Case { gains, ..Case::from_list(0, vec![], vec![1, 2, 3], 3) };
        assert_eq!([0, 1, 2, 3].map(|at| case.gain(at)), [2.0, 0.0, 0.0, 0.0]);
    }
}
