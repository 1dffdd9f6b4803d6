//! Cutting a set into what is fitted on, chosen by, and looked at once.
//!
//! Every split works on pairs (see [`Interactions`]), so a pair never stands on both sides.
//! The order of tied times is the order of the file.

use std::fmt;
use std::str::FromStr;

use crate::{Dataset, History, Interaction, Interactions, Order, Part, Relevance};

/// How a set is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitRule {
    /// Each user's last positive is the test, the last but one the validation.
    LeaveLastOut,
    /// The first 80 % of all pairs by time, then 10 %, then 10 %, at two cuts for all users.
    GlobalTime,
    /// Users with more than 5 positives: the last 10 % is the test, the 10 % before the validation.
    PerUser9010,
    /// Each user's positives at random: 80 %, 10 %, 10 %, at least one each from three positives on.
    Random,
    /// The parts the set came with.
    Given,
}

impl SplitRule {
    /// All rules.
    pub const ALL: [Self; 5] =
        [Self::LeaveLastOut, Self::GlobalTime, Self::PerUser9010, Self::Random, Self::Given];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaveLastOut => "leave-last-out",
            Self::GlobalTime => "global-time",
            Self::PerUser9010 => "per-user-90-10",
            Self::Random => "random",
            Self::Given => "given",
        }
    }
}

impl fmt::Display for SplitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SplitRule {
    type Err = SplitError;

    fn from_str(name: &str) -> Result<Self, SplitError> {
        Self::ALL
            .into_iter()
            .find(|rule| rule.name() == name)
            .ok_or_else(|| SplitError::Unknown { name: name.into() })
    }
}

/// A split that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// No such rule.
    #[error(
        "split `{name}` is not known; expected leave-last-out, global-time, per-user-90-10, random or given"
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The set lacks what the rule needs.
    #[error("split `{rule}` needs {needs}, which `{set}` does not have; use --split {instead}")]
    Needs {
        /// The rule.
        rule: SplitRule,
        /// What is missing.
        needs: &'static str,
        /// The set's name.
        set: String,
        /// What would work.
        instead: &'static str,
    },
    /// No user is left to ask about.
    #[error(
        "split `{rule}` of `{set}` leaves no user to test: {users} users have {positives} positive pairs under the rule `{relevance}`; use more data, another split, or another --relevance"
    )]
    Empty {
        /// The rule.
        rule: SplitRule,
        /// The set's name.
        set: String,
        /// Users in the set.
        users: usize,
        /// Positive pairs in the set.
        positives: usize,
        /// The rule of relevance.
        relevance: String,
    },
}

/// One held-out question: given this history, which videos come?
#[derive(Clone, Debug)]
pub struct Query {
    /// The user's row.
    pub user: u32,
    /// What may be known when answering.
    pub history: History,
    /// Videos that must not be ranked, sorted: all that the history touched.
    pub masked: Vec<u32>,
    /// The held-out positives, sorted, each once, none of them masked.
    pub relevant: Vec<u32>,
    /// Milliseconds since 1970 at which the question is asked, where the set has times.
    pub at: Option<i64>,
}

/// A set that is cut.
#[derive(Clone, Debug)]
pub struct Split {
    /// How it was cut.
    pub rule: SplitRule,
    /// What models are fitted on.
    pub train: Interactions,
    /// To choose weights and settings by; empty where a given split has no such part.
    pub validation: Vec<Query>,
    /// To look at once.
    pub test: Vec<Query>,
    /// First millisecond of validation and of test, for a split by time.
    pub cuts: Option<(i64, i64)>,
    /// Pairs that a given split holds on both sides: masked, and taken out of truth and ideal.
    pub pairs_on_both_sides: usize,
    /// User and row of every pair of the test part whose watch ratio or rating is known, wanted or not: what
    /// predictions are measured on.
    pub held_out_values: Vec<(u32, Interaction)>,
}

