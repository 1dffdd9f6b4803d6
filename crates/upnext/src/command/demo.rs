//! `upnext demo`: trains on bundled real data, prints an honest table, and serves a feed.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use upnext_data::{Dataset, Relevance};
use upnext_eval::Report;
use upnext_models::zoo::{Choices, Kind};
use upnext_pipeline::{Feed, FeedModels};
use upnext_serve::{AppState, TasteMap};
use upnext_store::{Sqlite, Store};

use crate::command::eval::print_report;
use crate::command::serve::{about, runtime, say_where, stop_signal};
use crate::config::Config;
use crate::drawing::{self, Known};
use crate::evaluation::{Conditions, evaluate};
use crate::learning::leave_signals_to_service;
use crate::loading::{DataArgs, Loaded, natural_split};
use crate::output;
use crate::serving::{self, Depth};

/// Arguments of `demo`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext demo\n  upnext demo --data kuairec --port 0\n  upnext demo --once --json"
)]
pub(crate) struct DemoArgs {
    /// Which of the two bundled sets
    #[arg(long, value_enum, default_value_t = Bundled::Movies)]
    data: Bundled,
    /// Print the results table and end
    #[arg(long)]
    once: bool,
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8088)]
    port: u16,
    /// Seed of split, models and bootstrap
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bundled {
    /// 100,836 ratings of 9,742 films, with plots; for non-commercial use
    Movies,
    /// 117,113 watches of 1,411 viewers with captions, and what they liked later
    Kuairec,
}

macro_rules! bundled {
    ($folder:literal: $($file:literal),+) => {
        &[$(($file, include_bytes!(concat!("../../../../data/", $folder, "/", $file)) as &[u8])),+]
    };
}

impl Bundled {
    fn name(self) -> &'static str {
        match self {
            Self::Movies => "movies",
            Self::Kuairec => "kuairec",
        }
    }

    /// The set's files lie in the binary, so that the demo runs from anywhere.
    fn files(self) -> &'static [(&'static str, &'static [u8])] {
        match self {
            Self::Movies => bundled!("movies": "ratings.parquet", "videos.parquet"),
            Self::Kuairec => bundled!(
                "kuairec": "small_matrix_sample83.parquet",
                "small_matrix_last20pct_positives.parquet",
                "caption_category.parquet",
                "item_categories.parquet",
                "user_features.parquet"
            ),
        }
    }

    fn models(self) -> Vec<Kind> {
        match self {
            Self::Movies => vec![
                Kind::Random,
                Kind::Popular,
                Kind::PopularRecent,
                Kind::ItemKnn,
                Kind::Markov,
                Kind::Ease,
                Kind::Content,
                Kind::DirectedCosineContent,
                Kind::ClosedBlend,
            ],
            Self::Kuairec => vec![
                Kind::Random,
                Kind::Popular,
                Kind::VideoMean,
                Kind::VideoMedian,
                Kind::ItemKnn,
                Kind::UserKnn,
                Kind::Markov,
                Kind::Ease,
                Kind::Content,
                Kind::ClosedBlend,
            ],
        }
    }

    fn load(self, scratch: &Path) -> Result<Loaded> {
        let folder = scratch.join(self.name());
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        for (name, bytes) in self.files() {
            output::write_file(&folder.join(name), bytes)?;
        }
        let data = DataArgs { files: vec![folder], format: "auto".into(), ..DataArgs::default() };
        data.load()
    }
}

