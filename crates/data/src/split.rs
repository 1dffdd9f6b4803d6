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
    /// Several cuts of all pairs by time, each a tenth later than the one before: see [`Split::rolling`].
    Rolling,
    /// The last calendar months (UTC), each asked about by what came before it: see [`Split::monthly`].
    Monthly,
    /// A tenth of the videos is the test, a tenth the validation: whatever happened to them is held out.
    ColdVideos,
    /// Videos first seen in the last tenth of all pairs by time are the test, those first seen in the tenth before it the
    /// validation; all before both is trained on. Each user is asked at the moment of the first wanted one of them.
    FirstSeen,
    /// A tenth of the users is the test, a tenth the validation: whatever they did is held out.
    ColdUsers,
}

/// What a cold user shows before the question: the design's three interactions.
const SHOWN_OF_COLD_USER: usize = 3;
/// Most folds of rolling windows: the first still trains on a fifth of all pairs.
pub const FOLDS_MAX: usize = 7;
/// Most months that are asked about.
pub const MONTHS_MAX: usize = 24;

impl SplitRule {
    /// All rules.
    pub const ALL: [Self; 10] = [
        Self::LeaveLastOut,
        Self::GlobalTime,
        Self::PerUser9010,
        Self::Random,
        Self::Given,
        Self::Rolling,
        Self::Monthly,
        Self::ColdVideos,
        Self::FirstSeen,
        Self::ColdUsers,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaveLastOut => "leave-last-out",
            Self::GlobalTime => "global-time",
            Self::PerUser9010 => "per-user-90-10",
            Self::Random => "random",
            Self::Given => "given",
            Self::Rolling => "rolling",
            Self::Monthly => "monthly",
            Self::ColdVideos => "cold-videos",
            Self::FirstSeen => "first-seen",
            Self::ColdUsers => "cold-users",
        }
    }

    /// Whether it cuts at two moments for all users.
    pub(crate) fn is_by_time(self) -> bool {
        matches!(self, Self::GlobalTime | Self::Rolling | Self::Monthly | Self::FirstSeen)
    }

    /// That a set has what the rule needs.
    pub(crate) fn fits(self, set: &Dataset, has_parts: bool) -> Result<(), SplitError> {
        let instead = if set.order == Order::Sequence { "leave-last-out" } else { "random" };
        let (needs, instead) = match (self, set.order) {
            (Self::Given, _) if !has_parts => ("parts that come with the set", "leave-last-out"),
            (_, Order::Sequence | Order::Unordered) if self.is_by_time() => ("times", instead),
            (Self::LeaveLastOut | Self::PerUser9010, Order::Unordered) => ("an order of events", instead),
            _ => return Ok(()),
        };
        Err(SplitError::Needs { rule: self, needs, set: set.name.clone(), instead })
    }

    /// What to say where it leaves nobody to ask about.
    pub(crate) fn empty(self, set: &Dataset, relevance: &Relevance, positives: usize) -> SplitError {
        SplitError::Empty {
            rule: self,
            set: set.name.clone(),
            users: set.users.len(),
            positives,
            relevance: relevance.to_string(),
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
        "split `{name}` is not known; expected leave-last-out, global-time, per-user-90-10, random, given, rolling, monthly, cold-videos, first-seen or cold-users"
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
    /// Too few or too many windows.
    #[error("{folds} windows of split `{rule}`: expected 1 to {most}")]
    Folds {
        /// The rule.
        rule: SplitRule,
        /// What was asked for.
        folds: usize,
        /// What it allows.
        most: usize,
    },
    /// A month that cannot be asked about.
    #[error("the month {month} has {lacks}; use fewer months (--folds N), --split rolling or global-time")]
    Month {
        /// Year and month.
        month: String,
        /// What is missing.
        lacks: &'static str,
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
    /// The same of the validation part: what predictions are chosen by.
    pub validation_values: Vec<(u32, Interaction)>,
    /// Beside a cold test, questions about what train knows well, to be reported apart: a tenth of the positives
    /// of users and videos that are not cold. Empty under other rules.
    pub warm: Vec<Query>,
}

impl Split {
    /// Cuts a set.
    ///
    /// # Errors
    /// When the set lacks what the rule needs, or nobody is left to ask about.
    pub fn new(set: &Dataset, relevance: &Relevance, rule: SplitRule, seed: u64) -> Result<Self, SplitError> {
        rule.fits(set, set.parts().is_some())?;
        let rows = match (rule, set.parts()) {
            (SplitRule::Given, Some(parts)) => [Part::Train, Part::Validation, Part::Test]
                .map(|wanted| {
                    let events = set.events().iter().zip(parts);
                    let events = events.filter(|&(_, &part)| part == wanted).map(|(event, _)| event);
                    Interactions::new(set.users.len(), set.videos.len(), events, relevance)
                })
                .into(),
            _ => vec![set.interactions(relevance)],
        };
        let cuts = match rule {
            SplitRule::Monthly => Some(cuts_of_month(newest_of(&rows[0]).unwrap_or(0), 0)),
            rule => rule.is_by_time().then(|| cuts_of(&rows[0], 80)),
        };
        let mut moments = Moments { cuts, first_seen: Vec::new() };
        if rule == SplitRule::FirstSeen {
            moments.see(&rows[0]);
        }
        let split = Self::of_rows(&rows, rule, seed, &moments);
        if split.test.is_empty() { Err(empty(set, relevance, rule, &rows)) } else { Ok(split) }
    }

    /// Cuts rows of all users, or of a block of them as the whole is cut: the rows of each part for a split that is
    /// given, all rows in the first place for another, which by time needs what is known of all users.
    pub(crate) fn of_rows(rows: &[Interactions], rule: SplitRule, seed: u64, moments: &Moments) -> Self {
        let all = &rows[0];
        let cuts = moments.cuts.unwrap_or((i64::MAX, i64::MAX));
        match rule {
            SplitRule::Given => given(rows),
            SplitRule::LeaveLastOut => by_user(rule, all, leave_last_out),
            SplitRule::PerUser9010 => by_user(rule, all, ninety_ten),
            SplitRule::Random => random(all, seed, true),
            SplitRule::GlobalTime | SplitRule::Rolling | SplitRule::Monthly => {
                Self { rule, ..window(all, cuts, i64::MAX) }
            }
            SplitRule::ColdVideos => cold_videos(all, seed),
            SplitRule::FirstSeen => first_seen(all, cuts, &moments.first_seen),
            SplitRule::ColdUsers => cold_users(all, seed),
        }
    }

    /// Rolling windows, the earliest first: fold `i` of `n` trains on the first `80 − 10 (n − i)` % of all pairs by
    /// time, chooses by the tenth after it and is tested on the tenth after that; what is later than its window
    /// does not exist for it. The last fold is the split by global time.
    ///
    /// # Errors
    /// When the set has no times, `folds` is not 1 to [`FOLDS_MAX`], or nobody is left to ask about in a window.
    pub fn rolling(set: &Dataset, relevance: &Relevance, folds: usize) -> Result<Vec<Self>, SplitError> {
        let rule = SplitRule::Rolling;
        if !(1..=FOLDS_MAX).contains(&folds) {
            return Err(SplitError::Folds { rule, folds, most: FOLDS_MAX });
        }
        rule.fits(set, false)?;
        let rows = [set.interactions(relevance)];
        (1..=folds)
            .map(|fold| {
                let percent = 80 - 10 * (folds - fold);
                // The last window has no end.
                let end = if fold == folds { i64::MAX } else { cuts_of(&rows[0], percent + 10).1 };
                let split = Self { rule, ..window(&rows[0], cuts_of(&rows[0], percent), end) };
                if split.test.is_empty() { Err(empty(set, relevance, rule, &rows)) } else { Ok(split) }
            })
            .collect()
    }

    /// The last calendar months (UTC), the earliest first, the month of the newest pair among them: each is the test, the
    /// month before it the validation, and all that came before that is trained on.
    ///
    /// # Errors
    /// When the set has no times, `months` is not 1 to [`MONTHS_MAX`], or a month has nothing to train on or nobody to ask
    /// about.
    pub fn monthly(set: &Dataset, relevance: &Relevance, months: usize) -> Result<Vec<Self>, SplitError> {
        let rule = SplitRule::Monthly;
        if !(1..=MONTHS_MAX).contains(&months) {
            return Err(SplitError::Folds { rule, folds: months, most: MONTHS_MAX });
        }
        rule.fits(set, false)?;
        let rows = [set.interactions(relevance)];
        let newest = newest_of(&rows[0]).unwrap_or(0);
        (0..months)
            .rev()
            .map(|back| {
                let end = if back == 0 { i64::MAX } else { start_of_month(newest, back - 1) };
                let split = Self { rule, ..window(&rows[0], cuts_of_month(newest, back), end) };
                let lacks = match (split.train.len(), split.test.is_empty()) {
                    (0, _) => "nothing to train on",
                    (_, true) => "nobody to ask about",
                    _ => return Ok(split),
                };
                Err(SplitError::Month { month: month_of(start_of_month(newest, back)), lacks })
            })
            .collect()
    }

    /// The same split with [`Split::warm`] as its test, to be reported beside the cold one; without values, which are
    /// kept for the cold test only.
    pub fn as_warm(&self) -> Self {
        Self { test: self.warm.clone(), warm: Vec::new(), held_out_values: Vec::new(), ..self.clone() }
    }
}

/// What a split by time needs to know of all users before it cuts those of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    /// Where validation and test begin.
    pub(crate) cuts: Option<(i64, i64)>,
    /// When each video was first seen, the end of time where never; empty where no rule asks.
    pub(crate) first_seen: Vec<i64>,
}

impl Moments {
    /// Takes the rows of some users in.
    pub(crate) fn see(&mut self, rows: &Interactions) {
        self.first_seen.resize(rows.n_videos(), i64::MAX);
        for row in rows.rows() {
            let first = &mut self.first_seen[row.video as usize];
            *first = row.time.min(*first);
        }
    }
}

/// The time of the newest pair, if there is one.
pub(crate) fn newest_of(all: &Interactions) -> Option<i64> {
    all.rows().iter().map(|row| row.time).max()
}

/// Year and month (UTC) of a time in milliseconds since 1970, as `2026-03`.
pub fn month_of(time: i64) -> String {
    jiff::Timestamp::from_millisecond(time)
        .map_or_else(|_| time.to_string(), |time| time.strftime("%Y-%m").to_string())
}

/// Where validation and test begin for the month that lies so many before that of a time.
pub(crate) fn cuts_of_month(time: i64, back: usize) -> (i64, i64) {
    (start_of_month(time, back + 1), start_of_month(time, back))
}

/// When the month began so many months before that of a time, in milliseconds since 1970 (UTC).
fn start_of_month(time: i64, back: usize) -> i64 {
    let date = jiff::Timestamp::from_millisecond(time)
        .map_or(jiff::civil::date(1970, 1, 1), |time| time.to_zoned(jiff::tz::TimeZone::UTC).date());
    let first = date.first_of_month().saturating_sub(jiff::Span::new().months(back as i64));
    first.to_zoned(jiff::tz::TimeZone::UTC).map_or(i64::MIN, |start| start.timestamp().as_millisecond())
}

fn empty(set: &Dataset, relevance: &Relevance, rule: SplitRule, rows: &[Interactions]) -> SplitError {
    let positives = |rows: &Interactions| rows.rows().iter().filter(|row| row.is_positive()).count();
    rule.empty(set, relevance, rows.iter().map(positives).sum())
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
    let (mut validation_values, mut held_out_values) = (Vec::new(), Vec::new());
    for (user, rows) in all.users().enumerate() {
        match cut(rows) {
            None => train.push(rows.to_vec()),
            Some((a, b, end)) => {
                train.push(rows[..a].to_vec());
                validation.extend(query(user as u32, &rows[..a], &rows[a..b]));
                validation_values.extend(with_values(user as u32, &rows[a..b]));
                test.extend(query(user as u32, &rows[..b], &rows[b..end]));
                held_out_values.extend(with_values(user as u32, &rows[b..end]));
            }
        }
    }
    let train = Interactions::from_users(all.n_videos(), train);
    Split {
        rule,
        train,
        validation,
        test,
        cuts: None,
        pairs_on_both_sides: 0,
        held_out_values,
        validation_values,
        warm: Vec::new(),
    }
}

/// The times before which that share of all pairs lies, and a tenth more.
fn cuts_of(all: &Interactions, train_percent: usize) -> (i64, i64) {
    let mut times: Vec<i64> = all.rows().iter().map(|row| row.time).collect();
    times.sort_unstable();
    let quantile = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(i64::MAX);
    (quantile(train_percent), quantile(train_percent + 10))
}

/// Trains on what is before the first cut; between the cuts is the validation, from the second to the end the test,
/// and nothing later exists.
fn window(all: &Interactions, (first, second): (i64, i64), end: i64) -> Split {
    let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    let (mut validation_values, mut held_out_values) = (Vec::new(), Vec::new());
    for (user, rows) in all.users().enumerate() {
        let a = rows.partition_point(|row| row.time < first);
        let b = rows.partition_point(|row| row.time < second);
        let c = rows.partition_point(|row| row.time < end).max(b);
        train.push(rows[..a].to_vec());
        validation.extend(query(user as u32, &rows[..a], &rows[a..b]));
        validation_values.extend(with_values(user as u32, &rows[a..b]));
        test.extend(query(user as u32, &rows[..b], &rows[b..c]));
        held_out_values.extend(with_values(user as u32, &rows[b..c]));
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
        validation_values,
        warm: Vec::new(),
    }
}

/// Of each user a tenth of the wanted videos for each part, and, where `with_unwanted`, a tenth of the others too if their
/// value is known: predictions are measured on both, and whoever was watched stays masked.
fn random(all: &Interactions, seed: u64, with_unwanted: bool) -> Split {
    let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    let (mut validation_values, mut held_out_values) = (Vec::new(), Vec::new());
    for (user, rows) in all.users().enumerate() {
        let mut part_of = vec![Part::Train; rows.len()];
        let mut draw = |mut drawn: Vec<usize>, least: usize| {
            // The order of drawing depends on user and video alone.
            drawn.sort_by_key(|&at| mix(mix(seed ^ ((user as u64) << 32)) ^ u64::from(rows[at].video)));
            let held_out = if drawn.len() < 3 { 0 } else { (drawn.len() / 10).max(least) };
            drawn[..held_out].iter().for_each(|&at| part_of[at] = Part::Test);
            drawn[held_out..2 * held_out].iter().for_each(|&at| part_of[at] = Part::Validation);
        };
        draw(positions_of_positives(rows), 1);
        if with_unwanted {
            let is_other = |&at: &usize| !rows[at].is_positive() && rows[at].value.is_some();
            draw((0..rows.len()).filter(is_other).collect(), 0);
        }
        let part = |wanted: &[Part]| -> Vec<Interaction> {
            (0..rows.len()).filter(|&at| wanted.contains(&part_of[at])).map(|at| rows[at]).collect()
        };
        let (past, middle, last) = (part(&[Part::Train]), part(&[Part::Validation]), part(&[Part::Test]));
        let ask = |past: &[Interaction], held_out: &[Interaction]| {
            let mut query = query(user as u32, past, held_out)?;
            let unwanted = middle.iter().chain(&last).filter(|row| !row.is_positive());
            query.masked.extend(unwanted.map(|row| row.video));
            query.masked.sort_unstable();
            query.masked.dedup();
            Some(query)
        };
        validation.extend(ask(&past, &middle));
        test.extend(ask(&part(&[Part::Train, Part::Validation]), &last));
        validation_values.extend(with_values(user as u32, &middle));
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
        validation_values,
        warm: Vec::new(),
    }
}

/// Which part a video or user belongs to, by seed and row alone: a tenth test, a tenth validation.
fn drawn_part(seed: u64, row: u32) -> Part {
    match mix(mix(seed) ^ u64::from(row)) % 10 {
        0 => Part::Test,
        1 => Part::Validation,
        _ => Part::Train,
    }
}

/// A tenth of positives, by seed and pair alone.
fn drawn_warm(seed: u64, user: usize, row: &Interaction) -> bool {
    row.is_positive() && mix(mix(seed ^ 2 ^ ((user as u64) << 32)) ^ u64::from(row.video)).is_multiple_of(10)
}

fn cold_videos(all: &Interactions, seed: u64) -> Split {
    let (mut train, mut validation, mut test, mut warm) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut validation_values, mut held_out_values) = (Vec::new(), Vec::new());
    for (user, rows) in all.users().enumerate() {
        let part = |wanted| -> Vec<Interaction> {
            rows.iter().filter(|row| drawn_part(seed, row.video) == wanted).copied().collect()
        };
        let (asked, past): (Vec<_>, Vec<_>) =
            part(Part::Train).into_iter().partition(|row| drawn_warm(seed, user, row));
        let (cold, middle) = (part(Part::Test), part(Part::Validation));
        validation.extend(query(user as u32, &past, &middle));
        validation_values.extend(with_values(user as u32, &middle));
        test.extend(query(user as u32, &past, &cold));
        warm.extend(query(user as u32, &past, &asked));
        held_out_values.extend(with_values(user as u32, &cold));
        train.push(past);
    }
    cold(
        SplitRule::ColdVideos,
        all.n_videos(),
        train,
        [validation, test, warm],
        [validation_values, held_out_values],
    )
}

