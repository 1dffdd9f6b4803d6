//! Parquet, row group by row group: columns are encoded on any thread and appended in order, digests on the way.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, Encoding};
use parquet::column::writer::{ColumnCloseResult, get_column_writer, get_typed_column_writer};
use parquet::data_type::{DataType as ParquetType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use crate::run::{FileEntry, RunError};

/// A file that is hashed while it is written.
struct HashedFile {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// Large pieces are written, and hashed, several times as fast as small ones.
const WRITE_BYTES: usize = 1 << 20;

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
    writer: SerializedFileWriter<BufWriter<HashedFile>>,
    encoder: Arc<Encoder>,
}

/// Encodes row groups, on any thread.
pub(crate) struct Encoder {
    path: PathBuf,
    schema: SchemaRef,
    parquet: SchemaDescriptor,
    properties: WriterPropertiesPtr,
    factory: ArrowRowGroupWriterFactory,
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
        let hashed = HashedFile { file, hasher: blake3::Hasher::new(), bytes: 0 };
        let hashed = BufWriter::with_capacity(WRITE_BYTES, hashed);
        let properties = Arc::new(properties(&schema));
        let open = || -> Result<_, ParquetError> {
            let parquet = ArrowSchemaConverter::new().convert(&schema)?;
            let writer =
                SerializedFileWriter::new(hashed, parquet.root_schema_ptr(), Arc::clone(&properties))?;
            let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&schema));
            Ok((parquet, writer, factory))
        };
        let (parquet, writer, factory) = open().map_err(failed(path))?;
        let encoder = Arc::new(Encoder { path: path.into(), schema, parquet, properties, factory });
        Ok(Self { writer, encoder })
    }

    pub(crate) fn encoder(&self) -> Arc<Encoder> {
        Arc::clone(&self.encoder)
    }

    /// Appends an encoded row group.
    pub(crate) fn append(&mut self, columns: Vec<Encoded>) -> Result<(), RunError> {
        let append = || -> Result<(), ParquetError> {
            let mut group = self.writer.next_row_group()?;
            for column in columns {
                match column {
                    Encoded::Chunk(chunk) => chunk.append_to_row_group(&mut group)?,
                    Encoded::Pages(pages, closed) => group.append_column(&pages, closed)?,
                }
            }
            group.close().map(drop)
        };
        append().map_err(failed(&self.encoder.path))
    }

    /// Ends the file and writes it down to the disk.
    pub(crate) fn finish(mut self) -> Result<FileEntry, RunError> {
        let path = &self.encoder.path;
        self.writer.finish().map_err(failed(path))?;
        let written = self.writer.inner_mut();
        let done = written.flush().and_then(|()| written.get_ref().file.sync_all());
        done.map_err(|source| RunError::Io { path: path.clone(), action: "written", source })?;
        let HashedFile { bytes, hasher, .. } = written.get_ref();
        Ok(FileEntry { bytes: *bytes, blake3: hasher.finalize().to_hex().to_string() })
    }
}

/// Values of a column; of floats NaN stands for none where the column may have none.
pub(crate) enum Column<'a> {
    Ints(&'a [i32]),
    Longs(&'a [i64]),
    Floats(&'a [f32]),
    Doubles(&'a [f64]),
    Array(ArrayRef),
}

/// A column of a row group, encoded.
pub(crate) enum Encoded {
    Chunk(ArrowColumnChunk),
    Pages(Bytes, ColumnCloseResult),
}

impl Encoder {
    pub(crate) fn encode(&self, columns: &[Column]) -> Result<Vec<Encoded>, RunError> {
        let encode = || -> Result<Vec<Encoded>, ParquetError> {
            // The index matters for encryption alone.
            let writers = self.factory.create_column_writers(0)?;
            let each = columns.iter().zip(writers).enumerate();
            each.map(|(at, (column, writer))| match column {
                Column::Ints(values) => self.pages::<Int32Type>(at, values, None),
                Column::Longs(values) => self.pages::<Int64Type>(at, values, None),
                Column::Doubles(values) => self.pages::<DoubleType>(at, values, None),
                Column::Floats(values) if self.schema.field(at).is_nullable() => {
                    let there: Vec<i16> = values.iter().map(|x| i16::from(!x.is_nan())).collect();
                    let known: Vec<f32> = values.iter().copied().filter(|x| !x.is_nan()).collect();
                    self.pages::<FloatType>(at, &known, Some(&there))
                }
                Column::Floats(values) => self.pages::<FloatType>(at, values, None),
                Column::Array(array) => self.chunk(at, array, writer),
            })
            .collect()
        };
        encode().map_err(failed(&self.path))
    }

    fn chunk(
        &self,
        at: usize,
        array: &ArrayRef,
        mut writer: ArrowColumnWriter,
    ) -> Result<Encoded, ParquetError> {
        for leaf in compute_leaves(self.schema.field(at), array)? {
            writer.write(&leaf)?;
        }
        writer.close().map(Encoded::Chunk)
    }

    /// Plain numbers go to the encoder as they lie: Arrow's way copies them twice for levels of nesting that they have
    /// not.
    fn pages<T: ParquetType>(
        &self,
        at: usize,
        values: &[T::T],
        there: Option<&[i16]>,
    ) -> Result<Encoded, ParquetError> {
        let mut sink = TrackedWrite::new(Vec::with_capacity(size_of_val(values)));
        let pages = Box::new(SerializedPageWriter::new(&mut sink));
        let column = get_column_writer(self.parquet.column(at), Arc::clone(&self.properties), pages);
        let mut writer = get_typed_column_writer::<T>(column);
        writer.write_batch(values, there, None)?;
        let closed = writer.close()?;
        Ok(Encoded::Pages(sink.into_inner()?.into(), closed))
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
                .set_column_statistics_enabled(column.clone(), EnabledStatistics::None)
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
