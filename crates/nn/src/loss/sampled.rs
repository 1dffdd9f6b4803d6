//! Cross-entropy over a target and sampled others (Bengio & Senécal 2008), corrected for how likely each was sampled
//! (Yi et al. 2019), without those that happen to be the target.

use upnext_math::Matrix;
use upnext_math::dot::{add_scaled, dot};
use upnext_math::exp::zip_in_place;
use upnext_math::linalg::{Accumulate, Precision, View, ViewMut, multiply};

use super::softmax::softmax_gradient;

/// What rows are compared with: drawn from the catalogue, or the targets of the batch themselves, or both, one after
/// another.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    /// `(candidates, dimension)`.
    pub vectors: &'a Matrix,
    /// Which video each is.
    pub ids: &'a [u32],
    /// The logarithm of how likely each was drawn, up to a constant; zeros correct nothing.
    pub log_q: &'a [f32],
}

/// A sampled cross-entropy and what it leaves behind.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// The weighted sum over rows, in nats.
    pub loss: f64,
    /// The gradient of the rows.
    pub of_rows: Matrix,
    /// The gradient of their targets' vectors.
    pub of_targets: Matrix,
    /// The gradient of the candidates' vectors.
    pub of_candidates: Matrix,
}

/// For each row `x` with target `t`: `-log(exp(x · t) / (exp(x · t) + Σ_j exp(x · c_j - log q_j)))`, times its weight.
/// Candidates that are the target are left out. The target's own logit is not corrected (Khrylchenko et al. 2025).
/// Logits are multiplied by `scale`, one over the temperature.
///
/// # Panics
/// If there are not as many targets, ids and weights as rows.
pub fn sampled_softmax(
    rows: &Matrix,
    (targets, ids, weights): (&Matrix, &[u32], &[f32]),
    candidates: Candidates,
    scale: f32,
    precision: Precision,
) -> Sampled {
    let Candidates { vectors, ids: candidate_ids, log_q } = candidates;
    assert!(targets.n_rows() == rows.n_rows() && ids.len() == rows.n_rows(), "a target for each row");
    let (n, d, m) = (rows.n_rows(), rows.n_columns(), vectors.n_rows());
    // The target's own logit stands before those of the candidates.
    let mut logits = Matrix::zeros(n, m + 1);
    if n > 0 {
        let of_candidates = ViewMut::new(&mut logits.values_mut()[1..], n, m, m + 1);
        multiply(of_candidates, Accumulate::Replace, rows.into(), View::from(vectors).t(), scale, precision);
    }
    let zeros = || Matrix::zeros(n, d);
    let (mut of_rows, mut of_targets, mut loss) = (zeros(), zeros(), 0.0);
    let mut by_id: Vec<(u32, usize)> = candidate_ids.iter().copied().zip(0..).collect();
    by_id.sort_unstable();
    let is_corrected = log_q.iter().any(|&x| x != 0.0);
    for row in 0..n {
        let (x, target, weight) = (rows.row(row), targets.row(row), weights[row]);
        let logits = logits.row_mut(row);
        logits[0] = scale * dot(x, target);
        if is_corrected {
            zip_in_place(&mut logits[1..], log_q, |logit, log_q| logit - log_q);
        }
        let hits = &by_id[by_id.partition_point(|&(id, _)| id < ids[row])..];
        let n_hits = hits.partition_point(|&(id, _)| id == ids[row]);
        hits[..n_hits].iter().for_each(|&(_, at)| logits[1 + at] = f32::NEG_INFINITY);
        loss += f64::from(weight) * softmax_gradient(logits, 0, weight);
        // Of minus infinity the exponential leaves e^-87.
        hits[..n_hits].iter().for_each(|&(_, at)| logits[1 + at] = 0.0);
        let of_logit = scale * logits[0];
        add_scaled(of_rows.row_mut(row), of_logit, target);
        add_scaled(of_targets.row_mut(row), of_logit, x);
    }
    let mut of_candidates = Matrix::zeros(m, d);
    if n > 0 {
        let of_logits = View::new(&logits.values()[1..], n, m, m + 1);
        multiply(&mut of_rows, Accumulate::Add, of_logits, vectors.into(), scale, precision);
        multiply(&mut of_candidates, Accumulate::Replace, of_logits.t(), rows.into(), scale, precision);
    }
    Sampled { loss, of_rows, of_targets, of_candidates }
}

