//! What a log may say around an event: words, a device, a place. Few logs do, so it lies beside the events.

use serde::{Deserialize, Serialize};

use crate::Action;

/// The circumstances of one event. A search has no video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Circumstance {
    /// The user's row.
    pub user: u32,
    /// The video's row, where there is one.
    pub video: Option<u32>,
    /// What was done.
    pub action: Action,
    /// Milliseconds since 1970 (UTC).
    pub time: i64,
    /// What was written or searched for; empty if nothing.
    pub text: String,
    /// The device, as the log names it; empty if it does not.
    pub device: String,
    /// Latitude and longitude in degrees.
    pub place: Option<(f32, f32)>,
}
