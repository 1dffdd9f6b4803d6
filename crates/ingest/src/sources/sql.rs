//! Databases by URL: `postgres://user@host/database`, `sqlite:///path/file.db`, `sqlite:file.db`.
//!
//! Without a query of the caller's, interactions are read as the two-tower design reads them: joined with the
//! metadata of their videos, user by user and in order of time, users in batches; the metadata are then read
//! once more as a catalogue, for the videos that nobody has watched.

use std::path::{Path, PathBuf};

use crate::columns::{self, Columns};
use crate::formats::recognise::{EventFile, Plan};
use crate::sources::{Rows, sqlite};
use crate::table::{Column, Table};
use crate::{Field, Format, IngestError, Map, Options};

/// What is read of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlOptions {
    /// A query for the events; without it, the tables below are joined.
    pub query: Option<String>,
    /// The table of interactions, with its schema if it needs one: `public.interactions`.
    pub events: String,
    /// The table of videos; `-` for none. Without it, `video_metadata` where that exists.
    pub videos: Option<String>,
    /// Users whose interactions are asked for at once.
    pub users_per_batch: usize,
    /// At most so many interactions of a user, the latest.
    pub events_per_user: Option<u32>,
    /// The password, where the URL has none.
    pub password: Option<String>,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self {
            query: None,
            events: "interaction_filtered".into(),
            videos: None,
            users_per_batch: 1_000,
            events_per_user: None,
            password: None,
        }
    }
}

const VIDEOS: &str = "video_metadata";

/// The columns of the design's tables, where their names do not say it to everyone.
const DESIGN: &[(Field, &str)] = &[
    (Field::User, "user_id"),
    (Field::Video, "pid"),
    (Field::Video, "video_id"),
    (Field::Time, "exposed_time"),
    (Field::WatchSeconds, "watch_time"),
    (Field::Like, "cvm_like"),
    (Field::Comment, "comment"),
    (Field::Collect, "collect"),
    (Field::Forward, "forward"),
    (Field::Follow, "follow"),
    (Field::EffectiveView, "effective_view"),
    (Field::Hate, "hate"),
    (Field::Duration, "duration"),
    (Field::Title, "title"),
    (Field::Creator, "author_id"),
    (Field::Labels, "category_id"),
];

/// A database that a URL names.
#[derive(Clone)]
pub(super) enum Database {
    Sqlite(PathBuf),
    Postgres {
        url: String,
        #[cfg_attr(not(feature = "scale"), allow(dead_code))]
        password: Option<String>,
    },
}

/// What is asked of a database.
pub(super) enum Query {
    /// One query.
    Whole(String),
    /// Users first, then the rows of a batch of them at a time.
    #[cfg_attr(not(feature = "scale"), allow(dead_code))]
    Batches { users: String, events: String, users_per_batch: usize },
}

/// Makes errors that name the database, never its password.
#[derive(Clone)]
pub(crate) struct Failed {
    pub(crate) url: String,
}

impl Failed {
    pub(super) fn because(&self, what: impl Into<String>, reason: impl ToString) -> IngestError {
        let reason = reason.to_string();
        let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
        IngestError::Sql { url: self.url.clone(), what: what.into(), reason }
    }

    pub(super) fn query(&self, query: &str, reason: impl ToString) -> IngestError {
        self.because(format!("the query failed (`{}`)", one_line(query)), reason)
    }
}

/// A query as it fits into a message.
fn one_line(query: &str) -> String {
    const CHARS_MAX: usize = 600;
    let words: Vec<&str> = query.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= CHARS_MAX {
        return line;
    }
    line.chars().take(CHARS_MAX).chain(['…']).collect()
}

/// A URL as it may be shown: what stands for a password is `***`.
pub fn without_password(url: &str) -> String {
    const KEYS: &[&str] = &["password", "pgpassword", "sslpassword"];
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    // A password may hold any sign; the last `@` ends it.
    let shown = match before.rsplit_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => before.into(),
        },
        None => before.into(),
    };
    let query = query.map_or(String::new(), |query| {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((key, _)) if KEYS.iter().any(|secret| key.eq_ignore_ascii_case(secret)) => {
                format!("{key}=***")
            }
            _ => pair.into(),
        });
        format!("?{}", pairs.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{shown}{query}")
}

impl Database {
    /// The database that a name among the files means, if it means one.
    fn of(file: &Path, options: &SqlOptions) -> Option<Self> {
        let text = file.to_str()?;
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Some(Self::Sqlite(path.strip_prefix("//").unwrap_or(path).into()));
        }
        let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
        is_postgres.then(|| Self::Postgres { url: text.into(), password: options.password.clone() })
    }

    fn failed(&self) -> Failed {
        Failed {
            url: match self {
                Self::Sqlite(path) => format!("sqlite:{}", path.display()),
                Self::Postgres { url, .. } => without_password(url),
            },
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Sqlite(path) => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
            Self::Postgres { url, .. } => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                path.rsplit_once('/').map(|(_, name)| name.to_string()).filter(|name| !name.contains('@'))
            }
        }
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "database".into())
    }

    fn rows(&self, query: Query) -> Result<Rows, IngestError> {
        let failed = self.failed();
        match self {
            Self::Sqlite(path) => sqlite::rows(path.clone(), failed, query),
            #[cfg(feature = "scale")]
            Self::Postgres { url, password } => {
                super::postgres::rows(url.clone(), password.clone(), failed, query)
            }
            #[cfg(not(feature = "scale"))]
            Self::Postgres { .. } => {
                let _ = query;
                Err(failed.because(
                    "this build has no PostgreSQL; build it with `cargo build --release --features scale`",
                    "",
                ))
            }
        }
    }

    /// The condition that a user is one of a batch, which is the only parameter.
    fn in_batch(&self, column: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("{column} IN (SELECT value FROM json_each(?1))"),
            Self::Postgres { .. } => format!("{column} = ANY($1)"),
        }
    }
}

