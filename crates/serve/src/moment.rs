//! Times as clients write them: RFC 3339, dates, seconds or milliseconds since 1970.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Milliseconds since 1970, or `None` for an empty text, `null`, or the zero time of Go's clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Option<i64>);

/// What Go writes for a time that was never set.
const ZERO: &str = "0001-01-01T00:00:00Z";
/// Numbers up to this are seconds: as milliseconds they would end in 1973.
const SECONDS_MAX: f64 = 1e11;
const EXPECTED: &str = "a time: 2026-01-31T12:00:00Z, 2026-01-31, or seconds or milliseconds since 1970";

/// Milliseconds since 1970, from text.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return from_number(number);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let civil = |text: &str| {
        let time: DateTime = text.parse().ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
    };
    civil(text)
        .or_else(|| civil(&text.replace('/', "-")))
        .or_else(|| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond()))
}

/// As Gorse's clients read it; the zero time where there is none.
pub(crate) fn written(milliseconds: Option<i64>) -> String {
    let time = milliseconds.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| ZERO.to_owned(), |time| time.to_string())
}

/// A duration as Gorse writes it: `10m`, `1h30m`, `500ms`; milliseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let duration: SignedDuration = text.parse().ok()?;
    i64::try_from(duration.as_millis()).ok()
}

fn from_number(number: f64) -> Option<i64> {
    let milliseconds = if number.abs() <= SECONDS_MAX { number * 1_000.0 } else { number };
    if !milliseconds.is_finite() {
        return None;
    }
    Timestamp::from_millisecond(milliseconds as i64).ok().map(Timestamp::as_millisecond)
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Moment;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Moment, E> {
                if text.trim().is_empty() || text == ZERO {
                    return Ok(Moment(None));
                }
                let time = parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?;
                Ok(Moment(Some(time)))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Moment, E> {
                let time =
                    from_number(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))?;
                Ok(Moment(Some(time)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Moment, E> {
                self.visit_f64(number as f64)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Moment, E> {
                self.visit_f64(number as f64)
            }

            fn visit_unit<E: Error>(self) -> Result<Moment, E> {
                Ok(Moment(None))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_people_write_it() {
        let expected = Some(1_668_952_527_000);
        for text in [
            "2022-11-20T13:55:27Z",
            "2022-11-20T14:55:27+01:00",
            "2022-11-20 13:55:27",
            "2022/11/20 13:55:27",
            "1668952527",
            "1668952527000",
            "Sun, 20 Nov 2022 13:55:27 GMT",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("2022-11-20"), Some(1_668_902_400_000));
        for text in ["", "soon", "99999999999999999999", "NaN", "2022-13-01"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(written(expected), "2022-11-20T13:55:27Z");
    }

    #[test]
    fn no_time_has_many_spellings() {
        for json in ["null", "\"\"", "\"0001-01-01T00:00:00Z\""] {
            assert_eq!(serde_json::from_str::<Moment>(json).unwrap(), Moment(None));
        }
        assert_eq!(serde_json::from_str::<Moment>("1668952527000").unwrap(), Moment(Some(1_668_952_527_000)));
        assert_eq!(serde_json::from_str::<Moment>("-1").unwrap(), Moment(Some(-1_000)));
        let error = serde_json::from_str::<Moment>("\"soon\"").unwrap_err().to_string();
        assert!(error.contains("2026-01-31T12:00:00Z"), "{error}");
        assert_eq!(written(None), ZERO);
    }

    #[test]
    fn a_delay_is_read_as_gorse_writes_it() {
        assert_eq!(duration("10m"), Some(600_000));
        assert_eq!(duration("1h30m"), Some(5_400_000));
        assert_eq!(duration("500ms"), Some(500));
        assert_eq!(duration("soon"), None);
    }
}
