//! Whether the disk has room: asked at most once a second.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::StoreError;

const ASKED_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    bytes_min: u64,
    last: Mutex<Option<(Instant, u64)>>,
}

impl Room {
    pub(super) fn new(file: &Path, bytes_min: u64) -> Self {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new(".")).to_path_buf();
        Self { folder, bytes_min, last: Mutex::new(None) }
    }

    /// Whether a change that adds may pass.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.bytes_min == 0 {
            return Ok(());
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let free = match *last {
            Some((at, free)) if at.elapsed() < ASKED_EVERY => free,
            _ => {
                // A system that does not say has to do without the check.
                let free = rustix::fs::statvfs(&self.folder)
                    .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
                *last = Some((Instant::now(), free));
                free
            }
        };
        match free < self.bytes_min {
            true => Err(StoreError::NoRoom { folder: self.folder.clone(), free, min: self.bytes_min }),
            false => Ok(()),
        }
    }
}
