//! Networks that learn, seen from outside: their settings, checkpoints in a folder, progress, and Ctrl-C.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use indicatif::ProgressBar;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use upnext_models::Settings;
use upnext_models::train::{Epoch, Step, Watch, Which, Wish};

use crate::config::from_toml;
use crate::{WrongUse, output, progress};

/// Arguments of commands in which networks learn.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LearningArgs {
    /// Settings of models that learn: a TOML file like those in config/models, saying only what differs
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// One of those settings, as often as needed: --set sasrec.dropout=0.5
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Keep checkpoints and the metrics of each epoch in this folder, and go on from there
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Start over, whatever was kept
    #[arg(long)]
    fresh: bool,
}

impl LearningArgs {
    /// Reads the settings.
    ///
    /// # Errors
    /// When the file cannot be read, or a key or a value cannot be meant.
    pub(crate) fn read(self) -> Result<Learning> {
        let text = match &self.settings {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("{}: the settings cannot be read", path.display()))?,
            None => String::new(),
        };
        let from = self.settings.as_ref().map_or("--set".into(), |path| path.display().to_string());
        let mut settings: Settings = from_toml(&text, &[]).with_context(|| from.clone())?;
        if !self.set.is_empty() {
            settings =
                from_toml(&text, &self.set).map_err(|error| WrongUse::of("--set", format!("{error:#}")))?;
        }
        settings.check().with_context(|| from)?;
        Ok(Learning { settings: Arc::new(settings), folder: self.checkpoints, fresh: self.fresh })
    }
}

/// How networks learn in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learning {
    /// Of each model.
    pub(crate) settings: Arc<Settings>,
    /// Where checkpoints lie, if anywhere.
    pub(crate) folder: Option<PathBuf>,
    /// Whether what lies there is not to be gone on with.
    pub(crate) fresh: bool,
}

impl Learning {
    /// The same, with so many minutes for `auto`.
    ///
    /// # Errors
    /// When there cannot be so many.
    pub(crate) fn within(mut self, minutes: Option<f64>) -> Result<Self> {
        if let Some(minutes) = minutes {
            Arc::make_mut(&mut self.settings).auto.minutes = minutes;
            self.settings.check().map_err(|error| WrongUse::of("--minutes", error))?;
        }
        Ok(self)
    }

    /// The same in a folder under this one.
    pub(crate) fn under(&self, name: &str) -> Self {
        Self { folder: self.folder.as_ref().map(|folder| folder.join(name)), ..self.clone() }
    }
}

/// A checkpoint is written at least so often, and at the end of each epoch.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// Watches trainings for a person at a terminal, and keeps them in files.
pub(crate) struct Watcher {
    made: Instant,
    folder: Option<PathBuf>,
    fresh: bool,
    state: Mutex<Seen>,
}

/// What was seen so far of the training that goes on.
struct Seen {
    bar: Option<ProgressBar>,
    kept: Instant,
    begun: Instant,
    /// Steps since it began.
    steps: usize,
    warned: bool,
}

/// Handlers once a process: while a network learns, the first signal asks it to stop and the second ends the process;
/// else the first one ends it.
fn listen() -> &'static (Arc<AtomicBool>, Arc<AtomicBool>) {
    static FLAGS: std::sync::OnceLock<(Arc<AtomicBool>, Arc<AtomicBool>)> = std::sync::OnceLock::new();
    FLAGS.get_or_init(|| {
        let (idle, stop) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            // Without handlers the signal ends the process, and the last checkpoint stays.
            let _ = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&idle));
            let _ = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop));
            let _ = flag::register(signal, Arc::clone(&stop));
        }
        (idle, stop)
    })
}

/// From now on a service listens for signals: the first one lets it stop in order, the second ends the process.
pub(crate) fn leave_signals_to_service() {
    listen().0.store(false, Ordering::Relaxed);
}

impl Watcher {
    /// A watcher over what learns next.
    pub(crate) fn new(learning: &Learning) -> Self {
        let now = Instant::now();
        let state = Seen { bar: None, kept: now, begun: now, steps: 0, warned: false };
        Self { made: now, folder: learning.folder.clone(), fresh: learning.fresh, state: Mutex::new(state) }
    }

    /// Says that nothing learns any more, until something does.
    pub(crate) fn rest(&self) {
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
        }
        listen().0.store(true, Ordering::Relaxed);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, model: &str, rest: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{model}.{rest}")))
    }

    /// Writes aside and renames, so that what lies there stays when the disk is full; says so once.
    fn write(&self, path: &Path, bytes: &[u8]) {
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(anyhow::Error::from);
        let written = written.and_then(|()| output::write_file(path, bytes));
        let mut state = self.state();
        if let Err(error) = written
            && !std::mem::replace(&mut state.warned, true)
        {
            tracing::warn!("training goes on, but this checkpoint is not kept: {error:#}");
        }
    }
}

impl Watch for Watcher {
    fn kept(&self, model: &str, which: Which) -> Option<Vec<u8>> {
        if self.fresh {
            return None;
        }
        std::fs::read(self.path(model, &format!("{}.safetensors", which.name()))?).ok()
    }

    fn keep(&self, model: &str, which: Which, file: &dyn Fn() -> Vec<u8>) {
        if let Some(path) = self.path(model, &format!("{}.safetensors", which.name())) {
            self.write(&path, &file());
        }
        self.state().kept = Instant::now();
    }

    fn step(&self, step: &Step) -> Wish {
        let (idle, stop) = listen();
        idle.store(false, Ordering::Relaxed);
        let mut state = self.state();
        if state.bar.is_none() {
            (state.bar, state.begun, state.steps) = (Some(progress::learning()), Instant::now(), 0);
        }
        state.steps += 1;
        let each = state.begun.elapsed().as_secs_f64() / state.steps as f64;
        let left = step.n_steps * (step.epochs_max - step.epoch) as usize - step.step;
        if let Some(bar) = &state.bar {
            bar.set_length(step.n_steps as u64);
            bar.set_position(step.step as u64);
            let best =
                step.best.map_or(String::new(), |(epoch, score)| format!(", best {score:.4} of {epoch}"));
            let left = indicatif::HumanDuration(Duration::from_secs_f64(each * left as f64));
            bar.set_message(format!(
                "{} epoch {} of at most {}: loss {:.4}{best}, at most {left} left",
                step.model,
                step.epoch + 1,
                step.epochs_max,
                step.loss
            ));
        }
        if stop.load(Ordering::Relaxed) {
            return Wish::Stop;
        }
        if self.folder.is_some() && state.kept.elapsed() > KEEP_EVERY { Wish::Keep } else { Wish::GoOn }
    }

    fn epoch(&self, epoch: &Epoch) {
        let Some(path) = self.path(&epoch.model, "jsonl") else { return };
        let of_line = |line: &&str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            line["epoch"].as_u64().is_some_and(|known| known < u64::from(epoch.epoch))
        };
        // A training that went on from an earlier epoch tells those after it anew.
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let mut lines: Vec<&str> = before.lines().filter(of_line).collect();
        let line = serde_json::to_string(epoch).unwrap_or_default();
        lines.push(&line);
        self.write(&path, format!("{}\n", lines.join("\n")).as_bytes());
    }

    fn seconds(&self) -> f64 {
        self.made.elapsed().as_secs_f64()
    }

    fn note(&self, model: &str, note: &str) {
        tracing::info!("{model}: {note}");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.rest();
    }
}
