//! Everything that is known of users, videos or viewings at one moment, side by side: the table a model is trained
//! on. A column is named `FAMILY.COLUMN`; each family is the feature of that name in this crate.
//!
//! Rows are the users and videos that something before the cut tells of, and the viewings before it, so that what
//! happens later adds no row either.

use std::collections::{BTreeSet, HashMap};

use upnext_data::{
    Action, Attributes, Catalogue, Column, Dataset, Event, Of as Whose, Order, is_log_statistic,
};

use crate::counters::{Counters, Of, What, Window};
use crate::interaction::{self, Viewing, viewings as joined};
use crate::place::Places;
use crate::scores::{Worth, scores};
use crate::trending::{WINDOW_DAYS, trending};
use crate::user::UserEncoder;
use crate::{Confidence, Cut, Table, TrainRows, daily_means, engagement, social, tags, video_meta};

/// Most columns of a one-hot, and values of a category that is ranked.
const VALUES_MAX: usize = 64;
/// Clusters of places.
const PLACES: usize = 8;
/// What is counted, by the name of its column.
const COUNTED: [(&str, What); 3] = [
    ("plays", What::Action(Action::Watch)),
    ("likes", What::Action(Action::Like)),
    ("completions", What::Completion),
];
const WINDOWS: [&str; 3] = ["1h", "24h", "7d"];
/// Columns of a user's activity that mean nothing where events have no times.
const OF_TIME: [&str; 3] = ["events_7_days_log", "active_days_log", "days_since_last_log"];

/// Columns of a user that count events, or time.
const OF_EVENTS: [&str; 4] =
    ["user.events", "user.active_days", "user.days_since_last", "user.days_since_registration"];

/// What was known at a cut.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The row of the set that each row of the table tells of.
    pub rows: Vec<u32>,
    /// One column for each feature, by family.
    pub table: Table,
    /// What the set has and the table has not, with the reason: `labels.cast: 8219 values`.
    pub left_out: Vec<String>,
}

/// Every video of which something is known before the cut: an event, its publication, or a day of statistics.
pub fn videos(set: &Dataset, cut: Cut) -> Snapshot {
    let n = set.videos.len();
    let mut known = vec![false; n];
    before(set, cut).for_each(|event| known[event.video as usize] = true);
    for (row, video) in set.videos.videos().iter().enumerate() {
        known[row] |= video.published.is_some_and(|at| cut.knows(at));
    }
    let mut a_day_is_known = false;
    for (&video, &day) in set.daily.videos().iter().zip(set.daily.days()) {
        let is_known = day < cut.first_unknown_day();
        known[video as usize] |= is_known;
        a_day_is_known |= is_known;
    }
    let mut columns = Columns::new(&known);
    columns.add("metadata", &video_meta::metadata(&set.videos, None));
    columns.add("engagement", &engagement::from_events(set.events().iter(), n, cut));
    columns.add("confidence", &mean_confidence(set, n, cut, |event| event.video));
    if set.order == Order::Timed {
        columns.add("counters", &counted(set, n, cut, Of::Video));
    }
    if a_day_is_known {
        columns.add("daily_engagement", &engagement::from_daily(&set.daily, &set.videos, cut));
        columns.add("daily", &daily_means(&set.daily, n, cut));
        columns.add("trending", &trending(&set.daily, "play_cnt", n, WINDOW_DAYS, cut));
        columns.add("scores", &scores(&set.daily, n, &Worth::default(), cut));
    }
    columns.add_labels(&set.videos);
    columns.add_attributes(&set.videos.attributes, Whose::Videos);
    columns.finish()
}

