//! Events from a broker into the store: each counts once, whatever ends in between.
//!
//! The store keeps how far the stream was read in the commit that keeps what was read, and the ids of events beside it. So a commit is
//! made or not made with all of that, and after any end reading goes on behind the last one. The broker is told afterwards.

mod config;
#[cfg(feature = "scale")]
mod dead;
#[cfg(feature = "scale")]
mod nats;
#[cfg(feature = "scale")]
mod take;

pub(crate) use config::StreamConfig;
#[cfg(feature = "scale")]
pub(crate) use dead::DeadLetters;
#[cfg(feature = "scale")]
pub(crate) use nats::{Source, follow};
#[cfg(feature = "scale")]
pub(crate) use take::{Progress, Taken, Taker};
