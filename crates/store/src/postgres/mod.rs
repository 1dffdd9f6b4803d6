//! A store in PostgreSQL, which several processes share: what one acknowledged, all of them read.
//!
//! One task writes, a few connections read, one listens for what other processes changed. This relies on the server to keep what it said
//! it has committed, and to deliver its notifications to who listens.

mod connect;
mod listen;
mod pool;
mod rows;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::Row;

use crate::{
    Counts, Feedback, FeedbackQuery, Identified, Page, Presence, Receipt, Step, Store, StoreConfig,
    StoreError, StoredUser, StoredVideo, UserPatch, Version, VideoPatch, Write,
};
use connect::{Connection, SCHEMA_NAME, Server, said};
use listen::Hearing;
use pool::{Parameters, Pool};
use writer::{Answer, Change, Writer};

/// Threads that move bytes between sockets and calls.
const THREADS: usize = 2;

/// A store in a database of PostgreSQL. It may be used from any thread, of an async runtime too.
pub struct Postgres {
    config: StoreConfig,
    server: Arc<Server>,
    pool: Arc<Pool>,
    writer: Writer,
    hearing: Arc<Hearing>,
    /// While nothing is heard of others, every look may see another state.
    looks: AtomicU64,
    /// `None` once it is dropped.
    runtime: Option<Runtime>,
}

impl Postgres {
    /// Opens the store in the database that `url` names (`postgres://user:password@host:5432/database`). Its tables are made in the schema
    /// `upnext` if they are missing.
    ///
    /// # Errors
    /// When the URL cannot be meant, the server cannot be reached or refuses, or the tables are another build's: the message names host
    /// and database, never the password.
    pub fn open(url: &str, config: StoreConfig) -> Result<Self, StoreError> {
        config.check()?;
        let server = Arc::new(Server::of(url, &config)?);
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("store-postgres")
            .enable_all()
            .build()
            .map_err(|error| server.failed("start its threads", error.to_string()))?;
        let (made, making) =
            (Arc::clone(&server), Duration::from_millis(config.server_commit_milliseconds_max));
        on(&runtime, async move {
            let connection = made.connect().await?;
            match timeout(making, make(&made, &connection)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(made.late("make its tables")),
            }
        })?;
        // A name that no other process has.
        let name = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let hearing = Arc::new(Hearing { writer: name.clone(), ..Hearing::default() });
        let (opened, heard) = sync_channel(1);
        runtime.spawn(listen::listen(
            Arc::clone(&server),
            Arc::clone(&hearing),
            Duration::from_millis(config.server_check_milliseconds),
            opened,
        ));
        heard.recv().unwrap_or_else(|_| Err(server.failed("listen", "its task has ended".into())))?;
        let pool = Arc::new(Pool::new(&config));
        let writer = {
            let _entered = runtime.enter();
            Writer::start(Arc::clone(&server), name, &config)
        };
        let looks = AtomicU64::default();
        Ok(Self { config, server, pool, writer, hearing, looks, runtime: Some(runtime) })
    }

    /// Host, port and database.
    pub fn name(&self) -> &str {
        self.server.name()
    }

    /// All receipts, from the first on.
    ///
    /// # Errors
    /// As [`Store::history`].
    pub fn receipts(&self) -> Result<Vec<Receipt>, StoreError> {
        self.rows("read receipts", rows::RECEIPTS, Vec::new(), rows::receipt)
    }

    fn n(&self, limit: usize) -> i64 {
        i64::try_from(limit.min(self.config.page_max)).unwrap_or(i64::MAX)
    }

    /// The rows of a statement that changes nothing.
    fn rows<T>(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: Parameters,
        shape: impl Fn(&Row) -> Result<T, String>,
    ) -> Result<Vec<T>, StoreError> {
        let (server, pool) = (Arc::clone(&self.server), Arc::clone(&self.pool));
        let runtime = self.runtime.as_ref().expect("it is taken only when the store is dropped");
        let rows = on(runtime, async move { pool.query(&server, doing, sql, parameters).await })?;
        let shaped: Result<Vec<T>, String> = rows.iter().map(shape).collect();
        shaped.map_err(|message| self.server.failed(doing, message))
    }

