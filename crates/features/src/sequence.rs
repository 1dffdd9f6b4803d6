//! A user's past as sequences: one for each kind of action, padded to one length.

use upnext_data::{Action, Circumstance, Dataset, Event, History, Judgement, Past};
use upnext_math::Matrix;

use crate::Cut;

/// The longest sequence of the designs.
pub const STEPS_MAX: usize = 50;

/// The kinds of past that are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Watched.
    Watched,
    /// Liked, collected or sent to somebody.
    Liked,
    /// Commented on.
    Commented,
    /// Reached by a search.
    Searched,
}

impl Kind {
    /// All kinds, in the order in which they are joined.
    pub const ALL: [Self; 4] = [Self::Watched, Self::Liked, Self::Commented, Self::Searched];

    /// The kind an action belongs to, if any.
    pub fn of(action: Action) -> Option<Self> {
        match action {
            Action::Watch | Action::EffectiveView => Some(Self::Watched),
            Action::Like | Action::Collect | Action::Forward => Some(Self::Liked),
            Action::Comment => Some(Self::Commented),
            Action::Search => Some(Self::Searched),
            Action::Follow | Action::Hate | Action::Impression | Action::Rating => None,
        }
    }
}

/// What one user did before a moment, by kind, oldest first; a video that occurs again within a kind stands at its
/// last time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequences {
    kinds: [Vec<(u32, i64)>; 4],
    /// What was typed into the search, oldest first.
    pub searches: Vec<String>,
}

impl Sequences {
    /// From the events of one user, in order of time, and what is known around them.
    pub fn new<'a>(
        events: impl IntoIterator<Item = Event>,
        circumstances: impl IntoIterator<Item = &'a Circumstance>,
        cut: Cut,
    ) -> Self {
        let mut sequences = Self::default();
        for event in events.into_iter().filter(|event| cut.knows(event.time)) {
            if let Some(kind) = Kind::of(event.action) {
                let of_kind = &mut sequences.kinds[kind as usize];
                of_kind.retain(|&(video, _)| video != event.video);
                of_kind.push((event.video, event.time));
            }
        }
        let searched = circumstances.into_iter().filter(|around| {
            around.action == Action::Search && !around.text.is_empty() && cut.knows(around.time)
        });
        sequences.searches = searched.map(|around| around.text.clone()).collect();
        sequences
    }

    /// Of one user of a set.
    pub fn of_user(set: &Dataset, user: u32, cut: Cut) -> Self {
        let events = set.events();
        let first = events.users().partition_point(|&known| known < user);
        let end = events.users().partition_point(|&known| known <= user);
        let around = set.circumstances.iter().filter(|around| around.user == user);
        Self::new((first..end).map(|at| events.get(at)), around, cut)
    }

    /// The videos of a kind with their times, oldest first.
    pub fn of(&self, kind: Kind) -> &[(u32, i64)] {
        &self.kinds[kind as usize]
    }

    /// A kind as a history that every model answers from; all its videos are wanted.
    pub fn history(&self, kind: Kind) -> History {
        History::new(self.of(kind).iter().map(|&(video, time)| Past {
            video,
            time,
            value: None,
            judgement: Judgement::Positive,
            actions: upnext_data::Actions::default(),
        }))
    }

    /// Each kind's mean vector over its newest `steps_max` videos, one after the other: `(4 * dimensions)` numbers,
    /// and for each kind whether it is empty, and holds zeros. `vectors` is `(videos, dimensions)`; videos beyond
    /// its rows are ignored.
    pub fn joined_means(&self, vectors: &Matrix, steps_max: usize) -> (Vec<f32>, [bool; 4]) {
        let d = vectors.n_columns();
        let (mut joined, mut empty) = (vec![0.0; 4 * d], [true; 4]);
        for kind in Kind::ALL {
            let known = self.of(kind).iter().filter(|&&(video, _)| (video as usize) < vectors.n_rows());
            let newest: Vec<u32> = known.rev().take(steps_max).map(|&(video, _)| video).collect();
            let mean = &mut joined[kind as usize * d..(kind as usize + 1) * d];
            for &video in &newest {
                upnext_math::dot::add_scaled(mean, 1.0 / newest.len() as f32, vectors.row(video as usize));
            }
            empty[kind as usize] = newest.is_empty();
        }
        (joined, empty)
    }
}

