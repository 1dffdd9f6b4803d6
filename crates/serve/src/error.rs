//! Errors: what a client hears, always as `{"error":{"code","message","hint"}}`, and why a service does not start.

use std::net::SocketAddr;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use upnext_store::StoreError;

/// Why a service does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting is out of bounds.
    #[error("serve setting `{key}` is {found}; expected {expected}")]
    Config {
        /// The key.
        key: &'static str,
        /// What was given.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// Not an address.
    #[error("{address:?} is not an address to listen on: use a host and a port, 127.0.0.1:8088 for example")]
    Address {
        /// What was given.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Somebody else listens there.
    #[error("{address} is in use: stop what listens there, name another port, or port 0 for a free one")]
    InUse {
        /// The address.
        address: String,
    },
    /// The system does not let us listen there.
    #[error("cannot listen on {address}: {source}; use an address of this machine and a port above 1023")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not the rules that were put.
    #[error("{path}: {reason}; expected rules as PUT /api/v2/rules took them: mend or remove the file")]
    Rules {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Not a file of keys.
    #[error("{path}: {reason}; `upnext keys new` writes such lines")]
    Keys {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The log of administrative acts cannot be written.
    #[error("{path}: {reason}; the log of administrative acts must be a file that can be appended to")]
    Audit {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// No TLS with these files.
    #[error("{path}: {reason}; expected {expected} in PEM")]
    Tls {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
        /// What should be in it.
        expected: &'static str,
    },
    /// Tenants that cannot stand beside each other.
    #[error("tenant {name:?}: {reason}")]
    Tenant {
        /// Its name.
        name: String,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// Reachable from elsewhere, and anybody could write.
    #[error(
        "{address} can be reached from other machines, so an API key is required: give one with `--key`, or a file of `upnext keys new` as `keys_file`, or listen on 127.0.0.1"
    )]
    KeyRequired {
        /// The address.
        address: SocketAddr,
    },
}

/// What a client hears when something is wrong.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    pub(crate) message: String,
    hint: String,
    retry_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inside<'a>,
}

#[derive(Serialize)]
struct Inside<'a> {
    code: &'a str,
    message: &'a str,
    hint: &'a str,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { status, code, message: message.into(), hint: hint.into(), retry_seconds: None }
    }

    /// 400.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message, hint)
    }

    /// 404 of something that was named.
    pub(crate) fn unknown(what: &'static str, id: &str) -> Self {
        let code = match what {
            "user" => "unknown_user",
            "item" => "unknown_item",
            _ => "unknown",
        };
        let hint = match what {
            "user" => "write it with POST /api/user; a feed for somebody unknown needs no user at all",
            "item" => "write it with POST /api/item; GET /api/v2/videos?query= searches titles",
            _ => "check the id",
        };
        Self::new(StatusCode::NOT_FOUND, code, format!("there is no {what} {id:?}"), hint)
    }

    /// 503, with when to come back.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>, seconds: u64) -> Self {
        let hint = format!("try again in {seconds} s");
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message, hint);
        Self { retry_seconds: Some(seconds), ..error }
    }

    /// 429, with when to come back.
    pub(crate) fn too_often(seconds: u64) -> Self {
        let hint = format!("try again in {seconds} s");
        let message = "there were too many requests by this key or address";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_often", message, hint);
        Self { retry_seconds: Some(seconds), ..error }
    }

    /// The same error, of a part of what was sent.
    pub(crate) fn at(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// The code that a client hears.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// The feed is still being made.
    pub(crate) fn not_ready() -> Self {
        Self::unavailable("not_ready", "the models are being fitted", 1)
    }

    /// A bug of ours; the cause is in the log, not in the answer.
    pub(crate) fn internal(cause: &str) -> Self {
        tracing::error!(cause, "a request failed");
        let hint = "this is a fault of the service; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request failed", hint)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Busy { retry_milliseconds, .. } => {
                Self::unavailable("busy", error.to_string(), retry_milliseconds.div_ceil(1_000).max(1))
            }
            StoreError::Cursor { .. } => Self::bad("bad_cursor", error.to_string(), "begin without a cursor"),
            _ if error.is_input() => {
                let (message, hint) =
                    (error.to_string(), "rows count from 0; nothing of the batch was written");
                Self::bad("out_of_bounds", message, hint)
            }
            StoreError::Full { .. } | StoreError::NoRoom { .. } => {
                tracing::error!(%error, "the store failed");
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "store_full",
                    "the store is full",
                    "free disk space",
                )
            }
            _ => {
                tracing::error!(%error, "the store failed");
                Self::unavailable("store_failed", "the store does not answer; nothing was acknowledged", 5)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = Inside { code: self.code, message: &self.message, hint: &self.hint };
        let mut response = (self.status, Json(Envelope { error })).into_response();
        if let Some(seconds) = self.retry_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
