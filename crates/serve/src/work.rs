//! From async to plain: each request's work runs on a thread, within a bound on how many and for how long.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::AppState;
use crate::error::ApiError;

impl AppState {
    /// Runs work that reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.bounded(self.reads(), work).await
    }

    /// Runs work that writes. It waits for the disk, so it has places of its own.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.bounded(self.writes(), work).await
    }

    async fn bounded<T: Send + 'static>(
        &self,
        places: Arc<Semaphore>,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let state = self.clone();
        let limit = Duration::from_millis(self.config().request_milliseconds_max);
        let done = tokio::time::timeout(limit, async move {
            let place = places.acquire_owned().await.map_err(|_| ApiError::internal("no places"))?;
            // The place is held until the work ends, even if nobody waits for it any more.
            let work = tokio::task::spawn_blocking(move || {
                let _place = place;
                work(&state)
            });
            work.await.unwrap_or_else(|error| Err(ApiError::internal(&error.to_string())))
        });
        done.await.unwrap_or_else(|_| {
            let message = format!(
                "the request took more than {} ms; a change that was sent may still be written, and can be sent again",
                limit.as_millis()
            );
            Err(ApiError::unavailable("too_slow", message, 1))
        })
    }
}
