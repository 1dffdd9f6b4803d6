//! The tables, the statements, and how rows become shapes.
//!
//! Ids, kinds and comments may hold a zero byte, which PostgreSQL's text may not: see [`stored`]. Ids are compared by their bytes
//! (`COLLATE "C"`), as every store does it.

use std::borrow::Cow;

use serde_json::Value;
use tokio_postgres::Row;

use crate::{Feedback, FeedbackQuery, Receipt, StoredUser, StoredVideo};

/// The number in the table `store` of tables that this build reads and writes.
pub(super) const TABLES_VERSION: i64 = 1;

/// Makes the tables. The only row of `store` is locked by whoever writes; `writers` has one row for each process that does, with the
/// number of its last commit.
pub(super) const TABLES: &str = r#"
CREATE TABLE store (is_one BOOLEAN PRIMARY KEY CHECK (is_one), version BIGINT NOT NULL);
CREATE TABLE writers (id TEXT PRIMARY KEY, commits BIGINT NOT NULL, at TIMESTAMPTZ NOT NULL);
CREATE TABLE users (
    id TEXT COLLATE "C" PRIMARY KEY, labels TEXT, comment TEXT NOT NULL, deleted BOOLEAN NOT NULL
);
CREATE TABLE videos (
    id TEXT COLLATE "C" PRIMARY KEY, hidden BOOLEAN NOT NULL, categories TEXT NOT NULL, time BIGINT, labels TEXT,
    comment TEXT NOT NULL, deleted BOOLEAN NOT NULL
);
CREATE INDEX videos_withheld ON videos (id) WHERE hidden OR deleted;
CREATE INDEX videos_by_time ON videos (time DESC NULLS LAST, id) WHERE NOT hidden AND NOT deleted;
CREATE TABLE feedback (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id TEXT COLLATE "C" NOT NULL,
    video_id TEXT COLLATE "C" NOT NULL, kind TEXT COLLATE "C" NOT NULL, value DOUBLE PRECISION NOT NULL,
    time BIGINT NOT NULL, labels TEXT, comment TEXT NOT NULL, UNIQUE (user_id, video_id, kind)
);
CREATE INDEX feedback_by_user ON feedback (user_id, time, number);
CREATE INDEX feedback_by_video ON feedback (video_id, number);
CREATE INDEX feedback_by_time ON feedback (time, number);
CREATE TABLE event_ids (digest TEXT COLLATE "C" PRIMARY KEY, time BIGINT NOT NULL);
CREATE INDEX event_ids_by_time ON event_ids (time);
CREATE TABLE positions (stream TEXT COLLATE "C" PRIMARY KEY, sequence BIGINT NOT NULL);
CREATE TABLE receipts (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, time BIGINT NOT NULL, profiles BIGINT NOT NULL,
    feedback TEXT NOT NULL, digest TEXT NOT NULL
);
"#;

/// Takes the turn to write, until the transaction ends.
pub(super) const TAKE_TURN: &str = "SELECT version FROM store FOR UPDATE";

pub(super) const COMMITS: &str = "SELECT commits FROM writers WHERE id = $1";

pub(super) const COUNT_COMMIT: &str = "
INSERT INTO writers (id, commits, at) VALUES ($1, $2, now())
ON CONFLICT (id) DO UPDATE SET commits = excluded.commits, at = excluded.at";

/// Those that have written nothing for a week wait for no answer any more.
pub(super) const FORGET_WRITERS: &str = "DELETE FROM writers WHERE at < now() - interval '7 days'";

pub(super) const NOTIFY: &str = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload";

/// A sum beyond the largest number would be an error, so it is seen beforehand.
pub(super) const ACCUMULATE: &str = "
INSERT INTO feedback (user_id, video_id, kind, value, time, labels, comment)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::int8[], $6::text[], $7::text[])
ON CONFLICT (user_id, video_id, kind) DO UPDATE SET
    value = CASE
        WHEN feedback.value > 0 AND excluded.value > 1.7976931348623157e308 - feedback.value
            THEN 1.7976931348623157e308
        WHEN feedback.value < 0 AND excluded.value < -1.7976931348623157e308 - feedback.value
            THEN -1.7976931348623157e308
        ELSE feedback.value + excluded.value END,
    time = greatest(feedback.time, excluded.time),
    labels = coalesce(excluded.labels, feedback.labels),
    comment = CASE excluded.comment WHEN '' THEN feedback.comment ELSE excluded.comment END";

pub(super) const OVERWRITE: &str = "
INSERT INTO feedback (user_id, video_id, kind, value, time, labels, comment)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::int8[], $6::text[], $7::text[])
ON CONFLICT (user_id, video_id, kind) DO UPDATE SET
    value = excluded.value, time = excluded.time, labels = excluded.labels, comment = excluded.comment";