/// What stands where a sequence is shorter than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Zeros.
    Zero,
    /// The mean of the steps that are there; zeros where there is none.
    Mean,
}

/// A sequence of one length, with how much of it is real.
#[derive(Clone, Debug, PartialEq)]
pub struct Padded {
    /// `(steps, width)`: the real steps first, oldest first, then padding.
    pub steps: Matrix,
    /// How many steps are real.
    pub length: usize,
    /// Whether each step is real: `true` for the first `length`.
    pub mask: Vec<bool>,
}

/// The newest `steps_max` of some steps, each of `width` numbers and oldest first, padded to `steps_max`.
///
/// # Panics
/// If a step has another width.
pub fn pad(steps: &[Vec<f32>], width: usize, steps_max: usize, padding: Padding) -> Padded {
    let newest = &steps[steps.len().saturating_sub(steps_max)..];
    let mut padded = Matrix::zeros(steps_max, width);
    let mut mean = vec![0.0; width];
    for (at, step) in newest.iter().enumerate() {
        padded.row_mut(at).copy_from_slice(step);
        upnext_math::dot::add_scaled(&mut mean, 1.0 / newest.len() as f32, step);
    }
    if padding == Padding::Mean {
        (newest.len()..steps_max).for_each(|at| padded.row_mut(at).copy_from_slice(&mean));
    }
    let mask = (0..steps_max).map(|at| at < newest.len()).collect();
    Padded { steps: padded, length: newest.len(), mask }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(video: u32, action: Action, time: i64) -> Event {
        Event { user: 0, video, action, time, value: None, ratio: None }
    }

    #[test]
    fn kinds_are_kept_apart_and_joined_in_order() {
        let log = [
            event(0, Action::Watch, 1),
            event(1, Action::Watch, 2),
            event(1, Action::Like, 3),
            event(0, Action::Watch, 4),
            event(2, Action::Search, 5),
            event(2, Action::Comment, 6),
        ];
        let typed = Circumstance {
            user: 0,
            video: None,
            action: Action::Search,
            time: 5,
            text: "cats".into(),
            device: String::new(),
            place: None,
        };
        let sequences = Sequences::new(log, [&typed], Cut::at(6));
        assert_eq!(sequences.of(Kind::Watched), [(1, 2), (0, 4)]);
        assert_eq!(sequences.history(Kind::Liked).positives(), [1]);
        assert_eq!(sequences.searches, ["cats"]);
        // The comment is of the very moment, and not known yet.
        let vectors = Matrix::from_rows(3, 2, vec![1.0, 0.0, 0.0, 1.0, 5.0, 5.0]);
        let (joined, empty) = sequences.joined_means(&vectors, STEPS_MAX);
        assert_eq!(joined, [0.5, 0.5, 0.0, 1.0, 0.0, 0.0, 5.0, 5.0]);
        assert_eq!(empty, [false, false, true, false]);
    }

    #[test]
    fn a_short_sequence_is_padded_and_a_long_one_keeps_its_newest() {
        let steps = [vec![1.0, 2.0], vec![3.0, 4.0]];
        let zero = pad(&steps, 2, 3, Padding::Zero);
        assert_eq!(zero.steps.values(), [1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
        assert_eq!((zero.length, &zero.mask[..]), (2, &[true, true, false][..]));
        let mean = pad(&steps, 2, 3, Padding::Mean);
        assert_eq!(mean.steps.row(2), [2.0, 3.0]);
        let long = pad(&steps, 2, 1, Padding::Mean);
        assert_eq!((long.steps.values(), long.length), (&[3.0, 4.0][..], 1));
        let none = pad(&[], 2, 2, Padding::Mean);
        assert_eq!((none.steps.values(), none.length), (&[0.0; 4][..], 0));
    }
}
