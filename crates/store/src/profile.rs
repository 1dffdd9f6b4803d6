//! Users and videos, as they arrive.

use serde_json::Value;

/// A user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredUser {
    /// Outside id.
    pub id: String,
    /// Anything known, as JSON.
    pub labels: Value,
    /// Free text.
    pub comment: String,
}

/// A video.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredVideo {
    /// Outside id.
    pub id: String,
    /// Never shown while this is set.
    pub hidden: bool,
    /// What it belongs to, in the order given.
    pub categories: Vec<String>,
    /// When it was published, milliseconds since 1970.
    pub time: Option<i64>,
    /// Anything known, as JSON.
    pub labels: Value,
    /// Free text; by custom the title.
    pub comment: String,
}

/// Whether an id is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Never heard of.
    Unknown,
    /// There.
    Present,
    /// Deleted, and not written since.
    Deleted,
}

/// Parts of a user to change; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserPatch {
    /// New labels.
    pub labels: Option<Value>,
    /// New comment.
    pub comment: Option<String>,
}

/// Parts of a video to change; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoPatch {
    /// Hide or show.
    pub hidden: Option<bool>,
    /// New categories, in place of all.
    pub categories: Option<Vec<String>>,
    /// New time.
    pub time: Option<i64>,
    /// New labels.
    pub labels: Option<Value>,
    /// New comment.
    pub comment: Option<String>,
    /// A category to add, after the above; nothing happens if it is there.
    pub add_category: Option<String>,
    /// A category to take away, after the above.
    pub remove_category: Option<String>,
}

impl UserPatch {
    /// Changes a user.
    pub fn apply(&self, user: &mut StoredUser) {
        if let Some(labels) = &self.labels {
            user.labels = labels.clone();
        }
        if let Some(comment) = &self.comment {
            user.comment.clone_from(comment);
        }
    }
}

impl VideoPatch {
    /// Changes a video.
    pub fn apply(&self, video: &mut StoredVideo) {
        if let Some(hidden) = self.hidden {
            video.hidden = hidden;
        }
        if let Some(categories) = &self.categories {
            video.categories.clone_from(categories);
        }
        if let Some(time) = self.time {
            video.time = Some(time);
        }
        if let Some(labels) = &self.labels {
            video.labels = labels.clone();
        }
        if let Some(comment) = &self.comment {
            video.comment.clone_from(comment);
        }
        if let Some(category) = self.add_category.as_ref().filter(|c| !video.categories.contains(c)) {
            video.categories.push(category.clone());
        }
        if let Some(category) = &self.remove_category {
            video.categories.retain(|c| c != category);
        }
    }
}
