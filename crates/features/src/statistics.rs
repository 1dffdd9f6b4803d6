//! A platform's daily statistics, averaged for each video over the days before a cut.

use std::collections::BTreeSet;
use std::ops::Range;

use upnext_data::Daily;

use crate::{Cut, Table};

/// The mean of each measure over the days of a video that ended before the cut: `(videos, measures)`, in the
/// measure's own unit a day. A day without a value does not count; a video without a counted day is missing, and
/// holds 0.
pub fn daily_means(daily: &Daily, n_videos: usize, cut: Cut) -> Table {
    let names: Vec<String> = daily.measures().iter().map(|(name, _)| name.clone()).collect();
    let mut values = Vec::with_capacity(n_videos * names.len());
    for video in 0..n_videos as u32 {
        let days = known_days(daily, video, cut);
        values.extend(daily.measures().iter().map(|(_, of_days)| mean(&of_days[days.clone()]) as f32));
    }
    Table::from_values(names, n_videos, values, 0.0)
}

/// The days, each once, whose statistics any feature at a cut reads.
pub fn days_read(daily: &Daily, n_videos: usize, cut: Cut) -> BTreeSet<i32> {
    let of_video = |video| daily.days()[known_days(daily, video, cut)].iter().copied();
    (0..n_videos as u32).flat_map(of_video).collect()
}

/// The mean of one measure, NaN where nothing is known, in the precision of its sum.
pub fn daily_mean(daily: &Daily, measure: &str, video: u32, cut: Cut) -> f64 {
    daily.measure(measure).map_or(f64::NAN, |values| mean(&values[known_days(daily, video, cut)]))
}

/// The means of a few measures, by name, NaN where nothing is known: what ratios are made of.
pub(crate) struct Means<'a> {
    daily: &'a Daily,
    days: Range<usize>,
}

impl<'a> Means<'a> {
    pub(crate) fn new(daily: &'a Daily, video: u32, cut: Cut) -> Self {
        Self { daily, days: known_days(daily, video, cut) }
    }

    /// The mean of a measure, or NaN.
    pub(crate) fn of(&self, name: &str) -> f32 {
        self.daily.measure(name).map_or(f32::NAN, |values| mean(&values[self.days.clone()]) as f32)
    }
}

/// The rows of a video whose day ended before the cut.
pub(crate) fn known_days(daily: &Daily, video: u32, cut: Cut) -> Range<usize> {
    let rows = daily.of(video);
    let end = daily.days()[rows.clone()].partition_point(|&day| day < cut.first_unknown_day());
    rows.start..rows.start + end
}

/// The mean of what is known, or NaN.
fn mean(values: &[f32]) -> f64 {
    let (sum, n) = values
        .iter()
        .filter(|value| value.is_finite())
        .fold((0.0f64, 0u32), |(sum, n), &value| (sum + f64::from(value), n + 1));
    if n == 0 { f64::NAN } else { sum / f64::from(n) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::DAY_MS;

    #[test]
    fn days_before_the_cut_are_averaged_and_later_ones_are_not() {
        let plays = vec![10.0, 30.0, 1_000.0, f32::NAN];
        let daily = Daily::new(vec![0, 0, 0, 1], vec![5, 6, 7, 5], vec![("play_cnt".into(), plays)]);
        // At noon of day 7: days 5 and 6 are over.
        let table = daily_means(&daily, 3, Cut::at(7 * DAY_MS + DAY_MS / 2));
        assert_eq!(table.names, ["play_cnt"]);
        assert_eq!(table.matrix.values(), [20.0, 0.0, 0.0]);
        assert_eq!(table.missing, [false, true, true]);
        assert_eq!(days_read(&daily, 3, Cut::at(7 * DAY_MS + DAY_MS / 2)), BTreeSet::from([5, 6]));
    }
}
