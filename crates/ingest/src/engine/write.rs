//! Parquet, row group by row group: columns are encoded on any thread and appended in order, digests on the way.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use crate::run::{FileEntry, RunError};

/// A file that is hashed while it is written.
struct HashedFile {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let got = self.file.write(bytes)?;
        self.hasher.update(&bytes[..got]);
        self.bytes += got as u64;
        Ok(got)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A Parquet file in the making.
pub(crate) struct TableWriter {
    path: PathBuf,
    schema: SchemaRef,
    writer: SerializedFileWriter<HashedFile>,
    factory: ArrowRowGroupWriterFactory,
}

/// Encodes row groups, on any thread.
pub(crate) struct Encoder<'a> {
    path: &'a Path,
    schema: &'a SchemaRef,
    factory: &'a ArrowRowGroupWriterFactory,
}

impl TableWriter {
    pub(crate) fn create(path: &Path, schema: SchemaRef) -> Result<Self, RunError> {
        let file = File::create(path).map_err(|source| RunError::Io {
            path: path.into(),
            action: "written",
            source,
        })?;
        // Tells who clears up after dead processes that this file is in use.
        let _ = file.try_lock();
        let hashed = HashedFile { file: BufWriter::new(file), hasher: blake3::Hasher::new(), bytes: 0 };
        let properties = Arc::new(properties(&schema));
        let open = || -> Result<_, ParquetError> {
            let root = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
            let writer = SerializedFileWriter::new(hashed, root, properties)?;
            let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&schema));
            Ok((writer, factory))
        };
        let (writer, factory) = open().map_err(failed(path))?;
        Ok(Self { path: path.into(), schema, writer, factory })
    }

    pub(crate) fn encoder(&self) -> Encoder<'_> {
        Encoder { path: &self.path, schema: &self.schema, factory: &self.factory }
    }

    /// Appends an encoded row group.
    pub(crate) fn append(&mut self, columns: Vec<ArrowColumnChunk>) -> Result<(), RunError> {
        let append = || -> Result<(), ParquetError> {
            let mut group = self.writer.next_row_group()?;
            for column in columns {
                column.append_to_row_group(&mut group)?;
            }
            group.close().map(drop)
        };
        append().map_err(failed(&self.path))
    }

    /// Ends the file and writes it down to the disk.
    pub(crate) fn finish(mut self) -> Result<FileEntry, RunError> {
        let path = self.path;
        self.writer.finish().map_err(failed(&path))?;
        let written = self.writer.inner_mut();
        let done = written.file.flush().and_then(|()| written.file.get_ref().sync_all());
        done.map_err(|source| RunError::Io { path, action: "written", source })?;
        Ok(FileEntry { bytes: written.bytes, blake3: written.hasher.finalize().to_hex().to_string() })
    }
}

impl Encoder<'_> {
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<Vec<ArrowColumnChunk>, RunError> {
        let encode = || -> Result<Vec<ArrowColumnChunk>, ParquetError> {
            // The index matters for encryption alone.
            let mut writers = self.factory.create_column_writers(0)?.into_iter();
            let mut chunks = Vec::with_capacity(columns.len());
            for (field, column) in self.schema.fields().iter().zip(columns) {
                for leaf in compute_leaves(field, column)? {
                    let mut writer = writers.next().expect("a writer for each leaf of the schema");
                    writer.write(&leaf)?;
                    chunks.push(writer.close()?);
                }
            }
            Ok(chunks)
        };
        encode().map_err(failed(self.path))
    }
}

/// Numbers of a log hardly repeat: looking them up in a dictionary takes longest of all and saves little. Whole numbers
/// are packed by their differences, floats stand as they are, and only text has a dictionary.
fn properties(schema: &SchemaRef) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        properties = match field.data_type() {
            DataType::Utf8 => properties,
            DataType::Float32 | DataType::Float64 => properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::PLAIN),
            _ => properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_compression(column.clone(), Compression::UNCOMPRESSED)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
        };
    }
    properties.build()
}

fn failed(path: &Path) -> impl Fn(ParquetError) -> RunError + '_ {
    |error| match error {
        ParquetError::External(source) => {
            RunError::Io { path: path.into(), action: "written", source: io::Error::other(source) }
        }
        error => RunError::Table { path: path.into(), reason: error.to_string() },
    }
}
