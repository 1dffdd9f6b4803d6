//! `upnext serve`: a run folder over HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use upnext_data::{Dataset, Relevance, SplitError};
use upnext_ingest::Notice;
use upnext_ingest::run::{self, RunFolder};
use upnext_map::MapConfig;
use upnext_math::memory::parts_max;
use upnext_models::zoo::Choices;
use upnext_pipeline::{Feed, FeedModels};
use upnext_serve::{About, AppState, Reload, ServeConfig, ServeError, TasteMap, TelemetryConfig, Tenants};
use upnext_store::{Store, StoreConfig};

use crate::command::retrain::Terms;
use crate::command::train::{MODEL_FILE, REPORT_FILE, add_models, conditions, train};
use crate::config::Config;
use crate::drawing::{self, Known};
use crate::evaluation::OpenLeak;
use crate::learning::leave_signals_to_service;
use crate::pictures::OfRun;
use crate::retention::Keeper;
use crate::retraining::{Follower, Running, Schedule, Versions, follow};
use crate::stores::{Place, STORE_FILE};
use crate::{WrongUse, indexes, output, serving};

/// Arguments of `serve`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext serve runs/mine --listen 127.0.0.1:8088\n  UPNEXT_KEY=secret upnext serve runs/mine --listen 0.0.0.0:8088\n  upnext serve --tenant films=runs/films --tenant songs=runs/songs --config upnext.toml\n  upnext serve runs/mine --retrain 'every=6h memory-max=16GiB'"
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
    /// Where to listen for gRPC too (proto/upnext.proto); needs a build with the feature `scale`
    #[arg(long, value_name = "ADDRESS")]
    grpc: Option<String>,
    /// A key that may do everything; this or a file of keys is required when the address is not loopback
    #[arg(long, env = "UPNEXT_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The store: a file, or a database that several processes share, as postgres://user@host/database; a URL with a password is better
    /// given as UPNEXT_STORE. Without it, store.sqlite in the run folder
    #[arg(long, value_name = "FILE|URL")]
    store: Option<String>,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Retrain at intervals, each time in a process of its own: `every=6h`, and whatever `upnext retrain` takes, as words
    /// such as keep=5 or memory-max=16GiB
    #[arg(long, value_name = "WORDS")]
    retrain: Option<String>,
    /// Say where it listens as JSON
    #[arg(long)]
    json: bool,
}

/// The file beside the store that keeps rules put over HTTP.
const RULES_FILE: &str = "rules.json";

/// The file beside the store that keeps the acts of administrators.
const AUDIT_FILE: &str = "audit.jsonl";

/// A run folder to be served, and where its store is.
struct Served {
    /// Empty where it is the only one.
    name: String,
    run: PathBuf,
    store: Place,
}

