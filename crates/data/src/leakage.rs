//! The linter that looks for what a model could know and should not.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde::Serialize;

use crate::{Catalogue, Column, Dataset, Query, Split, SplitRule, twins};

const DAY_MS: i64 = 86_400_000;
/// A feature that follows the target this closely is the target.
const CORRELATION_MIN: f64 = 0.999;
/// Fewer rows than this can follow anything by chance.
const ROWS_MIN: usize = 20;
/// Fewer copies than one in so many held-out pairs move no digit that is printed: noted, not refused.
const COPIES_NOTED: usize = 1_000;
/// Names of columns that are the answer, whatever they hold.
const TARGETS: [&str; 8] =
    ["target", "label", "watch_ratio", "is_positive", "relevant", "held_out", "is_test", "y_true"];

/// The kinds of leak the linter knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Leak {
    /// A held-out (user, video) pair is also trained on.
    SharedPairs,
    /// Something known is later than what is asked about.
    Time,
    /// A held-out pair stands in the history that its question shows.
    TestInHistory,
    /// A feature was computed from what happened after the cut.
    FeaturesAfterCut,
    /// What is ranked was chosen by looking at the test.
    CandidatePool,
    /// A held-out video is known under a second id.
    DuplicateVideos,
    /// A feature is the target.
    TargetFeature,
}

impl Leak {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::SharedPairs,
        Self::Time,
        Self::TestInHistory,
        Self::FeaturesAfterCut,
        Self::CandidatePool,
        Self::DuplicateVideos,
        Self::TargetFeature,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::SharedPairs => "shared_pairs",
            Self::Time => "time",
            Self::TestInHistory => "test_in_history",
            Self::FeaturesAfterCut => "features_after_cut",
            Self::CandidatePool => "candidate_pool",
            Self::DuplicateVideos => "duplicate_videos",
            Self::TargetFeature => "target_feature",
        }
    }
}

/// One thing the linter found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub leak: Leak,
    /// How many pairs or events.
    pub count: usize,
    /// One example, by row numbers: user, video.
    pub example: Option<(u32, u32)>,
    /// Whether the protocol makes it harmless, so that a headline may stand over it.
    pub handled: bool,
    /// In words.
    pub note: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.note, if self.handled { "handled by the protocol" } else { "leak" })
    }
}

/// Whose feature it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// One value a user.
    Users,
    /// One value a video.
    Videos,
}

/// A feature column and when it was known.
#[derive(Clone, Copy, Debug)]
pub struct FeatureTable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whose it is.
    pub of: Of,
    /// One number a row; NaN where nothing is known. Empty where only the time is to be checked.
    pub values: &'a [f32],
    /// Milliseconds since 1970 before which everything lies that it was computed from; `None` for what has no
    /// time, such as a title, or whose time nobody tells.
    pub computed_up_to: Option<i64>,
    /// Whether a model of the evaluation reads it.
    pub read: bool,
}

/// Vectors of all videos, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// Length of each.
    pub dim: usize,
    /// `(videos, dim)`; a row of zeros where there is none.
    pub values: &'a [f32],
}

impl Vectors<'_> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What an evaluation rests on beside its split. What is left empty is not checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// What is known of the videos.
    pub videos: Option<&'a Catalogue>,
    /// Their vectors, of each kind that there is.
    pub vectors: &'a [Vectors<'a>],
    /// What is ranked: rows of videos, sorted.
    pub candidates: Option<&'a [u32]>,
    /// Features that a set has or a model makes.
    pub features: &'a [FeatureTable<'a>],
    /// Days, counted from 1970-01-01 (UTC), whose daily statistics reached a feature.
    pub days_used: &'a [i32],
}

/// What is known of users and videos in a set beyond labels and texts, as features that no model reads yet.
pub fn attribute_features(set: &Dataset) -> Vec<FeatureTable<'_>> {
    let of_all = [(Of::Users, &set.users.attributes), (Of::Videos, &set.videos.attributes)];
    let columns = of_all
        .into_iter()
        .flat_map(|(of, attributes)| attributes.iter().map(move |(name, column)| (of, name, column)));
    columns
        .map(|(of, name, column)| {
            let values: &[f32] = if let Column::Number(values) = column { values } else { &[] };
            FeatureTable { name, of, values, computed_up_to: None, read: false }
        })
        .collect()
}

