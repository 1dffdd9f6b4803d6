//! Dropped rows with their reason, written as they are found.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::builder::{StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::write::{Column, TableWriter};
use crate::run::{FileEntry, RunError};

const BATCH_ROWS: usize = 65_536;

/// A table of dropped rows: `file`, `line`, `reason`, `detail`, `row` (as text where it is at hand, else the fields
/// that were read). What cannot be written is told by [`Quarantine::close`].
pub(crate) struct Quarantine {
    path: PathBuf,
    file: StringBuilder,
    line: UInt64Builder,
    reason: StringBuilder,
    detail: StringBuilder,
    row: StringBuilder,
    waiting: usize,
    writer: Option<TableWriter>,
    failed: Option<RunError>,
}

impl Quarantine {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: StringBuilder::new(),
            line: UInt64Builder::new(),
            reason: StringBuilder::new(),
            detail: StringBuilder::new(),
            row: StringBuilder::new(),
            waiting: 0,
            writer: None,
            failed: None,
        }
    }

    pub(crate) fn put(&mut self, file: &str, line: u64, reason: &str, detail: &str, row: &str) {
        self.file.append_value(file);
        self.line.append_value(line);
        self.reason.append_value(reason);
        self.detail.append_value(detail);
        self.row.append_value(row);
        self.waiting += 1;
        if self.waiting >= BATCH_ROWS {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.waiting = 0;
        let columns: [(&str, ArrayRef); 5] = [
            ("file", Arc::new(self.file.finish())),
            ("line", Arc::new(self.line.finish())),
            ("reason", Arc::new(self.reason.finish())),
            ("detail", Arc::new(self.detail.finish())),
            ("row", Arc::new(self.row.finish())),
        ];
        if self.failed.is_some() {
            return;
        }
        let arrays = [0, 1, 2, 3, 4].map(|at| Column::Array(Arc::clone(&columns[at].1)));
        let written = RecordBatch::try_from_iter(columns)
            .map_err(|error| RunError::Table { path: self.path.clone(), reason: error.to_string() })
            .and_then(|batch| {
                let writer = match self.writer.take() {
                    Some(writer) => writer,
                    None => TableWriter::create(&self.path, batch.schema())?,
                };
                let writer = self.writer.insert(writer);
                let encoded = writer.encoder().encode(&arrays)?;
                writer.append(encoded)
            });
        self.failed = written.err();
    }

    /// Writes what is left; the file's size and digest.
    pub(crate) fn close(&mut self) -> Result<FileEntry, RunError> {
        self.flush();
        match (self.failed.take(), self.writer.take()) {
            (Some(error), _) => Err(error),
            (None, Some(writer)) => writer.finish(),
            (None, None) => {
                let reason = "was closed already".into();
                Err(RunError::Table { path: self.path.clone(), reason })
            }
        }
    }
}

/// Writes several such tables as one; its size and digest.
pub(crate) fn join(pieces: &[PathBuf], whole: &Path) -> Result<FileEntry, RunError> {
    let mut all: Option<TableWriter> = None;
    for piece in pieces {
        let failed = |reason: String| RunError::Table { path: piece.clone(), reason };
        let file = File::open(piece).map_err(|error| failed(error.to_string()))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|reader| reader.with_batch_size(BATCH_ROWS).build())
            .map_err(|error| failed(error.to_string()))?;
        let writer = match all.take() {
            Some(writer) => writer,
            None => TableWriter::create(whole, reader.schema())?,
        };
        let writer = all.insert(writer);
        for batch in reader {
            let batch = batch.map_err(|error| failed(error.to_string()))?;
            let columns: Vec<Column> = batch.columns().iter().cloned().map(Column::Array).collect();
            let encoded = writer.encoder().encode(&columns)?;
            writer.append(encoded)?;
        }
    }
    match all {
        Some(writer) => writer.finish(),
        None => Err(RunError::Table { path: whole.into(), reason: "no table was given".into() }),
    }
}

/// Where the report sends dropped rows, if anywhere.
#[derive(Clone, Default)]
pub(crate) struct Sink(Option<Arc<Mutex<Quarantine>>>);

impl Sink {
    pub(crate) fn to(path: PathBuf) -> Self {
        Self(Some(Arc::new(Mutex::new(Quarantine::new(path)))))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn put(&self, file: &str, line: u64, reason: &str, detail: &str, row: &str) {
        if let Some(quarantine) = &self.0 {
            quarantine.lock().unwrap_or_else(PoisonError::into_inner).put(file, line, reason, detail, row);
        }
    }

    pub(crate) fn close(&self) -> Option<Result<FileEntry, RunError>> {
        let quarantine = self.0.as_ref()?;
        Some(quarantine.lock().unwrap_or_else(PoisonError::into_inner).close())
    }
}

/// Reports compare by what they tell, not by where rows went.
impl PartialEq for Sink {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_open() { "open" } else { "closed" })
    }
}
