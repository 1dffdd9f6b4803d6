//! A service follows its run: it serves the version that the pointer names, and has new ones made at intervals.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Versions;
use crate::command::retrain::OF_SERVICE;

/// How often the pointer is read: it is a file of a few bytes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a stop waits for a version that is being loaded.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// What follows a run; it holds the store, so it ends before that is closed.
pub(crate) struct Follower {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Follower {
    /// Ends it, unless it takes too long over a version.
    pub(crate) fn end(self) {
        drop(self.stop);
        let until = Instant::now() + ENDS_WITHIN;
        while !self.thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Calls `publish` with the number of a version whenever another one is to be served, or the same `again`, on a thread of its own. What
/// cannot be published is tried once; what was served before goes on.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn follow(
    versions: Versions,
    served: u32,
    again: Arc<AtomicBool>,
    publish: impl Fn(u32) -> Result<()> + Send + 'static,
) -> Result<Follower> {
    let mut tried = served;
    let (stop, stopped) = channel();
    let look = move || {
        // Nothing is ever sent: the other end goes.
        while matches!(stopped.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout)) {
            let is_asked = again.swap(false, Ordering::AcqRel);
            let number = match versions.current() {
                Ok(number) if number != tried || is_asked => number,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!("{error:#}");
                    continue;
                }
            };
            tried = number;
            match publish(number) {
                Ok(()) => tracing::info!("version {number} is served from now on"),
                Err(error) => {
                    tracing::error!("version {number} cannot be served, the one before goes on: {error:#}");
                }
            }
        }
    };
    let thread = thread::Builder::new().name("versions".into()).spawn(look);
    Ok(Follower { stop, thread: thread.context("the system gives no threads")? })
}

/// Retraining at intervals, each time in a process of its own, which may take only so much memory.
pub(crate) struct Schedule {
    /// The time between the end of one and the beginning of the next.
    pub(crate) every: Duration,
    /// What follows `upnext`: `retrain RUN` and its arguments.
    pub(crate) words: Vec<String>,
}

/// The child process, while there is one. It ends with this process, even where nobody says [`Running::end`].
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<Option<Child>>>);

impl Running {
    fn with<T>(&self, work: impl FnOnce(&mut Option<Child>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends what runs.
    pub(crate) fn end(&self) {
        self.with(|child| {
            if let Some(child) = child {
                let _ = child.kill();
                let _ = child.wait();
            }
        });
    }
}

impl Schedule {
    /// Begins to wait for the first time. The result ends what runs.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(self) -> Result<Running> {
        let running = Running::default();
        let of_thread = running.clone();
        let work = move || {
            loop {
                thread::sleep(self.every);
                if let Err(error) = self.once(&of_thread) {
                    tracing::error!("retraining: {error:#}; what is served goes on");
                }
            }
        };
        thread::Builder::new()
            .name("retraining".into())
            .spawn(work)
            .context("the system gives no threads")?;
        Ok(running)
    }

    fn once(&self, running: &Running) -> Result<()> {
        tracing::info!("retraining begins");
        let program = std::env::current_exe().context("the program does not know where it lies")?;
        // What it says goes where the service's own log goes; its result is in the run.
        let child = Command::new(program)
            .args(&self.words)
            .env(OF_SERVICE, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("the process cannot be started")?;
        running.with(|place| *place = Some(child));
        let status = loop {
            thread::sleep(Duration::from_millis(200));
            let ended = running.with(|child| child.as_mut().map(Child::try_wait).transpose())?;
            if let Some(status) = ended.flatten() {
                break status;
            }
        };
        running.with(|child| *child = None);
        anyhow::ensure!(status.success(), "the process ended with {status}");
        Ok(())
    }
}