/// The kinds of labels that videos have, as features; `read` says whether a model compares videos by them.
pub fn label_features(videos: &Catalogue, read: bool) -> Vec<FeatureTable<'_>> {
    let kinds: BTreeSet<&str> =
        videos.labels.iter().filter_map(|label| Some(label.split_once(':')?.0)).collect();
    let feature = |name| FeatureTable { name, of: Of::Videos, values: &[], computed_up_to: None, read };
    kinds.into_iter().map(feature).collect()
}

/// Whether a column's name says that it counts what happened in a log: `play_cnt`, `like_user_num`, `views`,
/// `averageRating`. A user's followers are a fact of the user.
pub fn is_log_statistic(name: &str, of: Of) -> bool {
    const ACTS: [&str; 22] = [
        "show",
        "exposure",
        "impression",
        "play",
        "view",
        "watch",
        "click",
        "like",
        "comment",
        "share",
        "forward",
        "follow",
        "collect",
        "download",
        "report",
        "reduce",
        "vote",
        "rating",
        "review",
        "completion",
        "finish",
        "purchase",
    ];
    const COUNTS: [&str; 14] = [
        "cnt", "count", "num", "number", "total", "sum", "rate", "ratio", "avg", "average", "mean",
        "duration", "progress", "per",
    ];
    const ALONE: [&str; 9] =
        ["plays", "views", "likes", "shares", "clicks", "impressions", "downloads", "popularity", "ctr"];
    let mut words = String::new();
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_uppercase() && after_small {
            words.push(' ');
        }
        after_small = letter.is_lowercase();
        words.extend(if letter.is_alphanumeric() { letter } else { ' ' }.to_lowercase());
    }
    let has = |known: &[&str]| words.split_whitespace().any(|word| known.contains(&word));
    let followers = of == Of::Users && has(&["follow"]);
    (has(&ACTS) && has(&COUNTS) && !followers) || has(&ALONE)
}

/// Checks a split by itself: shared pairs, order in time, and test events in histories.
///
/// A leave-last-out split trains on events that are later than other users' tests: that is part of its
/// definition, so it is reported with its count, as handled; a split by time must have none.
pub fn lint(split: &Split) -> Vec<Finding> {
    let mut linter = Linter::default();
    linter.add(split);
    let later = linter.asked_at.map_or(0, |asked| later_than(split, asked));
    linter.findings(split.rule, later)
}

/// What [`lint`] looks for, taken in as one split or as splits of blocks of users, each user in one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Linter {
    on_both_sides: usize,
    /// Of validation, then test: pairs that are also in train, and in the history that is shown.
    trained: [Pairs; 2],
    shown: [Pairs; 2],
    /// Events in histories that are later than the question.
    late: Pairs,
    train_pairs: usize,
    asked_at: Option<i64>,
}

/// How many (user, video) pairs, and the first of them.
#[derive(Clone, Debug, Default)]
struct Pairs {
    count: usize,
    example: Option<(u32, u32)>,
}

impl Pairs {
    fn add(&mut self, pairs: impl IntoIterator<Item = (u32, u32)>) {
        for pair in pairs {
            self.count += 1;
            self.example.get_or_insert(pair);
        }
    }

    /// What was found, if anything was.
    fn finding(&self, leak: Leak, note: &str) -> Option<Finding> {
        let note = format!("{} {note}", self.count);
        let (count, example) = (self.count, self.example);
        (count > 0).then_some(Finding { leak, count, example, handled: false, note })
    }
}

/// Training pairs that are not earlier than a moment.
pub(crate) fn later_than(split: &Split, moment: i64) -> usize {
    split.train.rows().iter().filter(|row| row.time >= moment && row.time != 0).count()
}

impl Linter {
    /// Takes a split in, or the split of a block of users.
    pub(crate) fn add(&mut self, split: &Split) {
        self.on_both_sides += split.pairs_on_both_sides;
        self.train_pairs += split.train.len();
        for (at, queries) in [&split.validation, &split.test].into_iter().enumerate() {
            for query in queries {
                self.trained[at].add(shared_by(split, query));
                self.shown[at].add(known_of(query, &query.history.seen()));
                if let Some(asked) = query.at {
                    let late = query.history.past().iter().filter(|past| past.time > asked);
                    self.late.add(late.map(|past| (query.user, past.video)));
                }
            }
        }
        self.asked_at = self.asked_at.into_iter().chain(asked_at(split)).min();
    }

