//! What a model would be fitted on and asked: sizes, overlaps and leaks of the split that fits the set.

use serde::Serialize;
use upnext_data::{Finding, Leak, Log, Relevance, SplitRule, SplitSummary};

use super::time::moment;
use super::{Section, VideoName, absent};

/// One part of the split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PartSize {
    /// `train`, `validation` or `test`.
    pub(crate) part: &'static str,
    /// Pairs of user and video; of held-out parts only wanted ones.
    pub(crate) pairs: usize,
    /// Users with a pair.
    pub(crate) users: usize,
    /// Videos with a pair.
    pub(crate) videos: usize,
}

/// What two parts share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Overlap {
    /// One part.
    pub(crate) a: &'static str,
    /// The other.
    pub(crate) b: &'static str,
    /// Users in both.
    pub(crate) users: usize,
    /// Videos in both.
    pub(crate) videos: usize,
    /// Pairs in both: more than none is a leak.
    pub(crate) pairs: usize,
}

/// What the linter found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Found {
    /// What kind.
    pub(crate) leak: Leak,
    /// How many.
    pub(crate) count: usize,
    /// Whether the protocol makes it harmless.
    pub(crate) handled: bool,
    /// In words.
    pub(crate) note: String,
    /// One user and video.
    pub(crate) example: Option<(String, VideoName)>,
}

/// The split that fits the set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SplitFacts {
    /// Its name.
    pub(crate) split: String,
    /// What counts as wanted.
    pub(crate) relevance: String,
    /// The seed of a random one.
    pub(crate) seed: u64,
    /// Train, validation, test.
    pub(crate) parts: Vec<PartSize>,
    /// Each two of them.
    pub(crate) overlaps: Vec<Overlap>,
    /// Users of the test without a pair in train.
    pub(crate) cold_users: usize,
    /// Videos of the test without a pair in train.
    pub(crate) cold_videos: usize,
    /// First moments of validation and test, for a split by time.
    pub(crate) cuts: Option<(String, String)>,
    /// What the linter found; empty means nothing.
    pub(crate) leaks: Vec<Found>,
}

/// Lets a log pass by as often as its split needs, and looks at the parts.
///
/// # Errors
/// When the events cannot be read.
pub(crate) fn split<L: Log>(
    log: &L,
    relevance: &Relevance,
    rule: SplitRule,
    seed: u64,
) -> Result<Section<SplitFacts>, L::Error> {
    let SplitSummary { parts, cuts, findings } = match SplitSummary::new(log, relevance, rule, seed)? {
        Ok(summary) => summary,
        Err(error) => return Ok(absent(error.to_string())),
    };
    let (set, sizes) = (log.set(), parts.overlap());
    let names = ["train", "validation", "test"];
    let size = |part: usize, users, pairs| PartSize {
        part: names[part],
        pairs,
        users,
        videos: parts.videos_in(&[part]),
    };
    // The fourth row is of all three parts; each two of them are what this table shows.
    let overlaps: Vec<Overlap> = [[0, 1], [0, 2], [1, 2]]
        .into_iter()
        .zip(&sizes.shared)
        .map(|([a, b], shared)| Overlap {
            a: names[a],
            b: names[b],
            users: shared.users,
            videos: parts.videos_in(&[a, b]),
            pairs: shared.pairs,
        })
        .collect();
    let named = |finding: Finding| Found {
        leak: finding.leak,
        count: finding.count,
        handled: finding.handled,
        note: finding.note,
        example: finding
            .example
            .map(|(user, video)| (set.users.name(user).to_string(), VideoName::of(set, video))),
    };
    Ok(Section::There(SplitFacts {
        split: rule.name().into(),
        relevance: relevance.to_string(),
        seed,
        cold_users: sizes.test_users - overlaps[1].users,
        cold_videos: parts.videos_in(&[2]) - overlaps[1].videos,
        parts: vec![
            size(0, sizes.train_users, sizes.train_pairs),
            size(1, sizes.validation_users, sizes.validation_pairs),
            size(2, sizes.test_users, sizes.test_pairs),
        ],
        overlaps,
        cuts: cuts.map(|(validation, test)| (moment(validation), moment(test))),
        leaks: findings.into_iter().map(named).collect(),
    }))
}
