//! Where data lie when they are not files: databases behind a URL, and object stores.
//!
//! A database yields a [`Table`](crate::table::Table) like any file, so that what a column means is decided in
//! one place. PostgreSQL and object stores need the feature `scale`; SQLite is always there.

pub(crate) mod npy;
#[cfg(feature = "scale")]
pub(crate) mod objects;
#[cfg(feature = "scale")]
mod postgres;
mod rows;
pub(crate) mod sql;
mod sqlite;
pub(crate) mod vectors;

pub(crate) use rows::Rows;
pub use sql::{SqlOptions, without_password};

/// Says which cryptography TLS uses, before anything speaks it.
#[cfg(feature = "scale")]
fn name_tls_provider() {
    // Who named one before keeps it.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
