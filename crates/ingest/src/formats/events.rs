//! Tables of events: a user, a video, and what was done.

use std::collections::BTreeMap;
use std::path::Path;

use upnext_data::{Action, Order, Part};

use crate::clean::Reason;
use crate::columns::{Columns, bare, need_events};
use crate::formats::{around, length, videos};
use crate::gather::{Found, Gather, refused};
use crate::table::{Cell, Row, Table};
use crate::{Duplicates, Field, IngestError, Missing, Options, time};

/// Columns of 0 and 1, and the action that each 1 stands for.
const MARKS: [(Field, Action); 7] = [
    (Field::Like, Action::Like),
    (Field::Comment, Action::Comment),
    (Field::Follow, Action::Follow),
    (Field::Collect, Action::Collect),
    (Field::Forward, Action::Forward),
    (Field::EffectiveView, Action::EffectiveView),
    (Field::Hate, Action::Hate),
];

/// Reads a table of events; `part` holds for all of it, unless it has a column that says.
pub(crate) fn read(
    gather: &mut Gather,
    mut table: Table,
    columns: &Columns,
    part: Option<Part>,
) -> Result<(), IngestError> {
    let path = table.path.clone();
    need_events(&path, &table.columns, columns)?;
    let rules = &gather.options.rules;
    // Rules that look at whole rows need whole rows.
    let needs_all = rules.missing == Missing::Any || rules.duplicate == Duplicates::Row;
    table.keep(&if needs_all { (0..table.columns.len()).collect() } else { columns.wanted() })?;
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let describes = describes_videos(columns);
    let has_around = [Field::Device, Field::Latitude, Field::Place, Field::Words, Field::Value]
        .into_iter()
        .any(|field| columns.has(field));
    let of_users: Vec<(usize, usize)> =
        columns.of_users.iter().map(|&at| (at, gather.beside.users.column(&names[at]))).collect();
    let of_videos: Vec<(usize, usize)> =
        columns.of_videos.iter().map(|&at| (at, gather.beside.videos.column(&names[at]))).collect();
    let (mut rows, mut bad) = std::mem::take(&mut gather.begun);
    let (mut user, mut video) = (String::new(), String::new());
    loop {
        let (bytes, _) = if rows % (1 << 16) == 0 { table.bytes() } else { (0, 0) };
        let Some(row) = table.next()? else { break };
        if rows % (1 << 16) == 0 {
            gather.say(&path, bytes);
        }
        rows += 1;
        let missing = gather.at_row(&row);
        if let Some(note) = &row.broken {
            gather.report.read += 1;
            bad.row(row.line, note);
            gather.report.drop_row(Reason::Malformed, &path, row.line, || note.clone());
            continue;
        }
        if let Some(column) = missing {
            gather.report.read += 1;
            let column = &names[column];
            gather.report.drop_row(Reason::Missing, &path, row.line, || format!("`{column}` is empty"));
            continue;
        }
        cell(&row, columns, Field::User).id_into(&mut user);
        let place = columns.get(Field::Video).map_or(Cell::Missing, |column| row.cell(column));
        // A list of videos is a sequence: each place is a row of its own.
        let list = match place {
            Cell::List(videos) => {
                video.clear();
                Some(videos)
            }
            cell => {
                cell.id_into(&mut video);
                None
            }
        };
        let measured = measure(gather.options, &row, columns, &user);
        if let Ok(measures) = &measured
            && !matches!(&list, Some(list) if !list.is_empty())
            && ["", "-"].contains(&video.as_str())
            && (measures.action == Action::Search || columns.is_search || columns.has(Field::Impressions))
        {
            // A search, or a list of what was shown, names no video of its own.
            gather.report.read += 1;
            let shown = show(gather, &path, &row, columns, &user, measures, part)?;
            let searched = measures.action == Action::Search || columns.is_search;
            let said = measures.said.clone();
            let around =
                searched.then(|| around::read(&row, columns, Action::Search, measures.time, said)).flatten();
            if around.is_none() && shown == 0 {
                gather.report.drop_row(Reason::Missing, &path, row.line, || "no video, and no words".into());
                continue;
            }
            gather.report.kept += 1;
            if let Some(around) = around {
                gather.user(&path, &user)?;
                gather.beside.circumstance(&user, None, around);
            }
            continue;
        }
        let one = [std::mem::take(&mut video)];
        let videos = list.as_deref().unwrap_or(&one);
        if list.is_some() && gather.order == Order::Unordered {
            gather.order = Order::Sequence;
        }
        if videos.is_empty() {
            gather.report.read += 1;
            gather.report.drop_row(Reason::Missing, &path, row.line, || "an empty list of videos".into());
        }
        for video in videos {
            gather.report.read += 1;
            let place = gather.report.read as i64;
            let measures = match (&measured, gather.refuses(video, "video")) {
                (Err(fault), _) => {
                    bad.cell(fault, row.line);
                    gather.report.drop_row(fault.reason, &path, row.line, || fault.note(&names, columns));
                    continue;
                }
                (Ok(_), Some((reason, note))) => {
                    gather.report.drop_row(reason, &path, row.line, || note);
                    continue;
                }
                (Ok(measures), None) => measures,
            };
            let found = |action, value, ratio| Found {
                user: &user,
                video,
                action,
                time: measures.time,
                value,
                ratio,
                part: measures.part.or(part),
                position: if list.is_some() { place } else { measures.position },
            };
            gather.report.kept += 1;
            gather.event(&path, &found(measures.action, measures.value, measures.ratio))?;
            for (action, value) in measures.marks.iter().flatten() {
                gather.event(&path, &found(*action, Some(*value), None))?;
            }
            show(gather, &path, &row, columns, &user, measures, part)?;
            if has_around
                && let Some(around) =
                    around::read(&row, columns, measures.action, measures.time, measures.said.clone())
            {
                gather.beside.circumstance(&user, Some(video), around);
            }
            let limits = &gather.options.limits;
            for &(at, column) in &of_users {
                if let Some(value) = videos::attribute_text(row.cell(at)) {
                    gather.beside.users.set(&path, limits, &user, column, &value)?;
                }
            }
            for &(at, column) in &of_videos {
                if let Some(value) = videos::attribute_text(row.cell(at)) {
                    gather.beside.videos.set(&path, limits, video, column, &value)?;
                }
            }
            if let Some(seconds) = measures.duration {
                let video = gather.video(&path, video)?;
                gather.videos.video_mut(video).duration_seconds.get_or_insert(seconds);
            }
            if describes {
                let video = gather.video(&path, video)?;
                videos::describe(gather, &row, columns, &names, video);
            }
        }
        let [back] = one;
        video = back;
    }
    bad.judge(&path, &names, columns, rows)?;
    gather.file_read(&path, "events", rows);
    Ok(())
}

