//! Where vectors come from: files of one each in a folder or under a prefix, one matrix, or a table.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types as t;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;

use crate::columns::{self, bare};
use crate::formats::recognise::{Sniffed, sniff};
use crate::source::Source;
use crate::sources::npy;
use crate::table::{Cell, Column, Table, array_cell, contained};
use crate::vectors::{Filling, MATRIX_BYTES_MAX, VectorError, VectorFormat, VectorOptions, VectorProgress};
use crate::{Field, IngestError, Map};

/// What lay where a vector was looked for.
pub(crate) enum Found<'a> {
    Vector(&'a [f32]),
    WrongSize(String),
    Unreadable(String),
    /// It was listed, and gone when it was asked for.
    Vanished,
}

/// The largest file of one vector: a million numbers of 8 bytes, and a header.
pub(crate) const VECTOR_BYTES_MAX: u64 = (8 << 20) + (1 << 16);
/// Endings that are not part of an id.
const ENDINGS: &[&str] = &["npy", "bin", "raw", "f32", "dat"];
/// Files that are read ahead while the first of them is taken in.
const CHUNK_FILES: usize = 1_024;
/// Rows of a Parquet file that are decoded at a time.
const BATCH_ROWS: usize = 1_024;
/// After so many rows the caller hears of progress.
const PROGRESS_ROWS: usize = 1 << 12;

/// Reads all vectors of a source.
pub(crate) fn fill(
    filling: &mut Filling,
    options: &VectorOptions,
    progress: &dyn Fn(VectorProgress),
) -> Result<(), VectorError> {
    if options.from.contains("://") {
        #[cfg(feature = "scale")]
        return super::objects::fill(filling, options, progress);
        #[cfg(not(feature = "scale"))]
        return Err(VectorError::Store {
            url: options.from.clone(),
            reason: "this build has no object stores; build it with `cargo build --release --features scale`"
                .into(),
        });
    }
    let path = Path::new(&options.from);
    let is_folder = std::fs::metadata(path).map_err(IngestError::io(path))?.is_dir();
    let format = format_of(options, is_folder, || {
        let mut head = [0; 8];
        let got = Source::open(path)?.fill(&mut head)?;
        Ok(head[..got].to_vec())
    })?;
    filling.coverage.recognised = said_of(format).into();
    match format {
        VectorFormat::Matrix => {
            let bytes = std::fs::metadata(path).map_err(IngestError::io(path))?.len();
            check_matrix_bytes(&options.from, bytes)?;
            let bytes = std::fs::read(path).map_err(IngestError::io(path))?;
            matrix(filling, &bytes, options, progress)
        }
        VectorFormat::Parquet => {
            let file = File::open(path).map_err(IngestError::io(path))?;
            parquet(filling, path, file, options, progress)
        }
        VectorFormat::Table => table(filling, path, options, progress),
        VectorFormat::Npy | VectorFormat::Raw | VectorFormat::Auto => {
            folder(filling, path, format, options, progress)
        }
    }
}

pub(crate) fn check_matrix_bytes(from: &str, bytes: u64) -> Result<(), VectorError> {
    if bytes <= MATRIX_BYTES_MAX {
        return Ok(());
    }
    let most = MATRIX_BYTES_MAX >> 30;
    Err(given(from, format!("has {bytes} bytes; at most {most} GiB are read at once: split it")))
}

fn given(what: impl Into<String>, reason: impl Into<String>) -> VectorError {
    VectorError::Given { what: what.into(), reason: reason.into() }
}

/// What a format is called in the coverage report.
pub(crate) fn said_of(format: VectorFormat) -> &'static str {
    match format {
        VectorFormat::Auto => "a file for each video",
        VectorFormat::Npy => "a .npy for each video",
        VectorFormat::Raw => "32-bit floats without a header for each video",
        VectorFormat::Matrix => "one matrix",
        VectorFormat::Parquet => "a Parquet table",
        VectorFormat::Table => "a table of text",
    }
}

/// The format that was asked for, if it fits what lies there; else the one that it looks like. `Auto` means a
/// folder of vectors of which each tells for itself.
fn format_of(
    options: &VectorOptions,
    is_folder: bool,
    head: impl FnOnce() -> Result<Vec<u8>, IngestError>,
) -> Result<VectorFormat, VectorError> {
    use VectorFormat::{Auto, Matrix, Npy, Parquet, Raw, Table};
    let format = match (options.format, is_folder) {
        (Auto, true) => Auto,
        (Auto, false) => match head()? {
            head if npy::is_npy(&head) => Matrix,
            head if head.starts_with(b"PAR1") => Parquet,
            _ => Table,
        },
        (Npy | Raw, false) => {
            return Err(given(&options.from, "is a file; --format npy and raw expect a folder of them"));
        }
        (Matrix | Parquet | Table, true) => {
            return Err(given(
                &options.from,
                "is a folder; --format matrix, parquet and table expect a file",
            ));
        }
        (format, _) => format,
    };
    check_options(options, format)?;
    Ok(format)
}

