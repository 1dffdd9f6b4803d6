//! What can go wrong between here and an engine.

use crate::IngestError;

/// Why an engine did not do the work.
#[derive(Debug, thiserror::Error)]
pub enum FlightError {
    /// The address is not one.
    #[error(
        "engine `{url}`: {why}; expected grpc://host:port or grpc+tls://host:port, with user:password@ before the host where the engine asks for them"
    )]
    Address {
        /// What was given, without its password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers.
    #[error("engine {url}: does not answer ({why}); check that it runs and that this machine may reach it")]
    Unreachable {
        /// Which, without its password.
        url: String,
        /// What the transport said.
        why: String,
    },
    /// The engine does not know who asks.
    #[error(
        "engine {url}: refuses the credentials ({why}); give them as user:password@ in the address, or as UPNEXT_ENGINE_TOKEN"
    )]
    Credentials {
        /// Which, without its password.
        url: String,
        /// What the engine said.
        why: String,
    },
    /// The engine was there and is gone.
    #[error(
        "engine {url}: stopped answering in step {step} ({why}); no run was written: start the engine and import again"
    )]
    Stopped {
        /// Which, without its password.
        url: String,
        /// The SQL file.
        step: String,
        /// What the transport said.
        why: String,
    },
    /// A statement failed.
    #[error("engine {url}: step {step} failed: {why}; no run was written")]
    Failed {
        /// Which, without its password.
        url: String,
        /// The SQL file, or what was asked.
        step: String,
        /// The engine's message.
        why: String,
    },
    /// An answer of another shape than the statement asks for.
    #[error(
        "engine {url}: step {step} answered {found}; expected {expected}: it may speak another dialect than Spark SQL"
    )]
    Answer {
        /// Which, without its password.
        url: String,
        /// The SQL file, or what was asked.
        step: String,
        /// What came.
        found: String,
        /// What should have come.
        expected: &'static str,
    },
    /// There is a run already.
    #[error("{out}: holds a run; give another --out, or --force to put the new run in its place")]
    Exists {
        /// Where.
        out: String,
    },
    /// Something that only the embedded engine does.
    #[error("{source_name}: {what} is not read on an engine; import it without --engine")]
    Unsupported {
        /// Which source.
        source_name: String,
        /// What it has.
        what: String,
    },
    /// Something that was asked for and no statement does.
    #[error("{what} is not done on an engine: {instead}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// What would also be wrong without an engine.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}
