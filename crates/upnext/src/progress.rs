//! Progress on standard error: a bar with time left for a person, nothing for a pipe.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
