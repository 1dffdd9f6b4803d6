//! A store in one SQLite file: write-ahead log, `synchronous=FULL`, one writer, a few readers.
//!
//! SQLite checks what it writes and reads; this relies on the disk to keep what it said it has synced.

mod by_video;
mod checkpoint;
mod dump;
mod forget;
mod once;
mod open;
mod readers;
mod retain;
mod room;
mod rows;
mod verify;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

pub use dump::DUMP_VERSION;
pub use open::SCHEMA_VERSION;
pub use verify::Report;

use crate::version::Versions;
use crate::{
    Counts, Feedback, FeedbackQuery, Identified, Page, Presence, Receipt, Step, Store, StoreConfig,
    StoreError, StoredUser, StoredVideo, UserPatch, Version, VideoPatch, Write,
};
use by_video::ByVideo;
use checkpoint::Checkpoint;
use readers::Readers;
use room::Room;
use writer::{Desk, Writer};

/// A store in a file. Reads never wait for writes; writes of several threads share a commit.
pub struct Sqlite {
    config: StoreConfig,
    path: PathBuf,
    readers: Readers,
    /// None where the file is open for reading only.
    writer: Option<Writer>,
    versions: Versions,
    /// Of a file that another process writes, every look may see another state.
    looks: AtomicU64,
    room: Room,
    /// The file as it is searched for what must be gone; dropped after the connections.
    scanned: Mutex<Option<File>>,
    /// Held until the store is dropped, after reader and writer.
    _lock: Option<File>,
}

impl Sqlite {
    /// Opens the store in the file `path`, which is made if it is missing.
    ///
    /// # Errors
    /// When the file cannot be used: the message names it, the reason, and what to do. Also when a limit is out of bounds
    /// ([`StoreConfig::check`]).
    pub fn open(path: impl AsRef<Path>, config: StoreConfig) -> Result<Self, StoreError> {
        config.check()?;
        let path = path.as_ref().to_path_buf();
        let (lock, mut connection) = open::writer(&path, &config)?;
        let checkpoint = Checkpoint::start(&path, &config, &mut connection)?;
        let wrap = |error| open::database_error(&path, "open it", error);
        let by_video = ByVideo::new(path.clone(), &config, &connection).map_err(wrap)?;
        let desk = Desk::new(connection, &config).map_err(wrap)?;
        let readers = Readers::new(path.clone(), &config)?;
        let writer = Some(Writer::start(path.clone(), &config, desk, checkpoint, by_video)?);
        Ok(Self::of(config, path, readers, writer, Some(lock)))
    }

    /// Opens a store that another process may have open for writing; this one can only read it.
    ///
    /// # Errors
    /// As [`Sqlite::open`]; also when there is no such file.
    pub fn open_to_read(path: impl AsRef<Path>, config: StoreConfig) -> Result<Self, StoreError> {
        config.check()?;
        let path = path.as_ref().to_path_buf();
        open::check_readable(&path, &config)?;
        let readers = Readers::new(path.clone(), &config)?;
        Ok(Self::of(config, path, readers, None, None))
    }

    fn of(
        config: StoreConfig,
        path: PathBuf,
        readers: Readers,
        writer: Option<Writer>,
        lock: Option<File>,
    ) -> Self {
        let (versions, looks) = (Versions::default(), AtomicU64::default());
        let (room, scanned) = (Room::new(&path, config.free_bytes_min), Mutex::default());
        Self { config, path, readers, writer, versions, looks, room, scanned, _lock: lock }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn n(&self, limit: usize) -> i64 {
        i64::try_from(limit.min(self.config.page_max)).unwrap_or(i64::MAX)
    }

    fn read<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.readers
            .with(|connection| work(connection).map_err(|e| open::database_error(&self.path, doing, e)))
    }

    fn rows<T, P: Params>(
        &self,
        doing: &'static str,
        sql: &str,
        params: P,
        row: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(doing, |connection| connection.prepare_cached(sql)?.query_map(params, row)?.collect())
    }

