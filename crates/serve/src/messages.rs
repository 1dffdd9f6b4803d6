//! Events as streams bring them: what clients send to `/api/v2/events`, Gorse's feedback, Metarank's interactions; one, or a list.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use upnext_store::{Feedback, Identified, Write};

use crate::ServeConfig;
use crate::extract::check_depth;
use crate::moment::{self, Moment};

/// What a message holds.
#[derive(Debug, Default, PartialEq)]
pub struct Message {
    /// Events that say what somebody did.
    pub events: Vec<Identified>,
    /// Metarank's events of items, users and rankings, which are no deeds and are passed over.
    pub n_passed_over: usize,
}

/// An event of `/api/v2/events`, of the page, of a stream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEvent {
    pub(crate) user: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) video: String,
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) value: f64,
    #[serde(default)]
    pub(crate) time: Moment,
    pub(crate) event_id: Option<String>,
}

/// Feedback of Gorse.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewFeedback {
    feedback_type: String,
    user_id: String,
    item_id: String,
    #[serde(default)]
    value: f64,
    #[serde(default)]
    timestamp: Moment,
    #[serde(default)]
    labels: Value,
    #[serde(default)]
    comment: Option<String>,
}

/// An interaction of Metarank.
#[derive(Deserialize)]
struct Interaction {
    id: String,
    ranking: Option<String>,
    user: Option<String>,
    session: Option<String>,
    item: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    timestamp: Moment,
    #[serde(default)]
    fields: Vec<Field>,
}

/// A field of an interaction.
#[derive(Deserialize)]
struct Field {
    name: String,
    value: Value,
}

/// Reads a message that was published at `published`, in milliseconds since 1970, which stands in where an event has no time. Events with
/// an id replace what was said before of their kind, as over HTTP; Gorse's feedback is added to it.
///
/// # Errors
/// What is wrong with it, and where; nothing of it is used then.
pub fn read_message(payload: &[u8], published: i64, config: &ServeConfig) -> Result<Message, String> {
    if payload.len() > config.body_bytes_max {
        return Err(format!("{} bytes; expected at most {}", payload.len(), config.body_bytes_max));
    }
    check_depth(payload, config.json_depth_max)
        .map_err(|_| format!("nested deeper than {}, the bound `json_depth_max`", config.json_depth_max))?;
    let value: Value = serde_json::from_slice(payload).map_err(|error| format!("not JSON: {error}"))?;
    let all = match value {
        Value::Array(all) => all,
        one => vec![one],
    };
    if all.len() > config.batch_max {
        return Err(format!("{} events; expected at most {}", all.len(), config.batch_max));
    }
    let shown = shown(&all);
    let mut message = Message::default();
    for (at, value) in all.into_iter().enumerate() {
        let wrong = |why: String| format!("event {at}: {why}");
        match event(value, &shown).map_err(wrong)? {
            None => message.n_passed_over += 1,
            Some((mut event, time)) => {
                event.feedback.time = time_of(time, published, config).map_err(wrong)?;
                check(&event, config).map_err(wrong)?;
                message.events.push(event);
            }
        }
    }
    Ok(message)
}

/// Who was shown the rankings of a message: its interactions may name them instead of a user.
fn shown(all: &[Value]) -> HashMap<String, String> {
    let ranking = |value: &Value| {
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        let is_ranking = value.get("event").and_then(Value::as_str) == Some("ranking");
        let user = if is_ranking { somebody(text("user"), text("session")).ok() } else { None };
        Some((text("id")?, user?))
    };
    all.iter().filter_map(ranking).collect()
}

fn event(value: Value, shown: &HashMap<String, String>) -> Result<Option<(Identified, Moment)>, String> {
    let has = |field: &str| value.get(field).is_some();
    if has("action") || has("video") {
        let event: NewEvent = shaped(value)?;
        let user = somebody(event.user, event.session)?;
        let feedback = deed(event.action, user, event.video, event.value);
        return Ok(Some((Identified { id: event.event_id, write: Write::Overwrite, feedback }, event.time)));
    }
    if has("FeedbackType") {
        let row: NewFeedback = shaped(value)?;
        let feedback = Feedback {
            labels: row.labels,
            comment: row.comment.unwrap_or_default(),
            ..deed(row.feedback_type, row.user_id, row.item_id, row.value)
        };
        return Ok(Some((Identified { id: None, write: Write::Accumulate, feedback }, row.timestamp)));
    }
    match value.get("event").and_then(Value::as_str) {
        Some("interaction") => {
            let event: Interaction = shaped(value)?;
            let of_ranking = || event.ranking.and_then(|ranking| shown.get(&ranking).cloned());
            let user = somebody(event.user, event.session).or_else(|error| of_ranking().ok_or(error))?;
            let value = event.fields.iter().find(|field| field.name == "value");
            let value = value.and_then(|field| field.value.as_f64()).unwrap_or(0.0);
            let fields = event.fields.into_iter().map(|field| (field.name, field.value));
            let fields: serde_json::Map<String, Value> = fields.collect();
            let labels = if fields.is_empty() { Value::Null } else { Value::Object(fields) };
            let feedback = Feedback { labels, ..deed(event.kind, user, event.item, value) };
            Ok(Some((Identified { id: Some(event.id), write: Write::Overwrite, feedback }, event.timestamp)))
        }
        Some("item" | "user" | "ranking") => Ok(None),
        _ => Err("expected `action` and `video`, or Gorse's `FeedbackType`, or Metarank's `event`".into()),
    }
}

