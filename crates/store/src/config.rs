//! Every limit of a store, each with a default.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Feedback, Identified, Step, StoreError, StoreUrl, StoredUser, StoredVideo, UserPatch, VideoPatch,
};

const DAY_MILLISECONDS: i64 = 86_400_000;

/// Limits of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The database that holds the store, `postgres://user@host:5432/database`; without one it is a file. It may hold a password, so it
    /// is never written.
    #[serde(skip_serializing)]
    pub url: Option<StoreUrl>,
    /// The database with pgvector where serving searches vectors that `upnext index --to` put there; without one, in files of the run.
    #[serde(skip_serializing)]
    pub vectors_url: Option<StoreUrl>,
    /// Bytes of a user's or video's id.
    pub id_bytes_max: usize,
    /// Bytes of a kind of feedback, and of a category.
    pub kind_bytes_max: usize,
    /// Bytes of a comment.
    pub comment_bytes_max: usize,
    /// Bytes of labels, written as JSON.
    pub labels_bytes_max: usize,
    /// Categories of a video.
    pub categories_max: usize,
    /// Rows in one call.
    pub batch_max: usize,
    /// Rows of one page or history; a larger request is answered with this many.
    pub page_max: usize,
    /// Calls that wait for the writer; one more is told that the store is busy.
    pub queue_calls_max: usize,
    /// Rows that wait for the writer; a call beyond it is told that the store is busy.
    pub queue_rows_max: usize,
    /// Rows of one commit, beyond which no further call joins it.
    pub commit_rows_max: usize,
    /// Connections that read.
    pub readers: usize,
    /// How long a read waits for one of them.
    pub read_wait_milliseconds: u64,
    /// What a caller is told to wait when the store is busy.
    pub retry_milliseconds: u64,
    /// Page cache of each reader.
    pub cache_kibibytes: usize,
    /// Page cache of the writer; what does not fit is read again for each commit.
    pub writer_cache_kibibytes: usize,
    /// Bytes of the write-ahead log at which a commit waits until the file has taken it in; half of it is
    /// taken in meanwhile.
    pub log_bytes_max: usize,
    /// Bytes that must be free on the disk; with fewer, changes that add are refused, while what deletes still
    /// passes. The log needs room beside it, so do not go below `log_bytes_max`. 0 never refuses.
    pub free_bytes_min: u64,
    /// Users whose numbers the writer remembers.
    pub cached_users_max: usize,
    /// Rows of feedback that wait to be sorted by video; a question by video looks through up to twice as many.
    pub unsorted_rows_max: usize,
    /// How long the id of an event is remembered, in days: one that comes again later counts again.
    pub event_ids_days_max: u32,
    /// Days for which feedback is kept after its time; 0 keeps it for ever.
    pub feedback_days_max: u32,
    /// How often it is looked for older feedback.
    pub expire_check_seconds: u64,
    /// Rows that expire in one commit.
    pub expire_rows_max: usize,
    /// The pause after each such commit, in which others write.
    pub expire_pause_milliseconds: u64,
    /// How long connecting to a database server may take.
    pub server_connect_milliseconds_max: u64,
    /// How long a server may take to answer what reads.
    pub server_answer_milliseconds_max: u64,
    /// How long a commit on a server may take, connecting again included.
    pub server_commit_milliseconds_max: u64,
    /// How often it is checked that a server's news still arrive.
    pub server_check_milliseconds: u64,
    /// How long a search of vectors on a server may take; what comes later is not waited for, and the request goes on without.
    pub vectors_answer_milliseconds_max: u64,
    /// Rows of a [`crate::Memory`] store, users, videos and feedback together.
    pub memory_rows_max: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: None,
            vectors_url: None,
            id_bytes_max: 512,
            kind_bytes_max: 128,
            comment_bytes_max: 16 * 1024,
            labels_bytes_max: 64 * 1024,
            categories_max: 100,
            batch_max: 10_000,
            page_max: 100_000,
            queue_calls_max: 1_024,
            queue_rows_max: 100_000,
            commit_rows_max: 10_000,
            readers: 4,
            read_wait_milliseconds: 2_000,
            retry_milliseconds: 200,
            cache_kibibytes: 8 * 1024,
            writer_cache_kibibytes: 64 * 1024,
            log_bytes_max: 256 << 20,
            free_bytes_min: 512 << 20,
            cached_users_max: 500_000,
            unsorted_rows_max: 200_000,
            event_ids_days_max: 7,
            feedback_days_max: 0,
            expire_check_seconds: 3_600,
            expire_rows_max: 1_000,
            expire_pause_milliseconds: 50,
            server_connect_milliseconds_max: 3_000,
            server_answer_milliseconds_max: 5_000,
            server_commit_milliseconds_max: 10_000,
            server_check_milliseconds: 1_000,
            vectors_answer_milliseconds_max: 200,
            memory_rows_max: 10_000_000,
        }
    }
}

