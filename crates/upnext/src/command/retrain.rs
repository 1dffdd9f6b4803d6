//! `upnext retrain`: a new version of a run, with what its store learnt; checked, then served.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, FromArgMatches};
use upnext_eval::Report;
use upnext_ingest::pictures;
use upnext_ingest::run::{self, RunFolder};
use upnext_ingest::vectors::{self, Vectors};
use upnext_models::checkpoint;
use upnext_models::zoo::Kind;
use upnext_pipeline::Request;

use crate::command::eval::parse_models;
use crate::command::recommend::now;
use crate::command::serve::open_version;
use crate::command::train::{MODEL_FILE, conditions, train};
use crate::config::Config;
use crate::evaluation::vectors_of;
use crate::learning::Learning;
use crate::loading::bytes_of;
use crate::retraining::{Added, Versions, grown};
use crate::stores::Place;
use crate::{WrongUse, output};

/// Arguments of `retrain`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  upnext retrain runs/mine\n  upnext serve runs/mine --retrain every=6h")]
pub(crate) struct RetrainArgs {
    /// The run folder, which a service may be serving
    run: PathBuf,
    /// The store: a file, or a database as postgres://user@host/database; without it, store.sqlite in the run folder
    #[arg(long, value_name = "FILE|URL")]
    store: Option<String>,
    #[command(flatten)]
    terms: Terms,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What retraining takes and asks for.
#[derive(Args, Clone, Debug)]
pub(crate) struct Terms {
    /// Models of the results table
    #[arg(long, value_delimiter = ',', default_value = "popular,markov,item-knn,ease,closed-blend")]
    models: Vec<String>,
    /// What ranks requests; without it `auto` where that ranks now, else closed-blend
    #[arg(long, value_name = "MODEL")]
    ranker: Option<String>,
    /// Minutes in which `auto` tries and weighs (15)
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// Measure on at most so many questions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    questions: Option<u32>,
    /// The model that the ranker must be at least as good as, in the first metric of the table; `none` asks for nothing
    #[arg(long, default_value = "popular", value_name = "MODEL")]
    floor: String,
    /// Versions that are kept beside the run itself
    #[arg(long, default_value_t = 3, value_name = "N")]
    keep: usize,
    /// Memory that it may ask for, 16GiB for example; more ends it, and what is served goes on
    #[arg(long, value_name = "BYTES")]
    memory_max: Option<String>,
}

impl Terms {
    /// From words of a command line.
    ///
    /// # Errors
    /// In clap's words.
    pub(crate) fn parsed(words: &[String]) -> Result<Self, clap::Error> {
        let command = Self::augment_args(clap::Command::new("retrain").no_binary_name(true));
        Self::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    /// Checks what can be checked before anything is read.
    ///
    /// # Errors
    /// Names the argument that cannot be meant.
    pub(crate) fn check(&self) -> Result<(Vec<Kind>, Option<Kind>)> {
        let ranker = self.ranker.as_deref().map(str::parse).transpose();
        let ranker: Option<Kind> = ranker.map_err(|error| WrongUse::of("--ranker", error))?;
        let mut models = parse_models(&self.models)?;
        if let Some(ranker) = ranker.filter(|ranker| !models.contains(ranker)) {
            models.push(ranker);
        }
        if self.floor != "none" {
            let floor: Kind = self.floor.parse().map_err(|error| WrongUse::of("--floor", error))?;
            if !models.contains(&floor) {
                models.push(floor);
            }
        }
        if self.keep == 0 {
            return Err(WrongUse::of("--keep", "expected at least 1").into());
        }
        self.memory_max()?;
        Learning::default().within(self.minutes)?;
        Ok((models, ranker))
    }

    fn memory_max(&self) -> Result<Option<usize>, WrongUse> {
        self.memory_max.as_deref().map(|text| bytes_of("--memory-max", text)).transpose()
    }
}

/// What became of it.
#[derive(Debug, serde::Serialize)]
struct Retrained {
    version: u32,
    run: PathBuf,
    added: Added,
    metric: String,
    ranker: (String, f64),
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<(String, f64)>,
    removed: Vec<u32>,
    seconds: f64,
}

/// `auto` where it ranks what is served, else the closed blend.
fn ranks_now(versions: &Versions) -> Kind {
    let served = versions.current().map(|number| versions.folder(number));
    let bytes = served.ok().and_then(|folder| fs::read(folder.join(MODEL_FILE)).ok());
    let name = bytes.and_then(|bytes| checkpoint::blend_name(&bytes).ok().flatten());
    if name.as_deref() == Some(Kind::Auto.name()) { Kind::Auto } else { Kind::ClosedBlend }
}

impl RetrainArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the run or its store cannot be read, the models cannot be fitted, or what was fitted does not pass.
    pub(crate) fn run(self) -> Result<()> {
        let (mut models, ranker) = self.terms.check()?;
        if std::env::var_os(OF_SERVICE).is_some() {
            end_with_parent()?;
        }
        if let Some(bytes) = self.terms.memory_max()? {
            limit_memory(bytes)?;
        }
        let config = Config::read(self.config.as_deref())?;
        let begun = Instant::now();
        let versions = Versions::of(&self.run);
        let base = run::open(&self.run)?;
        let ranker = ranker.unwrap_or_else(|| ranks_now(&versions));
        if !models.contains(&ranker) {
            models.push(ranker);
        }
        let _alone = versions.alone()?;
        let place = Place::of(self.store.as_deref(), &config.store, &self.run);
        if let Place::File(file) = &place {
            ensure!(
                file.exists(),
                "{}: there is no store, so nothing was learnt since the run was made; `upnext serve` makes one",
                file.display()
            );
        }
        let store = place.open_to_read(&config.store)?;
        let (set, added) = grown(&base, store.as_ref(), &config.feed, now())?;
        // It has no number before it has passed, so that nothing ever goes back to one that did not.
        let (number, making) = (versions.next(), versions.making());
        let made = self.make(&making, &base, &set, (&models, ranker)).and_then(|report| {
            let passed = self.pass(&report, ranker)?;
            check_answers(&self.run, &making, &place, &config)?;
            versions.made(number)?;
            versions.serve(number)?;
            Ok(passed)
        });
        let (metric, ranker, floor) = match made {
            Ok(passed) => passed,
            Err(error) => {
                let _ = fs::remove_dir_all(&making);
                return Err(error);
            }
        };
        let removed = versions.keep(self.terms.keep)?;
        let seconds = begun.elapsed().as_secs_f64();
        let run = versions.folder(number);
        let done = Retrained { version: number, run, added, metric, ranker, floor, removed, seconds };
        if self.json {
            return output::print(&serde_json::to_string(&done)?);
        }
        output::print(&in_words(&done))
    }

