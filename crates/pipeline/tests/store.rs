//! The feed over a store that fails: what is known goes out, and the failure is named.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use upnext_data::{Action, Catalogue, Dataset, Event, Events, Order, Relevance, Users};
use upnext_features::Content;
use upnext_models::Training;
use upnext_models::zoo::{Kind, Zoo};
use upnext_pipeline::rerank::SharedLabels;
use upnext_pipeline::{Feed, FeedConfig, FeedModels, Request};
use upnext_store::{
    Counts, Feedback, FeedbackQuery, Identified, Memory, Page, Presence, Receipt, Step, Store, StoreError,
    StoredUser, StoredVideo, UserPatch, Version, VideoPatch, Write,
};

/// A store whose reads work, fail, or panic.
#[derive(Default)]
struct Faulty {
    inner: Memory,
    how: AtomicU8,
}

impl Faulty {
    fn check(&self) -> Result<(), StoreError> {
        match self.how.load(Ordering::Relaxed) {
            0 => Ok(()),
            1 => Err(StoreError::Busy { what: "readers", retry_milliseconds: 7 }),
            _ => panic!("the disk is gone"),
        }
    }
}

impl Store for Faulty {
    fn append(&self, feedback: &[Feedback], write: Write) -> Result<usize, StoreError> {
        self.inner.append(feedback, write)
    }
    fn append_once(
        &self,
        events: &[Identified],
        step: Option<Step<'_>>,
        now: i64,
    ) -> Result<usize, StoreError> {
        self.inner.append_once(events, step, now)
    }
    fn position(&self, stream: &str) -> Result<u64, StoreError> {
        self.inner.position(stream)
    }
    fn history(&self, user: &str, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> {
        self.check()?;
        self.inner.history(user, until, limit)
    }
    fn next_time(&self, user: &str, after: i64) -> Result<Option<i64>, StoreError> {
        self.check()?;
        self.inner.next_time(user, after)
    }
    fn feedback(&self, query: &FeedbackQuery<'_>) -> Result<Page<Feedback>, StoreError> {
        self.inner.feedback(query)
    }
    fn recent(&self, since: i64, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> {
        self.check()?;
        self.inner.recent(since, until, limit)
    }
    fn delete_feedback(&self, kind: Option<&str>, user: &str, video: &str) -> Result<usize, StoreError> {
        self.inner.delete_feedback(kind, user, video)
    }
    fn put_users(&self, users: &[StoredUser]) -> Result<usize, StoreError> {
        self.inner.put_users(users)
    }
    fn user(&self, id: &str) -> Result<Option<StoredUser>, StoreError> {
        self.inner.user(id)
    }
    fn user_presence(&self, id: &str) -> Result<Presence, StoreError> {
        self.check()?;
        self.inner.user_presence(id)
    }
    fn users(&self, cursor: &str, n: usize) -> Result<Page<StoredUser>, StoreError> {
        self.inner.users(cursor, n)
    }
    fn patch_user(&self, id: &str, patch: &UserPatch) -> Result<bool, StoreError> {
        self.inner.patch_user(id, patch)
    }
    fn delete_user(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.delete_user(id)
    }
    fn forget(&self, id: &str, now: i64) -> Result<Receipt, StoreError> {
        self.inner.forget(id, now)
    }
    fn expire(&self, before: i64, n_rows_max: usize) -> Result<usize, StoreError> {
        self.inner.expire(before, n_rows_max)
    }
    fn put_videos(&self, videos: &[StoredVideo]) -> Result<usize, StoreError> {
        self.inner.put_videos(videos)
    }
    fn video(&self, id: &str) -> Result<Option<StoredVideo>, StoreError> {
        self.inner.video(id)
    }
    fn video_presence(&self, id: &str) -> Result<Presence, StoreError> {
        self.inner.video_presence(id)
    }
    fn videos(&self, cursor: &str, n: usize) -> Result<Page<StoredVideo>, StoreError> {
        self.check()?;
        self.inner.videos(cursor, n)
    }
    fn latest_videos(&self, limit: usize) -> Result<Vec<StoredVideo>, StoreError> {
        self.inner.latest_videos(limit)
    }
    fn patch_video(&self, id: &str, patch: &VideoPatch) -> Result<bool, StoreError> {
        self.inner.patch_video(id, patch)
    }
    fn delete_video(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.delete_video(id)
    }
    fn hidden(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.hidden(limit)
    }
    fn counts(&self) -> Result<Counts, StoreError> {
        self.inner.counts()
    }
    fn version(&self) -> Version {
        self.inner.version()
    }

    fn user_version(&self, user: &str) -> u64 {
        self.inner.user_version(user)
    }
}

fn feed(store: Arc<Faulty>) -> Feed {
    let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
    for video in 0..12 {
        let row = videos.intern(&format!("v{video}"));
        videos.label(row, &format!("genre:{}", row % 2));
    }
    for viewer in 0..10u32 {
        let user = users.intern(&format!("u{viewer}"));
        for step in 0..4 {
            let (video, time) = ((viewer % 2 + step * 2 + viewer) % 12, 1 + i64::from(step));
            events.push(Event { user, video, action: Action::Like, time, value: None, ratio: None });
        }
    }
    let dataset = Arc::new(Dataset::new("small", users, videos, events, Order::Timed, None));
    let interactions = dataset.interactions(&Relevance::default());
    let candidates: Vec<u32> = (0..12).collect();
    let mut zoo = Zoo::new(Training {
        content: Content::new(&dataset.videos).map(Arc::new),
        candidates: &candidates,
        ..Training::of(&interactions, dataset.order, 1)
    });
    let main = zoo.fit(Kind::ItemKnn, &[]).unwrap().model;
    let similarity = Arc::new(SharedLabels::new(Arc::clone(&dataset)));
    let models = FeedModels {
        main: main.clone(),
        sources: Vec::new(),
        similarity,
        fused: None,
        neighbours: main,
        indexes: BTreeMap::new(),
    };
    Feed::new(FeedConfig::default(), dataset, Relevance::default(), models, store).unwrap()
}

#[test]
fn a_store_that_fails_costs_what_only_it_knows() {
    for how in [1, 2] {
        let store = Arc::new(Faulty::default());
        store.put_videos(&[StoredVideo { id: "v3".into(), hidden: true, ..StoredVideo::default() }]).unwrap();
        let feed = feed(Arc::clone(&store));
        let request = Request { user: Some("u1".into()), n: 12, now: 1_000, ..Request::default() };
        let before = feed.recommend(&request);
        assert!(before.failures.is_empty());

        store.how.store(how, Ordering::Relaxed);
        // Who was here and did nothing since is remembered.
        let again = feed.recommend(&request);
        assert_eq!((&again.slate, again.failures.len()), (&before.slate, 0));
        // Of another the run knows the past, and what was hidden when the store last answered stays hidden.
        let other = Request { user: Some("u2".into()), ..request.clone() };
        let broken = feed.recommend(&other);
        assert!(!broken.slate.is_empty() && broken.slate.iter().all(|slot| slot.video != "v3"));
        let parts: Vec<&str> = broken.failures.iter().map(|failure| failure.part.as_str()).collect();
        assert_eq!(parts, ["viewer", "history"]);
        let words = if how == 1 { "busy" } else { "the disk is gone" };
        assert!(
            broken.failures.iter().all(|failure| failure.message.contains(words)),
            "{:?}",
            broken.failures
        );

        // What changes meanwhile is not seen, and said so.
        store.put_videos(&[StoredVideo { id: "new".into(), ..StoredVideo::default() }]).unwrap();
        let changed = feed.recommend(&request);
        assert!(changed.failures.iter().any(|failure| failure.part == "stock"), "{:?}", changed.failures);
        assert_eq!(changed.slate, before.slate);

        store.how.store(0, Ordering::Relaxed);
        let healed = feed.recommend(&request);
        assert!(healed.failures.is_empty());
        assert!(healed.slate.iter().any(|slot| slot.video == "new"));
    }
}