/// Trains on what is before the first cut. A question is asked at the moment at which a user wants the first of the
/// videos that are new in its part: all before that moment is known, and what is wanted are those of them that come.
fn first_seen(all: &Interactions, (first, second): (i64, i64), first_seen: &[i64]) -> Split {
    let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    let (mut validation_values, mut held_out_values) = (Vec::new(), Vec::new());
    for (user, rows) in all.users().enumerate() {
        let new_in = |from: i64, to: i64| -> Vec<Interaction> {
            let is_new = |row: &&Interaction| first_seen[row.video as usize] >= from && row.time < to;
            rows.iter().filter(is_new).copied().collect()
        };
        let ask = |new: &[Interaction]| {
            let asked = new.iter().find(|row| row.is_positive())?.time;
            // What has the same time as the question is not before it.
            let past = &rows[..rows.partition_point(|row| row.time < asked)];
            let coming = &new[new.partition_point(|row| row.time < asked)..];
            Some(Query { at: Some(asked), ..query(user as u32, past, coming)? })
        };
        let (middle, last) = (new_in(first, second), new_in(second, i64::MAX));
        train.push(rows[..rows.partition_point(|row| row.time < first)].to_vec());
        validation.extend(ask(&middle));
        validation_values.extend(with_values(user as u32, &middle));
        test.extend(ask(&last));
        held_out_values.extend(with_values(user as u32, &last));
    }
    Split {
        rule: SplitRule::FirstSeen,
        train: Interactions::from_users(all.n_videos(), train),
        validation,
        test,
        cuts: Some((first, second)),
        pairs_on_both_sides: 0,
        held_out_values,
        validation_values,
        warm: Vec::new(),
    }
}

