//! Yes or no, from a logit.

use upnext_math::exp::{exp, sigmoid};

/// `log(1 + e^x)` without overflow.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + exp(-x.abs()).ln_1p()
}

/// `-label · log σ(x) - (1 - label) · log(1 - σ(x))` and its slope; a label may lie between 0 and 1.
pub fn binary(logit: f32, label: f32) -> (f32, f32) {
    (softplus(logit) - label * logit, sigmoid(logit) - label)
}

/// The power of gBCE's positive: `α (t (1 - 1/α) + 1/α)`, where `α` is the share of videos that are sampled and `t` from
/// 0 (plain cross-entropy) to 1 (calibrated as a full softmax) (Petrov & Macdonald 2023).
pub fn generalised_beta(n_negatives: usize, n_videos: usize, t: f32) -> f32 {
    let alpha = n_negatives as f32 / n_videos.saturating_sub(1).max(1) as f32;
    alpha * (t * (1.0 - 1.0 / alpha) + 1.0 / alpha)
}

/// gBCE: `-β log σ(x)` for a positive, `-log(1 - σ(x))` for a negative, and the slope (Petrov & Macdonald 2023).
pub fn generalised_binary(logit: f32, is_positive: bool, beta: f32) -> (f32, f32) {
    match is_positive {
        true => (beta * softplus(-logit), -beta * sigmoid(-logit)),
        false => (softplus(logit), sigmoid(logit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_examples_and_slopes() {
        assert!((binary(0.0, 1.0).0 - 2_f32.ln()).abs() < 1e-6);
        assert!((binary(30.0, 0.0).0 - 30.0).abs() < 1e-4 && binary(-80.0, 1.0).0.is_finite());
        // t of the way from 1 to the share.
        let alpha = 256.0 / 3_705.0;
        assert!((generalised_beta(256, 3_706, 0.75) - (0.75 * (alpha - 1.0) + 1.0)).abs() < 1e-6);
        assert_eq!(generalised_beta(256, 3_706, 0.0), 1.0);
        for x in [-3.0, -0.2, 0.0, 1.0, 4.0_f32] {
            let slope = |of: &dyn Fn(f32) -> f32| (of(x + 0.01) - of(x - 0.01)) / 0.02;
            for label in [0.0, 0.3, 1.0] {
                assert!((slope(&|x| binary(x, label).0) - binary(x, label).1).abs() < 1e-3);
            }
            for is_positive in [true, false] {
                let of = |x| generalised_binary(x, is_positive, 0.4);
                assert!((slope(&|x| of(x).0) - of(x).1).abs() < 1e-3);
            }
        }
        let (plain, general) = (binary(0.7, 1.0), generalised_binary(0.7, true, 1.0));
        assert!((plain.0 - general.0).abs() < 1e-6 && (plain.1 - general.1).abs() < 1e-6);
    }
}
