//! How a video holds its audience: rates over shows and plays, from daily statistics or from a log.

use std::ops::{Add, Div};

use upnext_data::{Action, Catalogue, Daily, Event};

use crate::statistics::Means;
use crate::{Cut, Table};

/// The columns of [`from_daily`] and [`from_events`].
pub const NAMES: [&str; 5] =
    ["engagement_rate", "completion_rate", "like_rate", "average_watch_ratio", "replay_factor"];

/// An `f32` of a feature or an `f64` of a report, each divided in its own precision.
pub trait Number: From<u8> + Add<Output = Self> + Div<Output = Self> {}

impl Number for f32 {}
impl Number for f64 {}

fn rate<F: Number>(part: F, whole: F) -> F {
    part / (whole + F::from(1))
}

/// Plays over shows: `plays / (shows + 1)`.
pub fn engagement_rate<F: Number>(plays: F, shows: F) -> F {
    rate(plays, shows)
}

/// Plays to the end over plays: `completes / (plays + 1)`.
pub fn completion_rate<F: Number>(completes: F, plays: F) -> F {
    rate(completes, plays)
}

/// Likes over plays: `likes / (plays + 1)`.
pub fn like_rate<F: Number>(likes: F, plays: F) -> F {
    rate(likes, plays)
}

/// What was watched beyond the end, in lengths of the video: `max(watch_ratio - 1, 0)`; NaN stays NaN.
pub fn replay_factor(watch_ratio: f32) -> f32 {
    // Not `max`, which would turn NaN into 0.
    if watch_ratio < 1.0 { 0.0 } else { watch_ratio - 1.0 }
}

/// `(videos, 5)` from daily statistics, averaged for each video over the days before the cut; then the rates.
///
/// Reads `play_cnt`, `show_cnt`, `complete_play_cnt`, `like_cnt`, and for the average watch ratio
/// `play_duration / (play_cnt * video's length)` (milliseconds), or where that is not known `play_progress`
/// (a share). A video without what a rate needs is missing there, and holds 0.
pub fn from_daily(daily: &Daily, videos: &Catalogue, cut: Cut) -> Table {
    let rows = (0..videos.len() as u32).map(|video| {
        let means = Means::new(daily, video, cut);
        let plays = means.of("play_cnt");
        let length_ms = videos.video(video).duration_seconds.map_or(f32::NAN, |seconds| seconds * 1_000.0);
        let ratio = match means.of("play_duration") / (plays * length_ms) {
            ratio if ratio.is_finite() => ratio,
            _ => means.of("play_progress"),
        };
        [
            engagement_rate(plays, means.of("show_cnt")),
            completion_rate(means.of("complete_play_cnt"), plays),
            like_rate(means.of("like_cnt"), plays),
            ratio,
            replay_factor(ratio),
        ]
    });
    table(videos.len(), rows.flatten().collect())
}

