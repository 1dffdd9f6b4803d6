//! What lies beside a dataset's events, as tables of the run folder: written only where there is something.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, Int64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use upnext_data::{Action, Attributes, Circumstance, Column, Daily, Dataset, Names};

use super::tables::{batches, table_bytes};
use super::{FileEntry, RunError, checked};

const USER_ATTRIBUTES: &str = "dataset/user_attributes.parquet";
const VIDEO_ATTRIBUTES: &str = "dataset/video_attributes.parquet";
const DAILY: &str = "dataset/daily.parquet";
const FRIENDS: &str = "dataset/friends.parquet";
const CIRCUMSTANCES: &str = "dataset/circumstances.parquet";

/// The files that may be there, by their paths in the folder.
pub(super) const EXTRAS: [&str; 5] = [USER_ATTRIBUTES, VIDEO_ATTRIBUTES, DAILY, FRIENDS, CIRCUMSTANCES];

/// Writes what there is with `put`.
pub(super) fn write(
    folder: &Path,
    set: &Dataset,
    mut put: impl FnMut(&str, Vec<u8>) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let failed = |name: &str, reason: String| RunError::Table { path: folder.join(name), reason };
    let mut table = |name: &str, columns: Vec<(String, bool, ArrayRef)>| {
        let fields: Vec<Field> = (columns.iter())
            .map(|(name, may_miss, array)| Field::new(name, array.data_type().clone(), *may_miss))
            .collect();
        let arrays = columns.into_iter().map(|(.., array)| array).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| failed(name, error.to_string()))?;
        put(name, table_bytes(&batch).map_err(|error| failed(name, error.to_string()))?)
    };
    for (name, attributes) in
        [(USER_ATTRIBUTES, &set.users.attributes), (VIDEO_ATTRIBUTES, &set.videos.attributes)]
    {
        if !attributes.is_empty() {
            table(name, attributes.iter().map(|(name, column)| attribute(name, column)).collect())?;
        }
    }
    if !set.daily.is_empty() {
        let mut columns: Vec<(String, bool, ArrayRef)> = vec![
            ("video".into(), false, Arc::new(UInt32Array::from(set.daily.videos().to_vec()))),
            ("day".into(), false, Arc::new(Int32Array::from(set.daily.days().to_vec()))),
        ];
        for (name, values) in set.daily.measures() {
            columns.push((format!("measure:{name}"), true, Arc::new(numbers(values))));
        }
        table(DAILY, columns)?;
    }
    let pairs: Vec<(u32, u32)> = (0..set.users.len() as u32)
        .flat_map(|user| set.users.friends_of(user).iter().map(move |&friend| (user, friend)))
        .collect();
    if !pairs.is_empty() {
        let of = |array: UInt32Array| Arc::new(array) as ArrayRef;
        let users = of(UInt32Array::from_iter_values(pairs.iter().map(|pair| pair.0)));
        let friends = of(UInt32Array::from_iter_values(pairs.iter().map(|pair| pair.1)));
        table(FRIENDS, vec![("user".into(), false, users), ("friend".into(), false, friends)])?;
    }
    if !set.circumstances.is_empty() {
        table(CIRCUMSTANCES, circumstances(&set.circumstances))?;
    }
    Ok(())
}

fn numbers(values: &[f32]) -> Float32Array {
    values.iter().map(|value| (!value.is_nan()).then_some(*value)).collect()
}

/// A column of text may hold an empty one but no null; one of a category is null where nothing is known. So a
/// reader tells them apart.
fn attribute(name: &str, column: &Column) -> (String, bool, ArrayRef) {
    match column {
        Column::Number(values) => (name.into(), true, Arc::new(numbers(values))),
        Column::Category { codes, values } => {
            let known = |&code: &u32| (code != Column::MISSING).then(|| values.name(code));
            (name.into(), true, Arc::new(codes.iter().map(known).collect::<StringArray>()))
        }
        Column::Text(texts) => (name.into(), false, Arc::new(StringArray::from_iter_values(texts.iter()))),
    }
}