impl StoreConfig {
    /// Checks the limits themselves; every store does so when it is opened.
    ///
    /// # Errors
    /// Names the first that is out of bounds, what it is and what is expected.
    pub fn check(&self) -> Result<(), StoreError> {
        const DAY: u64 = DAY_MILLISECONDS as u64;
        // A century.
        const DAYS: u64 = 36_500;
        // Numbers of rows and bytes are added and multiplied by small factors, also as i64.
        const MANY: u64 = 1 << 40;
        let n = |n: usize| n as u64;
        for (key, found, least, most) in [
            ("id_bytes_max", n(self.id_bytes_max), 1, 1 << 20),
            ("kind_bytes_max", n(self.kind_bytes_max), 1, 1 << 20),
            ("comment_bytes_max", n(self.comment_bytes_max), 0, 1 << 28),
            ("labels_bytes_max", n(self.labels_bytes_max), 0, 1 << 28),
            ("categories_max", n(self.categories_max), 0, 1 << 20),
            ("batch_max", n(self.batch_max), 1, MANY),
            ("page_max", n(self.page_max), 1, MANY),
            // Places for them are made beforehand.
            ("queue_calls_max", n(self.queue_calls_max), 1, 1 << 20),
            ("queue_rows_max", n(self.queue_rows_max), 1, MANY),
            ("commit_rows_max", n(self.commit_rows_max), 1, MANY),
            ("readers", n(self.readers), 1, 1_024),
            ("read_wait_milliseconds", self.read_wait_milliseconds, 0, DAY),
            ("retry_milliseconds", self.retry_milliseconds, 0, DAY),
            // SQLite counts them in 31 bits.
            ("cache_kibibytes", n(self.cache_kibibytes), 1, 1 << 30),
            ("writer_cache_kibibytes", n(self.writer_cache_kibibytes), 1, 1 << 30),
            ("log_bytes_max", n(self.log_bytes_max), 4_096, MANY),
            ("cached_users_max", n(self.cached_users_max), 0, MANY),
            ("unsorted_rows_max", n(self.unsorted_rows_max), 0, MANY),
            ("event_ids_days_max", self.event_ids_days_max.into(), 0, DAYS),
            ("feedback_days_max", self.feedback_days_max.into(), 0, DAYS),
            ("expire_check_seconds", self.expire_check_seconds, 1, DAY / 1_000),
            ("expire_rows_max", n(self.expire_rows_max), 1, MANY),
            ("expire_pause_milliseconds", self.expire_pause_milliseconds, 0, DAY),
            ("server_connect_milliseconds_max", self.server_connect_milliseconds_max, 1, DAY),
            ("server_answer_milliseconds_max", self.server_answer_milliseconds_max, 1, DAY),
            ("server_commit_milliseconds_max", self.server_commit_milliseconds_max, 1, DAY),
            ("server_check_milliseconds", self.server_check_milliseconds, 1, DAY),
            ("vectors_answer_milliseconds_max", self.vectors_answer_milliseconds_max, 1, DAY),
            ("memory_rows_max", n(self.memory_rows_max), 1, MANY),
        ] {
            if !(least..=most).contains(&found) {
                return Err(StoreError::Limit { key, found, least, most });
            }
        }
        Ok(())
    }

    /// Checks a batch of feedback.
    ///
    /// # Errors
    /// Names the first row and field that is out of bounds.
    pub fn check_feedback(&self, feedback: &[Feedback]) -> Result<(), StoreError> {
        self.check_batch("rows of feedback", feedback.len())?;
        feedback.iter().enumerate().try_for_each(|(row, f)| self.check_row(row, f))
    }

    fn check_row(&self, row: usize, f: &Feedback) -> Result<(), StoreError> {
        name("kind", row, &f.kind, self.kind_bytes_max)?;
        name("user id", row, &f.user, self.id_bytes_max)?;
        name("video id", row, &f.video, self.id_bytes_max)?;
        text("comment", row, &f.comment, self.comment_bytes_max)?;
        self.check_labels(row, &f.labels)?;
        match f.value.is_finite() {
            true => Ok(()),
            false => Err(StoreError::NotFinite { row, value: f.value }),
        }
    }

    /// Checks a batch of events and the step that they are.
    ///
    /// # Errors
    /// Names the first row and field that is out of bounds.
    pub(crate) fn check_events(
        &self,
        events: &[Identified],
        step: Option<Step<'_>>,
    ) -> Result<(), StoreError> {
        self.check_batch("events", events.len())?;
        for (row, event) in events.iter().enumerate() {
            event.id.iter().try_for_each(|id| name("event id", row, id, self.id_bytes_max))?;
            self.check_row(row, &event.feedback)?;
        }
        step.iter().try_for_each(|step| name("name of a stream", 0, step.stream, self.id_bytes_max))
    }

    /// Ids that were written before this moment are forgotten.
    pub(crate) fn event_ids_since(&self, now: i64) -> i64 {
        now.saturating_sub(i64::from(self.event_ids_days_max) * DAY_MILLISECONDS)
    }

    /// Feedback of before this moment is not kept any more; `None` where all of it is. `now` is in milliseconds since 1970.
    pub fn feedback_since(&self, now: i64) -> Option<i64> {
        let days = i64::from(self.feedback_days_max);
        (days > 0).then(|| now.saturating_sub(days * DAY_MILLISECONDS))
    }

