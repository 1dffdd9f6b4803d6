//! Retraining: a run together with what its store learnt becomes a new version of the run, which is checked before it is served.

mod follow;
mod grown;
mod versions;

pub(crate) use follow::{Follower, Running, Schedule, follow};
pub(crate) use grown::{Added, grown};
pub(crate) use versions::Versions;
