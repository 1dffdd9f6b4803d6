//! Sound without trained weights.

mod log_mel;

pub use log_mel::LogMel;