    /// Checks a batch of users.
    ///
    /// # Errors
    /// Names the first row and field that is out of bounds.
    pub fn check_users(&self, users: &[StoredUser]) -> Result<(), StoreError> {
        self.check_batch("users", users.len())?;
        for (row, user) in users.iter().enumerate() {
            name("user id", row, &user.id, self.id_bytes_max)?;
            text("comment", row, &user.comment, self.comment_bytes_max)?;
            self.check_labels(row, &user.labels)?;
        }
        Ok(())
    }

    /// Checks a batch of videos.
    ///
    /// # Errors
    /// Names the first row and field that is out of bounds.
    pub fn check_videos(&self, videos: &[StoredVideo]) -> Result<(), StoreError> {
        self.check_batch("videos", videos.len())?;
        for (row, video) in videos.iter().enumerate() {
            name("video id", row, &video.id, self.id_bytes_max)?;
            text("comment", row, &video.comment, self.comment_bytes_max)?;
            self.check_labels(row, &video.labels)?;
            self.check_categories(row, &video.categories)?;
        }
        Ok(())
    }

    pub(crate) fn check_user_patch(&self, patch: &UserPatch) -> Result<(), StoreError> {
        text("comment", 0, patch.comment.as_deref().unwrap_or_default(), self.comment_bytes_max)?;
        self.check_labels(0, patch.labels.as_ref().unwrap_or(&Value::Null))
    }

    pub(crate) fn check_video_patch(&self, patch: &VideoPatch) -> Result<(), StoreError> {
        text("comment", 0, patch.comment.as_deref().unwrap_or_default(), self.comment_bytes_max)?;
        self.check_labels(0, patch.labels.as_ref().unwrap_or(&Value::Null))?;
        self.check_categories(0, patch.categories.as_deref().unwrap_or_default())?;
        self.check_categories(0, patch.add_category.as_slice())
    }

    pub(crate) fn check_id(&self, what: &'static str, id: &str) -> Result<(), StoreError> {
        name(what, 0, id, self.id_bytes_max)
    }

    pub(crate) fn check_categories(&self, row: usize, categories: &[String]) -> Result<(), StoreError> {
        if categories.len() > self.categories_max {
            let (n, max) = (categories.len(), self.categories_max);
            return Err(StoreError::TooMany { what: "categories of one video", n, max });
        }
        categories.iter().try_for_each(|category| name("category", row, category, self.kind_bytes_max))
    }

    fn check_batch(&self, what: &'static str, n: usize) -> Result<(), StoreError> {
        match n > self.batch_max {
            true => Err(StoreError::TooMany { what, n, max: self.batch_max }),
            false => Ok(()),
        }
    }

    fn check_labels(&self, row: usize, labels: &Value) -> Result<(), StoreError> {
        if labels.is_null() {
            return Ok(());
        }
        text("labels", row, &labels.to_string(), self.labels_bytes_max)
    }
}

fn name(what: &'static str, row: usize, text_of: &str, max: usize) -> Result<(), StoreError> {
    match text_of.is_empty() {
        true => Err(StoreError::Empty { what, row }),
        false => text(what, row, text_of, max),
    }
}

fn text(what: &'static str, row: usize, text: &str, max: usize) -> Result<(), StoreError> {
    match text.len() > max {
        true => Err(StoreError::TooLong { what, row, bytes: text.len(), max }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_with_which_no_store_works_is_named_with_what_is_expected() {
        StoreConfig::default().check().unwrap();
        let sound = || StoreConfig::default();
        for (key, config) in [
            ("page_max", StoreConfig { page_max: 0, ..sound() }),
            ("page_max", StoreConfig { page_max: usize::MAX, ..sound() }),
            ("batch_max", StoreConfig { batch_max: 0, ..sound() }),
            ("commit_rows_max", StoreConfig { commit_rows_max: 0, ..sound() }),
            ("queue_calls_max", StoreConfig { queue_calls_max: usize::MAX, ..sound() }),
            ("readers", StoreConfig { readers: 0, ..sound() }),
            ("read_wait_milliseconds", StoreConfig { read_wait_milliseconds: u64::MAX, ..sound() }),
            ("cache_kibibytes", StoreConfig { cache_kibibytes: 1 << 31, ..sound() }),
            ("server_check_milliseconds", StoreConfig { server_check_milliseconds: 0, ..sound() }),
            ("feedback_days_max", StoreConfig { feedback_days_max: u32::MAX, ..sound() }),
            ("expire_check_seconds", StoreConfig { expire_check_seconds: 0, ..sound() }),
            ("expire_rows_max", StoreConfig { expire_rows_max: 0, ..sound() }),
            (
                "server_commit_milliseconds_max",
                StoreConfig { server_commit_milliseconds_max: u64::MAX, ..sound() },
            ),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(&format!("{key} = ")) && error.contains("expected"), "{error}");
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store.db");
            let refused = crate::Sqlite::open(&path, config).unwrap_err();
            assert!(matches!(refused, StoreError::Limit { key: named, .. } if named == key), "{refused}");
            assert!(!path.exists(), "nothing was made");
        }
    }
}
