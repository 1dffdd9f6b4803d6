//! Every limit of the service, each with a default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ServeError;

/// How the service behaves, and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// A key for everything, in plain text. Without this and without a file of keys, anybody who reaches the service
    /// may do everything, so one of them is required as soon as the address is not loopback.
    #[serde(skip_serializing)]
    pub key: Option<String>,
    /// The file of keys with roles, which is read again when it changes; empty: none.
    pub keys_file: PathBuf,
    /// How often the service looks whether it changed.
    pub keys_reread_milliseconds: u64,
    /// Whether reading slates, lists, items and metrics needs no key where there are keys.
    pub open_reads: bool,
    /// Requests a second with one key; 0: no bound.
    pub key_requests_per_second: u32,
    /// Requests a second of an address without a key, where there are keys; 0: no bound.
    pub address_requests_per_second: u32,
    /// How many seconds' worth of requests may come at once.
    pub burst_seconds: u32,
    /// Keys and addresses that are counted apart; those beyond share one count.
    pub counted_max: usize,
    /// The certificate chain in PEM; empty: no TLS.
    pub tls_cert: PathBuf,
    /// Its private key in PEM.
    pub tls_key: PathBuf,
    /// Further names by which the service is reached on loopback, behind a proxy for example.
    pub hosts: Vec<String>,
    /// Bytes of a body that writes.
    pub body_bytes_max: usize,
    /// Bytes of a body that only asks, which anybody may send.
    pub question_bytes_max: usize,
    /// How deep the JSON of a body may be nested.
    pub json_depth_max: usize,
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
    /// How long a request that reads may wait for others; one that would wait longer is refused at once.
    pub read_wait_milliseconds_max: u64,
    /// Requests that write and are worked on at once; they share commits, so more is not slower.
    pub writes_max: usize,
    /// Connections at once; for one more the one that is idle longest is closed.
    pub connections_max: usize,
    /// Answers whose trace is remembered, the newest.
    pub traces_max: usize,
    /// Pages that listen to `/api/v2/live` at once.
    pub listeners_max: usize,
    /// Ids of Metarank's events of items, users and rankings that are remembered, the newest: one of them that comes again changes
    /// nothing. Ids of what viewers did are the store's to remember.
    pub event_ids_max: usize,
    /// Rankings of Metarank's clients that are remembered, the newest, so that interactions may name them.
    pub rankings_max: usize,
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
            keys_file: PathBuf::new(),
            keys_reread_milliseconds: 1_000,
            open_reads: false,
            key_requests_per_second: 1_000,
            address_requests_per_second: 50,
            burst_seconds: 5,
            counted_max: 10_000,
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            hosts: Vec::new(),
            body_bytes_max: 8 * 1024 * 1024,
            question_bytes_max: 256 * 1024,
            json_depth_max: 32,
            batch_max: 10_000,
            n_default: 10,
            n_max: 500,
            page_max: 10_000,
            id_bytes_max: 512,
            request_milliseconds_max: 10_000,
            body_milliseconds_max: 10_000,
            head_milliseconds_max: 30_000,
            reads_max: 32,
            read_wait_milliseconds_max: 500,
            writes_max: 256,
            connections_max: 4_096,
            traces_max: 256,
            listeners_max: 256,
            event_ids_max: 100_000,
            rankings_max: 100_000,
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
        some("json_depth_max", self.json_depth_max as u64)?;
        some("burst_seconds", self.burst_seconds.into())?;
        some("counted_max", self.counted_max as u64)?;
        some("read_wait_milliseconds_max", self.read_wait_milliseconds_max)?;
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
        if self.tls_cert.as_os_str().is_empty() != self.tls_key.as_os_str().is_empty() {
            let found = "alone".into();
            let key = if self.tls_key.as_os_str().is_empty() { "tls_cert" } else { "tls_key" };
            return Err(ServeError::Config { key, found, expected: "both tls_cert and tls_key, or neither" });
        }
        Ok(())
    }
}
