//! Counts, behaviour and content as vectors.
//!
//! A feature at time *t* comes from events before *t*. This crate does not know the future, and
//! `tests/point_in_time.rs` holds every feature to it.

mod confidence;
mod content;
pub mod counters;
mod cut;
pub mod engagement;
pub mod interaction;
pub mod scores;
pub mod sequence;
mod statistics;
mod table;
pub mod trending;
pub mod video_meta;
mod words;

pub use confidence::Confidence;
pub use content::Content;
pub use cut::Cut;
pub use statistics::daily_means;
pub use table::Table;
pub use words::words;
