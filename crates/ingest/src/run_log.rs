//! A run folder as a log whose events pass by, for work that must not hold them.
//!
//! Memory grows with users, videos and days. Circumstances, which may be as many as events, are counted only.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::{
    Array, Float32Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, UInt8Array, UInt32Array,
};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use upnext_data::{Attributes, Catalogue, Column, Daily, Dataset, Event, Events, Log, Names, Part, Users};

use crate::CleaningReport;
use crate::run::{self, EVENTS, Manifest, RunError};

/// A run that was opened for streaming.
#[derive(Clone, Debug)]
pub struct RunLog {
    /// What is written in `manifest.json`, the digest of the whole set included.
    pub manifest: Manifest,
    /// Events in all.
    pub n_events: u64,
    /// What the import read and dropped.
    pub cleaning: CleaningReport,
    /// Searches, comments and other circumstances that lie beside the events.
    pub n_circumstances: usize,
    path: PathBuf,
    /// With no event and no circumstance.
    set: Dataset,
    has_parts: bool,
}

impl Log for RunLog {
    type Error = RunError;

    fn set(&self) -> &Dataset {
        &self.set
    }

    fn has_parts(&self) -> bool {
        self.has_parts
    }

    fn pass(&self, see: &mut dyn FnMut(&Event, Option<Part>)) -> Result<(), RunError> {
        let mut parts = parts(&self.path)?.into_iter().flatten();
        for events in run::event_batches(&self.path)? {
            for event in events?.iter() {
                // A file has its columns of one length.
                see(&event, parts.next().transpose()?);
            }
        }
        Ok(())
    }
}

/// Opens a run; every file is checked against its digest.
///
/// # Errors
/// When the folder is no run, is of another version, or a file was changed.
pub fn open(path: &Path) -> Result<RunLog, RunError> {
    let manifest = run::manifest(path)?;
    let n_events = run::event_batches(path)?.n_events();
    let (mut users, mut videos) = (Users::new(), Catalogue::new());
    let all = |name| table(path, name);
    // Names in the order of their rows come first, so that rows stay what they were.
    for table in all("dataset/labels.parquet")? {
        let (of, names) = (table.get::<StringArray>("of")?, table.get::<StringArray>("name")?);
        for at in 0..table.batch.num_rows() {
            match of.value(at) {
                "video" => videos.labels.intern(names.value(at)),
                "user" => users.labels.intern(names.value(at)),
                "creator" => videos.creators.intern(names.value(at)),
                other => {
                    return Err(table.wrong(format!("`of` is `{other}`: expected video, user or creator")));
                }
            };
        }
    }
    for table in all("dataset/users.parquet")? {
        let (ids, labels) = (table.get::<StringArray>("id")?, table.get::<ListArray>("labels")?);
        for at in 0..table.batch.num_rows() {
            let row = users.intern(ids.value(at));
            table.words(&labels.value(at))?.iter().flatten().for_each(|label| users.label(row, label));
        }
    }
    for table in all("dataset/videos.parquet")? {
        read_videos(&table, &mut videos)?;
    }
    users.attributes = attributes(&all("dataset/user_attributes.parquet")?, users.len())?;
    videos.attributes = attributes(&all("dataset/video_attributes.parquet")?, videos.len())?;
    for table in all("dataset/friends.parquet")? {
        let (of, friends) = (table.get::<UInt32Array>("user")?, table.get::<UInt32Array>("friend")?);
        for (&user, &friend) in of.values().iter().zip(friends.values()) {
            if user.max(friend) as usize >= users.len() {
                return Err(table.wrong("a user is not there"));
            }
            users.befriend(user, friend);
        }
    }
    let daily = daily(&all("dataset/daily.parquet")?, videos.len())?;
    let n_circumstances = match checked(path, "dataset/circumstances.parquet")? {
        Some(bytes) => {
            reader(path, "dataset/circumstances.parquet", bytes)?.metadata().file_metadata().num_rows()
        }
        None => 0,
    };
    let cleaning = checked(path, "cleaning.json")?.unwrap_or_default();
    let cleaning = serde_json::from_slice(&cleaning).map_err(|error| RunError::Manifest {
        path: path.join("cleaning.json"),
        reason: error.to_string(),
    })?;
    let mut set = Dataset::new(manifest.name.clone(), users, videos, Events::new(), manifest.order, None);
    set.daily = daily;
    let has_parts = parts(path)?.is_some();
    let n_circumstances = usize::try_from(n_circumstances).unwrap_or(0);
    Ok(RunLog { manifest, n_events, cleaning, n_circumstances, path: path.into(), set, has_parts })
}

