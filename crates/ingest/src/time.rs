//! Times as people write them, to milliseconds since 1970 (UTC).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A number as a time: `20200705` is a date, then seconds, milliseconds, microseconds or nanoseconds since 1970
/// by size. Seconds below 10^11 reach beyond the year 5000, so the sizes do not overlap for times after 1973.
pub(crate) fn from_number(number: f64) -> i64 {
    if let Some(date) = as_date(number) {
        return date;
    }
    let milliseconds = match number.abs() {
        size if size < 1e11 => number * 1e3,
        size if size < 1e14 => number,
        size if size < 1e17 => number / 1e3,
        _ => number / 1e6,
    };
    // Rounded, so that 1593898068.264 keeps its 264 milliseconds; the cast saturates.
    milliseconds.round() as i64
}

/// `YYYYMMDD` between 1980 and 2100. As seconds these numbers would all lie in August 1970.
fn as_date(number: f64) -> Option<i64> {
    if !(19_800_101.0..=21_001_231.0).contains(&number) || number.fract() != 0.0 {
        return None;
    }
    let number = number as i32;
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    milliseconds(Date::new(year as i16, month as i8, day as i8).ok()?.at(0, 0, 0, 0))
}

fn milliseconds(civil: DateTime) -> Option<i64> {
    Some(TimeZone::UTC.to_timestamp(civil).ok()?.as_millisecond())
}

/// ISO 8601 in its usual shapes; without a zone it is UTC.
pub(crate) fn from_text(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let dashed = text.replace('/', "-");
    let civil = dashed.trim_end_matches(" UTC");
    if let Ok(civil) = civil.parse::<DateTime>() {
        return milliseconds(civil);
    }
    milliseconds(dashed.parse::<Date>().ok()?.at(0, 0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart_by_size() {
        let at = 1_593_898_068_264;
        assert_eq!(from_number(1_593_898_068.264), at);
        assert_eq!(from_number(1_593_898_068_264.0), at);
        assert_eq!(from_number(1_593_898_068_264_000.0), at);
        assert_eq!(from_number(5.0), 5_000);
        assert_eq!(from_number(-5.0), -5_000);
        assert_eq!(from_number(1e300), i64::MAX);
    }

    #[test]
    fn dates_and_iso_times_are_read_as_utc() {
        let midnight = 1_593_907_200_000;
        assert_eq!(from_number(20_200_705.0), midnight);
        for text in [
            "2020-07-05",
            "2020/07/05",
            "2020-07-05T00:00:00Z",
            "2020-07-05 00:00:00",
            "2020-07-05 00:00:00 UTC",
        ] {
            assert_eq!(from_text(text), Some(midnight), "{text}");
        }
        assert_eq!(from_text("2020-07-05T02:00:00+02:00"), Some(midnight));
        assert_eq!(from_text("2020-07-05 00:00:00.25"), Some(midnight + 250));
        assert_eq!(from_text("yesterday"), None);
    }
}
