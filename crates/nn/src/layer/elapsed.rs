//! How long ago events were when a question is asked, as a bias of an attention.

use upnext_math::Matrix;

use super::time_bucket;
use crate::{Gradients, Id, Kind, Parameters};

/// Buckets of times, of which the milliseconds of 64 bits fill 123.
const N_BUCKETS: usize = 128;
/// In the place of a bucket, of pairs whose time is not known.
const UNKNOWN: u8 = u8::MAX;

/// For all pairs of places of sequences, the bucket of the time from the event of the one to when the other asks.
#[derive(Clone, Debug)]
pub struct Elapsed {
    /// Places of a sequence.
    length: usize,
    /// `(sequences, asking places, places of events)`.
    buckets: Vec<u8>,
}

impl Elapsed {
    /// Of sequences of `length` places each, one after another: when the event of each place was, and when each place
    /// asks what comes next, in milliseconds; `None` where that is not known.
    pub fn new(length: usize, events: &[Option<i64>], asked: &[Option<i64>]) -> Self {
        let bucket = |asked: Option<i64>, event: Option<i64>| match (asked, event) {
            (Some(asked), Some(event)) => time_bucket(asked.saturating_sub(event), N_BUCKETS - 1) as u8,
            _ => UNKNOWN,
        };
        let mut buckets = Vec::with_capacity(events.len() * length);
        for (events, asked) in events.chunks_exact(length.max(1)).zip(asked.chunks_exact(length.max(1))) {
            for &asked in asked {
                buckets.extend(events.iter().map(|&event| bucket(asked, event)));
            }
        }
        Self { length, buckets }
    }

    /// The buckets of a sequence, `(length, length)`.
    fn of(&self, sequence: usize) -> &[u8] {
        let square = self.length * self.length;
        &self.buckets[sequence * square..(sequence + 1) * square]
    }
}

/// What is added to the logits of an attention by how long ago an event was, for each head (HSTU, Zhai et al. 2024).
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeBias {
    table: Id,
}

impl TimeBias {
    /// All zero at first, so that what never learns from times answers as if there were none.
    pub(super) fn new(parameters: &mut Parameters, name: &str, n_heads: usize) -> Self {
        let table = Matrix::zeros(n_heads, N_BUCKETS);
        Self { table: parameters.add(format!("{name}.weight"), Kind::Dense, table) }
    }

    /// Adds the bias of a sequence and a head to its logits, `(length, length)`; nothing where a time is not known.
    pub(super) fn add_to(
        &self,
        parameters: &Parameters,
        elapsed: &Elapsed,
        (sequence, head): (usize, usize),
        logits: &mut [f32],
    ) {
        let of_head = parameters.get(self.table).row(head);
        for (logit, &bucket) in logits.iter_mut().zip(elapsed.of(sequence)) {
            *logit += of_head.get(usize::from(bucket)).unwrap_or(&0.0);
        }
    }

    /// Adds the gradients of the table.
    pub(super) fn backward(
        &self,
        elapsed: &Elapsed,
        (sequence, head): (usize, usize),
        of_logits: &[f32],
        gradients: &mut Gradients,
    ) {
        let of_head = gradients.dense(self.table).row_mut(head);
        for (gradient, &bucket) in of_logits.iter().zip(elapsed.of(sequence)) {
            if let Some(of_bucket) = of_head.get_mut(usize::from(bucket)) {
                *of_bucket += gradient;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_from_an_event_to_when_a_place_asks() {
        let second = |n: i64| Some(1_000 * n);
        // A start without an event, an event at 5 s, one without a time.
        let elapsed = Elapsed::new(3, &[None, second(5), None], &[second(5), second(15), Some(i64::MAX)]);
        let u = UNKNOWN;
        assert_eq!(elapsed.of(0), [u, 0, u, u, 7, u, u, 122, u]);
    }
}
