//! The whole store as lines of JSON, and back.
//!
//! A line is `["check",body]`. The check is a digest of the one before and of the body, so that a line that was
//! changed, lost, added or moved is found where it stands. The first body is a header, the last says how many
//! lines came before it. Numbers with a fraction, and labels, are texts, so that they come back to the bit.

use std::io::{BufRead, Read, Write};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::writer::Desk;
use super::{Sqlite, open, rows};
use crate::{Counts, Receipt, StoreConfig, StoreError};

/// The number in the header of a dump that this build writes.
pub const DUMP_VERSION: u32 = 2;

/// The oldest that it reads: without ids of events and positions in streams.
const OLDEST_DUMP_VERSION: u32 = 1;

/// Letters of the digest of an event's id.
const DIGEST_LETTERS: usize = 64;

/// Letters of a check.
const CHECK_LETTERS: usize = 32;

/// How many rows pass between two reports of progress.
const PROGRESS_EVERY: u64 = 10_000;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Dump {
        format: String,
        version: u32,
        users: u64,
        videos: u64,
        feedback: u64,
        forgotten: u64,
        #[serde(default)]
        event_ids: u64,
        #[serde(default)]
        positions: u64,
    },
    User {
        id: String,
        labels: Option<String>,
        comment: String,
        deleted: bool,
    },
    Video {
        id: String,
        hidden: bool,
        categories: String,
        time: Option<i64>,
        labels: Option<String>,
        comment: String,
        deleted: bool,
    },
    Feedback {
        kind: String,
        user: String,
        video: String,
        value: String,
        time: i64,
        labels: Option<String>,
        comment: String,
    },
    Forgotten {
        time: i64,
        profiles: u64,
        feedback: String,
        digest: String,
    },
    EventId {
        digest: String,
        time: i64,
    },
    Position {
        stream: String,
        sequence: u64,
    },
    End {
        lines: u64,
    },
}

const FORMAT: &str = "upnext store";