/// Every user with an event before the cut.
pub fn users(set: &Dataset, cut: Cut) -> Snapshot {
    let n = set.users.len();
    let mut known = vec![false; n];
    before(set, cut).for_each(|event| known[event.user as usize] = true);
    let mut columns = Columns::new(&known);
    let encoder = UserEncoder::fit(&set.users, &TrainRows::of(columns.rows.iter().copied()), 1);
    columns.add("user", &encoder.table(&set.users, set.events(), cut.at));
    columns.add("confidence", &mean_confidence(set, n, cut, |event| event.user));
    if set.order == Order::Timed {
        columns.add("counters", &counted(set, n, cut, Of::User));
    } else {
        columns.drop(|name| OF_TIME.iter().any(|of_time| name.ends_with(of_time)));
        columns.left_out.push("user.events_7_days_log and the like: the set has no times".into());
    }
    let friends = |row| social::friends_number(&set.users, row) as f32;
    let friends: Vec<f32> = (0..n as u32).map(friends).collect();
    if friends.iter().any(|&friends| friends > 0.0) {
        columns.add("social", &Table::from_values(vec!["friends".into()], n, friends, 0.0));
    }
    columns.add_places(set, cut);
    columns.add_attributes(&set.users.attributes, Whose::Users);
    columns.finish()
}

/// What is known of every video all along, whether anybody saw it or not: length, labels, attributes; nothing that was counted.
pub fn video_facts(set: &Dataset) -> Table {
    let mut columns = Columns::new(&vec![true; set.videos.len()]);
    columns.add("metadata", &video_meta::metadata(&set.videos, None));
    columns.add_labels(&set.videos);
    columns.add_attributes(&set.videos.attributes, Whose::Videos);
    columns.finish().table
}

/// What is known of every user all along, active or not: age, language, device, friends, attributes; nothing that was counted.
pub fn user_facts(set: &Dataset) -> Table {
    let n = set.users.len();
    let mut columns = Columns::new(&vec![true; n]);
    let encoder = UserEncoder::fit(&set.users, &TrainRows::all(n), 1);
    columns.add("user", &encoder.table(&set.users, &upnext_data::Events::new(), 0));
    columns.drop(|name| OF_EVENTS.iter().any(|counted| name.starts_with(counted)));
    let friends = |row| social::friends_number(&set.users, row) as f32;
    let friends: Vec<f32> = (0..n as u32).map(friends).collect();
    if friends.iter().any(|&friends| friends > 0.0) {
        columns.add("social", &Table::from_values(vec!["friends".into()], n, friends, 0.0));
    }
    columns.add_attributes(&set.users.attributes, Whose::Users);
    columns.finish().table
}

/// Every viewing before the cut, by user, then time: what happened in it, and what its user and video had counted
/// before its own moment. The columns of `interaction` and `confidence` tell how the viewing went, so they are
/// what a later question may read, not this one.
pub fn viewings(set: &Dataset, cut: Cut) -> (Vec<Viewing>, Table) {
    let viewings = joined(before(set, cut));
    let mut names: Vec<String> =
        interaction::NAMES.iter().map(|name| format!("interaction.{name}")).collect();
    names.push("confidence.confidence".into());
    names.extend(counter_names("counters.video_").chain(counter_names("counters.user_")));
    let n_columns = names.len();
    let mut values = vec![f32::NAN; viewings.len() * n_columns];
    let mut by_time: Vec<usize> = (0..viewings.len()).collect();
    by_time.sort_by_key(|&at| viewings[at].time);
    let mut events: Vec<Event> = before(set, cut).collect();
    events.sort_by_key(|event| event.time);
    let mut events = events.into_iter().peekable();
    let mut counters = Counters::new(set.users.len() + set.videos.len());
    for at in by_time {
        let viewing = &viewings[at];
        let row = &mut values[at * n_columns..(at + 1) * n_columns];
        let length = set.videos.video(viewing.video).duration_seconds;
        let twelve = viewing.vector(length, cut.zone_minutes);
        for (out, (&value, missing)) in row.iter_mut().zip(twelve.values.iter().zip(twelve.missing)) {
            *out = if missing { f32::NAN } else { value };
        }
        row[interaction::WIDTH] = viewing.ratio.map_or(f32::NAN, |x| Confidence::default().of_ratio(x));
        if set.order == Order::Timed {
            while let Some(event) = events.next_if(|event| event.time < viewing.time) {
                counters.add(event);
            }
            let of = [Of::Video(viewing.video), Of::User(viewing.user)];
            let counts = of.into_iter().flat_map(|of| counts(&mut counters, of, viewing.time));
            row[interaction::WIDTH + 1..].iter_mut().zip(counts).for_each(|(out, count)| *out = count);
        }
    }
    let table = Table::from_values(names, viewings.len(), values, 0.0);
    (viewings, table)
}

