//! The fourth stage: the order in which candidates are shown.

mod caps;
mod distinct;
mod dpp;
mod labels;
mod mmr;
mod pinned;
mod tradeoff;
mod vectors;

pub use caps::{Caps, caps};
pub use distinct::Distinct;
pub use dpp::{Dpp, dpp};
pub use labels::SharedLabels;
pub use mmr::{Mmr, mmr};
pub use pinned::Pinned;
pub use tradeoff::Tradeoff;
pub use vectors::Vectors;

/// How alike two videos are, at most 1; what is unlike has 0 or less. Rows are of the run.
pub trait Similarity: Send + Sync {
    /// The likeness; more is more alike.
    fn between(&self, a: u32, b: u32) -> f32;
}

/// Scaled to 0..1 over a list; 1 where all are equal.
fn scaled(relevance: &[f64]) -> Vec<f64> {
    let most = relevance.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = relevance.iter().copied().fold(f64::INFINITY, f64::min);
    let spread = most - least;
    relevance.iter().map(|r| if spread > 0.0 { (r - least) / spread } else { 1.0 }).collect()
}