/// `(videos, 5)` from the events of a log before the cut.
///
/// A play is a watch, a show an impression, complete a watch of ratio 1 or more; the average watch ratio and the
/// replay factor are means over the watches whose ratio is known. Missing, and 0: the engagement rate where the
/// log has no impressions, the completion rate where no ratio is known, everything of a video without an event.
pub fn from_events(events: impl IntoIterator<Item = Event>, n_videos: usize, cut: Cut) -> Table {
    #[derive(Clone, Default)]
    struct Counts {
        plays: u32,
        shows: u32,
        completes: u32,
        likes: u32,
        any: bool,
        n_ratios: u32,
        ratios: f64,
        replays: f64,
    }
    let mut counts = vec![Counts::default(); n_videos];
    for event in events.into_iter().filter(|event| cut.knows(event.time)) {
        let Some(of_video) = counts.get_mut(event.video as usize) else { continue };
        of_video.any = true;
        match event.action {
            Action::Watch => {
                of_video.plays += 1;
                if let Some(ratio) = event.ratio {
                    of_video.n_ratios += 1;
                    of_video.completes += u32::from(ratio >= 1.0);
                    of_video.ratios += f64::from(ratio);
                    of_video.replays += f64::from(replay_factor(ratio));
                }
            }
            Action::Impression => of_video.shows += 1,
            Action::Like => of_video.likes += 1,
            _ => {}
        }
    }
    let shows_are_logged = counts.iter().any(|of_video| of_video.shows > 0);
    let known = |known: bool, value: f32| if known { value } else { f32::NAN };
    let rows = counts.iter().map(|of| {
        let (plays, n) = (of.plays as f32, f64::from(of.n_ratios));
        [
            known(of.any && shows_are_logged, engagement_rate(plays, of.shows as f32)),
            known(of.n_ratios > 0, completion_rate(of.completes as f32, of.n_ratios as f32)),
            known(of.any, like_rate(of.likes as f32, plays)),
            (of.ratios / n) as f32,
            (of.replays / n) as f32,
        ]
    });
    table(n_videos, rows.flatten().collect())
}

fn table(n_videos: usize, values: Vec<f32>) -> Table {
    Table::from_values(NAMES.map(String::from).to_vec(), n_videos, values, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::DAY_MS;

    #[test]
    fn rates_of_daily_statistics() {
        let mut videos = Catalogue::new();
        let row = videos.intern("v");
        videos.video_mut(row).duration_seconds = Some(10.0);
        let columns = [
            ("show_cnt", [100.0, 98.0]),
            ("play_cnt", [30.0, 10.0]),
            ("complete_play_cnt", [10.0, 4.0]),
            ("like_cnt", [3.0, 1.0]),
            ("play_duration", [400_000.0, 200_000.0]),
        ];
        let measures = columns.map(|(name, values)| (name.to_string(), values.to_vec())).to_vec();
        let daily = Daily::new(vec![0, 0], vec![1, 2], measures);
        let table = from_daily(&daily, &videos, Cut::at(3 * DAY_MS));
        // A day had 20 plays of 99 shows, 7 to the end, 2 likes, 300 s of 20 x 10 s.
        assert_eq!(table.matrix.row(0), [20.0 / 100.0, 7.0 / 21.0, 2.0 / 21.0, 1.5, 0.5]);
        // A day earlier only the first day is known.
        let table = from_daily(&daily, &videos, Cut::at(2 * DAY_MS));
        assert_eq!(table.get(0, "like_rate"), Some(3.0 / 31.0));
        // Before any day nothing is.
        let table = from_daily(&daily, &videos, Cut::at(DAY_MS));
        assert_eq!(table.missing_of(0), [true; 5]);
    }

    #[test]
    fn rates_of_a_log() {
        let event = |action, time, ratio| Event { user: 0, video: 0, action, time, value: None, ratio };
        let log = [
            event(Action::Impression, 1, None),
            event(Action::Impression, 1, None),
            event(Action::Impression, 1, None),
            event(Action::Watch, 2, Some(0.5)),
            event(Action::Watch, 3, Some(2.0)),
            event(Action::Like, 4, None),
            event(Action::Watch, 5, Some(9.0)),
        ];
        let table = from_events(log, 2, Cut::at(5));
        assert_eq!(table.matrix.row(0), [2.0 / 4.0, 1.0 / 3.0, 1.0 / 3.0, 1.25, 0.5]);
        assert_eq!(table.missing_of(1), [true; 5]);
        // Without impressions nobody knows how often it was shown.
        assert_eq!(from_events([log[3]], 1, Cut::at(5)).get(0, "engagement_rate"), None);
    }

    #[test]
    fn only_what_was_watched_twice_is_a_replay() {
        assert_eq!([0.3, 1.0, 2.5].map(replay_factor), [0.0, 0.0, 1.5]);
        assert!(replay_factor(f32::NAN).is_nan());
    }
}
