//! Learning, and what was learnt: every model answers from a history alone.
//!
//! This crate knows datasets, features and seeds. It does not know files (but in `checkpoint`), HTTP or the
//! clock. `contract` is the suite that every model passes.

pub mod checkpoint;
mod choose;
pub mod contract;
mod facts;
mod recommender;
mod settings;
pub mod train;
mod training;
pub mod zoo;

pub use choose::{Choice, Pool};
pub use facts::{Facts, Modality};
pub use recommender::{Context, Recommender, Shape, Tower};
pub use settings::Settings;
pub use training::{FitError, Training};