/// What to read of a database, if the files name one.
pub(crate) fn plan(given: &[PathBuf], options: &Options) -> Option<Result<Plan, IngestError>> {
    let at = given.iter().position(|file| Database::of(file, &options.sql).is_some())?;
    if given.len() > 1 {
        let url = without_password(&given[at].to_string_lossy());
        let reason = "a database is imported by itself; give one URL and no files";
        return Some(Err(IngestError::Sql { url, what: reason.into(), reason: String::new() }));
    }
    let database = Database::of(&given[at], &options.sql)?;
    Some(plan_of(&database, options))
}

fn plan_of(database: &Database, options: &Options) -> Result<Plan, IngestError> {
    let failed = database.failed();
    let sql = &options.sql;
    let path = |table: &str| PathBuf::from(format!("{}#{table}", failed.url));
    let mut plan = Plan {
        format: Format::Sql,
        name: options.name.clone().unwrap_or_else(|| database.name()),
        why: String::new(),
        events: Vec::new(),
        videos: Vec::new(),
        users: Vec::new(),
        tags: Vec::new(),
        daily: Vec::new(),
        friends: Vec::new(),
        vector_files: Vec::new(),
        ignored: Vec::new(),
        notice: None,
    };
    // The catalogue: as asked for; by itself only beside the table that it belongs to.
    let wanted = match (sql.videos.as_deref(), &sql.query) {
        (Some("-"), _) | (None, Some(_)) => None,
        (Some(table), _) => Some(table),
        (None, None) => Some(VIDEOS),
    };
    let mut catalogue = None;
    if let Some(table) = wanted {
        let select = format!("SELECT * FROM {}", quoted(table));
        match database.rows(Query::Whole(select)) {
            Ok(rows) => catalogue = Some((table, rows)),
            Err(error) if sql.videos.is_some() => return Err(error),
            Err(error @ IngestError::Sql { .. }) if is_no_table(&error) => {
                plan.ignored.push((path(table), "there is no such table".into()));
            }
            Err(error) => return Err(error),
        }
    }
    let rows = match &sql.query {
        Some(query) => {
            plan.why = format!("a database, by the query `{}`", one_line(query));
            database.rows(Query::Whole(query.clone()))?
        }
        None => {
            let select = format!("SELECT * FROM {}", quoted(&sql.events));
            let events = database.rows(Query::Whole(format!("{select} LIMIT 0")))?;
            let videos = catalogue.as_ref().map(|(table, rows)| (*table, rows));
            let query = joined(database, &path(&sql.events), &events, videos, options)?;
            plan.why = format!(
                "a database, by its tables {}{}",
                sql.events,
                videos.map_or(String::new(), |(table, _)| format!(" and {table}"))
            );
            database.rows(query)?
        }
    };
    let name = if sql.query.is_some() { "query" } else { &sql.events };
    let (table, columns) = table_of(path(name), rows, options)?;
    columns::need_events(&table.path, &table.columns, &columns)?;
    plan.events.push(EventFile::Table { table: Box::new(table), columns, part: None });
    if let Some((name, rows)) = catalogue {
        plan.videos.push(table_of(path(name), rows, options)?);
    }
    Ok(plan)
}

/// A table whose columns are resolved as those of a file are.
fn table_of(path: PathBuf, rows: Rows, options: &Options) -> Result<(Table, Columns), IngestError> {
    let table = Table::of_rows(path, rows, &options.limits)?;
    let map = with_design(&options.map, &table.columns);
    let columns = columns::resolve(&table.path, &table.columns, &map, false)?;
    Ok((table, columns))
}

/// What the caller mapped, and else the columns of the design, where a table is one of its two: elsewhere
/// `comment` may well be a text.
fn with_design(map: &Map, columns: &[Column]) -> Map {
    let signs = ["pid", "exposed_time", "author_fans_count"];
    if columns.iter().all(|column| !signs.contains(&column.name.as_str())) {
        return map.clone();
    }
    DESIGN.iter().fold(map.clone(), |map, &(field, name)| {
        let here = columns.iter().any(|column| column.name == name);
        if here && map.column(field).is_none() { map.with(field, name) } else { map }
    })
}

