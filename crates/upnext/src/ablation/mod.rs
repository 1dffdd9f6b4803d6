//! `upnext eval --ablate`: what a model is worth without each of its parts, and what each is worth alone, every difference with
//! the interval of resampled viewers who answer both.

mod features;
mod parts;

pub(crate) use features::Features;
pub(crate) use parts::Parts;
use serde::Serialize;
use upnext_eval::Interval;

/// A model taken apart.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Ablation {
    /// A second stage, by groups of its features.
    Features(Features),
    /// A blend, by its models.
    Parts(Parts),
}

impl Ablation {
    /// The table.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Features(of) => of.in_words(),
            Self::Parts(of) => of.in_words(),
        }
    }
}

fn mean(column: &[f64]) -> f64 {
    column.iter().sum::<f64>() / column.len().max(1) as f64
}

fn difference(of: &Interval) -> String {
    format!("{:+.4} [{:+.4}, {:+.4}]", of.mean, of.low, of.high)
}
