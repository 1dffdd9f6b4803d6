//! Giving space back to the disk.

use crate::{Sqlite, StoreError};

impl Sqlite {
    /// Gives up to `n_pages_max` free pages back to the disk and returns how many bytes the file is shorter.
    /// Writers wait as long as it takes to move that many pages: some milliseconds for a thousand. Call it
    /// until it returns 0.
    ///
    /// # Errors
    /// As [`crate::Store::append`].
    pub fn compact(&self, n_pages_max: usize) -> Result<u64, StoreError> {
        let doing = "give space back";
        // What waits in the log would lengthen the file meanwhile.
        self.end_log()?;
        let before = self.bytes()?;
        let (n, wrap) = (n_pages_max.clamp(1, 1_000_000), self.wrap(doing));
        self.outside(doing, move |desk| {
            let sql = format!("PRAGMA incremental_vacuum({n})");
            let mut statement = desk.connection.prepare(&sql).map_err(&wrap)?;
            let mut steps = statement.query([]).map_err(&wrap)?;
            while steps.next().map_err(&wrap)?.is_some() {}
            Ok(())
        })?;
        self.end_log()?;
        Ok(before.saturating_sub(self.bytes()?))
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        let of = self.path.metadata().map_err(|source| super::open::refused(&self.path, source))?;
        Ok(of.len())
    }
}
