//! Vectors that were made before, by what they were made of and by which encoder: one file an encoder, which only grows.
//! Whatever interrupts a run, what it has written is found again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use crate::EncodeError;

/// BLAKE3 of what was encoded.
pub type Content = [u8; 32];

/// The vectors of one encoder. What lies in memory is where each of them lies in the file.
#[derive(Debug)]
pub struct Cache {
    dim: usize,
    file: File,
    /// Where the record of a vector begins.
    known: HashMap<Content, u64>,
    /// Where the next record goes; nothing where another process adds to the file.
    end: Option<Mutex<u64>>,
    bytes_max: u64,
}

/// The first bytes of a file; then the numbers of a vector.
const MAGIC: &[u8; 8] = b"upnextV1";
const HEAD: u64 = 16;
/// Bytes of BLAKE3 behind each vector, by which a torn or damaged one is known.
const CHECK: usize = 8;

impl Cache {
    /// Of an encoder with this digest and so many numbers. What is damaged is passed over; behind the last record that is
    /// whole the file is cut.
    ///
    /// # Errors
    /// When the folder or file cannot be made or read.
    pub fn open(folder: &Path, digest: &str, dim: usize, bytes_max: u64) -> Result<Self, EncodeError> {
        let path = folder.join(format!("{digest}.vectors"));
        let wrong = |error: std::io::Error| {
            EncodeError::of(
                path.display(),
                format!("the cache cannot be used: {error}; name another with --cache, or --no-cache"),
            )
        };
        std::fs::create_dir_all(folder).map_err(wrong)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(wrong)?;
        let is_ours = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(wrong(error)),
        };
        let head = [MAGIC.as_slice(), &(dim as u64).to_le_bytes()].concat();
        let mut reader = BufReader::new(&file);
        let mut known = HashMap::new();
        let mut whole = 0;
        if next(&mut reader, HEAD as usize).map_err(wrong)?.is_some_and(|found| found == head) {
            whole = HEAD;
            let mut at = HEAD;
            while let Some(record) = next(&mut reader, record_bytes(dim)).map_err(wrong)? {
                let begins = at;
                at += record.len() as u64;
                if let Some((content, _)) = parts(&record) {
                    known.insert(content, begins);
                    whole = at;
                }
            }
        }
        if !is_ours {
            return Ok(Self { dim, file, known, end: None, bytes_max });
        }
        file.set_len(whole).map_err(wrong)?;
        if whole == 0 {
            file.write_all_at(&head, 0).map_err(wrong)?;
        }
        Ok(Self { dim, file, known, end: Some(Mutex::new(whole.max(HEAD))), bytes_max })
    }

    /// Whether a vector was made before.
    pub fn has(&self, content: &Content) -> bool {
        self.known.contains_key(content)
    }

    /// A vector that was made before; nothing too where the file is no longer what it was.
    pub fn get(&self, content: &Content) -> Option<Vec<f32>> {
        let mut record = vec![0; record_bytes(self.dim)];
        self.file.read_exact_at(&mut record, *self.known.get(content)?).ok()?;
        let (found, values) = parts(&record)?;
        (found == *content).then_some(values)
    }

    /// Keeps vectors for another run.
    ///
    /// # Errors
    /// Says why it does not: it is full, another process adds to it, or the disk does not take them.
    ///
    /// # Panics
    /// If a vector has another length.
    pub fn add(&self, vectors: &[(Content, &[f32])]) -> Result<(), String> {
        let Some(end) = &self.end else {
            return Err("another process adds to the cache of this encoder".into());
        };
        let mut bytes = Vec::new();
        for (content, values) in vectors {
            assert_eq!(values.len(), self.dim, "a vector of the encoder");
            let begins = bytes.len();
            bytes.extend_from_slice(content);
            values.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
            let check = blake3::hash(&bytes[begins..]);
            bytes.extend_from_slice(&check.as_bytes()[..CHECK]);
        }
        let mut end = end.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *end + bytes.len() as u64 > self.bytes_max {
            return Err(format!(
                "the cache of this encoder is full at {} MiB (--cache-mib)",
                self.bytes_max >> 20
            ));
        }
        // Where that ends halfway, the next record is written over it.
        self.file.write_all_at(&bytes, *end).map_err(|error| error.to_string())?;
        *end += bytes.len() as u64;
        Ok(())
    }
}

