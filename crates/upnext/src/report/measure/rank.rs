//! Users and videos, one number each: how many events, how large a target, and who stands at the ends.

use serde::Serialize;
use upnext_data::Dataset;

use super::sketch::{Describe, Histogram, Moments};
use super::tally::Tally;
use super::{Section, VideoName, absent};

/// Events that a mean or a variance must rest on before it is put into a ranking.
pub(crate) const EVENTS_MIN: u64 = 10;

/// Length of each ranking.
const TOP: usize = 10;

/// Bins of each histogram.
const BINS: usize = 40;

/// One number for each user or video.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Its summary.
    pub(crate) describe: Describe,
    /// Its histogram.
    pub(crate) histogram: Histogram,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let describe = Describe::of(values.iter().copied())?;
        Some(Self { describe, histogram: Histogram::fitting(values, BINS) })
    }
}

/// A user with a spread target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Varied {
    /// The outside id.
    pub(crate) user: String,
    /// Events with a target.
    pub(crate) events: u64,
    /// Their mean.
    pub(crate) mean: f64,
    /// Their sample variance.
    pub(crate) variance: f64,
}

/// Users with an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Users {
    /// Events of each.
    pub(crate) events: Option<Describe>,
    /// Their histogram.
    pub(crate) histogram: Option<Histogram>,
    /// The mean target of each.
    pub(crate) target: Section<Spread>,
    /// Those whose target varies most.
    pub(crate) most_varied: Section<Vec<Varied>>,
}

/// A video in a ranking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Ranked {
    /// Which.
    pub(crate) video: VideoName,
    /// Its events.
    pub(crate) events: u64,
    /// Different users among them.
    pub(crate) users: u64,
    /// Mean target; `None` where no event of it has one.
    pub(crate) target: Option<f64>,
}

/// Videos with an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Videos {
    /// Events of each.
    pub(crate) events: Option<Describe>,
    /// Their histogram.
    pub(crate) histogram: Option<Histogram>,
    /// Share of all events on the most watched hundredth and tenth of these videos, in percent.
    pub(crate) share_of_top: Vec<TopShare>,
    /// Videos of the catalogue without any event.
    pub(crate) zero_events: usize,
    /// Those with the most events.
    pub(crate) most: Vec<Ranked>,
    /// The mean target of each.
    pub(crate) target: Section<Spread>,
    /// The largest mean targets.
    pub(crate) best: Section<Vec<Ranked>>,
    /// The smallest mean targets.
    pub(crate) worst: Section<Vec<Ranked>>,
}

/// How much of a log lies on its most watched videos.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TopShare {
    /// Of the videos, most watched first.
    pub(crate) top_percent: u32,
    /// How many those are.
    pub(crate) videos: usize,
    /// Their share of all events.
    pub(crate) percent: f64,
}

fn counts(of: &[u32]) -> Vec<f64> {
    of.iter().filter(|&&n| n > 0).map(|&n| f64::from(n)).collect()
}

fn histogram(values: &[f64]) -> Option<Histogram> {
    (!values.is_empty()).then(|| Histogram::fitting(values, BINS))
}

const NO_TARGET: &str = "no event has a watch ratio, a rating or seconds watched";

fn means(of: Option<&[Moments]>) -> Section<Spread> {
    let Some(of) = of else { return absent(NO_TARGET) };
    let means: Vec<f64> = of.iter().filter(|moments| moments.count > 0).map(|moments| moments.mean).collect();
    Section::or(Spread::of(&means), NO_TARGET)
}

/// Users with an event.
pub(crate) fn users(set: &Dataset, tally: &Tally) -> Users {
    let events = counts(&tally.of_user);
    let of = tally.targets.chosen().map(|target| &target.users[..]);
    let mut varied: Vec<Varied> = (0..)
        .zip(of.into_iter().flatten())
        .filter(|(_, moments)| moments.count >= EVENTS_MIN)
        .filter_map(|(user, moments)| {
            let variance = moments.variance()?;
            let user = set.users.name(user).to_string();
            Some(Varied { user, events: moments.count, mean: moments.mean, variance })
        })
        .collect();
    varied.sort_by(|a, b| b.variance.total_cmp(&a.variance));
    varied.truncate(TOP);
    Users {
        events: Describe::of(events.iter().copied()),
        histogram: histogram(&events),
        target: means(of),
        most_varied: match (of, varied.is_empty()) {
            (None, _) => absent(NO_TARGET),
            (_, true) => absent(format!("no user has {EVENTS_MIN} events with a target")),
            _ => Section::There(varied),
        },
    }
}

/// Videos with an event.
pub(crate) fn videos(set: &Dataset, tally: &Tally) -> Videos {
    let events = counts(&tally.of_video);
    let of = tally.targets.chosen().map(|target| &target.videos[..]);
    let ranked = |video: u32| Ranked {
        video: VideoName::of(set, video),
        events: u64::from(tally.of_video[video as usize]),
        users: u64::from(tally.users_of_video[video as usize]),
        target: of
            .map(|of| of[video as usize])
            .filter(|moments| moments.count > 0)
            .map(|moments| moments.mean),
    };
    let mut by_events: Vec<u32> =
        (0..set.videos.len() as u32).filter(|&video| tally.of_video[video as usize] > 0).collect();
    by_events.sort_by_key(|&video| std::cmp::Reverse(tally.of_video[video as usize]));
    let share_of_top = [1, 10].map(|top_percent| {
        let videos = (by_events.len() * top_percent as usize).div_ceil(100);
        let on_top: u64 = by_events[..videos].iter().map(|&v| u64::from(tally.of_video[v as usize])).sum();
        TopShare { top_percent, videos, percent: 100.0 * on_top as f64 / tally.events.max(1) as f64 }
    });
    let mut by_target: Vec<(f64, u32)> = (0..)
        .zip(of.into_iter().flatten())
        .filter(|(_, moments)| moments.count >= EVENTS_MIN)
        .map(|(video, moments)| (moments.mean, video))
        .collect();
    by_target.sort_by(|a, b| b.0.total_cmp(&a.0));
    let ends = |videos: Vec<u32>| match (of, videos.is_empty()) {
        (None, _) => absent(NO_TARGET),
        (_, true) => absent(format!("no video has {EVENTS_MIN} events with a target")),
        _ => Section::There(videos.into_iter().map(ranked).collect()),
    };
    Videos {
        events: Describe::of(events.iter().copied()),
        histogram: histogram(&events),
        share_of_top: share_of_top.to_vec(),
        zero_events: set.videos.len() - by_events.len(),
        most: by_events.iter().take(TOP).map(|&video| ranked(video)).collect(),
        target: means(of),
        best: ends(by_target.iter().take(TOP).map(|&(_, video)| video).collect()),
        worst: ends(by_target.iter().rev().take(TOP).map(|&(_, video)| video).collect()),
    }
}
