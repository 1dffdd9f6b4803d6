//! A user as a named vector: who the user is, from `users.attributes` and labels, and how active before a time.

use serde::{Deserialize, Serialize};
use upnext_data::{Column, Event, Events, Users};

use crate::category::Vocabulary;
use crate::scale::signed_ln_1p;
use crate::{Table, TrainRows};

/// Names under which logs keep one fact; the first that is there counts.
const AGE: &[&str] = &["age", "user_age", "age_range", "birth_age"];
const TIME_ZONE: &[&str] = &["time_zone", "timezone", "tz", "utc_offset"];
const LANGUAGE: &[&str] = &["language", "lang", "locale"];
const GENDER: &[&str] = &["gender", "sex"];
const DEVICE: &[&str] = &["device", "device_type", "phone_brand", "platform", "os"];
const DEGREE: &[&str] = &["user_active_degree", "active_degree"];
const REGISTER_DAYS: &[&str] = &["register_days", "account_age_days", "days_since_registration"];
const FANS: &[&str] = &["fans_user_num", "fans", "followers", "follower_count"];
const FOLLOWS: &[&str] = &["follow_user_num", "follows", "following", "following_count"];
const FRIENDS: &[&str] = &["friend_user_num", "friends", "friend_count"];

/// Categories with a vocabulary, by the names of their columns.
const CATEGORIES: [(&str, &[&str]); 5] = [
    ("time_zone", TIME_ZONE),
    ("language", LANGUAGE),
    ("gender", GENDER),
    ("device", DEVICE),
    ("active_degree", DEGREE),
];

/// Lowest age of each bucket in years, as MovieLens and most panels have them.
const AGES: [(f32, &str); 7] = [
    (0.0, "under_18"),
    (18.0, "18_24"),
    (25.0, "25_34"),
    (35.0, "35_44"),
    (45.0, "45_54"),
    (55.0, "55_64"),
    (65.0, "65_up"),
];

/// Fewest days since registration of each bucket: KuaiRec's ranges, and those below them.
const REGISTERED: [(f32, &str); 8] = [
    (0.0, "under_15"),
    (15.0, "15_30"),
    (31.0, "31_60"),
    (61.0, "61_90"),
    (91.0, "91_180"),
    (181.0, "181_365"),
    (366.0, "366_730"),
    (731.0, "731_up"),
];

const COUNTS: [(&str, &[&str]); 4] = [
    ("register_days_log", REGISTER_DAYS),
    ("fans_log", FANS),
    ("follows_log", FOLLOWS),
    ("friends_log", FRIENDS),
];

const ACTIVITY: [&str; 4] = ["events_log", "events_7_days_log", "active_days_log", "days_since_last_log"];

const MS_A_DAY: i64 = 86_400_000;

/// The vocabularies of users' categories, fitted on train users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEncoder {
    /// In the order time zone, language, gender, device, degree of activity; they may grow.
    pub vocabularies: [Vocabulary; 5],
}

impl UserEncoder {
    /// Fits on train users; a value of fewer than `count_min` of them is `other`.
    ///
    /// # Panics
    /// If a train row is not a user.
    pub fn fit(users: &Users, train: &TrainRows, count_min: usize) -> Self {
        let vocabularies = CATEGORIES.map(|(kind, names)| {
            let values: Vec<Option<String>> =
                (0..users.len() as u32).map(|user| category(users, user, kind, names)).collect();
            let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
            Vocabulary::fit(&values, train, count_min)
        });
        Self { vocabularies }
    }