/// That no option is given which this format has no use for.
pub(crate) fn check_options(options: &VectorOptions, format: VectorFormat) -> Result<(), VectorError> {
    let is_table = matches!(format, VectorFormat::Parquet | VectorFormat::Table);
    if options.ids.is_some() && format != VectorFormat::Matrix {
        return Err(given("--ids", format!("names the rows of a matrix, and this is {}", said_of(format))));
    }
    for (option, value) in [("--id-column", &options.id_column), ("--vector-column", &options.vector_column)]
    {
        if value.is_some() && !is_table {
            return Err(given(option, format!("names a column of a table, and this is {}", said_of(format))));
        }
    }
    if format == VectorFormat::Raw && options.dim.is_none() {
        return Err(given("--format raw", "bytes without a header need --dim, as in --dim 256"));
    }
    Ok(())
}

/// The id that a file's name stands for.
pub(crate) fn id_of(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((id, ending)) if ENDINGS.contains(&ending) => id,
        _ => name,
    }
}

/// The vector of a file, written to `values`; else why it is none.
pub(crate) fn vector_of<'a>(
    bytes: &[u8],
    format: VectorFormat,
    dim: Option<usize>,
    values: &'a mut Vec<f32>,
) -> Found<'a> {
    if format != VectorFormat::Raw && npy::is_npy(bytes) {
        return match npy::parse(bytes) {
            Ok(npy) if npy.rows == 1 => {
                npy.row_into(0, values);
                Found::Vector(values)
            }
            Ok(npy) => Found::WrongSize(format!("{} rows of {} numbers; expected one", npy.rows, npy.dim)),
            Err(why) => Found::Unreadable(why),
        };
    }
    match (format, dim) {
        (VectorFormat::Raw | VectorFormat::Auto, Some(dim)) if bytes.len() == 4 * dim => {
            values.clear();
            let (numbers, _) = bytes.as_chunks::<4>();
            values.extend(numbers.iter().map(|&number| f32::from_le_bytes(number)));
            Found::Vector(values)
        }
        (VectorFormat::Raw | VectorFormat::Auto, Some(dim)) => {
            Found::WrongSize(format!("{} bytes; {dim} numbers have {}", bytes.len(), 4 * dim))
        }
        (VectorFormat::Auto, None) => {
            Found::Unreadable("no .npy header; give --dim to read bytes without one".into())
        }
        _ => Found::Unreadable("it does not start as a .npy file does".into()),
    }
}

/// A file for each video.
fn folder(
    filling: &mut Filling,
    path: &Path,
    format: VectorFormat,
    options: &VectorOptions,
    progress: &dyn Fn(VectorProgress),
) -> Result<(), VectorError> {
    let mut files: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(IngestError::io(path))? {
        let entry = entry.map_err(IngestError::io(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || !entry.path().is_file() {
            continue;
        }
        match filling.names.row(id_of(&name)) {
            Some(row) => files.push((row, entry.path())),
            None => filling.unknown(id_of(&name)),
        }
    }
    // In the order of videos, so that what is told does not hang on the file system.
    files.sort();
    let total = files.len();
    let mut values = Vec::new();
    for (at, chunk) in files.chunks(CHUNK_FILES).enumerate() {
        for ((row, path), bytes) in chunk.iter().zip(read_all(chunk, options.workers)) {
            let found = match bytes {
                Ok(bytes) => vector_of(&bytes, format, options.dim, &mut values),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Found::Vanished,
                Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                    Found::WrongSize(format!("more than {VECTOR_BYTES_MAX} bytes"))
                }
                Err(source) => return Err(IngestError::Io { path: path.clone(), source }.into()),
            };
            filling.take(*row, found)?;
        }
        progress(VectorProgress { done: (at * CHUNK_FILES + chunk.len()).min(total), total });
    }
    Ok(())
}

/// The contents of some files, by several threads: on a network disk each waits for its answer.
fn read_all(files: &[(u32, PathBuf)], workers: usize) -> Vec<std::io::Result<Vec<u8>>> {
    let read = |path: &Path| {
        if std::fs::metadata(path)?.len() > VECTOR_BYTES_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        std::fs::read(path)
    };
    let each = files.len().div_ceil(workers.clamp(1, 64)).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .chunks(each)
            .map(|some| scope.spawn(move || some.iter().map(|(_, path)| read(path)).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("reading a file does not panic")).collect()
    })
}

