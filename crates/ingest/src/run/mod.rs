//! The run folder: a dataset and what was made from it, each file with its digest.
//!
//! `dataset/{events,users,videos,labels}.parquet`, `cleaning.json`, `manifest.json`; what lies beside the events
//! has tables of its own where there is any (see `extras`); training adds
//! `model.safetensors` and `report.json`. A folder is written aside and renamed, so no half-written one is left (`rewrite`
//! says how a run gets another set where it lies); a folder of another version, or with a file that was changed, is refused.

mod batches;
mod extras;
mod files;
mod log;
mod rewrite;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use upnext_data::{Catalogue, Dataset, Order, Users};

use crate::{CleaningReport, Notice};
use tables::{
    events_table, labels_table, parquet_bytes, read_events, read_labels, read_users, read_videos,
    users_table, videos_table,
};

pub use batches::{EventBatches, event_batches};
use files::checked;
pub use files::{add_file, add_file_by, open_file, read_file};
pub use log::{RunLog, open_log};
pub use rewrite::rewrite;
pub(crate) use tables::{parquet_bytes as columns_bytes, table_bytes};

/// The version of the folder that this build writes and reads.
pub const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const CLEANING: &str = "cleaning.json";
pub(crate) const EVENTS: &str = "dataset/events.parquet";
const USERS: &str = "dataset/users.parquet";
const VIDEOS: &str = "dataset/videos.parquet";
const LABELS: &str = "dataset/labels.parquet";

/// Dropped rows with their reason.
pub const QUARANTINE: &str = "quarantine.parquet";
/// One row for each pair of user and video, where an import was told to split.
pub const INTERACTIONS: &str = "dataset/interactions.parquet";
/// One row for each video, beside them.
pub const VIDEO_STATISTICS: &str = "dataset/video_statistics.parquet";

/// What cannot be done with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Not a run folder.
    #[error("{path}: is not a run folder (no {MANIFEST}); make one with `upnext import FILE --out {path}`")]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// A manifest that cannot be understood.
    #[error("{path}: the manifest cannot be read ({reason}); import again with --force")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder of another version.
    #[error("{path}: is format {found}; this build reads {FORMAT}: import again with --force")]
    Format {
        /// The folder.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// A file that is not what the manifest says.
    #[error(
        "{path}: was changed or damaged since it was written ({reason}); restore it, or make it again with `upnext {verb}`"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// What is different.
        reason: String,
        /// The command that makes it.
        verb: &'static str,
    },
    /// Something is already there.
    #[error("{path}: is there already; name another folder with --out, or replace it with --force")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A name that leads out of the folder.
    #[error("{name}: expected the name of a file inside the run folder, and not one of its own")]
    Name {
        /// The name.
        name: String,
    },
    /// The system says no.
    #[error("{path}: cannot be {action}; check that the folder exists, can be written and has room")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A table that cannot be encoded or decoded.
    #[error("{path}: {reason}")]
    Table {
        /// The file.
        path: PathBuf,
        /// What the library said.
        reason: String,
    },
}

/// What a run is told when it is made.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What counts as relevant.
    pub relevance: String,
    /// Terms of the data.
    pub notice: Option<Notice>,
    /// What the files were taken for.
    pub recognised: String,
    /// The command line that made it.
    pub command: String,
    /// The seed of what is fitted later.
    pub seed: u64,
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the folder.
    pub format: u32,
    /// The version of UpNext that wrote it.
    pub version: String,
    /// The set's name.
    pub name: String,
    /// The dataset's digest.
    pub digest: String,
    /// What is known about order.
    pub order: Order,
    /// What counts as relevant.
    pub relevance: String,
    /// What the files were taken for.
    pub recognised: String,
    /// Terms of the data.
    pub notice: Option<Notice>,
    /// The command line that made it.
    pub command: String,
    /// The seed of what is fitted later.
    pub seed: u64,
    /// Every file but this one, by its path in the folder.
    pub files: BTreeMap<String, FileEntry>,
}

/// A file of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content, in hex.
    pub blake3: String,
}

/// A run that was opened.
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// What is written in `manifest.json`.
    pub manifest: Manifest,
    /// The clean set.
    pub dataset: Dataset,
    /// What the import read and dropped.
    pub cleaning: CleaningReport,
}

