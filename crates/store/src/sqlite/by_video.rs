//! The tree of feedback by video is filled later than the rows are written: in the order of arrival each row
//! would touch a page of its own, while many rows sorted by video share pages. Until then a question by video
//! looks through the rows that arrived last, whose number is bounded.

use std::path::PathBuf;
use std::thread::JoinHandle;

use rusqlite::{Connection, params};

use super::{open, rows};
use crate::{StoreConfig, StoreError};

/// How many rows enter the tree with a commit, for each row that the commit writes: more than arrive, so
/// that one round ends before the next is due.
const SORTED_FOR_EACH: usize = 2;
/// And how many at least.
const SORTED_MIN: usize = 100;

pub(super) struct ByVideo {
    path: PathBuf,
    config: StoreConfig,
    /// Rows up to this number are in the tree.
    until: i64,
    round: Round,
}

/// One round: the rows from `until` on are read and sorted on a thread, then enter the tree part by part.
enum Round {
    None,
    Sorting { to: i64, thread: JoinHandle<Result<Vec<i64>, StoreError>> },
    Entering { to: i64, numbers: Vec<i64>, entered: usize },
}

impl ByVideo {
    pub(super) fn new(
        path: PathBuf,
        config: &StoreConfig,
        connection: &Connection,
    ) -> rusqlite::Result<Self> {
        let until = connection.query_row(rows::BY_VIDEO_UNTIL, [], |row| row.get(0))?;
        Ok(Self { path, config: config.clone(), until, round: Round::None })
    }

    /// Enters the next part, inside the transaction of a commit of `n_rows`. Returns how many rows entered,
    /// for [`ByVideo::committed`].
    pub(super) fn enter(&self, connection: &Connection, n_rows: usize) -> rusqlite::Result<usize> {
        let Round::Entering { to, numbers, entered } = &self.round else { return Ok(0) };
        let n = (n_rows * SORTED_FOR_EACH).max(SORTED_MIN).min(numbers.len() - entered);
        let mut enter = connection.prepare_cached(rows::ENTER_BY_VIDEO)?;
        for number in &numbers[*entered..entered + n] {
            enter.execute([number])?;
        }
        if entered + n == numbers.len() {
            connection.prepare_cached(rows::SET_BY_VIDEO_UNTIL)?.execute([to])?;
        }
        Ok(n)
    }

    /// The transaction in which `n` rows entered was committed; `last` is the newest number. Begins a round
    /// when enough rows wait.
    pub(super) fn committed(&mut self, n: usize, last: i64) {
        self.round = match std::mem::replace(&mut self.round, Round::None) {
            Round::Entering { to, numbers, entered } if entered + n < numbers.len() => {
                Round::Entering { to, numbers, entered: entered + n }
            }
            Round::Entering { to, .. } => {
                self.until = to;
                Round::None
            }
            Round::Sorting { to, thread } if thread.is_finished() => match thread.join() {
                Ok(Ok(numbers)) => Round::Entering { to, numbers, entered: 0 },
                // Tried again with the next commit; questions by video look through more rows meanwhile.
                _ => Round::None,
            },
            // No more at once, however many wait: they are held in memory.
            Round::None if last - self.until > self.config.unsorted_rows_max as i64 => {
                self.sort(last.min(self.until + self.config.unsorted_rows_max.max(1) as i64))
            }
            round => round,
        };
    }

    fn sort(&self, to: i64) -> Round {
        let (path, config, until) = (self.path.clone(), self.config.clone(), self.until);
        let thread = std::thread::Builder::new().name("store-sort".into()).spawn(move || {
            let wrap = |error| open::database_error(&path, "sort feedback by video", error);
            let connection = open::reader(&path, &config)?;
            let mut read = connection.prepare(rows::UNSORTED).map_err(wrap)?;
            let found =
                read.query_map(params![until, to], |row| Ok((row.get(0)?, row.get(1)?))).map_err(wrap)?;
            let mut found: Vec<(String, i64)> = found.collect::<Result<_, _>>().map_err(wrap)?;
            found.sort_unstable();
            Ok(found.into_iter().map(|(_, number)| number).collect())
        });
        thread.map_or(Round::None, |thread| Round::Sorting { to, thread })
    }
}

impl Drop for ByVideo {
    fn drop(&mut self) {
        if let Round::Sorting { thread, .. } = std::mem::replace(&mut self.round, Round::None) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_rows_wait_a_round_takes_no_more_than_may_wait() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig { unsorted_rows_max: 10, ..StoreConfig::default() };
        let path = folder.path().join("none.sqlite");
        let mut by_video = ByVideo { path, config, until: 5, round: Round::None };
        by_video.committed(0, 15);
        assert!(matches!(by_video.round, Round::None), "ten rows may wait");
        by_video.committed(0, 1_000_000);
        assert!(matches!(by_video.round, Round::Sorting { to: 15, .. }));
    }
}
