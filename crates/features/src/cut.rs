//! The moment before which everything is known and after which nothing is.

/// Milliseconds in a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// A moment *t*: a feature at *t* is made of events before *t* and of days that ended by *t*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// *t* in milliseconds since 1970 (UTC); an event of exactly that time is not known yet.
    pub at: i64,
    /// Minutes that local time is ahead of UTC: 480 for Beijing. Daily statistics are of local days.
    pub zone_minutes: i32,
}

impl Cut {
    /// A moment, with days that begin at midnight UTC.
    pub fn at(at: i64) -> Self {
        Self { at, zone_minutes: 0 }
    }

    /// The same moment, with days of another zone.
    pub fn in_zone(self, zone_minutes: i32) -> Self {
        Self { zone_minutes, ..self }
    }

    /// Whether what happened at a time (milliseconds since 1970) is known.
    pub fn knows(&self, time: i64) -> bool {
        time < self.at
    }

    /// The first day, counted from 1970-01-01, that had not ended: statistics of the days before it are known.
    pub fn first_unknown_day(&self) -> i32 {
        let local = self.at.saturating_add(i64::from(self.zone_minutes) * 60_000);
        local.div_euclid(DAY_MS).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_counts_once_it_has_ended() {
        // 1970-01-03 00:00 UTC: days 0 and 1 are over; one millisecond earlier only day 0 is.
        assert_eq!(Cut::at(2 * DAY_MS).first_unknown_day(), 2);
        assert_eq!(Cut::at(2 * DAY_MS - 1).first_unknown_day(), 1);
        // In Beijing the second day ended eight hours before that.
        assert_eq!(Cut::at(2 * DAY_MS - 8 * 3_600_000).in_zone(480).first_unknown_day(), 2);
        // Across the sea it has four hours to go.
        assert_eq!(Cut::at(2 * DAY_MS).in_zone(-240).first_unknown_day(), 1);
        assert!(Cut::at(5).knows(4) && !Cut::at(5).knows(5));
        assert_eq!(Cut::at(i64::MAX).in_zone(480).first_unknown_day(), i32::MAX);
    }
}
