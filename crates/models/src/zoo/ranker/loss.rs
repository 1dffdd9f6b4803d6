//! Losses of a whole list: how likely the list puts what was wanted first, or what exchanging two places costs.

use serde::{Deserialize, Serialize};

/// What training makes small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListLoss {
    /// Cross-entropy of a softmax over the list with the gains as shares (ListNet's top one, Cao et al. 2007).
    Softmax,
    /// Pairs weighted by what exchanging them changes in NDCG (LambdaRank, Burges 2010; as a loss, Wang et al. 2018).
    Lambda,
}

impl ListLoss {
    /// The loss of one list times a weight; adds its gradient along the scores. A list in which nothing has a gain has none.
    pub(super) fn add(self, scores: &[f32], gains: &[f32], weight: f32, of_scores: &mut [f32]) -> f64 {
        match self {
            Self::Softmax => softmax(scores, gains, weight, of_scores),
            Self::Lambda => lambda(scores, gains, weight, of_scores),
        }
    }
}

/// `-Σ t_i ln p_i` with `p = softmax(scores)` and `t = gains / Σ gains`.
fn softmax(scores: &[f32], gains: &[f32], weight: f32, of_scores: &mut [f32]) -> f64 {
    let all: f32 = gains.iter().sum();
    if all <= 0.0 {
        return 0.0;
    }
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - most).exp()).sum();
    let mut loss = 0.0;
    for ((&score, &gain), of) in scores.iter().zip(gains).zip(of_scores) {
        let target = gain / all;
        loss += f64::from(weight * target) * f64::from(sum.ln() - (score - most));
        *of += weight * ((score - most).exp() / sum - target);
    }
    loss
}

/// `Σ |ΔNDCG_ij| ln(1 + e^(s_j - s_i))` over pairs where `i` has the larger gain, `ΔNDCG` by the present places.
fn lambda(scores: &[f32], gains: &[f32], weight: f32, of_scores: &mut [f32]) -> f64 {
    let discount = |place: usize| 1.0 / (place as f32 + 2.0).log2();
    let mut ideal = gains.to_vec();
    ideal.sort_unstable_by(|a, b| b.total_cmp(a));
    let best: f32 = ideal.iter().enumerate().map(|(place, gain)| gain * discount(place)).sum();
    if best <= 0.0 {
        return 0.0;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let mut discounts = vec![0.0; scores.len()];
    order.iter().enumerate().for_each(|(place, &at)| discounts[at] = discount(place));
    let mut loss = 0.0;
    for (i, &gain) in gains.iter().enumerate().filter(|&(_, &gain)| gain > 0.0) {
        for (j, &less) in gains.iter().enumerate().filter(|&(_, &less)| less < gain) {
            let change = weight * (gain - less) * (discounts[i] - discounts[j]).abs() / best;
            let apart = scores[i] - scores[j];
            // ln(1 + e^-x), without an overflow where x is far below 0.
            loss += f64::from(change) * f64::from((-apart.abs()).exp().ln_1p() + (-apart).max(0.0));
            let slope = change / (1.0 + apart.exp());
            of_scores[i] -= slope;
            of_scores[j] += slope;
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worked_example_of_each() {
        let mut of = [0.0; 2];
        // Of two alike the wanted one has half a chance.
        assert!((ListLoss::Softmax.add(&[1.0, 1.0], &[3.0, 0.0], 1.0, &mut of) - 2f64.ln()).abs() < 1e-6);
        assert_eq!(of, [-0.5, 0.5]);
        // It stands second; first it would bring 1 instead of 1 / log2(3).
        let mut of = [0.0; 2];
        let change = 1.0 - 1.0 / 3f64.log2();
        let loss = ListLoss::Lambda.add(&[0.0, 0.0], &[0.0, 2.0], 1.0, &mut of);
        assert!((loss - change * 2f64.ln()).abs() < 1e-6, "{loss}");
        assert!((f64::from(of[0]) - change / 2.0).abs() < 1e-6 && of[1] == -of[0]);
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        let (scores, gains) = ([0.3, -1.2, 0.9, 2.0, -0.4], [0.0, 2.0, 0.0, 1.0, 0.0]);
        for loss in [ListLoss::Softmax, ListLoss::Lambda] {
            let mut of = [0.0; 5];
            loss.add(&scores, &gains, 0.7, &mut of);
            for at in 0..5 {
                let moved = |by: f32| {
                    let mut scores = scores;
                    scores[at] += by;
                    loss.add(&scores, &gains, 0.7, &mut [0.0; 5])
                };
                let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((f64::from(of[at]) - numeric).abs() < 1e-3, "{loss:?} {at}: {} {numeric}", of[at]);
            }
        }
    }

    #[test]
    fn a_list_without_a_gain_teaches_nothing() {
        for loss in [ListLoss::Softmax, ListLoss::Lambda] {
            let mut of = [0.0; 3];
            assert_eq!(loss.add(&[1.0, 2.0, 3.0], &[0.0; 3], 1.0, &mut of), 0.0);
            assert_eq!(of, [0.0; 3]);
        }
    }
}
