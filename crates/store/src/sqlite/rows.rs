//! The statements, and how rows become shapes.

use rusqlite::types::Type;
use rusqlite::{Connection, Params, Row, params};
use serde_json::Value;

use super::writer::Desk;
use crate::{Counts, Feedback, FeedbackQuery, Receipt, StoredUser, StoredVideo, Write};

pub(super) const ACCUMULATE: &str = "
INSERT INTO feedback (user, video, kind, number, value, time, labels, comment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (user, video, kind) DO UPDATE SET
    value = max(-1.7976931348623157e308, min(1.7976931348623157e308, value + excluded.value)),
    time = max(time, excluded.time),
    labels = coalesce(excluded.labels, labels),
    comment = CASE excluded.comment WHEN '' THEN comment ELSE excluded.comment END";

pub(super) const OVERWRITE: &str = "
INSERT INTO feedback (user, video, kind, number, value, time, labels, comment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (user, video, kind) DO UPDATE SET
    value = excluded.value, time = excluded.time, labels = excluded.labels, comment = excluded.comment";

/// Beyond the rows that count as sorted by video too, even where the newest of them are gone: a row with such a number would never be
/// sorted.
pub(super) const NEXT_NUMBER: &str = "
SELECT max(
    coalesce((SELECT max(number) FROM feedback), 0),
    coalesce((SELECT value FROM state WHERE name = 'by_video_until'), 0)
) + 1";

/// Rows of feedback with a number up to this one are in `feedback_by_video`.
pub(super) const BY_VIDEO_UNTIL: &str = "SELECT value FROM state WHERE name = 'by_video_until'";

pub(super) const SET_BY_VIDEO_UNTIL: &str = "UPDATE state SET value = ?1 WHERE name = 'by_video_until'";

pub(super) const UNSORTED: &str = "
SELECT video, number FROM feedback INDEXED BY feedback_by_number WHERE number > ?1 AND number <= ?2";

/// By its number, so that a row that was deleted meanwhile does not enter.
pub(super) const ENTER_BY_VIDEO: &str = "
INSERT OR IGNORE INTO feedback_by_video (video, number)
SELECT video, number FROM feedback INDEXED BY feedback_by_number WHERE number = ?1";

/// A user's number and whether the user was deleted.
pub(super) const NUMBER_OF_USER: &str = "SELECT number, deleted FROM users WHERE id = ?1";

pub(super) const SEE_USER: &str = "
INSERT INTO users (id, labels, comment, deleted) VALUES (?1, NULL, '', 0)
ON CONFLICT (id) DO UPDATE SET deleted = 0
RETURNING number";

/// Changes a row only if the id is new or was to be forgotten.
pub(super) const NEW_EVENT_ID: &str = "
INSERT INTO event_ids (digest, time) VALUES (?1, ?2)
ON CONFLICT (digest) DO UPDATE SET time = excluded.time WHERE time < ?3";

/// At most so many at once, so that no commit takes long.
pub(super) const FORGET_EVENT_IDS: &str = "
DELETE FROM event_ids WHERE digest IN (SELECT digest FROM event_ids WHERE time < ?1 ORDER BY time LIMIT ?2)";

pub(super) const POSITION: &str = "SELECT sequence FROM positions WHERE stream = ?1";

pub(super) const STEP: &str = "
INSERT INTO positions (stream, sequence) VALUES (?1, ?2) ON CONFLICT (stream) DO UPDATE SET sequence = excluded.sequence";

/// A user's rows lie side by side, so sorting them costs less than a second tree would on each write. The
/// plus keeps SQLite from walking through everybody's rows by time instead.
pub(super) const HISTORY: &str = "
SELECT kind, ?1, video, value, time, labels, comment FROM feedback
WHERE user = (SELECT number FROM users WHERE id = ?1) AND +time <= ?3 ORDER BY +time DESC, +number DESC LIMIT ?2";

pub(super) const NEXT_TIME: &str = "
SELECT min(+time) FROM feedback WHERE user = (SELECT number FROM users WHERE id = ?1) AND +time > ?2";

pub(super) const RECENT: &str = "
SELECT f.kind, u.id, f.video, f.value, f.time, f.labels, f.comment
FROM feedback AS f INDEXED BY feedback_by_time CROSS JOIN users AS u ON u.number = f.user
WHERE f.time >= ?1 AND f.time <= ?3 ORDER BY f.time DESC, f.number DESC LIMIT ?2";

pub(super) const DELETE_FEEDBACK: &str = "
DELETE FROM feedback
WHERE user = (SELECT number FROM users WHERE id = ?1) AND video = ?2 AND (?3 IS NULL OR kind = ?3)";

pub(super) const DELETE_FEEDBACK_OF_USER: &str =
    "DELETE FROM feedback WHERE user = (SELECT number FROM users WHERE id = ?1)";

pub(super) const KEYS_ON_VIDEO: &str = "
SELECT f.user, f.video, f.kind FROM (
    SELECT number FROM feedback_by_video WHERE video = ?1
    UNION SELECT number FROM feedback INDEXED BY feedback_by_number
    WHERE number > (SELECT value FROM state WHERE name = 'by_video_until') AND video = ?1
) AS n CROSS JOIN feedback AS f INDEXED BY feedback_by_number ON f.number = n.number";

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

pub(super) const KINDS_OF_USER: &str = "
SELECT kind, count(*) FROM feedback WHERE user = (SELECT number FROM users WHERE id = ?1) GROUP BY kind";

pub(super) const RECEIPTS: &str =
    "SELECT time, profiles, feedback, digest FROM forgotten ORDER BY number LIMIT ?1 OFFSET ?2";

pub(super) const OLD_KEYS: &str = "
SELECT user, video, kind FROM feedback INDEXED BY feedback_by_time
WHERE time < ?1 ORDER BY time, number LIMIT ?2";

/// Each counts what must not be.
pub(super) const CHECKS: [(&str, &str); 5] = [
    (
        "rows of feedback are of a user who is not there",
        "SELECT count(*) FROM feedback WHERE user NOT IN (SELECT number FROM users)",
    ),
    (
        "rows are sorted by video, but gone",
        "SELECT count(*) FROM feedback_by_video AS v WHERE NOT EXISTS (
            SELECT 1 FROM feedback AS f INDEXED BY feedback_by_number
            WHERE f.number = v.number AND f.video = v.video)",
    ),
    (
        "rows should be sorted by video, but are not",
        "SELECT count(*) FROM feedback AS f INDEXED BY feedback_by_number
        WHERE f.number <= (SELECT value FROM state WHERE name = 'by_video_until') AND NOT EXISTS (
            SELECT 1 FROM feedback_by_video AS v WHERE v.video = f.video AND v.number = f.number)",
    ),
    (
        "marks of how far rows are sorted by video are missing",
        "SELECT 1 - count(*) FROM state WHERE name = 'by_video_until'",
    ),
    (
        "is the difference between rows of feedback and those listed by time",
        "SELECT abs((SELECT count(*) FROM feedback INDEXED BY feedback_by_number)
            - (SELECT count(*) FROM feedback INDEXED BY feedback_by_time))",
    ),
];

