//! What readers find beside the events: attributes, daily statistics, friends, circumstances, vectors. All of
//! it is kept by outside ids until the set is made, so that rows may be numbered, or left out, in between.

use std::path::Path;

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use upnext_data::{Action, Circumstance, Column, Daily, Dataset, Names};

use crate::{IngestError, Limits, Vectors};

/// Everything that [`Beside::attach`] gives to a set.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Beside {
    pub(crate) users: Attributed,
    pub(crate) videos: Attributed,
    pub(crate) vectors: Vec<Vectors>,
    daily: DailyRows,
    friends: Vec<(u32, u32)>,
    circumstances: Vec<Circumstance>,
    /// Outside ids of friends, and of users and videos in circumstances.
    user_ids: Names,
    video_ids: Names,
}

/// Columns of attributes while they are read: values as text, and which of them each id has.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Attributed {
    ids: Names,
    columns: Vec<Gathered>,
    bytes: usize,
}

#[derive(Serialize, Deserialize)]
struct Gathered {
    name: String,
    values: Names,
    codes: Vec<u32>,
}

#[derive(Default, Serialize, Deserialize)]
struct DailyRows {
    videos: Names,
    rows: Vec<(u32, i32)>,
    measures: Vec<(String, Vec<f32>)>,
}

/// Most values of a category; a column with more is text.
const CATEGORY_VALUES_MAX: usize = 10_000;
/// A column with at most so many values is a category, however few rows there are.
const FEW_VALUES: usize = 64;
/// Values that are longer on average are texts.
const CATEGORY_BYTES_MEAN: usize = 48;

impl Attributed {
    /// The place of a column, by the name that a table gives it.
    pub(crate) fn column(&mut self, raw: &str) -> usize {
        let name = attribute_name(raw);
        let known = self.columns.iter().position(|column| column.name == name);
        known.unwrap_or_else(|| {
            self.columns.push(Gathered { name, values: Names::new(), codes: Vec::new() });
            self.columns.len() - 1
        })
    }

    /// Notes a value. What is known already stays.
    pub(crate) fn set(
        &mut self,
        path: &Path,
        limits: &Limits,
        id: &str,
        column: usize,
        value: &str,
    ) -> Result<(), IngestError> {
        let value = value.trim();
        if is_nothing(value) {
            return Ok(());
        }
        if self.ids.row(id).is_none() {
            self.bytes += id.len();
        }
        let row = self.ids.intern(id) as usize;
        let Gathered { values, codes, .. } = &mut self.columns[column];
        if codes.get(row).is_some_and(|&code| code != Column::MISSING) {
            return Ok(());
        }
        if codes.len() <= row {
            codes.resize(row + 1, Column::MISSING);
        }
        if values.row(value).is_none() {
            self.bytes += value.len();
        }
        // Text of names is indexed by 32 bits.
        let most = limits.features_bytes_max.min(3 << 30);
        if self.bytes > most {
            let (what, limit) = ("bytes of attributes", "features_bytes_max");
            return Err(IngestError::Limit { path: path.to_owned(), what, most, limit });
        }
        codes[row] = values.intern(value);
        Ok(())
    }

    /// The columns for the ids of a table, in its order, each of the type that fits all its values.
    fn columns_for(&self, names: &Names) -> Vec<(String, Column)> {
        let rows: Vec<Option<usize>> = names.iter().map(|id| self.ids.row(id).map(|r| r as usize)).collect();
        let typed = self.columns.iter().filter_map(|gathered| {
            let of = |row: &Option<usize>| {
                let code = row.and_then(|row| gathered.codes.get(row).copied());
                code.filter(|&code| code != Column::MISSING).map(|code| gathered.values.name(code))
            };
            let column = typed(&gathered.name, rows.iter().map(of))?;
            Some((gathered.name.clone(), column))
        });
        typed.collect()
    }
}

/// The type that fits all values of a column; nothing where there is no value.
fn typed<'a>(name: &str, cells: impl Iterator<Item = Option<&'a str>> + Clone) -> Option<Column> {
    let values = || cells.clone().flatten();
    let n = values().count();
    if n == 0 {
        return None;
    }
    if !is_id(name) && values().all(|value| number(value).is_some()) {
        return Some(Column::Number(cells.map(|cell| cell.and_then(number).unwrap_or(f32::NAN)).collect()));
    }
    let distinct: HashSet<&str> = values().collect();
    let bytes: usize = values().map(str::len).sum();
    let repeats = distinct.len() <= FEW_VALUES || 2 * distinct.len() <= n;
    if distinct.len() <= CATEGORY_VALUES_MAX && repeats && bytes <= CATEGORY_BYTES_MEAN * n {
        let mut values = Names::new();
        let codes = cells.map(|cell| cell.map_or(Column::MISSING, |value| values.intern(value))).collect();
        return Some(Column::Category { codes, values });
    }
    Some(Column::Text(cells.map(|cell| cell.unwrap_or_default().to_string()).collect()))
}

