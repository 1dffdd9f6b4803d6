//! Tables row by row, whatever they lie in: CSV and its kin, MovieLens' `::`, JSON lines, Parquet.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types as t;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use csv_core::ReadRecordResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use crate::formats::nested::{Kind, Lens, Seen};
use crate::row_hash::RowHash;
use crate::source::{Lines, Source, head, text, too_long};
use crate::sources::Rows;
use crate::{IngestError, Limits};

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Missing,
    Int(i64),
    Float(f64),
    /// Milliseconds since 1970.
    Time(i64),
    Text(Cow<'a, str>),
    List(Vec<String>),
}

/// What a file's bytes look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Fields by a delimiter (guessed from the header if not given), names in the first line.
    Delimited(Option<u8>),
    /// Fields by a delimiter, no header: the names are given.
    Headerless(u8, &'static [&'static str]),
    /// Fields by `::`, no header: the names are given.
    DoubleColon(&'static [&'static str]),
    Jsonl,
    /// One kind of row of JSON lines that hold several.
    Nested(Kind),
    Parquet,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// RecBole's `token_seq` and `float_seq` are lists by spaces.
    pub(crate) is_list: bool,
}

/// A table, read once from top to bottom.
pub(crate) struct Table {
    pub(crate) path: PathBuf,
    pub(crate) columns: Vec<Column>,
    /// Columns whose cells are vectors, as their type says.
    pub(crate) vectors: Vec<usize>,
    inner: Inner,
}

enum Inner {
    Delimited(Box<Delimited>),
    Lines { lines: Lines, line: String, ends: Vec<usize> },
    Json { lines: Lines, object: serde_json::Map<String, serde_json::Value>, lens: Option<Box<Lens>> },
    Parquet(Box<Parquet>),
    Rows(Rows),
}

/// One row of a table.
pub(crate) struct Row<'a> {
    /// The line, from 1, or the row of a Parquet file or a query, from 1.
    pub(crate) line: u64,
    /// Why the row as a whole cannot be used, if so.
    pub(crate) broken: Option<String>,
    columns: &'a [Column],
    fields: Fields<'a>,
}

enum Fields<'a> {
    Bytes { bytes: &'a [u8], ends: &'a [usize] },
    Json(&'a serde_json::Map<String, serde_json::Value>),
    Arrays { slots: &'a [Option<usize>], arrays: &'a [ArrayRef], at: usize },
    Cells(&'a [Cell<'static>]),
}

impl Table {
    pub(crate) fn open(path: &Path, shape: Shape, limits: &Limits) -> Result<Self, IngestError> {
        let mut vectors = Vec::new();
        let (columns, inner) = match shape {
            Shape::Delimited(delimiter) => {
                let (columns, inner, of_numbers) = open_delimited(path, delimiter, limits)?;
                vectors = of_numbers;
                (columns, inner)
            }
            Shape::Headerless(delimiter, names) => {
                let mut reader = Delimited::new(path, delimiter, limits)?;
                // Files without a header are not quoted either, unless a comma must be: `"` is part of a title.
                let quoting = delimiter == b',';
                reader.core = csv_core::ReaderBuilder::new().delimiter(delimiter).quoting(quoting).build();
                (named(names), Inner::Delimited(Box::new(reader)))
            }
            Shape::DoubleColon(names) => {
                let lines = Lines::open(path, limits)?;
                (named(names), Inner::Lines { lines, line: String::new(), ends: Vec::new() })
            }
            Shape::Jsonl => {
                let lines = Lines::open(path, limits)?;
                let (columns, of_numbers) = json_columns(path, limits)?;
                vectors = of_numbers;
                (columns, Inner::Json { lines, object: serde_json::Map::new(), lens: None })
            }
            Shape::Nested(kind) => {
                let (lens, names) = Lens::open(path, kind, limits)?;
                vectors = (0..names.len()).filter(|&at| names[at].1).collect();
                let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
                let lines = Lines::open(path, limits)?;
                let lens = Some(Box::new(lens));
                (named(&names), Inner::Json { lines, object: serde_json::Map::new(), lens })
            }
            Shape::Parquet => {
                let parquet = Parquet::open(path)?;
                vectors = parquet.vectors();
                (parquet.columns(), Inner::Parquet(Box::new(parquet)))
            }
        };
        if columns.len() > limits.columns_max {
            return Err(too_many_columns(path, limits));
        }
        Ok(Self { path: path.to_owned(), columns, vectors, inner })
    }