/// Takes the videos that a row says were shown, as impressions; returns how many.
fn show(
    gather: &mut Gather,
    path: &Path,
    row: &Row,
    columns: &Columns,
    user: &str,
    measures: &Measures,
    part: Option<Part>,
) -> Result<usize, IngestError> {
    let Some(column) = columns.get(Field::Impressions) else { return Ok(0) };
    let shown: Vec<String> = match row.cell(column) {
        Cell::List(shown) => shown,
        cell => match cell.into_id() {
            // A mark says that something was shown, but not what.
            Some(text) if !["0", "1", "true", "false"].contains(&text.to_ascii_lowercase().as_str()) => {
                let parts = |c: char| matches!(c, '|' | ',' | ';' | '[' | ']' | ' ' | '"' | '\'');
                text.split(parts).filter(|id| !id.is_empty()).map(Into::into).collect()
            }
            _ => Vec::new(),
        },
    };
    let mut n = 0;
    for video in shown.iter().filter(|video| gather.refuses(video, "video").is_none()).collect::<Vec<_>>() {
        let (value, ratio, position) = (None, None, 0);
        let (action, time) = (Action::Impression, measures.time);
        let part = measures.part.or(part);
        gather.event(path, &Found { user, video, action, time, value, ratio, part, position })?;
        n += 1;
    }
    Ok(n)
}

fn describes_videos(columns: &Columns) -> bool {
    let known = [Field::Title, Field::Year, Field::Creator, Field::Published];
    known.into_iter().any(|field| columns.has(field))
        || !columns.labels.is_empty()
        || !columns.texts.is_empty()
}

fn cell<'a>(row: &'a Row, columns: &Columns, field: Field) -> Cell<'a> {
    columns.get(field).map_or(Cell::Missing, |column| row.cell(column))
}

/// What a row says beside user and video.
pub(crate) struct Measures {
    pub(crate) action: Action,
    pub(crate) time: i64,
    pub(crate) value: Option<f32>,
    pub(crate) ratio: Option<f32>,
    pub(crate) duration: Option<f32>,
    part: Option<Part>,
    position: i64,
    /// What was written or searched for, where it stands in the column of values.
    said: Option<String>,
    /// Further events of the row.
    marks: [Option<(Action, f32)>; MARKS.len() + 1],
}

