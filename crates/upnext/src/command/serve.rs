//! `upnext serve`: a run folder over HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use clap::Args;
use upnext_data::{Dataset, Relevance, SplitError};
use upnext_ingest::Notice;
use upnext_ingest::run::{self, RunFolder};
use upnext_map::MapConfig;
use upnext_models::zoo::Choices;
use upnext_pipeline::{Feed, FeedConfig, FeedModels};
use upnext_serve::{About, AppState, Reload, ServeError, TasteMap, Tenants};
use upnext_store::{Memory, Sqlite, Store};

use crate::command::train::{MODEL_FILE, REPORT_FILE, add_models, conditions, train};
use crate::config::Config;
use crate::drawing::{self, Known};
use crate::evaluation::OpenLeak;
use crate::learning::leave_signals_to_service;
use crate::pictures::OfRun;
use crate::{WrongUse, indexes, output, serving};

/// Arguments of `serve`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext serve runs/mine --listen 127.0.0.1:8088\n  UPNEXT_KEY=secret upnext serve runs/mine --listen 0.0.0.0:8088\n  upnext serve --tenant films=runs/films --tenant songs=runs/songs --config upnext.toml"
)]
pub(crate) struct ServeArgs {
    /// The run folder
    #[arg(required_unless_present = "tenant")]
    run: Option<PathBuf>,
    /// A run folder of its own under a name, instead of RUN; may stand more than once
    #[arg(long, value_name = "NAME=RUN", conflicts_with_all = ["run", "store"])]
    tenant: Vec<String>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8088", value_name = "ADDRESS")]
    listen: String,
    /// A key that may do everything; this or a file of keys is required when the address is not loopback
    #[arg(long, env = "UPNEXT_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The file of the store; without it, store.sqlite in the run folder
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say where it listens as JSON
    #[arg(long)]
    json: bool,
}

/// The file beside the store that keeps rules put over HTTP.
const RULES_FILE: &str = "rules.json";

/// The file beside the store that keeps the acts of administrators.
const AUDIT_FILE: &str = "audit.jsonl";

/// The store's file in a run folder.
pub(crate) const STORE_FILE: &str = "store.sqlite";

/// A run folder to be served, and where its store lies.
struct Place {
    /// Empty where it is the only one.
    name: String,
    run: PathBuf,
    store: PathBuf,
}

