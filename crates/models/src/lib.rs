//! Learning, and what was learnt: every model answers from a history alone.
//!
//! This crate knows datasets, features and seeds. It does not know files, HTTP or the clock.

mod recommender;

pub use recommender::{Context, Recommender};
