//! One viewing as twelve numbers: when, how much of it, and what was done.

use std::f32::consts::TAU;

use upnext_data::{Action, Event};

use crate::cut::DAY_MS;

/// How many numbers a viewing has.
pub const WIDTH: usize = 12;

/// The names of the numbers, in their order.
pub const NAMES: [&str; WIDTH] = [
    "hour_sin",
    "hour_cos",
    "weekday_sin",
    "weekday_cos",
    "completion",
    "like",
    "comment",
    "follow",
    "collect",
    "forward",
    "effective_view",
    "hate",
];

/// Lengths below this many seconds count as this many, so that nothing is divided by zero.
const DURATION_SECONDS_MIN: f32 = 0.1;

/// What one user did with one video at one time: all events of that (user, video, time).
#[derive(Clone, Debug, PartialEq)]
pub struct Viewing {
    /// The user's row.
    pub user: u32,
    /// The video's row.
    pub video: u32,
    /// Milliseconds since 1970 (UTC); 0 where the set has no times.
    pub time: i64,
    /// Seconds watched, all watches together, where any is known.
    pub watch_seconds: Option<f32>,
    /// Watch time over length, as the log says it; of several watches the largest.
    pub ratio: Option<f32>,
    /// Whether each action occurs, in the order of [`Action::ALL`].
    pub actions: [bool; Action::ALL.len()],
}

/// Twelve numbers, and which of them stand for something unknown and hold 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interaction {
    /// In the order of [`NAMES`].
    pub values: [f32; WIDTH],
    /// Whether each is unknown: the first four without a time, the fifth without watch time or length.
    pub missing: [bool; WIDTH],
}

/// Joins the events of each (user, video, time) into a viewing, in the order of first events.
///
/// Events come sorted by user, then time, as a dataset keeps them; memory is that of the events of one moment.
pub fn viewings(events: impl IntoIterator<Item = Event>) -> Vec<Viewing> {
    let mut all: Vec<Viewing> = Vec::new();
    // Where the current moment of the current user begins.
    let mut moment = 0;
    for event in events {
        if all.get(moment).is_some_and(|first| (first.user, first.time) != (event.user, event.time)) {
            moment = all.len();
        }
        let known = all[moment..].iter().position(|viewing| viewing.video == event.video);
        let at = known.map_or(all.len(), |at| moment + at);
        if at == all.len() {
            let Event { user, video, time, .. } = event;
            all.push(Viewing { user, video, time, watch_seconds: None, ratio: None, actions: [false; 11] });
        }
        let viewing = &mut all[at];
        viewing.actions[event.action as usize] = true;
        if event.action == Action::Watch {
            if let Some(seconds) = event.value {
                viewing.watch_seconds = Some(viewing.watch_seconds.unwrap_or(0.0) + seconds);
            }
            if let Some(ratio) = event.ratio {
                viewing.ratio = Some(viewing.ratio.map_or(ratio, |known| known.max(ratio)));
            }
        }
    }
    all
}

impl Viewing {
    /// Whether an action occurs.
    pub fn has(&self, action: Action) -> bool {
        self.actions[action as usize]
    }

    /// The twelve numbers:
    ///
    /// - `sin` and `cos` of 2π hour / 24, the hour with its fraction, from 0 at local midnight;
    /// - `sin` and `cos` of 2π weekday / 7, a whole number: **Monday is 0**, Sunday 6;
    /// - completion: watch seconds / max(length in seconds, 0.1); the log's own ratio where one is not known;
    /// - like, comment, follow, collect, forward, effective view, hate: 1 where it occurs, else 0.
    ///
    /// `zone_minutes` is how far local time is ahead of UTC: 480 for Beijing.
    pub fn vector(&self, duration_seconds: Option<f32>, zone_minutes: i32) -> Interaction {
        let (mut values, mut missing) = ([0.0; WIDTH], [false; WIDTH]);
        if self.time == 0 {
            missing[..4].fill(true);
        } else {
            let local = self.time.saturating_add(i64::from(zone_minutes) * 60_000);
            let hour = local.rem_euclid(DAY_MS) as f32 / (DAY_MS / 24) as f32;
            // 1970-01-01 was a Thursday.
            let weekday = (local.div_euclid(DAY_MS) + 3).rem_euclid(7) as f32;
            let (of_day, of_week) = (TAU * hour / 24.0, TAU * weekday / 7.0);
            values[..4].copy_from_slice(&[of_day.sin(), of_day.cos(), of_week.sin(), of_week.cos()]);
        }
        let watched = self.watch_seconds.zip(duration_seconds);
        let completion = watched.map(|(seconds, length)| seconds / length.max(DURATION_SECONDS_MIN));
        match completion.or(self.ratio).filter(|completion| completion.is_finite()) {
            Some(completion) => values[4] = completion,
            None => missing[4] = true,
        }
        let acts = [
            Action::Like,
            Action::Comment,
            Action::Follow,
            Action::Collect,
            Action::Forward,
            Action::EffectiveView,
            Action::Hate,
        ];
        for (value, act) in values[5..].iter_mut().zip(acts) {
            *value = f32::from(u8::from(self.has(act)));
        }
        Interaction { values, missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(video: u32, action: Action, time: i64, value: Option<f32>) -> Event {
        Event { user: 0, video, action, time, value, ratio: None }
    }

    #[test]
    fn a_viewing_by_hand() {
        // 1970-01-05 06:00 UTC, a Monday; in Beijing it is 14:00.
        let time = 4 * DAY_MS + 6 * 3_600_000;
        let log = [
            event(7, Action::Watch, time, Some(15.0)),
            event(8, Action::Hate, time, None),
            event(7, Action::Like, time, None),
            event(7, Action::Watch, time + 1, Some(1.0)),
        ];
        let found = viewings(log);
        assert_eq!(found.iter().map(|v| v.video).collect::<Vec<_>>(), [7, 8, 7]);
        let at = |zone| found[0].vector(Some(10.0), zone).values;
        let near = |a: [f32; 12], b: [f32; 12]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(at(0), [1.0, 0.0, 0.0, 1.0, 1.5, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        let fourteen = TAU * 14.0 / 24.0;
        assert!((at(480)[0] - fourteen.sin()).abs() < 1e-6 && (at(480)[1] - fourteen.cos()).abs() < 1e-6);
        // Eighteen hours later it is Tuesday in UTC: day 1.
        let tuesday = Viewing { time: time + 18 * 3_600_000, ..found[0].clone() }.vector(None, 0);
        assert!((tuesday.values[2] - (TAU / 7.0).sin()).abs() < 1e-6);
        assert_eq!((tuesday.missing[4], tuesday.values[4]), (true, 0.0));
        assert_eq!(found[1].vector(None, 0).values[11], 1.0);
    }

    #[test]
    fn a_tiny_length_does_not_divide_by_zero_and_a_set_without_times_says_so() {
        let viewing = &viewings([event(1, Action::Watch, 0, Some(1.0))])[0];
        let vector = viewing.vector(Some(0.0), 0);
        assert!((vector.values[4] - 10.0).abs() < 1e-5);
        assert_eq!(vector.missing[..5], [true, true, true, true, false]);
        assert_eq!(vector.values[..4], [0.0; 4]);
    }
}