    fn row<T, P: Params>(
        &self,
        doing: &'static str,
        sql: &str,
        params: P,
        row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.read(doing, |connection| connection.prepare_cached(sql)?.query_row(params, row).optional())
    }

    /// Runs `work` in a commit, with others that wait; returns when it is on disk.
    fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        n_rows: usize,
        work: impl Fn(&Desk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.writer {
            Some(writer) => writer.commit(doing, n_rows, true, work),
            None => Err(StoreError::OpenToRead { path: self.path.clone() }),
        }
    }

    /// As [`Sqlite::write`], for a change that adds, which needs room on the disk.
    fn add<T: Send + 'static>(
        &self,
        doing: &'static str,
        n_rows: usize,
        work: impl Fn(&Desk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.room.check()?;
        self.write(doing, n_rows, work)
    }

    /// Runs `work` where writes run, but outside of any transaction.
    fn outside<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl Fn(&Desk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.writer {
            Some(writer) => writer.commit(doing, 1, false, work),
            None => Err(StoreError::OpenToRead { path: self.path.clone() }),
        }
    }

    fn presence(&self, sql: &str, id: &str) -> Result<Presence, StoreError> {
        let deleted = self.row("look for an id", sql, [id], |row| row.get::<_, bool>(0))?;
        Ok(match deleted {
            None => Presence::Unknown,
            Some(true) => Presence::Deleted,
            Some(false) => Presence::Present,
        })
    }