    /// The names of the columns of [`UserEncoder::row`]: buckets of age and of days since registration and
    /// categories as one-hot, then counts as `ln(1 + n)`, then activity.
    pub fn columns(&self) -> Vec<String> {
        let buckets = |kind: &'static str, of: &'static [(f32, &'static str)]| {
            of.iter().map(move |(_, name)| format!("{kind}={name}"))
        };
        let mut names: Vec<String> =
            buckets("age", &AGES).chain(buckets("register_days", &REGISTERED)).collect();
        for (vocabulary, (kind, _)) in self.vocabularies.iter().zip(CATEGORIES) {
            names.extend(vocabulary.columns(kind));
        }
        names.extend(COUNTS.iter().map(|(name, _)| (*name).to_string()));
        names.extend(ACTIVITY.map(String::from));
        names
    }

    /// One user at `t` (milliseconds since 1970), as long as [`UserEncoder::columns`]: NaN where a fact is not
    /// known. `events` are the user's own, in any order; those at or after `t` are passed over. Attributes have
    /// no time: they hold what was known when the table was written.
    ///
    /// # Panics
    /// If the row is not a user.
    pub fn row(&self, users: &Users, user: u32, events: impl Iterator<Item = Event>, t: i64) -> Vec<f32> {
        let mut row = Vec::new();
        bucket(number(users, user, AGE), &AGES, &mut row);
        bucket(number(users, user, REGISTER_DAYS), &REGISTERED, &mut row);
        for (vocabulary, (kind, names)) in self.vocabularies.iter().zip(CATEGORIES) {
            match category(users, user, kind, names) {
                Some(value) => vocabulary.one_hot(Some(&value), &mut row),
                None => row.resize(row.len() + vocabulary.len(), f32::NAN),
            }
        }
        let log = |count: Option<f32>| count.map_or(f32::NAN, |n| signed_ln_1p(f64::from(n)) as f32);
        row.extend(COUNTS.iter().map(|(_, names)| log(number(users, user, names))));
        let activity = Activity::before(events, t);
        row.extend(
            [activity.events, activity.events_7_days, activity.active_days].map(|n| log(Some(n as f32))),
        );
        row.push(log(activity.days_since_last));
        row
    }

    /// Every user at `t`, `(users, columns)`; 0 and flagged where a fact is not known. The events stand sorted by
    /// user, as in [`upnext_data::Dataset::events`].
    pub fn table(&self, users: &Users, events: &Events, t: i64) -> Table {
        let mut values = Vec::new();
        let mut start = 0;
        for user in 0..users.len() as u32 {
            let end = start + events.users()[start..].partition_point(|&known| known <= user);
            values.extend(self.row(users, user, (start..end).map(|at| events.get(at)), t));
            start = end;
        }
        Table::from_values(self.columns(), users.len(), values, 0.0)
    }
}

/// What a user did strictly before a time.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Activity {
    /// All events.
    pub events: usize,
    /// Those of the last seven days.
    pub events_7_days: usize,
    /// Days (UTC) with at least one.
    pub active_days: usize,
    /// From the newest one; `None` without any.
    pub days_since_last: Option<f32>,
}

impl Activity {
    /// From a user's events in any order; those at or after `t` (milliseconds since 1970) are passed over.
    pub fn before(events: impl Iterator<Item = Event>, t: i64) -> Self {
        let times: Vec<i64> = events.map(|event| event.time).filter(|&time| time < t).collect();
        let age = |time: i64| t.saturating_sub(time);
        let mut days: Vec<i64> = times.iter().map(|time| time.div_euclid(MS_A_DAY)).collect();
        days.sort_unstable();
        days.dedup();
        Self {
            events: times.len(),
            events_7_days: times.iter().filter(|&&time| age(time) <= 7 * MS_A_DAY).count(),
            active_days: days.len(),
            days_since_last: times.iter().max().map(|&time| (age(time) as f64 / MS_A_DAY as f64) as f32),
        }
    }
}

/// Appends a one-hot of the last bucket that starts at or below a number; NaN where it is not known.
fn bucket(number: Option<f32>, buckets: &[(f32, &str)], row: &mut Vec<f32>) {
    let known = number.filter(|x| *x >= 0.0);
    let at = known.map(|x| buckets.partition_point(|&(least, _)| least <= x) - 1);
    row.extend((0..buckets.len()).map(|place| match at {
        Some(at) => f32::from(u8::from(at == place)),
        None => f32::NAN,
    }));
}