fn cold_users(all: &Interactions, seed: u64) -> Split {
    let (mut train, mut validation, mut test, mut warm) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut validation_values, mut held_out_values) = (Vec::new(), Vec::new());
    for (user, rows) in all.users().enumerate() {
        let shown = SHOWN_OF_COLD_USER.min(rows.len());
        match drawn_part(seed, user as u32) {
            Part::Train => {
                let (asked, past): (Vec<_>, Vec<_>) =
                    rows.iter().partition(|row| drawn_warm(seed, user, row));
                warm.extend(query(user as u32, &past, &asked));
                train.push(past);
                continue;
            }
            Part::Validation => {
                validation.extend(query(user as u32, &rows[..shown], &rows[shown..]));
                validation_values.extend(with_values(user as u32, &rows[shown..]));
            }
            Part::Test => {
                test.extend(query(user as u32, &rows[..shown], &rows[shown..]));
                held_out_values.extend(with_values(user as u32, &rows[shown..]));
            }
        }
        train.push(Vec::new());
    }
    cold(
        SplitRule::ColdUsers,
        all.n_videos(),
        train,
        [validation, test, warm],
        [validation_values, held_out_values],
    )
}

fn cold(
    rule: SplitRule,
    n_videos: usize,
    train: Vec<Vec<Interaction>>,
    questions: [Vec<Query>; 3],
    values: [Vec<(u32, Interaction)>; 2],
) -> Split {
    let [validation_values, held_out_values] = values;
    let [mut validation, mut test, mut warm] = questions;
    // What is cold is drawn over all times: there is no moment at which a question is asked.
    validation.iter_mut().chain(&mut test).chain(&mut warm).for_each(|query| query.at = None);
    Split {
        rule,
        train: Interactions::from_users(n_videos, train),
        validation,
        test,
        cuts: None,
        pairs_on_both_sides: 0,
        held_out_values,
        validation_values,
        warm,
    }
}

