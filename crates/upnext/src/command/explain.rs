//! `upnext explain`: why a video is shown to a user, or which stage lost it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use upnext_pipeline::Request;

use crate::command::recommend::{filter, now};
use crate::config::Config;
use crate::output;

/// Arguments of `explain`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  upnext explain runs/mine --user 42 --video 318 --json")]
pub(crate) struct ExplainArgs {
    /// The run folder
    run: PathBuf,
    /// The user's outside id
    #[arg(long, allow_negative_numbers = true)]
    user: String,
    /// The video's outside id
    #[arg(long, allow_negative_numbers = true)]
    video: String,
    /// Length of the list that it is in, or is not
    #[arg(long, default_value_t = 10)]
    n: usize,
    /// What every shown video is, as in `recommend`
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl ExplainArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the run cannot be read.
    pub(crate) fn run(self) -> Result<()> {
        let config = Config::read(self.config.as_deref())?;
        let places_max = config.feed.places_max;
        if self.n == 0 || self.n > places_max {
            let what = format!("--n {}: expected 1 to {places_max} (feed.places_max)", self.n);
            return Err(crate::WrongUse(what).into());
        }
        let opened = crate::command::serve::open_feed(&self.run, &config)?;
        let filter = self.filter.as_deref().map(|text| filter(text, &config)).transpose()?;
        let user = Some(self.user.clone());
        let request = Request { user, n: self.n, filter, now: now(), ..Request::default() };
        let explanation = opened.feed.explain(&request, &self.video);
        if self.json {
            return output::print(&serde_json::to_string(&explanation)?);
        }
        let mut text = format!("{}\n", explanation.text);
        for because in &explanation.because {
            text +=
                &format!("  {:<24} {:>10.4}  because of {}\n", because.model, because.weight, because.title);
        }
        for (part, value) in &explanation.parts {
            text += &format!("  {part:<24} {value:>10.4}\n");
        }
        output::print(&text)
    }
}