impl Sqlite {
    /// Writes everything, as of one moment, while the store is in use. `progress` hears how many rows of how
    /// many are written. As long as it runs, the write-ahead log grows by what is written meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read or `out` cannot be written.
    pub fn dump(
        &self,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Counts, StoreError> {
        let connection = open::reader(&self.path, &self.config)?;
        let wrap = |error| open::database_error(&self.path, "dump it", error);
        connection.execute_batch("BEGIN").map_err(wrap)?;
        let (counts, [forgotten, event_ids, positions]) = connection
            .query_row(rows::DUMPED, [], |row| {
                let n = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
                Ok((Counts { users: n(0)?, videos: n(1)?, feedback: n(2)? }, [n(3)?, n(4)?, n(5)?]))
            })
            .map_err(wrap)?;
        let Counts { users, videos, feedback } = counts;
        let total = users + videos + feedback + forgotten + event_ids + positions;
        let mut lines = Lines { out, check: String::new(), n: 0, total, progress };
        let (format, version) = (FORMAT.to_owned(), DUMP_VERSION);
        lines.put(&Line::Dump {
            format,
            version,
            users,
            videos,
            feedback,
            forgotten,
            event_ids,
            positions,
        })?;
        for (sql, line) in [
            (rows::DUMP_USERS, user_line as fn(&Row<'_>) -> rusqlite::Result<Line>),
            (rows::DUMP_VIDEOS, video_line),
            (rows::DUMP_FEEDBACK, feedback_line),
            (rows::DUMP_FORGOTTEN, forgotten_line),
            (rows::DUMP_EVENT_IDS, event_id_line),
            (rows::DUMP_POSITIONS, position_line),
        ] {
            let mut statement = connection.prepare(sql).map_err(wrap)?;
            let mut found = statement.query([]).map_err(wrap)?;
            while let Some(row) = found.next().map_err(wrap)? {
                lines.put(&line(row).map_err(wrap)?)?;
            }
        }
        let n = lines.n;
        lines.put(&Line::End { lines: n })?;
        lines.out.flush().map_err(|source| StoreError::DumpWrite { source })?;
        Ok(counts)
    }

    /// Makes the store in the file `path` out of a dump, in one transaction: all of it or nothing. A store
    /// that holds anything is left alone unless `merge` is set; then rows of the dump replace those of their key, whoever and whatever is
    /// deleted in it loses its feedback, and receipts continue the store's own.
    ///
    /// # Errors
    /// As [`Sqlite::open`]; when the store is not empty; when a line of the dump is torn, altered, out of
    /// bounds or missing, or when a receipt does not continue the store's, which is named by its number.
    pub fn restore(
        path: impl AsRef<Path>,
        config: &StoreConfig,
        dump: &mut dyn BufRead,
        merge: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Counts, StoreError> {
        config.check()?;
        let path = path.as_ref();
        let (_lock, connection) = open::writer(path, config)?;
        let wrap = |error| open::database_error(path, "restore into it", error);
        connection.execute_batch("BEGIN IMMEDIATE").map_err(wrap)?;
        let holds =
            connection.query_row(rows::HOLDS_ANYTHING, [], |row| row.get::<_, bool>(0)).map_err(wrap)?;
        if holds && !merge {
            return Err(StoreError::NotEmpty { path: path.into() });
        }
        if merge {
            // So that feedback on a video that is deleted in the dump is found at once.
            connection.execute_batch(rows::SORT_ALL_BY_VIDEO).map_err(wrap)?;
        }
        // Whatever goes wrong, the connection closes without a commit, which leaves nothing.
        let desk = Desk::new(connection, config).map_err(wrap)?;
        let counts = read(&Target { desk: &desk, path, config, merge }, dump, progress)?;
        desk.connection.execute_batch(rows::SORT_ALL_BY_VIDEO).map_err(wrap)?;
        desk.connection.execute_batch("COMMIT").map_err(wrap)?;
        desk.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(wrap)?;
        Ok(counts)
    }
}

/// What a dump is read into.
struct Target<'a> {
    desk: &'a Desk,
    path: &'a Path,
    config: &'a StoreConfig,
    merge: bool,
}

struct Lines<'a> {
    out: &'a mut dyn Write,
    check: String,
    n: u64,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Lines<'_> {
    fn put(&mut self, line: &Line) -> Result<(), StoreError> {
        let failed = |source| StoreError::DumpWrite { source };
        let body = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        self.check = check(&self.check, &body);
        writeln!(self.out, "[\"{}\",{body}]", self.check).map_err(failed)?;
        self.n += 1;
        if self.n.is_multiple_of(PROGRESS_EVERY) || self.n == self.total + 2 {
            (self.progress)((self.n - 1).min(self.total), self.total);
        }
        Ok(())
    }
}

fn check(before: &str, body: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(body.as_bytes());
    let mut check = hasher.finalize().to_hex().to_string();
    check.truncate(CHECK_LETTERS);
    check
}

fn user_line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line::User { id: row.get(0)?, labels: row.get(1)?, comment: row.get(2)?, deleted: row.get(3)? })
}

fn video_line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line::Video {
        id: row.get(0)?,
        hidden: row.get(1)?,
        categories: row.get(2)?,
        time: row.get(3)?,
        labels: row.get(4)?,
        comment: row.get(5)?,
        deleted: row.get(6)?,
    })
}

fn feedback_line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line::Feedback {
        kind: row.get(0)?,
        user: row.get(1)?,
        video: row.get(2)?,
        value: row.get::<_, f64>(3)?.to_string(),
        time: row.get(4)?,
        labels: row.get(5)?,
        comment: row.get(6)?,
    })
}

fn forgotten_line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let Receipt { time, profiles, feedback, digest } = rows::receipt(row)?;
    let feedback = serde_json::to_string(&feedback).unwrap_or_default();
    Ok(Line::Forgotten { time, profiles, feedback, digest })
}

fn event_id_line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line::EventId { digest: row.get(0)?, time: row.get(1)? })
}

