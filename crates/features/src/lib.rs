//! Counts and content as vectors.
//!
//! A feature at time *t* comes from events before *t*. This crate does not know the future.

mod content;
mod table;
mod words;

pub use content::Content;
pub use table::Table;
pub use words::words;
