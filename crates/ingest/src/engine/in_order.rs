//! Work on many threads whose results are taken in order, and buffers that outlive a piece of work.

use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

/// Does pieces 0 to `n` of some work on as many threads as rayon has, and hands the results over on this thread, in
/// their order. At most two results of each thread wait. What `take` refuses ends the work.
pub(crate) fn in_order<T: Send, E>(
    n: usize,
    work: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = rayon::current_num_threads().min(n);
    std::thread::scope(|scope| {
        let work = &work;
        let lanes: Vec<_> = (0..threads)
            .map(|lane| {
                let (send, receive) = sync_channel(1);
                scope.spawn(move || {
                    // Nobody receives once a result was refused.
                    (lane..n).step_by(threads).all(|at| send.send(work(at)).is_ok())
                });
                receive
            })
            .collect();
        for at in 0..n {
            // A thread that is gone has panicked: the scope tells.
            let Ok(result) = lanes[at % threads].recv() else { break };
            take(result)?;
        }
        Ok(())
    })
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
}
