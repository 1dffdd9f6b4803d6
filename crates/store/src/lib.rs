//! The live memory behind serving: what viewers did (the log), who they are (profiles), and what there is to
//! show (the catalogue).
//!
//! This crate knows events and durability. It does not know ranking. Acknowledged means durable: a method
//! that changes something returns after the change is on disk. [`Sqlite`] is the one to use; [`Memory`] is its
//! plain twin and judge, and both pass one contract suite.

mod config;
mod error;
mod feedback;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod profile;
mod receipt;
mod retention;
mod sqlite;
mod url;
mod version;

#[cfg(test)]
mod contract;

pub use config::StoreConfig;
pub use error::StoreError;
pub use feedback::{Feedback, FeedbackQuery, Identified, Step, Write};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use profile::{Presence, StoredUser, StoredVideo, UserPatch, VideoPatch};
pub use receipt::Receipt;
pub use retention::{Cleared, clear};
pub use sqlite::{DUMP_VERSION, Report, SCHEMA_VERSION, Sqlite};
pub use url::StoreUrl;
pub use version::Version;

/// One page of a list, and where the next one begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// At most as many as were asked for.
    pub rows: Vec<T>,
    /// What to give as `cursor` for the next page; empty after the last one.
    pub cursor: String,
}

impl<T> Page<T> {
    /// Cuts `n + 1` rows to `n`, with a cursor if there was one more.
    pub(crate) fn cut(mut rows: Vec<T>, n: i64, cursor: impl Fn(&T) -> String) -> Self {
        let more = rows.len() as i64 > n;
        rows.truncate(usize::try_from(n).unwrap_or(0));
        let cursor = rows.last().filter(|_| more).map(cursor).unwrap_or_default();
        Self { rows, cursor }
    }
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users that were written or gave feedback, without deleted ones.
    pub users: u64,
    /// Videos that were written, without deleted ones.
    pub videos: u64,
    /// Rows of feedback.
    pub feedback: u64,
}

/// What serving remembers. Every method may be called from many threads at once.
pub trait Store: Send + Sync {
    /// Writes feedback and returns how many rows were written; all of them or none. The key of a row is
    /// (kind, user, video). Durable when it returns. Users who are new are added.
    ///
    /// # Errors
    /// When a row is out of bounds (see [`StoreConfig`]), when too much waits to be written
    /// ([`StoreError::Busy`]), or when the disk fails.
    fn append(&self, feedback: &[Feedback], write: Write) -> Result<usize, StoreError>;

    /// Writes the feedback of events whose ids are new, in their order, and returns of how many; all of it, the ids and the step along
    /// the stream are one commit. An id is remembered for [`StoreConfig::event_ids_days_max`] days after `now`, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`Store::append`]; also when the store does not stand where the step begins ([`StoreError::Moved`]).
    fn append_once(
        &self,
        events: &[Identified],
        step: Option<Step<'_>>,
        now: i64,
    ) -> Result<usize, StoreError>;

    /// Where the store stands in a stream: the end of the last step, 0 before the first.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn position(&self, stream: &str) -> Result<u64, StoreError>;

