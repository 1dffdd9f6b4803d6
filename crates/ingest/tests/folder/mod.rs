//! A folder of small files, and how they are read.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use upnext_ingest::{Imported, IngestError, Options, read};

/// A folder that is gone when this is dropped.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            folder.add(name, content.as_bytes());
        }
        folder
    }

    pub(crate) fn add(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Reads some of the files.
    pub(crate) fn import(&self, names: &[&str], options: &Options) -> Result<Imported, IngestError> {
        read(&names.iter().map(|name| self.path(name)).collect::<Vec<_>>(), options, &|_| ())
    }

    /// Reads the folder.
    pub(crate) fn whole(&self, options: &Options) -> Result<Imported, IngestError> {
        read(&[self.0.path().to_path_buf()], options, &|_| ())
    }
}

#[track_caller]
pub(crate) fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}
