//! Numbers only: dense and sparse matrices, dot products, selection of the top k, linear algebra, seeds.
//!
//! This crate knows slices. It does not know what a row stands for.

mod matrix;

pub use matrix::Matrix;
