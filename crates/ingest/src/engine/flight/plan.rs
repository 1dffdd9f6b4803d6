//! From a job to SQL: the files of `sql/` with their places filled.
//!
//! A place is `{{name}}`. What fills it is quoted here by kind (a text, a number, a table at a path), never by the
//! caller, and what was filled in is not looked at again.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field as ArrowField, Schema};
use upnext_data::Relevance;

use super::{Engine, FlightError, Job};
use crate::columns::{self, Columns};
use crate::table::Column;
use crate::{Field, IngestError};

/// The last step.
pub(super) const MANIFEST: &str = "10_manifest.sql";

const READ: &str = include_str!("sql/01_read.sql");
const READ_PARQUET: &str = include_str!("sql/01_read_parquet.sql");

/// The steps after reading, which is a part of cleaning.
const STEPS: [(&str, &str); 9] = [
    ("02_clean.sql", include_str!("sql/02_clean.sql")),
    ("03_deduplicate.sql", include_str!("sql/03_deduplicate.sql")),
    ("04_pairs.sql", include_str!("sql/04_pairs.sql")),
    ("05_split.sql", include_str!("sql/05_split.sql")),
    ("06_popularity.sql", include_str!("sql/06_popularity.sql")),
    ("07_markov.sql", include_str!("sql/07_markov.sql")),
    ("08_item_knn.sql", include_str!("sql/08_item_knn.sql")),
    ("09_report.sql", include_str!("sql/09_report.sql")),
    (MANIFEST, include_str!("sql/10_manifest.sql")),
];

/// The columns of a source's cells, as the SQL calls them.
const CELLS: [(Field, &str); 18] = [
    (Field::User, "user_id"),
    (Field::Video, "video_id"),
    (Field::Action, "action"),
    (Field::Time, "time"),
    (Field::Duration, "duration"),
    (Field::DurationMs, "duration_ms"),
    (Field::WatchSeconds, "watch_seconds"),
    (Field::WatchMs, "watch_ms"),
    (Field::Ratio, "ratio"),
    (Field::Rating, "rating"),
    (Field::Value, "value"),
    (Field::Like, "liked"),
    (Field::Comment, "commented"),
    (Field::Follow, "followed"),
    (Field::Collect, "collected"),
    (Field::Forward, "forwarded"),
    (Field::EffectiveView, "effective_view"),
    (Field::Hate, "hated"),
];
const MARKS: [Field; 7] = [
    Field::Like,
    Field::Comment,
    Field::Follow,
    Field::Collect,
    Field::Forward,
    Field::EffectiveView,
    Field::Hate,
];

/// One source: what it is called, and the SQL that reads its cells.
pub(super) struct Source {
    described: String,
    columns: Columns,
    sql: String,
}

