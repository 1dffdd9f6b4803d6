//! One request: sources → filters → scorers → re-rank, with one `hydrate` before and one `served` after.
//!
//! [`Feed`] puts it together over a run's models and a store; [`Pipeline`] is the frame, which counts, times and
//! contains failures, so that a component only does its own thing. This crate knows one request. It does not
//! know async, HTTP or training.

mod actions;
mod allow;
mod audience;
mod candidate;
mod config;
mod dry_run;
mod explain;
mod explore;
mod exposure;
mod expression;
mod feed;
pub mod filter;
mod habit;
mod lists;
mod live;
mod look;
mod pipeline;
mod popularity;
mod query;
mod reason;
mod remembered;
mod request;
mod request_id;
pub mod rerank;
mod rows;
mod rules;
pub mod scorer;
mod scores;
mod search;
mod served;
mod shelf;
pub mod source;
mod stock;
mod taste;
mod trace;
mod viewer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use actions::{ActionRates, ActionWeights, WeightsError};
pub use allow::Allow;
pub use audience::Audience;
pub use candidate::{Candidate, Retrieved};
pub use config::{
    ActionsConfig, CascadeConfig, ConfigError, FeedConfig, FeedbackConfig, FilterConfig, LiveConfig, Meaning,
    Rerank, RerankSpace, ServedConfig,
};
pub use explain::{Because, Explanation, FilterView, SourceView, Verdict};
pub use exposure::Exposures;
pub use expression::{Expression, ExpressionError, ExpressionLimits};
pub use feed::{FUSED_INDEX, Feed, FeedError, FeedModels};
pub use habit::Habits;
pub use lists::Scored;
pub use live::{live_video, texts_by_kind};
pub use look::{About, Card, HistoryItem, Viewer};
pub use pipeline::{Filter, Hydrate, Outcome, Pipeline, Place, Reranker, Scorer, Served, Source, StageError};
pub use popularity::Popularity;
pub use query::{How, Query, Towers};
pub use request::{LambdaError, Reason, ReasonKind, Request, Response, RuleMode, Slot, lambda_from};
pub use request_id::RequestIds;
pub use rerank::Similarity;
pub use rows::RowSets;
pub use rules::{ActiveRules, Pin, Rule, RuleAction, RuleAudience, RuleError, Segment, Shift};
pub use scores::{Asked, IndexOf, Models, Scores, TowerOf};
pub use shelf::{Shelf, ShelfKind, Shelves};
pub use stock::{Live, LiveVideo, Stock};
pub use taste::{Journey, JourneyStep, MapView, Named, OnMap, Path, PathStep};
pub use trace::{Failure, Move, RuleChange, RuleTrace, Stage, StagePart, Trace};
pub use viewer::{Origin, event_of};
