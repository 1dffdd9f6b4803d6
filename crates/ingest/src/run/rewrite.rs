//! Another set in a run, where it lies: a kill at any moment leaves the run as it was or as it should be, and what is not the run's own,
//! a store for example, is never touched.
//!
//! The new files are written into `rewrite.aside` in the run. Renamed to `rewrite.pending`, it is decided that they count: whoever
//! reads the manifest next moves what is still there into its place, the manifest last. Relies on renames that happen whole.

use std::fs;
use std::io;
use std::path::Path;

use upnext_data::Dataset;

use super::files::{checked, inside};
use super::{
    About, MANIFEST, Manifest, QUARANTINE, RunError, io_error, json_bytes, open, read_manifest, write_aside,
    write_through,
};

/// New files that do not count yet; another rewrite begins it anew.
pub(super) const ASIDE: &str = "rewrite.aside";
/// New files that count.
pub(super) const PENDING: &str = "rewrite.pending";

/// Heard before each step that changes something; an error is as a kill there.
type Step<'a> = &'a mut dyn FnMut() -> Result<(), RunError>;

/// Puts another set into a run. Files that were added to the run stay where `keeps` says so of their path; the others of the manifest
/// are deleted, as are rows that were dropped when it was imported. If it ends early, the next who opens the run finishes what
/// was decided, and the same call completes it.
///
/// # Errors
/// When the folder is no run, a file that stays is not the one that was written, or it cannot be written.
pub fn rewrite(run: &Path, set: &Dataset, keeps: &dyn Fn(&str) -> bool) -> Result<(), RunError> {
    let done = rewrite_by(run, set, keeps, &mut || Ok(()));
    if done.is_err() {
        // What does not count is of no use; that it may stay behind does not hide the cause.
        let _ = fs::remove_dir_all(run.join(ASIDE));
    }
    done
}

fn rewrite_by(
    run: &Path,
    set: &Dataset,
    keeps: &dyn Fn(&str) -> bool,
    step: Step<'_>,
) -> Result<(), RunError> {
    let old = open(run)?;
    let Manifest { relevance, notice, recognised, command, seed, files, .. } = old.manifest;
    let about = About { relevance, notice, recognised, command, seed };
    let aside = run.join(ASIDE);
    step()?;
    removed(&aside, fs::remove_dir_all(&aside))?;
    step()?;
    write_aside(&aside, set, &old.cleaning, &about)?;
    let mut written = read_manifest(&aside)?;
    for (name, expected) in files.iter().filter(|(name, _)| keeps(name)) {
        if !written.files.contains_key(name) {
            checked(&inside(run, name)?, expected, "import")?;
            written.files.insert(name.clone(), expected.clone());
        }
    }
    step()?;
    let path = aside.join(MANIFEST);
    write_through(&path, &json_bytes(&path, &written)?)
        .map_err(|source| io_error(&path, "written", source))?;
    decide(run, &aside, step)
}

/// Puts the run that `fill` writes in the place of another, file by file: nothing else in the folder moves, so a store that lies there, in use or
/// not, is where it was whenever this ends.
///
/// # Errors
/// Those of `fill`, or when the folder cannot be written; then the older run is there.
pub(super) fn replace(
    run: &Path,
    fill: &mut dyn FnMut(&Path) -> Result<(), RunError>,
) -> Result<(), RunError> {
    // Two at once write beside each other.
    let aside = run.join(format!("rewrite.{}.aside", std::process::id()));
    let done = removed(&aside, fs::remove_dir_all(&aside))
        .and_then(|()| fill(&aside))
        .and_then(|()| decide(run, &aside, &mut || Ok(())));
    if done.is_err() {
        // As above.
        let _ = fs::remove_dir_all(&aside);
    }
    done
}

/// Lets what lies aside count, and puts it in its place.
fn decide(run: &Path, aside: &Path, step: Step<'_>) -> Result<(), RunError> {
    let entries = fs::read_dir(aside).map_err(|source| io_error(aside, "read", source))?;
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        sync(&path)?;
    }
    sync(aside)?;
    step()?;
    let pending = run.join(PENDING);
    fs::rename(aside, &pending).map_err(|source| io_error(&pending, "written", source))?;
    sync(run)?;
    finish_by(run, step)
}

/// Finishes what was decided, if something was.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn finish(run: &Path) -> Result<(), RunError> {
    finish_by(run, &mut || Ok(()))
}

fn finish_by(run: &Path, step: Step<'_>) -> Result<(), RunError> {
    let pending = run.join(PENDING);
    if !pending.is_dir() {
        return Ok(());
    }
    match read_manifest(&pending) {
        Ok(new) => put_in_place(run, &pending, &new, step)?,
        // The manifest is the last that leaves: without it, all is in its place.
        Err(RunError::NotARun { .. }) => {}
        Err(error) => return Err(error),
    }
    step()?;
    removed(&pending, fs::remove_dir_all(&pending))
}

fn put_in_place(run: &Path, pending: &Path, new: &Manifest, step: Step<'_>) -> Result<(), RunError> {
    let old = read_manifest(run)?;
    let named = old.files.keys().map(String::as_str).chain([QUARANTINE]);
    for name in named.filter(|&name| !new.files.contains_key(name)) {
        step()?;
        let path = inside(run, name)?;
        removed(&path, fs::remove_file(&path))?;
    }
    let mut folders = vec![run.to_path_buf()];
    for name in new.files.keys() {
        step()?;
        let (from, to) = (inside(pending, name)?, inside(run, name)?);
        let folder = to.parent().unwrap_or(run);
        fs::create_dir_all(folder).map_err(|source| io_error(folder, "written", source))?;
        if put(&from, &to)? && !folders.iter().any(|known| known == folder) {
            folders.push(folder.to_path_buf());
        }
    }
    folders.iter().try_for_each(|folder| sync(folder))?;
    step()?;
    put(&pending.join(MANIFEST), &run.join(MANIFEST))?;
    sync(run)
}

