//! What is told of a clean set while it passes by: whether anything is positive, and which rule is natural.

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
            user: Sole::None,
            video: Sole::None,
        }
    }

    pub(crate) fn pass(&mut self, records: &[Record]) {
        self.events += records.len() as u64;
        let rule_is_all = self.rule == self.all;
        for record in records {
            let event = record.event();
            let judged = self.all.judge(&event);
            let of_rule = if rule_is_all { judged } else { self.rule.judge(&event) };
            self.positives += u64::from(of_rule == Judgement::Positive);
            self.shorter.retain(|rule| rule.judge(&event) == judged);
            self.user.meet(record.user);
            self.video.meet(record.video);
        }
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.events += other.events;
        self.positives += other.positives;
        self.shorter.retain(|rule| other.shorter.contains(rule));
        self.user.join(other.user);
        self.video.join(other.video);
    }

    /// The default rule, or the one of its terms that alone says the same of the set.
    pub(crate) fn natural(&self) -> Relevance {
        self.shorter.first().cloned().unwrap_or_else(|| self.all.clone())
    }
}