impl Source {
    /// Asks the engine for the columns of a source, and finds among them what events need.
    pub(super) fn find(
        engine: &mut Engine,
        source: &str,
        number: usize,
        job: &Job,
    ) -> Result<Self, FlightError> {
        let path = location(source);
        let ending = source.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let unsupported =
            |what: &str| FlightError::Unsupported { source_name: source.into(), what: what.into() };
        let is_parquet = match ending.as_str() {
            "parquet" | "pq" => true,
            "csv" | "tsv" | "txt" => false,
            _ => return Err(unsupported("what ends neither in .parquet nor in .csv, .tsv or .txt")),
        };
        let schema = match is_parquet {
            true => parquet_schema(engine, source, &path)?,
            false => header(engine, source, &path, job.name)?,
        };
        let (names, delimiter) = match is_parquet {
            true => (schema.fields().iter().map(|field| field.name().clone()).collect(), ','),
            false => {
                let header = schema.fields()[0].name();
                let delimiter = [',', '\t', ';', '|']
                    .into_iter()
                    .max_by_key(|&delimiter| (header.matches(delimiter).count(), delimiter == ','))
                    .expect("there are four delimiters");
                let names = header.split(delimiter);
                (names.map(|name| name.trim().trim_matches('"').to_owned()).collect::<Vec<_>>(), delimiter)
            }
        };
        let table: Vec<Column> =
            names.iter().map(|name| Column { name: name.clone(), is_list: false }).collect();
        let found = columns::resolve(source.as_ref(), &table, &job.options.map, true)?;
        columns::need_events(source.as_ref(), &table, &found)?;
        if !found.has(Field::Time) {
            return Err(columns::no_column(source.as_ref(), Field::Time, "timestamp", &table).into());
        }
        if found.has(Field::Position) || found.has(Field::Part) {
            return Err(unsupported("a column of positions or parts"));
        }
        if found.has(Field::Action) && MARKS.into_iter().any(|mark| found.has(mark)) {
            return Err(unsupported("a column of actions beside columns of marks"));
        }
        let cells = CELLS.map(|(field, name)| {
            let cell = match (found.get(field), is_parquet) {
                (None, _) => "CAST(NULL AS STRING)".into(),
                (Some(at), false) => text_cell(at),
                (Some(at), true) => typed_cell(schema.field(at))
                    .ok_or_else(|| unsupported(&format!("the type {}", schema.field(at).data_type())))?,
            };
            Ok::<_, FlightError>(format!("{cell} AS {name}"))
        });
        let mut cells = cells.into_iter().collect::<Result<Vec<_>, _>>()?;
        let time = found.get(Field::Time).map(|at| schema.fields().get(at));
        cells.push(match time.flatten() {
            Some(field) if is_parquet && is_moment(field.data_type()) => {
                format!("unix_millis(CAST({} AS TIMESTAMP)) AS time_ms", identifier(field.name()))
            }
            _ => "CAST(NULL AS BIGINT) AS time_ms".into(),
        });
        let is_header = |field| {
            let at = found.get(field).expect("user and video are needed above");
            format!("{} = {}", text_cell(at), text(&names[at]))
        };
        let delimiter = delimiter.to_string();
        let escaped = if delimiter == "|" { "\\|" } else { &delimiter };
        let places = [
            ("file", number.to_string()),
            ("n_columns", names.len().to_string()),
            ("columns", cells.join(",\n    ")),
            ("delimiter", text(&delimiter)),
            ("delimiter_pattern", text(escaped)),
            ("field_pattern", text(&format!("{escaped}(\"(?:[^\"]|\"\")*\"|[^{delimiter}]*)"))),
            ("path", identifier(&path)),
            ("is_header", format!("{} AND {}", is_header(Field::User), is_header(Field::Video))),
        ];
        let read = CELLS
            .into_iter()
            .filter_map(|(field, _)| Some(format!("{}={}", field.name(), names[found.get(field)?])));
        Ok(Self {
            described: format!("{source}: {}", read.collect::<Vec<_>>().join(",")),
            columns: found,
            sql: fill(if is_parquet { READ_PARQUET } else { READ }, &places),
        })
    }
}

/// The schema of Parquet files, from an answer without rows.
fn parquet_schema(engine: &mut Engine, source: &str, path: &str) -> Result<Schema, FlightError> {
    let sql = format!("SELECT * FROM parquet.{} LIMIT 0", identifier(path));
    let schema = engine.query(source, sql, |_| Ok(()))?;
    schema
        .filter(|schema| !schema.fields().is_empty())
        .map(|schema| (*schema).clone())
        .ok_or_else(|| empty(source))
}

/// The first line of text files, as the name of the one column they have where nothing separates columns.
fn header(engine: &mut Engine, source: &str, path: &str, name: &str) -> Result<Schema, FlightError> {
    let table = identifier(&format!("upnext_header_{name}"));
    let create = format!(
        "CREATE OR REPLACE TABLE {table} USING csv OPTIONS (header 'true', sep '\\u0001', quote '\\u0002') \
         LOCATION {}",
        text(path)
    );
    engine.execute(source, create)?;
    let schema = engine.query(source, format!("SELECT * FROM {table} LIMIT 0"), |_| Ok(()));
    engine.execute(source, format!("DROP TABLE {table}"))?;
    schema?
        .filter(|schema| !schema.fields().is_empty())
        .map(|schema| (*schema).clone())
        .ok_or_else(|| empty(source))
}

fn empty(source: &str) -> FlightError {
    let expected = "files there that the engine can read, with a line of names or a schema";
    IngestError::Empty { path: source.into(), expected }.into()
}