/// A finite number that a 32-bit float can hold, also `true` and `false`.
fn number(text: &str) -> Option<f32> {
    match text {
        "true" | "True" | "TRUE" => Some(1.0),
        "false" | "False" | "FALSE" => Some(0.0),
        text => text.parse::<f32>().ok().or_else(|| grouped(text)).filter(|number| number.is_finite()),
    }
}

/// `160,576`: digits in groups of three.
fn grouped(text: &str) -> Option<f32> {
    let mut groups = text.split(',');
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let first = groups.next().filter(|first| (1..=3).contains(&first.len()) && digits(first))?;
    let mut whole = first.to_string();
    for group in groups {
        if group.len() != 3 || !digits(group) {
            return None;
        }
        whole.push_str(group);
    }
    whole.parse().ok()
}

/// Addresses, and ids that other catalogues use: they describe nothing.
pub(crate) fn is_reference(raw: &str) -> bool {
    let name = attribute_name(raw);
    ["url", "uri", "wikipedia", "imdb_id", "tmdb_id", "poster_path", "backdrop_path", "homepage", "unnamed"]
        .iter()
        .any(|end| name == *end || name.strip_suffix(end).is_some_and(|rest| rest.ends_with('_')))
}

/// Numbers that only name things: their size says nothing.
fn is_id(name: &str) -> bool {
    name == "id"
        || name.ends_with("_id")
        || name.starts_with("onehot_feat")
        || ["zip", "zip_code", "postcode", "postal_code", "occupation"].contains(&name)
}

/// Words by which tables say that something is not known. `UNKNOWN` is KuaiRec's, `-124` is in its captions.
fn is_nothing(text: &str) -> bool {
    ["", "null", "none", "nan", "na", "n/a", "\\n", "unknown", "-124", "<na>"]
        .iter()
        .any(|nothing| text.eq_ignore_ascii_case(nothing))
}

/// `registerDays`, `Register Days` and `REGISTER_DAYS` are `register_days`; some things have many names, and get
/// one.
pub(crate) fn attribute_name(raw: &str) -> String {
    let mut name = String::new();
    let mut before = ' ';
    for c in raw.trim().chars() {
        if c.is_alphanumeric() {
            let starts_word = c.is_uppercase() && (before.is_lowercase() || before.is_ascii_digit());
            let joins = !before.is_alphanumeric() && !name.is_empty();
            if (starts_word || joins) && !name.ends_with('_') {
                name.push('_');
            }
            name.extend(c.to_lowercase());
        }
        before = c;
    }
    let one = match name.as_str() {
        "author_fans_count"
        | "author_fans"
        | "fans_count"
        | "author_followers"
        | "author_follower_count"
        | "follower_count"
        | "followers_count"
        | "followers"
        | "creator_followers"
        | "author_fans_num"
        | "channel_subscribers"
        | "subscriber_count" => "fans",
        "video_language" | "lang" | "movie_language" | "item_language" | "user_language"
        | "original_language" => "language",
        "video_width" | "server_width" => "width",
        "video_height" | "server_height" => "height",
        "sex" | "user_gender" => "gender",
        "user_age" => "age",
        "time_zone" | "tz" | "user_timezone" => "timezone",
        "lat" | "location_lat" | "user_lat" => "latitude",
        "lon" | "lng" | "long" | "location_lon" | "location_lng" | "user_lon" => "longitude",
        "user_register_days" | "registered_days" => "register_days",
        "" => "unnamed",
        name => return name.to_string(),
    };
    one.to_string()
}

impl Beside {
    /// Notes that one user knows another.
    pub(crate) fn friend(&mut self, user: &str, friend: &str) {
        let pair = (self.user_ids.intern(user), self.user_ids.intern(friend));
        self.friends.push(pair);
    }

    /// Notes what was around an event. Rows in `circumstance` are not looked at: ids stand for them.
    pub(crate) fn circumstance(&mut self, user: &str, video: Option<&str>, circumstance: Circumstance) {
        let user = self.user_ids.intern(user);
        let video = video.map(|video| self.video_ids.intern(video));
        self.circumstances.push(Circumstance { user, video, ..circumstance });
    }

    /// Notes the measures of a video and day; days are counted from 1970-01-01 (UTC).
    pub(crate) fn daily<'a>(
        &mut self,
        video: &str,
        day: i32,
        measures: impl Iterator<Item = (&'a str, f32)>,
    ) {
        let DailyRows { videos, rows, measures: columns } = &mut self.daily;
        let before = rows.len();
        rows.push((videos.intern(video), day));
        for (name, value) in measures {
            let at = columns.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                columns.push((name.to_string(), Vec::new()));
                columns.len() - 1
            });
            let column = &mut columns[at].1;
            column.resize(before, f32::NAN);
            column.push(value);
        }
    }

    /// How many rows of daily statistics were noted.
    pub(crate) fn daily_len(&self) -> usize {
        self.daily.rows.len()
    }

    /// Gives a set all that belongs to users and videos that it has, but for vectors, which are stored elsewhere.
    pub(crate) fn attach(self, set: &mut Dataset) {
        for (name, column) in self.users.columns_for(set.users.names()) {
            set.users.attributes.set(&name, column);
        }
        for (name, column) in self.videos.columns_for(set.videos.names()) {
            set.videos.attributes.set(&name, column);
        }
        let users: Vec<Option<u32>> = self.user_ids.iter().map(|id| set.users.row(id)).collect();
        let videos: Vec<Option<u32>> = self.video_ids.iter().map(|id| set.videos.row(id)).collect();
        for (user, friend) in self.friends {
            if let (Some(user), Some(friend)) = (users[user as usize], users[friend as usize])
                && user != friend
            {
                set.users.befriend(user, friend);
            }
        }
        let known = self.circumstances.into_iter().filter_map(|circumstance| {
            let user = users[circumstance.user as usize]?;
            let video = match circumstance.video {
                Some(video) => Some(videos[video as usize]?),
                None => None,
            };
            Some(Circumstance { user, video, ..circumstance })
        });
        set.circumstances = known.collect();
        set.circumstances.sort_by_key(|circumstance| (circumstance.user, circumstance.time));
        set.daily = self.daily.finish(set);
    }
}

