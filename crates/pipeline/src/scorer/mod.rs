//! The third stage: parts of a score. In this order: what the models say, what is known without them, what actions are
//! worth, where a newcomer may stand, what refused videos take away, what an author's next video loses, what rules say.

mod actions;
mod author;
mod blend;
mod cold;
mod context;
mod newcomer;
mod refused;
mod retrieval;
mod rules;

pub use actions::Actions;
pub use author::AuthorDecay;
pub use blend::Blend;
pub use cold::Cold;
pub use context::Context;
pub use newcomer::Newcomer;
pub use refused::Refused;
pub use retrieval::Retrieval;
pub use rules::Rules;
