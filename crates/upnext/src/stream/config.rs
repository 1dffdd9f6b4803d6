//! Every limit of reading a stream, each with a default.

use serde::{Deserialize, Serialize};

/// How a stream is read, and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StreamConfig {
    /// Messages of one commit, and that the broker hands out beyond those that were acknowledged: twice as many.
    pub(crate) batch_max: usize,
    /// How long a commit waits for more messages.
    pub(crate) gather_milliseconds_max: u64,
    /// How long the broker waits for an acknowledgement until it sends again.
    pub(crate) acknowledge_seconds_max: u64,
    /// How long until it is tried again after the store or the broker failed.
    pub(crate) retry_milliseconds: u64,
    /// How often it is said how far it is.
    pub(crate) progress_milliseconds: u64,
    /// Bytes of the file of messages that could not be read; where it is full, reading stops.
    pub(crate) dead_letters_bytes_max: u64,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            batch_max: 1_000,
            gather_milliseconds_max: 20,
            acknowledge_seconds_max: 60,
            retry_milliseconds: 500,
            progress_milliseconds: 1_000,
            dead_letters_bytes_max: 1 << 30,
        }
    }
}