impl Split {
    /// Cuts a set.
    ///
    /// # Errors
    /// When the set lacks what the rule needs, or nobody is left to ask about.
    pub fn new(set: &Dataset, relevance: &Relevance, rule: SplitRule, seed: u64) -> Result<Self, SplitError> {
        let needs = |needs, instead| SplitError::Needs { rule, needs, set: set.name.clone(), instead };
        let split = match (rule, set.order) {
            (SplitRule::Given, _) => {
                let parts =
                    set.parts().ok_or_else(|| needs("parts that come with the set", "leave-last-out"))?;
                given(set, relevance, parts)
            }
            (SplitRule::GlobalTime, Order::Sequence | Order::Unordered) => {
                return Err(needs(
                    "times",
                    if set.order == Order::Sequence { "leave-last-out" } else { "random" },
                ));
            }
            (SplitRule::LeaveLastOut | SplitRule::PerUser9010, Order::Unordered) => {
                return Err(needs("an order of events", "random"));
            }
            (SplitRule::LeaveLastOut, _) => by_user(rule, &set.interactions(relevance), leave_last_out),
            (SplitRule::PerUser9010, _) => by_user(rule, &set.interactions(relevance), ninety_ten),
            (SplitRule::Random, _) => random(&set.interactions(relevance), seed),
            (SplitRule::GlobalTime, Order::Timed) => global_time(&set.interactions(relevance)),
        };
        if split.test.is_empty() {
            let all = set.interactions(relevance);
            return Err(SplitError::Empty {
                rule,
                set: set.name.clone(),
                users: set.users.len(),
                positives: all.rows().iter().filter(|row| row.is_positive()).count(),
                relevance: relevance.to_string(),
            });
        }
        Ok(split)
    }
}

/// Where validation and test begin among a user's rows, or `None` when all are for training.
type Cut = fn(&[Interaction]) -> Option<(usize, usize, usize)>;

fn positions_of_positives(rows: &[Interaction]) -> Vec<usize> {
    (0..rows.len()).filter(|&at| rows[at].is_positive()).collect()
}

fn leave_last_out(rows: &[Interaction]) -> Option<(usize, usize, usize)> {
    match positions_of_positives(rows)[..] {
        [.., _, validation, test] => Some((validation, test, test + 1)),
        _ => None,
    }
}

fn ninety_ten(rows: &[Interaction]) -> Option<(usize, usize, usize)> {
    let positives = positions_of_positives(rows);
    let n = positives.len();
    if n <= 5 {
        return None;
    }
    let held_out = n.div_ceil(10);
    Some((positives[n - 2 * held_out], positives[n - held_out], rows.len()))
}

fn with_values(user: u32, rows: &[Interaction]) -> impl Iterator<Item = (u32, Interaction)> {
    rows.iter().filter(|row| row.value.is_some()).map(move |&row| (user, row))
}

fn query(user: u32, past: &[Interaction], held_out: &[Interaction]) -> Option<Query> {
    let mut relevant: Vec<u32> =
        held_out.iter().filter(|row| row.is_positive()).map(|row| row.video).collect();
    relevant.sort_unstable();
    let first = held_out.iter().find(|row| row.is_positive())?;
    let history = Interactions::history_of(past);
    Some(Query {
        user,
        masked: history.seen(),
        history,
        relevant,
        at: (first.time != 0).then_some(first.time),
    })
}

fn by_user(rule: SplitRule, all: &Interactions, cut: Cut) -> Split {
    let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    let mut held_out_values = Vec::new();
    for (user, rows) in all.users().enumerate() {
        match cut(rows) {
            None => train.push(rows.to_vec()),
            Some((a, b, end)) => {
                train.push(rows[..a].to_vec());
                validation.extend(query(user as u32, &rows[..a], &rows[a..b]));
                test.extend(query(user as u32, &rows[..b], &rows[b..end]));
                held_out_values.extend(with_values(user as u32, &rows[b..end]));
            }
        }
    }
    let train = Interactions::from_users(all.n_videos(), train);
    Split { rule, train, validation, test, cuts: None, pairs_on_both_sides: 0, held_out_values }
}

