//! Less for the next video of one author.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pipeline::{Scorer, StageError, part};
use crate::{Candidate, Query};

/// The k-th best video of an author (from 0) keeps `(1 - floor) * decay^k + floor` of its score, which is counted from the
/// worst of the list, since scores may be negative. What has no author keeps all; of several, the one shown most decides.
pub struct AuthorDecay {
    decay: f64,
    floor: f64,
    kinds: Vec<String>,
    name: Arc<str>,
}

impl AuthorDecay {
    /// A decay of 1 changes nothing; `kinds` of label name an author where no creator is known.
    pub fn new(decay: f64, floor: f64, kinds: Vec<String>) -> Self {
        Self { decay, floor, kinds, name: part("author") }
    }
}

impl Scorer for AuthorDecay {
    fn name(&self) -> &str {
        "author"
    }

    fn score(&self, query: &Query, candidates: &mut [Candidate]) -> Result<(), StageError> {
        if self.decay >= 1.0 {
            return Ok(());
        }
        let least = candidates.iter().map(Candidate::score).fold(f64::INFINITY, f64::min);
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&candidates[a], &candidates[b]);
            b.score().total_cmp(&a.score()).then(a.row().cmp(&b.row()))
        });
        let mut shown: HashMap<&str, i32> = HashMap::new();
        for at in order {
            let authors = query.stock.authors(candidates[at].row(), &self.kinds);
            let k = authors.iter().filter_map(|author| shown.get(author)).copied().max().unwrap_or(0);
            if k > 0 {
                let kept = (1.0 - self.floor) * self.decay.powi(k) + self.floor;
                let above = candidates[at].score() - least;
                candidates[at].add(&self.name, (kept - 1.0) * above);
            }
            authors.into_iter().for_each(|author| *shown.entry(author).or_default() += 1);
        }
        Ok(())
    }
}