impl ServeArgs {
    /// Runs the command until it is told to stop.
    ///
    /// # Errors
    /// When a run, a store, a key or the address cannot be used.
    pub(crate) fn run(self) -> Result<()> {
        let mut config = Config::read(self.config.as_deref())?;
        let places = self.places(&config.store)?;
        config.serve.key = self.key.or(config.serve.key);
        let asked = (self.store.as_deref(), self.config.as_deref());
        let schedules = self.retrain.as_deref().map(|words| schedules(words, &places, asked));
        let schedules = schedules.transpose()?.unwrap_or_default();
        let mut folders = Vec::with_capacity(places.len());
        for place in &places {
            let versions = Versions::of(&place.run);
            let number = versions.current()?;
            folders.push((number, run::open(&versions.folder(number))?));
        }
        allow_connections();
        // The address and the stores first: what is refused is refused before models are fitted.
        let runtime = runtime()?;
        let listener = runtime.block_on(upnext_serve::bind(&self.listen)).map_err(|error| match error {
            ServeError::Address { .. } => WrongUse::of("--listen", error).into(),
            error => anyhow::Error::from(error),
        })?;
        upnext_serve::check_exposure(&listener, &config.serve)?;
        let twin = self.grpc.as_deref().map(|address| twin(&runtime, address, &config.serve)).transpose()?;
        let mut tenants = Tenants::new(config.serve.clone())?;
        let (mut opened, mut keepers) = (Vec::new(), Vec::new());
        for (place, (number, folder)) in places.into_iter().zip(folders) {
            let store = place.store.open(&config.store)?;
            let about = about(&folder.dataset, folder.manifest.notice.as_ref());
            let state = match place.name.as_str() {
                "" => {
                    let state = AppState::new(Arc::clone(&store), config.serve.clone(), about)?;
                    tenants = state.clone().into();
                    state
                }
                name => tenants.add(name, Arc::clone(&store), about)?,
            };
            state.keep_audit_in(place.store.beside(&place.run, AUDIT_FILE))?;
            let told = state.clone();
            keepers.extend(Keeper::start(Arc::clone(&store), &config.store, move |step| told.cleared(step))?);
            let again = Arc::new(AtomicBool::new(false));
            opened.push(OpenedPlace { place, number, folder, store, state, again });
        }
        let retraining = schedules.into_iter().map(Schedule::start).collect::<Result<Vec<Running>>>()?;
        let scheme = if config.serve.tls_cert.as_os_str().is_empty() { "http" } else { "https" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        // Who asks meanwhile hears that models are not ready, instead of nothing.
        let (done, loaded) = tokio::sync::oneshot::channel();
        let telemetry = config.telemetry.clone();
        let twin_ends_within =
            Duration::from_millis(config.serve.stop_milliseconds_max).saturating_add(TWIN_ENDS_WITHIN);
        let (json, file) = (self.json, self.config);
        let again: Vec<Arc<AtomicBool>> = opened.iter().map(|opened| Arc::clone(&opened.again)).collect();
        thread::Builder::new().name("loading".into()).spawn(move || {
            let published = opened
                .into_iter()
                .map(|opened| publish_and_follow(opened, &config, file.as_deref()))
                .collect::<Result<Vec<Follower>>>();
            leave_signals_to_service();
            let _ = done.send(published.and_then(|followers| say_where(&url, json).map(|()| followers)));
        })?;
        runtime.spawn(reload_when_told(tenants.reload(), again));
        let twin = twin.map(|twin| serve_twin(&runtime, twin, &tenants)).transpose()?;
        let exporter = export_spans(&runtime, telemetry, &tenants)?;
        let mut followers = Vec::new();
        let ended = runtime.block_on(async {
            let mut serving = std::pin::pin!(upnext_serve::serve(listener, tenants, stop_signal()));
            tokio::select! {
                ended = &mut serving => return ended.map_err(anyhow::Error::from),
                loaded = loaded => followers = loaded.context("loading panicked")??,
            }
            Ok(serving.await?)
        });
        retraining.iter().for_each(Running::end);
        followers.into_iter().for_each(Follower::end);
        // Its calls in flight may finish, too; where HTTP failed nobody told it to stop.
        if let (Some(twin), Ok(())) = (twin, &ended) {
            let _ = runtime.block_on(async { tokio::time::timeout(twin_ends_within, twin).await });
        }
        finish_spans(&runtime, exporter);
        drop(keepers);
        ended?;
        tracing::info!("stopped");
        Ok(())
    }

    fn places(&self, config: &StoreConfig) -> Result<Vec<Served>> {
        if let Some(run) = self.run.clone() {
            let store = Place::of(self.store.as_deref(), config, &run);
            return Ok(vec![Served { name: String::new(), run, store }]);
        }
        if config.url.is_some() {
            let why =
                "each has a store of its own, in its run folder; to use databases, start a process for each";
            return Err(WrongUse::of("--tenant", why).into());
        }
        let place = |tenant: &String| {
            let (name, run) =
                (tenant.split_once('=').filter(|(name, run)| !name.is_empty() && !run.is_empty()))
                    .ok_or_else(|| WrongUse::of("--tenant", format!("{tenant:?}: expected NAME=RUN")))?;
            let run = PathBuf::from(run);
            Ok(Served { name: name.to_owned(), store: Place::File(run.join(STORE_FILE)), run })
        };
        self.tenant.iter().map(place).collect()
    }
}

/// A run that was opened, and not yet published.
struct OpenedPlace {
    place: Served,
    /// The version of the run that is in `folder`.
    number: u32,
    folder: RunFolder,
    store: Arc<dyn Store>,
    state: AppState,
    /// That it shall be published again, by what the configuration says then.
    again: Arc<AtomicBool>,
}

/// Lets a state serve a version of a run, and from then on whatever version is to be served, by what the file of the
/// configuration says at that time.
fn publish_and_follow(opened: OpenedPlace, config: &Config, file: Option<&Path>) -> Result<Follower> {
    let OpenedPlace { place, number, folder, store, state, again } = opened;
    let versions = Versions::of(&place.run);
    publish(&place, &versions.folder(number), folder, (Arc::clone(&store), &state), config)?;
    let file = file.map(PathBuf::from);
    follow(versions.clone(), number, again, move |number| {
        let (version, config) = (versions.folder(number), Config::read(file.as_deref())?);
        publish(&place, &version, run::open(&version)?, (Arc::clone(&store), &state), &config)
    })
}

/// What `--retrain` asks for, for each run.
///
/// # Errors
/// Names the word that cannot be meant.
fn schedules(words: &str, places: &[Served], asked: (Option<&str>, Option<&Path>)) -> Result<Vec<Schedule>> {
    let wrong = |why: String| WrongUse::of("--retrain", why);
    let (mut every, mut more) = (None, Vec::new());
    for word in words.split_whitespace() {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| wrong(format!("`{word}`: expected words such as every=6h or memory-max=16GiB")))?;
        match key {
            "every" => {
                let time = value.parse::<jiff::SignedDuration>().ok();
                let time = time.and_then(|time| Duration::try_from(time).ok());
                let time = time.filter(|time| *time >= Duration::from_secs(1));
                every = Some(time.ok_or_else(|| {
                    wrong(format!("`{word}`: expected a time such as every=6h or every=90m"))
                })?);
            }
            key => more.extend([format!("--{key}"), value.to_string()]),
        }
    }
    let every = every.ok_or_else(|| wrong(format!("`{words}`: expected every=6h among the words")))?;
    Terms::parsed(&more).map_err(|error| wrong(error.to_string()))?.check()?;
    // A URL with a password stands in the environment, which the process inherits.
    let (store, config) = asked;
    let of = |place: &Served| {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut words = vec!["retrain".to_string(), text(&place.run)];
        words.extend(store.iter().flat_map(|store| ["--store".to_string(), store.to_string()]));
        words.extend(config.iter().flat_map(|config| ["--config".to_string(), text(config)]));
        words.extend_from_slice(&more);
        Schedule { every, words }
    };
    Ok(places.iter().map(of).collect())
}