    /// Wraps SQLite's errors inside a change.
    fn wrap(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + Send + 'static {
        let path = self.path.clone();
        move |error| open::database_error(&path, doing, error)
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite")
            .field("path", &self.path)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Store for Sqlite {
    fn append(&self, feedback: &[Feedback], write: Write) -> Result<usize, StoreError> {
        self.config.check_feedback(feedback)?;
        if feedback.is_empty() {
            return Ok(0);
        }
        let doing = "write feedback";
        let (prepared, wrap) = (rows::Prepared::new(feedback), self.wrap(doing));
        self.add(doing, feedback.len(), move |desk| prepared.write(desk, write).map_err(&wrap))?;
        self.versions.feedback_changed(feedback.iter().map(|f| f.user.as_str()));
        Ok(feedback.len())
    }

    fn append_once(
        &self,
        events: &[Identified],
        step: Option<Step<'_>>,
        now: i64,
    ) -> Result<usize, StoreError> {
        self.config.check_events(events, step)?;
        let doing = "write events";
        let step = step.map(Into::into);
        let since = self.config.event_ids_since(now);
        let (once, wrap) = (once::Once { events: events.to_vec(), step, now, since }, self.wrap(doing));
        let n = self.add(doing, events.len().max(1), move |desk| once.write(desk, &wrap))?;
        self.versions.feedback_changed(events.iter().map(|event| event.feedback.user.as_str()));
        Ok(n)
    }

    fn position(&self, stream: &str) -> Result<u64, StoreError> {
        let found = self.row("look for a position", rows::POSITION, [stream], |row| row.get::<_, i64>(0))?;
        Ok(found.unwrap_or_default().unsigned_abs())
    }

    fn history(&self, user: &str, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> {
        let params = params![user, self.n(limit), until.unwrap_or(i64::MAX)];
        let mut found = self.rows("read a history", rows::HISTORY, params, rows::feedback)?;
        found.reverse();
        Ok(found)
    }

    fn next_time(&self, user: &str, after: i64) -> Result<Option<i64>, StoreError> {
        let found =
            self.row("look for later feedback", rows::NEXT_TIME, params![user, after], |row| row.get(0))?;
        Ok(found.flatten())
    }

    fn feedback(&self, query: &FeedbackQuery<'_>) -> Result<Page<Feedback>, StoreError> {
        let after: i64 = match query.cursor {
            "" => -1,
            cursor => match cursor.parse::<i64>() {
                Ok(at) if at >= 0 => at,
                _ => return Err(StoreError::Cursor { cursor: cursor.into() }),
            },
        };
        let n = self.n(query.n);
        let found = self.read("list feedback", |connection| {
            let mut statement = connection.prepare_cached(rows::feedback_query(query))?;
            let numbered = |row: &Row<'_>| Ok((row.get::<_, i64>(7)?, rows::feedback(row)?));
            let params = params![after, n + 1, query.kind, query.user, query.video];
            statement.query_map(params, numbered)?.collect()
        })?;
        let Page { rows, cursor } = Page::cut(found, n, |(at, _)| at.to_string());
        Ok(Page { rows: rows.into_iter().map(|(_, f)| f).collect(), cursor })
    }

    fn recent(&self, since: i64, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> {
        let params = params![since, self.n(limit), until.unwrap_or(i64::MAX)];
        self.rows("read recent feedback", rows::RECENT, params, rows::feedback)
    }

    fn delete_feedback(&self, kind: Option<&str>, user: &str, video: &str) -> Result<usize, StoreError> {
        let doing = "delete feedback";
        let (kind, of, video) = (kind.map(str::to_owned), user.to_owned(), video.to_owned());
        let wrap = self.wrap(doing);
        let gone = self.write(doing, 1, move |desk| {
            desk.connection.execute(rows::DELETE_FEEDBACK, params![of, video, kind]).map_err(&wrap)
        })?;
        self.versions.feedback_changed([user]);
        Ok(gone)
    }

    fn put_users(&self, users: &[StoredUser]) -> Result<usize, StoreError> {
        self.config.check_users(users)?;
        let doing = "write users";
        let (owned, wrap) = (users.to_vec(), self.wrap(doing));
        self.add(doing, users.len(), move |desk| {
            owned.iter().try_for_each(|user| rows::put_user(&desk.connection, user)).map_err(&wrap)
        })?;
        self.versions.users_changed(users.iter().map(|user| user.id.as_str()));
        Ok(users.len())
    }

    fn user(&self, id: &str) -> Result<Option<StoredUser>, StoreError> {
        self.row("read a user", rows::USER, [id], rows::user)
    }

    fn user_presence(&self, id: &str) -> Result<Presence, StoreError> {
        self.presence("SELECT deleted FROM users WHERE id = ?1", id)
    }

    fn users(&self, cursor: &str, n: usize) -> Result<Page<StoredUser>, StoreError> {
        let n = self.n(n);
        let found = self.rows("list users", rows::USERS, params![cursor, n + 1], rows::user)?;
        Ok(Page::cut(found, n, |user| user.id.clone()))
    }

    fn patch_user(&self, id: &str, patch: &UserPatch) -> Result<bool, StoreError> {
        self.config.check_user_patch(patch)?;
        let doing = "change a user";
        let (of, patch, wrap) = (id.to_owned(), patch.clone(), self.wrap(doing));
        let was = self.add(doing, 1, move |desk| {
            let user = desk.connection.query_row(rows::USER, [&of], rows::user).optional().map_err(&wrap)?;
            let Some(mut user) = user else { return Ok(false) };
            patch.apply(&mut user);
            rows::put_user(&desk.connection, &user).map_err(&wrap)?;
            Ok(true)
        })?;
        self.versions.users_changed([id]);
        Ok(was)
    }

    fn delete_user(&self, id: &str) -> Result<bool, StoreError> {
        self.config.check_id("user id", id)?;
        let doing = "delete a user";
        let (of, wrap) = (id.to_owned(), self.wrap(doing));
        let was = self.write(doing, 1, move |desk| {
            let gone = desk.connection.execute(rows::DELETE_FEEDBACK_OF_USER, [&of]).map_err(&wrap)?;
            let was = desk.connection.query_row(rows::USER, [&of], |_| Ok(())).optional().map_err(&wrap)?;
            desk.connection.execute(rows::BURY_USER, [&of]).map_err(&wrap)?;
            desk.lose_user(&of);
            Ok(was.is_some() || gone > 0)
        })?;
        self.versions.feedback_changed([id]);
        Ok(was)
    }

    fn forget(&self, id: &str, now: i64) -> Result<Receipt, StoreError> {
        self.erase(id, now)
    }

    fn expire(&self, before: i64, n_rows_max: usize) -> Result<usize, StoreError> {
        let doing = "delete old feedback";
        let n = n_rows_max.min(self.config.commit_rows_max);
        let (limit, wrap) = (i64::try_from(n).unwrap_or(i64::MAX), self.wrap(doing));
        let gone = self.write(doing, 1, move |desk| {
            rows::delete_found(&desk.connection, rows::OLD_KEYS, [before, limit]).map_err(&wrap)
        })?;
        if gone > 0 {
            self.versions.all_feedback_changed();
        }
        Ok(gone)
    }

    fn compact(&self, n_pages_max: usize) -> Result<u64, StoreError> {
        self.give_back(n_pages_max)
    }

    fn put_videos(&self, videos: &[StoredVideo]) -> Result<usize, StoreError> {
        self.config.check_videos(videos)?;
        let doing = "write videos";
        let (owned, wrap) = (videos.to_vec(), self.wrap(doing));
        self.add(doing, videos.len(), move |desk| {
            owned.iter().try_for_each(|video| rows::put_video(&desk.connection, video)).map_err(&wrap)
        })?;
        self.versions.videos_changed();
        Ok(videos.len())
    }

    fn video(&self, id: &str) -> Result<Option<StoredVideo>, StoreError> {
        self.row("read a video", rows::VIDEO, [id], rows::video)
    }

    fn video_presence(&self, id: &str) -> Result<Presence, StoreError> {
        self.presence("SELECT deleted FROM videos WHERE id = ?1", id)
    }

    fn videos(&self, cursor: &str, n: usize) -> Result<Page<StoredVideo>, StoreError> {
        let n = self.n(n);
        let found = self.rows("list videos", rows::VIDEOS, params![cursor, n + 1], rows::video)?;
        Ok(Page::cut(found, n, |video| video.id.clone()))
    }

    fn latest_videos(&self, limit: usize) -> Result<Vec<StoredVideo>, StoreError> {
        self.rows("read the latest videos", rows::LATEST_VIDEOS, [self.n(limit)], rows::video)
    }

    fn patch_video(&self, id: &str, patch: &VideoPatch) -> Result<bool, StoreError> {
        self.config.check_video_patch(patch)?;
        let doing = "change a video";
        let (id, patch, wrap, config) = (id.to_owned(), patch.clone(), self.wrap(doing), self.config.clone());
        let was = self.add(doing, 1, move |desk| {
            let video =
                desk.connection.query_row(rows::VIDEO, [&id], rows::video).optional().map_err(&wrap)?;
            let Some(mut video) = video else { return Ok(false) };
            patch.apply(&mut video);
            config.check_categories(0, &video.categories)?;
            rows::put_video(&desk.connection, &video).map_err(&wrap)?;
            Ok(true)
        })?;
        self.versions.videos_changed();
        Ok(was)
    }

    fn delete_video(&self, id: &str) -> Result<bool, StoreError> {
        self.config.check_id("video id", id)?;
        let doing = "delete a video";
        let (id, wrap) = (id.to_owned(), self.wrap(doing));
        let was = self.write(doing, 1, move |desk| {
            let gone = rows::delete_found(&desk.connection, rows::KEYS_ON_VIDEO, [&id]).map_err(&wrap)?;
            let was = desk.connection.query_row(rows::VIDEO, [&id], |_| Ok(())).optional().map_err(&wrap)?;
            desk.connection.execute(rows::BURY_VIDEO, [&id]).map_err(&wrap)?;
            Ok(was.is_some() || gone > 0)
        })?;
        self.versions.videos_changed();
        self.versions.all_feedback_changed();
        Ok(was)
    }

    fn hidden(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.rows("list hidden videos", rows::HIDDEN, [limit], |row| row.get(0))
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        Ok(self.row("count", rows::COUNTS, [], rows::counts)?.unwrap_or_default())
    }

    fn version(&self) -> Version {
        self.versions.version()
    }

    fn user_version(&self, user: &str) -> u64 {
        match self.writer {
            Some(_) => self.versions.of_user(user),
            None => self.looks.fetch_add(1, Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<Sqlite, StoreError> {
        Sqlite::open(path, StoreConfig::default())
    }

    #[test]
    fn a_folder_a_missing_parent_and_foreign_bytes_are_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Folder { .. }), "{error}");

        let file = folder.path().join("file");
        std::fs::write(&file, "no database, but long enough to look at").unwrap();
        let error = open(&file.join("store.db")).unwrap_err();
        assert!(matches!(error, StoreError::Open { .. }), "{error}");
        assert!(error.to_string().contains("file/store.db"), "{error}");

        let error = open(&file).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        let left = std::fs::read_to_string(&file).unwrap();
        assert!(left.starts_with("no database"), "the foreign file is left as it was");
    }

    #[test]
    fn a_file_in_use_another_schema_and_a_damaged_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/store.db");
        let first = open(&path).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        let user = StoredUser { id: "ann".into(), ..StoredUser::default() };
        first.put_users(&vec![user; 100]).unwrap();
        drop(first);

        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Schema { found: 99, expected: SCHEMA_VERSION, .. }), "{error}");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", SCHEMA_VERSION).unwrap();
        drop(open(&path).unwrap());

        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100..4096].fill(0xAB);
        std::fs::write(&path, bytes).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }

