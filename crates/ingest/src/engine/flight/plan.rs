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
use crate::engine::rules::{Duplicates, Missing, Rules};
use crate::table::Column;
use crate::{Field, IngestError, Options, without_password};

const READ: &str = include_str!("sql/01_read.sql");
const READ_PARQUET: &str = include_str!("sql/01_read_parquet.sql");

/// A file of `sql/`.
type Sql = (&'static str, &'static str);

macro_rules! sql {
    ($name:literal) => {
        ($name, include_str!(concat!("sql/", $name)))
    };
}

// Reading is a part of the first.
const CLEAN: Sql = sql!("02_clean.sql");
const DEDUPLICATE: Sql = sql!("03_deduplicate.sql");
const NEAR_DUPLICATES: Sql = sql!("04_near_duplicates.sql");
const BOTS: Sql = sql!("05_bots.sql");
const RARE_PAIRS: Sql = sql!("06_rare_pairs.sql");
const RARE_ROUND: Sql = sql!("06_rare_round.sql");
const RARE: Sql = sql!("06_rare.sql");
/// What is made of the events that are kept.
const AFTER: [Sql; 9] = [
    sql!("07_events.sql"),
    sql!("08_pairs.sql"),
    sql!("09_split.sql"),
    sql!("10_popularity.sql"),
    sql!("11_markov.sql"),
    sql!("12_item_knn.sql"),
    sql!("13_quarantine.sql"),
    sql!("14_report.sql"),
    MANIFEST,
];
const MANIFEST: Sql = sql!("15_manifest.sql");

/// Something the engine is told to do.
pub(super) struct Statement {
    /// The file of `sql/`.
    pub(super) name: &'static str,
    pub(super) what: What,
}

