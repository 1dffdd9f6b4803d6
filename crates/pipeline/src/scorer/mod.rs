//! The third stage: parts of a score. In this order: what the models say, what is known without them, where a
//! newcomer may stand, what refused videos take away.

mod blend;
mod cold;
mod newcomer;
mod refused;
mod retrieval;

pub use blend::Blend;
pub use cold::Cold;
pub use newcomer::Newcomer;
pub use refused::Refused;
pub use retrieval::Retrieval;
