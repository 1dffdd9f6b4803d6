//! Layers, one a file. `forward` takes parameters and an input and returns the output, with what backward needs where
//! that is more than the input; `backward` takes these and the gradient of the output, adds to the gradients of the
//! parameters, and returns the gradient of the input.

mod activation;
mod dropout;
mod embedding;
mod linear;
mod norm;

pub use activation::Activation;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{LayerNorm, NormTape, RmsNorm};
