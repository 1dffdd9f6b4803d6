//! What administrators did, one JSON object a line: when, by which key, which act, and a digest of what it was about.
//!
//! No secret and no person stands in it. The digest is keyed by a file beside the log, so that whoever has both can
//! check whether an act was about this user, and whoever has the log alone cannot try all names.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::keys::{hex, owned};
use crate::{ServeError, moment};

/// An append-only log.
pub(crate) struct Audit {
    file: Mutex<File>,
    key: [u8; 32],
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
    act: &'a str,
    digest: String,
}

impl Audit {
    /// Opens a log, which is made where it is missing, and the key of its digests beside it.
    pub(crate) fn open(path: &Path) -> Result<Self, ServeError> {
        let failed = |error: std::io::Error| ServeError::Audit {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let file = owned(fs::OpenOptions::new().append(true).create(true)).open(path).map_err(failed)?;
        let key = key_beside(&path.with_extension("key")).map_err(failed)?;
        Ok(Self { file: Mutex::new(file), key })
    }

    /// Writes a line, and returns when it is on disk.
    pub(crate) fn write(&self, key: &str, tenant: &str, act: &str, about: &[&[u8]]) -> std::io::Result<()> {
        let time = moment::written(Some(jiff::Timestamp::now().as_millisecond()));
        let mut line = serde_json::to_vec(&Line { time, key, tenant, act, digest: self.digest(about) })?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)?;
        file.sync_data()
    }

    fn digest(&self, about: &[&[u8]]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in about {
            // The length first: parts cannot run into each other.
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hex(hasher.finalize().as_bytes())
    }
}

fn key_beside(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut key = [0; 32];
    match File::open(path) {
        Ok(mut file) => file.read_exact(&mut key)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            getrandom::fill(&mut key).map_err(std::io::Error::other)?;
            let mut file = owned(fs::OpenOptions::new().write(true).create_new(true)).open(path)?;
            file.write_all(&key)?;
            file.sync_all()?;
        }
        Err(error) => return Err(error),
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_outlast_the_process_and_digests_can_be_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let about: [&[u8]; 2] = [b"/api/user/ann", b""];
        for _ in 0..2 {
            let audit = Audit::open(&path).unwrap();
            audit.write("k1", "films", "DELETE /api/user/{id}", &about).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["digest"]), (2, &lines[1]["digest"]));
        assert_eq!((&lines[0]["key"], &lines[0]["tenant"]), (&"k1".into(), &"films".into()));
        assert!(!text.contains("ann"));
        let audit = Audit::open(&path).unwrap();
        assert_ne!(audit.digest(&about), audit.digest(&[b"/api/user/an", b"n"]));
        let elsewhere = Audit::open(&folder.path().join("other.jsonl")).unwrap();
        assert_ne!(elsewhere.digest(&about), audit.digest(&about), "another log has another key");
    }
}