    /// When the earliest test question is asked, of all that was taken in.
    pub(crate) fn asked_at(&self) -> Option<i64> {
        self.asked_at
    }

    /// What was found, with the number of training pairs that are [`later_than`] the earliest test question.
    pub(crate) fn findings(&self, rule: SplitRule, later: usize) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.on_both_sides > 0 {
            findings.push(Finding {
                leak: Leak::SharedPairs,
                count: self.on_both_sides,
                example: None,
                handled: true,
                note: format!(
                    "{} held-out pairs are also in train: masked, and taken out of truth and ideal",
                    self.on_both_sides
                ),
            });
        }
        let names = ["validation", "test"];
        for (name, pairs) in names.into_iter().zip(&self.trained) {
            findings.extend(pairs.finding(Leak::SharedPairs, &format!("{name} pairs are also in train")));
        }
        for (name, pairs) in names.into_iter().zip(&self.shown) {
            let note = format!("{name} pairs stand in the history that their question shows");
            findings.extend(pairs.finding(Leak::TestInHistory, &note));
        }
        findings
            .extend(self.late.finding(Leak::Time, "events in histories are later than what is asked about"));
        if later > 0 {
            let handled = matches!(rule, SplitRule::LeaveLastOut | SplitRule::PerUser9010 | SplitRule::Given);
            findings.push(Finding {
                leak: Leak::Time,
                count: later,
                example: None,
                handled,
                note: format!(
                    "{later} of {} training pairs are later than the earliest test question{}",
                    self.train_pairs,
                    if handled { ", as the split's definition has it; global-time has none" } else { "" }
                ),
            });
        }
        findings
    }
}

/// Checks a split and what an evaluation rests on beside it.
pub fn inspect(split: &Split, evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut findings = lint(split);
    features_after_cut(split, evidence, &mut findings);
    log_statistics(split, evidence, &mut findings);
    target_features(split, evidence, &mut findings);
    if let Some(candidates) = evidence.candidates {
        candidate_pool(split, candidates, &mut findings);
    }
    if let Some(videos) = evidence.videos {
        duplicates(split, &twins(videos, evidence.vectors), &mut findings);
    }
    findings
}

fn shared_by(split: &Split, query: &Query) -> Vec<(u32, u32)> {
    let mut known: Vec<u32> = split.train.of(query.user).iter().map(|row| row.video).collect();
    known.sort_unstable();
    known_of(query, &known)
}

/// The held-out pairs whose video is among some.
fn known_of(query: &Query, known: &[u32]) -> Vec<(u32, u32)> {
    let relevant = query.relevant.iter();
    relevant.filter(|video| known.binary_search(video).is_ok()).map(|&video| (query.user, video)).collect()
}

/// When the earliest test question is asked; the cut, for a split by time.
fn asked_at(split: &Split) -> Option<i64> {
    split.test.iter().filter_map(|query| query.at).min()
}

fn features_after_cut(split: &Split, evidence: &Evidence<'_>, findings: &mut Vec<Finding>) {
    let Some(cut) = asked_at(split) else { return };
    for feature in evidence.features {
        let Some(until) = feature.computed_up_to.filter(|&until| until > cut) else { continue };
        let days = (until - cut) as f64 / DAY_MS as f64;
        findings.push(Finding {
            leak: Leak::FeaturesAfterCut,
            count: 1,
            example: None,
            handled: false,
            note: format!(
                "feature `{}` is computed from events up to {days:.1} days after the test begins",
                feature.name
            ),
        });
    }
    let cut_day = cut.div_euclid(DAY_MS);
    let late = evidence.days_used.iter().filter(|&&day| i64::from(day) >= cut_day).count();
    if late > 0 {
        findings.push(Finding {
            leak: Leak::FeaturesAfterCut,
            count: late,
            example: None,
            handled: false,
            note: format!(
                "{late} of {} days of daily statistics that features use lie on or after the day of the cut",
                evidence.days_used.len()
            ),
        });
    }
}

