//! Times as people write them, to milliseconds since 1970 (UTC).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A number as a time: `20200705` is a date, then seconds, milliseconds, microseconds or nanoseconds since 1970
/// by size. Seconds below 10^11 reach beyond the year 5000, so the sizes do not overlap for times after 1973.
#[inline]
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
    // (`round` is a call into the C library.)
    let whole = milliseconds as i64;
    let rest = milliseconds - whole as f64;
    whole.saturating_add(i64::from(rest >= 0.5) - i64::from(rest <= -0.5))
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

/// Times with an offset, as logs and mails write them.
const WITH_OFFSET: &[&str] = &[
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a %b %d %H:%M:%S %z %Y",
];
/// Times without one.
const CIVIL: &[&str] = &[
    "%a, %d %b %Y %H:%M:%S",
    "%a %b %d %H:%M:%S %Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d %b %Y %H:%M:%S",
    "%b %d, %Y %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y.%m.%d %H:%M:%S",
];
/// Dates. Where day and month cannot be told apart, the month comes first, as Gorse reads it.
const DATES: &[&str] =
    &["%m/%d/%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y.%m.%d", "%d.%m.%Y"];

/// ISO 8601 in its usual shapes, and what else people write; without a zone it is UTC.
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
    match dashed.parse::<Date>() {
        Ok(date) => milliseconds(date.at(0, 0, 0, 0)),
        Err(_) => from_words(text),
    }
}

fn from_words(text: &str) -> Option<i64> {
    // Beyond this no date is that long, and nothing is tried.
    const BYTES_MAX: usize = 64;
    if text.len() > BYTES_MAX {
        return None;
    }
    let ends = [" UTC", " GMT", " Z"];
    // Go writes a zone's name behind its offset.
    let text = match text.rsplit_once(' ') {
        Some((rest, zone)) if zone.len() <= 5 && zone.chars().all(|c| c.is_ascii_uppercase()) => {
            let has_offset =
                rest.rsplit_once(' ').is_some_and(|(_, o)| o.len() == 5 && o.starts_with(['+', '-']));
            if has_offset { rest } else { text }
        }
        _ => text,
    };
    let bare = ends.iter().find_map(|end| text.strip_suffix(end)).unwrap_or(text);
    let parse = |format: &&str| jiff::fmt::strtime::parse(format, bare).ok();
    let offset = WITH_OFFSET.iter().find_map(|format| parse(format)?.to_timestamp().ok());
    if let Some(time) = offset {
        return Some(time.as_millisecond());
    }
    if let Some(civil) = CIVIL.iter().find_map(|format| parse(format)?.to_datetime().ok()) {
        return milliseconds(civil);
    }
    milliseconds(DATES.iter().find_map(|format| parse(format)?.to_date().ok())?.at(0, 0, 0, 0))
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
        for text in [
            "2020-07-05 02:00:00 +0200 CEST",
            "2020-07-05 00:00:00 +0000 UTC",
            "Sun, 05 Jul 2020 00:00:00 GMT",
            "Sun, 05 Jul 2020 02:00:00 +0200",
            "05/Jul/2020:00:00:00 +0000",
            "7/5/2020",
            "07/05/2020 00:00:00",
            "Jul 5, 2020",
            "5 July 2020",
            "05.07.2020",
        ] {
            assert_eq!(from_text(text), Some(midnight), "{text}");
        }
        assert_eq!(from_text("2020-07-05T02:00:00+02:00"), Some(midnight));
        assert_eq!(from_text("2020-07-05 00:00:00.25"), Some(midnight + 250));
        assert_eq!(from_text("yesterday"), None);
    }
}
