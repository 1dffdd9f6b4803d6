//! The first stage: where candidates come from.

mod asked;
mod latest;
mod live;
mod model;
mod near;
mod pool;
mod popular;
mod rules;

pub use asked::Sources;
pub use latest::Latest;
pub use live::LivePopular;
pub use model::ModelSource;
pub use near::NearLast;
pub use popular::Popular;
pub use rules::Ruled;