/// Columns that count over a period nobody tells: what a split by time holds out may be counted in them.
fn log_statistics(split: &Split, evidence: &Evidence<'_>, findings: &mut Vec<Finding>) {
    let by_time = split.rule.is_by_time();
    for read in [true, false] {
        let timeless = evidence.features.iter().filter(|f| f.read == read && f.computed_up_to.is_none());
        let names: Vec<&str> =
            timeless.filter(|f| is_log_statistic(f.name, f.of)).map(|feature| feature.name).collect();
        let Some(first) = names.first() else { continue };
        let named = match names.len() {
            1 => format!("`{first}` counts what happened"),
            n => format!("`{first}` and {} others count what happened", n - 1),
        };
        let who = match (read, by_time) {
            (true, true) => "a model reads what may lie after the cut",
            (true, false) => "a model reads it, and this split has no cut in time",
            (false, _) => "no model reads it",
        };
        findings.push(Finding {
            leak: Leak::FeaturesAfterCut,
            count: names.len(),
            example: None,
            handled: !(read && by_time),
            note: format!("{named} in a period that is not known: {who}"),
        });
    }
}

/// Pearson's correlation of what is known of both, over at least [`ROWS_MIN`] rows that vary.
fn correlation(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = pairs.filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if pairs.len() < ROWS_MIN {
        return None;
    }
    let n = pairs.len() as f64;
    let (mx, my) = pairs.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - mx, y - my);
        (xx, yy, xy) = (xx + x * x, yy + y * y, xy + x * y);
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// By user or video: what is held out of it. A feature equal to one of these was made from the test.
fn targets(split: &Split, of: Of) -> Vec<(&'static str, HashMap<u32, f64>)> {
    let row = |user: u32, video: u32| if of == Of::Users { user } else { video };
    let mut values: HashMap<u32, (f64, f64)> = HashMap::new();
    for (user, held_out) in &split.held_out_values {
        let sum = values.entry(row(*user, held_out.video)).or_default();
        *sum = (sum.0 + f64::from(held_out.value.unwrap_or_default()), sum.1 + 1.0);
    }
    let mut positives: HashMap<u32, f64> = HashMap::new();
    for query in &split.test {
        query.relevant.iter().for_each(|&video| *positives.entry(row(query.user, video)).or_default() += 1.0);
    }
    vec![
        ("the mean value of its test pairs", values.into_iter().map(|(row, (s, n))| (row, s / n)).collect()),
        ("the number of its test positives", positives),
    ]
}

fn target_features(split: &Split, evidence: &Evidence<'_>, findings: &mut Vec<Finding>) {
    // A feature without numbers is looked at for its time alone.
    let mut features = evidence.features.iter().filter(|feature| !feature.values.is_empty()).peekable();
    if features.peek().is_none() {
        return;
    }
    let by_users = targets(split, Of::Users);
    let by_videos = targets(split, Of::Videos);
    for feature in features {
        let mut found = |why: String| {
            let note = format!("feature `{}` {why}", feature.name);
            findings.push(Finding {
                leak: Leak::TargetFeature,
                count: 1,
                example: None,
                handled: false,
                note,
            });
        };
        let name = feature.name.to_lowercase();
        if TARGETS.contains(&name.as_str()) {
            found("bears the name of the target".into());
            continue;
        }
        let known = if feature.of == Of::Users { &by_users } else { &by_videos };
        for (what, target) in known {
            let both = target
                .iter()
                .filter_map(|(&row, &y)| Some((f64::from(*feature.values.get(row as usize)?), y)));
            if let Some(r) = correlation(both).filter(|r| r.abs() > CORRELATION_MIN) {
                found(format!("is {what}: correlation {r:.4}"));
                break;
            }
        }
    }
}