/// Whether a path is a folder with a manifest.
pub fn is_run(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

/// Writes a run folder: aside first, then renamed. With `replace` an older run there gives way; what is not of
/// that run, a store for example, stays.
///
/// # Errors
/// When something else is there, or the folder cannot be written.
pub fn write(
    path: &Path,
    set: &Dataset,
    cleaning: &CleaningReport,
    about: &About,
    replace: bool,
) -> Result<(), RunError> {
    make(path, replace, &mut |aside| write_aside(aside, set, cleaning, about))
}

/// That a run folder may be made there: nothing is there yet, or what is there may give way.
///
/// # Errors
/// When something else is there.
pub(crate) fn may_be_made(path: &Path, replace: bool) -> Result<(), RunError> {
    if path.exists() && !(replace && (is_run(path) || is_empty_folder(path))) {
        return Err(RunError::Exists { path: path.into() });
    }
    Ok(())
}

/// Makes a run folder of what `fill` writes aside.
pub(crate) fn make(
    path: &Path,
    replace: bool,
    fill: &mut dyn FnMut(&Path) -> Result<(), RunError>,
) -> Result<(), RunError> {
    may_be_made(path, replace)?;
    // One that this build cannot read gives way as a whole.
    if is_run(path) && manifest(path).is_ok() {
        return rewrite::replace(path, fill);
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|source| io_error(parent, "written", source))?;
    let name = path.file_name().ok_or_else(|| RunError::Name { name: path.display().to_string() })?;
    let aside = parent.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let done = fill(&aside).and_then(|()| {
        if path.exists() {
            let old = parent.join(format!(".{}.{}.old", name.to_string_lossy(), std::process::id()));
            fs::rename(path, &old).map_err(|source| io_error(path, "written", source))?;
            if let Err(source) = fs::rename(&aside, path) {
                // The older run comes back; if even that fails, it lies whole beside.
                let _ = fs::rename(&old, path);
                return Err(io_error(path, "written", source));
            }
            move_what_is_not_of_the_run(&old, path)
                .map_err(|source| io_error(&old, "moved into the new run", source))?;
            return fs::remove_dir_all(&old).map_err(|source| io_error(&old, "written", source));
        }
        fs::rename(&aside, path).map_err(|source| io_error(path, "written", source))
    });
    if done.is_err() {
        // What was written aside is of no use; that it may stay behind does not hide the cause.
        let _ = fs::remove_dir_all(&aside);
    }
    done
}

/// What others keep in a run folder outlives it: the store that serving writes there holds acknowledged events.
fn move_what_is_not_of_the_run(old: &Path, new: &Path) -> io::Result<()> {
    // A manifest of another version names nothing we know; what it meant is then kept too, and never read.
    let named: Vec<String> = manifest(old).map(|m| m.files.into_keys().collect()).unwrap_or_default();
    for entry in fs::read_dir(old)? {
        let name = entry?.file_name();
        let is_named = named.iter().any(|file| Path::new(file).iter().next() == Some(name.as_os_str()));
        // What waits to count in the old run must not count in the new one.
        let own = [MANIFEST, CLEANING, QUARANTINE, "dataset", rewrite::ASIDE, rewrite::PENDING];
        let is_own = own.iter().any(|own| name.as_os_str() == *own);
        if is_named || is_own {
            continue;
        }
        if new.join(&name).exists() {
            // Somebody was quicker; the older one stays where it is, and that is said.
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(old.join(&name), new.join(&name))?;
    }
    Ok(())
}

fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

pub(crate) fn io_error(path: &Path, action: &'static str, source: io::Error) -> RunError {
    RunError::Io { path: path.into(), action, source }
}

fn write_aside(
    folder: &Path,
    set: &Dataset,
    cleaning: &CleaningReport,
    about: &About,
) -> Result<(), RunError> {
    let dataset = folder.join("dataset");
    fs::create_dir_all(&dataset).map_err(|source| io_error(&dataset, "written", source))?;
    let bytes = parquet_bytes(&folder.join(EVENTS), &events_table(set))?;
    let path = folder.join(EVENTS);
    write_through(&path, &bytes).map_err(|source| io_error(&path, "written", source))?;
    let files = BTreeMap::from([(EVENTS.to_string(), entry(&bytes))]);
    write_beside_events(folder, set, set.digest(), files, cleaning, about)
}

/// Writes all but the events, which stand among `files` already, as may others; the manifest last.
pub(crate) fn write_beside_events(
    folder: &Path,
    set: &Dataset,
    digest: String,
    mut files: BTreeMap<String, FileEntry>,
    cleaning: &CleaningReport,
    about: &About,
) -> Result<(), RunError> {
    let mut put = |name: &str, bytes: Vec<u8>| -> Result<(), RunError> {
        let path = folder.join(name);
        write_through(&path, &bytes).map_err(|source| io_error(&path, "written", source))?;
        files.insert(name.to_string(), entry(&bytes));
        Ok(())
    };
    put(USERS, parquet_bytes(&folder.join(USERS), &users_table(set))?)?;
    put(VIDEOS, parquet_bytes(&folder.join(VIDEOS), &videos_table(set))?)?;
    put(LABELS, parquet_bytes(&folder.join(LABELS), &labels_table(set))?)?;
    extras::write(folder, set, &mut put)?;
    put(CLEANING, json_bytes(&folder.join(CLEANING), cleaning)?)?;
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        name: set.name.clone(),
        digest,
        order: set.order,
        relevance: about.relevance.clone(),
        recognised: about.recognised.clone(),
        notice: about.notice.clone(),
        command: about.command.clone(),
        seed: about.seed,
        files,
    };
    let path = folder.join(MANIFEST);
    write_through(&path, &json_bytes(&path, &manifest)?).map_err(|source| io_error(&path, "written", source))
}

/// Writes bytes down to the disk, so that a rename afterwards never shows a file without its content.
pub(crate) fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn entry(bytes: &[u8]) -> FileEntry {
    FileEntry { bytes: bytes.len() as u64, blake3: blake3::hash(bytes).to_hex().to_string() }
}

fn json_bytes<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, RunError> {
    serde_json::to_vec_pretty(value)
        .map_err(|error| RunError::Table { path: path.into(), reason: error.to_string() })
}

/// What a run's `manifest.json` says.
///
/// # Errors
/// When the folder is no run, or is of another version; also when a rewrite that ended early cannot be finished.
pub fn manifest(run: &Path) -> Result<Manifest, RunError> {
    rewrite::finish(run)?;
    read_manifest(run)
}

fn read_manifest(run: &Path) -> Result<Manifest, RunError> {
    let path = run.join(MANIFEST);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(RunError::NotARun { path: run.into() });
        }
        Err(source) => return Err(io_error(&path, "read", source)),
    };
    let unreadable =
        |error: serde_json::Error| RunError::Manifest { path: path.clone(), reason: error.to_string() };
    #[derive(Deserialize)]
    struct Version {
        format: u64,
    }
    // The version first: another version may have other keys.
    let Version { format } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if format != u64::from(FORMAT) {
        return Err(RunError::Format { path: run.into(), found: format });
    }
    serde_json::from_slice(&bytes).map_err(unreadable)
}

