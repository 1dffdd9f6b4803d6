//! What happened to one request: counts, times, what was removed, what moved, what failed.

use serde::{Deserialize, Serialize};

/// A component that failed. The slate went out without its contribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `hydrate`, `sources`, `filters`, `scorers`, `rerank` or `served`.
    pub stage: String,
    /// The component's name.
    pub part: String,
    /// What it said, or its panic.
    pub message: String,
}

/// The four stages of a request, in their order, and the moves of the re-rank.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// `sources`, `filters`, `scorers`, `rerank`.
    pub stages: Vec<Stage>,
    /// Which videos of the slate the re-rank moved; places count from 1.
    pub moves: Vec<Move>,
    /// The rules that hold for this request, dry runs included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleTrace>,
    /// What the dry runs among them would change of the slate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_change: Vec<RuleChange>,
    /// Time to learn who asks: history, filters' rows, live videos.
    pub hydrate_microseconds: u64,
    /// Time to give reasons.
    pub served_microseconds: u64,
    /// Time of the whole request.
    pub microseconds: u64,
}

impl Trace {
    /// Sets every time to 0: what is left is the same for the same request on the same state.
    pub fn forget_times(&mut self) {
        (self.hydrate_microseconds, self.served_microseconds, self.microseconds) = (0, 0, 0);
        for stage in &mut self.stages {
            stage.microseconds = 0;
            stage.parts.iter_mut().for_each(|part| part.microseconds = 0);
        }
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The stage's name.
    pub name: String,
    /// Candidates that entered.
    #[serde(rename = "in")]
    pub entered: usize,
    /// Candidates that left.
    #[serde(rename = "out")]
    pub left: usize,
    /// Time of the stage.
    pub microseconds: u64,
    /// Its components, in their order.
    pub parts: Vec<StagePart>,
}

/// One component of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StagePart {
    /// The component's name.
    pub name: String,
    /// Sources: candidates returned. Filters: videos removed, those withheld included. Scorers: candidates
    /// that got a part. Re-rank: places changed.
    pub count: usize,
    /// Time of the component.
    pub microseconds: u64,
    /// Filters: how many of `count` were kept from the sources, so that they never became candidates.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub withheld: usize,
    /// Filters: a few of the removed videos, by outside id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Why a component had nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A video that the re-rank moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Outside id.
    pub video: String,
    /// Its place by score alone, from 1.
    pub from: usize,
    /// Its place in the slate's order, from 1.
    pub to: usize,
}

/// A rule that holds for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTrace {
    /// The rule's name.
    pub rule: String,
    /// Whether it was not applied, only told.
    pub dry_run: bool,
    /// Ranked videos that it concerns.
    pub videos: usize,
}

/// What a dry run would change: places of the slate from 1, `None` where the video is not on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChange {
    /// Outside id.
    pub video: String,
    /// Its place now.
    pub from: Option<usize>,
    /// Its place if the rule were applied.
    pub to: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}