/// Whether it was still to be moved.
fn put(from: &Path, to: &Path) -> Result<bool, RunError> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        // It stays where it is, or was moved before the kill, or by another reader.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(io_error(to, "written", source)),
    }
}

/// What is not there need not be removed.
fn removed(path: &Path, done: io::Result<()>) -> Result<(), RunError> {
    match done {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error(path, "written", source)),
        _ => Ok(()),
    }
}

/// Brings a folder's names down to the disk.
fn sync(folder: &Path) -> Result<(), RunError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| io_error(folder, "written", source))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use upnext_data::{Action, Catalogue, Event, Events, Order, Users};

    use super::super::{add_file, write};
    use super::*;
    use crate::CleaningReport;

    /// Everybody's set, or the one without `bob`.
    fn set(has_bob: bool) -> Dataset {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        users.intern("ann");
        users.intern(if has_bob { "bob" } else { "forgotten:1" });
        videos.intern("v");
        for user in 0..1 + u32::from(has_bob) {
            events.push(Event { user, video: 0, action: Action::Watch, time: 5, value: None, ratio: None });
        }
        Dataset::new("tiny", users, videos, events, Order::Timed, None)
    }

    fn keeps(name: &str) -> bool {
        name.starts_with("embeddings/")
    }

    fn filled() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        write(&run, &set(true), &CleaningReport::default(), &About::default(), false).unwrap();
        add_file(&run, "embeddings/title.f32", b"of videos").unwrap();
        add_file(&run, "model.safetensors", b"fitted with bob").unwrap();
        fs::write(run.join(QUARANTINE), "a row of bob").unwrap();
        fs::write(run.join("store.sqlite"), "acknowledged").unwrap();
        (folder, run)
    }

    /// Every file below, with its content.
    fn files(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files(&path, found),
                false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
            }
        }
    }

    fn names(run: &Path) -> Vec<String> {
        let mut found = BTreeMap::new();
        files(run, &mut found);
        found.keys().map(|path| path.strip_prefix(run).unwrap().display().to_string()).collect()
    }

    /// Lets `n` steps happen.
    fn killed_after(mut n: usize) -> impl FnMut() -> Result<(), RunError> {
        move || {
            n = n.checked_sub(1).ok_or_else(|| RunError::Name { name: "killed".into() })?;
            Ok(())
        }
    }

    #[test]
    fn a_kill_after_any_step_leaves_the_old_run_or_the_new_one_and_the_store_where_it_is() {
        let (_folder, run) = filled();
        rewrite(&run, &set(false), &keeps).unwrap();
        let whole = names(&run);
        let left = |name: &str| whole.iter().any(|one| one == name);
        assert!(left("store.sqlite") && left("embeddings/title.f32") && left("dataset/events.parquet"));
        assert!(!left("model.safetensors") && !left(QUARANTINE), "{whole:?}");

        let (old, new) = (set(true).digest(), set(false).digest());
        let (mut n_old, mut n_new) = (0, 0);
        for first in 0.. {
            let (_folder, run) = filled();
            let stays = || fs::read_to_string(run.join("store.sqlite")).unwrap() == "acknowledged";
            if rewrite_by(&run, &set(false), &keeps, &mut killed_after(first)).is_ok() {
                break;
            }
            assert!(stays(), "after {first} steps");
            // Whoever finishes it may be killed as well.
            let _ = finish_by(&run, &mut killed_after(first % 5));
            assert!(stays(), "after {first} steps");
            let found = open(&run).unwrap().dataset.digest();
            assert!(found == old || found == new, "after {first} steps");
            n_old += usize::from(found == old);
            n_new += usize::from(found == new);
            rewrite(&run, &set(false), &keeps).unwrap();
            assert_eq!(open(&run).unwrap().dataset.digest(), new);
            assert_eq!(names(&run), whole, "after {first} steps");
            assert!(stays());
        }
        assert!(n_old > 2 && n_new > 6, "{n_old} and {n_new}");
    }

    #[test]
    fn a_new_import_over_a_run_that_waits_to_be_finished_is_not_overwritten_by_it() {
        let (_folder, run) = filled();
        // Four steps lead to the decision.
        rewrite_by(&run, &set(false), &keeps, &mut killed_after(4)).unwrap_err();
        assert!(run.join(PENDING).is_dir());
        write(&run, &set(true), &CleaningReport::default(), &About::default(), true).unwrap();
        assert_eq!(open(&run).unwrap().dataset.digest(), set(true).digest());
        assert_eq!(fs::read_to_string(run.join("store.sqlite")).unwrap(), "acknowledged");
    }

    #[test]
    fn a_file_that_should_stay_but_was_changed_is_named_and_nothing_is_replaced() {
        let (_folder, run) = filled();
        fs::write(run.join("embeddings/title.f32"), "another").unwrap();
        let before = names(&run);
        let error = rewrite(&run, &set(false), &keeps).unwrap_err().to_string();
        assert!(error.contains("title.f32") && error.contains("was changed"), "{error}");
        assert_eq!(names(&run), before);
        assert_eq!(open(&run).unwrap().dataset.digest(), set(true).digest());
    }
}
