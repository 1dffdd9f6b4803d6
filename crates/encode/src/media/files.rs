//! Files of videos in a folder or a tar archive, by the names that say whose they are.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::EncodeError;

/// A folder or an archive that has been looked through.
#[derive(Debug)]
pub struct Files {
    from: PathBuf,
    archive: Option<File>,
    listed: Vec<Listed>,
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

    /// The name with its ending.
    pub fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Files that are looked at, at most.
const FILES_MAX: usize = 50_000_000;
/// Folders within folders, at most.
const DEPTH_MAX: usize = 16;

impl Files {
    /// Looks through a folder, and folders within it, or through an archive, in the order of paths. Hidden files are not
    /// looked at, and links are not followed out of the folder.
    ///
    /// # Errors
    /// When it cannot be read, or is neither.
    pub fn open(from: &Path) -> Result<Self, EncodeError> {
        let wrong = |reason: String| EncodeError::of(from.display(), reason);
        let about = std::fs::metadata(from).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let mut listed = Vec::new();
        let archive = if about.is_dir() {
            walk(from, Path::new(""), 0, &mut listed)
                .map_err(|error| wrong(format!("cannot be read: {error}")))?;
            None
        } else {
            let archive = File::open(from).map_err(|error| wrong(format!("cannot be read: {error}")))?;
            list_archive(&archive, &mut listed).map_err(|error| {
                wrong(format!(
                    "not a folder, and not an archive that can be read ({error}); expected a folder or a .tar"
                ))
            })?;
            Some(archive)
        };
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { from: from.to_path_buf(), archive, listed })
    }

    /// All files, in the order of paths.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// All of a file.
    ///
    /// # Errors
    /// Says what is wrong with it, for a list of failures.
    pub fn read(&self, at: usize, bytes_max: u64) -> Result<Vec<u8>, String> {
        let file = &self.listed[at];
        if file.size > bytes_max {
            return Err(format!("{} bytes; expected at most {bytes_max} (file_bytes_max)", file.size));
        }
        let Some(archive) = &self.archive else {
            let mut bytes = Vec::new();
            let opened = File::open(self.from.join(&file.path)).map_err(|error| error.to_string())?;
            // It may have grown since it was listed.
            opened.take(bytes_max).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            return Ok(bytes);
        };
        let mut bytes = vec![0; file.size as usize];
        archive
            .read_exact_at(&mut bytes, file.begins)
            .map_err(|error| format!("the archive ends within it: {error}"))?;
        Ok(bytes)
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

fn walk(root: &Path, within: &Path, depth: usize, listed: &mut Vec<Listed>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(root.join(within))? {
        let entry = entry?;
        let path = within.join(entry.file_name());
        if entry.file_name().as_encoded_bytes().starts_with(b".") || listed.len() >= FILES_MAX {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEPTH_MAX {
            walk(root, &path, depth + 1, listed)?;
        } else if kind.is_file() {
            listed.push(Listed { path, size: entry.metadata()?.len(), begins: 0 });
        }
    }
    Ok(())
}

fn list_archive(archive: &File, listed: &mut Vec<Listed>) -> std::io::Result<()> {
    for entry in tar::Archive::new(archive).entries_with_seek()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if entry.header().entry_type().is_file() && !hidden && listed.len() < FILES_MAX {
            listed.push(Listed { path, size: entry.size(), begins: entry.raw_file_position() });
        }
    }
    Ok(())
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
            assert_eq!(files.read(0, 10).unwrap(), b"two");
            assert!(files.read(0, 2).unwrap_err().contains("3 bytes"));
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
}