    /// The rows of a database. The path is what messages call them.
    pub(crate) fn of_rows(path: PathBuf, rows: Rows, limits: &Limits) -> Result<Self, IngestError> {
        if rows.columns.len() > limits.columns_max {
            return Err(too_many_columns(&path, limits));
        }
        Ok(Self { path, columns: rows.columns.clone(), vectors: Vec::new(), inner: Inner::Rows(rows) })
    }

    /// Says which columns will be asked for; the others of a Parquet file are then not read.
    pub(crate) fn keep(&mut self, wanted: &[usize]) -> Result<(), IngestError> {
        match &mut self.inner {
            Inner::Parquet(parquet) => parquet.keep(wanted),
            Inner::Rows(rows) => {
                let unread = wanted.iter().find_map(|&column| Some((column, rows.unreadable(column)?)));
                unread.map_or(Ok(()), |(column, found)| {
                    Err(IngestError::ColumnType {
                        path: self.path.clone(),
                        column: self.columns[column].name.clone(),
                        found: found.into(),
                        expected: "numbers, text, times, booleans or lists of these; \
                                   cast it in a query of your own with --sql",
                    })
                })
            }
            _ => Ok(()),
        }
    }

    /// What separates the fields of a delimited file with a header.
    pub(crate) fn delimiter(&self) -> Option<u8> {
        match &self.inner {
            Inner::Delimited(reader) => reader.delimiter,
            _ => None,
        }
    }

    /// The columns whose type can be read.
    pub(crate) fn readable(&self) -> Vec<usize> {
        let reads = |at: &usize| match &self.inner {
            Inner::Parquet(parquet) => readable(&parquet.types[*at].1),
            Inner::Rows(rows) => rows.unreadable(*at).is_none(),
            _ => true,
        };
        (0..self.columns.len()).filter(reads).collect()
    }