    /// The newest `limit` rows of a user with a time of at most `until`, oldest first; equal times keep the
    /// order in which they were written. Without `until`, rows written for later are among them.
    ///
    /// # Errors
    /// When the disk fails or all readers are busy for too long.
    fn history(&self, user: &str, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError>;

    /// The earliest time of a user's rows that is later than `after`: when a history until `after` is next
    /// another one by the passing of time alone.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn next_time(&self, user: &str, after: i64) -> Result<Option<i64>, StoreError>;

    /// Feedback in the order in which its keys were first written, by any part of the key.
    ///
    /// # Errors
    /// As [`Store::history`]; also when the cursor is not one that a page gave.
    fn feedback(&self, query: &FeedbackQuery<'_>) -> Result<Page<Feedback>, StoreError>;

    /// The newest `limit` rows of everybody with a time of at least `since` and at most `until`, newest first.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn recent(&self, since: i64, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError>;

    /// Deletes what a user said of a video, of one kind or of all; returns how many rows are gone.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn delete_feedback(&self, kind: Option<&str>, user: &str, video: &str) -> Result<usize, StoreError>;

    /// Writes users, replacing those that are there; all of them or none.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn put_users(&self, users: &[StoredUser]) -> Result<usize, StoreError>;

    /// A user.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn user(&self, id: &str) -> Result<Option<StoredUser>, StoreError>;

    /// Whether a user is there, was deleted, or was never heard of.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn user_presence(&self, id: &str) -> Result<Presence, StoreError>;

    /// Users by id, after `cursor` (empty: from the first).
    ///
    /// # Errors
    /// As [`Store::history`].
    fn users(&self, cursor: &str, n: usize) -> Result<Page<StoredUser>, StoreError>;

    /// Changes the given parts of a user; `false` if there is no such user.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn patch_user(&self, id: &str, patch: &UserPatch) -> Result<bool, StoreError>;

    /// Deletes a user and all their feedback; `false` if there was neither. The id is remembered as deleted,
    /// so that a user of a run does not come back.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn delete_user(&self, id: &str) -> Result<bool, StoreError>;

    /// Erases a user, all their feedback and every trace of the id; `now` is for the receipt, which is kept.
    /// Unlike [`Store::delete_user`], nothing remembers that there was such a user: one of a run is back as
    /// the run knows them, until the run is made without them.
    ///
    /// # Errors
    /// As [`Store::append`]; [`StoreError::Busy`] also when the rows are gone but readers kept the bytes from
    /// being overwritten everywhere: ask again.
    fn forget(&self, id: &str, now: i64) -> Result<Receipt, StoreError>;

    /// Deletes feedback with a time before `before`, the oldest first, at most `n_rows_max` rows and no more
    /// than one commit may have; returns how many are gone. Call it until it returns 0.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn expire(&self, before: i64, n_rows_max: usize) -> Result<usize, StoreError>;

    /// Gives up to `n_pages_max` free pages of 4 KiB back to the disk and returns how many bytes that were; others that write wait for
    /// as long as moving so many pages takes. Call it until it returns 0. Where space is the business of somebody else, a server or
    /// nobody, it is 0 at once.
    ///
    /// # Errors
    /// As [`Store::append`]; [`StoreError::Busy`] also while readers hold on to what would be given back.
    fn compact(&self, n_pages_max: usize) -> Result<u64, StoreError> {
        let _ = n_pages_max;
        Ok(0)
    }

    /// Writes videos, replacing those that are there; all of them or none.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn put_videos(&self, videos: &[StoredVideo]) -> Result<usize, StoreError>;

    /// A video.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn video(&self, id: &str) -> Result<Option<StoredVideo>, StoreError>;

    /// Whether a video is there, was deleted, or was never heard of.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn video_presence(&self, id: &str) -> Result<Presence, StoreError>;

    /// Videos by id, after `cursor` (empty: from the first), hidden ones included.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn videos(&self, cursor: &str, n: usize) -> Result<Page<StoredVideo>, StoreError>;

    /// The newest `limit` videos that are not hidden, newest first, those without a time last, then by id.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn latest_videos(&self, limit: usize) -> Result<Vec<StoredVideo>, StoreError>;

    /// Changes the given parts of a video; `false` if there is no such video.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn patch_video(&self, id: &str, patch: &VideoPatch) -> Result<bool, StoreError>;

    /// Deletes a video and all feedback on it; `false` if there was neither. The id is remembered as deleted,
    /// so that a video of a run does not come back.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn delete_video(&self, id: &str) -> Result<bool, StoreError>;

    /// Ids of videos that must not be shown: hidden or deleted; by id, at most `limit`, whatever the bound of a page: what is cut here
    /// would be shown.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn hidden(&self, limit: usize) -> Result<Vec<String>, StoreError>;

    /// How much there is.
    ///
    /// # Errors
    /// As [`Store::history`].
    fn counts(&self) -> Result<Counts, StoreError>;

    /// How often it changed since it was opened. Costs nothing.
    fn version(&self) -> Version;

    /// A number that is another after every change of a user or of what they did; it may change without one. Costs nothing.
    fn user_version(&self, user: &str) -> u64;
}
