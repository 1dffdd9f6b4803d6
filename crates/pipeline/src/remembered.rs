//! What was made for a viewer, kept until it is old: a bounded cache.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// At most so many values by name. Two halves: what is asked for moves into the young one; when that is full it becomes the old one,
/// and what nobody asked for meanwhile is forgotten.
pub(crate) struct Remembered<V> {
    halves: Mutex<Halves<V>>,
    half_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How often what was asked for was remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// It was, and was still good.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
}

struct Halves<V> {
    young: HashMap<String, Arc<V>>,
    old: HashMap<String, Arc<V>>,
}

impl<V> Remembered<V> {
    /// Keeps at most `max` values; none if that is 0.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            halves: Mutex::new(Halves { young: HashMap::new(), old: HashMap::new() }),
            half_max: max.div_ceil(2),
            hits: AtomicU64::default(),
            misses: AtomicU64::default(),
        }
    }

    /// The value of a name, if it is still good; a bad one is forgotten.
    pub(crate) fn get(&self, name: &str, is_good: impl FnOnce(&V) -> bool) -> Option<Arc<V>> {
        let found = self.look(name, is_good);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// How often that went well since the beginning.
    pub(crate) fn hits(&self) -> Hits {
        Hits { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }

    fn look(&self, name: &str, is_good: impl FnOnce(&V) -> bool) -> Option<Arc<V>> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let value = match halves.young.get(name) {
            Some(value) => Arc::clone(value),
            None => {
                let value = halves.old.remove(name)?;
                self.keep(&mut halves, name, &value);
                value
            }
        };
        if is_good(&value) {
            return Some(value);
        }
        halves.young.remove(name);
        None
    }

    /// Keeps a value under a name.
    pub(crate) fn put(&self, name: &str, value: &Arc<V>) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.old.remove(name);
        self.keep(&mut halves, name, value);
    }

    fn keep(&self, halves: &mut Halves<V>, name: &str, value: &Arc<V>) {
        if self.half_max == 0 {
            return;
        }
        if halves.young.len() >= self.half_max && !halves.young.contains_key(name) {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(name.to_string(), Arc::clone(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_bound_holds() {
        let remembered = Remembered::new(4);
        for at in 0..100 {
            remembered.put(&format!("v{at}"), &Arc::new(at));
            assert!(remembered.get("v0", |_| true).is_some(), "asked for all the time");
            let halves = remembered.halves.lock().unwrap();
            assert!(halves.young.len() + halves.old.len() <= 4);
        }
        assert!(remembered.get("v50", |_| true).is_none());
        assert!(remembered.get("v99", |&value| value != 99).is_none());
        assert!(remembered.get("v99", |_| true).is_none(), "a bad value is forgotten");
        assert_eq!(remembered.hits(), Hits { hits: 100, misses: 3 });
        let none = Remembered::new(0);
        none.put("v", &Arc::new(1));
        assert!(none.get("v", |_| true).is_none());
    }
}