    fn row<T>(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: Parameters,
        shape: impl Fn(&Row) -> Result<T, String>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.rows(doing, sql, parameters, shape)?.pop())
    }

    fn presence(&self, sql: &'static str, id: &str) -> Result<Presence, StoreError> {
        let id = vec![Box::new(rows::stored(id)) as _];
        Ok(match self.row("look for an id", sql, id, |row| rows::cell(row, 0))? {
            None => Presence::Unknown,
            Some(true) => Presence::Deleted,
            Some(false) => Presence::Present,
        })
    }

    /// What a committed change came to.
    fn answer(&self, doing: &'static str, change: Change) -> Result<Answer, StoreError> {
        let answer = self.writer.commit(doing, change);
        if matches!(answer, Err(StoreError::Unsure { .. })) {
            self.hearing.is_unsure.store(true, Ordering::Release);
            self.hearing.versions.everything_changed();
        }
        answer
    }

    /// How many rows a change wrote or deleted.
    fn n_changed(&self, doing: &'static str, change: Change) -> Result<usize, StoreError> {
        match self.answer(doing, change)? {
            Answer::Rows(n) => Ok(n),
            Answer::Was(was) => Ok(usize::from(was)),
            Answer::Forgotten(_) => Ok(1),
            Answer::Refused(error) => Err(error),
        }
    }

    /// Whether there was something to change.
    fn was_changed(&self, doing: &'static str, change: Change) -> Result<bool, StoreError> {
        self.n_changed(doing, change).map(|n| n > 0)
    }
}

/// Waits for what runs on the store's own threads; unlike `block_on` it may be called on a thread of another runtime.
fn on<T: Send + 'static>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let (say, said) = sync_channel(1);
    runtime.spawn(async move {
        let _ = say.send(work.await);
    });
    let ended = |_| {
        let (what, retry_milliseconds) = ("a call of it has ended without an answer", 0);
        Err(StoreError::Busy { what, retry_milliseconds })
    };
    said.recv().unwrap_or_else(ended)
}

/// Makes the tables where there are none, and checks whose they are.
async fn make(server: &Server, connection: &Connection) -> Result<(), StoreError> {
    let doing = "make its tables";
    let failed = |error: tokio_postgres::Error| server.failed(doing, said(&error));
    // Of several processes that come at once, one makes them; the number stands for this schema in this database.
    connection.run("BEGIN; SELECT pg_advisory_xact_lock(hashtext('upnext store'))").await.map_err(failed)?;
    let there = connection
        .query("SELECT to_regclass('upnext.store') IS NOT NULL", &[])
        .await
        .map_err(failed)?
        .first()
        .is_some_and(|row| row.try_get(0).unwrap_or(false));
    if !there {
        let (tables, version) = (rows::TABLES, rows::TABLES_VERSION);
        let made = connection
            .run(&format!(
                "CREATE SCHEMA IF NOT EXISTS {SCHEMA_NAME}; {tables} INSERT INTO store VALUES (true, {version})"
            ))
            .await;
        made.map_err(failed)?;
    }
    let found = connection.query("SELECT version FROM store", &[]).await.map_err(failed)?;
    let found: i64 = found.first().and_then(|row| row.try_get(0).ok()).unwrap_or_default();
    if found != rows::TABLES_VERSION {
        let (server, expected) = (server.name().to_owned(), rows::TABLES_VERSION);
        return Err(StoreError::Tables { server, found, expected });
    }
    connection.execute(rows::FORGET_WRITERS, &[]).await.map_err(failed)?;
    connection.run("COMMIT").await.map_err(failed)
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Whoever writes waits for the answer, so nothing is left to be written.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("server", &self.server.name()).finish_non_exhaustive()
    }
}

impl Store for Postgres {
    fn append(&self, feedback: &[Feedback], write: Write) -> Result<usize, StoreError> {
        self.config.check_feedback(feedback)?;
        let change = Change::Append { feedback: feedback.to_vec(), write };
        let n = self.n_changed("write feedback", change)?;
        self.hearing.versions.feedback_changed(feedback.iter().map(|f| f.user.as_str()));
        Ok(n)
    }

    fn append_once(
        &self,
        events: &[Identified],
        step: Option<Step<'_>>,
        now: i64,
    ) -> Result<usize, StoreError> {
        self.config.check_events(events, step)?;
        let step = step.map(Into::into);
        let n = self.n_changed("write events", Change::AppendOnce { events: events.to_vec(), step, now })?;
        self.hearing.versions.feedback_changed(events.iter().map(|event| event.feedback.user.as_str()));
        Ok(n)
    }

