//! When and on what a request is made: hour, time of day, day of week, device.

use serde::{Deserialize, Serialize};

use crate::category::Vocabulary;

/// The wall clock of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// From 0 to 23.
    pub hour: u32,
    /// From 0, a Monday, to 6.
    pub weekday: u32,
}

/// Parts of the day, six hours each.
pub const TIMES_OF_DAY: [&str; 4] = ["night", "morning", "afternoon", "evening"];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MS_A_MINUTE: i64 = 60_000;
const MS_AN_HOUR: i64 = 60 * MS_A_MINUTE;
const MS_A_DAY: i64 = 24 * MS_AN_HOUR;

impl Clock {
    /// From a time (milliseconds since 1970, UTC) and the viewer's zone, in minutes east of UTC.
    pub fn at(time: i64, offset_minutes: i32) -> Self {
        let local = time.saturating_add(i64::from(offset_minutes) * MS_A_MINUTE);
        // The first of January 1970 was a Thursday, number 3 from Monday.
        let weekday = (local.div_euclid(MS_A_DAY) + 3).rem_euclid(7) as u32;
        Self { hour: (local.rem_euclid(MS_A_DAY) / MS_AN_HOUR) as u32, weekday }
    }

    /// Sine and cosine of the hour over 24, then of the weekday over 7: midnight lies beside 23 h.
    pub fn circle(self) -> [f32; 4] {
        let (hour_sin, hour_cos) = (std::f64::consts::TAU * f64::from(self.hour) / 24.0).sin_cos();
        let (day_sin, day_cos) = (std::f64::consts::TAU * f64::from(self.weekday) / 7.0).sin_cos();
        [hour_sin, hour_cos, day_sin, day_cos].map(|x| x as f32)
    }

    /// The part of the day, a place in [`TIMES_OF_DAY`]: night from 0 h, morning from 6 h, and so on.
    pub fn time_of_day(self) -> usize {
        (self.hour / 6) as usize
    }
}

/// Fitted context features: the devices that are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextEncoder {
    /// Devices by name, in lower case; see [`Vocabulary`] for how it is fitted and grows.
    pub devices: Vocabulary,
}

impl ContextEncoder {
    /// The names of the columns: circles, time of day, weekday, weekend, devices.
    pub fn columns(&self) -> Vec<String> {
        let circles = ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos"].map(String::from);
        let times = TIMES_OF_DAY.map(|name| format!("time_of_day={name}"));
        let days = WEEKDAYS.map(|name| format!("weekday={name}"));
        circles
            .into_iter()
            .chain(times)
            .chain(days)
            .chain(["weekend".into()])
            .chain(self.devices.columns("device"))
            .collect()
    }

    /// One request as a vector, as long as [`ContextEncoder::columns`]. Where the device is not known its columns
    /// are all 0; an unknown device is `other`.
    pub fn encode(&self, time: i64, offset_minutes: i32, device: Option<&str>) -> Vec<f32> {
        let clock = Clock::at(time, offset_minutes);
        let mut row = clock.circle().to_vec();
        row.extend((0..TIMES_OF_DAY.len()).map(|part| flag(part == clock.time_of_day())));
        row.extend((0..7).map(|day| flag(day == clock.weekday)));
        row.push(flag(clock.weekday >= 5));
        let device = device.filter(|device| !device.is_empty()).map(str::to_lowercase);
        self.devices.one_hot(device.as_deref(), &mut row);
        row
    }
}

fn flag(yes: bool) -> f32 {
    f32::from(u8::from(yes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainRows;

    /// Thursday, 1 January 1970, 6 h UTC.
    const SIX: i64 = 6 * MS_AN_HOUR;

    #[test]
    fn six_in_the_morning_by_hand() {
        let devices = [Some("phone"), Some("tv"), Some("phone")];
        let encoder = ContextEncoder { devices: Vocabulary::fit(&devices, &TrainRows::all(3), 1) };
        let row = encoder.encode(SIX, 0, Some("TV"));
        // The hour is a quarter of the circle; the weekday 3 of 7: sin(6 pi / 7) 0.433884, cos -0.900969.
        let circles = [1.0, 0.0, 0.433_884, -0.900_969];
        assert!(row.iter().zip(circles).all(|(a, b)| (a - b).abs() < 1e-6), "{row:?}");
        let rest = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(row[4..], rest);
        assert_eq!(encoder.columns().len(), row.len());
        assert_eq!(encoder.columns()[18], "device=tv");
        assert_eq!(encoder.encode(SIX, 0, Some("fridge"))[16..], [1.0, 0.0, 0.0]);
        assert_eq!(encoder.encode(SIX, 0, None)[16..], [0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_zone_moves_the_hour_and_the_day_also_before_1970() {
        assert_eq!(Clock::at(SIX, 8 * 60), Clock { hour: 14, weekday: 3 });
        assert_eq!(Clock::at(SIX, -7 * 60), Clock { hour: 23, weekday: 2 });
        assert_eq!(Clock::at(-1, 0), Clock { hour: 23, weekday: 2 });
        assert_eq!(Clock::at(SIX + 2 * MS_A_DAY, 330), Clock { hour: 11, weekday: 5 });
        assert_eq!(Clock::at(i64::MAX, i32::MAX).hour, Clock::at(i64::MAX, 0).hour);
    }
}
