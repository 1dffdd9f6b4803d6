//! One file for each shape of input.

pub(crate) mod lines;
