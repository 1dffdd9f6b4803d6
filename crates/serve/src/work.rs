//! From async to plain: each request's work runs on a thread, within a bound on how many and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use crate::{AppState, spans};

/// Places to work at, and who waits for one.
pub(crate) struct Queue {
    places: Arc<Semaphore>,
    n_places: usize,
    waiting: AtomicUsize,
    /// How long a work takes, the newest counting an eighth.
    mean_microseconds: AtomicU64,
    /// Longer than this nobody waits; `None`: as long as the request may take.
    wait_max: Option<Duration>,
    shed: AtomicU64,
}

impl Queue {
    pub(crate) fn new(n_places: usize, wait_max: Option<Duration>) -> Self {
        Self {
            places: Arc::new(Semaphore::new(n_places)),
            n_places,
            waiting: AtomicUsize::new(0),
            mean_microseconds: AtomicU64::new(0),
            wait_max,
            shed: AtomicU64::new(0),
        }
    }

    /// How many were refused because they would have waited too long.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// How many wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What those who wait already take, one after another at each place.
    fn expected_wait(&self) -> Duration {
        let ahead = self.waiting() as u64 / self.n_places.max(1) as u64;
        Duration::from_micros(self.mean_microseconds.load(Ordering::Relaxed).saturating_mul(ahead))
    }

    /// A place, or the news that others come first for too long: late answers help nobody, and everybody would be late.
    async fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let expected = self.expected_wait();
        let Some(wait_max) = self.wait_max else { return self.wait().await };
        if expected <= wait_max
            && let Ok(place) = tokio::time::timeout(wait_max, self.wait()).await
        {
            return place;
        }
        self.shed.fetch_add(1, Ordering::Relaxed);
        let seconds = expected.as_secs().max(1);
        Err(ApiError::unavailable("overloaded", "more is asked than can be answered in time", seconds))
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        struct Waits<'a>(&'a AtomicUsize);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        Arc::clone(&self.places).acquire_owned().await.map_err(|_| ApiError::internal("no places"))
    }

    fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mean = self.mean_microseconds.load(Ordering::Relaxed);
        let next = if mean == 0 { time } else { mean - mean / 8 + time / 8 };
        self.mean_microseconds.store(next, Ordering::Relaxed);
    }
}

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

    /// Looks how the service does, whatever waits.
    pub(crate) async fn probe<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.bounded(self.probes(), work).await
    }

    /// Runs work on many rows, which may take as long as it takes; only few at once.
    pub(crate) async fn at_length<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let Ok(place) = self.exports().try_acquire_owned() else {
            return Err(ApiError::unavailable("busy", "other exports and imports are going on", 10));
        };
        let (state, open) = (self.clone(), spans::current());
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            spans::along(open, || work(&state))
        });
        work.await.unwrap_or_else(|error| Err(ApiError::internal(&error.to_string())))
    }

    async fn bounded<T: Send + 'static>(
        &self,
        queue: Arc<Queue>,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let state = self.clone();
        let limit = Duration::from_millis(self.config().request_milliseconds_max);
        let done = tokio::time::timeout(limit, async move {
            let waits = Instant::now();
            let place = queue.place().await?;
            spans::note("wait", waits);
            let open = spans::current();
            // The place is held until the work ends, even if nobody waits for it any more.
            let work = tokio::task::spawn_blocking(move || {
                let _place = place;
                let start = Instant::now();
                let done = spans::along(open, || work(&state));
                queue.took(start.elapsed());
                done
            });
            work.await.unwrap_or_else(|error| Err(ApiError::internal(&error.to_string())))
        });
        done.await.unwrap_or_else(|_| {
            let message = format!(
                "the request took more than {} ms; a change that was sent may still be written: what replaces can be sent again, \
                 what adds up (POST /api/feedback) may have been counted already",
                limit.as_millis()
            );
            Err(ApiError::unavailable("too_slow", message, 1))
        })
    }
}
