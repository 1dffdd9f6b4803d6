//! The files of a run, each with its digest in the manifest: added aside and renamed, read only as they were written.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use super::{
    CLEANING, EVENTS, FileEntry, INTERACTIONS, LABELS, MANIFEST, QUARANTINE, RunError, USERS,
    VIDEO_STATISTICS, VIDEOS, entry, extras, io_error, json_bytes, manifest, write_through,
};

/// Adds a file to a run, or replaces it: the file aside and renamed, then the manifest likewise. A file that is
/// replaced leaves the manifest first, so that at no moment the manifest tells of what is not there.
///
/// # Errors
/// When the folder is no run or cannot be written.
pub fn add_file(run: &Path, name: &str, bytes: &[u8]) -> Result<(), RunError> {
    add_file_by(run, name, |out| {
        out.write_all(bytes).map_err(|source| io_error(&run.join(name), "written", source))
    })
}

/// The same with a file that `fill` writes piece by piece, so that it need not fit into memory. Where `fill` fails, the
/// run stays as it was.
///
/// # Errors
/// Those of `fill`, and as for [`add_file`].
pub fn add_file_by<E: From<RunError>>(
    run: &Path,
    name: &str,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let path = inside(run, name)?;
    let own = [MANIFEST, CLEANING, EVENTS, USERS, VIDEOS, LABELS, QUARANTINE, INTERACTIONS, VIDEO_STATISTICS];
    if own.contains(&name) || extras::EXTRAS.contains(&name) {
        return Err(RunError::Name { name: name.into() }.into());
    }
    manifest(run)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| io_error(folder, "written", source))?;
    }
    let aside = aside(&path);
    let done = (|| {
        let entry = write_digested(&aside, &path, fill)?;
        // Read only now: others may have added files while this one was written.
        let mut manifest = manifest(run)?;
        let manifest_path = run.join(MANIFEST);
        if manifest.files.remove(name).is_some() {
            replace_file(&manifest_path, &json_bytes(&manifest_path, &manifest)?)?;
        }
        fs::rename(&aside, &path).map_err(|source| io_error(&path, "written", source))?;
        manifest.files.insert(name.into(), entry);
        Ok(replace_file(&manifest_path, &json_bytes(&manifest_path, &manifest)?)?)
    })();
    if done.is_err() {
        // It may be renamed already.
        let _ = fs::remove_file(&aside);
    }
    done
}

/// What `fill` writes, down on the disk, with its size and digest.
fn write_digested<E: From<RunError>>(
    aside: &Path,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<FileEntry, E> {
    let failed = |source| io_error(path, "written", source);
    let out = fs::File::create(aside).map_err(failed)?;
    let mut out = BufWriter::new(Digested { out, hasher: blake3::Hasher::new(), bytes: 0 });
    fill(&mut out)?;
    let digested = out.into_inner().map_err(|error| failed(error.into_error()))?;
    digested.out.sync_all().map_err(failed)?;
    Ok(FileEntry { bytes: digested.bytes, blake3: digested.hasher.finalize().to_hex().to_string() })
}

/// A file that is digested as it is written.
struct Digested {
    out: fs::File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Write for Digested {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.out.write(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.aside", std::process::id()))
}

fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let aside = aside(path);
    write_through(&aside, bytes).and_then(|()| fs::rename(&aside, path)).map_err(|source| {
        let _ = fs::remove_file(&aside);
        io_error(path, "written", source)
    })
}

pub(super) fn inside(run: &Path, name: &str) -> Result<PathBuf, RunError> {
    let plain = !name.is_empty() && Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
    if plain { Ok(run.join(name)) } else { Err(RunError::Name { name: name.into() }) }
}

/// A file of the run, checked against the manifest; `None` when the run has none of that name.
///
/// # Errors
/// When the file is missing or is not the one that was written.
pub fn read_file(run: &Path, name: &str) -> Result<Option<Vec<u8>>, RunError> {
    let path = inside(run, name)?;
    match manifest(run)?.files.get(name) {
        Some(expected) => checked(&path, expected, "train").map(Some),
        None => Ok(None),
    }
}

/// The bytes of a file, if they are those that were written. `verb` is the command that makes it.
pub(super) fn checked(path: &Path, expected: &FileEntry, verb: &'static str) -> Result<Vec<u8>, RunError> {
    let bytes = fs::read(path).map_err(|source| unread(path, source, verb))?;
    same(path, expected, &entry(&bytes), verb)?;
    Ok(bytes)
}

/// A file of the run, checked against the manifest and opened to be read in parts; `None` when the run has none of that
/// name. `verb` is the command that makes it.
///
/// # Errors
/// When the file is missing or is not the one that was written.
pub fn open_file(run: &Path, name: &str, verb: &'static str) -> Result<Option<fs::File>, RunError> {
    let path = inside(run, name)?;
    let manifest = manifest(run)?;
    let Some(expected) = manifest.files.get(name) else { return Ok(None) };
    let unread = |source| unread(&path, source, verb);
    let mut file = fs::File::open(&path).map_err(unread)?;
    let bytes = file.metadata().map_err(unread)?.len();
    let mut hasher = blake3::Hasher::new();
    // One of another length is not worth reading.
    if bytes == expected.bytes {
        hasher.update_reader(&mut file).map_err(unread)?;
    }
    let found = FileEntry { bytes, blake3: hasher.finalize().to_hex().to_string() };
    same(&path, expected, &found, verb)?;
    Ok(Some(file))
}

fn same(path: &Path, expected: &FileEntry, found: &FileEntry, verb: &'static str) -> Result<(), RunError> {
    let changed = |reason: String| Err(RunError::Changed { path: path.into(), reason, verb });
    if found.bytes != expected.bytes {
        return changed(format!("{} bytes, expected {}", found.bytes, expected.bytes));
    }
    if found.blake3 != expected.blake3 {
        return changed("its digest is another".into());
    }
    Ok(())
}

fn unread(path: &Path, source: io::Error, verb: &'static str) -> RunError {
    match source.kind() {
        io::ErrorKind::NotFound => {
            RunError::Changed { path: path.into(), reason: "it is missing".into(), verb }
        }
        _ => io_error(path, "read", source),
    }
}
