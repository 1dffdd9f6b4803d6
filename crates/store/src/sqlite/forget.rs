//! Erasing a user so that no byte of the id is left in the file, its free pages or the log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::writer::Desk;
use super::{Sqlite, open, rows};
use crate::{Receipt, StoreError};

/// Bytes of an id from which on it does not stand in a file by chance, among numbers.
const TELLING_BYTES: usize = 8;

/// How often the log's end is waited for while readers hold on to it; each try waits as long as a reader may.
const TRIES: usize = 10;

impl Sqlite {
    pub(super) fn erase(&self, user: &str, now: i64) -> Result<Receipt, StoreError> {
        self.config.check_id("user id", user)?;
        let doing = "forget a user";
        let (of, wrap) = (user.to_owned(), self.wrap(doing));
        let receipt = self.write(doing, 1, move |desk| rows_erased(desk, &of, now).map_err(&wrap))?;
        self.versions.feedback_changed([user]);
        // What is deleted is overwritten, but the log still holds pages as they were before, and a page that
        // was once split may hold a copy beyond its cells.
        self.end_log()?;
        if self.holds(user.as_bytes())? {
            let wrap = self.wrap("write the file anew");
            self.outside("write the file anew", move |desk| {
                desk.connection.execute_batch("VACUUM").map_err(&wrap)
            })?;
            self.end_log()?;
            self.check_gone(user)?;
        }
        Ok(receipt)
    }

    /// Looks again after the file was written anew: bytes may be left only where others' rows say the same.
    fn check_gone(&self, user: &str) -> Result<(), StoreError> {
        if user.len() < TELLING_BYTES || !self.holds(user.as_bytes())? {
            return Ok(());
        }
        match self.row("look for what must be gone", rows::STANDS_IN_ROWS, [user], |row| row.get(0))? {
            Some(true) => Ok(()),
            _ => Err(StoreError::NotErased { path: self.path.clone() }),
        }
    }

    /// Brings the whole log into the file and cuts it to nothing, waiting some seconds for readers.
    pub(super) fn end_log(&self) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            if self.ends_log(open::WRITER_WAIT)? {
                return Ok(());
            }
        }
        let what =
            "readers hold on to the log, so that it still has what was erased; ask again to erase that";
        Err(StoreError::Busy { what, retry_milliseconds: self.config.retry_milliseconds })
    }

    /// The same once, with so long a wait for readers, during which nothing is written; says whether it was brought in.
    pub(super) fn ends_log(&self, wait: Duration) -> Result<bool, StoreError> {
        let wrap = self.wrap("end the log");
        self.outside("end the log", move |desk| {
            desk.connection.busy_timeout(wait).map_err(&wrap)?;
            let ended = "PRAGMA wal_checkpoint(TRUNCATE)";
            let busy = desk.connection.query_row(ended, [], |row| row.get::<_, bool>(0));
            desk.connection.busy_timeout(open::WRITER_WAIT).map_err(&wrap)?;
            busy.map(|busy| !busy).map_err(&wrap)
        })
    }

    /// Whether these bytes stand anywhere in the file.
    fn holds(&self, wanted: &[u8]) -> Result<bool, StoreError> {
        let failed = |source| open::refused(&self.path, source);
        // Kept open as long as the store is: closing it would drop SQLite's own locks on the file.
        let mut kept = self.scanned.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let file = match &mut *kept {
            Some(file) => file,
            none => none.insert(File::open(&self.path).map_err(failed)?),
        };
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let (mut block, mut held) = (vec![0; 1 << 20], 0);
        loop {
            let n = file.read(&mut block[held..]).map_err(failed)?;
            if n == 0 {
                return Ok(false);
            }
            let read = &block[..held + n];
            if memchr::memmem::find(read, wanted).is_some() {
                return Ok(true);
            }
            // What may be the beginning of it stays for the next block.
            let keep = (wanted.len() - 1).min(read.len());
            let from = read.len() - keep;
            block.copy_within(from..from + keep, 0);
            held = keep;
        }
    }

    /// Receipts of all who were forgotten, the first first; at most `page_max`, after the first `skip`.
    ///
    /// # Errors
    /// As [`crate::Store::history`].
    pub fn receipts(&self, skip: usize) -> Result<Vec<Receipt>, StoreError> {
        let skip = i64::try_from(skip).unwrap_or(i64::MAX);
        self.rows("list receipts", rows::RECEIPTS, params![self.n(usize::MAX), skip], rows::receipt)
    }
}

fn rows_erased(desk: &Desk, user: &str, now: i64) -> rusqlite::Result<Receipt> {
    let connection = &desk.connection;
    let kinds: BTreeMap<String, u64> = connection
        .prepare(rows::KINDS_OF_USER)?
        .query_map([user], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
        .collect::<Result<_, _>>()?;
    connection.execute(rows::DELETE_FEEDBACK_OF_USER, [user])?;
    let profiles = connection.execute("DELETE FROM users WHERE id = ?1", [user])? as u64;
    desk.lose_user(user);
    let before: Option<String> = connection.query_row(rows::LAST_RECEIPT, [], |row| row.get(0)).optional()?;
    let receipt = Receipt::new(before.as_deref().unwrap_or_default(), now, profiles, kinds);
    rows::put_receipt(connection, &receipt)?;
    Ok(receipt)
}
