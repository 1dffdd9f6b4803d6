//! `upnext doctor` and `upnext verify`: what is wrong, before somebody is woken by it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use upnext_index::Quantised;
use upnext_ingest::run;
use upnext_pipeline::Request;
use upnext_serve::{ServeError, Tenants};
use upnext_store::Sqlite;

use crate::command::dump::file_of;
use crate::command::index::models;
use crate::command::recommend::now;
use crate::command::serve::{open_feed, runtime};
use crate::config::Config;
use crate::retraining::Versions;
use crate::stores::Place;
use crate::{indexes, output, progress};

/// Arguments of `verify`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext verify runs/mine --json\n  upnext verify runs/mine --rebuild\nA service may be writing meanwhile, but not while something is rebuilt. Exit code 1 where anything is wrong."
)]
pub(crate) struct VerifyArgs {
    /// The run folder, or the file of a store
    run: PathBuf,
    /// Make everything anew that can be: of the store what its rows tell as well, of the run the indexes that are damaged
    #[arg(long)]
    rebuild: bool,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl VerifyArgs {
    /// Runs the command: every digest of the run and its versions, their indexes, and every page and row of the store.
    ///
    /// # Errors
    /// When anything is wrong.
    pub(crate) fn run(self) -> Result<()> {
        let config = Config::read(self.config.as_deref())?;
        let mut checks = Vec::new();
        if self.run.is_dir() {
            let versions = Versions::of(&self.run);
            for number in versions.all() {
                let folder = versions.folder(number);
                checks.push(Check::of(&format!("version {number}"), digests(&folder)));
                checks.extend(self.indexes(&folder, number));
            }
        }
        let file = file_of(&self.run, &config)?;
        if file.exists() || !self.run.is_dir() {
            if self.rebuild {
                let wheel = progress::wheel("making anew what the rows of the store tell");
                let done = Sqlite::rebuild(&file, &config.store);
                wheel.finish_and_clear();
                let said = "made anew what its rows tell as well".to_string();
                checks.push(Check::of("rebuild", done.map(|()| said).map_err(Into::into)));
            }
            let whole = || {
                let report = Sqlite::open_to_read(&file, config.store.clone())?.verify()?;
                ensure!(report.problems.is_empty(), "{}: {}", file.display(), report.problems.join("; "));
                let counts = report.counts;
                Ok(format!(
                    "{} users, {} videos, {} rows of feedback",
                    counts.users, counts.videos, counts.feedback
                ))
            };
            checks.push(Check::of("store", whole()));
        }
        print(&checks, self.json)
    }

    /// What is to be said of the indexes of a version: nothing where there are none.
    fn indexes(&self, folder: &Path, number: u32) -> Option<Check> {
        let files = indexes::files(folder);
        if files.is_empty() {
            return None;
        }
        let check = || {
            let damaged: Vec<_> = files.iter().filter_map(|file| Quantised::open(file).err()).collect();
            let said: Vec<String> = damaged.iter().map(ToString::to_string).collect();
            if damaged.is_empty() {
                return Ok(format!("{} files as they were written", files.len()));
            }
            ensure!(self.rebuild, "{}; `--rebuild` makes them anew", said.join("; "));
            let models = models(folder, &run::open(folder)?)?;
            indexes::open_or_build(folder, &models, &indexes::settings(indexes::RECALL))?;
            Ok(format!("made anew: {}", said.join("; ")))
        };
        Some(Check::of(&format!("indexes {number}"), check()))
    }
}

/// Arguments of `doctor`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext doctor runs/mine --config upnext.toml --listen 0.0.0.0:8088\nExit code 1 where anything fails that `upnext serve` needs."
)]
pub(crate) struct DoctorArgs {
    /// The run folder
    run: PathBuf,
    /// Where it shall listen
    #[arg(long, default_value = "127.0.0.1:8088", value_name = "ADDRESS")]
    listen: String,
    /// A key that may do everything
    #[arg(long, env = "UPNEXT_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl DoctorArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When anything fails.
    pub(crate) fn run(self) -> Result<()> {
        let mut config = match Config::read(self.config.as_deref()) {
            Ok(config) => config,
            // Nothing else can be judged without it.
            Err(error) => return print(&[Check::of("configuration", Err(error))], self.json),
        };
        config.serve.key = self.key.clone().or(config.serve.key);
        let said = match &self.config {
            Some(file) => format!("{} is understood", file.display()),
            None => "every default".into(),
        };
        let mut checks = vec![Check::of("configuration", Ok(said))];
        checks.push(match self.door(&config) {
            // A service that runs already has the address.
            Err(error) if matches!(error.downcast_ref(), Some(ServeError::InUse { .. })) => {
                Check { name: "door".into(), state: "warn", text: error.to_string() }
            }
            found => Check::of("door", found),
        });
        let run = digests(&self.run);
        let is_run = run.is_ok();
        checks.push(Check::of("run", run));
        let versions = Versions::of(&self.run);
        if let Ok(number) = versions.current()
            && number > 0
        {
            checks.push(Check::of("served version", digests(&versions.folder(number))));
        }
        checks.push(Check::of("store", self.store(&config)));
        if is_run {
            checks.push(self.answers(&config));
        }
        checks.push(tool("ffmpeg", "frames and sound of clips cannot be encoded"));
        print(&checks, self.json)
    }

