//! When events happened: by day, week or month, and by the hours of a week.

use std::collections::BTreeMap;

use serde::Serialize;

const HOUR_MILLISECONDS: i64 = 3_600_000;
const DAY_MILLISECONDS: i64 = 24 * HOUR_MILLISECONDS;

/// Counts of events in time, all in UTC.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeTally {
    range: Option<(i64, i64)>,
    days: BTreeMap<i32, u64>,
    week: [[u64; 24]; 7],
    on_the_day: u64,
}

impl TimeTally {
    /// Takes one time in, as milliseconds since 1970.
    pub(crate) fn add(&mut self, time: i64) {
        self.range = Some(self.range.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
        let day = time.div_euclid(DAY_MILLISECONDS);
        *self.days.entry(day as i32).or_default() += 1;
        // 1970-01-01 was a Thursday; Monday is 0.
        let weekday = (day + 3).rem_euclid(7) as usize;
        self.week[weekday][time.rem_euclid(DAY_MILLISECONDS).div_euclid(HOUR_MILLISECONDS) as usize] += 1;
        self.on_the_day += u64::from(time.rem_euclid(DAY_MILLISECONDS) == 0);
    }

    /// The last time, as milliseconds since 1970.
    pub(crate) fn last(&self) -> Option<i64> {
        self.range.map(|(_, last)| last)
    }

    /// What was counted; `None` where no event has a time.
    pub(crate) fn coverage(&self) -> Option<Coverage> {
        let (first, last) = self.range?;
        let (first_day, last_day) = (*self.days.keys().next()?, *self.days.keys().next_back()?);
        let n_days = (last_day - first_day + 1) as usize;
        let unit = match n_days {
            ..=200 => Unit::Day,
            201..=1400 => Unit::Week,
            _ => Unit::Month,
        };
        let mut periods: Vec<Period> = Vec::new();
        for day in first_day..=last_day {
            let from = unit.start(day);
            let events = self.days.get(&day).copied().unwrap_or(0);
            match periods.last_mut() {
                Some(last) if last.from == from => last.events += events,
                _ => periods.push(Period { from, events }),
            }
        }
        let busiest = self.days.iter().max_by_key(|(day, n)| (**n, std::cmp::Reverse(**day)));
        let (busiest_day, busiest_events) = busiest.map(|(&day, &n)| (date(day), n))?;
        Some(Coverage {
            first: moment(first),
            last: moment(last),
            days: n_days,
            days_with_events: self.days.len(),
            busiest_day,
            busiest_events,
            unit,
            periods,
            week: self.week.iter().map(|hours| hours.to_vec()).collect(),
            days_only: self.on_the_day == self.days.values().sum::<u64>(),
        })
    }
}

/// What one bar of time stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// One day.
    Day,
    /// Seven days from a Monday on.
    Week,
    /// A month of the calendar.
    Month,
}

impl Unit {
    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    fn start(self, day: i32) -> String {
        match self {
            Self::Day => date(day),
            Self::Week => date(day - (day + 3).rem_euclid(7)),
            Self::Month => date(day)[..7].to_string(),
        }
    }
}

/// Events in one period.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Period {
    /// Its first day, `2020-07-05`, or its month, `2020-07`.
    pub(crate) from: String,
    /// How many.
    pub(crate) events: u64,
}

/// The time that a log covers, in UTC.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Coverage {
    /// The first event.
    pub(crate) first: String,
    /// The last event.
    pub(crate) last: String,
    /// From the first day to the last, both included.
    pub(crate) days: usize,
    /// Days on which something happened.
    pub(crate) days_with_events: usize,
    /// The day with the most events.
    pub(crate) busiest_day: String,
    /// How many those are.
    pub(crate) busiest_events: u64,
    /// What a period is.
    pub(crate) unit: Unit,
    /// Every period from first to last, empty ones included.
    pub(crate) periods: Vec<Period>,
    /// By day of the week, Monday first, and hour.
    pub(crate) week: Vec<Vec<u64>>,
    /// Every time is midnight: the log knows days, not hours.
    pub(crate) days_only: bool,
}

/// A day counted from 1970-01-01, as `2020-07-05`.
pub(crate) fn date(day: i32) -> String {
    jiff::Timestamp::from_millisecond(i64::from(day) * DAY_MILLISECONDS)
        .map_or_else(|_| format!("day {day}"), |at| at.strftime("%Y-%m-%d").to_string())
}

/// Milliseconds since 1970, as `2020-07-05 12:30`.
pub(crate) fn moment(time: i64) -> String {
    jiff::Timestamp::from_millisecond(time)
        .map_or_else(|_| format!("{time} ms"), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_events_fall_on_their_days_and_hours() {
        let mut tally = TimeTally::default();
        // 2024-02-28 is a Wednesday; 2024-03-01 a Friday.
        for time in [1_709_078_400_000, 1_709_078_400_000 + 5 * HOUR_MILLISECONDS, 1_709_251_200_000] {
            tally.add(time);
        }
        let coverage = tally.coverage().unwrap();
        assert_eq!((coverage.days, coverage.days_with_events, coverage.unit), (3, 2, Unit::Day));
        let periods: Vec<_> = coverage.periods.iter().map(|p| (p.from.as_str(), p.events)).collect();
        assert_eq!(periods, [("2024-02-28", 2), ("2024-02-29", 0), ("2024-03-01", 1)]);
        assert_eq!((coverage.week[2][0], coverage.week[2][5], coverage.week[4][0]), (1, 1, 1));
        assert_eq!(
            (coverage.busiest_day.as_str(), coverage.last.as_str()),
            ("2024-02-28", "2024-03-01 00:00")
        );
        assert!(!coverage.days_only);
        assert_eq!(TimeTally::default().coverage(), None);
    }

    #[test]
    fn a_long_log_is_told_in_months_and_time_before_1970_has_a_day() {
        let mut tally = TimeTally::default();
        tally.add(-1);
        tally.add(2000 * DAY_MILLISECONDS);
        let coverage = tally.coverage().unwrap();
        assert_eq!((coverage.unit, coverage.periods[0].from.as_str()), (Unit::Month, "1969-12"));
        assert_eq!(coverage.week[2][23], 1);
    }
}