fn candidate_pool(split: &Split, candidates: &[u32], findings: &mut Vec<Finding>) {
    let mark = |videos: &mut dyn Iterator<Item = u32>| {
        let mut marked = vec![false; split.train.n_videos()];
        videos.for_each(|video| marked[video as usize] = true);
        marked
    };
    let trained = mark(&mut split.train.rows().iter().map(|row| row.video));
    let tested = mark(&mut split.test.iter().flat_map(|query| query.relevant.iter().copied()));
    let pooled = mark(&mut candidates.iter().copied());
    let all = |marked: &[bool]| marked.iter().filter(|&&marked| marked).count();
    let n_trained = all(&trained);
    let of_test = candidates.iter().filter(|&&video| tested[video as usize]).count();
    let left_out = (0..trained.len()).filter(|&video| trained[video] && !pooled[video]).count();
    // A pool that is nearly all test, though train knows clearly more.
    if of_test * 10 >= candidates.len() * 9 && left_out * 10 >= n_trained && n_trained > 0 {
        findings.push(Finding {
            leak: Leak::CandidatePool,
            count: of_test,
            example: None,
            handled: false,
            note: format!(
                "{of_test} of the {} candidates are answers of the test, and {left_out} videos that train knows are not \
                 ranked: the pool tells what was watched",
                candidates.len()
            ),
        });
        return;
    }
    let only_tested = candidates.iter().filter(|&&v| tested[v as usize] && !trained[v as usize]).count();
    let untouched = (0..trained.len()).filter(|&v| !trained[v] && !pooled[v]).count();
    let cold = matches!(split.rule, SplitRule::ColdVideos | SplitRule::FirstSeen);
    if only_tested > 0 && untouched > 0 && !cold {
        findings.push(Finding {
            leak: Leak::CandidatePool,
            count: only_tested,
            example: None,
            handled: true,
            note: format!(
                "{only_tested} candidates are in the pool only because they occur after the cut, {untouched} videos that \
                 never occur are left out: the same pool for every model; --candidates catalogue ranks them all"
            ),
        });
    }
}