pub(super) const DUMPED: &str = "
SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM videos), (SELECT count(*) FROM feedback),
    (SELECT count(*) FROM forgotten), (SELECT count(*) FROM event_ids), (SELECT count(*) FROM positions)";

/// By number, so that users who come back in this order lie as they lay.
pub(super) const DUMP_USERS: &str = "SELECT id, labels, comment, deleted FROM users ORDER BY number";

pub(super) const DUMP_VIDEOS: &str =
    "SELECT id, hidden, categories, time, labels, comment, deleted FROM videos ORDER BY id";

pub(super) const DUMP_FEEDBACK: &str = "
SELECT f.kind, u.id, f.video, f.value, f.time, f.labels, f.comment
FROM feedback AS f INDEXED BY feedback_by_number CROSS JOIN users AS u ON u.number = f.user ORDER BY f.number";

pub(super) const DUMP_FORGOTTEN: &str =
    "SELECT time, profiles, feedback, digest FROM forgotten ORDER BY number";

pub(super) const DUMP_EVENT_IDS: &str = "SELECT digest, time FROM event_ids ORDER BY digest";

pub(super) const DUMP_POSITIONS: &str = "SELECT stream, sequence FROM positions ORDER BY stream";

pub(super) const HOLDS_ANYTHING: &str = "
SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM videos) OR EXISTS (SELECT 1 FROM feedback)
    OR EXISTS (SELECT 1 FROM forgotten) OR EXISTS (SELECT 1 FROM event_ids) OR EXISTS (SELECT 1 FROM positions)";

