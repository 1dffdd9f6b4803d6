//! Counts over the last hour, day and week, the same code for a log that is replayed and for events as they come.
//!
//! Events fall into buckets of a sixtieth of their window, so memory does not grow with traffic. A count at *t*
//! holds every event of `[t - window, t)` and of nothing after; it may hold older ones too, of the bucket in which
//! the window begins: at most one bucket, so a window is up to 1/60 longer than its name says.

use std::collections::{HashMap, VecDeque};

use upnext_data::{Action, Event};

/// A span over which is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// One hour, in buckets of a minute.
    Hour,
    /// 24 hours, in buckets of 24 minutes.
    Day,
    /// 7 days, in buckets of 168 minutes.
    Week,
}

impl Window {
    /// All windows, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];
    /// Buckets of a window.
    const BUCKETS: i64 = 60;

    /// Its length in milliseconds.
    pub fn millis(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 24 * 3_600_000,
            Self::Week => 7 * 24 * 3_600_000,
        }
    }

    fn bucket(self, time: i64) -> i64 {
        time.div_euclid(self.millis() / Self::BUCKETS)
    }
}

/// Whose events are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Of {
    /// A video's row.
    Video(u32),
    /// A user's row.
    User(u32),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Events of an action: `Action::Watch` counts plays, `Action::Like` likes.
    Action(Action),
    /// Watches of a ratio of 1 or more.
    Completion,
}

impl What {
    const COMPLETION: u8 = Action::ALL.len() as u8;

    fn code(self) -> u8 {
        match self {
            Self::Action(action) => action as u8,
            Self::Completion => Self::COMPLETION,
        }
    }
}

/// The counters moved on: the past cannot be asked for.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error(
    "counts at {at} were asked for after an event at {newest}: ask in order of time, or replay the log up to {at}"
)]
pub struct Passed {
    /// The time that was asked for, milliseconds since 1970.
    pub at: i64,
    /// The newest event, milliseconds since 1970.
    pub newest: i64,
}

/// One (bucket, what, count) after the other, buckets in order.
type Buckets = VecDeque<(i64, u8, u32)>;

#[derive(Clone, Debug, Default)]
struct Counts {
    windows: [Buckets; 3],
    newest: i64,
}

/// Counters of videos and users.
///
/// Events are fed in order of time; one that comes late is counted from then on. Memory is at most `keys_max`
/// videos and users times 3 windows times 61 buckets times the actions that occurred in each: beyond `keys_max`,
/// first whoever was idle for a week is forgotten, which changes no count, then the tenth that was idle longest,
/// which [`forgotten`](Self::forgotten) tells.
#[derive(Clone, Debug)]
pub struct Counters {
    of: HashMap<Of, Counts>,
    /// Events of the newest millisecond: a question of that very time does not see them.
    pending: Vec<Event>,
    newest: i64,
    keys_max: usize,
    forgotten: u64,
}

impl Counters {
    /// Nothing counted yet; at most `keys_max` (at least 2) videos and users are kept.
    pub fn new(keys_max: usize) -> Self {
        let (of, pending) = Default::default();
        Self { of, pending, newest: i64::MIN, keys_max: keys_max.max(2), forgotten: 0 }
    }

    /// Counts one event, for its video and its user.
    pub fn add(&mut self, event: Event) {
        if event.time > self.newest {
            self.settle();
            self.newest = event.time;
        }
        if event.time == self.newest { self.pending.push(event) } else { self.count_in(event) }
    }

    /// How many events lie in the window before `at`, milliseconds since 1970.
    ///
    /// # Errors
    /// When an event later than `at` was counted already.
    pub fn count(&mut self, of: Of, what: What, window: Window, at: i64) -> Result<u32, Passed> {
        if at < self.newest {
            return Err(Passed { at, newest: self.newest });
        }
        if at > self.newest {
            self.settle();
        }
        let Some(counts) = self.of.get(&of) else { return Ok(0) };
        let first = window.bucket(at.saturating_sub(window.millis()));
        let within = counts.windows[window as usize].iter().rev().take_while(|entry| entry.0 >= first);
        Ok(within.filter(|entry| entry.1 == what.code()).map(|entry| entry.2).sum())
    }

    /// How many videos and users are kept.
    pub fn n_keys(&self) -> usize {
        self.of.len()
    }

    /// How many videos and users were forgotten before their week was over, for want of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn settle(&mut self) {
        for event in std::mem::take(&mut self.pending) {
            self.count_in(event);
        }
    }

    fn count_in(&mut self, event: Event) {
        let complete = event.action == Action::Watch && event.ratio.is_some_and(|ratio| ratio >= 1.0);
        for of in [Of::Video(event.video), Of::User(event.user)] {
            if !self.of.contains_key(&of) && self.of.len() >= self.keys_max {
                self.make_room();
            }
            let counts = self.of.entry(of).or_default();
            counts.newest = counts.newest.max(event.time);
            for window in Window::ALL {
                let buckets = &mut counts.windows[window as usize];
                // What no later question can reach goes.
                let first = window.bucket(self.newest.saturating_sub(window.millis()));
                while buckets.front().is_some_and(|entry| entry.0 < first) {
                    buckets.pop_front();
                }
                let bucket = window.bucket(event.time);
                if bucket >= first {
                    add(buckets, bucket, event.action as u8);
                    if complete {
                        add(buckets, bucket, What::COMPLETION);
                    }
                }
            }
        }
    }

    fn make_room(&mut self) {
        let idle = self.newest.saturating_sub(2 * Window::Week.millis());
        self.of.retain(|_, counts| counts.newest >= idle);
        if self.of.len() < self.keys_max {
            return;
        }
        // A tenth at once, so that the sort is paid for by many events.
        let mut by_age: Vec<(i64, Of)> = self.of.iter().map(|(of, counts)| (counts.newest, *of)).collect();
        by_age.sort_unstable();
        for (_, of) in by_age.into_iter().take(self.keys_max.div_ceil(10)) {
            self.of.remove(&of);
            self.forgotten += 1;
        }
    }
}

