//! Files as streams of bytes: plain, gzip or zstd, told by their first bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{IngestError, Limits};

/// An open file, unpacked on the way.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    reader: Box<dyn BufRead>,
    packing: Packing,
    read: Arc<AtomicU64>,
    pub(crate) bytes_total: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

const BUFFER_BYTES: usize = 1 << 18;

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self, IngestError> {
        let io = || IngestError::io(path);
        let mut file = File::open(path).map_err(io())?;
        let bytes_total = file.metadata().map_err(io())?.len();
        let mut magic = [0; 4];
        let got = read_up_to(&mut file, &mut magic).map_err(io())?;
        let read = Arc::new(AtomicU64::new(0));
        let whole = io::Cursor::new(magic[..got].to_vec()).chain(file);
        let counted = BufReader::with_capacity(BUFFER_BYTES, Counted { inner: whole, read: read.clone() });
        let (packing, reader): (_, Box<dyn BufRead>) = match magic {
            [0x1f, 0x8b, ..] => {
                let unpacked = flate2::bufread::MultiGzDecoder::new(counted);
                (Packing::Gzip, Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked)))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let unpacked = zstd::Decoder::with_buffer(counted).map_err(io())?;
                (Packing::Zstd, Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked)))
            }
            _ => (Packing::Plain, Box::new(counted)),
        };
        Ok(Self { path: path.to_owned(), reader, packing, read, bytes_total })
    }

    /// Bytes read so far, as they lie on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Fills a buffer as far as the file goes.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, IngestError> {
        read_up_to(&mut self.reader, buffer).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> IngestError {
        let path = self.path.clone();
        match self.packing {
            Packing::Plain => IngestError::Io { path, source },
            Packing::Gzip => IngestError::Compressed { path, kind: "gzip", source },
            Packing::Zstd => IngestError::Compressed { path, kind: "zstd", source },
        }
    }
}

fn read_up_to(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match reader.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The first bytes of a file, unpacked.
pub(crate) fn head(path: &Path, most: usize) -> Result<Vec<u8>, IngestError> {
    let mut source = Source::open(path)?;
    let mut bytes = vec![0; most];
    let got = source.fill(&mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Lines of a file, one at a time, without their ends.
pub(crate) struct Lines {
    source: Source,
    buffer: Vec<u8>,
    /// Number of the line that was read last, from 1.
    pub(crate) number: u64,
    line_bytes_max: usize,
}

impl Lines {
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, IngestError> {
        let source = Source::open(path)?;
        Ok(Self { source, buffer: Vec::new(), number: 0, line_bytes_max: limits.line_bytes_max })
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The next line, or nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, IngestError> {
        self.buffer.clear();
        let most = self.line_bytes_max as u64 + 1;
        let got = (&mut self.source.reader).take(most).read_until(b'\n', &mut self.buffer);
        let got = got.map_err(|source| self.source.failed(source))?;
        if got == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if got as u64 == most {
            return Err(too_long(&self.source.path, self.number, self.line_bytes_max));
        }
        if self.buffer.last() == Some(&b'\r') {
            self.buffer.pop();
        }
        let start = if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Ok(Some(&self.buffer[start..]))
    }
}

pub(crate) fn too_long(path: &Path, line: u64, most: usize) -> IngestError {
    IngestError::Line {
        path: path.to_owned(),
        line,
        found: format!("a record longer than {most} bytes, or a quote that is never closed"),
        expected: "shorter records, or a larger limit `line_bytes_max`".into(),
    }
}

/// Bytes as text: UTF-8, or else Latin-1, as older files are.
pub(crate) fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(path: &Path) -> Result<Vec<String>, IngestError> {
        let mut lines = Lines::open(path, &Limits { line_bytes_max: 100, ..Limits::default() })?;
        let mut all = Vec::new();
        while let Some(line) = lines.next()? {
            all.push(text(line).into_owned());
        }
        Ok(all)
    }

    #[test]
    fn plain_gzip_and_zstd_read_alike_and_a_short_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let content = b"\xef\xbb\xbf1 2\r\n3 \xe9\nlast".to_vec();
        let plain = folder.path().join("a.txt");
        std::fs::write(&plain, &content).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&content).unwrap();
        let gz = gz.finish().unwrap();
        let zst = zstd::encode_all(&content[..], 3).unwrap();
        assert_eq!(lines(&plain).unwrap(), ["1 2", "3 é", "last"]);
        for (packed, kind) in [(gz, "gzip"), (zst, "zstd")] {
            // The name does not matter: the first bytes do.
            std::fs::write(&plain, &packed).unwrap();
            assert_eq!(lines(&plain).unwrap(), ["1 2", "3 é", "last"]);
            std::fs::write(&plain, &packed[..packed.len() - 6]).unwrap();
            let error = lines(&plain).unwrap_err().to_string();
            assert!(
                error.contains("a.txt") && error.contains(kind) && error.contains("end early"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_line_beyond_the_limit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, format!("short\n{}", "x".repeat(101))).unwrap();
        let error = lines(&path).unwrap_err().to_string();
        assert!(error.contains("a.txt, line 2") && error.contains("100 bytes"), "{error}");
    }
}
