//! What a viewer did with a video, as it arrives.

use serde_json::Value;

/// One row of the log. Its key is (kind, user, video).
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    /// What was done: `like`, `read`, `hate`, any string.
    pub kind: String,
    /// Outside id of the user.
    pub user: String,
    /// Outside id of the video.
    pub video: String,
    /// How much: share watched, stars, a count; finite.
    pub value: f64,
    /// Milliseconds since 1970.
    pub time: i64,
    /// Anything else, as JSON; `null` where there is nothing.
    pub labels: Value,
    /// Free text.
    pub comment: String,
}

/// What happens when the key is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The value is added, the later time stays, and labels and comment are replaced where given.
    Accumulate,
    /// The row is replaced.
    Overwrite,
}

/// Feedback that came as an event, which may come again.
#[derive(Clone, Debug, PartialEq)]
pub struct Identified {
    /// What the event is known by; a second one of the same id is passed over. `None` where whoever sends it makes sure that it comes once.
    pub id: Option<String>,
    /// What happens when the key is already there.
    pub write: Write,
    /// What was done.
    pub feedback: Feedback,
}

impl Identified {
    /// BLAKE3 of the id, in hexadecimal: all that stores keep of it, since an id may name the user.
    pub(crate) fn digest(&self) -> Option<String> {
        self.id.as_ref().map(|id| blake3::hash(id.as_bytes()).to_hex().to_string())
    }
}

/// A step along a stream of events that others keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The stream's name.
    pub stream: &'a str,
    /// Where the store has to stand, 0 at the start: so that two readers cannot both take it.
    pub from: u64,
    /// Where it stands afterwards.
    pub to: u64,
}

/// A step with a name of its own, for the thread that writes.
pub(crate) struct OwnStep {
    pub(crate) stream: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl From<Step<'_>> for OwnStep {
    fn from(Step { stream, from, to }: Step<'_>) -> Self {
        Self { stream: stream.to_owned(), from, to }
    }
}

/// Which feedback to list. Whatever is `None` may be anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct FeedbackQuery<'a> {
    /// Only of this kind.
    pub kind: Option<&'a str>,
    /// Only by this user.
    pub user: Option<&'a str>,
    /// Only on this video.
    pub video: Option<&'a str>,
    /// Where to begin: what the page before gave, or empty.
    pub cursor: &'a str,
    /// How many rows at most.
    pub n: usize,
}
