//! The first stage: where candidates come from.

mod latest;
mod live;
mod model;
mod popular;
mod rules;

pub use latest::Latest;
pub use live::LivePopular;
pub use model::ModelSource;
pub use popular::Popular;
pub use rules::Ruled;
