//! The versions of a run: whole run folders beside each other, of which one is served.
//!
//! `RUN/versions/000001` and so on are run folders; `RUN/versions/current` has the number of the one that is served. The run
//! itself is number 0, and is never removed.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const FOLDER: &str = "versions";
const CURRENT: &str = "current";
const LOCK: &str = ".lock";
const MAKING: &str = ".making";

/// The versions of one run.
#[derive(Clone, Debug)]
pub(crate) struct Versions {
    run: PathBuf,
}

impl Versions {
    /// Of the run in a folder.
    pub(crate) fn of(run: &Path) -> Self {
        Self { run: run.into() }
    }

    /// Where a version lies.
    pub(crate) fn folder(&self, number: u32) -> PathBuf {
        match number {
            0 => self.run.clone(),
            number => self.run.join(FOLDER).join(format!("{number:06}")),
        }
    }

    /// The number of the version that is served.
    ///
    /// # Errors
    /// When the pointer cannot be read, or names a version that is not there.
    pub(crate) fn current(&self) -> Result<u32> {
        let file = self.run.join(FOLDER).join(CURRENT);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            // Whether that is a run at all is found when it is opened.
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(0);
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{}: cannot be read", file.display()));
            }
        };
        let number: u32 = text.trim().parse().with_context(|| {
            format!("{}: expected a number; `upnext rollback` writes it anew", file.display())
        })?;
        match number == 0 || self.folder(number).is_dir() {
            true => Ok(number),
            false => anyhow::bail!(
                "{}: version {number} is not there; `upnext rollback` goes back to one that is",
                file.display()
            ),
        }
    }

    /// All versions that are there, ascending; the run itself first.
    pub(crate) fn all(&self) -> Vec<u32> {
        let entries = std::fs::read_dir(self.run.join(FOLDER)).into_iter().flatten().flatten();
        let number = |name: std::ffi::OsString| name.to_str()?.parse::<u32>().ok().filter(|&n| n > 0);
        let mut all: Vec<u32> = entries.filter_map(|entry| number(entry.file_name())).collect();
        all.push(0);
        all.sort_unstable();
        all
    }

    /// A number that no version has or had while newer ones are there.
    pub(crate) fn next(&self) -> u32 {
        self.all().last().map_or(1, |last| last + 1)
    }

    /// The newest version before one.
    pub(crate) fn before(&self, number: u32) -> Option<u32> {
        self.all().into_iter().rfind(|&other| other < number)
    }

    /// Lets a version be served: on disk when this returns, and never half written.
    ///
    /// # Errors
    /// When the version is not there or the pointer cannot be written.
    pub(crate) fn serve(&self, number: u32) -> Result<()> {
        anyhow::ensure!(
            number == 0 || self.folder(number).is_dir(),
            "{}: there is no such version",
            self.folder(number).display()
        );
        let folder = self.run.join(FOLDER);
        let (file, aside) = (folder.join(CURRENT), folder.join(format!(".{CURRENT}.{}", std::process::id())));
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&aside, format!("{number}\n"))?;
            std::fs::File::open(&aside)?.sync_all()?;
            std::fs::rename(&aside, &file)?;
            std::fs::File::open(&folder)?.sync_all()
        };
        write().with_context(|| format!("{}: cannot be written", file.display()))
    }

    /// Lets this process alone make or erase versions, for as long as the file is held, and removes what an earlier one left half made.
    ///
    /// # Errors
    /// When another process is at it, or the folder cannot be written.
    pub(crate) fn alone(&self) -> Result<File> {
        let folder = self.run.join(FOLDER);
        std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        let file = folder.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
        let lock = lock.with_context(|| format!("{}: cannot be written", file.display()))?;
        lock.try_lock().with_context(|| {
            format!("{}: another process makes or erases versions of this run at the moment", file.display())
        })?;
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let is_left = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if is_left && path.is_dir() {
                std::fs::remove_dir_all(&path)
                    .with_context(|| format!("{}: cannot be removed", path.display()))?;
            }
        }
        Ok(lock)
    }

    /// Where a version is made, until it has passed.
    pub(crate) fn making(&self) -> PathBuf {
        self.run.join(FOLDER).join(MAKING)
    }

    /// Gives what was made a number, on disk when this returns.
    ///
    /// # Errors
    /// When the folder cannot be renamed.
    pub(crate) fn made(&self, number: u32) -> Result<()> {
        let (folder, parent) = (self.folder(number), self.run.join(FOLDER));
        let rename = || {
            std::fs::rename(self.making(), &folder)?;
            std::fs::File::open(&parent)?.sync_all()
        };
        rename().with_context(|| format!("{}: cannot be written", folder.display()))
    }

    /// Removes the oldest versions until at most `n` are left beside the run itself; never the one that is served, nor the one
    /// before it, which a rollback needs. Returns what was removed.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub(crate) fn keep(&self, n: usize) -> Result<Vec<u32>> {
        let current = self.current()?;
        let spared = [Some(current), self.before(current)];
        let all: Vec<u32> = self.all().into_iter().filter(|&number| number > 0).collect();
        let mut removed = Vec::new();
        for &number in &all {
            if all.len() - removed.len() <= n {
                break;
            }
            if spared.contains(&Some(number)) {
                continue;
            }
            let folder = self.folder(number);
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("{}: cannot be removed", folder.display()))?;
            removed.push(number);
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version_is_served_the_oldest_go_and_the_way_back_stays() {
        let folder = tempfile::tempdir().unwrap();
        let versions = Versions::of(folder.path());
        assert_eq!((versions.current().unwrap(), versions.next(), versions.before(0)), (0, 1, None));
        for number in 1..=5 {
            assert_eq!(versions.next(), number);
            std::fs::create_dir_all(versions.folder(number)).unwrap();
            versions.serve(number).unwrap();
        }
        assert_eq!(versions.keep(3).unwrap(), [1, 2]);
        assert_eq!((versions.all(), versions.current().unwrap()), (vec![0, 3, 4, 5], 5));
        versions.serve(4).unwrap();
        assert_eq!((versions.before(4), versions.next()), (Some(3), 6));
        assert_eq!(versions.keep(1).unwrap(), [5], "the one before the served one is spared");
        assert!(versions.serve(9).is_err());
        assert_eq!(versions.current().unwrap(), 4);
        std::fs::remove_dir_all(versions.folder(4)).unwrap();
        assert!(versions.current().unwrap_err().to_string().contains("rollback"));
        versions.serve(0).unwrap();
        assert_eq!(versions.current().unwrap(), 0);
    }

    #[test]
    fn what_was_left_half_made_is_no_version_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let versions = Versions::of(folder.path());
        std::fs::create_dir_all(versions.making().join("dataset")).unwrap();
        std::fs::create_dir_all(folder.path().join("versions/..making.77")).unwrap();
        assert_eq!((versions.all(), versions.next()), (vec![0], 1));
        let lock = versions.alone().unwrap();
        assert!(!versions.making().exists() && !folder.path().join("versions/..making.77").exists());
        assert!(versions.alone().unwrap_err().to_string().contains("another process"));
        drop(lock);
        std::fs::create_dir_all(versions.making()).unwrap();
        versions.made(1).unwrap();
        assert_eq!((versions.all(), versions.making().exists()), (vec![0, 1], false));
        versions.alone().unwrap();
    }
}
