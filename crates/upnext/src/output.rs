//! Results go to standard output and to files, whole or not at all.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Prints a line or a block. A reader that has had enough, as `head` does, is no error.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("standard output cannot be written"),
    }
}

/// Of a name or a reason that files of others may have brought: without line breaks and control characters, and not long.
pub(crate) fn one_line(text: &str) -> String {
    const BYTES_MAX: usize = 1_024;
    upnext_encode::cleaned(text, BYTES_MAX).unwrap_or_default()
}

/// Writes a file aside and renames it, so that no half-written one is left.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let name =
        path.file_name().with_context(|| format!("{}: expected the name of a file", path.display()))?;
    let aside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    std::fs::write(&aside, bytes)
        .and_then(|()| std::fs::rename(&aside, path))
        .inspect_err(|_| drop(std::fs::remove_file(&aside)))
        .with_context(|| {
            format!("{} cannot be written: check that its folder exists and is writable", path.display())
        })
}

/// Where caches of a user lie, of one kind.
pub(crate) fn usual_cache(kind: &str) -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))?;
    Some(caches.join("upnext").join(kind))
}
