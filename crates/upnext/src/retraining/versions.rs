//! The versions of a run: whole run folders beside each other, of which one is served.
//!
//! `RUN/versions/000001` and so on are run folders; `RUN/versions/current` has the number of the one that is served. The run
//! itself is number 0, and is never removed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const FOLDER: &str = "versions";
const CURRENT: &str = "current";

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
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
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
}
