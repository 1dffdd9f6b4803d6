//! The plainest store: maps behind one lock. Nothing lasts longer than the process; tests and the judge of
//! other stores.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::version::Versions;
use crate::{
    Counts, Feedback, FeedbackQuery, Identified, Page, Presence, Receipt, Step, Store, StoreConfig,
    StoreError, StoredUser, StoredVideo, UserPatch, Version, VideoPatch, Write,
};

/// A store in memory.
#[derive(Debug, Default)]
pub struct Memory {
    config: StoreConfig,
    rows: RwLock<Rows>,
    versions: Versions,
}

#[derive(Debug, Default)]
struct Rows {
    /// `None` stands for a deleted one.
    users: BTreeMap<String, Option<StoredUser>>,
    videos: BTreeMap<String, Option<StoredVideo>>,
    /// By the order of arrival.
    feedback: BTreeMap<u64, Feedback>,
    /// (user, video, kind) to the place in `feedback`.
    keys: BTreeMap<(String, String, String), u64>,
    next: u64,
    /// Digests of ids of events, and when they came.
    event_ids: BTreeMap<String, i64>,
    /// How far streams were read.
    positions: BTreeMap<String, u64>,
    receipts: Vec<Receipt>,
}

impl Memory {
    /// An empty store with these limits, which whoever makes it has checked ([`StoreConfig::check`]).
    pub fn new(config: StoreConfig) -> Self {
        Self { config, ..Self::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn n(&self, limit: usize) -> usize {
        limit.min(self.config.page_max)
    }
}

impl Rows {
    fn room_for(&self, more: usize, max: usize) -> Result<(), StoreError> {
        match self.users.len() + self.videos.len() + self.feedback.len() + more > max {
            true => Err(StoreError::Full { path: PathBuf::from("memory") }),
            false => Ok(()),
        }
    }

    fn put_feedback(&mut self, f: &Feedback, write: Write) {
        let user = self.users.entry(f.user.clone()).or_default();
        user.get_or_insert_with(|| StoredUser { id: f.user.clone(), ..StoredUser::default() });
        let key = (f.user.clone(), f.video.clone(), f.kind.clone());
        let at = *self.keys.entry(key).or_insert(self.next);
        match self.feedback.get_mut(&at) {
            Some(old) if write == Write::Accumulate => accumulate(old, f),
            Some(old) => *old = f.clone(),
            None => {
                self.feedback.insert(at, f.clone());
                self.next += 1;
            }
        }
    }

    fn remove_feedback(&mut self, gone: impl Fn(&Feedback) -> bool) -> usize {
        let before = self.feedback.len();
        self.feedback.retain(|_, f| !gone(f));
        let feedback = &self.feedback;
        self.keys.retain(|_, at| feedback.contains_key(at));
        before - feedback.len()
    }
}

/// Adds `new` to `old` as [`Write::Accumulate`] says.
fn accumulate(old: &mut Feedback, new: &Feedback) {
    old.value = (old.value + new.value).clamp(f64::MIN, f64::MAX);
    old.time = old.time.max(new.time);
    if !new.labels.is_null() {
        old.labels = new.labels.clone();
    }
    if !new.comment.is_empty() {
        old.comment.clone_from(&new.comment);
    }
}

fn page<T: Clone>(
    rows: &BTreeMap<String, Option<T>>,
    cursor: &str,
    n: usize,
    id: impl Fn(&T) -> &str,
) -> Page<T> {
    let after = match cursor {
        "" => Bound::Unbounded,
        cursor => Bound::Excluded(cursor),
    };
    let mut found = rows.range::<str, _>((after, Bound::Unbounded)).filter_map(|(_, row)| row.as_ref());
    let rows: Vec<T> = found.by_ref().take(n).cloned().collect();
    let more = found.next().is_some();
    let cursor = rows.last().filter(|_| more).map(|row| id(row).to_owned()).unwrap_or_default();
    Page { rows, cursor }
}

fn presence<T>(row: Option<&Option<T>>) -> Presence {
    match row {
        None => Presence::Unknown,
        Some(None) => Presence::Deleted,
        Some(Some(_)) => Presence::Present,
    }
}

impl Store for Memory {
    fn append(&self, feedback: &[Feedback], write: Write) -> Result<usize, StoreError> {
        self.config.check_feedback(feedback)?;
        let mut rows = self.write();
        rows.room_for(2 * feedback.len(), self.config.memory_rows_max)?;
        feedback.iter().for_each(|f| rows.put_feedback(f, write));
        self.versions.feedback_changed(feedback.iter().map(|f| f.user.as_str()));
        Ok(feedback.len())
    }

    fn append_once(
        &self,
        events: &[Identified],
        step: Option<Step<'_>>,
        now: i64,
    ) -> Result<usize, StoreError> {
        self.config.check_events(events, step)?;
        let mut rows = self.write();
        rows.room_for(2 * events.len(), self.config.memory_rows_max)?;
        if let Some(Step { stream, from, to }) = step {
            let stands = rows.positions.entry(stream.to_owned()).or_default();
            if *stands != from {
                return Err(StoreError::Moved { stream: stream.to_owned(), found: *stands, expected: from });
            }
            *stands = to;
        }
        let since = self.config.event_ids_since(now);
        rows.event_ids.retain(|_, time| *time >= since);
        let mut n = 0;
        for event in events {
            let digest = event.digest();
            let is_known = digest.as_ref().is_some_and(|digest| rows.event_ids.contains_key(digest));
            if !is_known {
                rows.event_ids.extend(digest.map(|digest| (digest, now)));
                rows.put_feedback(&event.feedback, event.write);
                n += 1;
            }
        }
        self.versions.feedback_changed(events.iter().map(|event| event.feedback.user.as_str()));
        Ok(n)
    }

    fn position(&self, stream: &str) -> Result<u64, StoreError> {
        Ok(self.read().positions.get(stream).copied().unwrap_or_default())
    }

    fn history(&self, user: &str, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> {
        let rows = self.read();
        let fits = |f: &&Feedback| f.user == user && until.is_none_or(|until| f.time <= until);
        let mut found: Vec<&Feedback> = rows.feedback.values().filter(fits).collect();
        found.sort_by_key(|f| f.time);
        let skip = found.len().saturating_sub(self.n(limit));
        Ok(found[skip..].iter().copied().cloned().collect())
    }

    fn feedback(&self, query: &FeedbackQuery<'_>) -> Result<Page<Feedback>, StoreError> {
        let after = match query.cursor {
            "" => 0,
            cursor => match cursor.parse::<i64>() {
                Ok(at) if at >= 0 => at.unsigned_abs() + 1,
                _ => return Err(StoreError::Cursor { cursor: cursor.into() }),
            },
        };
        let fits = |want: Option<&str>, is: &str| want.is_none_or(|want| want == is);
        let rows = self.read();
        let mut found = rows.feedback.range(after..).filter(|(_, f)| {
            fits(query.kind, &f.kind) && fits(query.user, &f.user) && fits(query.video, &f.video)
        });
        let page: Vec<(&u64, &Feedback)> = found.by_ref().take(self.n(query.n)).collect();
        let more = found.next().is_some();
        let cursor = page.last().filter(|_| more).map(|(at, _)| at.to_string()).unwrap_or_default();
        Ok(Page { rows: page.into_iter().map(|(_, f)| f.clone()).collect(), cursor })
    }

    fn next_time(&self, user: &str, after: i64) -> Result<Option<i64>, StoreError> {
        let rows = self.read();
        Ok(rows.feedback.values().filter(|f| f.user == user && f.time > after).map(|f| f.time).min())
    }

    fn recent(&self, since: i64, until: Option<i64>, limit: usize) -> Result<Vec<Feedback>, StoreError> {
        let rows = self.read();
        let times = since..=until.unwrap_or(i64::MAX);
        let mut found: Vec<&Feedback> =
            rows.feedback.values().filter(|f| times.contains(&f.time)).rev().collect();
        found.sort_by_key(|f| std::cmp::Reverse(f.time));
        found.truncate(self.n(limit));
        Ok(found.into_iter().cloned().collect())
    }

    fn delete_feedback(&self, kind: Option<&str>, user: &str, video: &str) -> Result<usize, StoreError> {
        let gone = self.write().remove_feedback(|f| {
            f.user == user && f.video == video && kind.is_none_or(|kind| kind == f.kind)
        });
        self.versions.feedback_changed([user]);
        Ok(gone)
    }

    fn put_users(&self, users: &[StoredUser]) -> Result<usize, StoreError> {
        self.config.check_users(users)?;
        let mut rows = self.write();
        rows.room_for(users.len(), self.config.memory_rows_max)?;
        rows.users.extend(users.iter().map(|user| (user.id.clone(), Some(user.clone()))));
        self.versions.users_changed(users.iter().map(|user| user.id.as_str()));
        Ok(users.len())
    }

    fn user(&self, id: &str) -> Result<Option<StoredUser>, StoreError> {
        Ok(self.read().users.get(id).cloned().flatten())
    }

    fn user_presence(&self, id: &str) -> Result<Presence, StoreError> {
        Ok(presence(self.read().users.get(id)))
    }

    fn users(&self, cursor: &str, n: usize) -> Result<Page<StoredUser>, StoreError> {
        Ok(page(&self.read().users, cursor, self.n(n), |user| &user.id))
    }

    fn patch_user(&self, id: &str, patch: &UserPatch) -> Result<bool, StoreError> {
        self.config.check_user_patch(patch)?;
        match self.write().users.get_mut(id) {
            Some(Some(user)) => {
                patch.apply(user);
                self.versions.users_changed([id]);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn delete_user(&self, id: &str) -> Result<bool, StoreError> {
        self.config.check_id("user id", id)?;
        let mut rows = self.write();
        let gone = rows.remove_feedback(|f| f.user == id);
        let was = rows.users.insert(id.to_owned(), None).flatten().is_some();
        self.versions.feedback_changed([id]);
        Ok(was || gone > 0)
    }

    fn forget(&self, id: &str, now: i64) -> Result<Receipt, StoreError> {
        self.config.check_id("user id", id)?;
        let mut rows = self.write();
        let mut kinds = BTreeMap::new();
        for f in rows.feedback.values().filter(|f| f.user == id) {
            *kinds.entry(f.kind.clone()).or_default() += 1;
        }
        rows.remove_feedback(|f| f.user == id);
        let profiles = u64::from(rows.users.remove(id).is_some());
        let before = rows.receipts.last().map_or("", |receipt| &receipt.digest);
        let receipt = Receipt::new(before, now, profiles, kinds);
        rows.receipts.push(receipt.clone());
        self.versions.feedback_changed([id]);
        Ok(receipt)
    }

    fn expire(&self, before: i64, n_rows_max: usize) -> Result<usize, StoreError> {
        let mut rows = self.write();
        let mut old: Vec<(i64, u64)> =
            rows.feedback.iter().filter(|(_, f)| f.time < before).map(|(&at, f)| (f.time, at)).collect();
        old.sort_unstable();
        old.truncate(n_rows_max.min(self.config.commit_rows_max));
        for (_, at) in &old {
            if let Some(f) = rows.feedback.remove(at) {
                rows.keys.remove(&(f.user, f.video, f.kind));
            }
        }
        if !old.is_empty() {
            self.versions.all_feedback_changed();
        }
        Ok(old.len())
    }

    fn put_videos(&self, videos: &[StoredVideo]) -> Result<usize, StoreError> {
        self.config.check_videos(videos)?;
        let mut rows = self.write();
        rows.room_for(videos.len(), self.config.memory_rows_max)?;
        rows.videos.extend(videos.iter().map(|video| (video.id.clone(), Some(video.clone()))));
        self.versions.videos_changed();
        Ok(videos.len())
    }

    fn video(&self, id: &str) -> Result<Option<StoredVideo>, StoreError> {
        Ok(self.read().videos.get(id).cloned().flatten())
    }

    fn video_presence(&self, id: &str) -> Result<Presence, StoreError> {
        Ok(presence(self.read().videos.get(id)))
    }

    fn videos(&self, cursor: &str, n: usize) -> Result<Page<StoredVideo>, StoreError> {
        Ok(page(&self.read().videos, cursor, self.n(n), |video| &video.id))
    }

    fn latest_videos(&self, limit: usize) -> Result<Vec<StoredVideo>, StoreError> {
        let rows = self.read();
        let mut found: Vec<&StoredVideo> = rows.videos.values().flatten().filter(|v| !v.hidden).collect();
        found.sort_by_key(|v| std::cmp::Reverse(v.time));
        found.truncate(self.n(limit));
        Ok(found.into_iter().cloned().collect())
    }

    fn patch_video(&self, id: &str, patch: &VideoPatch) -> Result<bool, StoreError> {
        self.config.check_video_patch(patch)?;
        let mut rows = self.write();
        let Some(Some(video)) = rows.videos.get_mut(id) else { return Ok(false) };
        let mut patched = video.clone();
        patch.apply(&mut patched);
        self.config.check_categories(0, &patched.categories)?;
        *video = patched;
        self.versions.videos_changed();
        Ok(true)
    }

    fn delete_video(&self, id: &str) -> Result<bool, StoreError> {
        self.config.check_id("video id", id)?;
        let mut rows = self.write();
        let gone = rows.remove_feedback(|f| f.video == id);
        let was = rows.videos.insert(id.to_owned(), None).flatten().is_some();
        self.versions.videos_changed();
        self.versions.all_feedback_changed();
        Ok(was || gone > 0)
    }

    fn hidden(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let rows = self.read();
        let hidden = rows.videos.iter().filter(|(_, video)| video.as_ref().is_none_or(|v| v.hidden));
        Ok(hidden.map(|(id, _)| id.clone()).take(limit).collect())
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        let rows = self.read();
        Ok(Counts {
            users: rows.users.values().flatten().count() as u64,
            videos: rows.videos.values().flatten().count() as u64,
            feedback: rows.feedback.len() as u64,
        })
    }

    fn version(&self) -> Version {
        self.versions.version()
    }

    fn user_version(&self, user: &str) -> u64 {
        self.versions.of_user(user)
    }
}
