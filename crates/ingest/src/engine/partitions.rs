//! Records by ranges of users: in memory while there is room, else in a file beside the output.
//!
//! A range holds so many users that there are at most [`PARTITIONS_MAX`] of them; when users grow in number,
//! neighbours are joined. Within a partition records keep the order of arrival, and a partition is what is
//! sorted at once: memory is bounded by the largest partition, which is at least one user's events.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::{RECORD_BYTES, Record};
use crate::IngestError;

/// Most partitions.
const PARTITIONS_MAX: usize = 512;
/// Users of a partition at first: 2^4.
const SHIFT: u32 = 4;
/// Most records of a piece of memory that is being filled.
pub(crate) const PIECE: usize = 2_048;

/// Records in order, with their positions where the files gave any (else none at all).
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    pub(crate) positions: Vec<i64>,
}

impl Chunk {
    pub(crate) fn push(&mut self, record: Record, position: i64) {
        if position != 0 || !self.positions.is_empty() {
            self.positions.resize(self.records.len(), 0);
            self.positions.push(position);
        }
        self.records.push(record);
    }

    pub(crate) fn position(&self, at: usize) -> i64 {
        self.positions.get(at).copied().unwrap_or(0)
    }

    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.positions.clear();
    }

    /// Copies at most `most` records of another from a place on; how many there were.
    fn fill(&mut self, other: &Chunk, start: usize, most: usize) -> usize {
        let end = start + most.min(other.records.len() - start);
        self.records.extend_from_slice(&other.records[start..end]);
        self.positions.extend_from_slice(other.positions.get(start..end).unwrap_or_default());
        end - start
    }

    fn append(&mut self, other: &Chunk) {
        if !other.positions.is_empty() || !self.positions.is_empty() {
            self.positions.resize(self.records.len(), 0);
            self.positions.extend_from_slice(&other.positions);
            self.positions.resize(self.records.len() + other.records.len(), 0);
        }
        self.records.extend_from_slice(&other.records);
    }

    fn bytes(&self) -> usize {
        RECORD_BYTES * self.records.capacity() + 8 * self.positions.capacity()
    }
}

/// A piece of the spill file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Extent {
    offset: u64,
    records: usize,
    has_positions: bool,
}

#[derive(Debug, Default)]
struct Partition {
    /// Older than what is in memory.
    spilled: Vec<Extent>,
    full: Vec<Chunk>,
    open: Chunk,
    records: usize,
}

/// All records of an import.
#[derive(Debug)]
pub(crate) struct Partitions {
    shift: u32,
    /// Each may be worked on by another thread.
    partitions: Vec<Mutex<Partition>>,
    bytes: AtomicUsize,
    bytes_max: usize,
    spill: Spill,
}

/// The file that takes what memory does not.
#[derive(Debug, Default)]
struct Spill {
    path: Option<PathBuf>,
    /// The file, and where it ends; `None` until something is written.
    open: Mutex<Option<(File, u64)>>,
    /// Whether the file outlives this: a later import may go on from it.
    stays: bool,
}

/// Where all records lie in the file, and from where on it may be written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spilled {
    shift: u32,
    /// Records and pieces of each partition.
    partitions: Vec<(usize, Vec<Extent>)>,
    pub(crate) end: u64,
}

impl Partitions {
    /// Keeps at most `bytes_max` of records in memory where `spill` names a file for the rest.
    pub(crate) fn new(bytes_max: usize, spill: Option<PathBuf>) -> Self {
        let spill = Spill { path: spill, open: Mutex::default(), stays: false };
        Self { shift: SHIFT, partitions: Vec::new(), bytes: AtomicUsize::new(0), bytes_max, spill }
    }

    /// The same, whose file stays behind: whoever owns its folder removes it.
    pub(crate) fn in_file_that_stays(bytes_max: usize, spill: PathBuf) -> Self {
        let mut partitions = Self::new(bytes_max, Some(spill));
        partitions.spill.stays = true;
        partitions
    }

