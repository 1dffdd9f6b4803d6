//! The tables of a run folder: a dataset as columns, and columns as a dataset.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, Int64Type, UInt8Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt8Array, UInt32Array,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use upnext_data::{Action, Catalogue, Dataset, Event, Events, Part, Users};

use super::{EVENTS, LABELS, RunError, USERS, VIDEOS};

pub(crate) fn parquet_bytes(path: &Path, columns: &[(&str, ArrayRef)]) -> Result<Vec<u8>, RunError> {
    let failed = |reason: String| RunError::Table { path: path.into(), reason };
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.iter().map(|(name, column)| (*name, Arc::clone(column), column.is_nullable())),
    )
    .map_err(|error| failed(error.to_string()))?;
    table_bytes(&batch).map_err(|error| failed(error.to_string()))
}

/// A table as the bytes of a Parquet file.
pub(crate) fn table_bytes(batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()
}

pub(super) fn events_table(set: &Dataset) -> Vec<(&'static str, ArrayRef)> {
    let events = set.events();
    let mut columns: Vec<(&'static str, ArrayRef)> = vec![
        ("user", Arc::new(UInt32Array::from(events.users().to_vec()))),
        ("video", Arc::new(UInt32Array::from(events.videos().to_vec()))),
        ("action", Arc::new(StringArray::from_iter_values(events.iter().map(|event| event.action.name())))),
        ("time", Arc::new(Int64Array::from(events.times().to_vec()))),
        ("value", Arc::new(events.iter().map(|event| event.value).collect::<Float32Array>())),
        ("ratio", Arc::new(events.iter().map(|event| event.ratio).collect::<Float32Array>())),
    ];
    if let Some(parts) = set.parts() {
        columns.push(("part", Arc::new(UInt8Array::from_iter_values(parts.iter().map(|&part| part as u8)))));
    }
    columns
}

fn strings<'a>(rows: impl Iterator<Item = Vec<&'a str>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.into_iter().for_each(|value| builder.values().append_value(value));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

pub(super) fn users_table(set: &Dataset) -> Vec<(&'static str, ArrayRef)> {
    let users = &set.users;
    let labels = (0..users.len() as u32)
        .map(|row| users.labels_of(row).iter().map(|&label| users.labels.name(label)).collect());
    vec![("id", Arc::new(StringArray::from_iter_values(users.names().iter()))), ("labels", strings(labels))]
}

pub(super) fn videos_table(set: &Dataset) -> Vec<(&'static str, ArrayRef)> {
    let catalogue = &set.videos;
    let all = || catalogue.videos().iter();
    let labels = all().map(|video| video.labels.iter().map(|&label| catalogue.labels.name(label)).collect());
    let creators = all().map(|video| video.creator.map(|row| catalogue.creators.name(row)));
    vec![
        ("id", Arc::new(StringArray::from_iter_values(catalogue.names().iter()))),
        ("title", Arc::new(StringArray::from_iter_values(all().map(|video| &video.title)))),
        ("text", Arc::new(StringArray::from_iter_values(all().map(|video| &video.text)))),
        ("labels", strings(labels)),
        ("creator", Arc::new(creators.collect::<StringArray>())),
        ("year", Arc::new(all().map(|video| video.year).collect::<Int32Array>())),
        ("duration_seconds", Arc::new(all().map(|video| video.duration_seconds).collect::<Float32Array>())),
        ("published", Arc::new(all().map(|video| video.published).collect::<Int64Array>())),
    ]
}

/// Labels and creators in the order of their rows, which a set read back keeps.
pub(super) fn labels_table(set: &Dataset) -> Vec<(&'static str, ArrayRef)> {
    let tables =
        [("video", &set.videos.labels), ("user", &set.users.labels), ("creator", &set.videos.creators)];
    let all: Vec<(&str, &str)> =
        tables.into_iter().flat_map(|(of, names)| names.iter().map(move |name| (of, name))).collect();
    vec![
        ("of", Arc::new(StringArray::from_iter_values(all.iter().map(|(of, _)| of)))),
        ("name", Arc::new(StringArray::from_iter_values(all.iter().map(|(_, name)| name)))),
    ]
}

/// The batches of a file whose digest was right: what fails now was written wrongly, and is said so.
pub(super) fn batches(run: &Path, name: &str, bytes: Vec<u8>) -> Result<Vec<RecordBatch>, RunError> {
    let failed = |reason: String| RunError::Table { path: run.join(name), reason };
    ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| failed(error.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))
}

fn column<'a>(
    run: &Path,
    name: &str,
    batch: &'a RecordBatch,
    column: &str,
) -> Result<&'a ArrayRef, RunError> {
    batch.column_by_name(column).ok_or_else(|| RunError::Table {
        path: run.join(name),
        reason: format!("column `{column}` is missing; import again with --force"),
    })
}

macro_rules! typed {
    ($run:expr, $file:expr, $batch:expr, $column:literal, $as:ident $(::<$type:ty>)?) => {
        column($run, $file, $batch, $column)?.$as$(::<$type>)?().ok_or_else(|| RunError::Table {
            path: $run.join($file),
            reason: format!("column `{}` has another type; import again with --force", $column),
        })?
    };
}

pub(super) type EventsAndParts = (Events, Option<Vec<Part>>);

