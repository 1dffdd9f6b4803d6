//! A few connections that read. Each read begins its own snapshot, so it sees every acknowledged change.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::open;
use crate::{StoreConfig, StoreError};

pub(super) struct Readers {
    path: PathBuf,
    config: StoreConfig,
    pool: Mutex<Pool>,
    freed: Condvar,
}

struct Pool {
    idle: Vec<Connection>,
    opened: usize,
}

impl Readers {
    /// Opens the first; the others when they are needed.
    pub(super) fn new(path: PathBuf, config: &StoreConfig) -> Result<Self, StoreError> {
        let first = open::reader(&path, config)?;
        let pool = Mutex::new(Pool { idle: vec![first], opened: 1 });
        Ok(Self { path, config: config.clone(), pool, freed: Condvar::new() })
    }

    /// Lends a connection to `work`.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lent = Lent { readers: self, connection: Some(self.take()?) };
        work(lent.connection.as_ref().expect("taken above and given back only on drop"))
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.config.readers.max(1);
        let wait = Duration::from_millis(self.config.read_wait_milliseconds);
        let (mut pool, _) = self
            .freed
            .wait_timeout_while(pool, wait, |pool| pool.idle.is_empty() && pool.opened >= most)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = pool.idle.pop() {
            return Ok(connection);
        }
        if pool.opened >= most {
            let retry_milliseconds = self.config.retry_milliseconds;
            return Err(StoreError::Busy { what: "every reader is at work", retry_milliseconds });
        }
        pool.opened += 1;
        drop(pool);
        open::reader(&self.path, &self.config).inspect_err(|_| self.give_back(None))
    }

    fn give_back(&self, connection: Option<Connection>) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        match connection {
            Some(connection) => pool.idle.push(connection),
            None => pool.opened -= 1,
        }
        self.freed.notify_one();
    }
}

/// Gives a connection back even when the work panics.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.readers.give_back(self.connection.take());
    }
}