/// All statements after the look at the sources, by the name of their file.
pub(super) fn steps(
    sources: &[Source],
    folder: &str,
    manifest: &str,
    job: &Job,
) -> Vec<(&'static str, String)> {
    let has = |field: Field| sources.iter().any(|source| source.columns.has(field));
    let flag = |is: bool| if is { "true" } else { "false" }.to_owned();
    let has_marks = MARKS.into_iter().any(has);
    let measures = [Field::WatchSeconds, Field::WatchMs, Field::Ratio, Field::Value, Field::Rating];
    let must_measure = !has(Field::Action) && !has_marks && measures.into_iter().any(has);
    let limits = &job.options.limits;
    let latest = job.options.now.map_or(i64::MAX, |now| now.saturating_add(limits.future_ms_max));
    let digits = "CAST(try_cast(time_number AS BIGINT) AS STRING)";
    let sql: Vec<&str> = sources.iter().map(|source| source.sql.as_str()).collect();
    let mut places = vec![
        ("sources", sql.join("\nUNION ALL\n")),
        ("nothing", "('', 'null', 'none', 'na', 'n/a', '\\\\n')".into()),
        (
            "yyyymmdd",
            format!(
                "CASE WHEN time_number BETWEEN 19800101 AND 21001231 AND time_number = floor(time_number) THEN \
                 concat_ws('-', substring({digits}, 1, 4), substring({digits}, 5, 2), substring({digits}, 7, 2)) END"
            ),
        ),
        ("latest_ms", latest.to_string()),
        ("id_bytes_max", limits.id_bytes_max.to_string()),
        ("duration_seconds_max", double(limits.duration_seconds_max)),
        ("watch_seconds_max", double(limits.watch_seconds_max)),
        ("has_action", flag(has(Field::Action))),
        ("has_marks", flag(has_marks)),
        ("must_measure", flag(must_measure)),
        ("is_positive", positive(&job.options.relevance)),
        ("manifest", text(manifest)),
        ("format", "1".into()),
        ("name", text(job.name)),
        ("relevance", text(&job.options.relevance.to_string())),
        ("source_names", text(&job.sources.join(" "))),
        ("columns_read", text(&described(sources))),
    ];
    for (place, table_place, table) in [
        ("rows", "rows_table", "rows"),
        ("events", "events_table", "events"),
        ("pairs", "pairs_table", "pairs"),
        ("split", "split_table", "split"),
        ("popularity", "popularity_table", "popularity"),
        ("transitions", "transitions_table", "transitions"),
        ("co_occurrences", "co_occurrences_table", "co_occurrences"),
        ("cleaning", "cleaning_table", "cleaning"),
    ] {
        let path = format!("{folder}/{table}");
        places.push((place, text(&path)));
        places.push((table_place, identifier(&path)));
    }
    STEPS.iter().map(|&(name, sql)| (name, fill(sql, &places))).collect()
}

/// Which columns are read as what, in the words of `--map`.
pub(super) fn described(sources: &[Source]) -> String {
    sources.iter().map(|source| source.described.as_str()).collect::<Vec<_>>().join("; ")
}

/// All rows of a table of a run.
pub(super) fn select(table: &str, columns: &str) -> String {
    format!("SELECT {columns} FROM parquet.{}", identifier(table))
}

/// How many lines the texts of a folder have: none where there is no folder.
pub(super) fn count_lines(folder: &str) -> String {
    format!("SELECT count(*) FROM text.{}", identifier(folder))
}

