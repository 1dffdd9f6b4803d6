//! All sources of a feed, asked at once: each on a thread of its own and within a deadline, which costs the source its candidates
//! and nobody else anything.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::pool::{Counts, Pool, STUCK_MAX, Task};
use crate::pipeline::{Source, StageError, guard, microseconds};
use crate::{Allow, Query};

/// The sources, with their threads.
pub struct Sources {
    entries: Vec<Entry>,
    pool: Pool,
}

struct Entry {
    source: Arc<dyn Source>,
    deadline: Duration,
    counts: Arc<Counts>,
}

/// What a source answered.
pub(crate) struct Answer {
    pub(crate) rows: Result<Vec<(u32, f32)>, StageError>,
    pub(crate) microseconds: u64,
}

impl Sources {
    /// Sources with their deadlines, on so many threads and a few to spare; 0 takes as many as the machine has.
    pub fn new(sources: Vec<(Arc<dyn Source>, Duration)>, threads: usize) -> Self {
        let mut all = Self::none(threads);
        sources.into_iter().for_each(|(source, deadline)| all.push(source, deadline));
        all
    }

    fn none(threads: usize) -> Self {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            threads => threads,
        };
        Self { entries: Vec::new(), pool: Pool::new(threads) }
    }

    /// Adds a source after the others.
    pub fn push(&mut self, source: Arc<dyn Source>, deadline: Duration) {
        self.entries.push(Entry { source, deadline, counts: Arc::default() });
    }

    /// The sources, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Source> {
        self.entries.iter().map(|entry| entry.source.as_ref())
    }

    /// The source at a place.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, at: usize) -> &dyn Source {
        self.entries[at].source.as_ref()
    }

    /// Asks each for `n` rows; the answers stand in the order of the sources.
    pub(crate) fn ask(&self, query: &Arc<Query>, allow: &Arc<Allow>, n: usize) -> Vec<Answer> {
        let begin = Instant::now();
        let (tell, told) = channel();
        let mut answers: Vec<Option<Answer>> = Vec::with_capacity(self.entries.len());
        let mut is_late = false;
        let mut waiting: Vec<(usize, Task)> = Vec::with_capacity(self.entries.len());
        for (at, entry) in self.entries.iter().enumerate() {
            let stuck = entry.counts.stuck.load(Ordering::Acquire);
            if stuck >= STUCK_MAX {
                let message = format!("is not asked: it still holds {stuck} threads of earlier requests");
                answers.push(Some(Answer { rows: Err(StageError::new(message)), microseconds: 0 }));
                is_late = true;
                continue;
            }
            answers.push(None);
            let (source, query, allow, tell) =
                (Arc::clone(&entry.source), Arc::clone(query), Arc::clone(allow), tell.clone());
            let work = move || {
                let since = Instant::now();
                let rows = guard(|| source.retrieve(&query, &allow, n));
                // Let go of before it is told, so that who hears it is the only one who holds them.
                drop((query, allow));
                // Nobody listens where the request went on without it.
                let _ = tell.send((at, Answer { rows, microseconds: microseconds(since) }));
            };
            waiting.push((at, self.pool.run(&entry.counts, Box::new(work))));
        }
        while !waiting.is_empty() {
            let next = waiting.iter().map(|&(at, _)| self.entries[at].deadline).min().unwrap_or_default();
            match told.recv_timeout(next.saturating_sub(begin.elapsed())) {
                Ok((at, answer)) => {
                    waiting.retain(|&(waited, _)| waited != at);
                    answers[at] = Some(answer);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let passed = begin.elapsed();
                    waiting.retain(|(at, task)| {
                        let deadline = self.entries[*at].deadline;
                        if deadline > passed {
                            return true;
                        }
                        self.pool.give_up(task);
                        is_late = true;
                        let message = format!("did not answer within {} ms", deadline.as_millis());
                        answers[*at] = Some(Answer {
                            rows: Err(StageError::new(message)),
                            microseconds: microseconds(begin),
                        });
                        false
                    });
                }
            }
        }
        // Only now: what a late model did not say is not computed again by the stages after this one.
        if is_late {
            query.is_late_now();
        }
        let lost =
            || Answer { rows: Err(StageError::new("gave no answer")), microseconds: microseconds(begin) };
        answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }
}
