//! The one thread that writes. Calls that arrive while it syncs share the next commit.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension};

use super::by_video::ByVideo;
use super::checkpoint::Checkpoint;
use super::rows;
use crate::{StoreConfig, StoreError};

/// What a call works with: the connection that writes, and what the thread knows of what it wrote.
pub(super) struct Desk {
    pub(super) connection: Connection,
    /// Numbers of users who are there, so that most events need no look into the tree of ids.
    users: RefCell<HashMap<String, i64>>,
    users_max: usize,
    /// What the next row of feedback gets, so that the order of first writing is kept.
    next_number: Cell<i64>,
}

impl Desk {
    pub(super) fn new(connection: Connection, config: &StoreConfig) -> rusqlite::Result<Self> {
        let next = connection.query_row(rows::NEXT_NUMBER, [], |row| row.get(0))?;
        let (users, users_max) = (RefCell::default(), config.cached_users_max);
        Ok(Self { connection, users, users_max, next_number: Cell::new(next) })
    }

    /// The number of a user, who is added if new and comes back if deleted.
    pub(super) fn user(&self, id: &str) -> rusqlite::Result<i64> {
        if let Some(&number) = self.users.borrow().get(id) {
            return Ok(number);
        }
        let found: Option<(i64, bool)> = self
            .connection
            .prepare_cached(rows::NUMBER_OF_USER)?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let number = match found {
            Some((number, false)) => number,
            _ => self.connection.prepare_cached(rows::SEE_USER)?.query_row([id], |row| row.get(0))?,
        };
        let mut users = self.users.borrow_mut();
        if users.len() >= self.users_max {
            users.clear();
        }
        users.insert(id.to_owned(), number);
        Ok(number)
    }

    /// A user is no longer there.
    pub(super) fn lose_user(&self, id: &str) {
        self.users.borrow_mut().remove(id);
    }

    /// Takes `n` numbers for rows of feedback and returns the first.
    pub(super) fn numbers(&self, n: usize) -> i64 {
        self.next_number.replace(self.next_number.get() + n as i64)
    }
}

/// One call: does its work inside a transaction, and later hears whether that was committed.
trait Call: Send {
    fn run(&mut self, desk: &Desk) -> Outcome;
    fn answer(self: Box<Self>, committed: Result<(), String>);
    fn n_rows(&self) -> usize;
    /// Whether it belongs into a transaction.
    fn inside(&self) -> bool;
}

/// What a call's work came to.
enum Outcome {
    Done,
    Failed,
}

