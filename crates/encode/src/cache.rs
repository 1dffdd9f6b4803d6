//! Vectors that were made before, by what they were made of and by which encoder: one file an encoder, which only grows.
//! Whatever interrupts a run, what it has written is found again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

use crate::EncodeError;

/// BLAKE3 of what was encoded.
pub type Content = [u8; 32];

/// The vectors of one encoder.
#[derive(Debug)]
pub struct Cache {
    dim: usize,
    known: HashMap<Content, Vec<f32>>,
    /// The file to add to; nothing where another process adds to it.
    file: Option<Mutex<Writer>>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    bytes: u64,
    bytes_max: u64,
}

/// The first bytes of a file; then the numbers of a vector.
const MAGIC: &[u8; 8] = b"upnextV1";
const HEAD: u64 = 16;
/// Bytes of BLAKE3 behind each vector, by which a torn or damaged one is known.
const CHECK: usize = 8;

impl Cache {
    /// Of an encoder with this digest and so many numbers. A file that is damaged is read as far as it is whole, and is
    /// cut there.
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
        let mut file = OpenOptions::new()
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
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(wrong)?;
        let mut known = HashMap::new();
        let size = 32 + 4 * dim + CHECK;
        let mut whole = 0;
        if bytes.get(..8) == Some(MAGIC) && bytes.get(8..16) == Some(&(dim as u64).to_le_bytes()) {
            whole = HEAD as usize;
            for record in bytes[HEAD as usize..].chunks_exact(size) {
                let (what, check) = record.split_at(size - CHECK);
                if blake3::hash(what).as_bytes()[..CHECK] != *check {
                    break;
                }
                let (content, values) = what.split_at(32);
                let content: Content = content.try_into().expect("split at 32");
                let values = values.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
                known.insert(content, values);
                whole += size;
            }
        }
        if !is_ours {
            return Ok(Self { dim, known, file: None });
        }
        file.set_len(whole as u64).map_err(wrong)?;
        file.seek(SeekFrom::End(0)).map_err(wrong)?;
        if whole == 0 {
            let head = [MAGIC.as_slice(), &(dim as u64).to_le_bytes()].concat();
            file.write_all(&head).map_err(wrong)?;
        }
        let writer = Writer { file, bytes: (whole as u64).max(HEAD), bytes_max };
        Ok(Self { dim, known, file: Some(Mutex::new(writer)) })
    }

    /// A vector that was made before.
    pub fn get(&self, content: &Content) -> Option<&[f32]> {
        self.known.get(content).map(Vec::as_slice)
    }

    /// Keeps vectors for another run, as long as there is room.
    ///
    /// # Errors
    /// When the disk does not take them.
    ///
    /// # Panics
    /// If a vector has another length.
    pub fn add(&self, vectors: &[(Content, &[f32])]) -> Result<(), std::io::Error> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut bytes = Vec::new();
        for (content, values) in vectors {
            assert_eq!(values.len(), self.dim, "a vector of the encoder");
            let begins = bytes.len();
            bytes.extend_from_slice(content);
            values.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
            let check = blake3::hash(&bytes[begins..]);
            bytes.extend_from_slice(&check.as_bytes()[..CHECK]);
        }
        let mut writer = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if writer.bytes + bytes.len() as u64 > writer.bytes_max {
            return Ok(());
        }
        writer.file.write_all(&bytes)?;
        writer.bytes += bytes.len() as u64;
        Ok(())
    }
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
        assert_eq!((open(2).get(&A), open(2).get(&B)), (Some(&[1.0, 2.0][..]), Some(&[3.0, 4.0][..])));
        let path = folder.path().join("x.vectors");
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let cache = open(2);
            let record = 32 + 8 + CHECK;
            assert_eq!(cache.get(&A).is_some(), cut >= 16 + record, "cut at {cut}");
            assert_eq!(cache.get(&B), None, "cut at {cut}");
            cache.add(&[(B, &[3.0, 4.0])]).unwrap();
            drop(cache);
            assert_eq!(open(2).get(&B), Some(&[3.0, 4.0][..]), "cut at {cut}, it goes on");
        }
        let mut damaged = whole;
        damaged[50] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(open(2).get(&A), None);
        // Another length is another file's: it begins anew.
        assert_eq!(open(3).get(&A), None);
    }

    #[test]
    fn it_is_bounded_and_one_process_writes() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Cache::open(folder.path(), "x", 1, 16 + 44).unwrap();
        let cache = open();
        let second = open();
        second.add(&[(B, &[1.0])]).unwrap();
        cache.add(&[(A, &[1.0])]).unwrap();
        cache.add(&[(B, &[1.0])]).unwrap();
        drop((cache, second));
        assert_eq!((open().get(&A), open().get(&B)), (Some(&[1.0][..]), None));
    }
}
