//! Threads that sources run on, so that a request can go on without one that is late.
//!
//! A thread that a late source holds is given up: another takes its place, and it ends when the source lets go of it. A source
//! that holds as many as [`STUCK_MAX`] is not asked until one is back. No source runs on all threads at once: as many stay for the others.

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

/// The threads that one source holds.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Beyond its deadline.
    pub(crate) stuck: AtomicUsize,
    /// In all; changed while the queue is locked, or when work ends.
    running: AtomicUsize,
}

/// A handle to work that was given to a pool.
pub(crate) struct Task {
    state: Arc<AtomicU8>,
    counts: Arc<Counts>,
}

struct Job {
    work: Work,
    state: Arc<AtomicU8>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
    /// Threads that one source may run on.
    of_one_max: usize,
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
            let may_run = |job: &Job| job.counts.running.load(Ordering::Acquire) < self.of_one_max;
            if let Some(job) = queue.jobs.iter().position(may_run).and_then(|at| queue.jobs.remove(at)) {
                job.counts.running.fetch_add(1, Ordering::AcqRel);
                return Some(job);
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What a thread does: one job after the other, until the pool is gone or the thread itself was given up.
    fn work(&self) {
        while let Some(job) = self.next() {
            let begins =
                job.state.compare_exchange(WAITING, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if begins {
                (job.work)();
            }
            {
                // Under the lock, so that who looks for work meanwhile does not miss what may run now.
                let _queue = self.lock();
                job.counts.running.fetch_sub(1, Ordering::AcqRel);
            }
            self.ready.notify_all();
            if begins && job.state.swap(DONE, Ordering::AcqRel) == GIVEN_UP {
                job.counts.stuck.fetch_sub(1, Ordering::AcqRel);
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
    /// With so many threads for one source, and [`STUCK_MAX`] more.
    pub(crate) fn new(threads: usize) -> Self {
        let of_one_max = threads.max(1);
        let shared = Shared { queue: Mutex::default(), ready: Condvar::new(), of_one_max };
        let pool = Self { shared: Arc::new(shared) };
        (0..of_one_max + STUCK_MAX).for_each(|_| pool.spawn());
        pool
    }

    fn spawn(&self) {
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new().name("source".into()).spawn(move || shared.work());
        // Without a thread the others do its work; without any, sources are late, which is told.
        drop(spawned);
    }

    /// Runs work that does not panic on one of the threads. `counts` are those of its source.
    pub(crate) fn run(&self, counts: &Arc<Counts>, work: Work) -> Task {
        let (state, counts) = (Arc::new(AtomicU8::new(WAITING)), Arc::clone(counts));
        let job = Job { work, state: Arc::clone(&state), counts: Arc::clone(&counts) };
        self.shared.lock().jobs.push_back(job);
        self.shared.ready.notify_one();
        Task { state, counts }
    }

    /// Waits for a task no longer: it does not begin any more, or its thread is replaced.
    pub(crate) fn give_up(&self, task: &Task) {
        // Counted before, so that a thread that ends at this moment finds something to take back.
        task.counts.stuck.fetch_add(1, Ordering::AcqRel);
        match task.state.swap(GIVEN_UP, Ordering::AcqRel) {
            RUNNING => self.spawn(),
            _ => {
                task.counts.stuck.fetch_sub(1, Ordering::AcqRel);
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
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(30);

    /// Work that blocks until the returned end is dropped; returns when it began.
    fn block(pool: &Pool, counts: &Arc<Counts>) -> (Task, Sender<()>) {
        let ((begun, begin), (release, wait)) = (channel(), channel::<()>());
        let task = pool.run(
            counts,
            Box::new(move || {
                begun.send(()).unwrap();
                let _ = wait.recv();
            }),
        );
        begin.recv_timeout(LONG).unwrap();
        (task, release)
    }

    #[test]
    fn a_source_that_blocks_leaves_threads_to_others_and_is_counted_until_it_is_back() {
        let pool = Pool::new(1);
        let (blocking, other) = (Arc::new(Counts::default()), Arc::new(Counts::default()));
        let (task, release) = block(&pool, &blocking);
        let (say, said) = channel();
        let again = say.clone();
        pool.run(&blocking, Box::new(move || again.send("the same").unwrap()));
        pool.run(&other, Box::new(move || say.send("another").unwrap()));
        assert_eq!(said.recv_timeout(LONG), Ok("another"), "the source's only thread is at work");
        pool.give_up(&task);
        assert_eq!(blocking.stuck.load(Ordering::Acquire), 1);
        drop(release);
        assert_eq!(said.recv_timeout(LONG), Ok("the same"));
        let is_back = || blocking.stuck.load(Ordering::Acquire) == 0;
        assert!((0..3_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            is_back()
        }));
    }

    #[test]
    fn what_was_given_up_before_it_began_is_not_run() {
        let pool = Pool::new(1);
        let counts = Arc::new(Counts::default());
        let (_, release) = block(&pool, &counts);
        let (say, said) = channel();
        let again = say.clone();
        let never = pool.run(&counts, Box::new(move || say.send("never").unwrap()));
        pool.run(&counts, Box::new(move || again.send("last").unwrap()));
        pool.give_up(&never);
        drop(release);
        assert_eq!(said.recv_timeout(LONG), Ok("last"));
        assert_eq!(counts.stuck.load(Ordering::Acquire), 0);
    }
}
