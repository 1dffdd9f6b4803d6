//! Whether a video is rising: the change of its daily plays.

use upnext_data::Daily;

use crate::statistics::known_days;
use crate::{Cut, Table};

/// How many days back a trend looks, where nothing else is said.
pub const WINDOW_DAYS: u32 = 7;

/// `(videos, 2)`: the change of a daily measure, `play_cnt` for example, over the last `window_days` that ended
/// before the cut.
///
/// - `change`: the slope of the least-squares line through the window's days, in units of the measure a day.
/// - `relative_change`: the slope over (mean of the window + 1), a share a day: 0.1 is ten percent a day.
///
/// A day without a row is not known and does not count as 0. With fewer than two known days both are missing, and
/// hold 0.
pub fn trending(daily: &Daily, measure: &str, n_videos: usize, window_days: u32, cut: Cut) -> Table {
    let names = ["change", "relative_change"].map(|name| format!("{measure}_{name}")).to_vec();
    let rows = (0..n_videos as u32).flat_map(|video| {
        let (slope, mean) = line(daily, measure, video, window_days, cut).unwrap_or((f32::NAN, f32::NAN));
        [slope, slope / (mean + 1.0)]
    });
    Table::from_values(names, n_videos, rows.collect(), 0.0)
}

/// The slope a day and the mean of a measure over the window, where at least two days are known.
pub(crate) fn line(
    daily: &Daily,
    measure: &str,
    video: u32,
    window_days: u32,
    cut: Cut,
) -> Option<(f32, f32)> {
    let end = cut.first_unknown_day();
    let rows = known_days(daily, video, cut);
    let values = &daily.measure(measure)?[rows.clone()];
    let points: Vec<(f64, f64)> = daily.days()[rows]
        .iter()
        .zip(values)
        .filter(|&(&day, value)| {
            i64::from(end) - i64::from(day) <= i64::from(window_days) && value.is_finite()
        })
        .map(|(&day, &value)| (f64::from(day) - f64::from(end), f64::from(value)))
        .collect();
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (day, value) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - day).powi(2)).sum();
    let together: f64 = points.iter().map(|p| (p.0 - day) * (p.1 - value)).sum();
    // Two rows of one day have no slope.
    (points.len() > 1 && spread > 0.0).then(|| ((together / spread) as f32, value as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::DAY_MS;

    #[test]
    fn a_video_that_gains_ten_plays_a_day_trends() {
        let plays = vec![900.0, 10.0, 20.0, 30.0, 5.0, 5.0, 7.0];
        let daily = Daily::new(
            vec![0, 0, 0, 0, 1, 1, 2],
            vec![1, 10, 11, 12, 11, 12, 12],
            vec![("play_cnt".into(), plays)],
        );
        let table = trending(&daily, "play_cnt", 4, 7, Cut::at(13 * DAY_MS));
        assert_eq!(table.names, ["play_cnt_change", "play_cnt_relative_change"]);
        // Day 1 is beyond the window. Slope 10 a day, mean 20.
        assert!((table.matrix.row(0)[0] - 10.0).abs() < 1e-5);
        assert!((table.matrix.row(0)[1] - 10.0 / 21.0).abs() < 1e-6);
        assert_eq!(table.matrix.row(1), [0.0, 0.0]);
        assert_eq!(table.missing, [false, false, false, false, true, true, true, true]);
        // What lies on day 12 is unknown until it has ended.
        let earlier = trending(&daily, "play_cnt", 4, 7, Cut::at(13 * DAY_MS - 1));
        assert_eq!(earlier.missing_of(1), [true, true]);
    }

    #[test]
    fn a_measure_that_the_set_lacks_is_missing() {
        let daily = Daily::new(vec![0, 0], vec![1, 2], vec![("like_cnt".into(), vec![1.0, 2.0])]);
        let table = trending(&daily, "play_cnt", 1, 7, Cut::at(9 * DAY_MS));
        assert_eq!(table.missing, [true, true]);
    }
}