/// The design's query.
fn joined(
    database: &Database,
    path: &Path,
    of_events: &Rows,
    videos: Option<(&str, &Rows)>,
    options: &Options,
) -> Result<Query, IngestError> {
    let (sql, events) = (&options.sql, &of_events.columns[..]);
    let resolve =
        |columns: &[Column]| columns::resolve(path, columns, &with_design(&options.map, columns), false);
    let found = resolve(events)?;
    columns::need_events(path, events, &found)?;
    let name = |field| found.get(field).map(|at| quote(&events[at].name));
    let (Some(user), Some(video)) = (name(Field::User), name(Field::Video)) else {
        return Err(columns::no_column(path, Field::User, "user_id", events));
    };
    let time = name(Field::Time);
    let table = quoted(&sql.events);
    let mut select: Vec<String> = events.iter().map(|column| format!("i.{}", quote(&column.name))).collect();
    let mut join = String::new();
    if let Some((table, of_videos)) = videos {
        let columns = &of_videos.columns[..];
        let known = resolve(columns)?;
        let id = known
            .get(Field::Video)
            .ok_or_else(|| columns::no_column(path, Field::Video, "video_id", columns))?;
        // A row needs the length for its watch ratio; what else is known of a video is read once a video.
        let lengths = [Field::Duration, Field::DurationMs].into_iter();
        let new = lengths.filter_map(|field| known.get(field)).map(|at| &columns[at].name);
        let has_length = found.has(Field::Duration) || found.has(Field::DurationMs);
        select.extend(
            new.filter(|name| !has_length && events.iter().all(|column| column.name != **name))
                .map(|name| format!("vm.{}", quote(name))),
        );
        let (mut one, mut other) = (format!("i.{video}"), format!("vm.{}", quote(&columns[id].name)));
        let kind = found.get(Field::Video).map_or("", |at| of_events.kind(at));
        if !are_comparable(kind, of_videos.kind(id)) {
            // As texts ids of any types compare; an index of either table is then of no use.
            (one, other) = (format!("CAST({one} AS TEXT)"), format!("CAST({other} AS TEXT)"));
        }
        join = format!(" LEFT JOIN {} vm ON {one} = {other}", quoted(table));
    }
    let mut from = format!("{table} i");
    let mut condition = database.in_batch(&format!("i.{user}"));
    if let Some(most) = sql.events_per_user {
        let time =
            time.as_ref().ok_or_else(|| columns::no_column(path, Field::Time, "exposed_time", events))?;
        from = format!(
            "(SELECT i.*, row_number() OVER (PARTITION BY i.{user} ORDER BY i.{time} DESC) AS recency_rank \
             FROM {table} i WHERE {condition}) i"
        );
        condition = format!("i.recency_rank <= {most}");
    }
    let order = time.map_or(String::new(), |time| format!(", i.{time}"));
    Ok(Query::Batches {
        users: format!("SELECT DISTINCT {user} FROM {table} WHERE {user} IS NOT NULL ORDER BY {user}"),
        events: format!(
            "SELECT {} FROM {from}{join} WHERE {condition} ORDER BY i.{user}{order}",
            select.join(", ")
        ),
        users_per_batch: sql.users_per_batch.max(1),
    })
}

/// Whether a database compares values of two types as they are.
fn are_comparable(one: &str, other: &str) -> bool {
    const NUMBERS: [&str; 7] = ["int2", "int4", "int8", "numeric", "float4", "float8", "oid"];
    const TEXTS: [&str; 4] = ["text", "varchar", "bpchar", "name"];
    one == other || [&NUMBERS[..], &TEXTS[..]].iter().any(|kin| kin.contains(&one) && kin.contains(&other))
}

/// A name as both databases quote it.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's name, with its schema if there is one.
fn quoted(table: &str) -> String {
    table.split('.').map(quote).collect::<Vec<_>>().join(".")
}

/// Whether a database says that it has no such table.
fn is_no_table(error: &IngestError) -> bool {
    let said = error.to_string();
    said.contains("no such table") || said.contains("42P01")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let shown = |url: &str| without_password(url);
        assert_eq!(shown("postgres://ann:secret@host:5432/db"), "postgres://ann:***@host:5432/db");
        assert_eq!(shown("postgres://ann:se:c@r/et@host/db"), "postgres://ann:***@host/db");
        assert_eq!(
            shown("postgres://ann@host/db?password=secret&a=b"),
            "postgres://ann@host/db?password=***&a=b"
        );
        assert_eq!(shown("postgres://host/db"), "postgres://host/db");
        assert_eq!(shown("a/plain:file@x.csv"), "a/plain:file@x.csv");
    }

    #[test]
    fn only_ids_of_strange_types_are_compared_as_texts() {
        assert!(are_comparable("int4", "int8") && are_comparable("varchar", "text"));
        assert!(are_comparable("uuid", "uuid") && are_comparable("", ""));
        assert!(!are_comparable("varchar", "int8") && !are_comparable("uuid", "text"));
    }

    #[test]
    fn names_are_quoted_so_that_none_is_a_command() {
        assert_eq!(quoted("public.events"), "\"public\".\"events\"");
        assert_eq!(quoted("x\"; DROP TABLE y; --"), "\"x\"\"; DROP TABLE y; --\"");
    }
}