fn record_bytes(dim: usize) -> usize {
    size_of::<Content>() + 4 * dim + CHECK
}

/// So many bytes more, or nothing where fewer are left.
fn next(from: &mut impl Read, n: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; n];
    match from.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a record is of, and its vector; nothing where it is damaged.
fn parts(record: &[u8]) -> Option<(Content, Vec<f32>)> {
    let (what, check) = record.split_at(record.len() - CHECK);
    if blake3::hash(what).as_bytes()[..CHECK] != *check {
        return None;
    }
    let (content, values) = what.split_first_chunk()?;
    Some((*content, values.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Content = [1; 32];
    const B: Content = [2; 32];

    #[test]
    fn what_was_kept_is_found_and_what_was_torn_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let open = |dim| Cache::open(folder.path(), "x", dim, 1 << 20).unwrap();
        let cache = open(2);
        cache.add(&[(A, &[1.0, 2.0]), (B, &[3.0, 4.0])]).unwrap();
        assert_eq!(cache.get(&A), None, "for another run");
        drop(cache);
        assert_eq!((open(2).get(&A), open(2).get(&B)), (Some(vec![1.0, 2.0]), Some(vec![3.0, 4.0])));
        let path = folder.path().join("x.vectors");
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let cache = open(2);
            assert_eq!(cache.has(&A), cut >= 16 + record_bytes(2), "cut at {cut}");
            assert_eq!(cache.get(&B), None, "cut at {cut}");
            cache.add(&[(B, &[3.0, 4.0])]).unwrap();
            drop(cache);
            assert_eq!(open(2).get(&B), Some(vec![3.0, 4.0]), "cut at {cut}, it goes on");
        }
        // A record that is damaged is lost, and not those behind it.
        let mut damaged = whole.clone();
        damaged[50] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert_eq!((open(2).get(&A), open(2).get(&B)), (None, Some(vec![3.0, 4.0])));
        // So is one that is damaged while the cache is open.
        std::fs::write(&path, &whole).unwrap();
        let cache = open(2);
        OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[9], 50).unwrap();
        assert_eq!((cache.has(&A), cache.get(&A), cache.get(&B)), (true, None, Some(vec![3.0, 4.0])));
        drop(cache);
        // Another length is another file's: it begins anew.
        assert_eq!(open(3).get(&A), None);
    }

    #[test]
    fn what_a_failed_write_left_behind_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Cache::open(folder.path(), "x", 1, 1 << 20).unwrap();
        let cache = open();
        cache.add(&[(A, &[1.0])]).unwrap();
        // As if the disk had been full for a moment: half a record behind the end.
        OpenOptions::new()
            .write(true)
            .open(folder.path().join("x.vectors"))
            .unwrap()
            .write_all_at(&[7; 20], 16 + record_bytes(1) as u64)
            .unwrap();
        cache.add(&[(B, &[2.0])]).unwrap();
        drop(cache);
        assert_eq!((open().get(&A), open().get(&B)), (Some(vec![1.0]), Some(vec![2.0])));
    }

    #[test]
    fn it_is_bounded_and_one_process_writes() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Cache::open(folder.path(), "x", 1, 16 + 44).unwrap();
        let cache = open();
        let second = open();
        assert!(second.add(&[(B, &[1.0])]).unwrap_err().contains("another process"));
        cache.add(&[(A, &[1.0])]).unwrap();
        assert!(cache.add(&[(B, &[1.0])]).unwrap_err().contains("full at 0 MiB (--cache-mib)"));
        drop((cache, second));
        assert_eq!((open().get(&A), open().get(&B)), (Some(vec![1.0]), None));
    }
}