fn position_line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line::Position { stream: row.get(0)?, sequence: row.get::<_, i64>(1)?.unsigned_abs() })
}

/// Reads every line into the open transaction.
fn read(
    target: &Target<'_>,
    dump: &mut dyn BufRead,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Counts, StoreError> {
    let wrap = |error| open::database_error(target.path, "restore into it", error);
    let line_bytes_max = line_bytes_max(target.config);
    let (mut before, mut text, mut n) = (String::new(), Vec::new(), 0);
    let (mut counts, mut total) = (Counts::default(), 0);
    loop {
        let bad = |what: String| StoreError::Dump { line: n + 1, what };
        text.clear();
        let mut bounded = (&mut *dump).take(line_bytes_max as u64);
        bounded.read_until(b'\n', &mut text).map_err(|error| bad(error.to_string()))?;
        let body = body(&text, &before).map_err(bad)?;
        before = check(&before, body);
        let line: Line = serde_json::from_str(body).map_err(|error| bad(error.to_string()))?;
        match line {
            Line::Dump { format, version, users, videos, feedback, forgotten, event_ids, positions }
                if n == 0 =>
            {
                if format != FORMAT || !(OLDEST_DUMP_VERSION..=DUMP_VERSION).contains(&version) {
                    let expected = format!(
                        "expected {FORMAT:?} {OLDEST_DUMP_VERSION} to {DUMP_VERSION}: use the build that wrote it"
                    );
                    return Err(bad(format!("it is a dump of {format:?} {version}; {expected}")));
                }
                counts = Counts { users, videos, feedback };
                let numbers = [users, videos, feedback, forgotten, event_ids, positions];
                total = numbers.into_iter().fold(0, u64::saturating_add);
            }
            Line::End { lines } if n > 0 => {
                if lines != n || lines - 1 != total {
                    return Err(bad(format!("it counts {lines} lines, but {n} came before it")));
                }
                progress(total, total);
                return Ok(counts);
            }
            _ if n == 0 => return Err(bad("the header is missing".into())),
            line => put(target, line).map_err(|error| match error {
                Bad::Line(what) => bad(what),
                Bad::Database(error) => wrap(error),
            })?,
        }
        n += 1;
        if n.is_multiple_of(PROGRESS_EVERY) {
            progress((n - 1).min(total), total);
        }
    }
}

/// The part of a line that its check is of, once that fits.
fn body<'a>(text: &'a [u8], before: &str) -> Result<&'a str, String> {
    if text.is_empty() {
        return Err("the dump ends before its last line: it is torn".into());
    }
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8: it was altered".to_owned())?;
    let torn = || "it is no line of a dump: it is torn or was altered".to_owned();
    let (found, body) = text
        .strip_prefix("[\"")
        .and_then(|text| text.strip_suffix("]\n"))
        .and_then(|text| text.split_once("\","))
        .ok_or_else(torn)?;
    match found == check(before, body) {
        true => Ok(body),
        false => Err("its check does not fit: it, or its place, was altered".into()),
    }
}

/// Within the limits, every byte may be written as six.
fn line_bytes_max(config: &StoreConfig) -> usize {
    let categories = config.categories_max.saturating_mul(config.kind_bytes_max);
    let texts = [config.id_bytes_max, config.id_bytes_max, config.kind_bytes_max, config.comment_bytes_max];
    let bytes = texts.iter().fold(config.labels_bytes_max, |sum, &more| sum.saturating_add(more));
    bytes.saturating_add(categories).saturating_mul(6 * 2).saturating_add(4_096)
}

