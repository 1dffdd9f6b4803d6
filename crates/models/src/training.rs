//! What a model is fitted on.

use std::sync::Arc;

use upnext_data::{Interaction, Interactions, Order, Query};
use upnext_features::{Content, Table};

use crate::Settings;
use crate::facts::Facts;
use crate::train::{Start, TrainingFileError, Unwatched, Watch};

/// Everything `fit` may see: the training pairs, what is known of the videos, and validation questions to
/// choose settings by. The test is not here.
#[derive(Clone)]
pub struct Training<'a> {
    /// The pairs to fit on.
    pub interactions: &'a Interactions,
    /// Content vectors, where the catalogue tells anything.
    pub content: Option<Arc<Content>>,
    /// Scores of videos from daily statistics of before the split's cut, one row a video, where there are any.
    pub scores: Option<Arc<Table>>,
    /// Whether pairs have an order.
    pub order: Order,
    /// To choose settings and weights by; may be empty, then the stated defaults hold.
    pub validation: &'a [Query],
    /// Users and rows of the validation part whose ratio or rating is known: what predictions are chosen by.
    pub validation_values: &'a [(u32, Interaction)],
    /// What is known beside events.
    pub facts: Option<Arc<Facts>>,
    /// The videos that may be ranked, sorted.
    pub candidates: &'a [u32],
    /// For everything drawn at random.
    pub seed: u64,
    /// Settings of the models that have some.
    pub settings: Arc<Settings>,
    /// The model that a network goes on from, if any.
    pub start: Option<&'a Start>,
    /// Who watches a network learn.
    pub watch: &'a dyn Watch,
}

impl<'a> Training<'a> {
    /// On these pairs alone: no content, no validation, the default settings, nobody watching.
    pub fn of(interactions: &'a Interactions, order: Order, seed: u64) -> Self {
        Self {
            interactions,
            content: None,
            scores: None,
            order,
            validation: &[],
            validation_values: &[],
            facts: None,
            candidates: &[],
            seed,
            settings: Arc::default(),
            start: None,
            watch: &Unwatched,
        }
    }
}

/// Why a model cannot be fitted on a set.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The set lacks what the model needs: leave it out by name.
    #[error("{model} needs {needs}, which this set does not have")]
    Needs {
        /// The model.
        model: String,
        /// What is missing.
        needs: &'static str,
    },
    /// No model of that name.
    #[error("model `{name}` is not known; known are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// Training left the numbers.
    #[error(
        "{model}: the loss or a gradient is not finite in epoch {epoch}, step {step}; the first such parameter: {at}; \
         leave the model out by name"
    )]
    Diverged {
        /// The model.
        model: String,
        /// From 0.
        epoch: u32,
        /// From 0, within the epoch.
        step: usize,
        /// The first parameter that is not finite.
        at: String,
    },
    /// The watcher stopped a training; it was kept.
    #[error("{model}: stopped in epoch {epoch}, after step {step}; the same command goes on from there")]
    Stopped {
        /// The model.
        model: String,
        /// From 0.
        epoch: u32,
        /// Steps of that epoch that were taken.
        step: usize,
    },
    /// The time was over before an epoch was.
    #[error("{model}: there was no time for one epoch; give it more")]
    NoTime {
        /// The model.
        model: String,
    },
    /// What was kept of a training cannot be gone on with.
    #[error("{model}: {cause}; remove it, or start over with --fresh")]
    Kept {
        /// The model.
        model: String,
        /// What is wrong with it.
        cause: TrainingFileError,
    },
    /// The older model cannot be gone on from.
    #[error("{model} of the older run cannot go on here: {what}")]
    Start {
        /// The model.
        model: String,
        /// Why not, and what to do.
        what: String,
    },
    /// A setting that cannot be meant.
    #[error("{model}.{key}: expected {expected}")]
    Setting {
        /// The model.
        model: &'static str,
        /// The key, with its path under the model.
        key: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The numbers do not allow it.
    #[error("{model}: {cause}")]
    Numbers {
        /// The model.
        model: String,
        /// What went wrong.
        cause: upnext_math::linalg::NotPositiveDefinite,
    },
}

impl Training<'_> {
    /// The start of a model, where it is one that goes on.
    pub(crate) fn start_of(&self, model: &str) -> Option<&Start> {
        self.start.filter(|start| start.model == model)
    }

    /// An error unless pairs have an order.
    pub(crate) fn needs_order(&self, model: &str) -> Result<(), FitError> {
        match self.order {
            Order::Unordered => Err(FitError::Needs { model: model.into(), needs: "an order of events" }),
            Order::Timed | Order::Sequence => Ok(()),
        }
    }

    /// The content vectors, or an error.
    pub(crate) fn needs_content(&self, model: &str) -> Result<&Arc<Content>, FitError> {
        self.content
            .as_ref()
            .ok_or_else(|| FitError::Needs { model: model.into(), needs: "labels or text of videos" })
    }

    /// The scores of videos, or an error.
    pub(crate) fn needs_scores(&self, model: &str) -> Result<&Arc<Table>, FitError> {
        let needs = "daily statistics of videos from before the first question";
        self.scores.as_ref().ok_or_else(|| FitError::Needs { model: model.into(), needs })
    }
}