impl DailyRows {
    /// The rows of videos that the set has, the first where a video and day come twice.
    fn finish(self, set: &Dataset) -> Daily {
        let videos: Vec<Option<u32>> = self.videos.iter().map(|id| set.videos.row(id)).collect();
        let mut seen = HashSet::new();
        let kept: Vec<(usize, u32, i32)> = (self.rows.iter().enumerate())
            .filter_map(|(at, &(video, day))| Some((at, videos[video as usize]?, day)))
            .filter(|&(_, video, day)| seen.insert((video, day)))
            .collect();
        let measures = self.measures.into_iter().filter_map(|(name, values)| {
            let values: Vec<f32> =
                kept.iter().map(|&(at, ..)| values.get(at).copied().unwrap_or(f32::NAN)).collect();
            values.iter().any(|value| !value.is_nan()).then_some((name, values))
        });
        let measures = measures.collect();
        Daily::new(kept.iter().map(|row| row.1).collect(), kept.iter().map(|row| row.2).collect(), measures)
    }
}

/// Collects one named column of vectors; rows of another size are counted and left out.
pub(crate) struct Rows {
    vectors: Vectors,
    seen: HashMap<String, ()>,
    /// Rows that had another size or a number that is not finite.
    pub(crate) unusable: u64,
}

impl Rows {
    pub(crate) fn new(name: &str) -> Self {
        let vectors = Vectors { name: name.into(), ..Vectors::default() };
        Self { vectors, seen: HashMap::new(), unusable: 0 }
    }

    /// Bytes of all numbers so far.
    pub(crate) fn bytes(&self) -> usize {
        4 * self.vectors.values.len()
    }

    /// Takes the vector of a video; the first of a video stays.
    pub(crate) fn push(&mut self, id: &str, numbers: &[String]) {
        let values: Vec<f32> = numbers.iter().map_while(|text| number(text.trim())).collect();
        let dim = self.vectors.dim;
        if values.is_empty() || values.len() != numbers.len() || (dim != 0 && dim != values.len()) {
            self.unusable += u64::from(!numbers.is_empty());
            return;
        }
        if self.seen.insert(id.to_string(), ()).is_none() {
            self.vectors.dim = values.len();
            self.vectors.ids.push(id.to_string());
            self.vectors.values.extend(values);
        }
    }

    pub(crate) fn finish(self) -> Option<Vectors> {
        (!self.vectors.ids.is_empty()).then_some(self.vectors)
    }
}

/// A circumstance before its rows are known.
pub(crate) fn circumstance(action: Action, time: i64) -> Circumstance {
    let (text, device) = Default::default();
    Circumstance { user: 0, video: None, action, time, text, device, place: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_gets_the_type_that_fits_all_its_values() {
        let of =
            |name: &str, values: &[&str]| typed(name, values.iter().map(|v| (!v.is_empty()).then_some(*v)));
        assert!(matches!(of("age", &["24", "", "53.5"]), Some(Column::Number(n)) if n[1].is_nan()));
        // The numbers of an id only name things.
        assert!(matches!(of("music_id", &["24", "", "24"]), Some(Column::Category { codes, .. })
            if codes == [0, Column::MISSING, 0]));
        assert!(matches!(of("gender", &["F", "M", "F"]), Some(Column::Category { .. })));
        let names: Vec<String> = (0..100).map(|n| format!("name {n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(matches!(of("username", &names), Some(Column::Text(_))));
        assert!(matches!(of("votes", &["160,576", "7"]), Some(Column::Number(n)) if n == [160_576.0, 7.0]));
        assert!(of("empty", &["", ""]).is_none());
    }

    #[test]
    fn names_of_attributes_are_written_one_way() {
        for raw in ["registerDays", "Register Days", "REGISTER_DAYS", "register_days"] {
            assert_eq!(attribute_name(raw), "register_days");
        }
        assert_eq!(attribute_name("author_fans_count"), "fans");
        assert_eq!(attribute_name("onehot_feat10"), "onehot_feat10");
        assert_eq!(attribute_name("video_tag_id"), "video_tag_id");
        assert!(is_reference("posterUrl") && is_reference("imdbID") && !is_reference("music_id"));
    }
}
