//! What happened, to what: events, histories, videos, users, splits, and the leaks between them.
//!
//! Outside ids stop at [`Names`]; inside everything is a row number (`u32`).
//! This crate knows rows and time. It does not know any file of the outside world.

mod attributes;
mod circumstance;
mod counts;
mod daily;
mod dataset;
mod event;
mod history;
mod ids;
mod interactions;
mod leakage;
mod relevance;
mod split;
mod user;
mod video;

pub use attributes::{Attributes, Column};
pub use circumstance::Circumstance;
pub use counts::{CoOccurrence, Counts, Transition};
pub use daily::Daily;
pub use dataset::{Dataset, Order, Part};
pub use event::{Action, Event, Events};
pub use history::{History, Past};
pub use ids::Names;
pub use interactions::{Interaction, Interactions};
pub use leakage::{Finding, Leak, lint};
pub use relevance::{Judgement, Relevance, RelevanceError};
pub use split::{Query, Split, SplitError, SplitRule, hold_out};
pub use user::Users;
pub use video::{Catalogue, Video};