    fn position(&self, stream: &str) -> Result<u64, StoreError> {
        let name = vec![Box::new(rows::stored(stream)) as _];
        let found = self.row("look for a position", rows::POSITION, name, |row| rows::cell::<i64>(row, 0))?;
        Ok(found.unwrap_or_default().unsigned_abs())
    }

    fn history(&self, user: &str, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> {
        let parameters: Parameters =
            vec![Box::new(rows::stored(user)), Box::new(until.unwrap_or(i64::MAX)), Box::new(self.n(limit))];
        let mut found = self.rows("read a history", rows::HISTORY, parameters, rows::feedback)?;
        found.reverse();
        Ok(found)
    }

    fn next_time(&self, user: &str, after: i64) -> Result<Option<i64>, StoreError> {
        let parameters: Parameters = vec![Box::new(rows::stored(user)), Box::new(after)];
        self.row("look for a later event", rows::NEXT_TIME, parameters, |row| rows::cell(row, 0))
    }

    fn feedback(&self, query: &FeedbackQuery<'_>) -> Result<Page<Feedback>, StoreError> {
        let after = match query.cursor {
            "" => 0,
            cursor => match cursor.parse::<u64>().ok().and_then(|at| i64::try_from(at).ok()) {
                Some(at) => at,
                None => return Err(StoreError::Cursor { cursor: cursor.into() }),
            },
        };
        let n = self.n(query.n);
        let part = |part: Option<&str>| Box::new(part.map(rows::stored));
        let parameters: Parameters =
            vec![Box::new(after), Box::new(n + 1), part(query.kind), part(query.user), part(query.video)];
        let numbered = |row: &Row| Ok((rows::cell::<i64>(row, 7)?, rows::feedback(row)?));
        let found = self.rows("list feedback", rows::feedback_query(query), parameters, numbered)?;
        let Page { rows, cursor } = Page::cut(found, n, |(at, _)| at.to_string());
        Ok(Page { rows: rows.into_iter().map(|(_, f)| f).collect(), cursor })
    }

    fn recent(&self, since: i64, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> {
        let parameters: Parameters =
            vec![Box::new(since), Box::new(until.unwrap_or(i64::MAX)), Box::new(self.n(limit))];
        self.rows("read recent feedback", rows::RECENT, parameters, rows::feedback)
    }

    fn delete_feedback(&self, kind: Option<&str>, user: &str, video: &str) -> Result<usize, StoreError> {
        let (kind, of, video) = (kind.map(str::to_owned), user.to_owned(), video.to_owned());
        let change = Change::DeleteFeedback { kind, user: of, video };
        let gone = self.n_changed("delete feedback", change)?;
        self.hearing.versions.feedback_changed([user]);
        Ok(gone)
    }

    fn put_users(&self, users: &[StoredUser]) -> Result<usize, StoreError> {
        self.config.check_users(users)?;
        let n = self.n_changed("write users", Change::PutUsers(users.to_vec()))?;
        self.hearing.versions.users_changed(users.iter().map(|user| user.id.as_str()));
        Ok(n)
    }

    fn user(&self, id: &str) -> Result<Option<StoredUser>, StoreError> {
        self.row("read a user", rows::USER, vec![Box::new(rows::stored(id))], rows::user)
    }

    fn user_presence(&self, id: &str) -> Result<Presence, StoreError> {
        self.presence(rows::USER_PRESENCE, id)
    }

    fn users(&self, cursor: &str, n: usize) -> Result<Page<StoredUser>, StoreError> {
        let n = self.n(n);
        let parameters: Parameters = vec![Box::new(rows::stored(cursor)), Box::new(n + 1)];
        Ok(Page::cut(self.rows("list users", rows::USERS, parameters, rows::user)?, n, |user| {
            user.id.clone()
        }))
    }

    fn patch_user(&self, id: &str, patch: &UserPatch) -> Result<bool, StoreError> {
        self.config.check_user_patch(patch)?;
        let change = Change::PatchUser { id: id.to_owned(), patch: patch.clone() };
        let was = self.was_changed("change a user", change)?;
        self.hearing.versions.users_changed([id]);
        Ok(was)
    }

    fn delete_user(&self, id: &str) -> Result<bool, StoreError> {
        self.config.check_id("user id", id)?;
        let was = self.was_changed("delete a user", Change::DeleteUser { id: id.to_owned() })?;
        self.hearing.versions.feedback_changed([id]);
        Ok(was)
    }

    /// What is written later overwrites the bytes; until then they lie in the server's files, and longer in its log and in backups.
    fn forget(&self, id: &str, now: i64) -> Result<Receipt, StoreError> {
        self.config.check_id("user id", id)?;
        let doing = "forget a user";
        let receipt = match self.answer(doing, Change::Forget { id: id.to_owned(), now })? {
            Answer::Forgotten(receipt) => receipt,
            _ => return Err(self.server.failed(doing, "there is no receipt".into())),
        };
        self.hearing.versions.feedback_changed([id]);
        Ok(receipt)
    }

    fn expire(&self, before: i64, n_rows_max: usize) -> Result<usize, StoreError> {
        let n_rows_max = n_rows_max.min(self.config.commit_rows_max);
        let gone = self.n_changed("delete old feedback", Change::Expire { before, n_rows_max })?;
        if gone > 0 {
            self.hearing.versions.all_feedback_changed();
        }
        Ok(gone)
    }

    fn put_videos(&self, videos: &[StoredVideo]) -> Result<usize, StoreError> {
        self.config.check_videos(videos)?;
        let n = self.n_changed("write videos", Change::PutVideos(videos.to_vec()))?;
        self.hearing.versions.videos_changed();
        Ok(n)
    }

    fn video(&self, id: &str) -> Result<Option<StoredVideo>, StoreError> {
        self.row("read a video", rows::VIDEO, vec![Box::new(rows::stored(id))], rows::video)
    }

    fn video_presence(&self, id: &str) -> Result<Presence, StoreError> {
        self.presence(rows::VIDEO_PRESENCE, id)
    }

    fn videos(&self, cursor: &str, n: usize) -> Result<Page<StoredVideo>, StoreError> {
        let n = self.n(n);
        let parameters: Parameters = vec![Box::new(rows::stored(cursor)), Box::new(n + 1)];
        Ok(Page::cut(self.rows("list videos", rows::VIDEOS, parameters, rows::video)?, n, |video| {
            video.id.clone()
        }))
    }

    fn latest_videos(&self, limit: usize) -> Result<Vec<StoredVideo>, StoreError> {
        let limit = vec![Box::new(self.n(limit)) as _];
        self.rows("read the latest videos", rows::LATEST_VIDEOS, limit, rows::video)
    }

    fn patch_video(&self, id: &str, patch: &VideoPatch) -> Result<bool, StoreError> {
        self.config.check_video_patch(patch)?;
        let change = Change::PatchVideo { id: id.to_owned(), patch: patch.clone() };
        let was = self.was_changed("change a video", change)?;
        self.hearing.versions.videos_changed();
        Ok(was)
    }

    fn delete_video(&self, id: &str) -> Result<bool, StoreError> {
        self.config.check_id("video id", id)?;
        let was = self.was_changed("delete a video", Change::DeleteVideo { id: id.to_owned() })?;
        self.hearing.versions.videos_changed();
        self.hearing.versions.all_feedback_changed();
        Ok(was)
    }

    fn hidden(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let limit = vec![Box::new(i64::try_from(limit).unwrap_or(i64::MAX)) as _];
        self.rows("list hidden videos", rows::HIDDEN, limit, |row| rows::text(row, 0))
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        let count = |row: &Row, at: usize| rows::cell::<i64>(row, at).map(i64::unsigned_abs);
        let counts = self.row("count", rows::COUNTS, Vec::new(), |row| {
            Ok(Counts { users: count(row, 0)?, videos: count(row, 1)?, feedback: count(row, 2)? })
        })?;
        Ok(counts.unwrap_or_default())
    }

    fn version(&self) -> Version {
        self.hearing.versions.version()
    }

    fn user_version(&self, user: &str) -> u64 {
        match self.hearing.is_open.load(Ordering::Acquire) {
            true => self.hearing.versions.of_user(user),
            // Counted downwards, so that no number of the counters comes again.
            false => u64::MAX - self.looks.fetch_add(1, Ordering::Relaxed),
        }
    }
}
