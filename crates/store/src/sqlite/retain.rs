//! Giving space back to the disk.

use std::time::Duration;

use super::{Sqlite, open};
use crate::StoreError;

/// How long readers that are about to end are waited for, while nothing is written.
const READERS_WAIT: Duration = Duration::from_millis(50);

impl Sqlite {
    pub(super) fn give_back(&self, n_pages_max: usize) -> Result<u64, StoreError> {
        let doing = "give space back";
        let free = self.row(doing, "PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))?;
        if free.unwrap_or_default() == 0 {
            return Ok(0);
        }
        // Most of the log is copied beside the one that writes, so that ending it is short.
        let copied =
            open::beside(&self.path, &self.config)?
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        copied.map_err(self.wrap(doing))?;
        // What waits in the log would lengthen the file meanwhile. A reader that stays, such as a dump, is not waited for: writers would wait, too.
        if !self.ends_log(READERS_WAIT)? {
            let what = "readers hold on to the log; space is given back when they are gone";
            return Err(StoreError::Busy { what, retry_milliseconds: self.config.retry_milliseconds });
        }
        let before = self.bytes()?;
        let (n, wrap) = (n_pages_max.clamp(1, 1_000_000), self.wrap(doing));
        self.outside(doing, move |desk| {
            let sql = format!("PRAGMA incremental_vacuum({n})");
            let mut statement = desk.connection.prepare(&sql).map_err(&wrap)?;
            let mut steps = statement.query([]).map_err(&wrap)?;
            while steps.next().map_err(&wrap)?.is_some() {}
            Ok(())
        })?;
        // Where a reader came meanwhile, the next one shortens the file.
        self.ends_log(READERS_WAIT)?;
        Ok(before.saturating_sub(self.bytes()?))
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        let of = self.path.metadata().map_err(|source| open::refused(&self.path, source))?;
        Ok(of.len())
    }
}
