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

impl<T> Kept<T> {
    fn put(&mut self, name: String, value: T, max: usize) {
        if self.by_name.insert(name.clone(), value).is_none() {
            self.order.push_back(name);
        }
        while self.order.len() > max {
            if let Some(oldest) = self.order.pop_front() {
                self.by_name.remove(&oldest);
            }
        }
    }
}

impl<T: Clone> Recent<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self { kept: Mutex::new(Kept { by_name: HashMap::new(), order: VecDeque::new() }), max }
    }

    pub(crate) fn put(&self, name: String, value: T) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(name, value, self.max);
    }

    /// Puts a value where there is none of this name, or where it may replace the one that is there.
    pub(crate) fn put_if(&self, name: String, value: T, may_replace: impl Fn(&T, &T) -> bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_name.get(&name).is_none_or(|there| may_replace(there, &value)) {
            kept.put(name, value, self.max);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<T> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).by_name.get(name).cloned()
    }
}

/// Ids of events of items, users and rankings that were taken, the newest.
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
        recent.put_if("b".into(), 5, |old, new| old > new);
        recent.put_if("d".into(), 6, |old, new| old > new);
        assert_eq!((recent.get("b"), recent.get("c"), recent.get("d")), (None, Some(4), Some(6)));
    }
}
