//! Counts and content as vectors.
//!
//! A feature at time *t* comes from events before *t*. This crate does not know the future.

mod confidence;
mod content;
mod cut;
pub mod engagement;
pub mod scores;
mod statistics;
mod table;
pub mod trending;
mod words;

pub use confidence::Confidence;
pub use content::Content;
pub use cut::Cut;
pub use statistics::daily_means;
pub use table::Table;
pub use words::words;