/// One matrix: with ids, or with a row for each video.
pub(crate) fn matrix(
    filling: &mut Filling,
    bytes: &[u8],
    options: &VectorOptions,
    progress: &dyn Fn(VectorProgress),
) -> Result<(), VectorError> {
    let npy = npy::parse(bytes).map_err(|why| given(&options.from, format!("cannot be read: {why}")))?;
    if npy.is_flat {
        return Err(given(&options.from, format!("is one vector of {} numbers; expected a matrix", npy.dim)));
    }
    let ids = options.ids.as_deref().map(read_ids).transpose()?;
    let (rows, what) = match (&ids, &options.ids) {
        (Some(ids), Some(path)) => (ids.len(), format!("`{}` has {} ids", path.display(), ids.len())),
        _ => (filling.names.len(), format!("the run has {} videos", filling.names.len())),
    };
    if rows != npy.rows {
        let what = format!("has {} rows, but {what}; say which row is which video with --ids FILE", npy.rows);
        return Err(given(&options.from, what));
    }
    let mut values = Vec::new();
    for row in 0..npy.rows {
        npy.row_into(row, &mut values);
        match &ids {
            Some(ids) => filling.take_id(&ids[row], Found::Vector(&values))?,
            None => filling.take(row as u32, Found::Vector(&values))?,
        }
        if row % PROGRESS_ROWS == 0 {
            progress(VectorProgress { done: row, total: npy.rows });
        }
    }
    Ok(())
}

/// Ids, one a line.
fn read_ids(path: &Path) -> Result<Vec<String>, VectorError> {
    let text = std::fs::read(path).map_err(IngestError::io(path))?;
    let text = crate::source::text(&text);
    Ok(text.trim_start_matches('\u{feff}').lines().map(|line| line.trim().to_string()).collect())
}

/// Which columns hold ids and vectors.
fn two_columns(
    path: &Path,
    names: &[Column],
    options: &VectorOptions,
    lists: &[usize],
) -> Result<(usize, usize), VectorError> {
    let place = |option: &str, wanted: &str| {
        let at = names.iter().position(|column| column.name == wanted);
        let all: Vec<&str> = names.iter().take(40).map(|column| column.name.as_str()).collect();
        at.ok_or_else(|| {
            given(option, format!("{} has no column `{wanted}`; it has {}", path.display(), all.join(", ")))
        })
    };
    let ids = match &options.id_column {
        Some(wanted) => place("--id-column", wanted)?,
        None => columns::resolve(path, names, &Map::default(), false)?
            .get(Field::Video)
            .or_else(|| names.iter().position(|column| bare(&column.name) == "id"))
            .ok_or_else(|| columns::no_column(path, Field::Video, "video_id", names))
            .map_err(|error| given("--id-column", error.to_string()))?,
    };
    let vectors = match (&options.vector_column, lists) {
        (Some(wanted), _) => place("--vector-column", wanted)?,
        (None, &[one]) => one,
        (None, lists) => {
            let lists: Vec<&str> = lists.iter().map(|&at| names[at].name.as_str()).collect();
            let there = if lists.is_empty() { "none".into() } else { lists.join(", ") };
            let why = format!("say which column of {} holds vectors; lists are {there}", path.display());
            return Err(given("--vector-column", why));
        }
    };
    Ok((ids, vectors))
}

/// A Parquet table with a column of ids and one of lists.
pub(crate) fn parquet(
    filling: &mut Filling,
    path: &Path,
    bytes: impl ChunkReader + 'static,
    options: &VectorOptions,
    progress: &dyn Fn(VectorProgress),
) -> Result<(), VectorError> {
    // Without the writer's own schema there are fewer types: lists of a fixed size are List.
    let reading = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = contained(path, || ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, reading))?;
    let fields = builder.schema().fields().clone();
    let names: Vec<Column> =
        fields.iter().map(|field| Column { name: field.name().clone(), is_list: false }).collect();
    let lists: Vec<usize> = (0..fields.len()).filter(|&at| is_numbers(fields[at].data_type())).collect();
    let (ids, vectors) = two_columns(path, &names, options, &lists)?;
    if !lists.contains(&vectors) || ids == vectors {
        return Err(given(
            "--vector-column",
            format!(
                "`{}` is {}; expected a list of floats",
                names[vectors].name,
                fields[vectors].data_type()
            ),
        ));
    }
    let total = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let reader = contained(path, || {
        let mask = ProjectionMask::roots(builder.parquet_schema(), [ids, vectors]);
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()
    })?;
    // A batch has the columns in the order of the file.
    let (id_at, vector_at) = if ids < vectors { (0, 1) } else { (1, 0) };
    let mut reader = reader;
    let (mut done, mut values) = (0, Vec::new());
    while let Some(batch) = contained(path, || reader.next().transpose())? {
        for at in 0..batch.num_rows() {
            let Some(id) = array_cell(batch.column(id_at), at).into_id() else { continue };
            let found = match contained(path, || numbers(batch.column(vector_at), at, &mut values))? {
                true => Found::Vector(&values),
                false => Found::Unreadable("it is empty".into()),
            };
            filling.take_id(&id, found)?;
        }
        done += batch.num_rows();
        progress(VectorProgress { done, total });
    }
    Ok(())
}

