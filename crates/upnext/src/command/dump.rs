//! `upnext dump` and `upnext restore`: everything a store knows, as lines of JSON, and back.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use upnext_store::{Counts, Sqlite};

use crate::config::Config;
use crate::stores::Place;
use crate::{output, progress};

/// Arguments of `dump`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext dump runs/mine --out backup.jsonl\nA service may be writing meanwhile: the dump is of one moment."
)]
pub(crate) struct DumpArgs {
    /// The run folder, or the file of a store
    run: PathBuf,
    /// The file to make; one that is there is replaced when the new one is whole
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Arguments of `restore`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext restore runs/mine --from backup.jsonl\nStop the service first: it has the store. All of the dump is taken or nothing."
)]
pub(crate) struct RestoreArgs {
    /// The run folder, or the file of a store, which is made if it is missing
    run: PathBuf,
    /// The dump
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Into a store that holds something already: rows of the dump replace those of their key
    #[arg(long)]
    merge: bool,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// The file of a store: itself, or what lies in a run folder.
///
/// # Errors
/// Where the store is a database, which has tools of its own for this.
pub(crate) fn file_of(path: &Path, config: &Config) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.into());
    }
    match Place::of(None, &config.store, path) {
        Place::File(file) => Ok(file),
        Place::Database(_) => {
            bail!("the store is a database: use its own tools, such as pg_dump and amcheck")
        }
    }
}

fn print(what: &str, file: &Path, counts: Counts, json: bool) -> Result<()> {
    let Counts { users, videos, feedback } = counts;
    if json {
        let file = file.to_string_lossy();
        let said = serde_json::json!({"file": file, "users": users, "videos": videos, "feedback": feedback});
        return output::print(&said.to_string());
    }
    output::print(&format!(
        "{what} {users} users, {videos} videos, {feedback} rows of feedback: {}",
        file.display()
    ))
}

impl DumpArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the store cannot be read or the file cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        let config = Config::read(self.config.as_deref())?;
        let store = Sqlite::open_to_read(file_of(&self.run, &config)?, config.store)?;
        let aside = self.out.with_extension(format!("{}.aside", std::process::id()));
        let cannot = || format!("{}: cannot be written", self.out.display());
        let file = File::create(&aside).with_context(cannot)?;
        let bar = progress::bar(0, "dumping");
        let done = (|| {
            let mut out = BufWriter::new(file);
            let counts = store.dump(&mut out, &mut |done, of| {
                bar.set_length(of);
                bar.set_position(done);
            })?;
            out.flush().with_context(cannot)?;
            out.into_inner()
                .map_err(|error| error.into_error())
                .and_then(|file| file.sync_all())
                .with_context(cannot)?;
            std::fs::rename(&aside, &self.out).with_context(cannot)?;
            Ok(counts)
        })();
        bar.finish_and_clear();
        let counts = done.inspect_err(|_: &anyhow::Error| drop(std::fs::remove_file(&aside)))?;
        print("dumped", &self.out, counts, self.json)
    }
}

impl RestoreArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the dump is not whole, or the store is in use, holds something, or cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        let config = Config::read(self.config.as_deref())?;
        let file =
            File::open(&self.from).with_context(|| format!("{}: cannot be read", self.from.display()))?;
        let target = file_of(&self.run, &config)?;
        let bar = progress::bar(0, "restoring");
        let counts = Sqlite::restore(
            &target,
            &config.store,
            &mut BufReader::new(file),
            self.merge,
            &mut |done, of| {
                bar.set_length(of);
                bar.set_position(done);
            },
        );
        bar.finish_and_clear();
        let counts = counts.with_context(|| format!("{}", self.from.display()))?;
        print("restored", &target, counts, self.json)
    }
}
