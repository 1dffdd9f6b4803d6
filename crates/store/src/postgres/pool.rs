//! The connections that read: a bounded number, made when they are needed, made again when the server was gone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connect::{Connection, Server, is_gone, said};
use crate::{StoreConfig, StoreError};

/// Parameters of a statement.
pub(super) type Parameters = Vec<Box<dyn ToSql + Sync + Send>>;

pub(super) struct Pool {
    places: Semaphore,
    idle: Mutex<Vec<Connection>>,
    wait_max: Duration,
    retry_milliseconds: u64,
}

impl Pool {
    pub(super) fn new(config: &StoreConfig) -> Self {
        Self {
            places: Semaphore::new(config.readers.max(1)),
            idle: Mutex::default(),
            wait_max: Duration::from_millis(config.read_wait_milliseconds),
            retry_milliseconds: config.retry_milliseconds,
        }
    }

    /// The rows of a statement that changes nothing. If a connection turns out to be dead, a new one is asked.
    pub(super) async fn query(
        &self,
        server: &Server,
        doing: &'static str,
        sql: &'static str,
        parameters: Parameters,
    ) -> Result<Vec<Row>, StoreError> {
        let Ok(Ok(_place)) = timeout(self.wait_max, self.places.acquire()).await else {
            let retry_milliseconds = self.retry_milliseconds;
            return Err(StoreError::Busy { what: "all its readers are at work", retry_milliseconds });
        };
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|p| &**p as _).collect();
        let kept = self.idle().pop();
        if let Some(connection) = kept {
            match timeout(server.answer_max(), connection.query(sql, &parameters)).await {
                // All of the others were cut off with it.
                Ok(Err(error)) if is_gone(&error) => self.idle().clear(),
                answer => return self.answered(server, doing, connection, answer),
            }
        }
        let connection = server.connect().await?;
        let answer = timeout(server.answer_max(), connection.query(sql, &parameters)).await;
        self.answered(server, doing, connection, answer)
    }

    fn answered(
        &self,
        server: &Server,
        doing: &'static str,
        connection: Connection,
        answer: Result<Result<Vec<Row>, tokio_postgres::Error>, tokio::time::error::Elapsed>,
    ) -> Result<Vec<Row>, StoreError> {
        match answer {
            Ok(Ok(rows)) => {
                self.idle().push(connection);
                Ok(rows)
            }
            Ok(Err(error)) if is_gone(&error) => Err(server.unreachable(said(&error))),
            Ok(Err(error)) => {
                self.idle().push(connection);
                Err(server.failed(doing, said(&error)))
            }
            // A connection that still waits for an answer is not given to the next one.
            Err(_) => Err(server.late(doing)),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
