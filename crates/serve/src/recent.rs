//! A bounded memory of the newest things by name. It lasts as long as the process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// The newest values by name; beyond the bound the oldest name is forgotten.
pub(crate) struct Recent<T> {
    kept: Mutex<Kept<T>>,
    max: usize,
}

struct Kept<T> {
    by_name: HashMap<String, T>,
    order: VecDeque<String>,
}

impl<T: Clone> Recent<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self { kept: Mutex::new(Kept { by_name: HashMap::new(), order: VecDeque::new() }), max }
    }

    pub(crate) fn put(&self, name: String, value: T) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_name.insert(name.clone(), value).is_none() {
            kept.order.push_back(name);
        }
        while kept.order.len() > self.max {
            if let Some(oldest) = kept.order.pop_front() {
                kept.by_name.remove(&oldest);
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<T> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).by_name.get(name).cloned()
    }
}

/// Ids of events that were taken, the newest.
pub(crate) struct EventIds(Recent<()>);

impl EventIds {
    pub(crate) fn new(max: usize) -> Self {
        Self(Recent::new(max))
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.0.get(id).is_some()
    }

    pub(crate) fn add(&self, id: String) {
        self.0.put(id, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_name_is_forgotten_first_and_a_name_counts_once() {
        let recent = Recent::new(2);
        for (name, value) in [("a", 1), ("b", 2), ("a", 3)] {
            recent.put(name.into(), value);
        }
        assert_eq!((recent.get("a"), recent.get("b")), (Some(3), Some(2)));
        recent.put("c".into(), 4);
        assert_eq!((recent.get("a"), recent.get("b"), recent.get("c")), (None, Some(2), Some(4)));
    }
}
