//! Where the work on data is done.

#[cfg(feature = "scale")]
pub mod flight;