fn before(set: &Dataset, cut: Cut) -> impl Iterator<Item = Event> {
    set.events().iter().filter(move |event| cut.knows(event.time))
}

fn counter_names(prefix: &'static str) -> impl Iterator<Item = String> {
    COUNTED.iter().flat_map(move |(what, _)| WINDOWS.map(|window| format!("{prefix}{what}_{window}")))
}

/// In the order of [`counter_names`].
fn counts(counters: &mut Counters, of: Of, at: i64) -> [f32; COUNTED.len() * WINDOWS.len()] {
    std::array::from_fn(|place| {
        let (what, window) = (COUNTED[place / WINDOWS.len()].1, Window::ALL[place % WINDOWS.len()]);
        counters.count(of, what, window, at).expect("only earlier events were counted") as f32
    })
}

fn counted(set: &Dataset, n_rows: usize, cut: Cut, of: fn(u32) -> Of) -> Table {
    // One bucket more than the longest window.
    let first = cut.at.saturating_sub(2 * Window::Week.millis());
    let mut events: Vec<Event> = before(set, cut).filter(|event| event.time >= first).collect();
    events.sort_by_key(|event| event.time);
    let mut counters = Counters::new(set.users.len() + set.videos.len());
    events.into_iter().for_each(|event| counters.add(event));
    let values = (0..n_rows as u32).flat_map(|row| counts(&mut counters, of(row), cut.at)).collect();
    Table::from_values(counter_names("").collect(), n_rows, values, 0.0)
}

/// The mean confidence of the watches whose ratio is known.
fn mean_confidence(set: &Dataset, n_rows: usize, cut: Cut, row: fn(&Event) -> u32) -> Table {
    let (confidence, mut sums) = (Confidence::default(), vec![(0.0f64, 0u32); n_rows]);
    for event in before(set, cut) {
        if let Some(ratio) = event.ratio {
            let (sum, n) = &mut sums[row(&event) as usize];
            (*sum, *n) = (*sum + f64::from(confidence.of_ratio(ratio)), *n + 1);
        }
    }
    let means = sums.into_iter().map(|(sum, n)| (sum / f64::from(n)) as f32).collect();
    Table::from_values(vec!["mean_confidence".into()], n_rows, means, 0.0)
}

/// A table while it grows.
struct Columns {
    rows: Vec<u32>,
    names: Vec<String>,
    /// One value for each of `rows`, NaN where nothing is known.
    values: Vec<Vec<f32>>,
    left_out: Vec<String>,
}

impl Columns {
    fn new(known: &[bool]) -> Self {
        let rows = (0..).zip(known).filter(|(_, known)| **known).map(|(row, _)| row).collect();
        Self { rows, names: Vec::new(), values: Vec::new(), left_out: Vec::new() }
    }

    /// Adds the columns of a table of all rows of the set.
    fn add(&mut self, family: &str, table: &Table) {
        for (at, name) in table.names.iter().enumerate() {
            let value = |&row: &u32| match table.missing_of(row as usize)[at] {
                true => f32::NAN,
                false => table.matrix.row(row as usize)[at],
            };
            self.names.push(format!("{family}.{name}"));
            self.values.push(self.rows.iter().map(value).collect());
        }
    }

    fn drop(&mut self, unwanted: impl Fn(&str) -> bool) {
        for at in (0..self.names.len()).rev().filter(|&at| unwanted(&self.names[at])).collect::<Vec<_>>() {
            self.names.remove(at);
            self.values.remove(at);
        }
    }