fn global_time(all: &Interactions) -> Split {
    let mut times: Vec<i64> = all.rows().iter().map(|row| row.time).collect();
    times.sort_unstable();
    let quantile = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(i64::MAX);
    let (first, second) = (quantile(80), quantile(90));
    let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    let mut held_out_values = Vec::new();
    for (user, rows) in all.users().enumerate() {
        let a = rows.partition_point(|row| row.time < first);
        let b = rows.partition_point(|row| row.time < second);
        train.push(rows[..a].to_vec());
        validation.extend(query(user as u32, &rows[..a], &rows[a..b]));
        test.extend(query(user as u32, &rows[..b], &rows[b..]));
        held_out_values.extend(with_values(user as u32, &rows[b..]));
    }
    // All users of a part are asked at its cut: nothing later is known to anyone.
    validation.iter_mut().for_each(|query| query.at = Some(first));
    test.iter_mut().for_each(|query| query.at = Some(second));
    let train = Interactions::from_users(all.n_videos(), train);
    Split {
        rule: SplitRule::GlobalTime,
        train,
        validation,
        test,
        cuts: Some((first, second)),
        pairs_on_both_sides: 0,
        held_out_values,
    }
}

fn random(all: &Interactions, seed: u64) -> Split {
    let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    let mut held_out_values = Vec::new();
    for (user, rows) in all.users().enumerate() {
        // The order of drawing depends on user and video alone.
        let mut drawn = positions_of_positives(rows);
        drawn.sort_by_key(|&at| mix(mix(seed ^ ((user as u64) << 32)) ^ u64::from(rows[at].video)));
        let held_out = if drawn.len() < 3 { 0 } else { (drawn.len() / 10).max(1) };
        let part_of = |at: &usize| drawn[..2 * held_out].iter().position(|d| d == at).map(|i| i < held_out);
        let part = |wanted: &[Option<bool>]| -> Vec<Interaction> {
            (0..rows.len()).filter(|at| wanted.contains(&part_of(at))).map(|at| rows[at]).collect()
        };
        let past = part(&[None]);
        validation.extend(query(user as u32, &past, &part(&[Some(false)])));
        let last = part(&[Some(true)]);
        test.extend(query(user as u32, &part(&[None, Some(false)]), &last));
        held_out_values.extend(with_values(user as u32, &last));
        train.push(past);
    }
    // At random there is no moment at which a question is asked.
    validation.iter_mut().chain(&mut test).for_each(|query| query.at = None);
    let train = Interactions::from_users(all.n_videos(), train);
    Split {
        rule: SplitRule::Random,
        train,
        validation,
        test,
        cuts: None,
        pairs_on_both_sides: 0,
        held_out_values,
    }
}

/// Takes a tenth of each training user's positives away at random, to choose settings by where a given split
/// has no validation: what is left to fit on, and the questions.
pub fn hold_out(train: &Interactions, seed: u64) -> (Interactions, Vec<Query>) {
    let split = random(train, seed);
    let mut left: Vec<Vec<Interaction>> = split.train.users().map(<[_]>::to_vec).collect();
    // Only one of the two held-out parts is needed; the other goes back.
    for query in split.validation {
        left[query.user as usize].extend(
            train.of(query.user).iter().filter(|row| query.relevant.binary_search(&row.video).is_ok()),
        );
    }
    left.iter_mut().for_each(|rows| rows.sort_by_key(|row| row.time));
    (Interactions::from_users(train.n_videos(), left), split.test)
}

