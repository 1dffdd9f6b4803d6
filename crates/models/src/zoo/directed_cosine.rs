//! Directed cosine: co-occurrence with direction, normalised like a cosine.

use upnext_math::Sparse;

use super::linear::{Linear, Weights};
use super::markov::transitions;
use crate::{FitError, Training};

/// `C = A + back A'` with gaps up to `gaps` weighted `g^-power`.
pub(crate) fn counts(training: &Training, gaps: usize, power: f32, back: f32) -> Sparse {
    let sequences = training.interactions.sequences();
    let forward = transitions(&sequences, training.interactions.n_videos(), gaps, power);
    let backward = forward.transpose();
    forward.plus(back, &backward)
}

/// `(n_i + shrink)^-from C_ij (n_j + shrink)^-to`, with `n` the row sums of `C` for both indices.
pub(crate) fn cosine(counts: Sparse, from: f32, to: f32, shrink: f32) -> Sparse {
    let sums = counts.row_sums();
    let rows: Vec<f32> = sums.iter().map(|n| (n + shrink).powf(-from)).collect();
    let columns: Vec<f32> = sums.iter().map(|n| (n + shrink).powf(-to)).collect();
    counts.map(|row, column, value| rows[row] * value * columns[column as usize])
}

/// The weights: gaps 1 to 10 as `g^-0.7`, 0.4 of the way back, `(n + 3)` to -0.5 and -0.3.
pub(crate) fn weights(training: &Training) -> Sparse {
    cosine(counts(training, 10, 0.7, 0.4), 0.5, 0.3, 3.0)
}

/// Directed cosine over the last 20 with decay 0.7.
pub(super) fn directed_cosine(training: &Training) -> Result<Linear, FitError> {
    training.needs_order("directed-cosine")?;
    Ok(Linear {
        name: "directed-cosine".into(),
        decay: 0.7,
        last: 20,
        weights: Weights::Sparse(weights(training)),
    })
}

/// Directed cosine with entries times `1 + 3 S_ij`, where `S` is the likeness in content of 0.25 and more.
pub(super) fn reweighted(training: &Training, likeness: &Sparse) -> Result<Linear, FitError> {
    let name = "directed-cosine-content";
    training.needs_order(name)?;
    let weights = weights(training).map(|row, column, value| value * (1.0 + 3.0 * likeness.get(row, column)));
    Ok(Linear { name: name.into(), decay: 0.7, last: 20, weights: Weights::Sparse(weights) })
}
