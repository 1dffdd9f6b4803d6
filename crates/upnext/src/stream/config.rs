//! Every limit of reading a stream, each with a default.

use serde::{Deserialize, Serialize};

/// How a stream is read, and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StreamConfig {
    /// Messages of one commit, and that the broker hands out beyond those that were acknowledged: twice as many.
    pub(crate) batch_max: usize,
    /// Bytes of the messages of one commit. The broker hands out some more beyond those that were acknowledged: the client asks again when
    /// half is taken.
    pub(crate) batch_bytes_max: usize,
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

impl StreamConfig {
    /// Checks every bound.
    ///
    /// # Errors
    /// Names the first key that is out of bounds.
    pub(crate) fn check(&self) -> Result<(), String> {
        const DAY: u64 = 86_400_000;
        let keys = [
            ("batch_max", self.batch_max as u64, 1, 100_000),
            ("batch_bytes_max", self.batch_bytes_max as u64, 1, 1 << 30),
            ("gather_milliseconds_max", self.gather_milliseconds_max, 0, DAY),
            ("acknowledge_seconds_max", self.acknowledge_seconds_max, 1, DAY / 1_000),
            ("retry_milliseconds", self.retry_milliseconds, 1, DAY),
            ("progress_milliseconds", self.progress_milliseconds, 1, DAY),
            ("dead_letters_bytes_max", self.dead_letters_bytes_max, 1, u64::MAX),
        ];
        match keys.iter().find(|(_, found, least, most)| !(least..=most).contains(&found)) {
            Some((key, found, least, most)) => {
                Err(format!("stream setting `{key}` is {found}: expected {least} to {most}"))
            }
            None => Ok(()),
        }
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            batch_max: 1_000,
            batch_bytes_max: 16 << 20,
            gather_milliseconds_max: 20,
            acknowledge_seconds_max: 60,
            retry_milliseconds: 500,
            progress_milliseconds: 1_000,
            dead_letters_bytes_max: 1 << 30,
        }
    }
}
