//! The counts that the plain models are made of: popularity, what follows what, what is wanted together.
//!
//! They are whole numbers, so that it does not matter who adds them up in which order: this crate from
//! [`Interactions`], or an engine of many machines.

use std::collections::BTreeMap;

use crate::Interactions;

/// How often one video came some places after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The earlier video's row.
    pub earlier: u32,
    /// The later video's row.
    pub later: u32,
    /// How often it came one, two and three places later.
    pub gaps: [u32; 3],
}

impl Transition {
    /// A gap `g` counts `1/g`, as the Markov model weighs it.
    pub fn weight(&self) -> f32 {
        let [one, two, three] = self.gaps.map(|n| n as f32);
        one + two / 2.0 + three / 3.0
    }
}

/// How many users wanted both of two videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoOccurrence {
    /// One video's row; it is the lesser of the two.
    pub video: u32,
    /// The other's.
    pub other: u32,
    /// How many users.
    pub users: u32,
}

/// Counts over the positives of each user, in rows of a catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many users have each video among their positives.
    pub popularity: Vec<u32>,
    /// What follows what at gaps 1 to 3, sorted by earlier, then later video.
    pub transitions: Vec<Transition>,
    /// What is wanted together, sorted by both videos.
    pub co_occurrences: Vec<CoOccurrence>,
}

impl Counts {
    /// Counts the positives of `interactions`. Memory follows the distinct pairs of videos.
    pub fn new(interactions: &Interactions) -> Self {
        let mut transitions: BTreeMap<(u32, u32), [u32; 3]> = BTreeMap::new();
        let mut together: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for sequence in interactions.sequences() {
            for (at, &earlier) in sequence.iter().enumerate() {
                for (gap, &later) in sequence[at + 1..].iter().take(3).enumerate() {
                    transitions.entry((earlier, later)).or_default()[gap] += 1;
                }
                for &other in &sequence[at + 1..] {
                    *together.entry((earlier.min(other), earlier.max(other))).or_default() += 1;
                }
            }
        }
        Self {
            popularity: interactions.popularity(),
            transitions: transitions
                .into_iter()
                .map(|((earlier, later), gaps)| Transition { earlier, later, gaps })
                .collect(),
            co_occurrences: together
                .into_iter()
                .map(|((video, other), users)| CoOccurrence { video, other, users })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Interaction, Judgement};

    #[test]
    fn three_videos_in_a_row_make_three_transitions_and_three_pairs() {
        let row = |video, time, judgement| Interaction {
            video,
            time,
            value: None,
            judgement,
            actions: crate::Actions::default(),
        };
        let user = vec![
            row(2, 1, Judgement::Positive),
            row(3, 2, Judgement::Neutral),
            row(0, 3, Judgement::Positive),
            row(1, 4, Judgement::Positive),
        ];
        let counts = Counts::new(&Interactions::from_users(4, vec![user.clone(), user]));
        assert_eq!(counts.popularity, [2, 2, 2, 0]);
        let transition = |earlier, later, gaps| Transition { earlier, later, gaps };
        assert_eq!(
            counts.transitions,
            [transition(0, 1, [2, 0, 0]), transition(2, 0, [2, 0, 0]), transition(2, 1, [0, 2, 0])]
        );
        assert_eq!(counts.transitions.iter().map(Transition::weight).collect::<Vec<_>>(), [2.0, 2.0, 1.0]);
        let pair = |video, other| CoOccurrence { video, other, users: 2 };
        assert_eq!(counts.co_occurrences, [pair(0, 1), pair(0, 2), pair(1, 2)]);
    }
}