/// Why a row is dropped.
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    field: Field,
    value: String,
    expected: &'static str,
}

impl Fault {
    pub(crate) fn note(&self, names: &[String], columns: &Columns) -> String {
        let column = columns.get(self.field).map_or(self.field.name(), |column| &names[column]);
        let value: String = self.value.chars().take(80).collect();
        match self.reason {
            Reason::Missing => format!("`{column}` is empty"),
            _ => format!("`{column}` is `{value}`; expected {}", self.expected),
        }
    }
}

fn fault(reason: Reason, field: Field, value: impl ToString, expected: &'static str) -> Fault {
    Fault { reason, field, value: value.to_string(), expected }
}

pub(crate) fn measure(
    options: &Options,
    row: &Row,
    columns: &Columns,
    user: &str,
) -> Result<Measures, Fault> {
    let (limits, rules) = (&options.limits, &options.rules);
    if let Some((reason, note)) = refused(options, user, "user") {
        return Err(fault(reason, Field::User, note, "an id"));
    }
    let number = |field| number_of(&cell(row, columns, field), field);
    let time = time_of(options, row, columns)?;
    let scaled = |seconds: Field, milliseconds: Field| -> Result<(Option<f64>, Field), Fault> {
        Ok(match number(seconds)? {
            Some(value) => (Some(value), seconds),
            None => (number(milliseconds)?.map(|value| value / 1_000.0), milliseconds),
        })
    };
    let (duration, field) = scaled(Field::Duration, Field::DurationMs)?;
    if let Some(seconds) =
        duration.filter(|&s| rules.impossible_duration && (s <= 0.0 || s > limits.duration_seconds_max))
    {
        let expected = "a length above zero and within a day";
        return Err(fault(Reason::ImpossibleDuration, field, seconds, expected));
    }
    let (watched, field) = scaled(Field::WatchSeconds, Field::WatchMs)?;
    if let Some(seconds) =
        watched.filter(|&s| rules.impossible_duration && (s < 0.0 || s > limits.watch_seconds_max))
    {
        let expected = "a watch time of at least zero and within a week";
        return Err(fault(Reason::ImpossibleDuration, field, seconds, expected));
    }
    let ratio = number(Field::Ratio)?;
    if let Some(ratio) = ratio.filter(|&ratio| rules.impossible_duration && ratio < 0.0) {
        return Err(fault(Reason::ImpossibleDuration, Field::Ratio, ratio, "a ratio of at least zero"));
    }
    let ratio = ratio.or_else(|| Some(watched? / duration?)).map(|ratio| ratio as f32);
    let rating = number(Field::Rating)?;
    let given = action_of(row, columns)?;
    let (value, said) = match given {
        Some(Action::Search | Action::Comment) => (None, around::text_of(cell(row, columns, Field::Value))),
        _ => (number(Field::Value)?, None),
    };
    let mut marks = [None; MARKS.len() + 1];
    let mut has_marks = false;
    for (mark, (field, action)) in marks.iter_mut().zip(MARKS) {
        has_marks |= columns.has(field);
        *mark = number(field)?.filter(|&mark| mark != 0.0).map(|_| (action, 1.0));
    }
    let watch_columns = [Field::WatchSeconds, Field::WatchMs, Field::Ratio, Field::Value];
    let can_measure = watch_columns.into_iter().find(|&field| columns.has(field));
    let is_watch = watched.is_some() || ratio.is_some() || value.is_some();
    let commented = || {
        let column = columns.get(Field::Words)?;
        let is_comment = bare(&row.column(column).name).starts_with("comment");
        is_comment.then(|| around::words(row, columns)).flatten()
    };
    let (action, value, ratio) = match given {
        Some(Action::Watch) => (Action::Watch, watched.or(if ratio.is_none() { value } else { None }), ratio),
        // Amazon Personalize keeps the stars where it keeps the share of a watch.
        Some(Action::Rating) => (Action::Rating, rating.or(value).or(ratio.map(f64::from)), None),
        Some(action) => (action, value.or(Some(1.0)), None),
        None if is_watch => (Action::Watch, watched.or(value), ratio),
        None if rating.is_some() => (Action::Rating, rating, None),
        // A row of marks alone says that the video was shown, and what followed.
        None if has_marks => (Action::Impression, None, None),
        None if columns.is_search => (Action::Search, Some(1.0), None),
        None if commented().is_some() => (Action::Comment, Some(1.0), None),
        None if columns.has(Field::Impressions) && !columns.has(Field::Video) => {
            (Action::Impression, None, None)
        }
        None => match can_measure.or(columns.has(Field::Rating).then_some(Field::Rating)) {
            Some(field) => return Err(fault(Reason::Missing, field, "", "a number")),
            None => (Action::Watch, None, None),
        },
    };
    if action != Action::Rating {
        marks[MARKS.len()] =
            rating.filter(|_| !columns.has(Field::Action)).map(|stars| (Action::Rating, stars as f32));
    }
    Ok(Measures {
        action,
        time,
        value: value.map(|value| value as f32),
        ratio,
        duration: duration.map(|seconds| seconds as f32),
        part: part_of(row, columns)?,
        said,
        position: number(Field::Position)?.map_or(0, |position| position as i64),
        marks,
    })
}