fn circumstances(all: &[Circumstance]) -> Vec<(String, bool, ArrayRef)> {
    let degrees = |of: fn((f32, f32)) -> f32| {
        Arc::new(all.iter().map(|around| around.place.map(of)).collect::<Float32Array>())
    };
    vec![
        ("user".into(), false, Arc::new(UInt32Array::from_iter_values(all.iter().map(|around| around.user)))),
        ("video".into(), true, Arc::new(all.iter().map(|around| around.video).collect::<UInt32Array>())),
        (
            "action".into(),
            false,
            Arc::new(StringArray::from_iter_values(all.iter().map(|around| around.action.name()))),
        ),
        ("time".into(), false, Arc::new(Int64Array::from_iter_values(all.iter().map(|around| around.time)))),
        (
            "text".into(),
            false,
            Arc::new(StringArray::from_iter_values(all.iter().map(|around| &around.text))),
        ),
        (
            "device".into(),
            false,
            Arc::new(StringArray::from_iter_values(all.iter().map(|around| &around.device))),
        ),
        ("latitude".into(), true, degrees(|place| place.0)),
        ("longitude".into(), true, degrees(|place| place.1)),
    ]
}

/// The rows of a table; none where the manifest does not name it.
fn table(run: &Path, files: &BTreeMap<String, FileEntry>, name: &str) -> Result<Vec<RecordBatch>, RunError> {
    match files.get(name) {
        Some(entry) => batches(run, name, checked(&run.join(name), entry, "import")?),
        None => Ok(Vec::new()),
    }
}

/// Reads what the manifest names into a set, but circumstances, which may be as many as events.
pub(super) fn read(
    run: &Path,
    files: &BTreeMap<String, FileEntry>,
    set: &mut Dataset,
) -> Result<(), RunError> {
    let table = |name: &str| table(run, files, name);
    read_attributes(
        run,
        USER_ATTRIBUTES,
        &table(USER_ATTRIBUTES)?,
        set.users.len(),
        &mut set.users.attributes,
    )?;
    read_attributes(
        run,
        VIDEO_ATTRIBUTES,
        &table(VIDEO_ATTRIBUTES)?,
        set.videos.len(),
        &mut set.videos.attributes,
    )?;
    set.daily = read_daily(run, &table(DAILY)?, set.videos.len())?;
    for batch in table(FRIENDS)? {
        let of = |column| typed(run, FRIENDS, &batch, column, |array| array.as_primitive_opt::<UInt32Type>());
        for (&user, &friend) in of("user")?.values().iter().zip(of("friend")?.values()) {
            if user.max(friend) as usize >= set.users.len() {
                return Err(wrong(run, FRIENDS, "a user is not there"));
            }
            set.users.befriend(user, friend);
        }
    }
    Ok(())
}

/// Reads the circumstances of a set.
pub(super) fn read_circumstances(
    run: &Path,
    files: &BTreeMap<String, FileEntry>,
    set: &mut Dataset,
) -> Result<(), RunError> {
    table(run, files, CIRCUMSTANCES)?.iter().try_for_each(|batch| circumstances_of(run, batch, set))
}

/// How many circumstances there are.
pub(super) fn count_circumstances(
    run: &Path,
    files: &BTreeMap<String, FileEntry>,
) -> Result<usize, RunError> {
    let Some(entry) = files.get(CIRCUMSTANCES) else { return Ok(0) };
    let bytes = checked(&run.join(CIRCUMSTANCES), entry, "import")?;
    let table = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
        .map_err(|error| wrong(run, CIRCUMSTANCES, error.to_string()))?;
    Ok(usize::try_from(table.metadata().file_metadata().num_rows()).unwrap_or(0))
}

fn wrong(run: &Path, name: &str, reason: impl Into<String>) -> RunError {
    RunError::Table { path: run.join(name), reason: reason.into() }
}

fn typed<'a, T>(
    run: &Path,
    name: &str,
    batch: &'a RecordBatch,
    column: &str,
    cast: impl FnOnce(&'a ArrayRef) -> Option<&'a T>,
) -> Result<&'a T, RunError> {
    let missing = || wrong(run, name, format!("column `{column}` is missing or of another type"));
    batch.column_by_name(column).and_then(cast).ok_or_else(missing)
}

