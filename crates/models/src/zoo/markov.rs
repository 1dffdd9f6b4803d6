//! Counts of what follows what.

use upnext_math::{Sparse, sum_equal_columns};

use super::linear::{Linear, Weights};
use crate::{FitError, Training};

/// Transitions `A`, `(videos, videos)`: for each gap `g` up to `gaps`, an earlier video's row gains `g^-power`
/// in the later video's column.
pub(crate) fn transitions(sequences: &[Vec<u32>], n_videos: usize, gaps: usize, power: f32) -> Sparse {
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n_videos];
    // A row is summed up when it has doubled, so memory follows the distinct transitions, not the events.
    let mut summed_at = vec![SUMMED_AT_MIN; n_videos];
    let weights: Vec<f32> = (1..=gaps).map(|gap| (gap as f32).powf(-power)).collect();
    for sequence in sequences {
        for (at, &earlier) in sequence.iter().enumerate() {
            for (&later, &weight) in sequence[at + 1..].iter().zip(&weights) {
                rows[earlier as usize].push((later, weight));
            }
            let (row, limit) = (&mut rows[earlier as usize], &mut summed_at[earlier as usize]);
            if row.len() >= *limit {
                sum_equal_columns(row);
                *limit = (2 * row.len()).max(SUMMED_AT_MIN);
            }
        }
    }
    Sparse::from_rows(n_videos, rows)
}

const SUMMED_AT_MIN: usize = 4_096;

/// Rows divided by their sum plus `shrink`.
pub(crate) fn normalise_rows(counts: Sparse, shrink: f32) -> Sparse {
    let sums = counts.row_sums();
    counts.map(|row, _, value| value / (sums[row] + shrink))
}

/// Markov chain over gaps 1 to 3 weighted `1/gap`, rows shrunk by 5, the last 5 videos with decay 0.6.
pub(super) fn markov(training: &Training) -> Result<Linear, FitError> {
    chain(training, "markov", 3, 5.0, 0.6, 5)
}

/// First-order Markov chain: the next video after the last one, rows shrunk by 2.
pub(super) fn markov1(training: &Training) -> Result<Linear, FitError> {
    chain(training, "markov-1", 1, 2.0, 1.0, 1)
}

fn chain(
    training: &Training,
    name: &str,
    gaps: usize,
    shrink: f32,
    decay: f32,
    last: usize,
) -> Result<Linear, FitError> {
    training.needs_order(name)?;
    let sequences = training.interactions.sequences();
    let counts = transitions(&sequences, training.interactions.n_videos(), gaps, 1.0);
    let weights = Weights::Sparse(normalise_rows(counts, shrink));
    Ok(Linear { name: name.into(), decay, last, weights })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_of_two_counts_half() {
        let counts = transitions(&[vec![0, 1, 2], vec![0, 1]], 3, 3, 1.0);
        assert_eq!((counts.get(0, 1), counts.get(0, 2), counts.get(1, 2)), (2.0, 0.5, 1.0));
        assert_eq!(counts.get(1, 0), 0.0);
        let many = transitions(&vec![vec![0, 1, 2]; 10_000], 3, 1, 1.0);
        assert_eq!((many.get(0, 1), many.get(1, 2)), (10_000.0, 10_000.0));
        assert_eq!(normalise_rows(counts, 5.0).get(0, 1), 2.0 / 7.5);
    }
}
