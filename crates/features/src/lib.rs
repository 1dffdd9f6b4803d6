//! Counts and content as vectors.
//!
//! A feature at time *t* comes from events before *t*. This crate does not know the future.

pub mod category;
mod content;
pub mod context;
pub mod hierarchy;
pub mod impute;
pub mod pca;
pub mod place;
pub mod scale;
pub mod social;
mod table;
pub mod tags;
pub mod text;
mod train;
pub mod user;
mod words;

pub use content::Content;
pub use table::Table;
pub use train::TrainRows;
pub use words::words;