/// A path as the engine takes it: with a scheme as it is, else absolute.
pub(super) fn location(path: &str) -> String {
    if path.contains("://") {
        return path.trim_end_matches('/').to_owned();
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    format!("file://{}", absolute.display()).trim_end_matches('/').to_owned()
}

/// The terms of a rule as a condition on an event; numbers are compared as 32-bit floats, as they are kept.
fn positive(rule: &Relevance) -> String {
    let rule = rule.to_string();
    let terms = rule.split(" or ").map(|term| {
        let (name, operator, least) = match term.split_once(">=") {
            Some((name, least)) => (name, ">=", least),
            None => match term.split_once('>') {
                Some((name, least)) => (name, ">", least),
                None => (term, "", ""),
            },
        };
        let bound = |column: &str| match operator {
            "" => String::new(),
            operator => format!(" AND {column} {operator} CAST({} AS FLOAT)", text(least)),
        };
        match name {
            "any" => "action NOT IN ('hate', 'impression')".into(),
            "liked" => "action IN ('like', 'comment', 'follow', 'collect', 'forward')".into(),
            "effective_view" => "action = 'effective_view'".into(),
            "watch" => "action IN ('watch', 'search') AND value IS NULL AND ratio IS NULL".into(),
            "rating" => format!("action = 'rating'{}", bound("value")),
            "watch_ratio" => format!("action = 'watch' AND ratio IS NOT NULL{}", bound("ratio")),
            "watch_seconds" => format!("action = 'watch' AND ratio IS NULL{}", bound("value")),
            name => unreachable!("`{name}` is no term of a rule: `Relevance` prints those above"),
        }
    });
    terms.map(|term| format!("({term})")).collect::<Vec<_>>().join(" OR ")
}

/// A cell of a line, without its quotes and without blanks around it.
fn text_cell(at: usize) -> String {
    let cell = format!("get(cells, {at})");
    format!(
        "trim(BOTH ' \\t\\r\\n' FROM CASE WHEN instr({cell}, '\"') = 1 AND length({cell}) > 1 \
         THEN replace(substring({cell}, 2, length({cell}) - 2), '\"\"', '\"') ELSE {cell} END)"
    )
}

/// A cell of a typed column as text, or nothing where the type is none of a log.
fn typed_cell(field: &ArrowField) -> Option<String> {
    let column = identifier(field.name());
    Some(match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            format!("trim(BOTH ' \\t\\r\\n' FROM {column})")
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let double = format!("CAST({column} AS DOUBLE)");
            format!(
                "CASE WHEN isnan({double}) THEN 'NaN' WHEN {double} = floor({double}) AND abs({double}) < 1e15D \
                 THEN CAST(try_cast({double} AS BIGINT) AS STRING) ELSE CAST({double} AS STRING) END"
            )
        }
        kind if kind.is_integer() || *kind == DataType::Boolean => format!("CAST({column} AS STRING)"),
        kind if is_moment(kind) => "CAST(NULL AS STRING)".into(),
        _ => return None,
    })
}

fn is_moment(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

/// A text as SQL writes it.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A name, or the path of a table, as SQL writes it.
fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn double(number: f64) -> String {
    format!("{number:e}D")
}

/// Fills the places of a statement.
fn fill(sql: &str, places: &[(&str, String)]) -> String {
    let mut parts = sql.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").expect("a place ends: a test fills every file");
        let (_, value) = places
            .iter()
            .find(|(place, _)| *place == name)
            .unwrap_or_else(|| panic!("`{name}` is a place that is filled: a test fills every file"));
        filled += value;
        filled += rest;
    }
    filled
}

/// The texts of a column, whichever of the three forms of text an engine sends.
pub(super) fn texts(column: &ArrayRef) -> Option<Vec<String>> {
    let known = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Some(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().map(known).collect(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().map(known).collect(),
        DataType::Utf8View => column.as_string_view().iter().map(known).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[test]
    fn every_place_of_every_statement_is_filled_and_what_fills_it_is_not_read_again() {
        let options = Options::default();
        let sources = ["it's {{rows}}.csv".to_owned()];
        let job = Job { sources: &sources, out: "s3://b/run", name: "r", options: &options, force: false };
        let source =
            Source { described: "{{nothing}}".into(), columns: Columns::default(), sql: "SELECT 1".into() };
        let steps = steps(&[source], "s3://b/run/r", "s3://b/run/manifest", &job);
        assert_eq!(steps.len(), 9);
        let (name, manifest) = &steps[8];
        assert_eq!(*name, MANIFEST);
        assert!(
            manifest.contains(r"'it\'s {{rows}}.csv'") && manifest.contains("'{{nothing}}'"),
            "{manifest}"
        );
        assert!(steps[..8].iter().all(|(_, sql)| !sql.contains("{{")));
    }

    #[test]
    fn texts_and_names_cannot_leave_their_quotes() {
        assert_eq!(text(r"a'; DROP TABLE b; --\"), r"'a\'; DROP TABLE b; --\\'");
        assert_eq!(identifier("s3://b/`x`"), "`s3://b/``x```");
    }

    #[test]
    fn a_rule_becomes_a_condition() {
        let rule: Relevance = "liked or watch_ratio>1".parse().unwrap();
        assert_eq!(
            positive(&rule),
            "(action IN ('like', 'comment', 'follow', 'collect', 'forward')) OR \
             (action = 'watch' AND ratio IS NOT NULL AND ratio > CAST('1' AS FLOAT))"
        );
    }
}