    /// Labels of a kind with few values as multi-hot columns.
    fn add_labels(&mut self, videos: &Catalogue) {
        let train = TrainRows::of(self.rows.iter().copied());
        let kinds: BTreeSet<&str> =
            videos.labels.iter().filter_map(|label| Some(label.split_once(':')?.0)).collect();
        for kind in kinds {
            if is_log_statistic(kind, Whose::Videos) {
                self.left_out.push(format!("labels.{kind}: counted over a period that is not known"));
                continue;
            }
            let of_videos = tags::of_catalogue(videos, kind);
            let vocabulary = tags::vocabulary(&of_videos, &train, 1);
            if vocabulary.is_empty() {
                continue;
            }
            if vocabulary.len() > VALUES_MAX {
                self.left_out.push(format!("labels.{kind}: {} values", vocabulary.len() - 1));
                continue;
            }
            let mut table = tags::multi_hot(&of_videos, &vocabulary);
            table.names = vocabulary.columns(kind).collect();
            self.add("labels", &table);
        }
    }

    /// Numbers as they are, categories by their codes, or if they are few by the rank of their names. What counts over an unknown period is
    /// left out, and so is a range beside its number.
    fn add_attributes(&mut self, attributes: &Attributes, whose: Whose) {
        for (name, column) in attributes.iter() {
            if is_log_statistic(name, whose) {
                self.left_out.push(format!("attributes.{name}: counted over a period that is not known"));
                continue;
            }
            let number = name.strip_suffix("_range").and_then(|number| attributes.get(number));
            let values = match column {
                _ if matches!(number, Some(Column::Number(_))) => continue,
                Column::Number(values) => self.rows.iter().map(|&row| values[row as usize]).collect(),
                Column::Category { codes, values } => {
                    let name_of = |&row: &u32| {
                        let code = codes[row as usize];
                        (code != Column::MISSING).then(|| values.name(code))
                    };
                    let known: BTreeSet<&str> = self.rows.iter().filter_map(name_of).collect();
                    // Codes that somebody made of names long ago; their order is as good as ours.
                    let codes: Option<HashMap<&str, f32>> =
                        known.iter().map(|&name| Some((name, name.parse().ok()?))).collect();
                    if codes.is_none() && known.len() > VALUES_MAX {
                        self.left_out.push(format!("attributes.{name}: {} values", known.len()));
                        continue;
                    }
                    let ranks = || (0..).zip(known).map(|(rank, name)| (name, rank as f32)).collect();
                    let codes = codes.unwrap_or_else(ranks);
                    self.rows.iter().map(|row| name_of(row).map_or(f32::NAN, |name| codes[name])).collect()
                }
                Column::Text(_) => {
                    self.left_out.push(format!("attributes.{name}: text"));
                    continue;
                }
            };
            self.names.push(format!("attributes.{name}"));
            self.values.push(values);
        }
    }

    /// The cluster of each user's last place as one-hot, and the distance to its centre.
    fn add_places(&mut self, set: &Dataset, cut: Cut) {
        let known = set.circumstances.iter().filter(|around| cut.knows(around.time));
        let places: Vec<(f32, f32)> = known.filter_map(|around| around.place).collect();
        let clusters = Places::fit(&places, &TrainRows::all(places.len()), PLACES, 20, 1);
        if clusters.is_empty() {
            return;
        }
        let mut names: Vec<String> = (0..clusters.len()).map(|at| format!("cluster={at}")).collect();
        names.push("km".into());
        let last = clusters.last_of_users(&set.circumstances, set.users.len(), cut.at);
        let values = last.into_iter().flat_map(|near| {
            let mut row = vec![if near.is_some() { 0.0 } else { f32::NAN }; clusters.len() + 1];
            if let Some(near) = near {
                row[near.cluster as usize] = 1.0;
                row[clusters.len()] = near.km;
            }
            row
        });
        let values = values.collect();
        self.add("place", &Table::from_values(names, set.users.len(), values, 0.0));
    }

