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
    type Pairs = HashSet<(u32, u32)>;
    let asked = |queries: &[crate::Query]| -> Pairs {
        queries.iter().flat_map(|query| query.relevant.iter().map(|&video| (query.user, video))).collect()
    };
    let users = |pairs: &Pairs| -> HashSet<u32> { pairs.iter().map(|&(user, _)| user).collect() };
    let (validation, test) = (asked(&split.validation), asked(&split.test));
    // Of train only what is held out elsewhere matters for pairs: no copy of all of it.
    let trained: Pairs = (0..split.train.n_users() as u32)
        .flat_map(|user| split.train.of(user).iter().map(move |row| (user, row.video)))
        .filter(|pair| validation.contains(pair) || test.contains(pair))
        .collect();
    let in_train: HashSet<u32> =
        (0..split.train.n_users() as u32).filter(|&user| !split.train.of(user).is_empty()).collect();
    let (in_validation, in_test) = (users(&validation), users(&test));
    let common = |a: &HashSet<u32>, b: &HashSet<u32>| a.intersection(b).count();
    let row = |parts: &str, users: usize, first: usize, pairs: usize| Shared {
        parts: parts.into(),
        users,
        share_of_first: if first == 0 { 0.0 } else { users as f64 / first as f64 },
        pairs,
    };
    let all = in_train.iter().filter(|user| in_validation.contains(user) && in_test.contains(user)).count();
    let pairs = |a: &Pairs, b: &Pairs| a.intersection(b).count();
    let in_all = trained.iter().filter(|pair| validation.contains(pair) && test.contains(pair)).count();
    Overlap {
        train_users: in_train.len(),
        validation_users: in_validation.len(),
        test_users: in_test.len(),
        train_pairs: split.train.len(),
        validation_pairs: validation.len(),
        test_pairs: test.len(),
        shared: vec![
            row(
                "train ∩ validation",
                common(&in_train, &in_validation),
                in_train.len(),
                pairs(&trained, &validation),
            ),
            row("train ∩ test", common(&in_train, &in_test), in_train.len(), pairs(&trained, &test)),
            row(
                "validation ∩ test",
                common(&in_validation, &in_test),
                in_validation.len(),
                pairs(&validation, &test),
            ),
            row("train ∩ validation ∩ test", all, in_train.len(), in_all),
        ],
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
