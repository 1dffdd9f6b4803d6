//! Every limit of the service, each with a default.

use serde::{Deserialize, Serialize};

use crate::ServeError;

/// How the service behaves, and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// What `X-API-Key` must say for writing and for reading what is stored of people. Without one, anybody who
    /// reaches the service may do both, so it is required as soon as the address is not loopback.
    #[serde(skip_serializing)]
    pub key: Option<String>,
    /// Further names by which the service is reached on loopback, behind a proxy for example.
    pub hosts: Vec<String>,
    /// Bytes of a body that writes.
    pub body_bytes_max: usize,
    /// Bytes of a body that only asks, which anybody may send.
    pub question_bytes_max: usize,
    /// Rows in a body.
    pub batch_max: usize,
    /// Answers where a request does not say how many.
    pub n_default: usize,
    /// Answers that one request may ask for.
    pub n_max: usize,
    /// Rows of a page of users, items or feedback.
    pub page_max: usize,
    /// Bytes of an id.
    pub id_bytes_max: usize,
    /// Time of a request, waiting included.
    pub request_milliseconds_max: u64,
    /// Time for the body to arrive.
    pub body_milliseconds_max: u64,
    /// Time for the head to arrive, and for a quiet connection.
    pub head_milliseconds_max: u64,
    /// Requests that read and are worked on at once; others wait.
    pub reads_max: usize,
    /// Requests that write and are worked on at once; they share commits, so more is not slower.
    pub writes_max: usize,
    /// Connections at once; others wait to be accepted.
    pub connections_max: usize,
    /// Answers whose trace is remembered, the newest.
    pub traces_max: usize,
    /// Time for requests in flight to finish when the service stops.
    pub stop_milliseconds_max: u64,
    /// A time in the future by at most this is taken for now: clocks differ.
    pub clock_skew_milliseconds_max: i64,
    /// Feedback may be given for later, at most this far ahead.
    pub future_days_max: i64,
    /// Whether feedback on an unknown item adds the item. New users are always added.
    pub auto_insert_items: bool,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            key: None,
            hosts: Vec::new(),
            body_bytes_max: 8 * 1024 * 1024,
            question_bytes_max: 256 * 1024,
            batch_max: 10_000,
            n_default: 10,
            n_max: 500,
            page_max: 10_000,
            id_bytes_max: 512,
            request_milliseconds_max: 10_000,
            body_milliseconds_max: 10_000,
            head_milliseconds_max: 30_000,
            reads_max: 32,
            writes_max: 256,
            connections_max: 1_024,
            traces_max: 256,
            stop_milliseconds_max: 10_000,
            clock_skew_milliseconds_max: 5 * 60 * 1_000,
            future_days_max: 366,
            auto_insert_items: true,
        }
    }
}

impl ServeConfig {
    /// Checks every bound.
    ///
    /// # Errors
    /// Names the first key that is out of bounds.
    pub fn check(&self) -> Result<(), ServeError> {
        let some = |key: &'static str, value: u64| match value {
            0 => Err(ServeError::Config { key, found: "0".into(), expected: "at least 1" }),
            _ => Ok(()),
        };
        some("body_bytes_max", self.body_bytes_max as u64)?;
        some("question_bytes_max", self.question_bytes_max as u64)?;
        some("batch_max", self.batch_max as u64)?;
        some("n_max", self.n_max as u64)?;
        some("page_max", self.page_max as u64)?;
        some("id_bytes_max", self.id_bytes_max as u64)?;
        some("request_milliseconds_max", self.request_milliseconds_max)?;
        some("body_milliseconds_max", self.body_milliseconds_max)?;
        some("head_milliseconds_max", self.head_milliseconds_max)?;
        some("reads_max", self.reads_max as u64)?;
        some("writes_max", self.writes_max as u64)?;
        some("connections_max", self.connections_max as u64)?;
        if !(1..=self.n_max).contains(&self.n_default) {
            let found = self.n_default.to_string();
            return Err(ServeError::Config { key: "n_default", found, expected: "a number from 1 to n_max" });
        }
        if self.key.as_ref().is_some_and(|key| key.trim().is_empty()) {
            let found = "empty".into();
            return Err(ServeError::Config { key: "key", found, expected: "a secret, or no key at all" });
        }
        Ok(())
    }
}
