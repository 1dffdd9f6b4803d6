//! Counts and content as vectors.
//!
//! A feature at time *t* comes from events before *t*. This crate does not know the future.

mod content;
mod words;

pub use content::Content;
pub use words::words;
