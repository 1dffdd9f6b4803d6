//! How good, and how sure: metrics, the protocol they were measured under, intervals, and the report.
//!
//! This crate knows lists and truths ([`Case`]). It receives them, never makes a list, and does not know which
//! model made one. Read in this order: a [`Case`]; the [`metric`]s; the [`Protocol`] that stands beside every
//! number; the [`Bootstrap`] that says how sure it is; the [`Report`] that holds all.

mod case;
mod error;
pub mod metric;
mod protocol;
// The order above is the order of reading; these two close the circle.
mod bootstrap;
mod report;

pub use bootstrap::{Bootstrap, Interval, Resampled};
pub use case::Case;
pub use error::EvalError;
pub use metric::{Metric, Ranked, Table, measure};
pub use protocol::{Candidates, LeakNote, Protocol, Ties};
pub use report::{LeftOut, Measured, ModelResult, Report, TableStyle, Versus};