/// Whom feedback names is there. Users that already are stay untouched: even a conflict would write.
pub(super) const SEE_USERS: &str = "
INSERT INTO users (id, labels, comment, deleted)
SELECT DISTINCT seen.id, NULL, '', false FROM unnest($1::text[]) AS seen (id)
WHERE NOT EXISTS (SELECT FROM users WHERE users.id = seen.id AND NOT users.deleted)
ON CONFLICT (id) DO UPDATE SET deleted = false";

/// Returns the digests of ids that are new or were to be forgotten.
pub(super) const NEW_EVENT_IDS: &str = "
INSERT INTO event_ids (digest, time) SELECT digest, $2 FROM unnest($1::text[]) AS given (digest)
ON CONFLICT (digest) DO UPDATE SET time = excluded.time WHERE event_ids.time < $3 RETURNING digest";

/// At most so many at once, so that no commit takes long.
pub(super) const FORGET_EVENT_IDS: &str = "
DELETE FROM event_ids WHERE digest IN (SELECT digest FROM event_ids WHERE time < $1 ORDER BY time LIMIT $2)";

pub(super) const POSITION: &str = "SELECT sequence FROM positions WHERE stream = $1";

pub(super) const STEP: &str = "
INSERT INTO positions (stream, sequence) VALUES ($1, $2) ON CONFLICT (stream) DO UPDATE SET sequence = excluded.sequence";

pub(super) const FORGET_FEEDBACK: &str = "
WITH gone AS (DELETE FROM feedback WHERE user_id = $1 RETURNING kind) SELECT kind, count(*) FROM gone GROUP BY kind";

pub(super) const FORGET_USER: &str = "DELETE FROM users WHERE id = $1";

pub(super) const LAST_RECEIPT: &str = "SELECT digest FROM receipts ORDER BY number DESC LIMIT 1";

pub(super) const PUT_RECEIPT: &str =
    "INSERT INTO receipts (time, profiles, feedback, digest) VALUES ($1, $2, $3, $4)";

pub(super) const RECEIPTS: &str = "SELECT time, profiles, feedback, digest FROM receipts ORDER BY number";

pub(super) const EXPIRE: &str = "
DELETE FROM feedback WHERE number IN (SELECT number FROM feedback WHERE time < $1 ORDER BY time, number LIMIT $2)";

pub(super) const HISTORY: &str = "
SELECT kind, user_id, video_id, value, time, labels, comment FROM feedback
WHERE user_id = $1 AND time <= $2 ORDER BY time DESC, number DESC LIMIT $3";

pub(super) const NEXT_TIME: &str =
    "SELECT time FROM feedback WHERE user_id = $1 AND time > $2 ORDER BY time LIMIT 1";

pub(super) const RECENT: &str = "
SELECT kind, user_id, video_id, value, time, labels, comment FROM feedback
WHERE time >= $1 AND time <= $2 ORDER BY time DESC, number DESC LIMIT $3";

pub(super) const DELETE_FEEDBACK: &str =
    "DELETE FROM feedback WHERE user_id = $1 AND video_id = $2 AND ($3::text IS NULL OR kind = $3)";

pub(super) const DELETE_FEEDBACK_OF_USER: &str = "DELETE FROM feedback WHERE user_id = $1";

pub(super) const DELETE_FEEDBACK_ON_VIDEO: &str = "DELETE FROM feedback WHERE video_id = $1";

pub(super) const USER: &str = "SELECT id, labels, comment FROM users WHERE id = $1 AND NOT deleted";

pub(super) const USER_PRESENCE: &str = "SELECT deleted FROM users WHERE id = $1";

pub(super) const USERS: &str =
    "SELECT id, labels, comment FROM users WHERE id > $1 AND NOT deleted ORDER BY id LIMIT $2";

pub(super) const PUT_USERS: &str = "
INSERT INTO users (id, labels, comment, deleted)
SELECT id, labels, comment, false FROM unnest($1::text[], $2::text[], $3::text[]) AS given (id, labels, comment)
ON CONFLICT (id) DO UPDATE SET labels = excluded.labels, comment = excluded.comment, deleted = false";

pub(super) const BURY_USER: &str = "
INSERT INTO users (id, labels, comment, deleted) VALUES ($1, NULL, '', true)
ON CONFLICT (id) DO UPDATE SET labels = NULL, comment = '', deleted = true";

pub(super) const VIDEO: &str =
    "SELECT id, hidden, categories, time, labels, comment FROM videos WHERE id = $1 AND NOT deleted";

pub(super) const VIDEO_PRESENCE: &str = "SELECT deleted FROM videos WHERE id = $1";

pub(super) const VIDEOS: &str = "
SELECT id, hidden, categories, time, labels, comment FROM videos
WHERE id > $1 AND NOT deleted ORDER BY id LIMIT $2";

pub(super) const LATEST_VIDEOS: &str = "
SELECT id, hidden, categories, time, labels, comment FROM videos
WHERE NOT hidden AND NOT deleted ORDER BY time DESC NULLS LAST, id LIMIT $1";

pub(super) const PUT_VIDEOS: &str = "
INSERT INTO videos (id, hidden, categories, time, labels, comment, deleted)
SELECT id, hidden, categories, time, labels, comment, false
FROM unnest($1::text[], $2::bool[], $3::text[], $4::int8[], $5::text[], $6::text[])
    AS given (id, hidden, categories, time, labels, comment)
