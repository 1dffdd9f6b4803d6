//! Work on many threads whose results are taken in order, and buffers that outlive a piece of work.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Results that wait, or are worked on, for each thread.
const AHEAD: usize = 3;

/// Does pieces 0 to `n` of some work on as many threads as rayon has, and hands the results over on this thread, in
/// their order. At most [`AHEAD`] results of each thread are on their way. What `take` refuses ends the work.
pub(crate) fn in_order<T: Send, E>(
    n: usize,
    work: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = rayon::current_num_threads().min(n);
    let queue = Queue { n, ahead: AHEAD * threads, turn: Mutex::default(), moved: Condvar::new() };
    let (send, receive) = channel();
    std::thread::scope(|scope| {
        let (queue, work) = (&queue, &work);
        for _ in 0..threads {
            let send = send.clone();
            scope.spawn(move || {
                // Whoever goes has met the end, or has panicked: nobody waits for it then.
                let _end = End(queue);
                while let Some(at) = queue.next() {
                    if send.send((at, work(at))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let _end = End(queue);
        let mut waiting = BTreeMap::new();
        for at in 0..n {
            let result = loop {
                match waiting.remove(&at) {
                    Some(result) => break Some(result),
                    None => match receive.recv() {
                        Ok((at, result)) => drop(waiting.insert(at, result)),
                        Err(_) => break None,
                    },
                }
            };
            // Who is gone without a result has panicked: the scope tells.
            let Some(result) = result else { break };
            take(result)?;
            queue.taken(at + 1);
        }
        Ok(())
    })
}

/// Which piece is next, and how many results were taken.
struct Queue {
    n: usize,
    ahead: usize,
    turn: Mutex<Turn>,
    moved: Condvar,
}

#[derive(Default)]
struct Turn {
    next: usize,
    taken: usize,
    is_over: bool,
}

impl Queue {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece, once it is near enough to what was taken.
    fn next(&self) -> Option<usize> {
        let mut turn = self.turn();
        while !turn.is_over && turn.next < self.n && turn.next >= turn.taken + self.ahead {
            turn = self.moved.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        let at = turn.next;
        turn.next += 1;
        (!turn.is_over && at < self.n).then_some(at)
    }

    fn taken(&self, taken: usize) {
        self.turn().taken = taken;
        self.moved.notify_all();
    }
}

/// Ends the work when it goes.
struct End<'a>(&'a Queue);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.turn().is_over = true;
        self.0.moved.notify_all();
    }
}

/// Buffers that wait for their next use.
pub(crate) struct Idle<T>(Mutex<Vec<T>>);

impl<T> Idle<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(crate) fn give(&self, buffer: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_until_one_is_refused() {
        for n in [0, 1, 100] {
            let mut taken = Vec::new();
            let take = |square| {
                taken.push(square);
                Ok::<_, ()>(())
            };
            in_order(n, |at| at * at, take).unwrap();
            assert!(taken.into_iter().eq((0..n).map(|at| at * at)));
        }
        let refused = in_order(1_000, |at| at, |at| if at < 7 { Ok(()) } else { Err(at) });
        assert_eq!(refused, Err(7));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn work_that_panics_ends_the_others() {
        let work = |at| if at == 5 { panic!("as asked") } else { at };
        let _ = in_order(1_000, work, |_| Ok::<_, ()>(()));
    }
}