enum Bad {
    Line(String),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Bad {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

fn put(target: &Target<'_>, line: Line) -> Result<(), Bad> {
    let &Target { desk, config, merge, .. } = target;
    let connection = &desk.connection;
    let out_of_bounds = |error: StoreError| Bad::Line(error.to_string());
    let json = |labels: &Option<String>| match labels {
        Some(text) => serde_json::from_str::<serde_json::Value>(text)
            .map(|_| ())
            .map_err(|error| Bad::Line(format!("its labels are no JSON ({error})"))),
        None => Ok(()),
    };
    match line {
        Line::User { id, labels, comment, deleted } => {
            config.check_id("user id", &id).map_err(out_of_bounds)?;
            json(&labels)?;
            let mut put = connection.prepare_cached(rows::RESTORE_USER)?;
            put.execute(params![id, labels, comment, deleted])?;
            if deleted && merge {
                connection.prepare_cached(rows::DELETE_FEEDBACK_OF_USER)?.execute([&id])?;
                desk.lose_user(&id);
            }
        }
        Line::Video { id, hidden, categories, time, labels, comment, deleted } => {
            config.check_id("video id", &id).map_err(out_of_bounds)?;
            json(&labels)?;
            serde_json::from_str::<Vec<String>>(&categories)
                .map_err(|error| Bad::Line(format!("its categories are no list of texts ({error})")))?;
            let mut put = connection.prepare_cached(rows::RESTORE_VIDEO)?;
            put.execute(params![id, hidden, categories, time, labels, comment, deleted])?;
            if deleted && merge {
                rows::delete_found(connection, rows::KEYS_ON_VIDEO, [&id])?;
            }
        }
        Line::Feedback { kind, user, video, value, time, labels, comment } => {
            for (what, id) in [("kind", &kind), ("user id", &user), ("video id", &video)] {
                config.check_id(what, id).map_err(out_of_bounds)?;
            }
            json(&labels)?;
            let value: f64 = match value.parse() {
                Ok(value) if f64::is_finite(value) => value,
                _ => return Err(Bad::Line(format!("its value {value:?} is no finite number"))),
            };
            let (user, number) = (desk.user(&user)?, desk.numbers(1));
            let mut put = connection.prepare_cached(rows::OVERWRITE)?;
            put.execute(params![user, video, kind, number, value, time, labels, comment])?;
        }
        Line::Forgotten { time, profiles, feedback, digest } => {
            let feedback = serde_json::from_str(&feedback)
                .map_err(|error| Bad::Line(format!("its counts are no JSON ({error})")))?;
            let receipt = Receipt { time, profiles, feedback, digest };
            if !merge || is_next(connection, &receipt)? {
                rows::put_receipt(connection, &receipt)?;
            }
        }
        Line::EventId { digest, time } => {
            if digest.len() != DIGEST_LETTERS || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(Bad::Line(format!("its digest {digest:?} is not {DIGEST_LETTERS} hex digits")));
            }
            connection.prepare_cached(rows::RESTORE_EVENT_ID)?.execute(params![digest, time])?;
        }
        Line::Position { stream, sequence } => {
            config.check_id("name of a stream", &stream).map_err(out_of_bounds)?;
            let sequence = i64::try_from(sequence)
                .map_err(|_| Bad::Line(format!("its position {sequence} is beyond 63 bits")))?;
            connection.prepare_cached(rows::RESTORE_POSITION)?.execute(params![stream, sequence])?;
        }
        Line::Dump { .. } | Line::End { .. } => return Err(Bad::Line("a header amid the rows".into())),
    }
    Ok(())
}

/// Whether a receipt continues the store's chain; not, if it is in it already.
fn is_next(connection: &Connection, receipt: &Receipt) -> Result<bool, Bad> {
    let is_there: bool =
        connection.prepare_cached(rows::HAS_RECEIPT)?.query_row([&receipt.digest], |row| row.get(0))?;
    if is_there {
        return Ok(false);
    }
    let last: Option<String> =
        connection.prepare_cached(rows::LAST_RECEIPT)?.query_row([], |row| row.get(0)).optional()?;
    match receipt.follows(last.as_deref().unwrap_or_default()) {
        true => Ok(true),
        false => Err(Bad::Line(
            "its receipt does not continue those of the store, which forgot others since: restore the dump into a new file"
                .into(),
        )),
    }
}
