//! Counts, behaviour and content as vectors.
//!
//! A feature at time *t* comes from events before *t*. This crate does not know the future, and
//! `tests/point_in_time.rs` holds every feature to it.

pub mod category;
mod confidence;
mod content;
pub mod context;
pub mod counters;
mod cut;
pub mod engagement;
pub mod hierarchy;
pub mod impute;
pub mod interaction;
pub mod pca;
pub mod place;
pub mod prepare;
pub mod scale;
pub mod scores;
pub mod sequence;
pub mod snapshot;
pub mod social;
mod statistics;
mod table;
pub mod tags;
pub mod text;
mod train;
pub mod trending;
pub mod user;
pub mod video_meta;
mod words;

pub use confidence::Confidence;
pub use content::Content;
pub use cut::Cut;
pub use statistics::{daily_mean, daily_means, days_read};
pub use table::Table;
pub use train::TrainRows;
pub use words::{is_sign, words};
