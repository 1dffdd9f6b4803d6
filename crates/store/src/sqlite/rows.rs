//! The statements, and how rows become shapes.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use serde_json::Value;

use crate::{Feedback, FeedbackQuery, StoredUser, StoredVideo};

pub(super) const ACCUMULATE: &str = "
INSERT INTO feedback (user, video, kind, value, time, labels, comment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (user, video, kind) DO UPDATE SET
    value = max(-1.7976931348623157e308, min(1.7976931348623157e308, value + excluded.value)),
    time = max(time, excluded.time),
    labels = coalesce(excluded.labels, labels),
    comment = CASE excluded.comment WHEN '' THEN comment ELSE excluded.comment END";

pub(super) const OVERWRITE: &str = "
INSERT INTO feedback (user, video, kind, value, time, labels, comment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (user, video, kind) DO UPDATE SET
    value = excluded.value, time = excluded.time, labels = excluded.labels, comment = excluded.comment";

pub(super) const SEE_USER: &str = "
INSERT INTO users (id, labels, comment, deleted) VALUES (?1, NULL, '', 0)
ON CONFLICT (id) DO UPDATE SET deleted = 0 WHERE deleted";

pub(super) const HISTORY: &str = "
SELECT kind, user, video, value, time, labels, comment FROM feedback
WHERE user = ?1 ORDER BY time DESC, number DESC LIMIT ?2";

pub(super) const RECENT: &str = "
SELECT kind, user, video, value, time, labels, comment FROM feedback
WHERE time >= ?1 ORDER BY time DESC, number DESC LIMIT ?2";

pub(super) const DELETE_FEEDBACK: &str =
    "DELETE FROM feedback WHERE user = ?1 AND video = ?2 AND (?3 IS NULL OR kind = ?3)";

pub(super) const USER: &str = "SELECT id, labels, comment FROM users WHERE id = ?1 AND NOT deleted";

pub(super) const USERS: &str =
    "SELECT id, labels, comment FROM users WHERE id > ?1 AND NOT deleted ORDER BY id LIMIT ?2";

pub(super) const BURY_USER: &str = "
INSERT INTO users (id, labels, comment, deleted) VALUES (?1, NULL, '', 1)
ON CONFLICT (id) DO UPDATE SET labels = NULL, comment = '', deleted = 1";

pub(super) const VIDEO: &str =
    "SELECT id, hidden, categories, time, labels, comment FROM videos WHERE id = ?1 AND NOT deleted";

pub(super) const VIDEOS: &str = "
SELECT id, hidden, categories, time, labels, comment FROM videos
WHERE id > ?1 AND NOT deleted ORDER BY id LIMIT ?2";

pub(super) const LATEST_VIDEOS: &str = "
SELECT id, hidden, categories, time, labels, comment FROM videos
WHERE NOT hidden AND NOT deleted ORDER BY time DESC, id LIMIT ?1";

pub(super) const BURY_VIDEO: &str = "
INSERT INTO videos (id, hidden, categories, time, labels, comment, deleted) VALUES (?1, 0, '[]', NULL, NULL, '', 1)
ON CONFLICT (id) DO UPDATE SET
    hidden = 0, categories = '[]', time = NULL, labels = NULL, comment = '', deleted = 1";

pub(super) const HIDDEN: &str = "SELECT id FROM videos WHERE hidden OR deleted ORDER BY id LIMIT ?1";

pub(super) const COUNTS: &str = "
SELECT (SELECT count(*) FROM users WHERE NOT deleted), (SELECT count(*) FROM videos WHERE NOT deleted),
    (SELECT count(*) FROM feedback)";

/// A statement for the parts that are given, so that each finds its index. The plus keeps SQLite from
/// choosing an index for a column that narrows less.
pub(super) fn feedback_query(query: &FeedbackQuery<'_>) -> &'static str {
    macro_rules! listed {
        ($condition:literal) => {
            concat!(
                "SELECT kind, user, video, value, time, labels, comment, number FROM feedback WHERE ",
                $condition,
                " AND +number > ?1 AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR user = ?4)",
                " AND (?5 IS NULL OR video = ?5) ORDER BY number LIMIT ?2"
            )
        };
    }
    match (query.user, query.video) {
        (Some(_), _) => listed!("user = ?4"),
        (None, Some(_)) => listed!("video = ?5 AND number > ?1"),
        (None, None) => listed!("number > ?1"),
    }
}

pub(super) fn put_user(connection: &Connection, user: &StoredUser) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO users (id, labels, comment, deleted) VALUES (?1, ?2, ?3, 0)";
    connection.prepare_cached(sql)?.execute(params![user.id, json_or_null(&user.labels), user.comment])?;
    Ok(())
}

pub(super) fn put_video(connection: &Connection, video: &StoredVideo) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO videos (id, hidden, categories, time, labels, comment, deleted)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)";
    connection.prepare_cached(sql)?.execute(params![
        video.id,
        video.hidden,
        Value::from(video.categories.as_slice()).to_string(),
        video.time,
        json_or_null(&video.labels),
        video.comment
    ])?;
    Ok(())
}

pub(super) fn json_or_null(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| value.to_string())
}

pub(super) fn feedback(row: &Row<'_>) -> rusqlite::Result<Feedback> {
    Ok(Feedback {
        kind: row.get(0)?,
        user: row.get(1)?,
        video: row.get(2)?,
        value: row.get(3)?,
        time: row.get(4)?,
        labels: json(row, 5)?,
        comment: row.get(6)?,
    })
}

pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<StoredUser> {
    Ok(StoredUser { id: row.get(0)?, labels: json(row, 1)?, comment: row.get(2)? })
}

pub(super) fn video(row: &Row<'_>) -> rusqlite::Result<StoredVideo> {
    let categories: String = row.get(2)?;
    Ok(StoredVideo {
        id: row.get(0)?,
        hidden: row.get(1)?,
        categories: serde_json::from_str(&categories).map_err(|e| not_json(2, e))?,
        time: row.get(3)?,
        labels: json(row, 4)?,
        comment: row.get(5)?,
    })
}

fn json(row: &Row<'_>, at: usize) -> rusqlite::Result<Value> {
    match row.get_ref(at)?.as_str_or_null()? {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(text).map_err(|e| not_json(at, e)),
    }
}

fn not_json(at: usize, error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error))
}