    /// Bytes read so far and in all.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let of = |source: &Source| (source.bytes(), source.bytes_total);
        match &self.inner {
            Inner::Delimited(reader) => of(&reader.source),
            Inner::Lines { lines, .. } | Inner::Json { lines, .. } => of(lines.source()),
            Inner::Parquet(parquet) => {
                let share = parquet.row as f64 / parquet.rows_total.max(1) as f64;
                ((parquet.bytes_total as f64 * share) as u64, parquet.bytes_total)
            }
            // A query says neither its bytes nor how many rows will come.
            Inner::Rows(_) => (0, 0),
        }
    }

    /// The next row, or nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, IngestError> {
        let columns = &self.columns[..];
        match &mut self.inner {
            Inner::Delimited(reader) => {
                if !reader.next()? {
                    return Ok(None);
                }
                let ends = &reader.ends[..reader.n_ends];
                Ok(Some(Row::of_fields(reader.line, columns, &reader.record, ends)))
            }
            Inner::Lines { lines, line, ends } => {
                let found = loop {
                    match lines.next()? {
                        None => return Ok(None),
                        Some([]) => {}
                        Some(found) => break text(found).into_owned(),
                    }
                };
                line.clear();
                ends.clear();
                for field in found.split("::") {
                    line.push_str(field);
                    ends.push(line.len());
                }
                let broken = (ends.len() != columns.len())
                    .then(|| format!("{} fields by `::`; expected {}", ends.len(), columns.len()));
                let fields = Fields::Bytes { bytes: line.as_bytes(), ends };
                Ok(Some(Row { line: lines.number, broken, columns, fields }))
            }
            Inner::Json { lines, object, lens } => {
                object.clear();
                let broken = loop {
                    let found = match lines.next()? {
                        None => return Ok(None),
                        Some(line) if line.trim_ascii().is_empty() => continue,
                        Some(line) => serde_json::from_slice(line),
                    };
                    let seen = match (found, &lens) {
                        (Ok(found), None) => Seen::Row(found),
                        (Ok(found), Some(lens)) => lens.see(found),
                        (Err(error), _) => Seen::Broken(format!("not a JSON object: {error}")),
                    };
                    match seen {
                        Seen::Row(found) => {
                            *object = found;
                            break None;
                        }
                        Seen::Broken(why) if lens.as_ref().is_none_or(|lens| lens.tells()) => {
                            break Some(why);
                        }
                        Seen::Broken(_) | Seen::Other => {}
                    }
                };
                Ok(Some(Row { line: lines.number, broken, columns, fields: Fields::Json(object) }))
            }
            Inner::Parquet(parquet) => {
                if !parquet.next()? {
                    return Ok(None);
                }
                let fields = Fields::Arrays {
                    slots: &parquet.slots,
                    arrays: parquet.batch.as_ref().map_or(&[], RecordBatch::columns),
                    at: parquet.at,
                };
                Ok(Some(Row { line: parquet.row, broken: None, columns, fields }))
            }
            Inner::Rows(rows) => {
                if !rows.next()? {
                    return Ok(None);
                }
                let fields = Fields::Cells(rows.cells());
                Ok(Some(Row { line: rows.row(), broken: None, columns, fields }))
            }
        }
    }
}

fn named(names: &[&str]) -> Vec<Column> {
    names.iter().map(|name| Column { name: (*name).into(), is_list: false }).collect()
}

fn too_many_columns(path: &Path, limits: &Limits) -> IngestError {
    IngestError::Limit {
        path: path.to_owned(),
        what: "columns",
        most: limits.columns_max,
        limit: "columns_max",
    }
}

impl<'a> Row<'a> {
    /// A row of a delimited file: its fields without what stood between them, and where each ends.
    pub(crate) fn of_fields(line: u64, columns: &'a [Column], bytes: &'a [u8], ends: &'a [usize]) -> Self {
        let broken = (ends.len() > columns.len())
            .then(|| format!("{} fields; the header has {}", ends.len(), columns.len()));
        Self { line, broken, columns, fields: Fields::Bytes { bytes, ends } }
    }
}

