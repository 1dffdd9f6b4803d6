//! Progress on standard error: a bar with time left for a person, nothing for a pipe.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use upnext_ingest::{Progress, Stage};

/// A bar over `len` steps.
pub(crate) fn bar(len: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(len as u64), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{msg:28} {bar:30} {human_pos}/{human_len} {per_sec} {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what.to_string());
    bar
}

/// A turning wheel for work of unknown length.
pub(crate) fn wheel(what: &str) -> ProgressBar {
    let wheel = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    wheel.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    wheel.set_message(what.to_string());
    wheel.enable_steady_tick(Duration::from_millis(120));
    wheel
}

/// A bar over the steps of an epoch of training.
pub(crate) fn learning() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {bar:20} {percent}%");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Runs an import, with a bar for each of its stages: share, rows, rows a second, and time left.
pub(crate) fn importing<T>(work: impl FnOnce(&dyn Fn(Progress)) -> T) -> T {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {bar:30} {percent}% {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let begun = Cell::new((0, Instant::now()));
    let done = work(&|step: Progress| {
        let (number, what) = match step.stage {
            Stage::Read(file) => (0, file.file_name().unwrap_or_default().to_string_lossy()),
            Stage::Clean => (1, "cleaning".into()),
            Stage::Write => (2, "writing".into()),
        };
        if begun.get().0 != number {
            begun.set((number, Instant::now()));
            bar.reset_eta();
        }
        let rows = if number == 0 { step.rows } else { step.done } as f64;
        let rate = rows / begun.get().1.elapsed().as_secs_f64().max(1e-3);
        bar.set_message(format!("{what}: {:.2} M rows, {:.2} M rows/s", rows / 1e6, rate / 1e6));
        bar.set_length(step.total);
        bar.set_position(step.done);
    });
    bar.finish_and_clear();
    done
}
