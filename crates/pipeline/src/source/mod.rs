//! The first stage: where candidates come from.

mod asked;
mod cascade;
mod followed;
mod latest;
mod live;
mod model;
mod near;
mod pool;
mod popular;
mod random;
mod rules;

pub use asked::Sources;
pub use cascade::Cascade;
pub use followed::Followed;
pub use latest::Latest;
pub use live::LivePopular;
pub use model::ModelSource;
pub use near::NearLast;
pub use popular::Popular;
pub use random::Drawn;
pub(crate) use random::random_of;
pub use rules::Ruled;
