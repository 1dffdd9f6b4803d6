//! What a training tells, and what it is told: progress, checkpoints, and the wish to stop.

use serde::Serialize;

/// Who watches a training. Files, clocks and people are behind this; training itself knows none of them.
pub trait Watch: Sync {
    /// What was kept of a training of this model, if anything.
    fn kept(&self, _model: &str, _which: Which) -> Option<Vec<u8>> {
        None
    }

    /// Keeps a checkpoint, which is made when it is asked for, so that no crash leaves less than the one before.
    fn keep(&self, _model: &str, _which: Which, _file: &dyn Fn() -> Vec<u8>) {}

    /// After each step.
    fn step(&self, _step: &Step) -> Wish {
        Wish::GoOn
    }

    /// After each epoch.
    fn epoch(&self, _epoch: &Epoch) {}

    /// Seconds by a clock that never goes back, from any beginning; where there is none, time stands still.
    fn seconds(&self) -> f64 {
        0.0
    }

    /// Something a reader of the log wants to know.
    fn note(&self, _model: &str, _note: &str) {}
}

/// The same watcher, who ends a training at a moment of its clock, and keeps it under a name of its own.
pub(crate) struct Until<'a> {
    pub(crate) watch: &'a dyn Watch,
    pub(crate) seconds: f64,
    pub(crate) name: String,
}

impl Watch for Until<'_> {
    fn kept(&self, _: &str, which: Which) -> Option<Vec<u8>> {
        self.watch.kept(&self.name, which)
    }

    fn keep(&self, _: &str, which: Which, file: &dyn Fn() -> Vec<u8>) {
        self.watch.keep(&self.name, which, file);
    }

    fn step(&self, step: &Step) -> Wish {
        match self.watch.step(step) {
            Wish::GoOn | Wish::Keep if self.watch.seconds() > self.seconds => Wish::End,
            wish => wish,
        }
    }

    fn epoch(&self, epoch: &Epoch) {
        self.watch.epoch(&Epoch { model: self.name.clone(), ..epoch.clone() });
    }

    fn seconds(&self) -> f64 {
        self.watch.seconds()
    }

    fn note(&self, _: &str, note: &str) {
        self.watch.note(&self.name, note);
    }
}

/// Nobody watches, nothing is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// Which of the two checkpoints of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The parameters of the best epoch on validation.
    Best,
    /// Everything one needs to go on.
    Last,
}

impl Which {
    /// `best` or `last`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Last => "last",
        }
    }
}

/// What the watcher wants after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The next step.
    GoOn,
    /// A checkpoint, then the next step.
    Keep,
    /// A checkpoint, then the end: the same command goes on from there.
    Stop,
    /// A checkpoint, then the best so far: there is no more time.
    End,
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<'a> {
    /// The model.
    pub model: &'a str,
    /// From 0.
    pub epoch: u32,
    /// Epochs at most.
    pub epochs_max: u32,
    /// Steps of this epoch so far.
    pub step: usize,
    /// Steps of this epoch in all.
    pub n_steps: usize,
    /// The mean loss of this epoch so far.
    pub loss: f64,
    /// The best epoch so far, from 1, and its metric on validation.
    pub best: Option<(u32, f64)>,
}

/// An epoch that ended: a line of the metrics file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Epoch {
    /// The model.
    pub model: String,
    /// From 1.
    pub epoch: u32,
    /// Steps of all epochs so far.
    pub steps: u64,
    /// The mean loss of a step.
    pub loss: f64,
    /// What early stopping looks at, larger being better, where there is a validation part.
    pub validation: Option<f64>,
    /// What that is, in words.
    pub metric: &'static str,
    /// The rate at the end of the epoch.
    pub rate: f64,
    /// The mean norm of gradients before clipping.
    pub gradient_norm: f64,
    /// Whether it is the best so far.
    pub best: bool,
}