/// Opens a run: every file is checked against its digest.
///
/// # Errors
/// When the folder is no run, is of another version, or a file was changed.
pub fn open(run: &Path) -> Result<RunFolder, RunError> {
    let manifest = manifest(run)?;
    let (users, videos) = read_names(run, &manifest)?;
    let (events, parts) = read_events(run, file(run, &manifest, EVENTS)?, users.len(), videos.len())?;
    let cleaning = read_cleaning(run, &manifest)?;
    let mut dataset = Dataset::new(manifest.name.clone(), users, videos, events, manifest.order, parts);
    extras::read(run, &manifest.files, &mut dataset)?;
    extras::read_circumstances(run, &manifest.files, &mut dataset)?;
    if dataset.digest() != manifest.digest {
        let reason = "the dataset's digest is not the manifest's".into();
        return Err(RunError::Changed { path: run.into(), reason, verb: "import" });
    }
    Ok(RunFolder { manifest, dataset, cleaning })
}

/// A file of the import, once its digest was found to be the manifest's.
fn file(run: &Path, manifest: &Manifest, name: &str) -> Result<Vec<u8>, RunError> {
    let path = run.join(name);
    let missing = || RunError::Changed {
        path: path.clone(),
        reason: "the manifest does not name it".into(),
        verb: "import",
    };
    checked(&path, manifest.files.get(name).ok_or_else(missing)?, "import")
}

fn read_names(run: &Path, manifest: &Manifest) -> Result<(Users, Catalogue), RunError> {
    let (mut users, mut videos) = (Users::new(), Catalogue::new());
    read_labels(run, file(run, manifest, LABELS)?, &mut users, &mut videos)?;
    read_users(run, file(run, manifest, USERS)?, &mut users)?;
    read_videos(run, file(run, manifest, VIDEOS)?, &mut videos)?;
    Ok((users, videos))
}

