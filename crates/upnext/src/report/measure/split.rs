//! What a model would be fitted on and asked: sizes, overlaps and leaks of the split that fits the set.

use serde::Serialize;
use upnext_data::{Dataset, Leak, Query, Relevance, Split, SplitRule, lint};

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

/// The pairs of one part, sorted, with marks of the users and videos among them.
struct Pairs {
    part: &'static str,
    pairs: Vec<(u32, u32)>,
    users: Vec<bool>,
    videos: Vec<bool>,
}

fn count(marks: &[bool]) -> usize {
    marks.iter().filter(|&&mark| mark).count()
}

impl Pairs {
    fn new(part: &'static str, mut pairs: Vec<(u32, u32)>, set: &Dataset) -> Self {
        pairs.sort_unstable();
        let (mut users, mut videos) = (vec![false; set.users.len()], vec![false; set.videos.len()]);
        for &(user, video) in &pairs {
            users[user as usize] = true;
            videos[video as usize] = true;
        }
        Self { part, pairs, users, videos }
    }

    fn size(&self) -> PartSize {
        let (users, videos) = (count(&self.users), count(&self.videos));
        PartSize { part: self.part, pairs: self.pairs.len(), users, videos }
    }

    fn overlap(&self, other: &Self) -> Overlap {
        let both = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && **b).count();
        let pairs = other.pairs.iter().filter(|pair| self.pairs.binary_search(pair).is_ok()).count();
        Overlap {
            a: self.part,
            b: other.part,
            users: both(&self.users, &other.users),
            videos: both(&self.videos, &other.videos),
            pairs,
        }
    }
}

/// Cuts the set and looks at the parts.
pub(crate) fn split(set: &Dataset, relevance: &Relevance, rule: SplitRule, seed: u64) -> Section<SplitFacts> {
    let split = match Split::new(set, relevance, rule, seed) {
        Ok(split) => split,
        Err(error) => return absent(error.to_string()),
    };
    let rows = (0..).zip(split.train.users());
    let train = rows.flat_map(|(user, rows)| rows.iter().map(move |row| (user, row.video))).collect();
    let asked = |queries: &[Query]| -> Vec<(u32, u32)> {
        queries.iter().flat_map(|query| query.relevant.iter().map(|&video| (query.user, video))).collect()
    };
    let parts = [
        Pairs::new("train", train, set),
        Pairs::new("validation", asked(&split.validation), set),
        Pairs::new("test", asked(&split.test), set),
    ];
    let overlaps = [(0, 1), (0, 2), (1, 2)].map(|(a, b)| parts[a].overlap(&parts[b])).to_vec();
    let leaks = lint(&split)
        .into_iter()
        .map(|finding| Found {
            leak: finding.leak,
            count: finding.count,
            handled: finding.handled,
            note: finding.note,
            example: finding
                .example
                .map(|(user, video)| (set.users.name(user).to_string(), VideoName::of(set, video))),
        })
        .collect();
    Section::There(SplitFacts {
        split: rule.name().into(),
        relevance: relevance.to_string(),
        seed,
        cold_users: count(&parts[2].users) - overlaps[1].users,
        cold_videos: count(&parts[2].videos) - overlaps[1].videos,
        parts: parts.iter().map(Pairs::size).collect(),
        overlaps,
        cuts: split.cuts.map(|(validation, test)| (moment(validation), moment(test))),
        leaks,
    })
}