/// Words that stand for nothing where a number belongs.
pub(crate) fn is_nothing(text: &str) -> bool {
    ["", "null", "none", "na", "n/a", "\\n"].iter().any(|nothing| text.eq_ignore_ascii_case(nothing))
}

fn number_of(cell: &Cell, field: Field) -> Result<Option<f64>, Fault> {
    let expected = "a number";
    let number = match cell {
        Cell::Missing => return Ok(None),
        Cell::Int(int) | Cell::Time(int) => *int as f64,
        Cell::Float(float) => *float,
        Cell::Text(text) => match text.trim() {
            text if is_nothing(text) => return Ok(None),
            text if text.eq_ignore_ascii_case("true") => 1.0,
            text if text.eq_ignore_ascii_case("false") => 0.0,
            text => (text.parse().ok())
                .or_else(|| of_length(text, field))
                .ok_or_else(|| fault(Reason::Malformed, field, text, expected))?,
        },
        Cell::List(values) => {
            return Err(fault(Reason::Malformed, field, format!("{values:?}"), expected));
        }
    };
    // Values are kept as 32-bit floats: what does not fit there is not finite there.
    if number.is_finite() && (field == Field::Time || (number as f32).is_finite()) {
        Ok(Some(number))
    } else {
        Err(fault(Reason::NonFinite, field, number, "a finite number"))
    }
}

/// A length of time that is written with its unit, in the unit of the field.
fn of_length(text: &str, field: Field) -> Option<f64> {
    let a_second = match field {
        Field::Value | Field::WatchSeconds | Field::Duration => 1.0,
        Field::WatchMs | Field::DurationMs => 1_000.0,
        _ => return None,
    };
    Some(length::seconds(text)? * a_second)
}

fn time_of(options: &Options, row: &Row, columns: &Columns) -> Result<i64, Fault> {
    let field = Field::Time;
    let Some(column) = columns.get(field) else { return Ok(0) };
    let expected = "seconds or milliseconds since 1970, an ISO 8601 time, or YYYYMMDD";
    let cell = row.cell(column);
    let time = match &cell {
        Cell::Time(time) => *time,
        Cell::Text(text) if text.trim().parse::<f64>().is_err() && !is_nothing(text.trim()) => {
            time::from_text(text).ok_or_else(|| fault(Reason::Malformed, field, text, expected))?
        }
        cell => match number_of(cell, field)? {
            Some(number) => time::from_number(number),
            None => return Err(fault(Reason::Missing, field, "", expected)),
        },
    };
    let shown = || match &cell {
        Cell::Text(text) => text.to_string(),
        Cell::Int(int) | Cell::Time(int) => int.to_string(),
        Cell::Float(float) => float.to_string(),
        _ => String::new(),
    };
    let rules = &options.rules;
    if rules.times_after_duplicates {
        return Ok(time);
    }
    if rules.negative_time && time < 0 {
        return Err(fault(Reason::NegativeTime, field, shown(), "a time since 1970"));
    }
    if rules.zero_time && time == 0 {
        return Err(fault(Reason::ZeroTime, field, shown(), "a time since 1970"));
    }
    let latest = options.now.map(|now| now.saturating_add(options.limits.future_ms_max));
    if rules.future_time && latest.is_some_and(|latest| time > latest) {
        return Err(fault(Reason::FutureTime, field, shown(), "a time that is past"));
    }
    Ok(time)
}

