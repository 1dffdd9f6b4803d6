//! What training and encoding share: parameters, layers with an explicit forward and backward, losses, optimisers.
//!
//! This crate knows numbers, gradients and parameters. It does not know what they mean, data sets, files or the clock.
//! Activations are matrices whose rows are examples, or positions of sequences one after another. A layer keeps no
//! state: its numbers stand in [`Parameters`], what backward needs is what forward returned, and gradients are added to
//! [`Gradients`] of the caller, so that several threads train one model, each into gradients of its own.

pub mod frozen;
pub mod layer;
pub mod loss;
pub mod optimiser;
mod parameters;
pub mod schedule;
mod shards;

pub use parameters::{Gradient, Gradients, Id, Kind, Parameters, RowGradients, in_parts};
pub use shards::Shards;

#[cfg(test)]
mod check;