pub(super) enum What {
    Once(String),
    /// One after the other, again and again, until a round leaves as many as the one before.
    Rounds {
        rounds: [String; 2],
        counts: [String; 2],
    },
    /// Once, after all else: from then on the run is one.
    Last(String),
}

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
        let unsupported = |what: &str| FlightError::Unsupported {
            source_name: without_password(source),
            what: what.into(),
        };
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
        if found.has(Field::Impressions) || found.is_search || !found.has(Field::Video) {
            return Err(unsupported("a log of searches, or of lists that were shown,"));
        }
        if found.has(Field::Words) && !found.has(Field::Action) {
            return Err(unsupported("a column of words (--map words=- leaves it out)"));
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
                format!("{} AS time_ms", milliseconds(field))
            }
            _ => "CAST(NULL AS BIGINT) AS time_ms".into(),
        });
        let is_header = |field| {
            let at = found.get(field).expect("user and video are needed above");
            format!("{} = {}", text_cell(at), text(&names[at]))
        };
        let rules = &job.options.rules;
        let needs_all = rules.missing == Missing::Any;
        let by_row = rules.duplicate == Duplicates::Row;
        let (lacks, row_key) = match is_parquet {
            false => (lacks_a_cell(names.len()), row_of_cells(names.len())),
            true => {
                let fields = schema.fields().iter();
                let readable: Vec<_> = fields.filter_map(|field| Some((field, written(field)?))).collect();
                let lacks: Vec<_> =
                    readable.iter().map(|(field, written)| lacks_a_value(field, written)).collect();
                let written: Vec<_> =
                    readable.into_iter().map(|(_, written)| format!("coalesce({written}, '')")).collect();
                (lacks.join(" OR "), format!("xxhash64(concat_ws('\\u0001', {}))", written.join(", ")))
            }
        };
        let delimiter = delimiter.to_string();
        let escaped = if delimiter == "|" { "\\|" } else { &delimiter };
        let places = [
            ("file", number.to_string()),
            ("n_columns", names.len().to_string()),
            ("columns", cells.join(",\n    ")),
            ("lacks", if needs_all { lacks } else { "false".into() }),
            ("row_key", if by_row { row_key } else { "CAST(NULL AS BIGINT)".into() }),
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

/// What of a job no statement here does.
///
/// # Errors
/// The first of it, with what to do.
pub(super) fn check(options: &Options) -> Result<(), FlightError> {
    let refused = |what: &str, instead| Err(FlightError::Refused { what: what.into(), instead });
    if options.strict {
        return refused("--strict", "leave it out: the table `quarantine` names each dropped row");
    }
    if options.rules.unknown_reference {
        let instead =
            "it reads no tables of users and videos: leave the rule off, or import without --engine";
        return refused("the rule unknown-reference", instead);
    }
    Ok(())
}

/// All statements after the look at the sources.
pub(super) fn statements(sources: &[Source], folder: &str, manifest: &str, job: &Job) -> Vec<Statement> {
    let mut places = places(sources, folder, manifest, job);
    let rules = &job.options.rules;
    let mut statements = Vec::new();
    fn once((name, sql): Sql, places: &[(&str, String)]) -> Statement {
        Statement { name, what: What::Once(fill(sql, places)) }
    }
    statements.push(once(CLEAN, &places));
    // Each rule reads what the one before it judged.
    let judged = |places: &mut Vec<(&str, String)>, before: &str, table: &str| {
        places.retain(|(place, _)| !["judged", "judged_before"].contains(place));
        places.push(("judged", text(&format!("{folder}/{table}"))));
        places.push(("judged_before", identifier(&format!("{folder}/{before}"))));
    };
    let mut before = "judged";
    judged(&mut places, before, before);
    statements.push(once(DEDUPLICATE, &places));
    for (sql, table, is_on) in [
        (NEAR_DUPLICATES, "judged_near_duplicates", rules.near_duplicate_seconds.is_some()),
        (BOTS, "judged_bots", rules.bots.is_some()),
        (RARE, "judged_rare", rules.counts()),
    ] {
        if !is_on {
            continue;
        }
        judged(&mut places, before, table);
        if sql == RARE {
            statements.extend(rounds(&mut places, folder, rules));
        }
        statements.push(once(sql, &places));
        before = table;
    }
    judged(&mut places, before, before);
    statements.extend(AFTER.map(|sql| once(sql, &places)));
    if let Some(Statement { what, .. }) = statements.last_mut()
        && let What::Once(sql) = what
    {
        *what = What::Last(std::mem::take(sql));
    }
    statements
}

/// Users and videos with too few rows go: the counts, then rounds over them, there and back between two tables.
fn rounds(places: &mut Vec<(&'static str, String)>, folder: &str, rules: &Rules) -> Vec<Statement> {
    let tables = [format!("{folder}/pairs_left_0"), format!("{folder}/pairs_left_1")];
    let mut to = |table: &str, before: &str, (name, sql): Sql| {
        places.retain(|(place, _)| !["left", "left_before"].contains(place));
        places.push(("left", text(table)));
        places.push(("left_before", identifier(before)));
        (name, fill(sql, places))
    };
    let [one, other] = &tables;
    let (first, pairs) = to(one, one, RARE_PAIRS);
    let (name, there) = to(other, one, RARE_ROUND);
    let (_, back) = to(one, other, RARE_ROUND);
    // The last round changes nothing, or is the first: either way the second table holds what is left.
    places.push(("left_table", identifier(other)));
    let what = match rules.k_core {
        0 => What::Once(there),
        _ => What::Rounds {
            rounds: [there, back],
            counts: tables.each_ref().map(|table| select(table, "count(*)")),
        },
    };
    vec![Statement { name: first, what: What::Once(pairs) }, Statement { name, what }]
}

/// What fills the places of all statements.
fn places(sources: &[Source], folder: &str, manifest: &str, job: &Job) -> Vec<(&'static str, String)> {
    let has = |field: Field| sources.iter().any(|source| source.columns.has(field));
    let flag = |is: bool| if is { "true" } else { "false" }.to_owned();
    let has_marks = MARKS.into_iter().any(has);
    let measures = [Field::WatchSeconds, Field::WatchMs, Field::Ratio, Field::Value, Field::Rating];
    let must_measure = !has(Field::Action) && !has_marks && measures.into_iter().any(has);
    let (limits, rules) = (&job.options.limits, &job.options.rules);
    let late = rules.times_after_duplicates;
    let latest = job.options.now.map_or(i64::MAX, |now| now.saturating_add(limits.future_ms_max));
    let copy = match rules.duplicate {
        Duplicates::Kept => "1",
        // Without `duplicate=row` no row has a key.
        Duplicates::Fields | Duplicates::Row => {
            "row_number() OVER (PARTITION BY user_id, video_id, action, time, value, ratio, row_key \
             ORDER BY file, line, mark)"
        }
    };
    let digits = "CAST(try_cast(time_number AS BIGINT) AS STRING)";
    let sql: Vec<&str> = sources.iter().map(|source| source.sql.as_str()).collect();
    let mut places = vec![
        ("sources", sql.join("\nUNION ALL\n")),
        ("nothing", NOTHING.into()),
        (
            "yyyymmdd",
            format!(
                "CASE WHEN time_number BETWEEN 19800101 AND 21001231 AND time_number = floor(time_number) THEN \
                 concat_ws('-', substring({digits}, 1, 4), substring({digits}, 5, 2), substring({digits}, 7, 2)) END"
            ),
        ),
        ("negative_time", flag(rules.negative_time && !late)),
        ("zero_time", flag(rules.zero_time && !late)),
        ("future_time", flag(rules.future_time && !late)),
        ("late_negative_time", flag(rules.negative_time && late)),
        ("late_zero_time", flag(rules.zero_time && late)),
        ("late_future_time", flag(rules.future_time && late)),
        ("latest_ms", latest.to_string()),
        ("id_bytes_max", limits.id_bytes_max.to_string()),
        ("impossible_duration", flag(rules.impossible_duration)),
        ("duration_seconds_max", double(limits.duration_seconds_max)),
        ("watch_seconds_max", double(limits.watch_seconds_max)),
        ("copy", copy.into()),
        (
            "ratio_max",
            rules.ratio_max.map_or("CAST(NULL AS FLOAT)".into(), |most| {
                format!("CAST({} AS FLOAT)", text(&most.to_string()))
            }),
        ),
        ("near_duplicate_ms", ((rules.near_duplicate_seconds.unwrap_or(0.0) * 1_000.0) as i64).to_string()),
        ("bot_events_max", rules.bots.map_or(0, |rate| rate.events_max).to_string()),
        ("bot_window_ms", rules.bots.map_or(0, |rate| rate.window_ms).to_string()),
        ("user_events_min", rules.user_events_min.max(rules.k_core).to_string()),
        ("video_events_min", rules.video_events_min.max(rules.k_core).to_string()),
        ("has_action", flag(has(Field::Action))),
        ("has_marks", flag(has_marks)),
        ("must_measure", flag(must_measure)),
        ("is_positive", positive(&job.options.relevance)),
        ("manifest", text(manifest)),
        ("format", "1".into()),
        ("name", text(job.name)),
        ("relevance", text(&job.options.relevance.to_string())),
        ("rules", text(&rules.to_string())),
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
        ("quarantine", "quarantine_table", "quarantine"),
        ("cleaning", "cleaning_table", "cleaning"),
    ] {
        let path = format!("{folder}/{table}");
        places.push((place, text(&path)));
        places.push((table_place, identifier(&path)));
    }
    places
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

/// Words that stand for nothing where a value belongs, in lower case.
const NOTHING: &str = "('', 'null', 'none', 'na', 'n/a', '\\\\n')";

/// A cell of a line, without its quotes and without blanks around it.
fn text_cell(at: usize) -> String {
    trimmed(&unquoted(&format!("get(cells, {at})")))
}

fn trimmed(text: &str) -> String {
    format!("trim(BOTH ' \\t\\r\\n' FROM {text})")
}

fn unquoted(cell: &str) -> String {
    format!(
        "CASE WHEN instr({cell}, '\"') = 1 AND length({cell}) > 1 \
         THEN replace(substring({cell}, 2, length({cell}) - 2), '\"\"', '\"') ELSE {cell} END"
    )
}

/// Whether a line lacks a value in any of its columns: `Row::first_missing`.
fn lacks_a_cell(n_columns: usize) -> String {
    let cell = trimmed(&unquoted("cell"));
    format!(
        "size(cells) < {n_columns} OR exists(cells, cell -> lower({cell}) IN {NOTHING} OR {cell} = 'nan')"
    )
}

/// The same of a typed column that is written so as text.
fn lacks_a_value(field: &ArrowField, written: &str) -> String {
    let column = identifier(field.name());
    match field.data_type() {
        kind if kind.is_floating() => format!("{column} IS NULL OR isnan({column})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            format!("{column} IS NULL OR lower({written}) IN {NOTHING} OR {written} = 'nan'")
        }
        _ => format!("{column} IS NULL"),
    }
}

/// A number that equal lines share: `Row::hash`. What a line lacks is empty.
fn row_of_cells(n_columns: usize) -> String {
    let cells = format!("concat(cells, array_repeat('', greatest({n_columns} - size(cells), 0)))");
    format!("xxhash64(concat_ws('\\u0001', transform({cells}, cell -> {})))", unquoted("cell"))
}

/// A typed column as text; a moment is its milliseconds. Nothing where the type is none of a log.
fn written(field: &ArrowField) -> Option<String> {
    match is_moment(field.data_type()) {
        true => Some(format!("CAST({} AS STRING)", milliseconds(field))),
        false => typed_cell(field),
    }
}

fn milliseconds(field: &ArrowField) -> String {
    format!("unix_millis(CAST({} AS TIMESTAMP))", identifier(field.name()))
}

/// A cell of a typed column as text, or nothing where the type is none of a log.
fn typed_cell(field: &ArrowField) -> Option<String> {
    let column = identifier(field.name());
    Some(match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => trimmed(&column),
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
    use crate::formats::events::action_named;

    #[test]
    fn every_place_of_every_statement_is_filled_and_what_fills_it_is_not_read_again() {
        let mut options = Options::default();
        for rule in ["near-duplicate=30", "bots=120/minute", "k-core=5"] {
            options.rules.set(rule).unwrap();
        }
        let sources = ["it's {{rows}}.csv".to_owned()];
        let job = Job { sources: &sources, out: "s3://b/run", name: "r", options: &options, force: false };
        let source =
            Source { described: "{{nothing}}".into(), columns: Columns::default(), sql: "SELECT 1".into() };
        let statements = statements(&[source], "s3://b/run/r", "s3://b/run/manifest", &job);
        let filled: Vec<(&str, &str)> = statements
            .iter()
            .flat_map(|Statement { name, what }| match what {
                What::Once(sql) | What::Last(sql) => vec![(*name, sql.as_str())],
                What::Rounds { rounds, .. } => rounds.iter().map(|sql| (*name, sql.as_str())).collect(),
            })
            .collect();
        // Each file but the two that read is a statement; a round is two.
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/flight/sql")).unwrap();
        assert_eq!(filled.len(), files.count() - 2 + 1);
        let (name, manifest) = filled.last().unwrap();
        assert_eq!(*name, "15_manifest.sql");
        assert!(
            manifest.contains(r"'it\'s {{rows}}.csv'") && manifest.contains("'{{nothing}}'"),
            "{manifest}"
        );
        assert!(filled[..filled.len() - 1].iter().all(|(_, sql)| !sql.contains("{{")));
        // Each rule reads what the one before it wrote.
        let of = |name: &str| filled.iter().find(|(found, _)| *found == name).unwrap().1;
        assert!(of("05_bots.sql").contains("parquet.`s3://b/run/r/judged_near_duplicates`"));
        assert!(of("07_events.sql").contains("parquet.`s3://b/run/r/judged_rare`"));
    }

    #[test]
    fn what_no_statement_does_is_refused_by_name() {
        let mut options = Options::default();
        options.rules.set("unknown-reference=on").unwrap();
        let error = check(&options).unwrap_err().to_string();
        assert!(error.contains("unknown-reference") && error.contains("without --engine"), "{error}");
        let error = check(&Options { strict: true, ..Options::default() }).unwrap_err().to_string();
        assert!(error.contains("--strict") && error.contains("quarantine"), "{error}");
    }

    #[test]
    fn words_stand_for_the_same_actions_as_without_an_engine() {
        let (_, sql) = CLEAN;
        let cases = sql.split_once("AS watch_ratio,").unwrap().1.split_once("END AS named").unwrap().0;
        let (mut words, mut n) = (Vec::new(), 0);
        for (at, quoted) in cases.split('\'').enumerate().filter(|(at, _)| at % 2 == 1) {
            let before = cases.split('\'').nth(at - 1).unwrap();
            if !before.contains("THEN") {
                words.push(quoted);
                continue;
            }
            for word in words.drain(..) {
                assert_eq!(action_named(word).map(upnext_data::Action::name), Some(quoted), "{word}");
                n += 1;
            }
        }
        assert!(n > 60, "{n}");
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
