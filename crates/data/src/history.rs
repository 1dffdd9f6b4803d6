//! What a model may know of a user when it answers.

use crate::{Actions, Judgement};

/// One video of a user's past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Past {
    /// The video's row.
    pub video: u32,
    /// Milliseconds since 1970; 0 where the set has no times.
    pub time: i64,
    /// Watch ratio or rating, where known.
    pub value: Option<f32>,
    /// Whether the user wanted it.
    pub judgement: Judgement,
    /// What was done, where known.
    pub actions: Actions,
}

/// A user's past, oldest first. Every model answers from this alone, so an event changes the very next answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    past: Vec<Past>,
    positives: Vec<u32>,
}

impl History {
    /// From the past, oldest first.
    pub fn new(past: impl IntoIterator<Item = Past>) -> Self {
        let past: Vec<Past> = past.into_iter().collect();
        let positives = past.iter().filter(|p| p.judgement == Judgement::Positive).map(|p| p.video).collect();
        Self { past, positives }
    }

    /// A past of positives without times, as onboarding picks are.
    pub fn of_positives(videos: &[u32]) -> Self {
        Self::new(videos.iter().map(|&video| Past {
            video,
            time: 0,
            value: None,
            judgement: Judgement::Positive,
            actions: Actions::default(),
        }))
    }

    /// Everything, oldest first.
    pub fn past(&self) -> &[Past] {
        &self.past
    }

    /// The wanted videos, oldest first.
    pub fn positives(&self) -> &[u32] {
        &self.positives
    }

    /// The newest `limit` wanted videos, **newest first**, with their age (0 is the newest).
    pub fn newest(&self, limit: usize) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.positives.iter().rev().copied().take(limit).enumerate()
    }

    /// The videos the user refused.
    pub fn refused(&self) -> impl Iterator<Item = u32> + '_ {
        self.past.iter().filter(|p| p.judgement == Judgement::Negative).map(|p| p.video)
    }

    /// Every video of the past, sorted, each once: what a seen filter masks.
    pub fn seen(&self) -> Vec<u32> {
        let mut seen: Vec<u32> = self.past.iter().map(|p| p.video).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }
}