pub(super) const HAS_RECEIPT: &str = "SELECT EXISTS (SELECT 1 FROM forgotten WHERE digest = ?1)";

pub(super) const LAST_RECEIPT: &str = "SELECT digest FROM forgotten ORDER BY number DESC LIMIT 1";

/// The later time of two, so that nothing is forgotten too early.
pub(super) const RESTORE_EVENT_ID: &str = "
INSERT INTO event_ids (digest, time) VALUES (?1, ?2) ON CONFLICT (digest) DO UPDATE SET time = max(time, excluded.time)";

/// The farther of two, since the store then holds what both have read.
pub(super) const RESTORE_POSITION: &str = "
INSERT INTO positions (stream, sequence) VALUES (?1, ?2)
ON CONFLICT (stream) DO UPDATE SET sequence = max(sequence, excluded.sequence)";

/// Whether a text is a part of what rows say, as their texts lie side by side, or of what SQLite itself writes.
pub(super) const STANDS_IN_ROWS: &str = "
SELECT instr('SQLite format 3', ?1)
    OR EXISTS (SELECT 1 FROM sqlite_schema WHERE instr(type || name || tbl_name || coalesce(sql, ''), ?1))
    OR EXISTS (SELECT 1 FROM users WHERE instr(id || coalesce(labels, '') || comment, ?1))
    OR EXISTS (SELECT 1 FROM videos WHERE instr(id || categories || coalesce(labels, '') || comment, ?1))
    OR EXISTS (SELECT 1 FROM feedback WHERE instr(video || kind || coalesce(labels, '') || comment, ?1))
    OR EXISTS (SELECT 1 FROM forgotten WHERE instr(feedback || digest, ?1))
    OR EXISTS (SELECT 1 FROM event_ids WHERE instr(digest, ?1))
    OR EXISTS (SELECT 1 FROM positions WHERE instr(stream, ?1))
    OR EXISTS (SELECT 1 FROM state WHERE instr(name, ?1))";

pub(super) const RESTORE_USER: &str = "
INSERT INTO users (id, labels, comment, deleted) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET
    labels = excluded.labels, comment = excluded.comment, deleted = excluded.deleted";

pub(super) const RESTORE_VIDEO: &str = "
INSERT OR REPLACE INTO videos (id, hidden, categories, time, labels, comment, deleted)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) const SORT_ALL_BY_VIDEO: &str = "
INSERT OR IGNORE INTO feedback_by_video (video, number)
    SELECT video, number FROM feedback INDEXED BY feedback_by_number
    WHERE number > (SELECT value FROM state WHERE name = 'by_video_until') ORDER BY video, number;
UPDATE state SET value = coalesce((SELECT max(number) FROM feedback), 0) WHERE name = 'by_video_until';";

pub(super) const COUNTS: &str = "
SELECT (SELECT count(*) FROM users WHERE NOT deleted), (SELECT count(*) FROM videos WHERE NOT deleted),
    (SELECT count(*) FROM feedback)";

/// A statement for the parts that are given, so that each finds its tree. The plus keeps SQLite from
/// choosing a tree for a column that narrows less.
pub(super) fn feedback_query(query: &FeedbackQuery<'_>) -> &'static str {
    macro_rules! listed {
        ($from:literal, $condition:literal) => {
            concat!(
                "SELECT f.kind, u.id, f.video, f.value, f.time, f.labels, f.comment, f.number FROM ",
                $from,
                " WHERE ",
                $condition,
                " AND +f.number > ?1 AND (?3 IS NULL OR f.kind = ?3) AND (?4 IS NULL OR u.id = ?4)",
                " AND (?5 IS NULL OR f.video = ?5) ORDER BY f.number LIMIT ?2"
            )
        };
    }
    match (query.user, query.video) {
        (Some(_), _) => {
            listed!("users AS u CROSS JOIN feedback AS f ON f.user = u.number", "u.id = ?4")
        }
        (None, Some(_)) => listed!(
            "(SELECT number FROM feedback_by_video
                WHERE video = ?5 AND number > ?1
                    AND number <= (SELECT value FROM state WHERE name = 'by_video_until')
                UNION ALL SELECT number FROM feedback INDEXED BY feedback_by_number
                WHERE number > max(?1, (SELECT value FROM state WHERE name = 'by_video_until'))
                    AND video = ?5) AS n
            CROSS JOIN feedback AS f INDEXED BY feedback_by_number ON f.number = n.number
            CROSS JOIN users AS u ON u.number = f.user",
            "f.video = ?5"
        ),
        (None, None) => listed!(
            "feedback AS f INDEXED BY feedback_by_number CROSS JOIN users AS u ON u.number = f.user",
            "f.number > ?1"
        ),
    }
}

