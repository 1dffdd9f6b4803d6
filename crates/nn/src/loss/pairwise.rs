//! What belongs together is nearer than what does not.

use upnext_math::Matrix;

use super::binary::generalised_binary;

/// BPR: `-log σ(positive - negative)` and its slope along the positive; along the negative it is the opposite (Rendle et
/// al. 2009).
pub fn bpr(positive: f32, negative: f32) -> (f32, f32) {
    generalised_binary(positive - negative, true, 1.0)
}

/// `weight · max(0, margin + |a - p|² - |a - n|²)` (Schroff et al. 2015); gradients are added to the three. Several
/// relations, such as the same genre and the same director, are several of these with weights of their own.
pub fn triplet(
    [anchor, positive, negative]: [&[f32]; 3],
    (margin, weight): (f32, f32),
    of: [&mut [f32]; 3],
) -> f32 {
    let square = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let loss = margin + square(anchor, positive) - square(anchor, negative);
    if loss <= 0.0 {
        return 0.0;
    }
    let [of_anchor, of_positive, of_negative] = of;
    for at in 0..anchor.len() {
        let (to_positive, to_negative) = (anchor[at] - positive[at], anchor[at] - negative[at]);
        of_anchor[at] += weight * 2.0 * (to_positive - to_negative);
        of_positive[at] -= weight * 2.0 * to_positive;
        of_negative[at] += weight * 2.0 * to_negative;
    }
    weight * loss
}

/// Three rows that a relation tells apart: the same genre, the same director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triplet {
    /// Which relation.
    pub relation: usize,
    /// The row that is asked.
    pub anchor: usize,
    /// One that has the relation to it.
    pub positive: usize,
    /// One that has not.
    pub negative: usize,
}

/// The sum of [`triplet`] over triplets of several relations, each with a margin and a weight of its own; the gradient of the
/// rows is added.
///
/// # Panics
/// If a triplet names a row or a relation that is not there.
pub fn multi_triplet(
    rows: &Matrix,
    triplets: &[Triplet],
    relations: &[(f32, f32)],
    of_rows: &mut Matrix,
) -> f64 {
    let d = rows.n_columns();
    let mut of = vec![0.0; 3 * d];
    let mut loss = 0.0;
    for one in triplets {
        of.fill(0.0);
        let (of_anchor, others) = of.split_at_mut(d);
        let (of_positive, of_negative) = others.split_at_mut(d);
        let places = [one.anchor, one.positive, one.negative];
        let of_three = [of_anchor, of_positive, of_negative];
        loss += f64::from(triplet(places.map(|place| rows.row(place)), relations[one.relation], of_three));
        for (place, of) in places.into_iter().zip(of.chunks_exact(d)) {
            crate::parameters::add(of_rows.row_mut(place), of);
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{assert_close, difference, input};

    #[test]
    fn worked_examples() {
        assert!((bpr(1.0, 1.0).0 - 2_f32.ln()).abs() < 1e-6 && (bpr(1.0, 1.0).1 + 0.5).abs() < 1e-6);
        let mut of = [[0.0; 1]; 3];
        let [a, p, n] = &mut of;
        // 0.5 + 1 - 4 is below zero: far enough apart.
        assert_eq!(triplet([&[0.0], &[1.0], &[2.0]], (0.5, 1.0), [a, p, n]), 0.0);
        assert_eq!(of, [[0.0]; 3]);
        let [a, p, n] = &mut of;
        assert_eq!(triplet([&[0.0], &[1.0], &[1.0]], (0.5, 2.0), [a, p, n]), 1.0);
        assert_eq!(of, [[0.0], [4.0], [-4.0]]);
    }

    #[test]
    fn several_relations_add_up_and_a_row_may_stand_in_many_triplets() {
        let mut rows = input(5, 3, 1);
        let triplet = |relation, anchor, positive, negative| Triplet { relation, anchor, positive, negative };
        let triplets = [triplet(0, 0, 1, 2), triplet(1, 0, 3, 4), triplet(1, 1, 0, 2)];
        let relations = [(9.0, 0.5), (7.0, 2.0)];
        let loss = |rows: &Matrix, of: &mut Matrix| multi_triplet(rows, &triplets, &relations, of);
        let mut of_rows = Matrix::zeros(5, 3);
        loss(&rows, &mut of_rows);
        for at in 0..15 {
            let numeric = difference(&mut rows, at, |rows| loss(rows, &mut Matrix::zeros(5, 3)));
            assert_close(of_rows.values()[at], numeric, || format!("number {at}"));
        }
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        let mut x = input(3, 4, 3);
        let mut of = vec![vec![0.0; 4]; 3];
        let loss = |x: &upnext_math::Matrix, of: &mut [Vec<f32>]| {
            let [a, p, n] = of else { panic!("three of them") };
            f64::from(triplet([x.row(0), x.row(1), x.row(2)], (9.0, 0.7), [a, p, n]))
        };
        loss(&x, &mut of);
        for at in 0..12 {
            let numeric = difference(&mut x, at, |x| loss(x, &mut vec![vec![0.0; 4]; 3]));
            assert_close(of[at / 4][at % 4], numeric, || format!("number {at}"));
        }
        for (positive, negative) in [(0.3, -1.0), (-2.0, 1.0)] {
            let numeric = (bpr(positive + 0.01, negative).0 - bpr(positive - 0.01, negative).0) / 0.02;
            assert!((bpr(positive, negative).1 - numeric).abs() < 1e-3);
        }
    }
}
