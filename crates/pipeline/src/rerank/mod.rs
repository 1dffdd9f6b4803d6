//! The fourth stage: the order in which candidates are shown.

mod labels;
mod mmr;

pub use labels::SharedLabels;
pub use mmr::{Mmr, mmr};

/// How alike two videos are, 0 to 1. Rows are of the run.
pub trait Similarity: Send + Sync {
    /// The likeness; more is more alike.
    fn between(&self, a: u32, b: u32) -> f32;
}