/// Lets a state serve what a version of its run holds.
fn publish(
    place: &Served,
    version: &Path,
    folder: RunFolder,
    (store, state): (Arc<dyn Store>, &AppState),
    config: &Config,
) -> Result<()> {
    let (models, report) = models(version, &folder, config, true)?;
    let relevance: Relevance = folder.manifest.relevance.parse()?;
    let set = Arc::new(folder.dataset);
    if let Some(pictures) = OfRun::open(version, &set) {
        state.set_pictures(Arc::new(pictures));
    }
    let painter = Painter {
        run: version.into(),
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
    state.keep_rules_in(place.store.beside(&place.run, RULES_FILE))?;
    state.set_map(TasteMap::Drawing);
    thread::Builder::new().name("taste map".into()).spawn(move || painter.run())?;
    if let Some(report) = report {
        state.set_report(report);
    }
    Ok(())
}

/// Lets the process have as many files, and so connections, open as the system allows it: the usual bound is for programs that still use
/// `select`.
fn allow_connections() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: maximum, maximum };
        if current != maximum && setrlimit(Resource::Nofile, raised).is_err() {
            tracing::debug!(?current, ?maximum, "the number of open files stays as it is");
        }
    }
}

/// The listener for gRPC.
#[cfg(feature = "scale")]
fn twin(runtime: &Runtime, address: &str, config: &ServeConfig) -> Result<TcpListener> {
    let listener = runtime.block_on(upnext_serve::bind(address)).map_err(|error| match error {
        ServeError::Address { .. } => WrongUse::of("--grpc", error).into(),
        error => anyhow::Error::from(error),
    })?;
    upnext_serve::check_exposure(&listener, config)?;
    Ok(listener)
}

#[cfg(not(feature = "scale"))]
fn twin(_: &Runtime, _: &str, _: &ServeConfig) -> Result<TcpListener> {
    let why = "this build speaks no gRPC; build it with `cargo build --release --features scale`";
    Err(WrongUse::of("--grpc", why).into())
}

