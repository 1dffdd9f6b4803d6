//! What an import of several files keeps of itself, so that it goes on after the last file that was read when it was
//! killed, or failed.
//!
//! Beside the run folder to be lies `.NAME.kept`: `rows`, the file that takes all records that were read; `state`, names,
//! counts and where the records lie; `dropped-N.parquet`, the rows dropped between two states; and `lock`. A state is
//! written aside and renamed after what it speaks of is on the disk. It counts for the same options and binary where the files
//! that it covers come first and are unchanged (path, size and time of change); those after them may be mended, and more may
//! come. An import into the same folder that does not go on from it removes it before it writes anything.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use upnext_data::Relevance;

use super::import::Target;
use super::quarantine;
use crate::formats::recognise::{EventFile, Plan};
use crate::gather::State;
use crate::run::{self, FileEntry, RunError};
use crate::{IngestError, Options};

/// The folder beside a run to be.
pub(crate) struct Kept {
    folder: PathBuf,
    /// Held as long as this import lasts.
    _lock: File,
    /// Of the files up to each that is ended.
    fingerprints: Vec<[u8; 32]>,
    every: Duration,
    /// When a state was written, or the import began.
    since: Instant,
    /// Files of events that the newest state covers, and files of dropped rows that were ended.
    pub(crate) files: usize,
    pieces: usize,
    state: Option<State>,
}

/// What stands before a state.
#[derive(Serialize, Deserialize)]
struct Head {
    fingerprint: [u8; 32],
    files: usize,
    pieces: usize,
}