fn read_videos(table: &Table, videos: &mut Catalogue) -> Result<(), RunError> {
    let (ids, titles) = (table.get::<StringArray>("id")?, table.get::<StringArray>("title")?);
    let (texts, labels) = (table.get::<StringArray>("text")?, table.get::<ListArray>("labels")?);
    let (creators, years) = (table.get::<StringArray>("creator")?, table.get::<Int32Array>("year")?);
    let durations = table.get::<Float32Array>("duration_seconds")?;
    let published = table.get::<Int64Array>("published")?;
    for at in 0..table.batch.num_rows() {
        let row = videos.intern(ids.value(at));
        let creator = creators.is_valid(at).then(|| videos.creators.intern(creators.value(at)));
        let video = videos.video_mut(row);
        video.title = titles.value(at).into();
        video.text = texts.value(at).into();
        video.creator = creator;
        video.year = years.is_valid(at).then(|| years.value(at));
        video.duration_seconds = durations.is_valid(at).then(|| durations.value(at));
        video.published = published.is_valid(at).then(|| published.value(at));
        table.words(&labels.value(at))?.iter().flatten().for_each(|label| videos.label(row, label));
    }
    Ok(())
}

/// Text that may not be null is text, text that may is a category, as the run folder has it.
fn attributes(tables: &[Table], rows: usize) -> Result<Attributes, RunError> {
    let mut attributes = Attributes::default();
    let Some(first) = tables.first() else { return Ok(attributes) };
    if tables.iter().map(|table| table.batch.num_rows()).sum::<usize>() != rows {
        return Err(first.wrong("it has another number of rows than its table"));
    }
    for field in first.batch.schema().fields() {
        let column = if *field.data_type() == DataType::Float32 {
            Column::Number(numbers(tables, field.name())?)
        } else {
            let parts: Vec<&StringArray> =
                tables.iter().map(|table| table.get(field.name())).collect::<Result<_, _>>()?;
            let cells = parts.into_iter().flatten();
            if field.is_nullable() {
                let mut values = Names::new();
                let code = |cell: Option<&str>| cell.map_or(Column::MISSING, |value| values.intern(value));
                let codes = cells.map(code).collect();
                Column::Category { codes, values }
            } else {
                Column::Text(cells.map(|cell| cell.unwrap_or_default().to_string()).collect())
            }
        };
        attributes.set(field.name(), column);
    }
    Ok(attributes)
}

/// A column of numbers, NaN where nothing is known.
fn numbers(tables: &[Table], name: &str) -> Result<Vec<f32>, RunError> {
    let mut all = Vec::with_capacity(tables.iter().map(|table| table.batch.num_rows()).sum());
    for table in tables {
        all.extend(table.get::<Float32Array>(name)?.iter().map(|value| value.unwrap_or(f32::NAN)));
    }
    Ok(all)
}

fn daily(tables: &[Table], n_videos: usize) -> Result<Daily, RunError> {
    let Some(first) = tables.first() else { return Ok(Daily::default()) };
    let (mut videos, mut days, mut measures) = (Vec::new(), Vec::new(), Vec::new());
    for table in tables {
        videos.extend_from_slice(table.get::<UInt32Array>("video")?.values());
        days.extend_from_slice(table.get::<Int32Array>("day")?.values());
    }
    if videos.iter().any(|&video| video as usize >= n_videos) {
        return Err(first.wrong("a video is not there"));
    }
    for field in first.batch.schema().fields() {
        if let Some(measure) = field.name().strip_prefix("measure:") {
            measures.push((measure.to_string(), numbers(tables, field.name())?));
        }
    }
    Ok(Daily::new(videos, days, measures))
}

/// The part of each event, in their order, where the set came split; batch after batch.
fn parts(run: &Path) -> Result<Option<impl Iterator<Item = Result<Part, RunError>>>, RunError> {
    let path = run.join(EVENTS);
    let failed = |reason: String| RunError::Table { path: path.clone(), reason };
    let file = File::open(&path).map_err(|source| run::io_error(&path, "read", source))?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed(error.to_string()))?;
    if builder.schema().column_with_name("part").is_none() {
        return Ok(None);
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["part"]);
    let reader = builder.with_projection(mask).build().map_err(|error| failed(error.to_string()))?;
    Ok(Some(reader.flat_map(move |batch| {
        let parts = match batch {
            Ok(batch) => parts_of(&Table { path: path.clone(), batch }),
            Err(error) => Err(RunError::Table { path: path.clone(), reason: error.to_string() }),
        };
        match parts {
            Ok(parts) => parts.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    })))
}

fn parts_of(table: &Table) -> Result<Vec<Part>, RunError> {
    let part = |&part: &u8| match part {
        0 => Ok(Part::Train),
        1 => Ok(Part::Validation),
        2 => Ok(Part::Test),
        _ => Err(table.wrong("a part is not known")),
    };
    table.get::<UInt8Array>("part")?.values().iter().map(part).collect()
}

/// Some rows of a table of the run.
struct Table {
    path: PathBuf,
    batch: RecordBatch,
}

