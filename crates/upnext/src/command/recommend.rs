//! `upnext recommend`: a slate for one user, or lists for all.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use clap::Args;
use rayon::prelude::*;
use upnext_pipeline::{Expression, Feed, Request};

use crate::config::Config;
use crate::loading::moment;
use crate::{WrongUse, output, progress};

/// Arguments of `recommend`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext recommend runs/mine --user 42 --n 10 --json\n  upnext recommend runs/mine --all --n 50 --out top.parquet"
)]
pub(crate) struct RecommendArgs {
    /// The run folder
    run: PathBuf,
    /// The user's outside id; one that is not known gets a cold answer
    #[arg(long, required_unless_present = "all", conflicts_with = "all", allow_negative_numbers = true)]
    user: Option<String>,
    /// Videos that count as wanted, newest last
    #[arg(long, value_delimiter = ',', value_name = "VIDEO")]
    pick: Vec<String>,
    /// Every user of the run, into a file
    #[arg(long, requires = "out")]
    all: bool,
    /// Where the lists of all users go: .parquet, .csv or .jsonl
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How many videos
    #[arg(long, default_value_t = 10)]
    n: usize,
    /// Videos that must not be shown
    #[arg(long, value_delimiter = ',', value_name = "VIDEO")]
    exclude: Vec<String>,
    /// Every shown video is in all of these
    #[arg(long, value_delimiter = ',')]
    category: Vec<String>,
    /// What every shown video is: 'genre:Comedy and not (tag:gore or year < 1990)'
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Weight of relevance in the re-rank, 0 to 1; 1 is the plain ranking
    #[arg(long)]
    lambda: Option<f32>,
    /// Answer as at this moment, from what the store has up to it: a date or time (UTC), seconds or milliseconds since 1970. The same
    /// moment gives the same bytes
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object, trace included
    #[arg(long)]
    json: bool,
}

/// An expression of `--filter`.
///
/// # Errors
/// Says where it goes wrong.
pub(crate) fn filter(text: &str, config: &Config) -> Result<Expression> {
    let limits = config.feed.filters.limits();
    Expression::parse(text, limits).map_err(|error| WrongUse::of("--filter", error).into())
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl RecommendArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the run cannot be read, or the lists cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        let config = Config::read(self.config.as_deref())?;
        let places_max = config.feed.places_max;
        if self.n == 0 || self.n > places_max {
            return Err(
                WrongUse(format!("--n {}: expected 1 to {places_max} (feed.places_max)", self.n)).into()
            );
        }
        if self.lambda.is_some_and(|lambda| !(0.0..=1.0).contains(&lambda)) {
            return Err(WrongUse("--lambda: expected a number from 0 to 1".into()).into());
        }
        if let Some(out) = &self.out
            && !upnext_ingest::lists::is_known(out)
        {
            return Err(WrongUse::of("--out", "expected a file that ends in .parquet, .csv or .jsonl").into());
        }
        if self.user.is_some() && self.out.is_some() {
            return Err(WrongUse::of("--out", "expected --all with it; for one user, redirect --json").into());
        }
        let as_of = self.as_of.as_deref().map(|text| {
            moment(text).ok_or_else(|| {
                WrongUse::of("--as-of", format!("`{text}`: expected a date or time, or milliseconds"))
            })
        });
        let as_of = as_of.transpose()?;
        let opened = crate::command::serve::open_feed(&self.run, &config)?;
        let feed = &opened.feed;
        let request = Request {
            user: self.user.clone(),
            picks: self.pick,
            n: self.n,
            offset: 0,
            exclude: self.exclude,
            categories: self.category,
            lambda: self.lambda,
            filter: self.filter.as_deref().map(|text| filter(text, &config)).transpose()?,
            now: as_of.unwrap_or_else(now),
            ..Request::default()
        };
        match (self.user, self.out) {
            (Some(user), _) => one(feed, &request, &user, as_of.is_some(), self.json),
            (None, Some(out)) => all(feed, &opened.users, &request, &out, self.json),
            (None, None) => bail!(WrongUse("expected --user, or --all with --out".into())),
        }
    }
}

fn one(feed: &Feed, request: &Request, user: &str, is_replay: bool, json: bool) -> Result<()> {
    let mut response = feed.recommend(request);
    if is_replay {
        // What differs from run to run says nothing of the answer.
        response.request_id = format!("{:016x}", request.now);
        response.trace.forget_times();
    }
    if json {
        return output::print(&serde_json::to_string(&response)?);
    }
    let mut text = format!("for {user}\n");
    for (place, slot) in response.slate.iter().enumerate() {
        let title = feed.card(&slot.video).map_or_else(|| slot.video.clone(), |card| card.title);
        text += &format!("{:>3}  {:<44} {:>8.4}  {}\n", place + 1, title, slot.score, slot.reason.text);
    }
    if response.slate.is_empty() {
        text += "nothing is left to show: everything is seen, hidden or excluded\n";
    }
    for failure in &response.failures {
        text += &format!("failed: {failure:?}\n");
    }
    output::print(&text)
}

fn all(
    feed: &Arc<Feed>,
    users: &[String],
    request: &Request,
    out: &std::path::Path,
    json: bool,
) -> Result<()> {
    let bar = progress::bar(users.len(), "recommending");
    let failed = AtomicUsize::new(0);
    let lists: Vec<Vec<(String, f64)>> = users
        .par_iter()
        .map(|user| {
            let response = feed.recommend(&Request { user: Some(user.clone()), ..request.clone() });
            bar.inc(1);
            if let Some(failure) = response.failures.first() {
                failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!("{user}: {failure:?}");
            }
            response.slate.into_iter().map(|slot| (slot.video, slot.score)).collect()
        })
        .collect();
    bar.finish_and_clear();
    let failed = failed.into_inner();
    if failed > 0 {
        tracing::warn!(
            "{failed} of {} lists were made without a part that failed; one user with --json shows which",
            users.len()
        );
    }
    let rows = lists.iter().map(Vec::len).sum::<usize>();
    upnext_ingest::lists::write(out, users, &lists)?;
    let text = if json {
        // As text: a name that is not Unicode has no JSON.
        serde_json::json!({"out": out.to_string_lossy(), "users": users.len(), "rows": rows}).to_string()
    } else {
        format!("{rows} rows for {} users in {}", users.len(), out.display())
    };
    output::print(&text)
}
