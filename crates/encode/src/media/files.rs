//! Files of videos in a folder or a tar archive, by the names that say whose they are.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::EncodeError;

/// A folder or an archive that has been looked through.
#[derive(Debug)]
pub struct Files {
    from: PathBuf,
    archive: Option<File>,
    listed: Vec<Listed>,
    skipped: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path within the folder or archive.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Where it begins in the archive.
    begins: u64,
}

impl Listed {
    /// The name without folders and ending: the id of a video, mostly.
    pub fn stem(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What stands behind the last dot of the name, in small letters.
    pub fn ending(&self) -> String {
        self.path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
    }

    /// The name with its ending.
    pub fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Files that are looked at, at most.
const FILES_MAX: usize = 50_000_000;
/// Folders within folders, at most.
const DEPTH_MAX: usize = 16;
/// Whatever it leads to may lie outside.
const LINK: &str = "a link, which is not followed: put the file itself there";

impl Files {
    /// Looks through a folder, and folders within it, or through an archive, in the order of paths. Hidden files are not
    /// looked at; links and folders that cannot be read are [`skipped`](Self::skipped).
    ///
    /// # Errors
    /// When it cannot be read, or is neither.
    pub fn open(from: &Path) -> Result<Self, EncodeError> {
        let wrong = |reason: String| EncodeError::of(from.display(), reason);
        let unreadable = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
        let about = std::fs::metadata(from).map_err(unreadable)?;
        let mut files =
            Self { from: from.to_path_buf(), archive: None, listed: Vec::new(), skipped: Vec::new() };
        if about.is_dir() {
            files.walk(Path::new(""), 0).map_err(unreadable)?;
        } else {
            let archive = File::open(from).map_err(unreadable)?;
            files.list_archive(&archive).map_err(|error| {
                wrong(format!(
                    "not a folder, and not an archive that can be read ({error}); expected a folder or a .tar"
                ))
            })?;
            files.archive = Some(archive);
        }
        files.listed.sort_by(|a, b| a.path.cmp(&b.path));
        files.skipped.sort();
        Ok(files)
    }

    fn walk(&mut self, within: &Path, depth: usize) -> std::io::Result<()> {
        for entry in std::fs::read_dir(self.from.join(within))? {
            let entry = entry?;
            let path = within.join(entry.file_name());
            if entry.file_name().as_encoded_bytes().starts_with(b".") || self.is_full() {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() && depth == DEPTH_MAX {
                self.skip(
                    &path,
                    &format!("a folder within {DEPTH_MAX} others, and no more are looked through"),
                );
            } else if kind.is_dir() {
                // What lies beside it is worth having.
                if let Err(error) = self.walk(&path, depth + 1) {
                    self.skip(&path, &format!("cannot be read: {error}"));
                }
            } else if kind.is_symlink() {
                self.skip(&path, LINK);
            } else if kind.is_file() {
                match entry.metadata() {
                    Ok(about) => self.listed.push(Listed { path, size: about.len(), begins: 0 }),
                    Err(error) => self.skip(&path, &format!("cannot be read: {error}")),
                }
            }
        }
        Ok(())
    }

    fn list_archive(&mut self, archive: &File) -> std::io::Result<()> {
        for entry in tar::Archive::new(archive).entries_with_seek()? {
            let entry = match entry {
                Ok(entry) => entry,
                // What stands before that is whole.
                Err(error) if !self.listed.is_empty() => {
                    self.skip(Path::new("the rest of the archive"), &format!("cannot be read: {error}"));
                    break;
                }
                Err(error) => return Err(error),
            };
            let path = entry.path()?.into_owned();
            let kind = entry.header().entry_type();
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || self.is_full() {
                continue;
            }
            if kind.is_symlink() || kind.is_hard_link() {
                self.skip(&path, LINK);
            } else if kind.is_file() {
                self.listed.push(Listed { path, size: entry.size(), begins: entry.raw_file_position() });
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.listed.len() + self.skipped.len() >= FILES_MAX
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.skipped.push(format!("{}: {why}", path.display()));
    }

    /// What was not looked at, and why: links, folders that cannot be read.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// All files, in the order of paths.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// All of a file.
    ///
    /// # Errors
    /// Says what is wrong with it, for a list of failures.
    pub fn read(&self, at: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.reader(at)?.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// A file from its beginning on, as large as it was listed: it may have grown since.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn reader(&self, at: usize) -> Result<Box<dyn Read + '_>, String> {
        let file = &self.listed[at];
        Ok(match &self.archive {
            Some(archive) => Box::new(Part { archive, at: file.begins, ends: file.begins + file.size }),
            None => {
                let opened = File::open(self.from.join(&file.path)).map_err(|error| error.to_string())?;
                Box::new(opened.take(file.size))
            }
        })
    }

    /// Where a file lies, if it lies in a folder.
    pub fn path(&self, at: usize) -> Option<PathBuf> {
        self.archive.is_none().then(|| self.from.join(&self.listed[at].path))
    }

    /// The first file of each name, by what `name` makes of it; and those whose name was taken.
    pub fn by_name(&self, name: impl Fn(&Listed) -> String) -> (HashMap<String, usize>, Vec<usize>) {
        let (mut first, mut more) = (HashMap::new(), Vec::new());
        for (at, file) in self.listed.iter().enumerate() {
            match first.entry(name(file)) {
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(at);
                }
                std::collections::hash_map::Entry::Occupied(_) => more.push(at),
            }
        }
        (first, more)
    }
}

/// A file within an archive.
struct Part<'a> {
    archive: &'a File,
    at: u64,
    ends: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.ends - self.at).unwrap_or(usize::MAX).min(to.len());
        let n = self.archive.read_at(&mut to[..most], self.at)?;
        if n == 0 && most > 0 {
            return Err(std::io::Error::new(ErrorKind::UnexpectedEof, "the archive ends within it"));
        }
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_reads_as_its_folder_does() {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().join("media");
        std::fs::create_dir_all(within.join("more")).unwrap();
        for (name, content) in [("b.jpg", "two"), ("more/a.png", "one"), (".hidden", "no"), ("b.png", "late")]
        {
            std::fs::write(within.join(name), content).unwrap();
        }
        let tar_path = folder.path().join("media.tar");
        let mut tar = tar::Builder::new(File::create(&tar_path).unwrap());
        tar.append_dir_all("", &within).unwrap();
        tar.finish().unwrap();
        for from in [&within, &tar_path] {
            let files = Files::open(from).unwrap();
            let names: Vec<String> = files.listed().iter().map(Listed::file_name).collect();
            assert_eq!(names, ["b.jpg", "b.png", "a.png"], "{from:?}");
            assert_eq!(files.read(0).unwrap(), b"two");
            let (first, more) = files.by_name(Listed::stem);
            assert_eq!((first["a"], first["b"], more), (2, 0, vec![1]));
        }
        assert!(
            Files::open(&within.join("b.jpg"))
                .unwrap_err()
                .to_string()
                .contains("expected a folder or a .tar")
        );
        assert!(Files::open(&within.join("none")).unwrap_err().to_string().contains("cannot be read"));
    }
    #[test]
    fn what_is_skipped_is_named_and_the_rest_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let media = folder.path().join("media");
        std::fs::create_dir(&media).unwrap();
        std::fs::write(media.join("a.png"), "one").unwrap();
        std::os::unix::fs::symlink("a.png", media.join("b.png")).unwrap();
        let deep: PathBuf = (0..=DEPTH_MAX).map(|_| "deep").collect();
        std::fs::create_dir_all(media.join(&deep)).unwrap();
        // Folders whose path is longer than a system call takes, whoever asks.
        let long = || (0..8).map(|at| format!("{at:0>255}")).collect::<PathBuf>();
        for name in ["media/long", "more"] {
            std::fs::create_dir_all(folder.path().join(name).join(long())).unwrap();
        }
        let first = folder.path().join("more").join(format!("{:0>255}", 0));
        std::fs::rename(first, media.join("long").join(long()).join("within")).unwrap();
        let tar_path = folder.path().join("media.tar");
        let mut tar = tar::Builder::new(File::create(&tar_path).unwrap());
        tar.follow_symlinks(false);
        tar.append_path_with_name(media.join("a.png"), "a.png").unwrap();
        tar.append_path_with_name(media.join("b.png"), "b.png").unwrap();
        tar.finish().unwrap();
        drop(tar);
        let whole = std::fs::read(&tar_path).unwrap();
        let torn = folder.path().join("torn.tar");
        std::fs::write(&torn, [&whole[..1024], &[b'x'; 512]].concat()).unwrap();
        for (from, expected) in [
            (&media, &["b.png: a link", "deep/deep", "long/"][..]),
            (&tar_path, &["b.png: a link"]),
            (&torn, &["the rest of the archive: cannot be read"]),
        ] {
            let files = Files::open(from).unwrap();
            assert_eq!(files.listed().len(), 1, "{from:?}");
            assert_eq!(files.read(0).unwrap(), b"one");
            let skipped = files.skipped();
            assert_eq!(skipped.len(), expected.len(), "{from:?}: {skipped:?}");
            for (found, expected) in skipped.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found}, expected {expected}");
            }
        }
        // An archive that is cut within a file.
        std::fs::write(&torn, &whole[..514]).unwrap();
        assert_eq!(Files::open(&torn).unwrap().read(0).unwrap_err(), "the archive ends within it");
    }
}