impl ServeArgs {
    /// Runs the command until it is told to stop.
    ///
    /// # Errors
    /// When a run, a store, a key or the address cannot be used.
    pub(crate) fn run(self) -> Result<()> {
        let mut config = Config::read(self.config.as_deref())?;
        let places = self.places()?;
        config.serve.key = self.key.or(config.serve.key);
        let folders = places.iter().map(|place| run::open(&place.run)).collect::<Result<Vec<_>, _>>()?;
        // The address and the stores first: what is refused is refused before models are fitted.
        let runtime = runtime()?;
        let listener = runtime.block_on(upnext_serve::bind(&self.listen)).map_err(|error| match error {
            ServeError::Address { .. } => WrongUse::of("--listen", error).into(),
            error => anyhow::Error::from(error),
        })?;
        upnext_serve::check_exposure(&listener, &config.serve)?;
        let mut tenants = Tenants::new(config.serve.clone())?;
        let mut opened = Vec::new();
        for (place, folder) in places.into_iter().zip(folders) {
            let store: Arc<dyn Store> = Arc::new(Sqlite::open(&place.store, config.store.clone())?);
            let about = about(&folder.dataset, folder.manifest.notice.as_ref());
            let state = match place.name.as_str() {
                "" => {
                    let state = AppState::new(Arc::clone(&store), config.serve.clone(), about)?;
                    tenants = state.clone().into();
                    state
                }
                name => tenants.add(name, Arc::clone(&store), about)?,
            };
            state.keep_audit_in(place.store.with_file_name(AUDIT_FILE))?;
            opened.push((place, folder, store, state));
        }
        let scheme = if config.serve.tls_cert.as_os_str().is_empty() { "http" } else { "https" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        // Who asks meanwhile hears that models are not ready, instead of nothing.
        let (done, loaded) = tokio::sync::oneshot::channel();
        let json = self.json;
        thread::Builder::new().name("loading".into()).spawn(move || {
            let publish = |(place, folder, store, state)| publish(&place, folder, store, &state, &config);
            let published = opened.into_iter().try_for_each(publish);
            leave_signals_to_service();
            let _ = done.send(published.and_then(|()| say_where(&url, json)));
        })?;
        runtime.spawn(reload_when_told(tenants.reload()));
        runtime.block_on(async {
            let mut serving = std::pin::pin!(upnext_serve::serve(listener, tenants, stop_signal()));
            tokio::select! {
                ended = &mut serving => return ended.map_err(anyhow::Error::from),
                loaded = loaded => loaded.context("loading panicked")??,
            }
            Ok(serving.await?)
        })?;
        tracing::info!("stopped");
        Ok(())
    }

    fn places(&self) -> Result<Vec<Place>> {
        if let Some(run) = self.run.clone() {
            let store = self.store.clone().unwrap_or_else(|| run.join(STORE_FILE));
            return Ok(vec![Place { name: String::new(), run, store }]);
        }
        let place = |tenant: &String| {
            let (name, run) =
                (tenant.split_once('=').filter(|(name, run)| !name.is_empty() && !run.is_empty()))
                    .ok_or_else(|| WrongUse::of("--tenant", format!("{tenant:?}: expected NAME=RUN")))?;
            let run = PathBuf::from(run);
            Ok(Place { name: name.to_owned(), store: run.join(STORE_FILE), run })
        };
        self.tenant.iter().map(place).collect()
    }
}

/// Lets a state serve what its run folder holds.
fn publish(
    place: &Place,
    folder: RunFolder,
    store: Arc<dyn Store>,
    state: &AppState,
    config: &Config,
) -> Result<()> {
    let (models, report) = models(&place.run, &folder, &config.feed, true)?;
    let relevance: Relevance = folder.manifest.relevance.parse()?;
    let set = Arc::new(folder.dataset);
    if let Some(pictures) = OfRun::open(&place.run, &set) {
        state.set_pictures(Arc::new(pictures));
    }
    let painter = Painter {
        run: place.run.clone(),
        set: Arc::clone(&set),
        relevance: relevance.clone(),
        models: models.clone(),
        seed: folder.manifest.seed,
        kinds: config.feed.category_kinds.clone(),
        config: config.map.clone(),
        state: state.clone(),
    };
    let feed = Feed::new(config.feed.clone(), set, relevance, models, store)?;
    for model in feed.slow_models() {
        tracing::warn!(
            "the model {model} scores every video for each request; a catalogue of this size is better served without it"
        );
    }
    state.publish(Arc::new(feed));
    state.keep_rules_in(place.store.with_file_name(RULES_FILE))?;
    state.set_map(TasteMap::Drawing);
    thread::Builder::new().name("taste map".into()).spawn(move || painter.run())?;
    if let Some(report) = report {
        state.set_report(report);
    }
    Ok(())
}

/// Reads keys and certificates again at SIGHUP.
async fn reload_when_told(reload: Reload) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        while hangup.recv().await.is_some() {
            reload.now();
        }
    }
    #[cfg(not(unix))]
    drop(reload);
}

/// Draws the run's taste map while the service already answers.
struct Painter {
    run: PathBuf,
    set: Arc<Dataset>,
    relevance: Relevance,
    models: FeedModels,
    seed: u64,
    kinds: Vec<String>,
    config: MapConfig,
    state: AppState,
}

impl Painter {
    fn run(self) {
        let drawn = drawing::vectors_of(&self.run).and_then(|vectors| {
            let known = Known {
                set: &self.set,
                relevance: &self.relevance,
                vectors,
                models: &self.models,
                kinds: &self.kinds,
            };
            drawing::kept_or_drawn(&self.run, &known, self.seed, &self.config)
        });
        self.state.set_map(drawing::shown(drawn));
    }
}