    #[test]
    fn a_store_in_use_can_be_read_beside_it_but_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let missing = Sqlite::open_to_read(&path, StoreConfig::default()).unwrap_err();
        assert!(matches!(missing, StoreError::Open { .. }), "{missing}");
        let first = open(&path).unwrap();
        let beside = Sqlite::open_to_read(&path, StoreConfig::default()).unwrap();
        let ann = StoredUser { id: "ann".into(), ..StoredUser::default() };
        first.put_users(std::slice::from_ref(&ann)).unwrap();
        assert_eq!(beside.user("ann").unwrap(), Some(ann.clone()), "it sees what the other has written");
        let error = beside.put_users(std::slice::from_ref(&ann)).unwrap_err();
        assert!(matches!(error, StoreError::OpenToRead { .. }), "{error}");
        drop(first);
        drop(beside);
        let alone = Sqlite::open_to_read(&path, StoreConfig::default()).unwrap();
        assert_eq!(alone.user("ann").unwrap(), Some(ann));
    }

    #[test]
    fn a_full_queue_is_told_to_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig { queue_calls_max: 1, ..StoreConfig::default() };
        let store = Sqlite::open(folder.path().join("store.db"), config).unwrap();
        let (release, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let wait = std::sync::Mutex::new(wait);
        let (entered, inside) = std::sync::mpsc::sync_channel::<()>(1);
        let ann = [StoredUser { id: "ann".into(), ..StoredUser::default() }];
        std::thread::scope(|scope| {
            let held = scope.spawn(|| {
                store.write("wait", 1, move |_| {
                    entered.send(()).unwrap();
                    wait.lock().unwrap().recv().unwrap();
                    Ok(())
                })
            });
            inside.recv().unwrap();
            // The writer is at work and one call may wait, so two of three are sent away.
            let (say, said) = std::sync::mpsc::channel();
            for _ in 0..3 {
                let (say, store, ann) = (say.clone(), &store, &ann);
                scope.spawn(move || say.send(store.put_users(ann)).unwrap());
            }
            for _ in 0..2 {
                let busy = said.recv().unwrap().unwrap_err();
                assert!(matches!(busy, StoreError::Busy { retry_milliseconds: 200, .. }), "{busy}");
            }
            assert_eq!(store.history("ann", None, 10).unwrap(), [], "a read does not wait for the writer");
            release.send(()).unwrap();
            held.join().unwrap().unwrap();
            assert_eq!(said.recv().unwrap().unwrap(), 1);
        });
        assert!(store.user("ann").unwrap().is_some());
    }

    #[test]
    fn many_threads_share_commits_and_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("store.db")).unwrap();
        let event = |user: usize, at: usize| Feedback {
            kind: "like".into(),
            user: format!("u{user}"),
            video: format!("v{at}"),
            value: 1.0,
            time: at as i64,
            labels: serde_json::Value::Null,
            comment: String::new(),
        };
        std::thread::scope(|scope| {
            for user in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for at in 0..50 {
                        store.append(&[event(user, at)], Write::Accumulate).unwrap();
                        let newest = store.history(&format!("u{user}"), None, 1).unwrap();
                        assert_eq!(newest, [event(user, at)], "what was acknowledged is read at once");
                    }
                });
            }
        });
        assert_eq!(store.counts().unwrap(), Counts { users: 8, videos: 0, feedback: 400 });
        assert!(store.writer.as_ref().unwrap().commits() <= 400, "a commit never holds less than one call");
    }

    #[test]
    fn a_question_by_video_has_one_answer_before_amid_and_after_rows_are_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let config = StoreConfig { unsorted_rows_max: 400, ..StoreConfig::default() };
        let store = Sqlite::open(&path, config.clone()).unwrap();
        let until = |store: &Sqlite| store.row("look", rows::BY_VIDEO_UNTIL, [], |row| row.get::<_, i64>(0));
        let (mut expected, mut rounds) = (0, std::collections::BTreeSet::new());
        for at in 0..400 {
            let rows = ["a", "b", "c"].map(|video| Feedback {
                kind: "like".into(),
                user: format!("u{at}"),
                video: video.into(),
                value: 1.0,
                time: at,
                labels: serde_json::Value::Null,
                comment: String::new(),
            });
            store.append(&rows, Write::Overwrite).unwrap();
            expected += 1;
            if at % 10 == 3 {
                expected -= store.delete_feedback(None, &format!("u{}", at / 2), "b").unwrap();
            }
            let on_b = FeedbackQuery { video: Some("b"), n: 1_000, ..FeedbackQuery::default() };
            let found = store.feedback(&on_b).unwrap().rows;
            assert_eq!(found.len(), expected);
            assert!(found.is_sorted_by_key(|f| f.time), "in the order of first writing");
            rounds.insert(until(&store).unwrap());
        }
        assert!(rounds.len() > 2, "rows were sorted meanwhile: {rounds:?}");
        assert!(store.delete_video("b").unwrap());
        let left = store.counts().unwrap().feedback;
        assert_eq!(left, 800, "of a deleted video no row is left, sorted or not");
        let dangling =
            "SELECT count(*) FROM feedback_by_video WHERE number NOT IN (SELECT number FROM feedback)";
        assert_eq!(store.row("look", dangling, [], |row| row.get::<_, i64>(0)).unwrap(), Some(0));
    }

    #[test]
    fn a_change_that_fails_takes_nothing_else_of_its_commit_along() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig { categories_max: 1, ..StoreConfig::default() };
        let store = Sqlite::open(folder.path().join("store.db"), config).unwrap();
        let video = StoredVideo { id: "v".into(), categories: vec!["a".into()], ..StoredVideo::default() };
        store.put_videos(std::slice::from_ref(&video)).unwrap();
        let more = VideoPatch { hidden: Some(true), add_category: Some("b".into()), ..VideoPatch::default() };
        assert!(matches!(store.patch_video("v", &more), Err(StoreError::TooMany { .. })));
        assert_eq!(store.video("v").unwrap(), Some(video));
    }
}