/// SplitMix64's finaliser (Steele et al. 2014).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn given(set: &Dataset, relevance: &Relevance, parts: &[Part]) -> Split {
    let part = |wanted: Part| {
        let events = set.events().iter().zip(parts).filter(move |&(_, &p)| p == wanted).map(|(e, _)| e);
        Interactions::new(set.users.len(), set.videos.len(), events, relevance)
    };
    let train = part(Part::Train);
    let mut pairs_on_both_sides = 0;
    let mut ask = |held_out: &Interactions| -> Vec<Query> {
        (0..train.n_users() as u32)
            .filter_map(|user| {
                let mut query = query(user, train.of(user), held_out.of(user))?;
                let before = query.relevant.len();
                query.relevant.retain(|video| query.masked.binary_search(video).is_err());
                pairs_on_both_sides += before - query.relevant.len();
                (!query.relevant.is_empty()).then_some(query)
            })
            .collect()
    };
    let last = part(Part::Test);
    let (validation, test) = (ask(&part(Part::Validation)), ask(&last));
    let held_out_values = (0..last.n_users() as u32)
        .flat_map(|user| with_values(user, last.of(user)))
        .filter(|(user, row)| !train.of(*user).iter().any(|known| known.video == row.video))
        .collect();
    Split {
        rule: SplitRule::Given,
        train,
        validation,
        test,
        cuts: None,
        pairs_on_both_sides,
        held_out_values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Catalogue, Event, Events, Users};

    fn set(order: Order, sequences: &[&[u32]]) -> Dataset {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        for video in 0..20 {
            videos.intern(&video.to_string());
        }
        for (user, sequence) in sequences.iter().enumerate() {
            users.intern(&user.to_string());
            for (at, &video) in sequence.iter().enumerate() {
                let time = if order == Order::Timed { 1 + at as i64 } else { 0 };
                let action = Action::Like;
                events.push(Event { user: user as u32, video, action, time, value: None, ratio: None });
            }
        }
        Dataset::new("tiny", users, videos, events, order, None)
    }

    #[test]
    fn leave_last_out_holds_out_the_last_two_in_file_order() {
        let set = set(Order::Sequence, &[&[4, 2, 9, 1], &[5, 6]]);
        let split = Split::new(&set, &Relevance::default(), SplitRule::LeaveLastOut, 0).unwrap();
        assert_eq!(split.train.sequences(), [vec![4, 2], vec![5, 6]]);
        assert_eq!((split.validation[0].relevant[..].to_vec(), split.test.len()), (vec![9], 1));
        assert_eq!(split.test[0].history.positives(), [4, 2, 9]);
        assert_eq!(split.test[0].masked, [2, 4, 9]);
        assert_eq!(split.test[0].relevant, [1]);
    }

    #[test]
    fn global_time_knows_nothing_later_than_its_cut() {
        let sequence: Vec<u32> = (0..20).collect();
        let set = set(Order::Timed, &[&sequence]);
        let split = Split::new(&set, &Relevance::default(), SplitRule::GlobalTime, 0).unwrap();
        let (first, second) = split.cuts.unwrap();
        assert!(split.train.rows().iter().all(|row| row.time < first));
        assert!(split.test[0].history.past().iter().all(|past| past.time < second));
        assert_eq!((split.train.len(), split.test[0].relevant.len()), (16, 2));
    }

    #[test]
    fn per_user_needs_more_than_five_and_holds_out_a_tenth() {
        let set = set(Order::Sequence, &[&[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]);
        let split = Split::new(&set, &Relevance::default(), SplitRule::PerUser9010, 0).unwrap();
        assert_eq!(split.test.len(), 1);
        assert_eq!(split.test[0].relevant, [9]);
        assert_eq!(split.validation[0].relevant, [8]);
    }

    #[test]
    fn a_random_split_is_the_same_for_the_same_seed_and_never_shares_a_pair() {
        let sequence: Vec<u32> = (0..20).collect();
        let set = set(Order::Unordered, &[&sequence]);
        let cut = |seed| Split::new(&set, &Relevance::default(), SplitRule::Random, seed).unwrap();
        assert_eq!(cut(1).train, cut(1).train);
        assert_ne!(cut(1).train, cut(2).train);
        for query in &cut(1).test {
            assert!(query.relevant.iter().all(|video| query.masked.binary_search(video).is_err()));
        }
    }

    #[test]
    fn a_set_without_times_is_told_what_to_do() {
        let set = set(Order::Sequence, &[&[1, 2, 3]]);
        let error =
            Split::new(&set, &Relevance::default(), SplitRule::GlobalTime, 0).unwrap_err().to_string();
        assert!(error.contains("needs times") && error.contains("--split leave-last-out"), "{error}");
    }
}
