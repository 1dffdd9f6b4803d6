//! How often each field of a set is missing.

use serde::Serialize;
use upnext_data::{Attributes, Column, Dataset, Order, Video};

use super::tally::Tally;

/// One field of one table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Missing {
    /// `events`, `videos`, `users` or `daily`.
    pub(crate) table: &'static str,
    /// The field.
    pub(crate) field: String,
    /// Rows of the table.
    pub(crate) rows: u64,
    /// Rows without it.
    pub(crate) missing: u64,
    /// The share of these.
    pub(crate) percent: f64,
}

fn row(table: &'static str, field: impl Into<String>, rows: u64, missing: u64) -> Missing {
    let percent = if rows == 0 { 0.0 } else { 100.0 * missing as f64 / rows as f64 };
    Missing { table, field: field.into(), rows, missing, percent }
}

/// Every field of a set, in the order of its tables.
pub(crate) fn missing(set: &Dataset, tally: &Tally) -> Vec<Missing> {
    let without_time = if set.order == Order::Timed { 0 } else { tally.events };
    let mut all = vec![
        row("events", "time", tally.events, without_time),
        row("events", "value", tally.events, tally.without_value),
        row("events", "ratio", tally.events, tally.without_ratio),
    ];
    let n_videos = set.videos.len() as u64;
    type Lacks = fn(&Video) -> bool;
    let fields: [(&str, Lacks); 7] = [
        ("title", |video| video.title.is_empty()),
        ("text", |video| video.text.is_empty()),
        ("labels", |video| video.labels.is_empty()),
        ("creator", |video| video.creator.is_none()),
        ("year", |video| video.year.is_none()),
        ("duration_seconds", |video| video.duration_seconds.is_none()),
        ("published", |video| video.published.is_none()),
    ];
    for (field, lacks) in fields {
        let missing = set.videos.videos().iter().filter(|video| lacks(video)).count();
        all.push(row("videos", field, n_videos, missing as u64));
    }
    all.extend(of_attributes("videos", &set.videos.attributes));
    let unlabelled = (0..set.users.len() as u32).filter(|&user| set.users.labels_of(user).is_empty()).count();
    all.push(row("users", "labels", set.users.len() as u64, unlabelled as u64));
    all.extend(of_attributes("users", &set.users.attributes));
    for (measure, values) in set.daily.measures() {
        let missing = values.iter().filter(|value| value.is_nan()).count();
        all.push(row("daily", measure.as_str(), values.len() as u64, missing as u64));
    }
    all
}

fn of_attributes(table: &'static str, attributes: &Attributes) -> impl Iterator<Item = Missing> {
    attributes.iter().map(move |(name, column)| {
        let missing = match column {
            Column::Number(values) => values.iter().filter(|value| value.is_nan()).count(),
            Column::Category { codes, .. } => codes.iter().filter(|&&code| code == Column::MISSING).count(),
            Column::Text(texts) => texts.iter().filter(|text| text.is_empty()).count(),
        };
        row(table, name, column.len() as u64, missing as u64)
    })
}