/// Prints the address, so that a script can read it.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn say_where(url: &str, json: bool) -> Result<()> {
    if json {
        output::print(&serde_json::json!({"url": url, "pid": std::process::id()}).to_string())
    } else {
        output::print(&format!("serving on {url}  (the page: {url}/, the routes: {url}/apidocs)"))
    }
}

/// The threads that connections run on.
///
/// # Errors
/// When the system gives no threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the system gives no threads")
}

/// Ends at Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} },
            Err(_) => drop(interrupt.await),
        }
    }
    #[cfg(not(unix))]
    drop(interrupt.await);
}

/// What the service says of its set.
pub(crate) fn about(set: &Dataset, notice: Option<&Notice>) -> About {
    About {
        name: set.name.clone(),
        users: set.users.len(),
        videos: set.videos.len(),
        events: set.events().len(),
        digest: set.digest(),
        licence: notice.map(|notice| notice.licence.clone()),
        notice: notice.map(|notice| notice.text.clone()),
    }
}

/// The run's models and report; a run without models is trained first, and one whose indexes are missing gets them if it may be
/// written.
///
/// # Errors
/// When a file was changed, or the models cannot be fitted.
pub(crate) fn models(
    path: &Path,
    folder: &RunFolder,
    config: &FeedConfig,
    may_build: bool,
) -> Result<(FeedModels, Option<serde_json::Value>)> {
    let model = match run::read_file(path, MODEL_FILE)? {
        Some(bytes) => bytes,
        None => {
            tracing::info!("{} has no models yet: fitting them once", path.display());
            let conditions = conditions(folder, folder.manifest.seed)?;
            match train(path, folder, &conditions) {
                Ok(_) => {}
                // What is too small to be measured, or leaks, can be served all the same.
                Err(error)
                    if error.is::<OpenLeak>()
                        || matches!(error.downcast_ref(), Some(SplitError::Empty { .. })) =>
                {
                    tracing::warn!("{error}; there is no results table, and no setting is chosen");
                    add_models(path, folder, &conditions, Choices::new(), None)?;
                }
                Err(error) => return Err(error),
            }
            run::read_file(path, MODEL_FILE)?.context("training left no model file")?
        }
    };
    let report = run::read_file(path, REPORT_FILE)?
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .with_context(|| format!("{}: expected JSON", path.join(REPORT_FILE).display()))?;
    let mut models = serving::from_bytes(&model, &folder.dataset)?;
    if folder.dataset.videos.len() > config.exact_videos_max {
        let settings = indexes::settings(indexes::RECALL);
        let open = if may_build { indexes::open_or_build } else { indexes::open };
        models.indexes = indexes::by_model(open(path, &models, &settings)?);
    }
    Ok((models, report))
}

/// A feed over a run, for commands that answer and end.
pub(crate) struct Opened {
    /// The feed.
    pub(crate) feed: Arc<Feed>,
    /// The outside ids of the run's users.
    pub(crate) users: Vec<String>,
}

/// Opens a run's feed with the store that `serve` left in it, if there is one.
///
/// # Errors
/// When the run cannot be used.
pub(crate) fn open_feed(path: &Path, config: &Config) -> Result<Opened> {
    let folder = run::open(path)?;
    let (models, _) = models(path, &folder, &config.feed, false)?;
    let file = path.join(STORE_FILE);
    // For reading only, so that it can be asked while a service writes it.
    let store: Arc<dyn Store> = if file.exists() {
        Arc::new(Sqlite::open_to_read(&file, config.store.clone())?)
    } else {
        Arc::new(Memory::new(config.store.clone()))
    };
    let relevance = folder.manifest.relevance.parse()?;
    let users = folder.dataset.users.names().iter().map(str::to_string).collect();
    let feed = Feed::new(config.feed.clone(), Arc::new(folder.dataset), relevance, models, store)?;
    if let Some(rules) = upnext_serve::rules_in(&path.join(RULES_FILE))? {
        feed.set_rules(rules)?;
    }
    Ok(Opened { feed: Arc::new(feed), users })
}