/// Answers gRPC beside HTTP.
#[cfg(feature = "scale")]
fn serve_twin(runtime: &Runtime, listener: TcpListener, tenants: &Tenants) -> Result<JoinHandle<()>> {
    tracing::info!("serving gRPC on {}", listener.local_addr()?);
    let served = upnext_serve::grpc::serve(listener, tenants.clone(), stop_signal());
    Ok(runtime.spawn(async move {
        if let Err(error) = served.await {
            tracing::error!("gRPC: {error}");
        }
    }))
}

#[cfg(not(feature = "scale"))]
fn serve_twin(runtime: &Runtime, _: TcpListener, _: &Tenants) -> Result<JoinHandle<()>> {
    Ok(runtime.spawn(async {}))
}

/// Hands spans of requests on to a collector, where the configuration or the environment names one.
#[cfg(feature = "scale")]
fn export_spans(
    runtime: &Runtime,
    config: TelemetryConfig,
    tenants: &Tenants,
) -> Result<Option<upnext_serve::Exporter>> {
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let is_of_environment = config.otlp_url.is_empty();
    let Some((config, headers)) = crate::traces::wanted(config, said) else { return Ok(None) };
    let Some(recorded) = tenants.record(&config) else { return Ok(None) };
    let _runtime = runtime.enter();
    let exporter = match upnext_serve::Exporter::start(&config, &headers, recorded) {
        Ok(exporter) => exporter,
        // What the environment says is said to every process of a machine, so it is no reason not to serve.
        Err(error) if is_of_environment => {
            tracing::warn!("OTEL_EXPORTER_OTLP_…: {error}; no spans go out");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    tracing::info!(url = config.otlp_url, "spans of requests go to a collector");
    Ok(Some(exporter))
}

#[cfg(feature = "scale")]
fn finish_spans(runtime: &Runtime, exporter: Option<upnext_serve::Exporter>) {
    if let Some(exporter) = exporter {
        runtime.block_on(exporter.finish());
    }
}

#[cfg(not(feature = "scale"))]
fn export_spans(_: &Runtime, config: TelemetryConfig, _: &Tenants) -> Result<()> {
    match config.otlp_url.is_empty() {
        true => Ok(()),
        false => anyhow::bail!(
            "`otlp_url` of [telemetry]: this build exports no spans; build it with `cargo build --release --features scale`"
        ),
    }
}

#[cfg(not(feature = "scale"))]
fn finish_spans(_: &Runtime, (): ()) {}

/// How much longer than its own bound for calls in flight a stop waits for the gRPC twin.
const TWIN_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Reads keys, certificates and what the configuration says of the feed again at SIGHUP.
async fn reload_when_told(reload: Reload, again: Vec<Arc<AtomicBool>>) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        while hangup.recv().await.is_some() {
            reload.now();
            again.iter().for_each(|again| again.store(true, Ordering::Release));
        }
    }
    #[cfg(not(unix))]
    drop((reload, again));
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
    // Threads for blocking work come and go; by glibc's default each could keep 64 MiB of holes.
    parts_max(std::thread::available_parallelism().map_or(2, std::num::NonZero::get).max(2));
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
    config: &Config,
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
    if folder.dataset.videos.len() > config.feed.exact_videos_max {
        models.indexes = indexes::for_serving(path, &models, &config.store, may_build)?;
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

/// Opens the feed of the version of a run that is served, with the store that `serve` left in the run, if there is one.
///
/// # Errors
/// When the run cannot be used.
pub(crate) fn open_feed(path: &Path, config: &Config) -> Result<Opened> {
    let versions = Versions::of(path);
    let place = Place::of(None, &config.store, path);
    open_version(path, &versions.folder(versions.current()?), &place, config)
}

/// The same of one version of a run, and of a store wherever it lies.
///
/// # Errors
/// As [`open_feed`].
pub(crate) fn open_version(root: &Path, version: &Path, place: &Place, config: &Config) -> Result<Opened> {
    let folder = run::open(version)?;
    let (models, _) = models(version, &folder, config, false)?;
    // For reading only, so that it can be asked while a service writes it.
    let store = place.open_to_read(&config.store)?;
    let relevance = folder.manifest.relevance.parse()?;
    let users = folder.dataset.users.names().iter().map(str::to_string).collect();
    let feed = Feed::new(config.feed.clone(), Arc::new(folder.dataset), relevance, models, store)?;
    if let Some(rules) = upnext_serve::rules_in(&place.beside(root, RULES_FILE))? {
        feed.set_rules(rules)?;
    }
    Ok(Opened { feed: Arc::new(feed), users })
}