pub(super) fn read_events(
    run: &Path,
    bytes: Vec<u8>,
    n_users: usize,
    n_videos: usize,
) -> Result<EventsAndParts, RunError> {
    let (mut events, mut parts) = (Events::new(), None);
    for batch in &batches(run, EVENTS, bytes)? {
        events_of(run, batch, (n_users, n_videos), &mut events, &mut parts)?;
    }
    Ok((events, parts))
}

/// Appends the events of one batch, and their parts where the set came cut.
pub(super) fn events_of(
    run: &Path,
    batch: &RecordBatch,
    (n_users, n_videos): (usize, usize),
    events: &mut Events,
    parts: &mut Option<Vec<Part>>,
) -> Result<(), RunError> {
    let wrong = |reason: &str| RunError::Table { path: run.join(EVENTS), reason: reason.into() };
    let users = typed!(run, EVENTS, batch, "user", as_primitive_opt::<UInt32Type>);
    let videos = typed!(run, EVENTS, batch, "video", as_primitive_opt::<UInt32Type>);
    let actions = typed!(run, EVENTS, batch, "action", as_string_opt::<i32>);
    let times = typed!(run, EVENTS, batch, "time", as_primitive_opt::<Int64Type>);
    let values = typed!(run, EVENTS, batch, "value", as_primitive_opt::<Float32Type>);
    let ratios = typed!(run, EVENTS, batch, "ratio", as_primitive_opt::<Float32Type>);
    for at in 0..batch.num_rows() {
        let event = Event {
            user: users.value(at),
            video: videos.value(at),
            action: Action::from_name(actions.value(at)).ok_or_else(|| wrong("an action is not known"))?,
            time: times.value(at),
            value: values.is_valid(at).then(|| values.value(at)),
            ratio: ratios.is_valid(at).then(|| ratios.value(at)),
        };
        if event.user as usize >= n_users || event.video as usize >= n_videos {
            return Err(wrong("an event names a user or video that is not there"));
        }
        events.push(event);
    }
    if let Some(column) = batch.column_by_name("part") {
        let column =
            column.as_primitive_opt::<UInt8Type>().ok_or_else(|| wrong("`part` has another type"))?;
        for &part in column.values() {
            parts.get_or_insert_default().push(match part {
                0 => Part::Train,
                1 => Part::Validation,
                2 => Part::Test,
                _ => return Err(wrong("a part is not known")),
            });
        }
    }
    Ok(())
}

pub(super) fn read_labels(
    run: &Path,
    bytes: Vec<u8>,
    users: &mut Users,
    catalogue: &mut Catalogue,
) -> Result<(), RunError> {
    for batch in &batches(run, LABELS, bytes)? {
        let of = typed!(run, LABELS, batch, "of", as_string_opt::<i32>);
        let names = typed!(run, LABELS, batch, "name", as_string_opt::<i32>);
        for at in 0..batch.num_rows() {
            let table = match of.value(at) {
                "video" => &mut catalogue.labels,
                "user" => &mut users.labels,
                "creator" => &mut catalogue.creators,
                other => {
                    let reason = format!("`of` is `{other}`; expected video, user or creator");
                    return Err(RunError::Table { path: run.join(LABELS), reason });
                }
            };
            table.intern(names.value(at));
        }
    }
    Ok(())
}

pub(super) fn read_users(run: &Path, bytes: Vec<u8>, users: &mut Users) -> Result<(), RunError> {
    for batch in &batches(run, USERS, bytes)? {
        let ids = typed!(run, USERS, batch, "id", as_string_opt::<i32>);
        let labels = typed!(run, USERS, batch, "labels", as_list_opt::<i32>);
        for at in 0..batch.num_rows() {
            let row = users.intern(ids.value(at));
            let of_user = labels.value(at);
            of_user.as_string::<i32>().iter().flatten().for_each(|label| users.label(row, label));
        }
    }
    Ok(())
}

pub(super) fn read_videos(run: &Path, bytes: Vec<u8>, catalogue: &mut Catalogue) -> Result<(), RunError> {
    for batch in &batches(run, VIDEOS, bytes)? {
        let ids = typed!(run, VIDEOS, batch, "id", as_string_opt::<i32>);
        let titles = typed!(run, VIDEOS, batch, "title", as_string_opt::<i32>);
        let texts = typed!(run, VIDEOS, batch, "text", as_string_opt::<i32>);
        let labels = typed!(run, VIDEOS, batch, "labels", as_list_opt::<i32>);
        let creators = typed!(run, VIDEOS, batch, "creator", as_string_opt::<i32>);
        let years = typed!(run, VIDEOS, batch, "year", as_primitive_opt::<Int32Type>);
        let durations = typed!(run, VIDEOS, batch, "duration_seconds", as_primitive_opt::<Float32Type>);
        let published = typed!(run, VIDEOS, batch, "published", as_primitive_opt::<Int64Type>);
        for at in 0..batch.num_rows() {
            let row = catalogue.intern(ids.value(at));
            let creator = creators.is_valid(at).then(|| catalogue.creators.intern(creators.value(at)));
            let video = catalogue.video_mut(row);
            video.title = titles.value(at).into();
            video.text = texts.value(at).into();
            video.creator = creator;
            video.year = years.is_valid(at).then(|| years.value(at));
            video.duration_seconds = durations.is_valid(at).then(|| durations.value(at));
            video.published = published.is_valid(at).then(|| published.value(at));
            let of_video = labels.value(at);
            of_video.as_string::<i32>().iter().flatten().for_each(|label| catalogue.label(row, label));
        }
    }
    Ok(())
}
