//! A store that answers only when it is let.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use upnext_store::{
    Counts, Feedback, FeedbackQuery, Identified, Page, Presence, Receipt, Step, Store, StoreError,
    StoredUser, StoredVideo, UserPatch, Version, VideoPatch, Write,
};

/// Empty, and slow as long as it is held.
pub(crate) struct Slow {
    held: Arc<AtomicBool>,
}

impl Slow {
    /// A store, and what holds it.
    pub(crate) fn new() -> (Self, Arc<AtomicBool>) {
        let held = Arc::new(AtomicBool::new(true));
        (Self { held: Arc::clone(&held) }, held)
    }

    fn wait(&self) {
        while self.held.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

macro_rules! waits {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $answer:ty = $value:expr;)*) => {
        impl Store for Slow {
            $(fn $name(&self, $($arg: $kind),*) -> $answer {
                $(let _ = $arg;)*
                self.wait();
                $value
            })*
            fn version(&self) -> Version {
                Version::default()
            }
            fn user_version(&self, _user: &str) -> u64 {
                0
            }
        }
    };
}

waits! {
    append(feedback: &[Feedback], write: Write) -> Result<usize, StoreError> = Ok(feedback.len());
    append_once(events: &[Identified], step: Option<Step<'_>>, now: i64) -> Result<usize, StoreError> = Ok(events.len());
    position(stream: &str) -> Result<u64, StoreError> = Ok(0);
    history(user: &str, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> = Ok(Vec::new());
    next_time(user: &str, after: i64) -> Result<Option<i64>, StoreError> = Ok(None);
    feedback(query: &FeedbackQuery<'_>) -> Result<Page<Feedback>, StoreError> = Ok(Page { rows: Vec::new(), cursor: String::new() });
    recent(since: i64, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> = Ok(Vec::new());
    delete_feedback(kind: Option<&str>, user: &str, video: &str) -> Result<usize, StoreError> = Ok(0);
    put_users(users: &[StoredUser]) -> Result<usize, StoreError> = Ok(users.len());
    user(id: &str) -> Result<Option<StoredUser>, StoreError> = Ok(None);
    user_presence(id: &str) -> Result<Presence, StoreError> = Ok(Presence::Unknown);
    users(cursor: &str, n: usize) -> Result<Page<StoredUser>, StoreError> = Ok(Page { rows: Vec::new(), cursor: String::new() });
    patch_user(id: &str, patch: &UserPatch) -> Result<bool, StoreError> = Ok(false);
    delete_user(id: &str) -> Result<bool, StoreError> = Ok(false);
    forget(id: &str, now: i64) -> Result<Receipt, StoreError> = Err(StoreError::Closed { path: "slow".into() });
    expire(before: i64, n_rows_max: usize) -> Result<usize, StoreError> = Ok(0);
    put_videos(videos: &[StoredVideo]) -> Result<usize, StoreError> = Ok(videos.len());
    video(id: &str) -> Result<Option<StoredVideo>, StoreError> = Ok(None);
    video_presence(id: &str) -> Result<Presence, StoreError> = Ok(Presence::Unknown);
    videos(cursor: &str, n: usize) -> Result<Page<StoredVideo>, StoreError> = Ok(Page { rows: Vec::new(), cursor: String::new() });
    latest_videos(limit: usize) -> Result<Vec<StoredVideo>, StoreError> = Ok(Vec::new());
    patch_video(id: &str, patch: &VideoPatch) -> Result<bool, StoreError> = Ok(false);
    delete_video(id: &str) -> Result<bool, StoreError> = Ok(false);
    hidden(limit: usize) -> Result<Vec<String>, StoreError> = Ok(Vec::new());
    counts() -> Result<Counts, StoreError> = Ok(Counts::default());
}