fn read_attributes(
    run: &Path,
    name: &str,
    batches: &[RecordBatch],
    rows: usize,
    attributes: &mut Attributes,
) -> Result<(), RunError> {
    let Some(first) = batches.first() else { return Ok(()) };
    if batches.iter().map(RecordBatch::num_rows).sum::<usize>() != rows {
        return Err(wrong(run, name, "it has another number of rows than its table"));
    }
    for field in first.schema().fields() {
        let parts = || batches.iter().filter_map(|batch| batch.column_by_name(field.name()));
        let column = match (field.data_type(), field.is_nullable()) {
            (DataType::Float32, _) => {
                let values = parts().flat_map(|part| part.as_primitive::<Float32Type>().iter());
                Column::Number(values.map(|value| value.unwrap_or(f32::NAN)).collect())
            }
            (DataType::Utf8, true) => {
                let mut values = Names::new();
                let cells = parts().flat_map(|part| part.as_string::<i32>().iter());
                let codes = cells.map(|cell| cell.map_or(Column::MISSING, |value| values.intern(value)));
                let codes = codes.collect();
                Column::Category { codes, values }
            }
            (DataType::Utf8, false) => {
                let cells = parts().flat_map(|part| part.as_string::<i32>().iter());
                Column::Text(cells.map(|cell| cell.unwrap_or_default().to_string()).collect())
            }
            _ => return Err(wrong(run, name, format!("column `{}` is of another type", field.name()))),
        };
        attributes.set(field.name(), column);
    }
    Ok(())
}

fn read_daily(run: &Path, batches: &[RecordBatch], n_videos: usize) -> Result<Daily, RunError> {
    let (mut videos, mut days) = (Vec::new(), Vec::new());
    let mut measures: Vec<(String, Vec<f32>)> = Vec::new();
    for batch in batches {
        let of_videos = typed(run, DAILY, batch, "video", |array| array.as_primitive_opt::<UInt32Type>())?;
        let of_days = typed(run, DAILY, batch, "day", |array| array.as_primitive_opt::<Int32Type>())?;
        videos.extend_from_slice(of_videos.values());
        days.extend_from_slice(of_days.values());
        for field in batch.schema().fields() {
            let Some(measure) = field.name().strip_prefix("measure:") else { continue };
            let cast = |array| Array::as_any(array).downcast_ref::<Float32Array>();
            let column = typed(run, DAILY, batch, field.name(), |array: &ArrayRef| cast(array.as_ref()))?;
            let values = column.iter().map(|value| value.unwrap_or(f32::NAN));
            match measures.iter_mut().find(|(known, _)| known == measure) {
                Some((_, known)) => known.extend(values),
                None => measures.push((measure.into(), values.collect())),
            }
        }
    }
    if videos.iter().any(|&video| video as usize >= n_videos) {
        return Err(wrong(run, DAILY, "a video is not there"));
    }
    Ok(Daily::new(videos, days, measures))
}

fn circumstances_of(run: &Path, batch: &RecordBatch, set: &mut Dataset) -> Result<(), RunError> {
    let name = CIRCUMSTANCES;
    let users = typed(run, name, batch, "user", |array| array.as_primitive_opt::<UInt32Type>())?;
    let videos = typed(run, name, batch, "video", |array| array.as_primitive_opt::<UInt32Type>())?;
    let actions = typed(run, name, batch, "action", |array| array.as_string_opt::<i32>())?;
    let times = typed(run, name, batch, "time", |array| array.as_primitive_opt::<Int64Type>())?;
    let texts = typed(run, name, batch, "text", |array| array.as_string_opt::<i32>())?;
    let devices = typed(run, name, batch, "device", |array| array.as_string_opt::<i32>())?;
    let north = typed(run, name, batch, "latitude", |array| array.as_primitive_opt::<Float32Type>())?;
    let east = typed(run, name, batch, "longitude", |array| array.as_primitive_opt::<Float32Type>())?;
    for at in 0..batch.num_rows() {
        let video = videos.is_valid(at).then(|| videos.value(at));
        let user = users.value(at);
        let is_known = (user as usize) < set.users.len();
        if !is_known || video.is_some_and(|video| video as usize >= set.videos.len()) {
            return Err(wrong(run, name, "a user or video is not there"));
        }
        let Some(action) = Action::from_name(actions.value(at)) else {
            return Err(wrong(run, name, format!("action `{}` is not known", actions.value(at))));
        };
        let has_place = north.is_valid(at) && east.is_valid(at);
        set.circumstances.push(Circumstance {
            user,
            video,
            action,
            time: times.value(at),
            text: texts.value(at).into(),
            device: devices.value(at).into(),
            place: has_place.then(|| (north.value(at), east.value(at))),
        });
    }
    Ok(())
}
