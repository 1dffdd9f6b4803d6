//! Layers, one a file. `forward` takes parameters and an input and returns the output, with what backward needs where
//! that is more than the input; `backward` takes these and the gradient of the output, adds to the gradients of the
//! parameters, and returns the gradient of the input.

mod activation;
mod attention;
mod block;
mod dropout;
mod elapsed;
mod embedding;
mod frequency;
mod gated;
mod linear;
mod mlp;
mod norm;
mod pointwise;
mod pooling;
mod position;
mod post_norm;
mod pre_norm;
mod residual;
mod swiglu;

pub use activation::Activation;
pub use attention::{Attention, AttentionTape, Mask};
pub use block::{Block, BlockShape, BlockTape, Sequences, Wiring};
pub use dropout::{Dropout, Dropped};
pub use elapsed::Elapsed;
pub use embedding::Embedding;
pub use frequency::FrequencyFilter;
pub use linear::Linear;
pub use mlp::{Mlp, MlpShape, MlpTape, normalise, normalise_backward};
pub use norm::{LayerNorm, NormTape, RmsNorm};
pub use pooling::{AttentionPooling, PoolingTape};
pub use position::{LearnedPositions, RelativeBias, sinusoidal, time_bucket};
pub use residual::{GatedResidual, GatedTape};
pub use swiglu::{SwiGlu, SwiGluTape};
