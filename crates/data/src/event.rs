//! What a user did with a video, and when.

use serde::{Deserialize, Serialize};

/// The kinds of event a log may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Action {
    /// Watched: `value` is seconds, `ratio` is watch time over duration.
    Watch,
    /// Liked.
    Like,
    /// Commented on.
    Comment,
    /// Followed the creator.
    Follow,
    /// Kept for later.
    Collect,
    /// Sent to somebody.
    Forward,
    /// The platform's own mark of a view that counts.
    EffectiveView,
    /// Said "not interested".
    Hate,
    /// Was shown it.
    Impression,
    /// Reached it by a search.
    Search,
    /// Rated it: `value` is the number of stars.
    Rating,
}

impl Action {
    /// All actions, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Watch,
        Self::Like,
        Self::Comment,
        Self::Follow,
        Self::Collect,
        Self::Forward,
        Self::EffectiveView,
        Self::Hate,
        Self::Impression,
        Self::Search,
        Self::Rating,
    ];

    /// The name in files and configurations, `effective_view` for example.
    pub fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Like => "like",
            Self::Comment => "comment",
            Self::Follow => "follow",
            Self::Collect => "collect",
            Self::Forward => "forward",
            Self::EffectiveView => "effective_view",
            Self::Hate => "hate",
            Self::Impression => "impression",
            Self::Search => "search",
            Self::Rating => "rating",
        }
    }

    /// The action of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// Which actions occurred, as one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actions(u16);

impl Actions {
    /// These.
    pub fn of(actions: impl IntoIterator<Item = Action>) -> Self {
        actions.into_iter().fold(Self::default(), |all, action| all.with(action))
    }

    /// One more.
    #[must_use]
    pub fn with(self, action: Action) -> Self {
        Self(self.0 | 1 << action as u16)
    }

    /// These and others.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether one occurred.
    pub fn has(self, action: Action) -> bool {
        self.0 & 1 << action as u16 != 0
    }

    /// One bit each, in the order of [`Action::ALL`].
    pub fn bits(self) -> u16 {
        self.0
    }
}

/// One line of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The user's row.
    pub user: u32,
    /// The video's row.
    pub video: u32,
    /// What was done.
    pub action: Action,
    /// Milliseconds since 1970 (UTC); 0 where the set has no times.
    pub time: i64,
    /// Seconds watched, stars given, 1 for other actions; `None` where the log does not say.
    pub value: Option<f32>,
    /// Watch time over duration, where both are known.
    pub ratio: Option<f32>,
}

/// Events as columns. A missing `value` or `ratio` is NaN inside and `None` outside.
#[derive(Clone, Debug, Default)]
pub struct Events {
    users: Vec<u32>,
    videos: Vec<u32>,
    actions: Vec<Action>,
    times: Vec<i64>,
    values: Vec<f32>,
    ratios: Vec<f32>,
}

impl Events {
    /// No events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one event.
    pub fn push(&mut self, event: Event) {
        self.users.push(event.user);
        self.videos.push(event.video);
        self.actions.push(event.action);
        self.times.push(event.time);
        self.values.push(event.value.unwrap_or(f32::NAN));
        self.ratios.push(event.ratio.unwrap_or(f32::NAN));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The event at a position.
    pub fn get(&self, at: usize) -> Event {
        let known = |x: f32| (!x.is_nan()).then_some(x);
        Event {
            user: self.users[at],
            video: self.videos[at],
            action: self.actions[at],
            time: self.times[at],
            value: known(self.values[at]),
            ratio: known(self.ratios[at]),
        }
    }

    /// All events in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Sorts by user, then time; ties keep their order in the file. Returns the old position of each event.
    pub fn sort(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&at| (self.users[at], self.times[at]));
        fn permute<T: Copy>(column: &mut Vec<T>, order: &[usize]) {
            *column = order.iter().map(|&at| column[at]).collect();
        }
        permute(&mut self.users, &order);
        permute(&mut self.videos, &order);
        permute(&mut self.actions, &order);
        permute(&mut self.times, &order);
        permute(&mut self.values, &order);
        permute(&mut self.ratios, &order);
        order
    }

    /// Users' rows.
    pub fn users(&self) -> &[u32] {
        &self.users
    }

    /// Videos' rows.
    pub fn videos(&self) -> &[u32] {
        &self.videos
    }

    /// Milliseconds since 1970.
    pub fn times(&self) -> &[i64] {
        &self.times
    }
}

impl FromIterator<Event> for Events {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut columns = Self::new();
        for event in events {
            columns.push(event);
        }
        columns
    }
}
