//! Pictures of videos, as far as whoever starts the service has some.

use std::collections::HashMap;
use std::io;

/// Small JPEG pictures of videos, by outside ids.
pub trait Pictures: Send + Sync {
    /// Whether a video has one; asked for each card that is shown, so it must be quick.
    fn has(&self, video: &str) -> bool;

    /// A video's picture; `None` where it has none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, video: &str) -> io::Result<Option<Vec<u8>>>;
}

/// In memory, for a few; an empty one has none.
impl Pictures for HashMap<String, Vec<u8>> {
    fn has(&self, video: &str) -> bool {
        self.contains_key(video)
    }

    fn read(&self, video: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.get(video).cloned())
    }
}