/// [`sampled_softmax`] of rows whose targets are the first candidates, in their order, each with the same weight; the loss, and
/// the gradients of rows and of candidates.
///
/// # Panics
/// If there are fewer candidates than rows.
pub fn in_batch_softmax(
    (rows, weight): (&Matrix, f32),
    candidates: Candidates,
    scale: f32,
    precision: Precision,
) -> (f64, Matrix, Matrix) {
    let (n, d) = (rows.n_rows(), rows.n_columns());
    let targets = Matrix::from_rows(n, d, candidates.vectors.values()[..n * d].to_vec());
    let weights = vec![weight; n];
    let found =
        sampled_softmax(rows, (&targets, &candidates.ids[..n], &weights), candidates, scale, precision);
    let mut of_candidates = found.of_candidates;
    add_scaled(&mut of_candidates.values_mut()[..n * d], 1.0, found.of_targets.values());
    (found.loss, found.of_rows, of_candidates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_close, difference, input};
    use crate::loss::{Table, softmax};

    const IDS: [u32; 3] = [0, 1, 4];
    const WEIGHTS: [f32; 3] = [1.0, 0.5, 2.0];

    #[test]
    fn with_every_other_video_as_candidate_it_is_the_full_softmax() {
        let (rows, table) = (input(3, 4, 1), input(6, 4, 2));
        let targets =
            Matrix::from_rows(3, 4, IDS.iter().flat_map(|&id| table.row(id as usize).to_vec()).collect());
        let all: Vec<u32> = (0..6).collect();
        let candidates = Candidates { vectors: &table, ids: &all, log_q: &[0.0; 6] };
        let found = sampled_softmax(&rows, (&targets, &IDS, &WEIGHTS), candidates, 1.0, Precision::F32);
        let mut of_table = Matrix::zeros(6, 4);
        let full = softmax(&rows, &Table::new(&table, Precision::F32), (&IDS, &WEIGHTS), &mut of_table);
        assert!((found.loss - full.loss).abs() < 1e-5);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
        assert!(found.of_rows.values().iter().zip(full.of_rows.values()).all(close));
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        let (mut rows, mut targets, mut vectors) = (input(3, 4, 1), input(3, 4, 2), input(5, 4, 3));
        let (ids, log_q) = ([4, 9, 1, 0, 4], [-1.0, -2.0, -0.5, -3.0, 0.0]);
        let of = |rows: &Matrix, targets: &Matrix, vectors: &Matrix| {
            let candidates = Candidates { vectors, ids: &ids, log_q: &log_q };
            sampled_softmax(rows, (targets, &IDS, &WEIGHTS), candidates, 1.7, Precision::F32)
        };
        let found = of(&rows, &targets, &vectors);
        for at in 0..12 {
            let numeric = difference(&mut rows, at, |rows| of(rows, &targets, &vectors).loss);
            assert_close(found.of_rows.values()[at], numeric, || format!("row {at}"));
            let numeric = difference(&mut targets, at, |targets| of(&rows, targets, &vectors).loss);
            assert_close(found.of_targets.values()[at], numeric, || format!("target {at}"));
        }
        for at in 0..20 {
            let numeric = difference(&mut vectors, at, |vectors| of(&rows, &targets, vectors).loss);
            assert_close(found.of_candidates.values()[at], numeric, || format!("candidate {at}"));
        }
    }

    #[test]
    fn a_likely_candidate_counts_for_less() {
        let (rows, targets, vectors) = (input(3, 4, 1), input(3, 4, 2), input(2, 4, 3));
        let of = |log_q: [f32; 2]| {
            let candidates = Candidates { vectors: &vectors, ids: &[7, 8], log_q: &log_q };
            sampled_softmax(&rows, (&targets, &IDS, &WEIGHTS), candidates, 1.0, Precision::F32).loss
        };
        assert!(of([2.0, 2.0]) < of([0.0, 0.0]));
    }
}
