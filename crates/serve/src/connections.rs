//! How many connections there are. Where one more comes than may be, the one that is idle longest makes room, so that
//! nobody keeps others out by connections that say nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long one that was told to go may take until another is told.
const AGAIN: Duration = Duration::from_millis(50);

/// The connections that are open.
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    open: Arc<Mutex<HashMap<u64, Arc<Seat>>>>,
    next: AtomicUsize,
}

/// What is known of a connection.
struct Seat {
    /// Requests that are worked on.
    busy: AtomicUsize,
    since: Mutex<Instant>,
    leave: Notify,
}

/// An open connection. It counts until this is dropped.
pub(crate) struct Connection {
    id: u64,
    seat: Arc<Seat>,
    open: Arc<Mutex<HashMap<u64, Arc<Seat>>>>,
    _place: OwnedSemaphorePermit,
}

impl Connections {
    pub(crate) fn new(max: usize) -> Self {
        let places = Arc::new(Semaphore::new(max));
        Self { places, open: Arc::default(), next: AtomicUsize::new(0) }
    }

    /// A place for one more. Where there is none, an idle connection is told to go first.
    pub(crate) async fn place(&self) -> Connection {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            // Nobody may be idle now, and somebody soon.
            Err(_) => loop {
                self.let_one_go();
                let place = Arc::clone(&self.places).acquire_owned();
                if let Ok(place) = tokio::time::timeout(AGAIN, place).await {
                    break place.expect("the semaphore is never closed");
                }
            },
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        let since = Mutex::new(Instant::now());
        let seat = Arc::new(Seat { busy: AtomicUsize::new(0), since, leave: Notify::new() });
        self.lock().insert(id, Arc::clone(&seat));
        Connection { id, seat, open: Arc::clone(&self.open), _place: place }
    }

    /// The next connection that somebody opens, and its place.
    pub(crate) async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, Connection) {
        loop {
            let accepted = listener.accept().await;
            let place = self.place().await;
            match accepted {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    return (stream, peer, place);
                }
                Err(error) => {
                    // Out of file descriptors, or the peer went away: neither ends the service.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn let_one_go(&self) {
        let open = self.lock();
        let idle = open.values().filter(|seat| seat.busy.load(Ordering::Relaxed) == 0);
        let longest = idle.min_by_key(|seat| *seat.since.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(seat) = longest {
            // One that was told and has not gone yet is not told twice.
            *seat.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            seat.leave.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Ends when the connection must make room.
    pub(crate) async fn told_to_leave(&self) {
        self.seat.leave.notified().await;
    }

    /// A request is worked on until this is dropped.
    pub(crate) fn begin(&self) -> Busy {
        self.seat.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.seat))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// A request that is worked on.
pub(crate) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_idle_makes_room_and_one_at_work_does_not() {
        let connections = Connections::new(2);
        let first = connections.place().await;
        let work = first.begin();
        let second = connections.place().await;
        let third = connections.place();
        tokio::pin!(third);
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, &mut third).await.is_err());
        // The first is older, and at work.
        assert!(tokio::time::timeout(soon, first.told_to_leave()).await.is_err());
        tokio::time::timeout(soon, second.told_to_leave()).await.unwrap();
        drop(second);
        tokio::time::timeout(soon, third).await.unwrap();
        drop(work);
    }

    #[tokio::test]
    async fn one_that_becomes_idle_later_makes_room_too() {
        let connections = Connections::new(1);
        let first = connections.place().await;
        let work = first.begin();
        let second = connections.place();
        tokio::pin!(second);
        assert!(tokio::time::timeout(2 * AGAIN, &mut second).await.is_err());
        drop(work);
        let leaves = async {
            first.told_to_leave().await;
            drop(first);
        };
        let both = async { tokio::join!(leaves, second) };
        tokio::time::timeout(Duration::from_secs(5), both).await.unwrap();
    }
}
