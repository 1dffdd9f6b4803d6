//! JSON lines whose objects hold several kinds of thing, or things inside things: Metarank's events and
//! Gorse's dumps. A lens makes the flat rows of one kind out of them, which the readers of tables then take.

use std::path::Path;

use hashbrown::{HashMap, HashSet};
use serde_json::{Map, Value};

use crate::columns::bare;
use crate::formats::events::action_named;
use crate::source::Lines;
use crate::table::is_vector;
use crate::{Format, IngestError, Limits, time};

type Object = Map<String, Value>;

/// One kind of row in such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Metarank's `interaction`.
    Interactions,
    /// Metarank's `ranking`: what was shown.
    Rankings,
    /// What a `ranking` labels as wanted, where no interaction tells it.
    Labels,
    /// Metarank's `item`.
    Items,
    /// Metarank's `user`.
    Users,
    /// Gorse's feedback.
    Feedback,
    /// Gorse's items.
    GorseItems,
    /// Gorse's users.
    GorseUsers,
}

/// What a line is, seen through a lens.
pub(crate) enum Seen {
    /// A flat row.
    Row(Object),
    /// A row of another kind.
    Other,
    /// No row of any kind, with the reason.
    Broken(String),
}

/// Makes the rows of one kind, with what has to be known of the whole file.
pub(crate) struct Lens {
    kind: Kind,
    /// Who saw each ranking and when, for interactions that do not say whose they are.
    rankings: HashMap<String, (String, Option<i64>)>,
    /// Whose each session is, as any event says.
    sessions: HashMap<String, String>,
    /// Rankings that an interaction names.
    answered: HashSet<String>,
    /// Whether the value of a `read` is a share, since none is above one.
    is_share: bool,
    /// Whether any feedback has a time.
    is_timed: bool,
}

/// How long after a ranking an interaction still belongs to it: half an hour.
const JOIN_MS: i64 = 30 * 60 * 1_000;

/// The kinds of row that a file may hold, and its format, if its first lines are such.
pub(crate) fn recognise(
    path: &Path,
    limits: &Limits,
) -> Result<Option<(Format, &'static [Kind])>, IngestError> {
    let mut lines = Lines::open(path, limits)?;
    for _ in 0..20 {
        let Some(line) = lines.next()? else { break };
        let Ok(object) = serde_json::from_slice::<Object>(line) else { continue };
        let has = |wanted: &str| value(&object, wanted).is_some();
        let event = value(&object, "event").and_then(Value::as_str).unwrap_or_default();
        if ["item", "user", "interaction", "ranking"].contains(&event) && has("timestamp") {
            let kinds = &[Kind::Interactions, Kind::Rankings, Kind::Labels, Kind::Items, Kind::Users];
            return Ok(Some((Format::Metarank, kinds)));
        }
        if has("feedbackkey") || (has("feedbacktype") && has("userid") && has("itemid")) {
            return Ok(Some((Format::Gorse, &[Kind::Feedback])));
        }
        // Only Gorse writes these names in this case.
        let pascal = |wanted: &str| object.contains_key(wanted);
        if pascal("ItemId")
            && !has("userid")
            && (pascal("IsHidden") || pascal("Categories") || pascal("Labels"))
        {
            return Ok(Some((Format::Gorse, &[Kind::GorseItems])));
        }
        if pascal("UserId")
            && !has("itemid")
            && (pascal("Labels") || pascal("Subscribe") || pascal("Comment"))
        {
            return Ok(Some((Format::Gorse, &[Kind::GorseUsers])));
        }
    }
    Ok(None)
}

/// The value of a key, whatever its case.
fn value<'a>(object: &'a Object, wanted: &str) -> Option<&'a Value> {
    let found = object.get(wanted).or_else(|| Some(object.iter().find(|(key, _)| bare(key) == wanted)?.1));
    found.filter(|value| !value.is_null())
}

