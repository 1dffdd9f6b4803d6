//! The one thread that writes. Calls that arrive while it syncs share the next commit.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::{StoreConfig, StoreError};

/// One call: does its work inside a transaction, and later hears whether that was committed.
trait Call: Send {
    fn run(&mut self, connection: &Connection) -> Outcome;
    fn answer(self: Box<Self>, committed: Result<(), String>);
    fn n_rows(&self) -> usize;
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
        connection: Connection,
    ) -> Result<Self, StoreError> {
        let (queue, calls) = sync_channel(config.queue_calls_max.max(1));
        let (waiting_rows, commits) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let work = Work {
            calls,
            connection,
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

    /// Queues `work` and waits until its commit is on disk, or failed.
    pub(super) fn commit<T: Send + 'static>(
        &self,
        doing: &'static str,
        n_rows: usize,
        work: impl Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
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
        let call = Typed { path: self.path.clone(), doing, n_rows, work, outcome: None, reply };
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

struct Work {
    calls: Receiver<Box<dyn Call>>,
    connection: Connection,
    commit_rows_max: usize,
    waiting_rows: Arc<AtomicUsize>,
    commits: Arc<AtomicU64>,
}

impl Work {
    fn run(self) {
        while let Ok(first) = self.calls.recv() {
            self.commit(first);
        }
    }

    /// One transaction: the first call and all that wait, up to the bound. A call that fails is undone alone.
    fn commit(&self, first: Box<dyn Call>) {
        let mut joined: Vec<Box<dyn Call>> = Vec::new();
        let mut n_rows = 0;
        let mut next = Some(first);
        let mut failed = self.connection.execute_batch("BEGIN IMMEDIATE").err().map(|e| e.to_string());
        while let Some(mut call) = next {
            if failed.is_none() {
                failed = self.inside(call.as_mut()).err().map(|e| e.to_string());
            }
            n_rows += call.n_rows();
            joined.push(call);
            next = match n_rows < self.commit_rows_max {
                true => self.calls.try_recv().ok(),
                false => None,
            };
        }
        if failed.is_none() {
            failed = self.connection.execute_batch("COMMIT").err().map(|e| e.to_string());
        }
        if failed.is_some() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.waiting_rows.fetch_sub(n_rows, Ordering::AcqRel);
        for call in joined {
            call.answer(failed.clone().map_or(Ok(()), Err));
        }
    }

    fn inside(&self, call: &mut dyn Call) -> rusqlite::Result<()> {
        self.connection.prepare_cached("SAVEPOINT call")?.execute([])?;
        if let Outcome::Failed = call.run(&self.connection) {
            self.connection.prepare_cached("ROLLBACK TO call")?.execute([])?;
        }
        self.connection.prepare_cached("RELEASE call")?.execute([])?;
        Ok(())
    }
}

struct Typed<T, F> {
    path: PathBuf,
    doing: &'static str,
    n_rows: usize,
    work: F,
    outcome: Option<Result<T, StoreError>>,
    reply: SyncSender<Result<T, StoreError>>,
}

impl<T: Send, F: Fn(&Connection) -> Result<T, StoreError> + Send> Call for Typed<T, F> {
    fn run(&mut self, connection: &Connection) -> Outcome {
        // A panic in one call must not end the thread that everybody's writes rely on.
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.work)(connection)));
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
}