ON CONFLICT (id) DO UPDATE SET
    hidden = excluded.hidden, categories = excluded.categories, time = excluded.time,
    labels = excluded.labels, comment = excluded.comment, deleted = false";

pub(super) const BURY_VIDEO: &str = "
INSERT INTO videos (id, hidden, categories, time, labels, comment, deleted)
VALUES ($1, false, '[]', NULL, NULL, '', true)
ON CONFLICT (id) DO UPDATE SET
    hidden = false, categories = '[]', time = NULL, labels = NULL, comment = '', deleted = true";

pub(super) const HIDDEN: &str = "SELECT id FROM videos WHERE hidden OR deleted ORDER BY id LIMIT $1";

pub(super) const COUNTS: &str = "
SELECT (SELECT count(*) FROM users WHERE NOT deleted), (SELECT count(*) FROM videos WHERE NOT deleted),
    (SELECT count(*) FROM feedback)";

/// A statement for the parts that are given, so that each finds its index.
pub(super) fn feedback_query(query: &FeedbackQuery<'_>) -> &'static str {
    macro_rules! listed {
        ($condition:literal) => {
            concat!(
                "SELECT kind, user_id, video_id, value, time, labels, comment, number FROM feedback WHERE ",
                $condition,
                " AND number > $1 AND ($3::text IS NULL OR kind = $3) AND ($4::text IS NULL OR user_id = $4)",
                " AND ($5::text IS NULL OR video_id = $5) ORDER BY number LIMIT $2"
            )
        };
    }
    match (query.user, query.video) {
        (Some(_), _) => listed!("user_id = $4"),
        (None, Some(_)) => listed!("video_id = $5"),
        (None, None) => listed!("true"),
    }
}

/// A text without a zero byte: U+0000 becomes U+0001 U+0001, and U+0001 becomes U+0001 U+0002, which keeps the order of texts. Hardly a
/// text holds either, so that what others read with SQL is what was sent.
pub(super) fn stored(text: &str) -> String {
    match text.contains(['\u{0}', '\u{1}']) {
        true => text.replace('\u{1}', "\u{1}\u{2}").replace('\u{0}', "\u{1}\u{1}"),
        false => text.to_owned(),
    }
}

/// The text that [`stored`] was given.
fn given(text: &str) -> Cow<'_, str> {
    match text.contains('\u{1}') {
        true => Cow::Owned(text.replace("\u{1}\u{1}", "\u{0}").replace("\u{1}\u{2}", "\u{1}")),
        false => Cow::Borrowed(text),
    }
}

/// JSON escapes zero bytes by itself.
pub(super) fn json_or_null(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| value.to_string())
}

pub(super) fn text(row: &Row, at: usize) -> Result<String, String> {
    let text: &str = row.try_get(at).map_err(|error| error.to_string())?;
    Ok(given(text).into_owned())
}

pub(super) fn cell<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, String> {
    row.try_get(at).map_err(|error| error.to_string())
}

fn json(row: &Row, at: usize) -> Result<Value, String> {
    match cell::<Option<&str>>(row, at)? {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(text).map_err(|error| error.to_string()),
    }
}

pub(super) fn feedback(row: &Row) -> Result<Feedback, String> {
    Ok(Feedback {
        kind: text(row, 0)?,
        user: text(row, 1)?,
        video: text(row, 2)?,
        value: cell(row, 3)?,
        time: cell(row, 4)?,
        labels: json(row, 5)?,
        comment: text(row, 6)?,
    })
}

pub(super) fn receipt(row: &Row) -> Result<Receipt, String> {
    Ok(Receipt {
        time: cell(row, 0)?,
        profiles: cell::<i64>(row, 1)?.unsigned_abs(),
        feedback: serde_json::from_str(cell(row, 2)?).map_err(|error| error.to_string())?,
        digest: text(row, 3)?,
    })
}

pub(super) fn user(row: &Row) -> Result<StoredUser, String> {
    Ok(StoredUser { id: text(row, 0)?, labels: json(row, 1)?, comment: text(row, 2)? })
}

pub(super) fn video(row: &Row) -> Result<StoredVideo, String> {
    Ok(StoredVideo {
        id: text(row, 0)?,
        hidden: cell(row, 1)?,
        categories: serde_json::from_str(cell(row, 2)?).map_err(|error| error.to_string())?,
        time: cell(row, 3)?,
        labels: json(row, 4)?,
        comment: text(row, 5)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_comes_back_in_its_order(a in "[\u{0}-\u{3}a]{0,6}", b in "[\u{0}-\u{3}a]{0,6}") {
            let (of_a, of_b) = (stored(&a), stored(&b));
            prop_assert!(!of_a.contains(char::from(0)));
            prop_assert_eq!(given(&of_a), a.as_str());
            prop_assert_eq!(of_a.cmp(&of_b), a.cmp(&b));
        }
    }
}
