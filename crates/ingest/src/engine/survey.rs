//! What is told of a clean set while it passes by: whether anything is positive, which rule is natural, what is
//! missing, and from when to when it reaches.

use upnext_data::{Judgement, Relevance};

use super::record::Record;

/// Rules that read better than the default, where they say the same.
const SHORTER: [&str; 4] = ["rating", "watch", "liked", "watch_ratio>=0.5"];

/// Adds up over partitions.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    rule: Relevance,
    all: Relevance,
    shorter: Vec<Relevance>,
    pub(crate) events: u64,
    pub(crate) positives: u64,
    /// Users with an event; no user's events are in two partitions.
    pub(crate) users: usize,
    /// Whether an event has no value, and whether one has no ratio.
    pub(crate) missing: (bool, bool),
    /// The least and the largest time at which a pair of user and video begins.
    pub(crate) begins: (i64, i64),
    /// The first user and video; `None` beside them once there is another.
    pub(crate) user: Sole,
    pub(crate) video: Sole,
}

/// Whether a row is the only one that occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sole {
    None,
    One(u32),
    Many,
}

impl Sole {
    fn meet(&mut self, row: u32) {
        match *self {
            Self::None => *self = Self::One(row),
            Self::One(one) if one != row => *self = Self::Many,
            _ => {}
        }
    }

    fn join(&mut self, other: Self) {
        match other {
            Self::None => {}
            Self::One(row) => self.meet(row),
            Self::Many => *self = Self::Many,
        }
    }
}

impl Survey {
    pub(crate) fn new(rule: &Relevance) -> Self {
        Self {
            rule: rule.clone(),
            all: Relevance::default(),
            shorter: SHORTER.iter().filter_map(|term| term.parse().ok()).collect(),
            events: 0,
            positives: 0,
            users: 0,
            missing: (false, false),
            begins: (i64::MAX, i64::MIN),
            user: Sole::None,
            video: Sole::None,
        }
    }

    /// Looks at records that come by user.
    pub(crate) fn pass(&mut self, records: &[Record]) {
        self.events += records.len() as u64;
        // One question after the other: each is quick, and all records of a partition are at hand.
        let judged: Vec<Judgement> = records.iter().map(|record| self.all.judge(&record.event())).collect();
        let is_positive = |judgement: &Judgement| *judgement == Judgement::Positive;
        self.positives += if self.rule == self.all {
            judged.iter().filter(|judgement| is_positive(judgement)).count()
        } else {
            records.iter().filter(|record| is_positive(&self.rule.judge(&record.event()))).count()
        } as u64;
        self.shorter.retain(|rule| {
            records.iter().zip(&judged).all(|(record, &judgement)| rule.judge(&record.event()) == judgement)
        });
        for record in records {
            self.missing.0 |= record.value.is_nan();
            self.missing.1 |= record.ratio.is_nan();
            if record.is_first_of_pair() {
                let time = record.time();
                self.begins = (self.begins.0.min(time), self.begins.1.max(time));
            }
        }
        self.users += records.chunk_by(|one, other| one.user == other.user).count();
        for record in [records.first(), records.last()].into_iter().flatten() {
            self.user.meet(record.user);
        }
        for record in records {
            self.video.meet(record.video);
            if self.video == Sole::Many {
                break;
            }
        }
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.events += other.events;
        self.positives += other.positives;
        self.users += other.users;
        self.shorter.retain(|rule| other.shorter.contains(rule));
        self.missing = (self.missing.0 | other.missing.0, self.missing.1 | other.missing.1);
        self.begins = (self.begins.0.min(other.begins.0), self.begins.1.max(other.begins.1));
        self.user.join(other.user);
        self.video.join(other.video);
    }

    /// Names the only user and video by their new rows.
    pub(crate) fn renumber(&mut self, users: &[u32], videos: &[u32]) {
        for (sole, rows) in [(&mut self.user, users), (&mut self.video, videos)] {
            if let Sole::One(row) = sole {
                *row = rows[*row as usize];
            }
        }
    }

    /// The default rule, or the one of its terms that alone says the same of the set.
    pub(crate) fn natural(&self) -> Relevance {
        self.shorter.first().cloned().unwrap_or_else(|| self.all.clone())
    }
}