    /// Writes all records down to the disk, and tells where they lie there.
    pub(crate) fn spill_to_disk(&mut self) -> Result<Spilled, IngestError> {
        self.spill_all()?;
        let end = match &*held(&self.spill.open) {
            Some((file, end)) => {
                file.sync_data().map(|()| *end).map_err(|source| self.spill.failed(source))?
            }
            None => 0,
        };
        let partitions = self.partitions.iter_mut().map(owned);
        let partitions = partitions.map(|of| (of.records, of.spilled.clone())).collect();
        Ok(Spilled { shift: self.shift, partitions, end })
    }

    /// Takes the records that lie in the file by an earlier [`Self::spill_to_disk`].
    pub(crate) fn restore(&mut self, layout: &Spilled) -> Result<(), IngestError> {
        let file = self.spill.file(false)?;
        *owned(&mut self.spill.open) = Some((file, layout.end));
        self.shift = layout.shift;
        let partition = |(records, spilled): &(usize, Vec<Extent>)| {
            Mutex::new(Partition { spilled: spilled.clone(), records: *records, ..Partition::default() })
        };
        self.partitions = layout.partitions.iter().map(partition).collect();
        Ok(())
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(crate) fn count(&self) -> usize {
        self.partitions.len()
    }

    pub(crate) fn records_of(&self, partition: usize) -> usize {
        held(&self.partitions[partition]).records
    }

    pub(crate) fn push(&mut self, record: Record, position: i64) -> Result<(), IngestError> {
        let mut at = (record.user >> self.shift) as usize;
        while at >= PARTITIONS_MAX {
            self.join_neighbours();
            at = (record.user >> self.shift) as usize;
        }
        if at >= self.partitions.len() {
            self.partitions.resize_with(at + 1, Mutex::default);
        }
        let partition = owned(&mut self.partitions[at]);
        partition.records += 1;
        let mut grown = 0;
        if partition.open.records.len() >= PIECE {
            // Who filled one piece fills another: it need not grow step by step.
            let next = Chunk { records: Vec::with_capacity(PIECE), positions: Vec::new() };
            grown += next.bytes();
            partition.full.push(std::mem::replace(&mut partition.open, next));
        }
        let before = partition.open.bytes();
        partition.open.push(record, position);
        grown += partition.open.bytes() - before;
        if grown > 0 {
            let bytes = self.bytes.get_mut();
            *bytes += grown;
            if *bytes > self.bytes_max && self.spill.path.is_some() {
                self.spill_all()?;
            }
        }
        Ok(())
    }

    fn join_neighbours(&mut self) {
        self.shift += 1;
        let old = std::mem::take(&mut self.partitions);
        for (at, mut odd) in old.into_iter().enumerate() {
            if at % 2 == 0 {
                self.partitions.push(odd);
                continue;
            }
            let even = self.partitions.last_mut().expect("an even one stands before an odd one");
            let (even, partition) = (owned(even), std::mem::take(owned(&mut odd)));
            let Partition { mut spilled, mut full, open, records } = partition;
            even.spilled.append(&mut spilled);
            if !even.open.records.is_empty() {
                even.full.push(std::mem::take(&mut even.open));
            }
            even.full.append(&mut full);
            even.open = open;
            even.records += records;
        }
    }

    fn spill_all(&mut self) -> Result<(), IngestError> {
        for partition in self.partitions.iter_mut().map(owned) {
            let mut whole = Chunk::default();
            for chunk in partition.full.drain(..) {
                whole.append(&chunk);
            }
            whole.append(&std::mem::take(&mut partition.open));
            if !whole.records.is_empty() {
                partition.spilled.push(self.spill.write(&whole)?);
            }
        }
        *self.bytes.get_mut() = 0;
        Ok(())
    }

    /// Takes all records of a partition out, in order of arrival.
    pub(crate) fn take(&self, at: usize) -> Taken {
        let partition = std::mem::take(&mut *held(&self.partitions[at]));
        let bytes: usize = partition.full.iter().map(Chunk::bytes).sum::<usize>() + partition.open.bytes();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Taken(partition)
    }

    /// Copies the records of a partition that was taken out; different partitions may be loaded at once.
    pub(crate) fn load(&self, taken: &Taken, into: &mut Chunk) -> Result<(), IngestError> {
        into.clear();
        for extent in &taken.0.spilled {
            self.spill.read(extent, into)?;
        }
        taken.0.full.iter().chain([&taken.0.open]).for_each(|chunk| into.append(chunk));
        Ok(())
    }

    /// Shows a partition's records, piece by piece.
    pub(crate) fn visit(&self, at: usize, see: &mut dyn FnMut(&[Record])) -> Result<(), IngestError> {
        let partition = held(&self.partitions[at]);
        for extent in &partition.spilled {
            let mut chunk = Chunk::default();
            self.spill.read(extent, &mut chunk)?;
            see(&chunk.records);
        }
        partition.full.iter().chain([&partition.open]).for_each(|chunk| see(&chunk.records));
        Ok(())
    }

    /// Puts a partition back, on disk where memory is full.
    pub(crate) fn put(&self, at: usize, Taken(mut partition): Taken) -> Result<(), IngestError> {
        let bytes: usize = partition.full.iter().map(Chunk::bytes).sum();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.spill.path.is_some() && before + bytes > self.bytes_max {
            for chunk in partition.full.drain(..) {
                partition.spilled.push(self.spill.write(&chunk)?);
            }
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        *held(&self.partitions[at]) = partition;
        Ok(())
    }

    /// Gives every record other rows of user and video.
    pub(crate) fn renumber(
        &mut self,
        users: Option<&[u32]>,
        videos: Option<&[u32]>,
    ) -> Result<(), IngestError> {
        let spill = std::mem::take(&mut self.spill);
        let partitions = std::mem::take(&mut self.partitions);
        let bytes = std::mem::take(&mut self.bytes);
        let old = Self { shift: self.shift, partitions, bytes, bytes_max: usize::MAX, spill };
        // Never the file that is read: rows may be numbered twice.
        let path = old.spill.path.as_ref().map(|path| match path.extension() {
            Some(extension) if extension == "renumbered" => path.with_extension("again"),
            _ => path.with_extension("renumbered"),
        });
        *self = Self::new(self.bytes_max, path);
        let mut chunk = Chunk::default();
        for at in 0..old.partitions.len() {
            let taken = old.take(at);
            old.load(&taken, &mut chunk)?;
            for (at, record) in chunk.records.iter().enumerate() {
                let mut record = *record;
                record.user = users.map_or(record.user, |rows| rows[record.user as usize]);
                record.video = videos.map_or(record.video, |rows| rows[record.video as usize]);
                self.push(record, chunk.position(at))?;
            }
        }
        Ok(())
    }
}

/// A partition that was taken out.
pub(crate) struct Taken(Partition);

impl Taken {
    /// The records, where all are in memory, in pieces of at most [`PIECE`], and have no positions.
    pub(crate) fn pieces(&self) -> Option<Vec<&[Record]>> {
        let chunks = || self.0.full.iter().chain([&self.0.open]);
        let is_plain = self.0.spilled.is_empty()
            && chunks().all(|chunk| chunk.positions.is_empty() && chunk.records.len() <= PIECE);
        is_plain.then(|| chunks().map(|chunk| &chunk.records[..]).collect())
    }

    /// Gives the partition other records, in the memory that it has.
    pub(crate) fn refill(&mut self, chunk: &Chunk) {
        let mut pieces = std::mem::take(&mut self.0.full);
        pieces.push(std::mem::take(&mut self.0.open));
        self.0 = Partition { records: chunk.records.len(), ..Partition::default() };
        let mut start = 0;
        for mut piece in pieces {
            piece.clear();
            start += piece.fill(chunk, start, piece.records.capacity());
            if !piece.records.is_empty() {
                self.0.full.push(piece);
            }
        }
        let mut rest = Chunk::default();
        if rest.fill(chunk, start, usize::MAX) > 0 {
            self.0.full.push(rest);
        }
    }
}

/// What a lock holds; a thread that has panicked told so itself.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, of a lock that nobody else can have.
fn owned<T>(lock: &mut Mutex<T>) -> &mut T {
    lock.get_mut().unwrap_or_else(PoisonError::into_inner)
}

impl Spill {
    fn failed(&self, source: io::Error) -> IngestError {
        IngestError::Spill { path: self.path.clone().unwrap_or_default(), source }
    }

    /// Opens the file, empty or as it is.
    fn file(&self, empty: bool) -> Result<File, IngestError> {
        let path = self.path.clone().unwrap_or_default();
        let open = || -> io::Result<File> {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            let file = File::options().read(true).write(true).create(true).truncate(empty).open(&path)?;
            // A lock tells others that the file is in use; where locks are unknown, the process tells.
            let _ = file.try_lock();
            Ok(file)
        };
        open().map_err(|source| self.failed(source))
    }

    fn write(&self, chunk: &Chunk) -> Result<Extent, IngestError> {
        let mut bytes = Vec::with_capacity(RECORD_BYTES * chunk.records.len());
        chunk.records.iter().for_each(|record| record.write_to(&mut bytes));
        chunk.positions.iter().for_each(|position| bytes.extend_from_slice(&position.to_le_bytes()));
        let mut open = held(&self.open);
        let (file, end) = match &mut *open {
            Some(open) => open,
            none => none.insert((self.file(true)?, 0)),
        };
        let written = file.seek(SeekFrom::Start(*end)).and_then(|_| file.write_all(&bytes));
        written.map_err(|source| self.failed(source))?;
        let has_positions = !chunk.positions.is_empty();
        let extent = Extent { offset: *end, records: chunk.records.len(), has_positions };
        *end += bytes.len() as u64;
        Ok(extent)
    }

    fn read(&self, extent: &Extent, into: &mut Chunk) -> Result<(), IngestError> {
        let each = RECORD_BYTES + if extent.has_positions { 8 } else { 0 };
        let mut bytes = vec![0; each * extent.records];
        let read = held(&self.open).as_mut().map_or(Ok(()), |(file, _)| {
            file.seek(SeekFrom::Start(extent.offset))?;
            file.read_exact(&mut bytes)
        });
        read.map_err(|source| self.failed(source))?;
        let (records, positions) = bytes.split_at(RECORD_BYTES * extent.records);
        let mut chunk = Chunk::default();
        for bytes in records.chunks_exact(RECORD_BYTES) {
            let damaged = || self.failed(io::ErrorKind::InvalidData.into());
            chunk.records.push(Record::read_from(bytes).ok_or_else(damaged)?);
        }
        for bytes in positions.chunks_exact(8) {
            let bytes = bytes.try_into().expect("a piece of eight bytes has eight");
            chunk.positions.push(i64::from_le_bytes(bytes));
        }
        into.append(&chunk);
        Ok(())
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if let (Some(path), Some(_), false) = (&self.path, owned(&mut self.open).take(), self.stays) {
            // Nobody else knows the file; that it may stay behind hides no result.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A name for the spill file of a run folder to be, beside it.
pub(crate) fn spill_beside(out: &Path) -> PathBuf {
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.join(format!(".{name}.{}.rows", std::process::id()))
}

/// Nobody writes a run folder aside without touching it for so long.
const STALE_AFTER: Duration = Duration::from_secs(3_600);

/// Removes what imports into the same folder left beside it when they were killed: files named as by
/// [`spill_beside`] whose process is gone and which nobody holds locked, and run folders written aside by such a process
/// that have long been untouched. Only where processes can be looked up.
pub(crate) fn remove_stale(out: &Path) {
    let spill = spill_beside(out);
    let (Some(parent), Some(name)) = (spill.parent(), out.file_name()) else { return };
    let start = format!(".{}.", name.to_string_lossy());
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in entries.flatten() {
        let file = entry.file_name();
        let Some(rest) = file.to_str().and_then(|file| file.strip_prefix(&start)) else { continue };
        let (pid, kind) = rest.split_once('.').unwrap_or((rest, ""));
        let is_gone = pid.parse::<u32>().is_ok_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        // What stays is in nobody's way.
        let is_unlocked = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        match kind {
            "rows" | "quarantine" | "renumbered" | "again" if is_gone && is_unlocked() => {
                let _ = std::fs::remove_file(entry.path());
            }
            "" if is_gone && entry.path().is_dir() && is_untouched(&entry.path()) => {
                let _ = std::fs::remove_dir_all(entry.path());
            }
            _ => {}
        }
    }
}

/// Whether a folder and all in it were last changed long ago.
fn is_untouched(path: &Path) -> bool {
    let changed = path.symlink_metadata().and_then(|about| about.modified());
    let is_old = changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE_AFTER));
    let within = if path.is_dir() { std::fs::read_dir(path).map(Some) } else { Ok(None) };
    is_old
        && within.is_ok_and(|within| within.into_iter().flatten().flatten().all(|e| is_untouched(&e.path())))
}

#[cfg(test)]
mod tests {
    use upnext_data::{Action, Event};

    use super::*;
    use crate::engine::record::Place;

    fn record(user: u32, line: u32) -> Record {
        let event = Event { user, video: line % 7, action: Action::Watch, time: 5, value: None, ratio: None };
        Record::new(&event, None, Place { line, ..Place::default() })
    }

    #[test]
    fn what_was_spilled_comes_back_in_order_and_the_file_vanishes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let mut small = Partitions::new(100_000, Some(path.clone()));
        let mut large = Partitions::new(usize::MAX, None);
        for line in 0..30_000u32 {
            let record = record(line.wrapping_mul(2_654_435_761) % 20_000, line);
            let position = i64::from(line % 3);
            small.push(record, position).unwrap();
            large.push(record, position).unwrap();
        }
        assert!(path.exists() && small.count() <= PARTITIONS_MAX);
        for at in 0..large.count() {
            let (mut taken, mut loaded, mut held) = (small.take(at), Chunk::default(), Chunk::default());
            small.load(&taken, &mut loaded).unwrap();
            large.visit(at, &mut |records| held.records.extend_from_slice(records)).unwrap();
            held.positions = held.records.iter().map(|record| i64::from(record.line % 3)).collect();
            // Within a user the order of arrival stays.
            for chunk in [&loaded, &held] {
                let mut last = std::collections::HashMap::new();
                for (at, record) in chunk.records.iter().enumerate() {
                    assert!(last.insert(record.user, record.line).is_none_or(|line| line < record.line));
                    assert_eq!(chunk.position(at), i64::from(record.line % 3));
                }
            }
            let sorted = |mut chunk: Chunk| {
                chunk.records.sort_by_key(|record| record.line);
                chunk.records.iter().map(|record| (record.user, record.line)).collect::<Vec<_>>()
            };
            assert_eq!(sorted(loaded.clone()), sorted(held));
            loaded.records.reverse();
            loaded.positions.reverse();
            taken.refill(&loaded);
            small.put(at, taken).unwrap();
            let (taken, mut back) = (small.take(at), Chunk::default());
            small.load(&taken, &mut back).unwrap();
            let rows = |chunk: &Chunk| chunk.records.iter().map(|record| record.line).collect::<Vec<_>>();
            assert!(rows(&back) == rows(&loaded) && back.positions == loaded.positions);
        }
        drop(small);
        assert!(!path.exists());
    }
}