/// Held-out pairs of a video whose twin the user knows, or, where nothing of the video is trained on, whose twin
/// is trained on.
fn duplicates(split: &Split, twins: &[u32], findings: &mut Vec<Finding>) {
    let mut has_twin = vec![false; twins.len()];
    for (row, &group) in twins.iter().enumerate().filter(|&(row, &group)| row as u32 != group) {
        (has_twin[row], has_twin[group as usize]) = (true, true);
    }
    if !has_twin.contains(&true) {
        return;
    }
    let (mut trained, mut group_trained) = (vec![false; twins.len()], vec![false; twins.len()]);
    for row in split.train.rows() {
        trained[row.video as usize] = true;
        group_trained[twins[row.video as usize] as usize] = true;
    }
    let (mut copies, mut pairs) = (Vec::new(), 0);
    for query in &split.test {
        pairs += query.relevant.len();
        let mut seen: Vec<u32> =
            query.history.past().iter().map(|past| past.video).filter(|&v| has_twin[v as usize]).collect();
        seen.iter_mut().for_each(|video| *video = twins[*video as usize]);
        seen.sort_unstable();
        copies.extend(query.relevant.iter().filter_map(|&video| {
            let group = twins[video as usize];
            let known = has_twin[video as usize]
                && (seen.binary_search(&group).is_ok()
                    || (!trained[video as usize] && group_trained[group as usize]));
            known.then_some((query.user, video))
        }));
    }
    if let Some(&example) = copies.first() {
        let handled = copies.len() * COPIES_NOTED < pairs;
        findings.push(Finding {
            leak: Leak::DuplicateVideos,
            count: copies.len(),
            example: Some(example),
            handled,
            note: format!(
                "{} of {pairs} test pairs are of videos known under another id (same title or vector){}",
                copies.len(),
                if handled { ": fewer than one in a thousand" } else { "" }
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{History, Interaction, Interactions, Judgement, Past};

    fn row(video: u32, time: i64) -> Interaction {
        Interaction {
            video,
            time,
            value: None,
            judgement: Judgement::Positive,
            actions: crate::Actions::default(),
        }
    }

    fn split(train: Vec<Interaction>, history: &[(u32, i64)], relevant: u32, at: i64) -> Split {
        let history = History::new(history.iter().map(|&(video, time)| Past {
            video,
            time,
            value: None,
            judgement: Judgement::Positive,
            actions: crate::Actions::default(),
        }));
        Split {
            rule: SplitRule::GlobalTime,
            train: Interactions::from_users(10, vec![train]),
            validation: Vec::new(),
            test: vec![Query {
                user: 0,
                masked: history.seen(),
                history,
                relevant: vec![relevant],
                at: Some(at),
            }],
            cuts: None,
            pairs_on_both_sides: 0,
            held_out_values: Vec::new(),
            validation_values: Vec::new(),
            warm: Vec::new(),
        }
    }

    #[test]
    fn a_clean_split_raises_no_alarm() {
        assert_eq!(lint(&split(vec![row(1, 1), row(2, 2)], &[(1, 1), (2, 2)], 3, 5)), []);
    }

    #[test]
    fn a_planted_pair_is_caught_by_name() {
        let findings = lint(&split(vec![row(1, 1), row(3, 2)], &[(1, 1)], 3, 5));
        assert_eq!((findings[0].leak, findings[0].example), (Leak::SharedPairs, Some((0, 3))));
        assert!(!findings[0].handled);
    }

    #[test]
    fn a_training_event_after_the_cut_is_caught() {
        let findings = lint(&split(vec![row(1, 1), row(2, 7)], &[(1, 1)], 3, 5));
        assert_eq!((findings[0].leak, findings[0].count), (Leak::Time, 1));
    }

    #[test]
    fn a_history_that_reaches_into_the_future_is_caught() {
        let findings = lint(&split(vec![row(1, 1)], &[(1, 1), (2, 9)], 3, 5));
        assert_eq!((findings[0].leak, findings[0].example), (Leak::Time, Some((0, 2))));
    }

    fn clean() -> Split {
        split(vec![row(1, 1), row(2, 2)], &[(1, 1), (2, 2)], 3, 5)
    }

    fn kinds(findings: &[Finding]) -> Vec<(Leak, bool)> {
        findings.iter().map(|finding| (finding.leak, finding.handled)).collect()
    }

    fn titled(titles: [&str; 10]) -> Catalogue {
        let mut videos = Catalogue::new();
        for (row, title) in titles.into_iter().enumerate() {
            videos.intern(&row.to_string());
            videos.video_mut(row as u32).title = title.into();
        }
        videos
    }

    #[test]
    fn a_test_event_in_the_history_is_caught() {
        let findings = lint(&split(vec![row(1, 1)], &[(1, 1), (3, 2)], 3, 5));
        assert_eq!((findings[0].leak, findings[0].example), (Leak::TestInHistory, Some((0, 3))));
    }

    #[test]
    fn a_feature_from_after_the_cut_is_caught_and_one_from_before_is_not() {
        let feature = |until| FeatureTable {
            name: "plays_7d",
            of: Of::Videos,
            values: &[],
            computed_up_to: Some(until),
            read: true,
        };
        let check =
            |until| inspect(&clean(), &Evidence { features: &[feature(until)], ..Evidence::default() });
        assert_eq!(check(5), []);
        let findings = check(6);
        assert_eq!(kinds(&findings), [(Leak::FeaturesAfterCut, false)]);
        assert!(findings[0].note.contains("`plays_7d`"));
    }

    #[test]
    fn a_count_of_the_whole_log_is_a_leak_where_a_model_reads_it_over_a_cut_in_time() {
        let check = |rule, name, read| {
            let feature = FeatureTable { name, of: Of::Videos, values: &[], computed_up_to: None, read };
            let split = Split { rule, ..clean() };
            kinds(&inspect(&split, &Evidence { features: &[feature], ..Evidence::default() }))
        };
        assert_eq!(check(SplitRule::GlobalTime, "play_cnt", true), [(Leak::FeaturesAfterCut, false)]);
        assert_eq!(check(SplitRule::GlobalTime, "play_cnt", false), [(Leak::FeaturesAfterCut, true)]);
        assert_eq!(check(SplitRule::LeaveLastOut, "play_cnt", true), [(Leak::FeaturesAfterCut, true)]);
        assert_eq!(check(SplitRule::GlobalTime, "genre", true), []);
    }

    #[test]
    fn counts_of_a_log_are_told_by_their_names_from_facts() {
        let counts = [
            "show_cnt",
            "long_time_play_user_num",
            "play_progress",
            "play_duration",
            "playCnt",
            "views",
            "likeRate",
            "average_rating",
            "vote_count",
            "popularity",
        ];
        for name in counts {
            assert!(is_log_statistic(name, Of::Videos), "{name}");
        }
        let facts =
            ["duration", "video_duration", "fans", "word_count", "video_type", "width", "tag", "rating"];
        for name in facts {
            assert!(!is_log_statistic(name, Of::Videos), "{name}");
        }
        for name in ["fans_user_num", "follow_user_num", "friend_user_num", "register_days", "age"] {
            assert!(!is_log_statistic(name, Of::Users), "{name}");
        }
    }

    #[test]
    fn daily_statistics_of_the_day_of_the_cut_are_caught_and_earlier_ones_are_not() {
        let cut = 10 * DAY_MS + 5;
        let split = split(vec![row(1, 1)], &[(1, 1)], 3, cut);
        let check = |days: &[i32]| inspect(&split, &Evidence { days_used: days, ..Evidence::default() });
        assert_eq!(check(&[7, 8, 9]), []);
        let findings = check(&[8, 9, 10, 11]);
        assert_eq!((findings[0].leak, findings[0].count), (Leak::FeaturesAfterCut, 2));
    }

    #[test]
    fn a_pool_of_the_tests_videos_is_caught_and_a_pool_of_all_is_not() {
        let check = |pool: &[u32]| {
            kinds(&inspect(&clean(), &Evidence { candidates: Some(pool), ..Evidence::default() }))
        };
        assert_eq!(check(&[3]), [(Leak::CandidatePool, false)]);
        assert_eq!(check(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), []);
        // The videos of the log: 3 is there only because the test has it, which is the same for every model.
        assert_eq!(check(&[1, 2, 3]), [(Leak::CandidatePool, true)]);
    }

    #[test]
    fn a_held_out_video_that_is_known_under_another_title_or_vector_is_caught() {
        let mut titles =
            ["", "How to bake a small bread", "", "how to bake - a small bread!", "", "", "", "", "", ""];
        let check = |titles, vectors: Option<Vectors<'_>>| {
            let (videos, vectors) = (titled(titles), vectors.as_slice());
            inspect(&clean(), &Evidence { videos: Some(&videos), vectors, ..Evidence::default() })
        };
        let findings = check(titles, None);
        assert_eq!((findings[0].leak, findings[0].example), (Leak::DuplicateVideos, Some((0, 3))));
        titles[3] = "how to bake a large cake";
        assert_eq!(check(titles, None), []);
        let mut values: Vec<f32> = (0..20u32).map(|at| (at * at % 17) as f32 - 8.0).collect();
        let distinct = values.clone();
        let vectors = |values| Some(Vectors { dim: 2, values });
        values.copy_within(4..6, 6);
        assert_eq!(kinds(&check(titles, vectors(&values))), [(Leak::DuplicateVideos, false)]);
        assert_eq!(check(titles, vectors(&distinct)), []);
    }

    #[test]
    fn a_copy_that_the_user_has_not_seen_is_no_leak() {
        // Video 3 is trained on by somebody else, and so is its twin 5; the user asked knows neither.
        let mut titles = [""; 10];
        (titles[3], titles[5]) = ("How to bake a small bread", "How to bake a small bread");
        let mut split = clean();
        split.train =
            Interactions::from_users(10, vec![vec![row(1, 1), row(2, 2)], vec![row(3, 1), row(5, 2)]]);
        let videos = titled(titles);
        assert_eq!(inspect(&split, &Evidence { videos: Some(&videos), ..Evidence::default() }), []);
    }

    #[test]
    fn a_feature_that_is_the_target_is_caught_by_number_and_by_name() {
        let n = 30;
        let value = |video: u32| (video * 7 % 13) as f32 / 10.0;
        let mut split = clean();
        split.train = Interactions::from_users(n as usize, vec![vec![row(1, 1), row(2, 2)]]);
        split.held_out_values =
            (0..n).map(|video| (0, Interaction { value: Some(value(video)), ..row(video, 6) })).collect();
        let planted: Vec<f32> = (0..n).map(|video| 3.0 - 2.0 * value(video)).collect();
        let honest: Vec<f32> = (0..n).map(|video| value(video) + (video % 3) as f32).collect();
        let check = |name, values: &[f32]| {
            let feature = FeatureTable { name, of: Of::Videos, values, computed_up_to: None, read: false };
            inspect(&split, &Evidence { features: &[feature], ..Evidence::default() })
        };
        let findings = check("quality", &planted);
        assert_eq!(kinds(&findings), [(Leak::TargetFeature, false)]);
        assert!(findings[0].note.contains("correlation -1.0000"), "{}", findings[0].note);
        assert_eq!(check("quality", &honest), []);
        assert_eq!(kinds(&check("Is_Positive", &honest)), [(Leak::TargetFeature, false)]);
        // A mean watch ratio is the target's name and a count of the log as well.
        let both = [(Leak::FeaturesAfterCut, true), (Leak::TargetFeature, false)];
        assert_eq!(kinds(&check("Watch_Ratio", &honest)), both);
    }
}
