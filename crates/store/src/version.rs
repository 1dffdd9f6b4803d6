//! When what a reader remembers is old: counters of changes, of everything and of users.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that grow with every change, so that a reader knows when what it remembers is old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Changes of videos: their rows, whether they are hidden, whether they are there.
    pub videos: u64,
    /// Changes of feedback.
    pub feedback: u64,
}

/// Users share counters, so that memory does not grow with them: a user whose neighbour changed is read once too often.
const USER_COUNTERS: usize = 1 << 14;

/// A user in 32 bits, the same in every process and build, since processes tell each other of it: FNV-1a.
pub(crate) fn user_hash(user: &str) -> u32 {
    user.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The counters of one store.
#[derive(Debug)]
pub(crate) struct Versions {
    videos: AtomicU64,
    feedback: AtomicU64,
    of_users: Box<[AtomicU64]>,
    of_all_users: AtomicU64,
}

impl Default for Versions {
    fn default() -> Self {
        let of_users = (0..USER_COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self {
            videos: AtomicU64::default(),
            feedback: AtomicU64::default(),
            of_users,
            of_all_users: AtomicU64::default(),
        }
    }
}

impl Versions {
    fn counter(&self, hash: u32) -> &AtomicU64 {
        &self.of_users[hash as usize % USER_COUNTERS]
    }

    pub(crate) fn videos_changed(&self) {
        self.videos.fetch_add(1, Ordering::Release);
    }

    /// Users were written, or feedback of theirs.
    pub(crate) fn users_changed<'a>(&self, users: impl IntoIterator<Item = &'a str>) {
        for user in users {
            self.counter(user_hash(user)).fetch_add(1, Ordering::Release);
        }
    }

    pub(crate) fn feedback_changed<'a>(&self, users: impl IntoIterator<Item = &'a str>) {
        self.users_changed(users);
        self.feedback.fetch_add(1, Ordering::Release);
    }

    /// Feedback of users who are not known one by one.
    pub(crate) fn all_feedback_changed(&self) {
        self.of_all_users.fetch_add(1, Ordering::Release);
        self.feedback.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn version(&self) -> Version {
        Version {
            videos: self.videos.load(Ordering::Acquire),
            feedback: self.feedback.load(Ordering::Acquire),
        }
    }

    /// Both parts only grow, so their sum tells of any change.
    pub(crate) fn of_user(&self, user: &str) -> u64 {
        self.counter(user_hash(user)).load(Ordering::Acquire) + self.of_all_users.load(Ordering::Acquire)
    }
}

/// What one hears of other processes.
#[cfg(feature = "postgres")]
impl Versions {
    /// A user of whom only the hash is known.
    pub(crate) fn user_changed(&self, hash: u32) {
        self.counter(hash).fetch_add(1, Ordering::Release);
    }

    /// News may have been lost.
    pub(crate) fn everything_changed(&self) {
        self.videos_changed();
        self.all_feedback_changed();
    }
}