    fn finish(self) -> Snapshot {
        let values = (0..self.rows.len()).flat_map(|row| self.values.iter().map(move |column| column[row]));
        let table = Table::from_values(self.names, self.rows.len(), values.collect(), 0.0);
        Snapshot { rows: self.rows, table, left_out: self.left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Events, Users};

    const HOUR: i64 = 3_600_000;

    /// Ann watches a film twice in an hour, and Bob comes later; the film was published before, its sequel not.
    fn set() -> Dataset {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        ["ann", "bob"].iter().for_each(|user| _ = users.intern(user));
        for (video, published) in [("film", HOUR), ("sequel", 90 * HOUR), ("trailer", HOUR)] {
            let row = videos.intern(video);
            videos.video_mut(row).published = Some(published);
            videos.video_mut(row).duration_seconds = Some(60.0);
            videos.label(row, &format!("genre:{video}"));
        }
        videos.attributes.set("width", Column::Number(vec![640.0, 1920.0, f32::NAN]));
        let codes = Column::Category { codes: vec![1, 0, 0], values: ["b", "a"].into_iter().collect() };
        videos.attributes.set("type", codes);
        let codes = Column::Category { codes: vec![1, 0, 0], values: ["7", "3"].into_iter().collect() };
        videos.attributes.set("type_id", codes);
        videos.attributes.set("play_cnt", Column::Number(vec![9.0, 9.0, 9.0]));
        for (user, time, ratio) in [(0, 20 * HOUR, 0.5), (0, 20 * HOUR + 5, 1.0), (1, 99 * HOUR, 2.0)] {
            let (action, value, ratio) = (Action::Watch, Some(60.0 * ratio), Some(ratio));
            events.push(Event { user, video: 0, action, time, value, ratio });
        }
        Dataset::new("films", users, videos, events, Order::Timed, None)
    }

    #[test]
    fn a_table_holds_what_was_known_and_nobody_who_came_later() {
        let (set, cut) = (set(), Cut::at(21 * HOUR));
        let of_videos = videos(&set, cut);
        assert_eq!(of_videos.rows, [0, 2], "the sequel was not there");
        let of = |row, name| of_videos.table.get(row, name);
        assert_eq!(of(0, "metadata.duration_of_300_s"), Some(0.2));
        assert_eq!(of(0, "engagement.average_watch_ratio"), Some(0.75));
        assert_eq!((of(0, "counters.plays_1h"), of(1, "counters.plays_7d")), (Some(2.0), Some(0.0)));
        assert_eq!((of(0, "labels.genre=film"), of(0, "labels.genre=trailer")), (Some(1.0), Some(0.0)));
        assert_eq!((of(0, "attributes.width"), of(1, "attributes.width")), (Some(640.0), None));
        assert!(
            !of_videos.table.names.iter().any(|name| name.contains("sequel") || name.contains("play_cnt"))
        );
        assert!(of_videos.left_out[0].contains("attributes.play_cnt"), "{:?}", of_videos.left_out);
        let of_users = users(&set, cut);
        assert_eq!(of_users.rows, [0]);
        assert_eq!(of_users.table.get(0, "counters.completions_24h"), Some(1.0));
        assert_eq!(of_users.table.get(0, "user.events_log"), Some(3f32.ln()));
    }

    #[test]
    fn a_viewing_has_the_counts_of_before_its_own_moment() {
        let (all, table) = viewings(&set(), Cut::at(100 * HOUR));
        assert_eq!(all.len(), 3);
        let plays: Vec<Option<f32>> = (0..3).map(|row| table.get(row, "counters.video_plays_7d")).collect();
        assert_eq!(plays, [Some(0.0), Some(1.0), Some(2.0)]);
        assert_eq!(table.get(1, "counters.user_plays_1h"), Some(1.0));
        assert_eq!(table.get(1, "interaction.completion"), Some(1.0));
    }
}
