//! Keeps feedback only for as long as the configuration says, beside a service or a reader of a stream.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use upnext_store::{Cleared, Store, StoreConfig, StoreError, clear};

use crate::command::recommend::now;

/// After a failure it is tried again no later than this.
const RETRY: Duration = Duration::from_secs(60);

/// A thread that deletes what is too old; it ends, after the commit that is under way, when this is dropped.
pub(crate) struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Looks now and then for feedback that is too old; `tell` hears of each step. `None` where feedback is kept for ever.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        config: &StoreConfig,
        tell: impl Fn(Cleared) + Send + 'static,
    ) -> Result<Option<Self>> {
        if config.feedback_days_max == 0 {
            return Ok(None);
        }
        let (stop, stopped) = channel();
        let config = config.clone();
        let work = move || look_until_stopped(store.as_ref(), &config, &stopped, &tell);
        let thread = std::thread::Builder::new().name("retention".into()).spawn(work);
        let thread = thread.context("the system gives no threads")?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look_until_stopped(
    store: &dyn Store,
    config: &StoreConfig,
    stopped: &Receiver<()>,
    tell: &dyn Fn(Cleared),
) {
    let pause = Duration::from_millis(config.expire_pause_milliseconds);
    let every = Duration::from_secs(config.expire_check_seconds);
    // Nothing is ever sent: the other end goes.
    let goes_on = |pause| matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
    loop {
        let cleared = clear(store, config.feedback_since(now()), config.expire_rows_max, &mut |step| {
            tell(step);
            goes_on(pause)
        });
        let wait = match cleared {
            Ok(Cleared { rows: 0, bytes: 0 }) => every,
            Ok(Cleared { rows, bytes }) => {
                let days = config.feedback_days_max;
                tracing::info!(rows, bytes, "feedback older than {days} days was deleted");
                every
            }
            Err(StoreError::Busy { .. }) => RETRY.min(every),
            Err(error) => {
                tracing::warn!("feedback that is too old cannot be deleted now: {error}");
                RETRY.min(every)
            }
        };
        if !goes_on(wait) {
            return;
        }
    }
}
