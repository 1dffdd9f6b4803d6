//! Brings what is committed from the write-ahead log into the file, on a thread of its own, so that commits
//! do not wait for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::open;
use crate::{StoreConfig, StoreError};

/// The side of it that the writer holds.
pub(super) struct Checkpoint {
    /// Pages in the log after the last commit.
    pages: Arc<AtomicUsize>,
    pages_max: usize,
    /// A copy of the log into the file is under way.
    busy: Arc<AtomicBool>,
    /// How many pages the log had when the last copy began; 0 before the first.
    copied: Arc<AtomicUsize>,
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoint {
    /// Starts the thread; `writer` no longer copies the log by itself.
    pub(super) fn start(
        path: &std::path::Path,
        config: &StoreConfig,
        writer: &mut Connection,
    ) -> Result<Self, StoreError> {
        let connection = open::beside(path, config)?;
        let wrap = |error| open::database_error(path, "open it", error);
        let page_bytes: i64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(wrap)?;
        let pages_max = config.log_bytes_max / usize::try_from(page_bytes).unwrap_or(4096).max(512);
        let pages = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&pages);
        writer
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, n: std::ffi::c_int| {
                counted.store(usize::try_from(n).unwrap_or(0), Ordering::Release);
                Ok(())
            }))
            .map_err(wrap)?;
        let (busy, copied) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ask, asked) = sync_channel::<()>(1);
        let thread = {
            let (busy, copied, pages) = (Arc::clone(&busy), Arc::clone(&copied), Arc::clone(&pages));
            move || {
                while asked.recv().is_ok() {
                    let at = pages.load(Ordering::Acquire);
                    // Where it fails, the writer meets the same failure when the log is at its bound.
                    let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                    copied.store(at, Ordering::Release);
                    busy.store(false, Ordering::Release);
                }
            }
        };
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(thread)
            .map_err(|source| StoreError::Open { path: path.into(), folder, source })?;
        Ok(Self { pages, pages_max, busy, copied, ask: Some(ask), thread: Some(thread) })
    }

    /// Called by the writer after each commit. The log is begun anew when nearly all of it was copied, or
    /// when it is at its bound; a reader that still needs it puts that off.
    pub(super) fn after_commit(&self, writer: &Connection) {
        let pages = self.pages.load(Ordering::Acquire);
        if pages < self.pages_max / 2 || self.busy.load(Ordering::Acquire) && pages < self.pages_max {
            return;
        }
        let copied = self.copied.load(Ordering::Acquire);
        if pages >= self.pages_max || copied > 0 && pages.saturating_sub(copied) < self.pages_max / 16 {
            let _ = writer.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
            self.copied.store(0, Ordering::Release);
            return;
        }
        self.busy.store(true, Ordering::Release);
        if let Some(ask) = &self.ask
            && ask.try_send(()).is_err()
        {
            self.busy.store(false, Ordering::Release);
        }
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        drop(self.ask.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
