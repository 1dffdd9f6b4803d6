//! The taste map: all videos in three dimensions, those near each other whose vectors are alike, and how far the
//! picture can be believed.
//!
//! This crate knows rows of vectors and the number of each row's group. It does not know what a row stands for.

mod layout;
mod map;
mod nearest;
mod quality;
mod space;

pub use map::{Drawing, Group, Groups, Map, MapConfig, MapError, Modality, Placed, Projection};
pub use quality::Chance;
pub use space::Space;
