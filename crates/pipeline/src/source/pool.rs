//! Threads that sources run on, so that a request can go on without one that is late.
//!
//! A thread that a late source holds is given up: another takes its place, and it ends when the source lets go of it. A source
//! that holds as many as [`STUCK_MAX`] is not asked until one is back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Threads that one source may hold beyond its deadline.
pub(crate) const STUCK_MAX: usize = 2;

const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;
const GIVEN_UP: u8 = 3;

type Work = Box<dyn FnOnce() + Send>;

/// A handle to work that was given to a pool.
pub(crate) struct Task {
    state: Arc<AtomicU8>,
    stuck: Arc<AtomicUsize>,
}

struct Job {
    work: Work,
    state: Arc<AtomicU8>,
    stuck: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.is_closed {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What a thread does: one job after the other, until the pool is gone or the thread itself was given up.
    fn work(&self) {
        while let Some(job) = self.next() {
            if job.state.compare_exchange(WAITING, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_err() {
                continue;
            }
            (job.work)();
            if job.state.swap(DONE, Ordering::AcqRel) == GIVEN_UP {
                job.stuck.fetch_sub(1, Ordering::AcqRel);
                return;
            }
        }
    }
}

/// A fixed number of threads, and those that are stuck.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// With so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        let pool = Self { shared: Arc::default() };
        (0..threads.max(1)).for_each(|_| pool.spawn());
        pool
    }

    fn spawn(&self) {
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new().name("source".into()).spawn(move || shared.work());
        // Without a thread the others do its work; without any, sources are late, which is told.
        drop(spawned);
    }

    /// Runs work that does not panic on one of the threads. `stuck` counts the threads that work of its kind holds.
    pub(crate) fn run(&self, stuck: &Arc<AtomicUsize>, work: Work) -> Task {
        let (state, stuck) = (Arc::new(AtomicU8::new(WAITING)), Arc::clone(stuck));
        let job = Job { work, state: Arc::clone(&state), stuck: Arc::clone(&stuck) };
        self.shared.lock().jobs.push_back(job);
        self.shared.ready.notify_one();
        Task { state, stuck }
    }

    /// Waits for a task no longer: it does not begin any more, or its thread is replaced.
    pub(crate) fn give_up(&self, task: &Task) {
        // Counted before, so that a thread that ends at this moment finds something to take back.
        task.stuck.fetch_add(1, Ordering::AcqRel);
        match task.state.swap(GIVEN_UP, Ordering::AcqRel) {
            RUNNING => self.spawn(),
            _ => {
                task.stuck.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

impl Drop for Pool {
    /// Threads end when they have nothing to do; nobody waits for one that is stuck.
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.ready.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_stuck_thread_is_replaced_and_counted_until_it_is_back() {
        let pool = Pool::new(1);
        let stuck = Arc::new(AtomicUsize::new(0));
        let (begun, begin) = channel();
        let (release, wait) = channel::<()>();
        let task = pool.run(
            &stuck,
            Box::new(move || {
                begun.send(()).unwrap();
                let _ = wait.recv();
            }),
        );
        begin.recv_timeout(LONG).unwrap();
        let (say, said) = channel();
        let later = pool.run(&stuck, Box::new(move || say.send(1).unwrap()));
        assert!(said.recv_timeout(Duration::from_millis(20)).is_err(), "the only thread is at work");
        pool.give_up(&task);
        assert_eq!(stuck.load(Ordering::Acquire), 1);
        assert_eq!(said.recv_timeout(LONG), Ok(1));
        drop(later);
        release.send(()).unwrap();
        let mut waited = 0;
        while stuck.load(Ordering::Acquire) > 0 && waited < 3_000 {
            std::thread::sleep(Duration::from_millis(10));
            waited += 1;
        }
        assert_eq!(stuck.load(Ordering::Acquire), 0);
    }

    #[test]
    fn what_was_given_up_before_it_began_is_not_run() {
        let pool = Pool::new(1);
        let stuck = Arc::new(AtomicUsize::new(0));
        let (begun, begin) = channel();
        let (release, wait) = channel::<()>();
        pool.run(
            &stuck,
            Box::new(move || {
                begun.send(()).unwrap();
                let _ = wait.recv();
            }),
        );
        begin.recv_timeout(LONG).unwrap();
        let (say, said) = channel();
        let again = say.clone();
        let never = pool.run(&stuck, Box::new(move || say.send("never").unwrap()));
        pool.run(&stuck, Box::new(move || again.send("last").unwrap()));
        pool.give_up(&never);
        release.send(()).unwrap();
        assert_eq!(said.recv_timeout(LONG), Ok("last"));
        assert_eq!(stuck.load(Ordering::Acquire), 0);
    }
}