/// The action that people mean by a word.
pub(crate) fn action_named(name: &str) -> Option<Action> {
    Action::from_name(name).or_else(|| {
        Some(match bare(name).as_str() {
            "watch" | "watched" | "view" | "viewed" | "play" | "played" | "click" | "clicked" | "read"
            | "seen" | "stream" | "streamed" | "listen" | "videoview" | "videoplay" | "pageview"
            | "itempageview" | "detailpageview" | "open" | "start" => Action::Watch,
            "like" | "liked" | "star" | "love" | "favorite" | "favourite" | "thumbsup" | "upvote" => {
                Action::Like
            }
            "comment" | "commented" | "reply" => Action::Comment,
            "follow" | "followed" | "subscribe" => Action::Follow,
            "collect" | "collected" | "bookmark" | "save" | "saved" | "watchlater" | "cart" | "addtocart"
            | "wishlist" | "addtolist" | "addtowatchlist" | "download" | "queue" => Action::Collect,
            "forward" | "forwarded" | "share" | "shared" | "repost" => Action::Forward,
            "effectiveview" | "validview" | "longview" | "complete" | "completed" | "finish" | "purchase"
            | "purchased" | "buy" | "rent" | "conv" | "conversion" | "order" => Action::EffectiveView,
            "hate" | "dislike" | "notinterested" | "thumbsdown" | "downvote" | "report" | "skip"
            | "skipped" | "block" | "hide" => Action::Hate,
            "impression" | "show" | "shown" | "exposure" => Action::Impression,
            "search" => Action::Search,
            "rating" | "rate" | "rated" | "review" | "stars" => Action::Rating,
            _ => return None,
        })
    })
}

fn action_of(row: &Row, columns: &Columns) -> Result<Option<Action>, Fault> {
    let field = Field::Action;
    let Some(column) = columns.get(field) else { return Ok(None) };
    let expected =
        "watch, like, comment, follow, collect, forward, effective_view, hate, impression, search or rating";
    let cell = row.cell(column);
    match cell.clone().into_id() {
        None => Err(fault(Reason::Missing, field, "", expected)),
        Some(name) => match action_named(&name) {
            Some(action) => Ok(Some(action)),
            None => Err(fault(Reason::Malformed, field, name, expected)),
        },
    }
}

fn part_of(row: &Row, columns: &Columns) -> Result<Option<Part>, Fault> {
    let field = Field::Part;
    let Some(column) = columns.get(field) else { return Ok(None) };
    let expected = "train, validation or test, or 0, 1, 2";
    match row.cell(column).into_id() {
        None => Err(fault(Reason::Missing, field, "", expected)),
        Some(name) => match part_named(&name) {
            Some(part) => Ok(Some(part)),
            None => Err(fault(Reason::Malformed, field, name, expected)),
        },
    }
}

/// The part that a word, or the name of a file, stands for.
pub(crate) fn part_named(name: &str) -> Option<Part> {
    match name.to_ascii_lowercase().as_str() {
        "0" | "train" | "trn" | "training" => Some(Part::Train),
        "1" | "valid" | "val" | "validation" | "vali" | "dev" => Some(Part::Validation),
        "2" | "test" | "tst" | "testing" => Some(Part::Test),
        _ => None,
    }
}

/// Cells that cannot be read, by field: a few are dropped, more than half are an error.
#[derive(Default)]
pub(crate) struct BadCells {
    fields: BTreeMap<Field, (u64, u64, String, &'static str)>,
    rows: Option<(u64, u64, String)>,
}

impl BadCells {
    pub(crate) fn cell(&mut self, fault: &Fault, line: u64) {
        if fault.reason == Reason::Malformed {
            let first = || (0, line, fault.value.chars().take(80).collect(), fault.expected);
            self.fields.entry(fault.field).or_insert_with(first).0 += 1;
        }
    }

    pub(crate) fn row(&mut self, line: u64, note: &str) {
        self.rows.get_or_insert_with(|| (0, line, note.into())).0 += 1;
    }

    pub(crate) fn judge(
        self,
        path: &std::path::Path,
        names: &[String],
        columns: &Columns,
        rows: u64,
    ) -> Result<(), IngestError> {
        if let Some((bad, line, found)) = self.rows.filter(|(bad, ..)| 2 * bad > rows) {
            return Err(IngestError::Line {
                path: path.to_owned(),
                line,
                found: format!("{found}, and so are {bad} of {rows} rows"),
                expected: "rows like the header".into(),
            });
        }
        let worst = self.fields.into_iter().find(|(_, (bad, ..))| 2 * bad > rows);
        let Some((field, (bad, line, value, expected))) = worst else { return Ok(()) };
        Err(IngestError::MostlyMalformed {
            path: path.to_owned(),
            line,
            column: columns.get(field).map_or(field.name(), |column| &names[column]).into(),
            field: field.name(),
            value: value.into(),
            expected,
            bad,
            rows,
        })
    }
}
