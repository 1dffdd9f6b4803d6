//! What belongs together is nearer than what does not.

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