fn add(buckets: &mut Buckets, bucket: i64, what: u8) {
    let end = buckets.partition_point(|entry| entry.0 <= bucket);
    let begin = buckets.partition_point(|entry| entry.0 < bucket);
    match buckets.range_mut(begin..end).find(|entry| entry.1 == what) {
        Some(entry) => entry.2 += 1,
        None => buckets.insert(end, (bucket, what, 1)),
    }
}

/// Answers questions about a log: each event is counted in order of time, and each question, `(of, what, window,
/// at)`, is asked when its time has come. The answers stand in the order of the questions.
pub fn replay(
    events: impl IntoIterator<Item = Event>,
    questions: &[(Of, What, Window, i64)],
    keys_max: usize,
) -> Vec<u32> {
    let mut events: Vec<Event> = events.into_iter().collect();
    events.sort_by_key(|event| event.time);
    let mut order: Vec<usize> = (0..questions.len()).collect();
    order.sort_by_key(|&at| questions[at].3);
    let mut counters = Counters::new(keys_max);
    let mut events = events.into_iter().peekable();
    let mut answers = vec![0; questions.len()];
    for at in order {
        let (of, what, window, time) = questions[at];
        while let Some(event) = events.next_if(|event| event.time < time) {
            counters.add(event);
        }
        answers[at] = counters.count(of, what, window, time).expect("only earlier events were counted");
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn watch(user: u32, video: u32, time: i64, ratio: f32) -> Event {
        Event { user, video, action: Action::Watch, time, value: None, ratio: Some(ratio) }
    }

    const PLAYS: What = What::Action(Action::Watch);

    #[test]
    fn windows_by_hand() {
        let mut counters = Counters::new(100);
        let start = 1_000 * 24 * 60 * MINUTE;
        for minutes in [0, 10, 65, 65] {
            counters.add(watch(1, 7, start + minutes * MINUTE, if minutes == 65 { 1.2 } else { 0.5 }));
        }
        let at = start + 66 * MINUTE;
        let mut count = |of, what, window| counters.count(of, what, window, at).unwrap();
        // 66 minutes ago is out of the hour.
        assert_eq!(count(Of::Video(7), PLAYS, Window::Hour), 3);
        assert_eq!(count(Of::Video(7), PLAYS, Window::Day), 4);
        assert_eq!(count(Of::User(1), What::Completion, Window::Week), 2);
        assert_eq!(count(Of::User(2), PLAYS, Window::Week), 0);
        assert_eq!(count(Of::Video(7), What::Action(Action::Like), Window::Week), 0);
    }

    #[test]
    fn an_event_of_the_very_moment_is_not_known_and_the_past_cannot_be_asked_for() {
        let mut counters = Counters::new(100);
        counters.add(watch(1, 7, 500, 1.0));
        assert_eq!(counters.count(Of::Video(7), PLAYS, Window::Hour, 500), Ok(0));
        assert_eq!(counters.count(Of::Video(7), PLAYS, Window::Hour, 501), Ok(1));
        let error = counters.count(Of::Video(7), PLAYS, Window::Hour, 499).unwrap_err();
        assert_eq!(error, Passed { at: 499, newest: 500 });
    }

    #[test]
    fn a_late_event_counts_from_then_on() {
        let mut counters = Counters::new(100);
        counters.add(watch(1, 7, 100 * MINUTE, 1.0));
        counters.add(watch(1, 7, 90 * MINUTE, 1.0));
        assert_eq!(counters.count(Of::Video(7), PLAYS, Window::Hour, 101 * MINUTE), Ok(2));
    }

    #[test]
    fn memory_is_bounded_and_what_was_forgotten_is_told() {
        let mut counters = Counters::new(50);
        for at in 0..1_000u32 {
            counters.add(watch(0, at, i64::from(at), 1.0));
        }
        assert!(counters.n_keys() <= 50);
        assert!(counters.forgotten() > 900);
        // A month later all are idle: room is made without a loss.
        assert_eq!(counters.count(Of::User(0), PLAYS, Window::Hour, 1_000), Ok(1_000));
        let before = counters.forgotten();
        for at in 0..40u32 {
            counters.add(watch(1, at, 30 * 24 * 60 * MINUTE + i64::from(at), 1.0));
        }
        assert_eq!(counters.forgotten(), before);
    }
}
