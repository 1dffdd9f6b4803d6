//! The door: HTTP over a feed and a store.
//!
//! [`app`] is the whole service as a router, which is tested without a port; [`serve`] runs it on a socket.
//! This crate knows sockets and JSON: wire types live here and are converted by hand. It does not know ranking.
//! Async ends here: every request's work is plain and runs on a thread, within bounds.

mod audit;
mod auth;
mod config;
mod connections;
mod dashboard;
mod error;
mod extract;
#[cfg(feature = "grpc")]
pub mod grpc;
mod keys;
mod messages;
mod moment;
#[cfg(feature = "otlp")]
mod otlp;
mod pictures;
mod rates;
mod recent;
mod rest;
mod rules;
mod server;
mod spans;
mod state;
mod telemetry;
mod tenants;
mod tls;
mod work;

pub use config::ServeConfig;
pub use dashboard::map_file;
pub use error::ServeError;
pub use keys::{KeptKey, NewKey, Role, add_key, keys_in, revoke_key};
pub use messages::{Message, read_message};
#[cfg(feature = "otlp")]
pub use otlp::Exporter;
pub use pictures::Pictures;
pub use rules::rules_in;
pub use server::{app, bind, check_exposure, serve};
pub use spans::{Part, Recorded, TelemetryConfig};
pub use state::{About, AppState, TasteMap};
pub use tenants::{Reload, Tenants};