    /// Writes and trains a version.
    fn make(
        &self,
        folder: &Path,
        base: &RunFolder,
        set: &upnext_data::Dataset,
        (models, ranker): (&[Kind], Kind),
    ) -> Result<Report> {
        let about = run::About {
            relevance: base.manifest.relevance.clone(),
            notice: base.manifest.notice.clone(),
            recognised: base.manifest.recognised.clone(),
            command: base.manifest.command.clone(),
            seed: base.manifest.seed,
        };
        run::write(folder, set, &base.cleaning, &about, false)?;
        for name in vectors::names(&self.run)? {
            let Some(stored) = vectors::read(&self.run, &name)? else { continue };
            let mut taken = Vectors { name, dim: stored.dim, ..Vectors::default() };
            for (row, _) in stored.present.iter().enumerate().filter(|(_, present)| **present) {
                taken.ids.push(base.dataset.videos.name(row as u32).to_string());
                taken.values.extend_from_slice(&stored.values[row * stored.dim..(row + 1) * stored.dim]);
            }
            vectors::add(folder, &taken)?;
        }
        pictures::carry(&self.run, base.dataset.videos.len(), folder, set.videos.len())?;
        let opened = run::open(folder)?;
        let mut conditions = conditions(&opened, base.manifest.seed)?;
        (conditions.models, conditions.ranker) = (models.to_vec(), ranker);
        conditions.questions_max = self.terms.questions.map(|n| n as usize);
        conditions.vectors = vectors_of(folder)?;
        conditions.learning = conditions.learning.within(self.terms.minutes)?;
        train(folder, &opened, &conditions)
    }

    /// That the ranker stands at least as high as the floor: the first metric, both, by name.
    fn pass(&self, report: &Report, ranker: Kind) -> Result<(String, Named, Option<Named>)> {
        let metric = report.headline.clone();
        let value = |name: &str| -> Result<Named> {
            let model = report.models.iter().find(|model| model.name == name);
            let mean = model.and_then(|model| model.metrics.get(&metric)).map(|interval| interval.mean);
            Ok((name.to_string(), mean.with_context(|| format!("the table has no {metric} of {name}"))?))
        };
        let ranker = value(ranker.name())?;
        let floor = (self.terms.floor != "none").then(|| value(&self.terms.floor)).transpose()?;
        if let Some((name, least)) = &floor
            && ranker.1 < *least
        {
            bail!(
                "{} has {metric} {:.4}, less than {name} with {least:.4}: it is not served (--floor none would)",
                ranker.0,
                ranker.1
            );
        }
        Ok((metric, ranker, floor))
    }
}

type Named = (String, f64);

/// That a version opens with its digests, and answers a stranger without a failure.
fn check_answers(run: &Path, folder: &Path, store: &Place, config: &Config) -> Result<()> {
    let opened = open_version(run, folder, store, config)?;
    let response = opened.feed.recommend(&Request { n: 1, now: now(), ..Request::default() });
    if let Some(failure) = response.failures.first() {
        bail!("{}: a question is answered with a failure: {failure:?}", folder.display());
    }
    Ok(())
}

/// Set where a service started this process.
pub(crate) const OF_SERVICE: &str = "UPNEXT_RETRAINING";

/// Lets this process end when the one that started it does, however that ends.
fn end_with_parent() -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("the system does not tell of the service's end")?;
    Ok(())
}

/// Lets this process have so much memory of its own; an allocation beyond it ends the process.
fn limit_memory(bytes: usize) -> Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let hard = getrlimit(Resource::Data).maximum;
        let current = Some(hard.map_or(bytes as u64, |hard| hard.min(bytes as u64)));
        setrlimit(Resource::Data, Rlimit { current, maximum: hard })
            .context("--memory-max: the system does not limit it")?;
    }
    #[cfg(not(unix))]
    tracing::warn!("--memory-max: this system has no such limit ({bytes} bytes)");
    Ok(())
}

fn in_words(done: &Retrained) -> String {
    let Retrained { version, added, metric, ranker, floor, removed, seconds, .. } = done;
    let mut text = format!(
        "version {version} is served from now on: {} events, {} users and {} videos more than the run, {} events fewer\n",
        added.events, added.users, added.videos, added.dropped
    );
    text += &format!("{metric}: {} {:.4}", ranker.0, ranker.1);
    if let Some((name, value)) = floor {
        text += &format!(", {name} {value:.4}");
    }
    if !removed.is_empty() {
        text += &format!("; removed: {removed:?}");
    }
    text + &format!("; {seconds:.1} s")
}
