//! Unique names for requests, without a source of randomness.

use std::sync::atomic::{AtomicU64, Ordering};

use upnext_math::seed::mix;

/// Makes request ids: a counter from the start time, well mixed. Mixing is one-to-one, so no id repeats
/// within a process; between processes they differ by their start in nanoseconds.
#[derive(Debug)]
pub struct RequestIds {
    next: AtomicU64,
}

impl RequestIds {
    /// Starts at a number, usually nanoseconds since 1970.
    pub fn starting_at(number: u64) -> Self {
        Self { next: AtomicU64::new(mix(number)) }
    }

    /// The next id: 16 hex digits.
    pub fn next(&self) -> String {
        format!("{:016x}", mix(self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_id_repeats() {
        let ids = RequestIds::starting_at(7);
        let made: HashSet<String> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(made.len(), 10_000);
        assert!(made.iter().all(|id| id.len() == 16));
    }
}