impl Table {
    fn get<T: 'static>(&self, column: &str) -> Result<&T, RunError> {
        let missing = || self.wrong(format!("column `{column}` is missing or of another type; import again"));
        self.batch.column_by_name(column).and_then(|array| array.as_any().downcast_ref()).ok_or_else(missing)
    }

    fn words<'a>(&self, array: &'a dyn Array) -> Result<&'a StringArray, RunError> {
        array.as_any().downcast_ref().ok_or_else(|| self.wrong("a list holds something else than words"))
    }

    fn wrong(&self, reason: impl Into<String>) -> RunError {
        RunError::Table { path: self.path.clone(), reason: reason.into() }
    }
}

/// A file of the import; what is said of a changed one names the verb that makes it.
fn checked(run: &Path, name: &str) -> Result<Option<Vec<u8>>, RunError> {
    run::read_file(run, name).map_err(|error| match error {
        RunError::Changed { path, reason, .. } => RunError::Changed { path, reason, verb: "import" },
        other => other,
    })
}

fn reader(
    run: &Path,
    name: &str,
    bytes: Vec<u8>,
) -> Result<ParquetRecordBatchReaderBuilder<bytes::Bytes>, RunError> {
    ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
        .map_err(|error| RunError::Table { path: run.join(name), reason: error.to_string() })
}

/// The rows of a table; none where the run has no such table.
fn table(run: &Path, name: &str) -> Result<Vec<Table>, RunError> {
    let Some(bytes) = checked(run, name)? else { return Ok(Vec::new()) };
    let path = run.join(name);
    let failed = |reason: String| RunError::Table { path: path.clone(), reason };
    let batches = reader(run, name, bytes)?.build().map_err(|error| failed(error.to_string()))?;
    batches
        .map(|batch| match batch {
            Ok(batch) => Ok(Table { path: path.clone(), batch }),
            Err(error) => Err(failed(error.to_string())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use upnext_data::{Action, Circumstance, Order};

    use super::*;
    use crate::run::About;

    #[test]
    fn a_log_that_passes_by_holds_what_the_run_holds() {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        (0..3).for_each(|user| _ = users.intern(&format!("u{user}")));
        users.label(1, "age:18-24");
        users.befriend(0, 2);
        users.attributes.set("fans", Column::Number(vec![1.0, f32::NAN, 3.0]));
        for id in ["v1", "影", ""] {
            let row = videos.intern(id);
            videos.label(row, &format!("tag:{id}"));
        }
        videos.video_mut(1).title = "A title".into();
        videos.video_mut(2).creator = Some(videos.creators.intern("maker"));
        let kinds = Names::from_iter(["short"]);
        videos.attributes.set("kind", Column::Category { codes: vec![0, Column::MISSING, 0], values: kinds });
        videos.attributes.set("comment", Column::Text(vec!["good".into(), String::new(), "bad".into()]));
        let event = |user, video| Event {
            user,
            video,
            action: Action::Watch,
            time: 5,
            value: None,
            ratio: Some(0.5),
        };
        (0..3).for_each(|at| events.push(event(at, 2 - at)));
        let parts = vec![Part::Train, Part::Test, Part::Validation];
        let mut set = Dataset::new("tiny", users, videos, events, Order::Timed, Some(parts));
        set.daily = Daily::new(vec![1, 1], vec![7, 8], vec![("play_cnt".into(), vec![3.0, f32::NAN])]);
        let place = Some((1.0, 2.0));
        let (text, device) = ("cats".into(), String::new());
        set.circumstances =
            vec![Circumstance { user: 0, video: None, action: Action::Search, time: 1, text, device, place }];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        run::write(&path, &set, &CleaningReport::default(), &About::default(), false).unwrap();

        let log = open(&path).unwrap();
        assert_eq!((log.n_events, log.n_circumstances, log.has_parts()), (3, 1, true));
        assert!(log.set().events().is_empty() && log.set().circumstances.is_empty());
        let (mut events, mut parts) = (Events::new(), Vec::new());
        log.pass(&mut |event, part| {
            events.push(*event);
            parts.extend(part);
        })
        .unwrap();
        // The digest covers all that is known; with the events it is the run's.
        let mut held = log.set().clone();
        held.circumstances = set.circumstances.clone();
        let (daily, circumstances) = (held.daily, held.circumstances);
        let mut held = Dataset::new("tiny", held.users, held.videos, events, Order::Timed, Some(parts));
        (held.daily, held.circumstances) = (daily, circumstances);
        assert_eq!(held.digest(), log.manifest.digest);
        assert!(held.videos.labels.iter().eq(set.videos.labels.iter()));

        std::fs::write(path.join("dataset/labels.parquet"), "damaged").unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("labels.parquet") && error.contains("upnext import"), "{error}");
    }
}