/// The value as people write it: of an attribute, else of a label `name:value`.
fn written(users: &Users, user: u32, names: &[&str]) -> Option<String> {
    let of_column = names.iter().find_map(|name| match users.attributes.get(name)? {
        Column::Number(values) => {
            let value = values[user as usize];
            value.is_finite().then(|| value.to_string())
        }
        Column::Category { codes, values } => {
            let code = codes[user as usize];
            (code != Column::MISSING).then(|| values.name(code).to_string())
        }
        Column::Text(texts) => Some(texts[user as usize].clone()),
    });
    let of_label = || {
        let labels = users.labels_of(user).iter().map(|&label| users.labels.name(label));
        names.iter().find_map(|name| {
            labels.clone().find_map(|label| label.strip_prefix(name)?.strip_prefix(':')).map(String::from)
        })
    };
    let value = of_column.or_else(of_label)?;
    let value = value.trim().to_lowercase();
    let says_nothing = matches!(value.as_str(), "" | "unknown" | "null" | "none" | "nan" | "n/a");
    (!says_nothing).then_some(value)
}

/// A number, or the first one of a range: `18-24` is 18, `<18` and `under 18` are 0.
fn number(users: &Users, user: u32, names: &[&str]) -> Option<f32> {
    let value = written(users, user, names)?;
    if let Ok(number) = value.parse::<f32>() {
        return number.is_finite().then_some(number);
    }
    if value.starts_with('<') || value.starts_with("under") {
        return Some(0.0);
    }
    let start = value.find(|letter: char| letter.is_ascii_digit())?;
    let digits = &value[start..];
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

fn category(users: &Users, user: u32, kind: &str, names: &[&str]) -> Option<String> {
    let value = written(users, user, names)?;
    Some(match kind {
        "time_zone" => zone(&value),
        // `en-US` and `en_GB` are one language.
        "language" => value.split(['-', '_']).next().unwrap_or_default().to_string(),
        "gender" => match value.as_str() {
            "f" | "female" | "woman" | "女" => "female".into(),
            "m" | "male" | "man" | "男" => "male".into(),
            _ => value,
        },
        _ => value,
    })
}

/// Offsets from UTC in buckets of three hours, `utc+6` for 6 h to below 9 h; other names as they are. A number is
/// hours up to 14, minutes up to 840, else seconds.
fn zone(value: &str) -> String {
    let bare = value.trim_start_matches("utc").trim_start_matches("gmt");
    let hours = match bare.split_once(':') {
        Some((hours, minutes)) => hours.parse::<f32>().ok().zip(minutes.parse::<f32>().ok()).map(|(h, m)| {
            let minutes = if hours.starts_with('-') { -m } else { m };
            h + minutes / 60.0
        }),
        None if bare.is_empty() => Some(0.0),
        None => bare.parse::<f32>().ok().map(|x| match x.abs() {
            hours if hours <= 14.0 => x,
            minutes if minutes <= 840.0 => x / 60.0,
            _ => x / 3600.0,
        }),
    };
    match hours.filter(|hours| hours.abs() <= 14.0) {
        Some(hours) => format!("utc{:+}", (hours / 3.0).floor() as i32 * 3),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::Action;

    /// Ann: 30 years, UTC+8, zh-CN, f, 200 days, 99 fans. Bob: labels alone. Cy: nothing.
    fn users() -> Users {
        let mut users = Users::new();
        for name in ["ann", "bob", "cy"] {
            users.intern(name);
        }
        let text = |values: [&str; 3]| Column::Text(values.map(String::from).to_vec());
        users.attributes.set("age", Column::Number(vec![30.0, f32::NAN, f32::NAN]));
        users.attributes.set("timezone", text(["UTC+8", "", ""]));
        users.attributes.set("language", text(["zh-CN", "", "UNKNOWN"]));
        users.attributes.set("register_days", Column::Number(vec![200.0, f32::NAN, -1.0]));
        users.attributes.set("fans_user_num", Column::Number(vec![99.0, 0.0, f32::NAN]));
        let codes = vec![0, Column::MISSING, Column::MISSING];
        users.attributes.set("gender", Column::Category { codes, values: ["F"].into_iter().collect() });
        users.label(1, "gender:M");
        users.label(1, "age:18-24");
        users
    }

    fn watch(user: u32, time: i64) -> Event {
        Event { user, video: 0, action: Action::Watch, time, value: None, ratio: None }
    }

    #[test]
    fn a_user_by_hand() {
        let users = users();
        let encoder = UserEncoder::fit(&users, &TrainRows::all(3), 1);
        let day = MS_A_DAY;
        let log =
            [watch(0, day), watch(0, day + 5), watch(0, 10 * day), watch(0, 12 * day), watch(1, 11 * day)];
        let table = encoder.table(&users, &log.into_iter().collect(), 12 * day);
        let of = |row: usize, name: &str| table.get(row, name);
        assert_eq!(
            (of(0, "age=25_34"), of(0, "age=18_24"), of(1, "age=18_24")),
            (Some(1.0), Some(0.0), Some(1.0))
        );
        assert_eq!(of(0, "register_days=181_365"), Some(1.0));
        // UTC+8 lies in the bucket from 6 h; zh-CN is Chinese.
        assert_eq!((of(0, "time_zone=utc+6"), of(0, "language=zh")), (Some(1.0), Some(1.0)));
        assert_eq!((of(0, "gender=female"), of(1, "gender=male")), (Some(1.0), Some(1.0)));
        assert_eq!(
            (of(2, "age=18_24"), of(2, "language=zh"), of(2, "register_days=under_15")),
            (None, None, None)
        );
        assert_eq!(
            (of(0, "fans_log"), of(1, "fans_log"), of(2, "fans_log")),
            (Some(100f32.ln()), Some(0.0), None)
        );
        // Ann before day 12: three events on two days, one within seven days, the last two days ago.
        let activity = ACTIVITY.map(|name| of(0, name).unwrap());
        let expected = [4f32.ln(), 2f32.ln(), 3f32.ln(), 3f32.ln()];
        assert!(activity.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{activity:?}");
        assert_eq!((of(2, "events_log"), of(2, "days_since_last_log")), (Some(0.0), None));
        assert!(table.matrix.values().iter().all(|x| x.is_finite()));
    }

    #[test]
    fn zones_are_read_as_people_write_them() {
        let zones =
            ["utc+8", "8", "+08:00", "480", "28800", "-0330", "-03:30", "asia/shanghai", "utc", "99:00"];
        let read = zones.map(zone);
        assert_eq!(read[..5], ["utc+6"; 5]);
        // As minutes: -330 of them are five and a half hours.
        assert_eq!(read[5..], ["utc-6", "utc-6", "asia/shanghai", "utc+0", "99:00"]);
    }

    #[test]
    fn later_users_are_other_and_the_encoder_is_kept() {
        let mut users = users();
        let encoder = UserEncoder::fit(&users, &TrainRows::of([0, 1]), 1);
        users.attributes.set("language", Column::Text(["zh", "", "sw"].map(String::from).to_vec()));
        assert_eq!(encoder, UserEncoder::fit(&users, &TrainRows::of([0, 1]), 1));
        let table = encoder.table(&users, &Events::new(), 0);
        assert_eq!(table.get(2, "language=other"), Some(1.0));
        let kept: UserEncoder = serde_json::from_str(&serde_json::to_string(&encoder).unwrap()).unwrap();
        assert_eq!(kept, encoder);
    }
}
