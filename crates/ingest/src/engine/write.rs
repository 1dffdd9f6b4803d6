//! Parquet, row group by row group: columns are encoded on any thread and appended in order, digests on the way.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::{ColumnCloseResult, get_column_writer, get_typed_column_writer};
use parquet::data_type::{DataType as ParquetType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use crate::run::{FileEntry, RunError};

/// A file that is hashed while it is written, and goes to the disk meanwhile.
struct HashedFile {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
    /// Bytes since the disk was last asked for, and who asks.
    unsynced: u64,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

/// Bytes after which the disk begins to write.
const SYNC_BYTES: u64 = 32 << 20;

/// Large pieces are written, and hashed, several times as fast as small ones.
const WRITE_BYTES: usize = 1 << 20;

impl HashedFile {
    /// What came of the last time that the disk was asked.
    fn synced(&mut self) -> io::Result<()> {
        let panicked = |_| Err(io::Error::other("the thread that writes to the disk has panicked"));
        self.syncing.take().map_or(Ok(()), |syncing| syncing.join().unwrap_or_else(panicked))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let got = self.file.write(bytes)?;
        self.hasher.update(&bytes[..got]);
        self.bytes += got as u64;
        self.unsynced += got as u64;
        if self.unsynced >= SYNC_BYTES && self.syncing.as_ref().is_none_or(JoinHandle::is_finished) {
            self.synced()?;
            let file = self.file.try_clone()?;
            self.unsynced = 0;
            self.syncing = Some(std::thread::spawn(move || file.sync_data()));
        }
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
    /// The same, but floats are compressed.
    compressed: WriterPropertiesPtr,
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
        let hashed = HashedFile { file, hasher: blake3::Hasher::new(), bytes: 0, unsynced: 0, syncing: None };
        let hashed = BufWriter::with_capacity(WRITE_BYTES, hashed);
        let compressed = Arc::new(properties(&schema, Compression::LZ4_RAW));
        let properties = Arc::new(properties(&schema, Compression::UNCOMPRESSED));
        let open = || -> Result<_, ParquetError> {
            let parquet = ArrowSchemaConverter::new().convert(&schema)?;
            let writer =
                SerializedFileWriter::new(hashed, parquet.root_schema_ptr(), Arc::clone(&properties))?;
            let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&schema));
            Ok((parquet, writer, factory))
        };
        let (parquet, writer, factory) = open().map_err(failed(path))?;
        let encoder =
            Arc::new(Encoder { path: path.into(), schema, parquet, properties, compressed, factory });
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
        let done = written.flush().and_then(|()| {
            written.get_mut().synced()?;
            written.get_ref().file.sync_all()
        });
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
    /// So many times the same word.
    Repeated(&'a str, usize),
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
                Column::Ints(values) => self.pages::<Int32Type>(at, values, None, false),
                Column::Longs(values) => self.pages::<Int64Type>(at, values, None, false),
                Column::Doubles(values) => {
                    let repeats = repeats(values, |x| x.to_bits());
                    self.pages::<DoubleType>(at, values, None, repeats)
                }
                Column::Floats(values) if self.schema.field(at).is_nullable() => {
                    let there: Vec<i16> = values.iter().map(|x| i16::from(!x.is_nan())).collect();
                    let known: Vec<f32> = values.iter().copied().filter(|x| !x.is_nan()).collect();
                    let repeats = repeats(&known, |x| u64::from(x.to_bits()));
                    self.pages::<FloatType>(at, &known, Some(&there), repeats)
                }
                Column::Floats(values) => {
                    let repeats = repeats(values, |x| u64::from(x.to_bits()));
                    self.pages::<FloatType>(at, values, None, repeats)
                }
                Column::Repeated(word, n) => self.repeated(at, word, *n),
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

    /// A dictionary of one word, and one run of it: the general encoder looks each of them up.
    fn repeated(&self, at: usize, word: &str, n: usize) -> Result<Encoded, ParquetError> {
        let size = |n: usize| u32::try_from(n).map_err(|error| ParquetError::External(Box::new(error)));
        let mut words = size(word.len())?.to_le_bytes().to_vec();
        words.extend_from_slice(word.as_bytes());
        // Numbers of one bit; the length of a run is twice what it is, seven bits a byte; then the number 0.
        let (mut run, mut codes) = (2 * u64::from(size(n)?), vec![1]);
        while run >= 0x80 {
            codes.push(run as u8 | 0x80);
            run >>= 7;
        }
        codes.extend([run as u8, 0]);
        let words = Page::DictionaryPage {
            buf: words.into(),
            num_values: 1,
            encoding: Encoding::PLAIN,
            is_sorted: true,
        };
        let codes = Page::DataPage {
            buf: codes.into(),
            num_values: size(n)?,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let mut sink = TrackedWrite::new(Vec::new());
        let mut pages = SerializedPageWriter::new(&mut sink);
        let [words, codes] = [words, codes].map(|page| {
            let bytes = page.buffer().len();
            pages.write_page(CompressedPage::new(page, bytes))
        });
        let (words, codes) = (words?, codes?);
        let bytes = words.bytes_written + codes.bytes_written;
        let metadata = ColumnChunkMetaData::builder(self.parquet.column(at))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
            .set_compression(Compression::UNCOMPRESSED)
            .set_num_values(n as i64)
            .set_total_compressed_size(bytes as i64)
            .set_total_uncompressed_size(bytes as i64)
            .set_dictionary_page_offset(Some(words.offset as i64))
            .set_data_page_offset(codes.offset as i64)
            .build()?;
        let mut places = OffsetIndexBuilder::new();
        places.append_row_count(n as i64);
        places.append_offset_and_size(codes.offset as i64, codes.bytes_written as i32);
        places.append_unencoded_byte_array_data_bytes(None);
        let closed = ColumnCloseResult {
            bytes_written: bytes,
            rows_written: n as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(places.build()),
        };
        Ok(Encoded::Pages(sink.into_inner()?.into(), closed))
    }

    /// Plain numbers go to the encoder as they lie: Arrow's way copies them twice for levels of nesting that they have
    /// not.
    fn pages<T: ParquetType>(
        &self,
        at: usize,
        values: &[T::T],
        there: Option<&[i16]>,
        compress: bool,
    ) -> Result<Encoded, ParquetError> {
        let mut sink = TrackedWrite::new(Vec::with_capacity(size_of_val(values)));
        let pages = Box::new(SerializedPageWriter::new(&mut sink));
        let properties = if compress { &self.compressed } else { &self.properties };
        let column = get_column_writer(self.parquet.column(at), Arc::clone(properties), pages);
        let mut writer = get_typed_column_writer::<T>(column);
        writer.write_batch(values, there, None)?;
        let closed = writer.close()?;
        Ok(Encoded::Pages(sink.into_inner()?.into(), closed))
    }
}

/// Whether numbers come again and again, as stars do and watch ratios do not: only then there is something to compress.
fn repeats<T>(values: &[T], bits: impl Fn(&T) -> u64) -> bool {
    const SAMPLE: usize = 512;
    let mut sample: Vec<u64> =
        values.iter().step_by((values.len() / SAMPLE).max(1)).take(SAMPLE).map(bits).collect();
    sample.sort_unstable();
    let n = sample.len();
    sample.dedup();
    4 * sample.len() < 3 * n
}

/// Numbers of a log hardly repeat: looking them up in a dictionary takes longest of all and saves little. Whole numbers
/// are packed by their differences, floats stand as they are, and only text has a dictionary.
fn properties(schema: &SchemaRef, floats: Compression) -> WriterProperties {
    let mut properties = WriterProperties::builder();
    for field in schema.fields() {
        let (name, column) = (field.name().as_str(), ColumnPath::from(field.name().as_str()));
        // Rows come by user: of no other column does a row group hold a range of its own.
        let statistics = if name == "user" { EnabledStatistics::Chunk } else { EnabledStatistics::None };
        properties = properties.set_column_statistics_enabled(column.clone(), statistics);
        let (has_dictionary, encoding, compression) = match field.data_type() {
            // A log knows a few actions, which are a few bits each.
            DataType::Utf8 if name == "action" => (true, None, Compression::UNCOMPRESSED),
            DataType::Utf8 => (true, None, Compression::LZ4_RAW),
            DataType::Float32 | DataType::Float64 => (false, Some(Encoding::PLAIN), floats),
            _ => (false, Some(Encoding::DELTA_BINARY_PACKED), Compression::UNCOMPRESSED),
        };
        properties = properties
            .set_column_dictionary_enabled(column.clone(), has_dictionary)
            .set_column_compression(column.clone(), compression);
        if let Some(encoding) = encoding {
            properties = properties.set_column_encoding(column, encoding);
        }
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
