//! How much there is, of whom, and how well it is ordered.

use std::collections::HashSet;

use serde::Serialize;
use upnext_data::{Events, Interactions, Order, Query};

/// Least, quarter, middle, three quarters, most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Quartiles {
    /// The least.
    pub(crate) min: usize,
    /// A quarter are at most this.
    pub(crate) q1: usize,
    /// Half are.
    pub(crate) median: usize,
    /// Three quarters are.
    pub(crate) q3: usize,
    /// The most.
    pub(crate) max: usize,
}

impl Quartiles {
    /// Of some numbers; zeros of none.
    pub(crate) fn of(mut values: Vec<usize>) -> Self {
        values.sort_unstable();
        let at = |quarter: usize| values.get((values.len().max(1) - 1) * quarter / 4).copied().unwrap_or(0);
        Self { min: at(0), q1: at(1), median: at(2), q3: at(3), max: at(4) }
    }
}

/// Sizes and shares; shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Shape {
    /// Users of train with a wanted video.
    pub(crate) users: usize,
    /// Videos that a user of train wanted.
    pub(crate) videos: usize,
    /// Wanted pairs of train.
    pub(crate) pairs: usize,
    /// Pairs over users times videos, in percent.
    pub(crate) density_percent: f64,
    /// Wanted videos of a user in train.
    pub(crate) history_lengths: Quartiles,
    /// Share of validation's wanted videos that nobody of train wanted.
    pub(crate) cold_targets: f64,
    /// Share of validation's questions without a wanted video in the past.
    pub(crate) strangers: f64,
    /// Share of neighbours in a user's history of train that have one time: their order is that of the file. Absent
    /// without times.
    pub(crate) tied_neighbours: Option<f64>,
    /// Share of validation's questions at the very time of the newest event of their past. Absent without times.
    pub(crate) tied_questions: Option<f64>,
    /// Share of all events that repeat an action of the same user on the same video; models see each pair once. Absent where
    /// events were not given.
    pub(crate) repeated_events: Option<f64>,
}

/// Counts.
pub(super) fn shape(
    train: &Interactions,
    validation: &[Query],
    order: Order,
    events: Option<&Events>,
) -> Shape {
    let lengths: Vec<usize> =
        train.sequences().into_iter().map(|videos| videos.len()).filter(|&n| n > 0).collect();
    let popularity = train.popularity();
    let (users, videos) = (lengths.len(), popularity.iter().filter(|&&n| n > 0).count());
    let pairs: usize = lengths.iter().sum();
    let targets = || validation.iter().flat_map(|query| &query.relevant);
    let cold = targets().filter(|&&row| popularity[row as usize] == 0).count();
    let strangers = validation.iter().filter(|query| query.history.positives().is_empty()).count();
    let neighbours = || train.users().flat_map(|rows| rows.windows(2));
    let tied = neighbours().filter(|two| two[0].time == two[1].time).count();
    let tied_question =
        |query: &&Query| query.at.is_some() && query.at == query.history.past().last().map(|past| past.time);
    let is_timed = order == Order::Timed;
    Shape {
        users,
        videos,
        pairs,
        density_percent: 100.0 * share(pairs, users * videos),
        history_lengths: Quartiles::of(lengths),
        cold_targets: share(cold, targets().count()),
        strangers: share(strangers, validation.len()),
        tied_neighbours: is_timed.then(|| share(tied, neighbours().count())),
        tied_questions: is_timed
            .then(|| share(validation.iter().filter(tied_question).count(), validation.len())),
        repeated_events: events.map(repeated),
    }
}

fn repeated(events: &Events) -> f64 {
    let (mut of_user, mut known, mut again) = (None, HashSet::new(), 0);
    for event in events.iter() {
        if of_user.replace(event.user) != Some(event.user) {
            known.clear();
        }
        again += usize::from(!known.insert((event.video, event.action)));
    }
    share(again, events.len())
}

/// A part of a whole; 0 of nothing.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Action, Event};

    #[test]
    fn quartiles_by_hand() {
        let of = |values: &[usize]| Quartiles::of(values.to_vec());
        assert_eq!(of(&[9, 1, 3, 7, 5]), Quartiles { min: 1, q1: 3, median: 5, q3: 7, max: 9 });
        assert_eq!((of(&[]), of(&[4]).max), (Quartiles::default(), 4));
    }

    #[test]
    fn the_same_action_on_the_same_video_is_a_repeat_of_one_user_alone() {
        let event = |user, video, action| Event { user, video, action, time: 0, value: None, ratio: None };
        let events: Events = [
            event(0, 1, Action::Watch),
            event(0, 1, Action::Like),
            event(0, 1, Action::Watch),
            event(1, 1, Action::Watch),
        ]
        .into_iter()
        .collect();
        assert_eq!(repeated(&events), 0.25);
    }
}
