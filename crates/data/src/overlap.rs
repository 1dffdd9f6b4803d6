//! Who stands in several parts of a split: the table the designs print beside their splits.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Split;

/// How many users of one part are in another too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    /// Which parts: `train ∩ test`.
    pub parts: String,
    /// Users in all of them.
    pub users: usize,
    /// The same as a share of the users of the part named first.
    pub share_of_first: f64,
    /// (User, video) pairs in all of them: 0 in a split without leak.
    pub pairs: usize,
}

/// Users and pairs of each part, and what parts share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// Users with a pair in train.
    pub train_users: usize,
    /// Users asked in validation.
    pub validation_users: usize,
    /// Users asked in test.
    pub test_users: usize,
    /// Pairs of train.
    pub train_pairs: usize,
    /// Held-out positives of validation.
    pub validation_pairs: usize,
    /// Held-out positives of test.
    pub test_pairs: usize,
    /// Train with validation, train with test, validation with test, all three.
    pub shared: Vec<Shared>,
}

/// Counts what the parts of a split share. A warm test beside a cold one is not part of it.
pub fn overlap(split: &Split) -> Overlap {
    let mut tally = OverlapTally::new(split.train.n_videos());
    tally.add(split);
    tally.overlap()
}

/// What parts hold and share, taken in as one split or as splits of blocks of users, each user in one block.
#[derive(Clone, Debug)]
pub struct OverlapTally {
    users: [usize; 3],
    pairs: [usize; 3],
    shared: [(usize, usize); 4],
    videos: [Vec<bool>; 3],
}

/// Parts in the order of [`Overlap::shared`]: train, validation and test are 0, 1 and 2.
const SHARED: [&[usize]; 4] = [&[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]];

impl OverlapTally {
    /// Nothing taken in yet.
    pub fn new(n_videos: usize) -> Self {
        let videos = [(); 3].map(|()| vec![false; n_videos]);
        Self { users: [0; 3], pairs: [0; 3], shared: [(0, 0); 4], videos }
    }

    /// Takes a split in, or the split of a block of users.
    pub fn add(&mut self, split: &Split) {
        type Pairs = HashSet<(u32, u32)>;
        let asked = |queries: &[crate::Query]| -> Pairs {
            queries.iter().flat_map(|query| query.relevant.iter().map(|&video| (query.user, video))).collect()
        };
        let (validation, test) = (asked(&split.validation), asked(&split.test));
        let trained = || {
            let users = (0..).zip(split.train.users());
            users.flat_map(|(user, rows)| rows.iter().map(move |row| (user, row.video)))
        };
        // Of train only what is held out elsewhere matters for pairs: no copy of all of it.
        let held_out: Pairs =
            trained().filter(|pair| validation.contains(pair) || test.contains(pair)).collect();
        let users: [HashSet<u32>; 3] = [
            (0..)
                .zip(split.train.users())
                .filter(|(_, rows)| !rows.is_empty())
                .map(|(user, _)| user)
                .collect(),
            validation.iter().map(|&(user, _)| user).collect(),
            test.iter().map(|&(user, _)| user).collect(),
        ];
        for (parts, (n_users, n_pairs)) in SHARED.into_iter().zip(&mut self.shared) {
            let pairs = [&held_out, &validation, &test];
            let is_shared = |user: &&u32| parts.iter().all(|&part| users[part].contains(*user));
            *n_users += users[parts[0]].iter().filter(is_shared).count();
            let is_shared = |pair: &&(u32, u32)| parts.iter().all(|&part| pairs[part].contains(*pair));
            *n_pairs += pairs[parts[0]].iter().filter(is_shared).count();
        }
        for (total, users) in self.users.iter_mut().zip(&users) {
            *total += users.len();
        }
        for (total, n_pairs) in self.pairs.iter_mut().zip([split.train.len(), validation.len(), test.len()]) {
            *total += n_pairs;
        }
        trained().for_each(|(_, video)| self.videos[0][video as usize] = true);
        validation.iter().for_each(|&(_, video)| self.videos[1][video as usize] = true);
        test.iter().for_each(|&(_, video)| self.videos[2][video as usize] = true);
    }

    /// How many videos stand in all of some parts; train, validation and test are 0, 1 and 2.
    pub fn videos_in(&self, parts: &[usize]) -> usize {
        let n_videos = self.videos[0].len();
        (0..n_videos).filter(|&video| parts.iter().all(|&part| self.videos[part][video])).count()
    }

    /// Users and pairs of what was taken in.
    pub fn overlap(&self) -> Overlap {
        let shared = SHARED.into_iter().zip(self.shared).map(|(parts, (users, pairs))| {
            let names: Vec<&str> = parts.iter().map(|&part| ["train", "validation", "test"][part]).collect();
            let first = self.users[parts[0]];
            let share_of_first = if first == 0 { 0.0 } else { users as f64 / first as f64 };
            Shared { parts: names.join(" ∩ "), users, share_of_first, pairs }
        });
        Overlap {
            train_users: self.users[0],
            validation_users: self.users[1],
            test_users: self.users[2],
            train_pairs: self.pairs[0],
            validation_pairs: self.pairs[1],
            test_pairs: self.pairs[2],
            shared: shared.collect(),
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<26} {:>10} {:>10} {:>12}", "part", "users", "of first", "pairs")?;
        for (part, users, pairs) in [
            ("train", self.train_users, self.train_pairs),
            ("validation", self.validation_users, self.validation_pairs),
            ("test", self.test_users, self.test_pairs),
        ] {
            writeln!(f, "{part:<26} {users:>10} {:>10} {pairs:>12}", "")?;
        }
        for Shared { parts, users, share_of_first, pairs } in &self.shared {
            writeln!(f, "{parts:<26} {users:>10} {:>8.1} % {pairs:>12}", 100.0 * share_of_first)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Catalogue, Dataset, Event, Events, Order, Relevance, SplitRule, Users};

    #[test]
    fn users_in_several_parts_are_counted_and_no_pair_is_shared() {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        (0..9).for_each(|video| _ = videos.intern(&video.to_string()));
        // Two users with enough for three parts, two that only train.
        for (user, n) in [(0, 4), (1, 3), (2, 2), (3, 1)] {
            users.intern(&user.to_string());
            for video in 0..n {
                events.push(Event { user, video, action: Action::Like, time: 0, value: None, ratio: None });
            }
        }
        let set = Dataset::new("tiny", users, videos, events, Order::Sequence, None);
        let split = Split::new(&set, &Relevance::default(), SplitRule::LeaveLastOut, 0).unwrap();
        let table = overlap(&split);
        assert_eq!((table.train_users, table.validation_users, table.test_users), (4, 2, 2));
        let shared: Vec<(usize, usize)> = table.shared.iter().map(|row| (row.users, row.pairs)).collect();
        assert_eq!(shared, [(2, 0), (2, 0), (2, 0), (2, 0)]);
        assert_eq!(table.shared[1].share_of_first, 0.5);
        assert!(table.to_string().contains("train ∩ test"));
    }
}