pub(super) struct Writer {
    path: PathBuf,
    queue_rows_max: usize,
    retry_milliseconds: u64,
    queue: Option<SyncSender<Box<dyn Call>>>,
    waiting_rows: Arc<AtomicUsize>,
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at how calls share commits"))]
    commits: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        path: PathBuf,
        config: &StoreConfig,
        desk: Desk,
        checkpoint: Checkpoint,
        by_video: ByVideo,
    ) -> Result<Self, StoreError> {
        let (queue, calls) = sync_channel(config.queue_calls_max.max(1));
        let (waiting_rows, commits) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let work = Work {
            calls,
            desk,
            checkpoint,
            by_video,
            commit_rows_max: config.commit_rows_max,
            waiting_rows: Arc::clone(&waiting_rows),
            commits: Arc::clone(&commits),
        };
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || work.run())
            .map_err(|source| StoreError::Open { path: path.clone(), folder, source })?;
        Ok(Self {
            path,
            queue_rows_max: config.queue_rows_max,
            retry_milliseconds: config.retry_milliseconds,
            queue: Some(queue),
            waiting_rows,
            commits,
            thread: Some(thread),
        })
    }

    #[cfg(test)]
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Queues `work` and waits until its commit is on disk, or failed; with `inside` unset it runs between
    /// two commits.
    pub(super) fn commit<T: Send + 'static>(
        &self,
        doing: &'static str,
        n_rows: usize,
        inside: bool,
        work: impl Fn(&Desk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let busy = |what| StoreError::Busy { what, retry_milliseconds: self.retry_milliseconds };
        let closed = || StoreError::Closed { path: self.path.clone() };
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        // A call larger than the bound is let in when nothing else waits.
        let before = self.waiting_rows.fetch_add(n_rows, Ordering::AcqRel);
        if before > 0 && before + n_rows > self.queue_rows_max {
            self.waiting_rows.fetch_sub(n_rows, Ordering::AcqRel);
            return Err(busy("too many rows wait to be written"));
        }
        let (reply, answer) = sync_channel(1);
        let call = Typed { path: self.path.clone(), doing, n_rows, inside, work, outcome: None, reply };
        if let Err(error) = queue.try_send(Box::new(call)) {
            self.waiting_rows.fetch_sub(n_rows, Ordering::AcqRel);
            return Err(match error {
                TrySendError::Full(_) => busy("too many calls wait to be written"),
                TrySendError::Disconnected(_) => closed(),
            });
        }
        answer.recv().unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for Writer {
    /// What waits is written first.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Calls that are taken together.
struct Batch {
    joined: Vec<Box<dyn Call>>,
    n_rows: usize,
    /// One that runs after them, between two transactions.
    outside: Option<Box<dyn Call>>,
}

struct Work {
    calls: Receiver<Box<dyn Call>>,
    desk: Desk,
    checkpoint: Checkpoint,
    by_video: ByVideo,
    commit_rows_max: usize,
    waiting_rows: Arc<AtomicUsize>,
    commits: Arc<AtomicU64>,
}

impl Work {
    fn run(mut self) {
        while let Ok(first) = self.calls.recv() {
            let Batch { joined, n_rows, outside } = self.together(first);
            self.waiting_rows.fetch_sub(n_rows, Ordering::AcqRel);
            if !joined.is_empty() {
                self.commit_and_answer(joined);
            }
            if let Some(mut call) = outside {
                call.run(&self.desk);
                call.answer(Ok(()));
            }
            self.checkpoint.after_commit(&self.desk.connection);
        }
    }

    fn commit_and_answer(&mut self, mut joined: Vec<Box<dyn Call>>) {
        match self.commit(&mut joined) {
            // Alone, a call that fails takes nobody along. A savepoint for each would copy every page.
            Err(_) if joined.len() > 1 => {
                for call in joined {
                    let mut alone = vec![call];
                    let committed = self.commit(&mut alone);
                    answer(alone, &committed);
                }
            }
            committed => answer(joined, &committed),
        }
    }

    /// The first call and all that wait, up to the bound, or up to one that runs outside of transactions.
    fn together(&self, first: Box<dyn Call>) -> Batch {
        let mut batch = Batch { joined: Vec::new(), n_rows: 0, outside: None };
        let mut next = Some(first);
        while let Some(call) = next {
            batch.n_rows += call.n_rows();
            if !call.inside() {
                batch.outside = Some(call);
                break;
            }
            batch.joined.push(call);
            next = match batch.n_rows < self.commit_rows_max {
                true => self.calls.try_recv().ok(),
                false => None,
            };
        }
        batch
    }

    /// One transaction. It fails if a call fails after it changed something, or if the disk does.
    fn commit(&mut self, calls: &mut [Box<dyn Call>]) -> Result<(), String> {
        let done = self.transaction(calls);
        if let Ok(entered) = done {
            self.by_video.committed(entered, self.desk.next_number.get() - 1);
        } else {
            if !self.desk.connection.is_autocommit() {
                let _ = self.desk.connection.execute_batch("ROLLBACK");
            }
            // What was undone may have added some.
            self.desk.users.borrow_mut().clear();
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        done.map(|_| ())
    }

    /// Returns how many rows entered the tree by video besides.
    fn transaction(&self, calls: &mut [Box<dyn Call>]) -> Result<usize, String> {
        let connection = &self.desk.connection;
        let run = |sql: &str| {
            let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
            done.map_err(|error| error.to_string())
        };
        run("BEGIN IMMEDIATE")?;
        let mut n_rows = 0;
        for call in calls {
            n_rows += call.n_rows();
            let before = connection.total_changes();
            if let Outcome::Failed = call.run(&self.desk)
                && connection.total_changes() != before
            {
                return Err("a part of it failed".into());
            }
        }
        let entered = self.by_video.enter(connection, n_rows).map_err(|error| error.to_string())?;
        run("COMMIT").map(|_| entered)
    }
}

fn answer(calls: Vec<Box<dyn Call>>, committed: &Result<(), String>) {
    calls.into_iter().for_each(|call| call.answer(committed.clone()));
}

struct Typed<T, F> {
    path: PathBuf,
    doing: &'static str,
    n_rows: usize,
    inside: bool,
    work: F,
    outcome: Option<Result<T, StoreError>>,
    reply: SyncSender<Result<T, StoreError>>,
}

impl<T: Send, F: Fn(&Desk) -> Result<T, StoreError> + Send> Call for Typed<T, F> {
    fn run(&mut self, desk: &Desk) -> Outcome {
        // A panic in one call must not end the thread that everybody's writes rely on.
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.work)(desk)));
        let outcome = caught.unwrap_or_else(|_| {
            let message = format!("a panic while trying to {}", self.doing);
            Err(StoreError::Commit { path: self.path.clone(), message })
        });
        let result = match outcome {
            Ok(_) => Outcome::Done,
            Err(_) => Outcome::Failed,
        };
        self.outcome = Some(outcome);
        result
    }

    fn answer(self: Box<Self>, committed: Result<(), String>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (_, Some(Err(error))) => Err(error),
            (Err(message), _) => Err(StoreError::Commit { path: self.path, message }),
            (Ok(()), None) => Err(StoreError::Closed { path: self.path }),
        };
        // A caller that went away has nothing to hear.
        let _ = self.reply.send(answer);
    }

    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn inside(&self) -> bool {
        self.inside
    }
}
