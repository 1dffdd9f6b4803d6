//! `upnext consume`: events from a stream into a store.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::config::Config;
use crate::stores::Place;

/// The file in a run folder for messages that cannot be read.
pub(crate) const DEAD_LETTERS: &str = "dead-letters.jsonl";

/// Arguments of `consume`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext consume nats://localhost:4222/EVENTS --run runs/mine --store postgres://upnext@localhost/upnext\nA message is JSON: an event as for POST /api/v2/events, feedback as Gorse has it, an interaction of Metarank, or a list of them. Each\nevent counts once: by its `event_id` (Metarank: `id`), else by its place in the stream."
)]
pub(crate) struct ConsumeArgs {
    /// The broker and the stream: nats://HOST:PORT/STREAM of JetStream
    #[arg(env = "UPNEXT_STREAM", hide_env_values = true, value_name = "URL")]
    stream: String,
    /// The run folder: its store is written, unless another is named, and dead letters lie in it
    #[arg(long, value_name = "RUN", default_value = ".")]
    run: PathBuf,
    /// The store: a file, or a database as postgres://user@host/database; a URL with a password is better given as UPNEXT_STORE
    #[arg(long, value_name = "FILE|URL")]
    store: Option<String>,
    /// What the broker knows this reader by
    #[arg(long, default_value = "upnext", value_name = "NAME")]
    name: String,
    /// Where messages go that cannot be read, as JSON lines with the reason; without it, dead-letters.jsonl in the run folder
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// End when nothing is left to be read
    #[arg(long)]
    once: bool,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say how far it is as JSON, one line each
    #[arg(long)]
    json: bool,
}

impl ConsumeArgs {
    /// Runs the command until it is told to stop; what was read is kept first.
    ///
    /// # Errors
    /// When the broker, the stream or the store cannot be used.
    pub(crate) fn run(self) -> Result<()> {
        let config = Config::read(self.config.as_deref())?;
        let place = Place::of(self.store.as_deref(), &config.store, &self.run);
        self.read(&config, &place)
    }

    #[cfg(not(feature = "scale"))]
    fn read(&self, _: &Config, _: &Place) -> Result<()> {
        let Self { stream: _, name, dead_letters, once, json, .. } = self;
        tracing::debug!("asked as {name}, {dead_letters:?}, {once}, {json}");
        anyhow::bail!("this build reads no streams; build it with `cargo build --release --features scale`")
    }

    #[cfg(feature = "scale")]
    fn read(&self, config: &Config, place: &Place) -> Result<()> {
        use std::sync::Arc;
        use std::time::Duration;

        use tokio::sync::watch;

        use crate::command::serve::{runtime, stop_signal};
        use crate::retention::Keeper;
        use crate::stream::{DeadLetters, Source, Taker, follow};
        use crate::{WrongUse, output, progress};

        let source = Source::of(&self.stream).map_err(|error| WrongUse::of("URL", error))?;
        let store = place.open(&config.store)?;
        let letters = self.dead_letters.clone().unwrap_or_else(|| self.run.join(DEAD_LETTERS));
        let dead = DeadLetters::open(&letters, config.stream.dead_letters_bytes_max)?;
        let (stop, stopped) = watch::channel(false);
        let retry = Duration::from_millis(config.stream.retry_milliseconds);
        let limits = config.serve.clone();
        let _keeper = Keeper::start(Arc::clone(&store), &config.store, |_| ())?;
        let mut taker = Taker::new(store, limits, config.store.batch_max, retry, dead, stopped.clone());
        let runtime = runtime()?;
        runtime.spawn(async move {
            stop_signal().await;
            let _ = stop.send(true);
        });
        let wheel = progress::wheel("waiting for events");
        let say = |done: crate::stream::Progress, waiting: u64| {
            wheel.set_message(format!(
                "{} messages, {} new events, {} known, {} set aside, {waiting} wait",
                done.messages,
                done.written,
                done.events - done.written,
                done.dead
            ));
            match self.json {
                true => {
                    let mut said = serde_json::json!(done);
                    said["waiting"] = waiting.into();
                    output::print(&said.to_string())
                }
                false => Ok(()),
            }
        };
        let done = runtime.block_on(follow(
            &source,
            &self.name,
            &config.stream,
            &mut taker,
            self.once,
            stopped,
            &say,
        ));
        wheel.finish_and_clear();
        done?;
        let read = taker.progress();
        match self.json {
            true => output::print(&serde_json::json!({"done": read}).to_string()),
            false => output::print(&format!(
                "{} messages, {} new events, {} known, {} set aside in {}",
                read.messages,
                read.written,
                read.events - read.written,
                read.dead,
                letters.display()
            )),
        }
    }
}
