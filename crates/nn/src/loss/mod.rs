//! What a model is trained to make small. Each loss is a sum over examples, each with its weight, and comes with the
//! gradients of what it was made of.

mod binary;
mod pairwise;
mod regression;
mod sampled;
mod softmax;

pub use binary::{binary, generalised_beta, generalised_binary};
pub use pairwise::{Triplet, bpr, multi_triplet, triplet};
pub use regression::Regression;
pub use sampled::{Candidates, Sampled, in_batch_softmax, sampled_softmax};
pub use softmax::{Softmax, Table, softmax};