/// Takes a tenth of each training user's positives away at random, to choose settings by where a given split
/// has no validation: what is left to fit on, and the questions.
pub fn hold_out(train: &Interactions, seed: u64) -> (Interactions, Vec<Query>) {
    let split = random(train, seed, false);
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

fn given(parts: &[Interactions]) -> Split {
    let (train, validation, last) = (&parts[0], &parts[1], &parts[2]);
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
    let (validation, test) = (ask(validation), ask(last));
    let values_of = |part: &Interactions| -> Vec<(u32, Interaction)> {
        (0..part.n_users() as u32)
            .flat_map(|user| with_values(user, part.of(user)))
            .filter(|(user, row)| !train.of(*user).iter().any(|known| known.video == row.video))
            .collect()
    };
    let (validation_values, held_out_values) = (values_of(&parts[1]), values_of(&parts[2]));
    Split {
        rule: SplitRule::Given,
        train: train.clone(),
        validation,
        test,
        cuts: None,
        pairs_on_both_sides,
        held_out_values,
        validation_values,
        warm: Vec::new(),
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
    fn rolling_windows_move_by_a_tenth_and_see_nothing_after_their_end() {
        let sequence: Vec<u32> = (0..20).collect();
        let set = set(Order::Timed, &[&sequence]);
        let folds = Split::rolling(&set, &Relevance::default(), 3).unwrap();
        let seen = |split: &Split| (split.train.len(), split.test[0].relevant.clone());
        assert_eq!(seen(&folds[0]), (12, vec![14, 15]));
        assert_eq!(seen(&folds[1]), (14, vec![16, 17]));
        assert_eq!(seen(&folds[2]), (16, vec![18, 19]));
        assert_eq!(folds[0].validation[0].relevant, [12, 13]);
        assert_eq!(folds[0].cuts, Some((13, 15)));
        let error = Split::rolling(&set, &Relevance::default(), 9).unwrap_err().to_string();
        assert!(error.contains("expected 1 to 7"), "{error}");
    }

    #[test]
    fn months_are_those_of_the_calendar_and_each_sees_what_came_before_it() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        assert_eq!(start_of_month(at("2026-03-31T23:59:59Z"), 0), at("2026-03-01T00:00:00Z"));
        assert_eq!(start_of_month(at("2026-03-31T23:59:59Z"), 13), at("2025-02-01T00:00:00Z"));
        let days = ["2025-10-31", "2025-11-30", "2025-12-01", "2026-01-01", "2026-01-31", "2026-02-02"];
        let event = |(video, day): (u32, &&str)| Event {
            user: 0,
            video,
            action: Action::Like,
            time: at(&format!("{day}T12:00:00Z")),
            value: None,
            ratio: None,
        };
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        users.intern("0");
        for (video, day) in (0..).zip(&days) {
            videos.intern(&video.to_string());
            events.push(event((video, day)));
        }
        let set = Dataset::new("tiny", users, videos, events, Order::Timed, None);
        let months = Split::monthly(&set, &Relevance::default(), 2).unwrap();
        let seen = |split: &Split| {
            let videos: Vec<u32> = split.train.of(0).iter().map(|row| row.video).collect();
            (videos, split.validation[0].relevant.clone(), split.test[0].relevant.clone())
        };
        assert_eq!(seen(&months[0]), (vec![0, 1], vec![2], vec![3, 4]));
        assert_eq!(seen(&months[1]), (vec![0, 1, 2], vec![3, 4], vec![5]));
        assert_eq!(months[1].cuts, Some((at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"))));
        // October is all there is to choose by for November.
        let error = Split::monthly(&set, &Relevance::default(), 4).unwrap_err().to_string();
        assert!(error.contains("the month 2025-11 has nothing to train on"), "{error}");
        let last = Split::new(&set, &Relevance::default(), SplitRule::Monthly, 1).unwrap();
        assert_eq!(seen(&last), seen(&months[1]));
        let error = Split::monthly(&set, &Relevance::default(), 25).unwrap_err().to_string();
        assert!(error.contains("25 windows of split `monthly`: expected 1 to 24"), "{error}");
    }

    #[test]
    fn whatever_happened_to_a_cold_video_is_held_out_of_train() {
        let sequence: Vec<u32> = (0..20).collect();
        let set = set(Order::Unordered, &[&sequence, &sequence, &sequence]);
        let split = Split::new(&set, &Relevance::default(), SplitRule::ColdVideos, 4).unwrap();
        let cold: Vec<u32> = split.test[0].relevant.clone();
        let trained = |video: &u32| split.train.rows().iter().any(|row| row.video == *video);
        assert!(!cold.is_empty() && !cold.iter().any(trained));
        // All users ask about the same videos; warm questions are about others, which somebody has in train.
        assert!(split.test.iter().all(|query| query.relevant == cold));
        let warm: Vec<u32> = split.warm.iter().flat_map(|query| query.relevant.clone()).collect();
        assert!(!warm.is_empty() && warm.iter().all(|video| trained(video) && !cold.contains(video)));
        assert_eq!(split.as_warm().test.len(), split.warm.len());
    }

    #[test]
    fn a_new_video_is_asked_for_at_the_moment_it_is_wanted_and_nothing_later_is_known() {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        (0..12).for_each(|video| _ = videos.intern(&video.to_string()));
        ["early", "late"].iter().for_each(|user| _ = users.intern(user));
        let mut like = |user: u32, video: u32, time: i64| {
            events.push(Event { user, video, action: Action::Like, time, value: None, ratio: None });
        };
        // 18 pairs before 80 %, two of a video that is new in the validation, three of videos new in the test.
        (0..9).for_each(|video| like(0, video, 10 + i64::from(video)));
        (0..9).for_each(|video| like(1, video, 30 + i64::from(video)));
        like(0, 9, 50);
        like(1, 9, 51);
        like(0, 10, 60);
        like(1, 11, 70);
        like(1, 10, 70);
        let set = Dataset::new("new", users, videos, events, Order::Timed, None);
        let split = Split::new(&set, &Relevance::default(), SplitRule::FirstSeen, 0).unwrap();
        assert_eq!(split.cuts, Some((50, 60)));
        assert!(split.train.rows().iter().all(|row| row.time < 50));
        let asked = |part: &[Query]| -> Vec<_> {
            part.iter().map(|query| (query.user, query.at, query.relevant.clone())).collect()
        };
        assert_eq!(asked(&split.validation), [(0, Some(50), vec![9]), (1, Some(51), vec![9])]);
        assert_eq!(asked(&split.test), [(0, Some(60), vec![10]), (1, Some(70), vec![10, 11])]);
        assert!(split.test.iter().all(|query| query.history.past().len() == 10 && query.masked.contains(&9)));
        assert_eq!(crate::lint(&split), []);
    }

    #[test]
    fn a_cold_user_shows_three_interactions_and_is_not_in_train() {
        let sequence: Vec<u32> = (0..9).collect();
        let sequences: Vec<&[u32]> = vec![&sequence; 40];
        let set = set(Order::Sequence, &sequences);
        let split = Split::new(&set, &Relevance::default(), SplitRule::ColdUsers, 1).unwrap();
        for query in split.test.iter().chain(&split.validation) {
            assert!(split.train.of(query.user).is_empty());
            assert_eq!(query.history.positives(), [0, 1, 2]);
            assert_eq!(query.relevant, [3, 4, 5, 6, 7, 8]);
        }
        assert!(split.warm.iter().all(|query| !split.train.of(query.user).is_empty()));
    }

    #[test]
    fn a_set_without_times_is_told_what_to_do() {
        let set = set(Order::Sequence, &[&[1, 2, 3]]);
        let error =
            Split::new(&set, &Relevance::default(), SplitRule::GlobalTime, 0).unwrap_err().to_string();
        assert!(error.contains("needs times") && error.contains("--split leave-last-out"), "{error}");
    }
}
