//! One request: sources → filters → scorers → re-rank, with one `hydrate` before and one `served` after.
//!
//! [`Feed`] puts it together over a run's models and a store; [`Pipeline`] is the frame, which counts, times and
//! contains failures, so that a component only does its own thing. This crate knows one request. It does not
//! know async, HTTP or training.

mod allow;
mod audience;
mod candidate;
mod config;
mod explain;
mod feed;
pub mod filter;
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
pub mod scorer;
mod scores;
mod search;
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

pub use allow::Allow;
pub use audience::Audience;
pub use candidate::{Candidate, Retrieved};
pub use config::{ConfigError, FeedConfig, FeedbackConfig, LiveConfig, Meaning, Rerank, RerankSpace};
pub use explain::{Because, Explanation, FilterView, SourceView, Verdict};
pub use feed::{Feed, FeedError, FeedModels};
pub use lists::Scored;
pub use look::{About, Card, HistoryItem, Viewer};
pub use pipeline::{Filter, Hydrate, Outcome, Pipeline, Place, Reranker, Scorer, Served, Source, StageError};
pub use popularity::Popularity;
pub use query::{How, Query, Towers};
pub use request::{LambdaError, Reason, ReasonKind, Request, Response, Slot, lambda_from};
pub use request_id::RequestIds;
pub use rerank::Similarity;
pub use scores::{Asked, Models, Scores};
pub use shelf::{Shelf, Shelves};
pub use stock::{Live, LiveVideo, Stock};
pub use taste::{Journey, JourneyStep, MapView, Named, OnMap, Path, PathStep};
pub use trace::{Failure, Move, Stage, StagePart, Trace};
pub use viewer::Origin;