/// Feedback made ready on the caller's thread, so that the one that writes has less to do.
pub(super) struct Prepared {
    /// In the order of their tree, each with its place in the call and its labels as text.
    rows: Vec<(usize, Feedback, Option<String>)>,
}

impl Prepared {
    pub(super) fn new(feedback: &[Feedback]) -> Self {
        let ready = |(at, f): (usize, &Feedback)| (at, f.clone(), json_or_null(&f.labels));
        let mut rows: Vec<_> = feedback.iter().enumerate().map(ready).collect();
        // A stable sort: rows of one key keep their order, and the first gives its number.
        rows.sort_by(|(_, a, _), (_, b, _)| (&a.user, &a.video, &a.kind).cmp(&(&b.user, &b.video, &b.kind)));
        Self { rows }
    }

    pub(super) fn write(&self, desk: &Desk, write: Write) -> rusqlite::Result<()> {
        let mut put = desk.connection.prepare_cached(match write {
            Write::Accumulate => ACCUMULATE,
            Write::Overwrite => OVERWRITE,
        })?;
        let first = desk.numbers(self.rows.len());
        let mut last: Option<(&str, i64)> = None;
        for (at, f, labels) in &self.rows {
            let user = match last {
                Some((id, number)) if id == f.user => number,
                _ => desk.user(&f.user)?,
            };
            last = Some((&f.user, user));
            let number = first + *at as i64;
            put.execute(params![user, f.video, f.kind, number, f.value, f.time, labels, f.comment])?;
        }
        Ok(())
    }
}

pub(super) fn put_user(connection: &Connection, user: &StoredUser) -> rusqlite::Result<()> {
    let sql = "INSERT INTO users (id, labels, comment, deleted) VALUES (?1, ?2, ?3, 0) ON CONFLICT (id) DO UPDATE SET
        labels = excluded.labels, comment = excluded.comment, deleted = 0";
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

/// Deletes the rows of feedback whose keys a statement finds; each by its key, as SQLite would look through
/// all rows of their users.
pub(super) fn delete_found(
    connection: &Connection,
    keys: &str,
    params: impl Params,
) -> rusqlite::Result<usize> {
    let found: Vec<(i64, String, String)> = connection
        .prepare_cached(keys)?
        .query_map(params, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let sql = "DELETE FROM feedback WHERE user = ?1 AND video = ?2 AND kind = ?3";
    let mut delete = connection.prepare_cached(sql)?;
    for (user, video, kind) in &found {
        delete.execute(params![user, video, kind])?;
    }
    Ok(found.len())
}

pub(super) fn put_receipt(connection: &Connection, receipt: &Receipt) -> rusqlite::Result<()> {
    let sql = "INSERT INTO forgotten (time, profiles, feedback, digest) VALUES (?1, ?2, ?3, ?4)";
    let feedback = serde_json::to_string(&receipt.feedback).unwrap_or_default();
    let profiles = i64::try_from(receipt.profiles).unwrap_or(i64::MAX);
    connection.execute(sql, params![receipt.time, profiles, feedback, receipt.digest])?;
    Ok(())
}

pub(super) fn receipt(row: &Row<'_>) -> rusqlite::Result<Receipt> {
    let feedback: String = row.get(2)?;
    Ok(Receipt {
        time: row.get(0)?,
        profiles: row.get::<_, i64>(1)?.unsigned_abs(),
        feedback: serde_json::from_str(&feedback).map_err(|e| not_json(2, e))?,
        digest: row.get(3)?,
    })
}

pub(super) fn counts(row: &Row<'_>) -> rusqlite::Result<Counts> {
    let count = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
    Ok(Counts { users: count(0)?, videos: count(1)?, feedback: count(2)? })
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
