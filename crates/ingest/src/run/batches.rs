//! The events of a run folder in bounded batches, for work that must not hold them all.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use upnext_data::Events;

use super::tables::{EventsAndParts, events_of};
use super::{EVENTS, FileEntry, RunError, USERS, VIDEOS, io_error, manifest};

/// Most events of a batch.
const BATCH_EVENTS: usize = 1 << 16;

/// The events of a run, batch after batch, sorted by user, then time, with their parts where the set came cut. It
/// holds one batch at a time.
pub struct EventBatches {
    run: PathBuf,
    reader: ParquetRecordBatchReader,
    n_users: usize,
    n_videos: usize,
    n_events: u64,
    has_parts: bool,
}

/// Opens the events of a run for reading in batches of at most 65,536. The file's digest is checked first, by
/// reading it once through.
///
/// # Errors
/// When the folder is no run, is of another version, or its events were changed.
pub fn event_batches(run: &Path) -> Result<EventBatches, RunError> {
    let manifest = manifest(run)?;
    let open = |name: &str| {
        let path = run.join(name);
        let missing = || changed(&path, "the manifest does not name it".into());
        let file = unchanged(&path, manifest.files.get(name).ok_or_else(missing)?)?;
        ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| RunError::Table { path, reason: error.to_string() })
    };
    let rows = |name: &str| -> Result<u64, RunError> {
        Ok(u64::try_from(open(name)?.metadata().file_metadata().num_rows()).unwrap_or(0))
    };
    let (n_users, n_videos) = (rows(USERS)? as usize, rows(VIDEOS)? as usize);
    let builder = open(EVENTS)?;
    let has_parts = builder.schema().column_with_name("part").is_some();
    let n_events = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let reader = builder
        .with_batch_size(BATCH_EVENTS)
        .build()
        .map_err(|error| RunError::Table { path: run.join(EVENTS), reason: error.to_string() })?;
    Ok(EventBatches { run: run.into(), reader, n_users, n_videos, n_events, has_parts })
}

impl EventBatches {
    /// Events in all.
    pub fn n_events(&self) -> u64 {
        self.n_events
    }

    /// Whether the set came cut.
    pub fn has_parts(&self) -> bool {
        self.has_parts
    }

    /// Users of the run.
    pub fn n_users(&self) -> usize {
        self.n_users
    }

    /// Videos of the run.
    pub fn n_videos(&self) -> usize {
        self.n_videos
    }

    fn events(&self, batch: &RecordBatch) -> Result<EventsAndParts, RunError> {
        let (mut events, mut parts) = (Events::new(), None);
        events_of(&self.run, batch, (self.n_users, self.n_videos), &mut events, &mut parts)?;
        Ok((events, parts))
    }
}

impl Iterator for EventBatches {
    type Item = Result<EventsAndParts, RunError>;

    fn next(&mut self) -> Option<Self::Item> {
        let failed = |reason: String| RunError::Table { path: self.run.join(EVENTS), reason };
        match self.reader.next()? {
            Ok(batch) => Some(self.events(&batch)),
            Err(error) => Some(Err(failed(error.to_string()))),
        }
    }
}

fn changed(path: &Path, reason: String) -> RunError {
    RunError::Changed { path: path.into(), reason, verb: "import" }
}

/// A file, once its digest was found to be the manifest's.
fn unchanged(path: &Path, expected: &FileEntry) -> Result<File, RunError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(changed(path, "it is missing".into()));
        }
        Err(source) => return Err(io_error(path, "read", source)),
    };
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer).map_err(|source| io_error(path, "read", source))? {
            0 => break,
            got => drop(hasher.update(&buffer[..got])),
        }
    }
    if hasher.finalize().to_hex().as_str() != expected.blake3 {
        return Err(changed(path, "its digest is another".into()));
    }
    File::open(path).map_err(|source| io_error(path, "read", source))
}