fn read_cleaning(run: &Path, manifest: &Manifest) -> Result<CleaningReport, RunError> {
    serde_json::from_slice(&file(run, manifest, CLEANING)?)
        .map_err(|error| RunError::Manifest { path: run.join(CLEANING), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use upnext_data::{Action, Event, Events, Part};

    use super::*;

    fn set() -> Dataset {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        users.intern("ann/1");
        let second = users.intern("影");
        users.label(second, "age:18-24");
        for id in ["v1", "v 2", ""] {
            let row = videos.intern(id);
            videos.label(row, "genre:Drama");
            videos.label(row, &format!("tag:{id}"));
        }
        videos.video_mut(1).title = "A title".into();
        videos.video_mut(1).year = Some(1999);
        videos.video_mut(2).creator = Some(videos.creators.intern("maker"));
        for (user, video, value) in [(0, 1, Some(2.0)), (1, 0, None), (1, 2, Some(0.5))] {
            events.push(Event { user, video, action: Action::Watch, time: 5, value, ratio: value });
        }
        let parts = Some(vec![Part::Train, Part::Test, Part::Train]);
        Dataset::new("tiny", users, videos, events, Order::Timed, parts)
    }

    fn written() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/tiny");
        let about = About { relevance: "any".into(), seed: 3, ..About::default() };
        write(&path, &set(), &CleaningReport::default(), &about, false).unwrap();
        (folder, path)
    }

    #[test]
    fn a_run_comes_back_as_it_was_written() {
        let (_folder, path) = written();
        let run = open(&path).unwrap();
        assert_eq!(run.dataset.digest(), set().digest());
        assert_eq!(run.dataset.parts(), set().parts());
        assert_eq!(run.dataset.videos.videos()[2].creator, Some(0));
        assert_eq!((run.manifest.seed, run.manifest.relevance.as_str()), (3, "any"));
        assert_eq!(run.dataset.users.labels_of(1).len(), 1);
    }

    #[test]
    fn batches_hold_the_same_events_and_a_changed_file_is_named_before_the_first() {
        let (_folder, path) = written();
        let mut batches = event_batches(&path).unwrap();
        assert_eq!((batches.n_events(), batches.n_users(), batches.n_videos()), (3, 2, 3));
        let (events, parts) = batches.next().unwrap().unwrap();
        assert_eq!(parts.as_deref(), set().parts());
        assert!(events.iter().eq(set().events().iter()) && batches.next().is_none());
        let file = path.join(EVENTS);
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, &bytes).unwrap();
        let error = event_batches(&path).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("events.parquet") && error.contains("upnext import"), "{error}");
    }

    #[test]
    fn a_changed_file_is_named() {
        let (_folder, path) = written();
        let file = path.join(EVENTS);
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, &bytes).unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("events.parquet") && error.contains("upnext import"), "{error}");
        fs::remove_file(&file).unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("missing"));
    }

    #[test]
    fn a_run_of_another_version_is_refused() {
        let (_folder, path) = written();
        let file = path.join(MANIFEST);
        let text = fs::read_to_string(&file).unwrap().replace("\"format\": 1", "\"format\": 7");
        fs::write(&file, text).unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("format 7") && error.contains("reads 1"), "{error}");
    }

    #[test]
    fn an_older_run_gives_way_only_when_asked() {
        let (_folder, path) = written();
        let again = |replace| write(&path, &set(), &CleaningReport::default(), &About::default(), replace);
        assert!(matches!(again(false), Err(RunError::Exists { .. })));
        again(true).unwrap();
        assert!(open(&path).is_ok());
        let others: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(others.len(), 1, "nothing is left beside the run");
    }

    #[test]
    fn the_store_in_a_run_outlives_a_new_import() {
        let (_folder, path) = written();
        add_file(&path, "model.safetensors", b"old").unwrap();
        fs::write(path.join("store.sqlite"), "acknowledged").unwrap();
        write(&path, &set(), &CleaningReport::default(), &About::default(), true).unwrap();
        assert_eq!(fs::read_to_string(path.join("store.sqlite")).unwrap(), "acknowledged");
        assert!(!path.join("model.safetensors").exists(), "a model of the older run");
        assert!(open(&path).is_ok());
        // Not even while the new run is written is it anywhere else; one that cannot be written changes nothing.
        add_file(&path, "model.safetensors", b"newer").unwrap();
        let fails = &mut |aside: &Path| {
            fs::create_dir(aside).unwrap();
            assert_eq!(fs::read_to_string(path.join("store.sqlite")).unwrap(), "acknowledged");
            Err(RunError::NotARun { path: aside.into() })
        };
        assert!(matches!(make(&path, true, fails), Err(RunError::NotARun { .. })));
        assert_eq!(read_file(&path, "model.safetensors").unwrap().as_deref(), Some(&b"newer"[..]));
        let names = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!names.into_iter().any(|name| name.to_string_lossy().ends_with(".aside")), "nothing is left");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_of_a_run_is_the_same_folder_after_a_new_import() {
        use std::os::unix::fs::MetadataExt;
        let (_folder, path) = written();
        let number = || fs::metadata(&path).unwrap().ino();
        let before = number();
        write(&path, &set(), &CleaningReport::default(), &About::default(), true).unwrap();
        assert_eq!(number(), before, "who has the folder open would write into one that goes");
    }

    #[test]
    fn a_file_where_a_folder_should_be_is_named_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runs");
        fs::write(&file, "mine").unwrap();
        let path = file.join("tiny");
        let error = write(&path, &set(), &CleaningReport::default(), &About::default(), false).unwrap_err();
        assert!(error.to_string().contains("runs"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        assert!(matches!(open(&file), Err(RunError::NotARun { .. })));
    }

    #[test]
    fn an_added_file_is_checked_when_it_is_read() {
        let (_folder, path) = written();
        assert_eq!(read_file(&path, "report.json").unwrap(), None);
        add_file(&path, "report.json", b"{}").unwrap();
        assert_eq!(read_file(&path, "report.json").unwrap().as_deref(), Some(&b"{}"[..]));
        fs::write(path.join("report.json"), "[]").unwrap();
        assert!(matches!(read_file(&path, "report.json"), Err(RunError::Changed { .. })));
        for name in ["../x", "/etc/x", "", "manifest.json", "dataset/users.parquet"] {
            assert!(matches!(add_file(&path, name, b""), Err(RunError::Name { .. })), "{name}");
        }
        add_file(&path, "report.json", b"[1]").unwrap();
        assert_eq!(read_file(&path, "report.json").unwrap().as_deref(), Some(&b"[1]"[..]));
        assert!(open(&path).is_ok());
    }

    #[test]
    fn every_action_order_and_missing_value_comes_back_and_labels_keep_their_rows() {
        for order in [Order::Timed, Order::Sequence, Order::Unordered] {
            let mut set = set();
            // Labels in another order than that of the videos that carry them.
            set.videos.label(2, "genre:Zebra");
            set.videos.label(0, "genre:Ant");
            set.videos.label(0, "genre:Zebra");
            let events = Action::ALL.iter().enumerate().map(|(at, &action)| {
                let value = (at % 2 == 0).then_some(at as f32);
                let ratio = (at % 3 == 0).then_some(0.5);
                let time = if order == Order::Timed { at as i64 } else { 0 };
                Event { user: at as u32 % 2, video: at as u32 % 3, action, time, value, ratio }
            });
            let set = Dataset::new("all", set.users, set.videos, events.collect(), order, None);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run");
            write(&path, &set, &CleaningReport::default(), &About::default(), false).unwrap();
            let back = open(&path).unwrap().dataset;
            assert_eq!((back.order, back.parts()), (order, None));
            assert!(back.events().iter().eq(set.events().iter()));
            assert_eq!(back.videos.videos(), set.videos.videos());
            assert!(back.videos.labels.iter().eq(set.videos.labels.iter()));
        }
    }

    #[test]
    fn a_run_without_events_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        let set = Dataset::new("none", Users::new(), Catalogue::new(), Events::new(), Order::Timed, None);
        write(&path, &set, &CleaningReport::default(), &About::default(), false).unwrap();
        assert_eq!(open(&path).unwrap().dataset.digest(), set.digest());
    }

    #[test]
    fn every_changed_or_missing_file_is_named() {
        let (_folder, path) = written();
        for name in [USERS, VIDEOS, LABELS, EVENTS, CLEANING] {
            let file = path.join(name);
            let bytes = fs::read(&file).unwrap();
            let mut changed = bytes.clone();
            changed[bytes.len() / 2] ^= 1;
            for content in [&changed[..], &bytes[..bytes.len() / 2]] {
                fs::write(&file, content).unwrap();
                let error = open(&path).unwrap_err().to_string();
                assert!(error.contains(name) && error.contains("was changed"), "{error}");
            }
            fs::write(&file, bytes).unwrap();
        }
        let manifest = path.join(MANIFEST);
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, &text[..text.len() / 2]).unwrap();
        assert!(matches!(open(&path), Err(RunError::Manifest { .. })));
    }
}
