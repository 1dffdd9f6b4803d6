//! Rows of any number to a clean set in bounded memory.
//!
//! Every event becomes a `record::Record` of fixed size. Records lie in `partitions::Partitions` by ranges of
//! users, in memory while there is room and else in a file beside the output. One partition after the other is
//! then sorted by user and time, and `clean` finds what only neighbours can tell: duplicates, bots. What is
//! left is either a dataset in memory, or is written as Parquet stripe by stripe.

pub(crate) mod aggregate;
pub(crate) mod clean;
pub(crate) mod import;
pub(crate) mod in_order;
pub(crate) mod kept;
pub(crate) mod partitions;
pub(crate) mod quarantine;
pub(crate) mod record;
pub(crate) mod rules;
pub(crate) mod scan;
pub(crate) mod survey;
pub(crate) mod write;

#[cfg(feature = "scale")]
pub mod flight;