impl Row<'_> {
    /// The column at a place.
    pub(crate) fn column(&self, column: usize) -> &Column {
        &self.columns[column]
    }

    /// The first column without a value.
    pub(crate) fn first_missing(&self) -> Option<usize> {
        (0..self.columns.len()).find(|&column| match self.cell(column) {
            Cell::Missing => true,
            Cell::Float(float) => float.is_nan(),
            Cell::Text(text) => crate::formats::events::is_nothing(text.trim()) || text.trim() == "nan",
            _ => false,
        })
    }

    /// Half of a hash of all columns as they are written: `1` and `1.0` differ.
    pub(crate) fn hash(&self) -> u32 {
        let mut hash = RowHash::default();
        let mut value = String::new();
        for column in 0..self.columns.len() {
            if let Fields::Bytes { bytes, ends } = &self.fields {
                let start =
                    if column == 0 { 0 } else { ends.get(column - 1).copied().unwrap_or(bytes.len()) };
                let end = ends.get(column).copied().unwrap_or(start);
                hash.field(column, &bytes[start..end]);
                continue;
            }
            match self.cell(column) {
                Cell::List(values) => value = values.join(" "),
                cell => cell.id_into(&mut value),
            }
            hash.field(column, value.as_bytes());
        }
        hash.half()
    }

    /// The values as text, by commas.
    pub(crate) fn text_into(&self, text: &mut String) {
        text.clear();
        let mut value = String::new();
        for column in 0..self.columns.len() {
            if column > 0 {
                text.push(',');
            }
            match self.cell(column) {
                Cell::List(values) => text.push_str(&values.join(" ")),
                cell => {
                    cell.id_into(&mut value);
                    text.push_str(&value);
                }
            }
        }
    }

    /// The value in a column.
    pub(crate) fn cell(&self, column: usize) -> Cell<'_> {
        match &self.fields {
            Fields::Bytes { bytes, ends } => {
                let Some(&end) = ends.get(column) else { return Cell::Missing };
                let start = if column == 0 { 0 } else { ends[column - 1] };
                let text = text(&bytes[start..end]);
                if self.columns[column].is_list {
                    return Cell::List(text.split_whitespace().map(Into::into).collect());
                }
                if text.is_empty() { Cell::Missing } else { Cell::Text(text) }
            }
            Fields::Json(object) => {
                object.get(&self.columns[column].name).map_or(Cell::Missing, |value| json_cell(value))
            }
            Fields::Arrays { slots, arrays, at } => {
                slots[column].map_or(Cell::Missing, |slot| array_cell(&arrays[slot], *at))
            }
            Fields::Cells(cells) => match cells.get(column) {
                Some(Cell::Text(text)) => Cell::Text(Cow::Borrowed(text)),
                Some(cell) => cell.clone(),
                None => Cell::Missing,
            },
        }
    }
}

fn json_cell(value: &serde_json::Value) -> Cell<'_> {
    use serde_json::Value;
    match value {
        Value::Null => Cell::Missing,
        Value::Bool(yes) => Cell::Int(i64::from(*yes)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Cell::Int(int),
            (None, Some(float)) => Cell::Float(float),
            (None, None) => Cell::Text(number.to_string().into()),
        },
        Value::String(text) if text.is_empty() => Cell::Missing,
        Value::String(text) => Cell::Text(text.as_str().into()),
        Value::Array(values) => Cell::List(
            values
                .iter()
                .filter(|value| !value.is_null())
                .map(|value| value.as_str().map_or_else(|| value.to_string(), Into::into))
                .collect(),
        ),
        Value::Object(_) => Cell::Text(value.to_string().into()),
    }
}

/// The keys of the first lines, in the order in which they come, and which of them hold vectors.
fn json_columns(path: &Path, limits: &Limits) -> Result<(Vec<Column>, Vec<usize>), IngestError> {
    const LINES: usize = 200;
    let mut lines = Lines::open(path, limits)?;
    let (mut columns, mut vectors, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    let mut broken = None;
    for _ in 0..LINES {
        let Some(line) = lines.next()? else { break };
        let object: serde_json::Map<String, serde_json::Value> = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(error) => {
                broken.get_or_insert((lines.number, error.to_string()));
                continue;
            }
        };
        for (name, value) in &object {
            if known.insert(name.clone()) {
                if is_vector(value) {
                    vectors.push(columns.len());
                }
                columns.push(Column { name: name.clone(), is_list: false });
            }
        }
        if columns.len() > limits.columns_max {
            return Err(too_many_columns(path, limits));
        }
    }
    match (columns.is_empty(), broken) {
        (true, Some((line, found))) => Err(IngestError::Line {
            path: path.to_owned(),
            line,
            found,
            expected: "one JSON object a line".into(),
        }),
        (true, None) => Err(IngestError::Empty { path: path.to_owned(), expected: "one JSON object a line" }),
        (false, _) => Ok((columns, vectors)),
    }
}

/// Whether a list is a vector and not some ids: numbers, not all of them whole.
pub(crate) fn is_vector(value: &serde_json::Value) -> bool {
    let Some(values) = value.as_array().filter(|values| values.len() > 1) else { return false };
    values.iter().all(serde_json::Value::is_number) && values.iter().any(serde_json::Value::is_f64)
}

