//! How often each video that no model knows was shown since the process began: what was shown too seldom to be judged goes first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Counts by outside id, of a bounded number of videos.
#[derive(Debug, Default)]
pub struct Exposures {
    shown: Mutex<HashMap<String, u32>>,
}

/// Videos that are counted. Beyond it all are forgotten, which gives newcomers places once more.
const VIDEOS_MAX: usize = 100_000;

impl Exposures {
    /// That videos were shown.
    pub fn count<'a>(&self, videos: impl Iterator<Item = &'a str>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for video in videos {
            if let Some(times) = shown.get_mut(video) {
                *times = times.saturating_add(1);
                continue;
            }
            if shown.len() >= VIDEOS_MAX {
                shown.clear();
            }
            shown.insert(video.to_string(), 1);
        }
    }

    /// How often each of some videos was shown.
    pub fn of<'a>(&self, videos: impl Iterator<Item = &'a str>) -> Vec<u32> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        videos.map(|video| shown.get(video).copied().unwrap_or(0)).collect()
    }
}
