//! What happened, to what: events, histories, videos, users, splits, and the leaks between them.
//!
//! Outside ids stop at [`Names`]; inside everything is a row number (`u32`).
//! This crate knows rows and time. It does not know any file of the outside world.

mod attributes;
mod circumstance;
mod cold;
mod counts;
mod daily;
mod dataset;
mod event;
mod history;
mod ids;
mod interactions;
mod leakage;
mod overlap;
mod relevance;
mod split;
mod streamed;
mod synthetic;
mod twins;
mod user;
mod video;

pub use attributes::{Attributes, Column};
pub use circumstance::Circumstance;
pub use cold::{COLD_INTERACTIONS, GENERATED_COLD, WithCold, with_cold};
pub use counts::{CoOccurrence, Counts, Transition};
pub use daily::Daily;
pub use dataset::{Dataset, Digest, Order, Part};
pub use event::{Action, Actions, Event, Events};
pub use history::{History, Past};
pub use ids::Names;
pub use interactions::{Interaction, Interactions};
pub use leakage::{
    Evidence, FeatureTable, Finding, Leak, Of, Vectors, attribute_features, inspect, is_log_statistic,
    label_features, lint,
};
pub use overlap::{Overlap, OverlapTally, Shared, overlap};
pub use relevance::{Judgement, Relevance, RelevanceError};
pub use split::{FOLDS_MAX, MONTHS_MAX, Query, Split, SplitError, SplitRule, hold_out, month_of};
pub use streamed::{Log, SplitSummary};
pub use synthetic::{
    DAYS, Fault, Faults, Matrix, RATIO_CAP, Row, START_MS, Shape, ShapeError, Synthetic, UNKNOWN_FROM,
    VideoFacts,
};
pub use twins::twins;
pub use user::Users;
pub use video::{Catalogue, Video};