impl DemoArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the port is taken, or a scratch folder cannot be made.
    pub(crate) fn run(self) -> Result<()> {
        let started = Instant::now();
        let scratch = tempfile::Builder::new()
            .prefix("upnext-demo-")
            .tempdir()
            .context("no folder for temporary files: set TMPDIR to one that can be written")?;
        if self.once {
            let loaded = self.data.load(scratch.path())?;
            let report = evaluate(&loaded.dataset, &self.conditions(&loaded))?.report;
            print_report(&report, self.json)?;
            if let Some(notice) = loaded.notice {
                tracing::info!("{} ({})", notice.text, notice.licence);
            }
            return Ok(());
        }
        let runtime = runtime()?;
        let listener = runtime.block_on(upnext_serve::bind(&format!("127.0.0.1:{}", self.port)))?;
        let loaded = self.data.load(scratch.path())?;
        let conditions = self.conditions(&loaded);
        let config = Config::default();
        let store: Arc<dyn Store> =
            Arc::new(Sqlite::open(scratch.path().join("store.sqlite"), config.store.clone())?);
        let about = about(&loaded.dataset, loaded.notice.as_ref());
        let state = AppState::new(Arc::clone(&store), config.serve.clone(), about)?;
        let url = format!("http://{}", listener.local_addr()?);
        let background = Background {
            state: state.clone(),
            set: Arc::new(loaded.dataset),
            relevance: loaded.relevance,
            conditions,
            config,
            store,
            started,
            json: self.json,
        };
        tracing::info!("the page is up after {:.1} s", started.elapsed().as_secs_f64());
        say_where(&url, self.json)?;
        if let Some(notice) = loaded.notice {
            tracing::info!("{} ({})", notice.text, notice.licence);
        }
        // Models go on while the page is up; a failure there is said, and the page stays.
        thread::Builder::new().name("training".into()).spawn(move || {
            if let Err(error) = background.run() {
                tracing::error!("training stopped: {error:#}");
            }
            leave_signals_to_service();
        })?;
        runtime.block_on(upnext_serve::serve(listener, state, stop_signal()))?;
        tracing::info!("stopped; the demo's events are forgotten");
        Ok(())
    }

    fn conditions(&self, loaded: &Loaded) -> Conditions {
        Conditions {
            split: natural_split(&loaded.dataset),
            relevance: loaded.relevance.clone(),
            models: self.data.models(),
            seed: self.seed,
            ..Conditions::default()
        }
    }
}

/// What goes on while the page is already up.
struct Background {
    state: AppState,
    set: Arc<Dataset>,
    relevance: Relevance,
    conditions: Conditions,
    config: Config,
    store: Arc<dyn Store>,
    started: Instant,
    json: bool,
}

impl Background {
    fn publish(&self, choices: Choices, depth: Depth) -> Result<FeedModels> {
        let choices = (choices, &self.conditions.learning, &self.conditions.vectors[..], None);
        let models = serving::fit(&self.set, &self.relevance, self.conditions.seed, choices, depth)?;
        let served = models.clone();
        let (set, store) = (Arc::clone(&self.set), Arc::clone(&self.store));
        let feed = Feed::new(self.config.feed.clone(), set, self.relevance.clone(), models, store)?;
        self.state.publish(Arc::new(feed));
        Ok(served)
    }

    fn draw(&self, models: &FeedModels) {
        let known = Known {
            set: &self.set,
            relevance: &self.relevance,
            vectors: Vec::new(),
            models,
            kinds: &self.config.feed.category_kinds,
        };
        let drawn = drawing::draw(&known, None, self.set.digest(), self.conditions.seed, &self.config.map);
        self.state.set_map(drawing::shown(drawn));
        tracing::info!("the taste map is drawn after {:.1} s", self.started.elapsed().as_secs_f64());
    }

    fn run(&self) -> Result<()> {
        self.state.set_map(TasteMap::Drawing);
        let models = self.publish(Choices::new(), Depth::Quick)?;
        tracing::info!("counting models serve after {:.1} s", self.started.elapsed().as_secs_f64());
        let evaluation = evaluate(&self.set, &self.conditions)?;
        let report: &Report = &evaluation.report;
        self.state.set_report(serde_json::to_value(report)?);
        tracing::info!("the table is ready after {:.1} s", self.started.elapsed().as_secs_f64());
        print_report(report, self.json)?;
        thread::scope(|scope| {
            scope.spawn(|| self.draw(&models));
            self.publish(evaluation.choices, Depth::Full(Kind::ClosedBlend, &[]))
        })?;
        tracing::info!("all models serve after {:.1} s", self.started.elapsed().as_secs_f64());
        Ok(())
    }
}