    /// Keys, certificates, and whether the address is free and closed to those without a key.
    fn door(&self, config: &Config) -> Result<String> {
        Tenants::new(config.serve.clone())?;
        let listener = runtime()?.block_on(upnext_serve::bind(&self.listen))?;
        let is_exposed = upnext_serve::check_exposure(&listener, &config.serve)?;
        let who = if is_exposed {
            "other machines can reach it, with a key"
        } else {
            "only this machine reaches it"
        };
        Ok(format!("{} is free; {who}", self.listen))
    }

    fn store(&self, config: &Config) -> Result<String> {
        let place = Place::of(None, &config.store, &self.run);
        if let Place::File(file) = &place
            && !file.exists()
        {
            return Ok("none yet; `upnext serve` makes it".into());
        }
        let counts = place.open_to_read(&config.store)?.counts()?;
        let free = free_bytes(&self.run)?;
        let least = config.store.free_bytes_min;
        ensure!(
            free >= least,
            "{}: {free} bytes are free, and `[store] free_bytes_min` keeps {least}: nothing more is taken in",
            self.run.display()
        );
        Ok(format!("{} rows of feedback; {} MiB of the disk are free", counts.feedback, free >> 20))
    }

    fn answers(&self, config: &Config) -> Check {
        let versions = Versions::of(&self.run);
        let has_models = versions.current().and_then(|number| {
            let files = run::manifest(&versions.folder(number))?.files;
            Ok(files.contains_key(crate::command::train::MODEL_FILE))
        });
        if let Ok(false) = has_models {
            let text = "no models yet: `upnext train` fits them, else `upnext serve` does at its start";
            return Check { name: "answers".into(), state: "warn", text: text.into() };
        }
        let ask = || {
            has_models?;
            let opened = open_feed(&self.run, config)?;
            let begun = std::time::Instant::now();
            let response = opened.feed.recommend(&Request { n: 10, now: now(), ..Request::default() });
            if let Some(failure) = response.failures.first() {
                bail!("a stranger's question is answered with a failure: {failure:?}");
            }
            Ok(format!("{} videos in {:.1} ms", response.slate.len(), begun.elapsed().as_secs_f64() * 1e3))
        };
        Check::of("answers", ask())
    }
}

/// One thing that was looked at.
#[derive(serde::Serialize)]
struct Check {
    name: String,
    state: &'static str,
    text: String,
}

impl Check {
    fn of(name: &str, found: Result<String>) -> Self {
        match found {
            Ok(text) => Self { name: name.into(), state: "ok", text },
            Err(error) => Self { name: name.into(), state: "fail", text: format!("{error:#}") },
        }
    }
}

fn print(checks: &[Check], json: bool) -> Result<()> {
    let failed = checks.iter().filter(|check| check.state == "fail").count();
    if json {
        output::print(&serde_json::json!({"checks": checks, "failed": failed}).to_string())?;
    } else {
        let line = |check: &Check| format!("{:<5} {:<14} {}\n", check.state, check.name, check.text);
        output::print(checks.iter().map(line).collect::<String>().trim_end())?;
    }
    ensure!(failed == 0, "{failed} of {} checks failed", checks.len());
    Ok(())
}

/// Every file of a run against its digest.
///
/// # Errors
/// Names the first that is not as it was written.
pub(crate) fn digests(folder: &Path) -> Result<String> {
    let opened = run::open(folder)?;
    for name in opened.manifest.files.keys() {
        // Each of them is read and compared; what is left of it is not kept.
        run::read_file(folder, name)?;
    }
    let set = &opened.dataset;
    Ok(format!(
        "{} users, {} videos, {} events, {} files as they were written",
        set.users.len(),
        set.videos.len(),
        set.events().len(),
        opened.manifest.files.len()
    ))
}

fn tool(name: &str, without: &str) -> Check {
    let found =
        std::process::Command::new(name).arg("-version").output().is_ok_and(|done| done.status.success());
    let (state, text) =
        if found { ("ok", "is there".into()) } else { ("warn", format!("is missing: {without}")) };
    Check { name: name.into(), state, text }
}

fn free_bytes(folder: &Path) -> Result<u64> {
    #[cfg(unix)]
    {
        let of = rustix::fs::statvfs(folder).with_context(|| format!("{}", folder.display()))?;
        Ok(of.f_bavail.saturating_mul(of.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(u64::MAX)
    }
}