impl Kept {
    /// The folder for an import of several files into `out`, with the newest state where an earlier import of the same
    /// left one. `None` where nothing can be kept: of one file, of what is no file, or beside another that runs.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn begin(
        out: &Path,
        plan: &Plan,
        options: &Options,
        target: &Target,
    ) -> Result<Option<Self>, IngestError> {
        let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = out.with_file_name(format!(".{name}.kept"));
        let fingerprints = fingerprints(plan, options, target.quarantine).filter(|all| all.len() > 1);
        let (Some(fingerprints), Some(every)) = (fingerprints, target.keep_every) else {
            if folder.exists() && lock(&folder).is_ok_and(|lock| lock.is_some()) {
                // Of another import, which can no longer go on; a folder that stays is in nobody's way.
                let _ = fs::remove_dir_all(&folder);
            }
            return Ok(None);
        };
        let failed = |source| IngestError::Spill { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let Some(lock) = lock(&folder).map_err(failed)? else { return Ok(None) };
        let since = Instant::now();
        let mut kept =
            Self { folder, _lock: lock, fingerprints, every, since, files: 0, pieces: 0, state: None };
        match kept.read().filter(|_| target.go_on) {
            Some((head, state)) => {
                (kept.files, kept.pieces, kept.state) = (head.files, head.pieces, Some(state));
            }
            // What this import is about to overwrite must not be gone on from.
            None => {
                kept.clear().map_err(|source| IngestError::Spill { path: kept.folder.clone(), source })?
            }
        }
        Ok(Some(kept))
    }

    /// Removes all that was kept, the state first.
    fn clear(&self) -> io::Result<()> {
        let gone = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        gone(&self.folder.join(STATE))?;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name != LOCK) {
                gone(&path)?;
            }
        }
        Ok(())
    }

    /// The newest state, if it is of the same import and all that it speaks of is there.
    fn read(&self) -> Option<(Head, State)> {
        let bytes = fs::read(self.folder.join(STATE)).ok()?;
        let (head, rest) = postcard::take_from_bytes::<Head>(&bytes).ok()?;
        let is_same = head.files > 0 && self.fingerprints.get(head.files - 1) == Some(&head.fingerprint);
        if !is_same {
            return None;
        }
        let state: State = postcard::from_bytes(rest).ok()?;
        let rows = fs::metadata(self.rows()).ok()?.len();
        let has_pieces = (0..head.pieces).all(|at| self.piece(at).exists());
        (rows >= state.partitions.end && has_pieces).then_some((head, state))
    }

    /// How many files of events there are.
    pub(crate) fn of_files(&self) -> usize {
        self.fingerprints.len()
    }

    /// The state to go on from; asked once.
    pub(crate) fn take(&mut self) -> Option<State> {
        self.state.take()
    }

    /// The file that takes records.
    pub(crate) fn rows(&self) -> PathBuf {
        self.folder.join("rows")
    }

    fn piece(&self, at: usize) -> PathBuf {
        self.folder.join(format!("dropped-{at}.parquet"))
    }

    /// The file that takes rows that are dropped from now on.
    pub(crate) fn open_piece(&self) -> PathBuf {
        self.piece(self.pieces)
    }

    /// Whether enough time has passed since the last state.
    pub(crate) fn is_due(&self) -> bool {
        self.since.elapsed() >= self.every
    }

    /// Writes the state after so many files. Its records are on the disk, and its dropped rows in ended files.
    pub(crate) fn write(&mut self, files: usize, state: &State, has_pieces: bool) -> Result<(), IngestError> {
        let pieces = self.pieces + usize::from(has_pieces);
        let head = Head { fingerprint: self.fingerprints[files - 1], files, pieces };
        let (path, aside) = (self.folder.join(STATE), self.folder.join("state.aside"));
        let written = postcard::to_extend(&head, Vec::new())
            .and_then(|bytes| postcard::to_extend(state, bytes))
            .map_err(io::Error::other)
            .and_then(|bytes| run::write_through(&aside, &bytes))
            .and_then(|()| fs::rename(&aside, &path));
        written.map_err(|source| IngestError::Spill { path, source })?;
        (self.files, self.pieces, self.since) = (files, pieces, Instant::now());
        Ok(())
    }

    /// Joins all files of dropped rows, the open one ended too, into one; `last` is what is known of that one.
    pub(crate) fn join_pieces(&self, last: FileEntry) -> Result<(PathBuf, FileEntry), RunError> {
        if self.pieces == 0 {
            return Ok((self.open_piece(), last));
        }
        let pieces: Vec<PathBuf> = (0..=self.pieces).map(|at| self.piece(at)).collect();
        let whole = self.folder.join("dropped.parquet");
        quarantine::join(&pieces, &whole).map(|entry| (whole, entry))
    }

    /// Removes the folder.
    pub(crate) fn discard(self) {
        // A folder that stays is found by the next import, and is in nobody's way.
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// Where it lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

const STATE: &str = "state";
const LOCK: &str = "lock";

/// A lock on the folder, unless somebody has it. Where locks are unknown nothing is kept.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = File::options().create(true).append(true).open(&path)?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    // Whoever had it may have removed the folder meanwhile: then this locks a file that nobody finds.
    let is_there =
        fs::metadata(&path).is_ok_and(|there| file.metadata().is_ok_and(|held| is_one(&there, &held)));
    Ok(is_there.then_some(file))
}

#[cfg(unix)]
fn is_one(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_one(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

/// Tells imports apart that have read so many files, from one to all; `None` where a source is no file, or has a path
/// that is not Unicode.
fn fingerprints(plan: &Plan, options: &Options, quarantine: bool) -> Option<Vec<[u8; 32]>> {
    let mut hasher = blake3::Hasher::new();
    // Reading does not ask what is relevant, and the clock goes on.
    let asked = Options { now: None, relevance: Relevance::default(), ..options.clone() };
    let binary = fs::metadata(std::env::current_exe().ok()?).ok()?;
    let build = (env!("CARGO_PKG_VERSION"), binary.len(), binary.modified().ok()?);
    hasher.update(format!("{build:?} {quarantine} {} {asked:?}", plan.format).as_bytes());
    let each = plan.events.iter().map(EventFile::path).map(|path| {
        let about = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        hasher.update(format!("\n{} {} {changed:?}", path.to_str()?, about.len()).as_bytes());
        Some(*hasher.finalize().as_bytes())
    });
    each.collect()
}