/// An id, which may be written as a number.
fn id(object: &Object, wanted: &str) -> Option<String> {
    match value(object, wanted)? {
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// When an event happened, in milliseconds since 1970.
fn moment(object: &Object) -> Option<i64> {
    match value(object, "timestamp")? {
        Value::Number(number) => number.as_f64().map(time::from_number),
        Value::String(text) => match text.trim().parse::<f64>() {
            Ok(number) => Some(time::from_number(number)),
            Err(_) => time::from_text(text),
        },
        _ => None,
    }
}

/// Go writes times that are not set as those of the year 1.
fn is_set(time: &Value) -> bool {
    !time.as_str().is_some_and(|text| text.is_empty() || text.starts_with("0001-01-01"))
}

impl Lens {
    /// Looks through a file once: what its rows hold, by name, whether that is a vector, and what has to be known
    /// of all of it.
    pub(crate) fn open(
        path: &Path,
        kind: Kind,
        limits: &Limits,
    ) -> Result<(Self, Vec<(String, bool)>), IngestError> {
        let mut lens = Self {
            kind,
            rankings: HashMap::new(),
            sessions: HashMap::new(),
            answered: HashSet::new(),
            is_share: true,
            is_timed: false,
        };
        let mut lines = Lines::open(path, limits)?;
        let (mut names, mut known) = (Vec::new(), HashSet::new());
        while let Some(line) = lines.next()? {
            let Ok(object) = serde_json::from_slice::<Object>(line) else { continue };
            lens.learn(&object);
            if lens.rankings.len().max(lens.sessions.len()).max(lens.answered.len()) > limits.ids_max {
                let (what, limit) = ("rankings", "ids_max");
                return Err(IngestError::Limit { path: path.to_owned(), what, most: limits.ids_max, limit });
            }
            if let Seen::Row(row) = lens.see(object) {
                for (name, value) in &row {
                    if !known.contains(name) {
                        known.insert(name.clone());
                        names.push((name.clone(), is_vector(value)));
                    }
                }
            }
            if names.len() > limits.columns_max {
                let (what, limit) = ("columns", "columns_max");
                return Err(IngestError::Limit {
                    path: path.to_owned(),
                    what,
                    most: limits.columns_max,
                    limit,
                });
            }
        }
        if !lens.is_timed {
            names.retain(|(name, _)| kind != Kind::Feedback || name != "timestamp");
        }
        Ok((lens, names))
    }

    /// Whether faulty lines are told of through this lens; one of a file's lenses tells.
    pub(crate) fn tells(&self) -> bool {
        matches!(self.kind, Kind::Interactions | Kind::Feedback)
    }

    fn learn(&mut self, object: &Object) {
        match self.kind {
            Kind::Interactions | Kind::Rankings | Kind::Labels => {
                let (user, session) = (id(object, "user"), id(object, "session"));
                if let (Some(user), Some(session)) = (&user, &session) {
                    self.sessions.entry(session.clone()).or_insert_with(|| user.clone());
                }
                let event = value(object, "event").and_then(Value::as_str).unwrap_or_default();
                match (event, self.kind) {
                    ("ranking", Kind::Interactions) => {
                        if let (Some(ranking), Some(viewer)) = (id(object, "id"), user.or(session)) {
                            self.rankings.insert(ranking, (viewer, moment(object)));
                        }
                    }
                    ("interaction", Kind::Labels) => self.answered.extend(id(object, "ranking")),
                    _ => {}
                }
            }
            Kind::Feedback => {
                self.is_timed |= value(object, "timestamp").is_some_and(is_set);
                let of_watch = value(object, "feedbacktype")
                    .or_else(|| value(value(object, "feedbackkey")?.as_object()?, "feedbacktype"))
                    .and_then(Value::as_str)
                    .is_some_and(|name| action_named(name) == Some(upnext_data::Action::Watch));
                if of_watch && value(object, "value").and_then(Value::as_f64).is_some_and(|value| value > 1.0)
                {
                    self.is_share = false;
                }
            }
            _ => {}
        }
    }

    /// A line as a row of this lens's kind.
    pub(crate) fn see(&self, object: Object) -> Seen {
        match self.kind {
            Kind::Feedback => self.feedback(&object),
            Kind::GorseItems | Kind::GorseUsers => self.described(&object),
            _ => self.metarank(&object),
        }
    }

    fn metarank(&self, object: &Object) -> Seen {
        let event = value(object, "event").and_then(Value::as_str).unwrap_or_default();
        let kind = match event.to_ascii_lowercase().as_str() {
            "interaction" => Kind::Interactions,
            "ranking" => Kind::Rankings,
            "item" => Kind::Items,
            "user" => Kind::Users,
            other => {
                let other: String = other.chars().take(40).collect();
                return Seen::Broken(format!(
                    "`event` is `{other}`; expected item, user, interaction or ranking"
                ));
            }
        };
        let of_ranking = kind == Kind::Rankings && self.kind == Kind::Labels;
        if kind != self.kind && !of_ranking {
            return Seen::Other;
        }
        let mut row = Object::new();
        let mut put = |name: &str, found: Option<Value>| {
            found.map(|found| row.insert(name.to_string(), found));
        };
        match kind {
            Kind::Items => put("item_id", id(object, "item").map(Value::from)),
            Kind::Users => put("user_id", id(object, "user").map(Value::from)),
            _ => {
                put("user_id", self.viewer(object).map(Value::from));
                put("timestamp", value(object, "timestamp").cloned());
            }
        }
        if kind == Kind::Interactions {
            put("item_id", id(object, "item").map(Value::from));
            put("event_type", value(object, "type").cloned());
        }
        if kind == Kind::Rankings {
            let items = value(object, "items").and_then(Value::as_array);
            if of_ranking {
                let is_answered = id(object, "id").is_some_and(|ranking| self.answered.contains(&ranking));
                let wanted = |item: &&Value| {
                    let label = item.as_object().and_then(|item| value(item, "label")?.as_f64());
                    label.is_some_and(|label| label > 0.0)
                };
                let labelled = items.into_iter().flatten().filter(wanted);
                let labelled: Vec<Value> =
                    labelled.filter_map(|item| id(item.as_object()?, "id").map(Value::from)).collect();
                if is_answered || labelled.is_empty() {
                    return Seen::Other;
                }
                put("item_id", Some(Value::Array(labelled)));
                put("event_type", Some("click".into()));
                return Seen::Row(row);
            }
            let ids = items.map(|items| {
                let of = |item: &Value| match item {
                    Value::Object(item) => id(item, "id").map(Value::from),
                    Value::String(_) | Value::Number(_) => Some(item.clone()),
                    _ => None,
                };
                Value::Array(items.iter().filter_map(of).collect())
            });
            put("impressions", ids);
            return Seen::Row(row);
        }
        let fields = value(object, "fields").and_then(Value::as_array);
        for field in fields.into_iter().flatten().filter_map(Value::as_object) {
            if let (Some(name), Some(found)) = (id(field, "name"), value(field, "value")) {
                row.entry(name).or_insert_with(|| found.clone());
            }
        }
        Seen::Row(row)
    }

    /// Whose an event is: as it says, as its ranking says if that is not too long ago, as its session's other events
    /// say, or the session itself.
    fn viewer(&self, object: &Object) -> Option<String> {
        let of_session = |session: String| self.sessions.get(&session).cloned().unwrap_or(session);
        let of_ranking = || {
            let (viewer, shown) = self.rankings.get(&id(object, "ranking")?)?;
            let is_near =
                shown.zip(moment(object)).is_none_or(|(shown, at)| at.saturating_sub(shown) <= JOIN_MS);
            is_near.then(|| of_session(viewer.clone()))
        };
        id(object, "user").or_else(of_ranking).or_else(|| id(object, "session").map(of_session))
    }

    fn feedback(&self, object: &Object) -> Seen {
        let key = value(object, "feedbackkey").and_then(Value::as_object).unwrap_or(object);
        let mut row = Object::new();
        let mut put = |name: &str, found: Option<Value>| {
            found.map(|found| row.insert(name.to_string(), found));
        };
        put("user_id", id(key, "userid").map(Value::from));
        put("item_id", id(key, "itemid").map(Value::from));
        let kind = id(key, "feedbacktype");
        if let Some(given) = value(object, "value").and_then(Value::as_f64).filter(|&given| given != 0.0) {
            let measure = match kind.as_deref().and_then(action_named) {
                Some(upnext_data::Action::Watch) if self.is_share => Some("watch_ratio"),
                Some(upnext_data::Action::Watch) => Some("watch_seconds"),
                Some(upnext_data::Action::Rating) => Some("rating"),
                _ => None,
            };
            if let Some(measure) = measure {
                put(measure, Some(given.into()));
            }
        }
        put("event_type", kind.map(Value::from));
        put("timestamp", value(object, "timestamp").filter(|time| is_set(time)).cloned());
        put("comment_text", value(object, "comment").cloned());
        Seen::Row(row)
    }

    fn described(&self, object: &Object) -> Seen {
        let mut row = Object::new();
        let of_item = self.kind == Kind::GorseItems;
        let (wanted, name) = if of_item { ("itemid", "item_id") } else { ("userid", "user_id") };
        let Some(found) = id(object, wanted) else { return Seen::Broken(format!("no `{name}`")) };
        row.insert(name.into(), found.into());
        for (name, found) in object {
            if found.is_null() {
                continue;
            }
            match bare(name).as_str() {
                "labels" => labels("", found, &mut row, 0),
                "comment" if of_item => drop(row.insert("title".into(), found.clone())),
                "comment" => drop(row.insert("about".into(), found.clone())),
                "timestamp" if of_item && is_set(found) => {
                    drop(row.insert("published".into(), found.clone()))
                }
                "categories" => drop(row.insert("categories".into(), found.clone())),
                "ishidden" => drop(row.insert("is_hidden".into(), found.clone())),
                _ => {}
            }
        }
        Seen::Row(row)
    }
}

/// How deep labels are looked into.
const LABELS_DEEP: usize = 4;

/// Labels are a list, a word, or an object of such by name.
fn labels(name: &str, found: &Value, row: &mut Object, depth: usize) {
    match found {
        Value::Object(inner) if depth < LABELS_DEEP => {
            for (key, found) in inner {
                let name = if name.is_empty() { key.clone() } else { format!("{name}_{key}") };
                labels(&name, found, row, depth + 1);
            }
        }
        Value::Null | Value::Object(_) => {}
        found => {
            let name = if name.is_empty() { "tags" } else { name };
            row.entry(name).or_insert_with(|| found.clone());
        }
    }
}
