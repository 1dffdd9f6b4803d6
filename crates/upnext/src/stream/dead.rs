//! Messages that nobody can read, set aside with the reason, so that those behind them are read.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Taken;

/// A file of JSON lines.
pub(crate) struct DeadLetters {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl DeadLetters {
    /// Opens the file for adding to it; it is made if it is missing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn open(path: &Path, bytes_max: u64) -> Result<Self> {
        let cannot = || format!("{}: the dead letters cannot be written there", path.display());
        let file = OpenOptions::new().create(true).append(true).open(path).with_context(cannot)?;
        let bytes = file.metadata().with_context(cannot)?.len();
        Ok(Self { path: path.into(), file, bytes, bytes_max })
    }

    /// Adds messages, each with the reason; they are on disk when this returns.
    ///
    /// # Errors
    /// When the file is full or cannot be written.
    pub(crate) fn add(&mut self, stream: &str, letters: &[(&Taken, String)]) -> Result<()> {
        let mut lines = String::new();
        for (message, reason) in letters {
            let line = serde_json::json!({
                "stream": stream,
                "sequence": message.sequence,
                "published": message.published,
                "reason": reason,
                "payload": String::from_utf8_lossy(&message.payload),
            });
            lines += &format!("{line}\n");
        }
        if self.bytes + lines.len() as u64 > self.bytes_max {
            let (path, max) = (self.path.display(), self.bytes_max);
            bail!(
                "{path} would grow beyond {max} bytes: see what is wrong with its messages, and move it away"
            );
        }
        self.file
            .write_all(lines.as_bytes())
            .and_then(|()| self.file.sync_data())
            .with_context(|| format!("{}: cannot be written", self.path.display()))?;
        self.bytes += lines.len() as u64;
        Ok(())
    }
}