/// A CSV file and its kin: a state machine over a buffer, one record at a time.
struct Delimited {
    source: Source,
    core: csv_core::Reader,
    input: Vec<u8>,
    input_at: usize,
    input_len: usize,
    record: Vec<u8>,
    ends: Vec<usize>,
    n_ends: usize,
    /// The line on which the record started.
    line: u64,
    line_bytes_max: usize,
    columns_max: usize,
    /// Set where the file has a header.
    delimiter: Option<u8>,
}

impl Delimited {
    fn new(path: &Path, delimiter: u8, limits: &Limits) -> Result<Self, IngestError> {
        Ok(Self {
            source: Source::open(path)?,
            core: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            input: vec![0; 1 << 16],
            input_at: 0,
            input_len: 0,
            record: vec![0; 1 << 10],
            ends: vec![0; 64],
            n_ends: 0,
            line: 0,
            line_bytes_max: limits.line_bytes_max,
            columns_max: limits.columns_max,
            delimiter: None,
        })
    }

    fn next(&mut self) -> Result<bool, IngestError> {
        self.line = self.core.line();
        let (mut n_bytes, mut n_ends) = (0, 0);
        loop {
            if self.input_at == self.input_len {
                // An empty input tells the state machine that the file has ended.
                self.input_len = self.source.fill(&mut self.input)?;
                self.input_at = 0;
            }
            let (result, read, wrote, ended) = self.core.read_record(
                &self.input[self.input_at..self.input_len],
                &mut self.record[n_bytes..],
                &mut self.ends[n_ends..],
            );
            self.input_at += read;
            n_bytes += wrote;
            n_ends += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    if self.record.len() > self.line_bytes_max {
                        return Err(too_long(&self.source.path, self.line, self.line_bytes_max));
                    }
                    self.record.resize(2 * self.record.len(), 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    if self.ends.len() > self.columns_max {
                        return Err(IngestError::Limit {
                            path: self.source.path.clone(),
                            what: "columns",
                            most: self.columns_max,
                            limit: "columns_max",
                        });
                    }
                    self.ends.resize(2 * self.ends.len(), 0);
                }
                ReadRecordResult::Record if n_bytes > self.line_bytes_max => {
                    return Err(too_long(&self.source.path, self.line, self.line_bytes_max));
                }
                ReadRecordResult::Record => {
                    self.n_ends = n_ends;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }
}

fn open_delimited(
    path: &Path,
    delimiter: Option<u8>,
    limits: &Limits,
) -> Result<(Vec<Column>, Inner, Vec<usize>), IngestError> {
    let delimiter = match delimiter {
        Some(delimiter) => delimiter,
        None => {
            let head = head(path, 1 << 16)?;
            let first = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let count = |wanted: u8| first.iter().filter(|&&byte| byte == wanted).count();
            // The first of the most frequent: a header without any of them has one column.
            *b",\t;|".iter().rev().max_by_key(|&&delimiter| count(delimiter)).expect("four delimiters")
        }
    };
    let mut reader = Delimited::new(path, delimiter, limits)?;
    if !reader.next()? {
        return Err(IngestError::Empty {
            path: path.to_owned(),
            expected: "a header such as `user_id,video_id,timestamp` and rows below it",
        });
    }
    reader.delimiter = Some(delimiter);
    let mut columns = Vec::new();
    let mut start = 0;
    for &end in &reader.ends[..reader.n_ends] {
        let name = text(&reader.record[start..end]).trim().trim_start_matches('\u{feff}').to_string();
        columns.push(Column { name, is_list: false });
        start = end;
    }
    // RecBole writes `name:type`.
    let types = ["token", "token_seq", "float", "float_seq"];
    let typed = |column: &Column| column.name.rsplit_once(':').is_some_and(|(_, kind)| types.contains(&kind));
    let mut vectors = Vec::new();
    if columns.iter().all(typed) {
        for (at, column) in columns.iter_mut().enumerate() {
            if column.name.ends_with(":float_seq") {
                vectors.push(at);
            }
            column.is_list = column.name.ends_with("_seq");
            let end = column.name.rfind(':').unwrap_or(column.name.len());
            column.name.truncate(end);
        }
    }
    Ok((columns, Inner::Delimited(Box::new(reader)), vectors))
}

/// A Parquet file, batch by batch.
struct Parquet {
    path: PathBuf,
    builder: Option<ParquetRecordBatchReaderBuilder<File>>,
    reader: Option<ParquetRecordBatchReader>,
    types: Vec<(String, DataType)>,
    /// Where each column stands in a batch, if it is read.
    slots: Vec<Option<usize>>,
    batch: Option<RecordBatch>,
    at: usize,
    row: u64,
    rows_total: u64,
    bytes_total: u64,
}

const BATCH_ROWS: usize = 8_192;

impl Parquet {
    fn open(path: &Path) -> Result<Self, IngestError> {
        let file = File::open(path).map_err(IngestError::io(path))?;
        let bytes_total = file.metadata().map_err(IngestError::io(path))?.len();
        if bytes_total == 0 {
            return Err(IngestError::Empty { path: path.to_owned(), expected: "a Parquet table" });
        }
        // Without the writer's own schema there are fewer types: strings are Utf8, lists are List.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder =
            contained(path, || ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))?;
        let types: Vec<_> =
            builder.schema().fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        let rows_total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        Ok(Self {
            path: path.to_owned(),
            slots: vec![None; types.len()],
            types,
            builder: Some(builder),
            reader: None,
            batch: None,
            at: 0,
            row: 0,
            rows_total,
            bytes_total,
        })
    }

    fn columns(&self) -> Vec<Column> {
        self.types.iter().map(|(name, _)| Column { name: name.clone(), is_list: false }).collect()
    }

    /// Columns of lists of floating numbers.
    fn vectors(&self) -> Vec<usize> {
        let of_numbers = |kind: &DataType| match kind {
            DataType::List(inner) => matches!(inner.data_type(), DataType::Float32 | DataType::Float64),
            _ => false,
        };
        (0..self.types.len()).filter(|&at| of_numbers(&self.types[at].1)).collect()
    }

    fn keep(&mut self, wanted: &[usize]) -> Result<(), IngestError> {
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        for &column in &wanted {
            let (name, kind) = &self.types[column];
            if !readable(kind) {
                return Err(IngestError::ColumnType {
                    path: self.path.clone(),
                    column: name.clone(),
                    found: kind.to_string(),
                    expected: "whole or floating numbers, strings, times, booleans, or lists of these",
                });
            }
        }
        for (slot, &column) in wanted.iter().enumerate() {
            self.slots[column] = Some(slot);
        }
        if let Some(builder) = self.builder.take() {
            let reader = contained(&self.path, || {
                let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
                builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()
            })?;
            self.reader = Some(reader);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<bool, IngestError> {
        self.at += 1;
        while self.batch.as_ref().is_none_or(|batch| self.at >= batch.num_rows()) {
            let Some(reader) = &mut self.reader else { return Ok(false) };
            let batch = contained(&self.path, || reader.next().transpose())?;
            if batch.is_none() {
                return Ok(false);
            }
            (self.batch, self.at) = (batch, 0);
        }
        self.row += 1;
        Ok(true)
    }
}

/// Runs the decoder. It is written by others, and asserts inside what damaged bytes can break: such a panic is
/// an error of the file, not of the program. Nothing it held is used afterwards.
pub(crate) fn contained<T, E: std::fmt::Display>(
    path: &Path,
    decode: impl FnOnce() -> Result<T, E>,
) -> Result<T, IngestError> {
    let failed = |reason: String| IngestError::Parquet { path: path.to_owned(), reason };
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("its parts contradict each other".into())),
    }
}

fn readable(kind: &DataType) -> bool {
    match kind {
        DataType::List(inner) => {
            !matches!(inner.data_type(), DataType::List(_)) && readable(inner.data_type())
        }
        kind => matches!(
            kind,
            DataType::Null
                | DataType::Boolean
                | DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::UInt8
                | DataType::UInt16
                | DataType::UInt32
                | DataType::UInt64
                | DataType::Float32
                | DataType::Float64
                | DataType::Utf8
                | DataType::Binary
                | DataType::Date32
                | DataType::Timestamp(..)
        ),
    }
}

pub(crate) fn array_cell(array: &ArrayRef, at: usize) -> Cell<'_> {
    if array.is_null(at) {
        return Cell::Missing;
    }
    macro_rules! value {
        ($kind:ty) => {
            array.as_primitive::<$kind>().value(at)
        };
    }
    let string = |text: &'_ str| -> Option<()> { (!text.is_empty()).then_some(()) };
    match array.data_type() {
        DataType::Boolean => Cell::Int(i64::from(array.as_boolean().value(at))),
        DataType::Int8 => Cell::Int(value!(t::Int8Type).into()),
        DataType::Int16 => Cell::Int(value!(t::Int16Type).into()),
        DataType::Int32 => Cell::Int(value!(t::Int32Type).into()),
        DataType::Int64 => Cell::Int(value!(t::Int64Type)),
        DataType::UInt8 => Cell::Int(value!(t::UInt8Type).into()),
        DataType::UInt16 => Cell::Int(value!(t::UInt16Type).into()),
        DataType::UInt32 => Cell::Int(value!(t::UInt32Type).into()),
        DataType::UInt64 => {
            let value = value!(t::UInt64Type);
            i64::try_from(value).map_or_else(|_| Cell::Text(value.to_string().into()), Cell::Int)
        }
        DataType::Float32 => Cell::Float(value!(t::Float32Type).into()),
        DataType::Float64 => Cell::Float(value!(t::Float64Type)),
        DataType::Utf8 => {
            let text = array.as_string::<i32>().value(at);
            string(text).map_or(Cell::Missing, |()| Cell::Text(text.into()))
        }
        DataType::Binary => {
            let text = text(array.as_binary::<i32>().value(at));
            if text.is_empty() { Cell::Missing } else { Cell::Text(text) }
        }
        DataType::Date32 => Cell::Time(i64::from(value!(t::Date32Type)) * 86_400_000),
        DataType::Timestamp(unit, _) => Cell::Time(match unit {
            TimeUnit::Second => value!(t::TimestampSecondType).saturating_mul(1_000),
            TimeUnit::Millisecond => value!(t::TimestampMillisecondType),
            TimeUnit::Microsecond => value!(t::TimestampMicrosecondType).div_euclid(1_000),
            TimeUnit::Nanosecond => value!(t::TimestampNanosecondType).div_euclid(1_000_000),
        }),
        DataType::List(_) => {
            let list = array.as_list::<i32>().value(at);
            Cell::List((0..list.len()).filter_map(|at| array_cell(&list, at).into_id()).collect())
        }
        _ => Cell::Missing,
    }
}

impl Cell<'_> {
    /// As an outside id, or nothing where there is none.
    pub(crate) fn into_id(self) -> Option<String> {
        let mut id = String::new();
        self.id_into(&mut id);
        (!id.is_empty()).then_some(id)
    }

    /// Writes the outside id, nothing where there is none. `7.0` in a column of numbers is the id `7`.
    pub(crate) fn id_into(&self, id: &mut String) {
        use std::fmt::Write;
        id.clear();
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Missing | Self::List(_) => Ok(()),
            Self::Int(int) | Self::Time(int) => write!(id, "{int}"),
            Self::Float(float) if float.is_nan() => Ok(()),
            Self::Float(float) => write!(id, "{float}"),
            Self::Text(text) => {
                id.push_str(text.trim());
                Ok(())
            }
        };
    }
}
