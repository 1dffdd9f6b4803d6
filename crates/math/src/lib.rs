//! Numbers only: dense and sparse matrices, dot products, selection of the top k, linear algebra, seeds.
//!
//! This crate knows slices. It does not know what a row stands for.

#[macro_use]
mod widest;

pub mod bf16;
pub mod codes;
pub mod dot;
pub mod exp;
pub mod linalg;
mod matrix;
pub mod memory;
mod rotation;
pub mod seed;
mod sparse;
pub mod svd;
mod topk;

pub use matrix::Matrix;
pub use rotation::Rotation;
pub use sparse::{Sparse, Sum, keep_strongest, sum_equal_columns};
pub use topk::top_k;
