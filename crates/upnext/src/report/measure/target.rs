//! What a model would be asked to predict of an event: how far it was watched, or how it was rated.

use std::collections::BTreeMap;

use serde::Serialize;
use upnext_data::{Action, Event};

use super::sketch::{Describe, Histogram, Moments, Quantiles};

/// The kinds of target, in the order in which a set's own is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Watch time over duration.
    WatchRatio,
    /// Stars.
    Rating,
    /// Seconds watched, where durations are not known.
    WatchSeconds,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 3] = [Self::WatchRatio, Self::Rating, Self::WatchSeconds];

    /// In words, with its unit where it has one.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WatchRatio => "watch ratio",
            Self::Rating => "rating",
            Self::WatchSeconds => "seconds watched",
        }
    }

    fn of(self, event: &Event) -> Option<f32> {
        let value = match self {
            Self::WatchRatio => event.ratio,
            Self::Rating => event.value.filter(|_| event.action == Action::Rating),
            Self::WatchSeconds => event.value.filter(|_| event.action == Action::Watch),
        };
        value.filter(|value| value.is_finite())
    }

    /// The thresholds at which a share of positives is told. A ratio must exceed its threshold, as in the literature
    /// on KuaiRec; ratings and seconds must reach theirs.
    fn thresholds(self) -> ([f64; 6], bool) {
        match self {
            Self::WatchRatio => ([0.5, 0.8, 1.0, 1.2, 1.5, 2.0], true),
            Self::Rating => ([2.0, 3.0, 3.5, 4.0, 4.5, 5.0], false),
            Self::WatchSeconds => ([1.0, 3.0, 7.0, 15.0, 30.0, 60.0], false),
        }
    }

    fn bins(self) -> Histogram {
        match self {
            Self::WatchRatio => Histogram::linear(0.05, 60),
            Self::Rating => Histogram::linear(0.5, 22),
            Self::WatchSeconds => Histogram::linear(1.0, 120),
        }
    }
}

/// Different values that are counted one by one; beyond that a target is continuous.
const LEVELS_MAX: usize = 32;

/// One kind of target, over a whole log.
#[derive(Clone, Debug)]
pub(crate) struct TargetTally {
    kind: Kind,
    quantiles: Quantiles,
    levels: Option<BTreeMap<u32, (f32, u64)>>,
    passing: [u64; 6],
    linear: Histogram,
    log: Histogram,
    zeros: u64,
    /// By user's row.
    pub(crate) users: Vec<Moments>,
    /// By video's row.
    pub(crate) videos: Vec<Moments>,
}

impl TargetTally {
    fn new(kind: Kind, n_users: usize, n_videos: usize) -> Self {
        Self {
            kind,
            quantiles: Quantiles::default(),
            levels: Some(BTreeMap::new()),
            passing: [0; 6],
            linear: kind.bins(),
            log: Histogram::log(-3, 6, 8),
            zeros: 0,
            users: vec![Moments::default(); n_users],
            videos: vec![Moments::default(); n_videos],
        }
    }

    fn add(&mut self, event: &Event, value: f32) {
        let wide = f64::from(value);
        self.quantiles.add(value);
        if let Some(levels) = &mut self.levels {
            levels.entry(value.to_bits()).or_insert((value, 0)).1 += 1;
            if levels.len() > LEVELS_MAX {
                self.levels = None;
            }
        }
        let (thresholds, strict) = self.kind.thresholds();
        for (passing, threshold) in self.passing.iter_mut().zip(thresholds) {
            *passing += u64::from(if strict { wide > threshold } else { wide >= threshold });
        }
        self.linear.add(wide);
        self.log.add(wide);
        self.zeros += u64::from(value == 0.0);
        self.users[event.user as usize].add(wide);
        self.videos[event.video as usize].add(wide);
    }
}

/// Every kind of target that a log has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets {
    tallies: [Option<TargetTally>; 3],
}

impl Targets {
    /// Takes one event in.
    pub(crate) fn add(&mut self, event: &Event, n_users: usize, n_videos: usize) {
        for (kind, tally) in Kind::ALL.into_iter().zip(&mut self.tallies) {
            if let Some(value) = kind.of(event) {
                tally.get_or_insert_with(|| TargetTally::new(kind, n_users, n_videos)).add(event, value);
            }
        }
    }

    /// The set's own: the first kind it has.
    pub(crate) fn chosen(&self) -> Option<&TargetTally> {
        self.tallies.iter().flatten().next()
    }
}

/// The share of events that one threshold calls positive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Threshold {
    /// The threshold.
    pub(crate) threshold: f64,
    /// Events beyond it.
    pub(crate) events: u64,
    /// Of all events with a target.
    pub(crate) percent: f64,
}

/// How often one value occurs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Level {
    /// The value.
    pub(crate) value: f32,
    /// Events with it.
    pub(crate) events: u64,
}

/// The distribution of a target over all events.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Distribution {
    /// Which target.
    pub(crate) target: Kind,
    /// Its summary.
    pub(crate) describe: Describe,
    /// Positive means above (`true`) or at least (`false`) the threshold.
    pub(crate) strictly_above: bool,
    /// Six thresholds.
    pub(crate) thresholds: Vec<Threshold>,
    /// Each value, where there are few.
    pub(crate) levels: Option<Vec<Level>>,
    /// In bins of one width.
    pub(crate) linear: Histogram,
    /// In bins of one ratio, for the tail.
    pub(crate) log: Histogram,
    /// Events whose target is exactly zero, which have no place in `log`.
    pub(crate) zeros: u64,
}

impl TargetTally {
    /// The distribution over all events.
    pub(crate) fn distribution(&self) -> Option<Distribution> {
        let describe = self.quantiles.describe()?;
        let (thresholds, strictly_above) = self.kind.thresholds();
        let percent = |events: u64| 100.0 * events as f64 / describe.count as f64;
        let thresholds = thresholds
            .into_iter()
            .zip(self.passing)
            .map(|(threshold, events)| Threshold { threshold, events, percent: percent(events) })
            .collect();
        let mut levels: Option<Vec<Level>> = self
            .levels
            .as_ref()
            .map(|levels| levels.values().map(|&(value, events)| Level { value, events }).collect());
        levels.iter_mut().for_each(|levels| levels.sort_by(|a, b| a.value.total_cmp(&b.value)));
        let mut log = self.log.clone();
        log.trim();
        Some(Distribution {
            target: self.kind,
            describe,
            strictly_above,
            thresholds,
            levels,
            linear: self.linear.clone(),
            log,
            zeros: self.zeros,
        })
    }
}