fn is_numbers(kind: &DataType) -> bool {
    match kind {
        DataType::List(inner) => {
            matches!(inner.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64)
        }
        _ => false,
    }
}

/// The numbers of a list; `false` where there is none. A missing number is not a number.
fn numbers(array: &ArrayRef, at: usize, values: &mut Vec<f32>) -> Result<bool, std::convert::Infallible> {
    values.clear();
    let list = array.as_list::<i32>();
    if list.is_null(at) {
        return Ok(false);
    }
    let list = list.value(at);
    macro_rules! extend {
        ($kind:ty, $as_f32:expr) => {
            values.extend(list.as_primitive::<$kind>().iter().map(|x| x.map_or(f32::NAN, $as_f32)))
        };
    }
    match list.data_type() {
        DataType::Float16 => extend!(t::Float16Type, |x| x.to_f32()),
        DataType::Float64 => extend!(t::Float64Type, |x| x as f32),
        _ => extend!(t::Float32Type, |x| x),
    }
    Ok(!values.is_empty())
}

/// A table of text: RecBole's `float_seq`, JSON lists, or numbers by spaces or commas.
fn table(
    filling: &mut Filling,
    path: &Path,
    options: &VectorOptions,
    progress: &dyn Fn(VectorProgress),
) -> Result<(), VectorError> {
    let Sniffed::Table(shape) = sniff(path)? else {
        return Err(given(&options.from, "is neither .npy nor a table; say how it lies with --format"));
    };
    let mut table = Table::open(path, shape, &options.limits)?;
    let lists: Vec<usize> = (0..table.columns.len()).filter(|&at| table.columns[at].is_list).collect();
    let (ids, vectors) = two_columns(path, &table.columns, options, &lists)?;
    table.keep(&[ids, vectors])?;
    let mut values = Vec::new();
    loop {
        let (done, total) = table.bytes();
        let Some(row) = table.next()? else { break };
        if row.line % PROGRESS_ROWS as u64 == 0 {
            progress(VectorProgress { done: done as usize, total: total as usize });
        }
        let Some(id) = row.cell(ids).into_id() else { continue };
        let found = match parse_numbers(&row.cell(vectors), &mut values) {
            Ok(true) => Found::Vector(&values),
            Ok(false) => Found::Unreadable("it is empty".into()),
            Err(word) => Found::Unreadable(format!("line {}: `{word}` is not a number", row.line)),
        };
        filling.take_id(&id, found)?;
    }
    Ok(())
}

fn parse_numbers(cell: &Cell, values: &mut Vec<f32>) -> Result<bool, String> {
    values.clear();
    let words: Vec<Cow<str>> = match cell {
        Cell::List(words) => words.iter().map(|word| word.as_str().into()).collect(),
        Cell::Text(text) => {
            let text = text.trim().trim_start_matches(['[', '(']).trim_end_matches([']', ')']);
            let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|'));
            words.filter(|word| !word.is_empty()).map(|word| word.to_string().into()).collect()
        }
        Cell::Int(int) => vec![int.to_string().into()],
        Cell::Float(float) => vec![float.to_string().into()],
        Cell::Missing | Cell::Time(_) => Vec::new(),
    };
    for word in words {
        let number = word.trim().parse();
        values.push(number.map_err(|_| word.chars().take(40).collect::<String>())?);
    }
    Ok(!values.is_empty())
}

/// One file of an object store, once it is here.
#[cfg_attr(not(feature = "scale"), allow(dead_code))]
pub(crate) fn whole(
    filling: &mut Filling,
    bytes: Bytes,
    format: VectorFormat,
    options: &VectorOptions,
    progress: &dyn Fn(VectorProgress),
) -> Result<(), VectorError> {
    match format {
        VectorFormat::Parquet => parquet(filling, Path::new(&options.from), bytes, options, progress),
        _ => matrix(filling, &bytes, options, progress),
    }
}
