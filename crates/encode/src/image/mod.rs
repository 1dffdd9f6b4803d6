//! Pictures without trained weights.

mod statistics;

pub use statistics::PictureStatistics;
