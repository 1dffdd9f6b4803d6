//! Text without trained weights.

mod words;

pub use words::{Words, WordsSettings};