fn shaped<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("`{path}`: {}", error.inner()),
    })
}

fn somebody(user: Option<String>, session: Option<String>) -> Result<String, String> {
    let session = session.map(|session| format!("session:{session}"));
    user.or(session).ok_or_else(|| "expected a `user`, or the `session` of somebody unknown".into())
}

/// That somebody did something; when is said later.
pub(crate) fn deed(kind: String, user: String, video: String, value: f64) -> Feedback {
    Feedback { kind, user, video, value, time: 0, labels: Value::Null, comment: String::new() }
}

/// When it was done, within the same bounds as over HTTP, measured from when it was published.
fn time_of(given: Moment, published: i64, config: &ServeConfig) -> Result<i64, String> {
    const DAY_MILLISECONDS: i64 = 86_400_000;
    let Some(time) = given.0 else { return Ok(published) };
    let ahead = time.saturating_sub(published);
    if time < 0 {
        Err(format!("its time is {}, before 1970", moment::written(Some(time))))
    } else if ahead <= config.clock_skew_milliseconds_max {
        Ok(time.min(published))
    } else if ahead > config.future_days_max.saturating_mul(DAY_MILLISECONDS) {
        let days = config.future_days_max;
        Err(format!("its time is {}, more than {days} days ahead", moment::written(Some(time))))
    } else {
        Ok(time)
    }
}

fn check(event: &Identified, config: &ServeConfig) -> Result<(), String> {
    let Feedback { kind, user, video, .. } = &event.feedback;
    let id = event.id.as_ref().map(|id| ("event id", id));
    for (what, id) in [("kind", kind), ("user", user), ("video", video)].into_iter().chain(id) {
        let (n, max) = (id.len(), config.id_bytes_max);
        if n == 0 || n > max {
            return Err(format!("its {what} has {n} bytes; expected 1 to {max}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Message, String> {
        read_message(text.as_bytes(), 1_700_000_000_000, &ServeConfig::default())
    }

    #[test]
    fn the_events_of_three_worlds_are_read_one_by_one_and_in_lists() {
        let ours = r#"{"event_id": "e1", "user": "ann", "video": "v", "action": "like", "time": 1600000000}"#;
        let gorse =
            r#"{"FeedbackType": "read", "UserId": "ann", "ItemId": "v", "Value": 0.5, "Comment": "good"}"#;
        let metarank = r#"{"event": "interaction", "id": "m1", "timestamp": "1599391467000", "session": "s",
            "item": "v", "type": "click", "fields": [{"name": "value", "value": 2.5}]}"#;
        let message = read(&format!("[{ours}, {gorse}, {metarank}, {{\"event\": \"ranking\"}}]")).unwrap();
        assert_eq!(message.n_passed_over, 1);
        let told: Vec<_> = message
            .events
            .iter()
            .map(|e| {
                let f = &e.feedback;
                (
                    e.id.as_deref(),
                    e.write,
                    f.kind.as_str(),
                    f.user.as_str(),
                    f.value,
                    f.time,
                    f.comment.as_str(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (Some("e1"), Write::Overwrite, "like", "ann", 0.0, 1_600_000_000_000, ""),
                (None, Write::Accumulate, "read", "ann", 0.5, 1_700_000_000_000, "good"),
                (Some("m1"), Write::Overwrite, "click", "session:s", 2.5, 1_599_391_467_000, ""),
            ]
        );
        assert_eq!(read(ours).unwrap().events, message.events[..1]);
        assert_eq!(read("[]").unwrap(), Message::default());
        let ranked = r#"[{"event": "ranking", "id": "r", "user": "ann"},
            {"event": "interaction", "id": "m2", "ranking": "r", "item": "v", "type": "click"}]"#;
        assert_eq!(read(ranked).unwrap().events[0].feedback.user, "ann");
    }

    #[test]
    fn what_cannot_be_meant_is_said_with_its_place() {
        let long = format!(r#"[{{"user": "{}", "video": "v", "action": "like"}}]"#, "x".repeat(600));
        for (text, expected) in [
            ("{", "not JSON"),
            ("7", "event 0: expected `action` and `video`, or Gorse's"),
            (r#"{"user": "ann", "video": "v"}"#, "event 0: missing field `action`"),
            (r#"{"video": "v", "action": "like"}"#, "event 0: expected a `user`, or the `session`"),
            (r#"[[]]"#, "event 0: expected `action`"),
            (
                r#"{"user": "ann", "video": "v", "action": "like", "value": "x"}"#,
                "event 0: `value`: invalid type",
            ),
            (r#"{"user": "ann", "video": "", "action": "like"}"#, "event 0: its video has 0 bytes"),
            (r#"{"user": "ann", "video": "v", "action": "like", "time": -5}"#, "before 1970"),
            (r#"{"user": "ann", "video": "v", "action": "like", "time": 9e12}"#, "days ahead"),
            (long.as_str(), "event 0: its user has 600 bytes; expected 1 to"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
