//! One row for each pair of user and video: what models are fitted on.

use crate::{Actions, Event, History, Judgement, Past, Relevance};

/// What one user did with one video, all events together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interaction {
    /// The video's row.
    pub video: u32,
    /// Milliseconds since 1970 of the first positive event, else of the first event.
    pub time: i64,
    /// The largest watch ratio, else the last rating, where either is known.
    pub value: Option<f32>,
    /// What the rule says of all events together: a `hate` outweighs, then any positive.
    pub judgement: Judgement,
    /// Which actions occurred.
    pub actions: Actions,
}

impl Interaction {
    /// Whether the user wanted it.
    pub fn is_positive(&self) -> bool {
        self.judgement == Judgement::Positive
    }
}

/// Interactions of all users in one array: by user, then time; ties in file order.
///
/// A pair that occurs several times is kept once, at its earliest positive event (else its earliest event).
#[derive(Clone, Debug, PartialEq)]
pub struct Interactions {
    n_videos: usize,
    starts: Vec<usize>,
    rows: Vec<Interaction>,
}

impl Interactions {
    /// Joins events, which come sorted by user, then time, into one row for each pair.
    pub fn new(
        n_users: usize,
        n_videos: usize,
        events: impl IntoIterator<Item = Event>,
        rule: &Relevance,
    ) -> Self {
        let mut by_user: Vec<Vec<Interaction>> = vec![Vec::new(); n_users];
        // Where a user's pair stands: the stamp says for which user the slot is valid.
        let mut slot = vec![(u32::MAX, 0u32); n_videos];
        for event in events {
            let rows = &mut by_user[event.user as usize];
            let judgement = rule.judge(&event);
            let value =
                event.ratio.or(if event.action == crate::Action::Rating { event.value } else { None });
            let (stamp, at) = slot[event.video as usize];
            if stamp == event.user {
                let row = &mut rows[at as usize];
                row.actions = row.actions.with(event.action);
                row.value = match (row.value, value) {
                    (Some(old), Some(new)) if event.ratio.is_some() => Some(old.max(new)),
                    (old, new) => new.or(old),
                };
                match (row.judgement, judgement) {
                    (_, Judgement::Negative) => row.judgement = Judgement::Negative,
                    (Judgement::Neutral, Judgement::Positive) => {
                        row.judgement = Judgement::Positive;
                        row.time = event.time;
                    }
                    _ => {}
                }
            } else {
                slot[event.video as usize] = (event.user, rows.len() as u32);
                let actions = Actions::of([event.action]);
                rows.push(Interaction { video: event.video, time: event.time, value, judgement, actions });
            }
        }
        for rows in &mut by_user {
            // A pair that became positive later moves to that time; equal times keep their order.
            rows.sort_by_key(|row| row.time);
        }
        Self::from_users(n_videos, by_user)
    }

    /// From rows already grouped by user and sorted by time.
    pub fn from_users(n_videos: usize, by_user: Vec<Vec<Interaction>>) -> Self {
        let mut starts = Vec::with_capacity(by_user.len() + 1);
        starts.push(0);
        let mut rows = Vec::with_capacity(by_user.iter().map(Vec::len).sum());
        for user in by_user {
            rows.extend(user);
            starts.push(rows.len());
        }
        Self { n_videos, starts, rows }
    }

    /// How many users there are, those without a row included.
    pub fn n_users(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many videos the catalogue has.
    pub fn n_videos(&self) -> usize {
        self.n_videos
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows of one user, in order of time.
    pub fn of(&self, user: u32) -> &[Interaction] {
        &self.rows[self.starts[user as usize]..self.starts[user as usize + 1]]
    }

    /// The rows of each user.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &[Interaction]> {
        (0..self.n_users() as u32).map(|user| self.of(user))
    }

    /// All rows.
    pub fn rows(&self) -> &[Interaction] {
        &self.rows
    }

    /// The positive videos of each user, oldest first: what sequence models are fitted on.
    pub fn sequences(&self) -> Vec<Vec<u32>> {
        self.users()
            .map(|rows| rows.iter().filter(|row| row.is_positive()).map(|row| row.video).collect())
            .collect()
    }

    /// How many users have each video among their positives.
    pub fn popularity(&self) -> Vec<u32> {
        let mut counts = vec![0; self.n_videos];
        for row in self.rows.iter().filter(|row| row.is_positive()) {
            counts[row.video as usize] += 1;
        }
        counts
    }

    /// The history of one user.
    pub fn history(&self, user: u32) -> History {
        Self::history_of(self.of(user))
    }

    /// The history that some rows of one user make.
    pub fn history_of(rows: &[Interaction]) -> History {
        History::new(rows.iter().map(|row| Past {
            video: row.video,
            time: row.time,
            value: row.value,
            judgement: row.judgement,
            actions: row.actions,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;

    fn event(video: u32, action: Action, time: i64, ratio: Option<f32>) -> Event {
        Event { user: 0, video, action, time, value: None, ratio }
    }

    #[test]
    fn a_pair_is_kept_once_at_its_first_positive_event() {
        let events = [
            event(7, Action::Watch, 1, Some(0.1)),
            event(3, Action::Watch, 2, Some(0.9)),
            event(7, Action::Like, 3, None),
            event(3, Action::Watch, 4, Some(0.2)),
        ];
        let pairs = Interactions::new(1, 8, events, &Relevance::default());
        let rows = pairs.of(0);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].video, rows[0].time, rows[0].value), (3, 2, Some(0.9)));
        assert_eq!((rows[1].video, rows[1].time, rows[1].value), (7, 3, Some(0.1)));
        assert!(rows.iter().all(Interaction::is_positive));
        assert_eq!(rows[1].actions, Actions::of([Action::Watch, Action::Like]));
    }

    #[test]
    fn not_interested_outweighs_a_like() {
        let events = [event(1, Action::Like, 1, None), event(1, Action::Hate, 2, None)];
        let pairs = Interactions::new(1, 2, events, &Relevance::default());
        assert_eq!(pairs.of(0)[0].judgement, Judgement::Negative);
    }

    #[test]
    fn tied_times_keep_file_order() {
        let events = [5, 2, 9].map(|video| event(video, Action::Like, 1, None));
        let pairs = Interactions::new(1, 10, events, &Relevance::default());
        assert_eq!(pairs.sequences()[0], [5, 2, 9]);
    }
}
