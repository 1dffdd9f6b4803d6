//! From the files or the run folder of a command line to a dataset.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use upnext_data::{Dataset, Log, Order, Relevance, SplitRule};
use upnext_ingest::vectors::{self, Stored};
use upnext_ingest::{CleaningReport, Format, IngestError, Map, Notice, Options, SqlOptions, Vectors};

use crate::{WrongUse, progress};

/// The files, and what is to be known of them.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DataArgs {
    /// Files of one log, one folder of a known format, a run folder, or the URL of a database
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// auto, csv, parquet, jsonl, kuairec, kuairand, movielens, microlens, personalize, metarank, gorse, recbole,
    /// s3rec, sasrec, sequences, parts (tiktok, mmrec)
    #[arg(long, default_value = "auto", value_name = "FORMAT")]
    pub(crate) format: String,
    /// Which column holds what, for example user=uid,video=vid,time=ts
    #[arg(long, value_name = "FIELD=COLUMN,…")]
    pub(crate) map: Option<String>,
    /// Features of videos beside the log, for example Beauty_item2attributes.json
    #[arg(long, value_name = "FILE")]
    pub(crate) features: Vec<PathBuf>,
    /// What counts as relevant, for example "liked or watch_ratio>=0.5"
    #[arg(long, value_name = "RULE")]
    pub(crate) relevance: Option<String>,
    /// The set's name; without it, that of the file
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) sql: SqlArgs,
}

/// What is read of a database, where the URL of one stands in place of files. A password may also stand in
/// `PGPASSWORD`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SqlArgs {
    /// Read the events by this query instead of joining the two tables
    #[arg(long = "sql", value_name = "SELECT …")]
    query: Option<String>,
    /// The table of interactions [default: interaction_filtered]
    #[arg(long, value_name = "TABLE", conflicts_with = "query")]
    sql_events: Option<String>,
    /// The table of videos, or - for none [default: video_metadata, if it is there]
    #[arg(long, value_name = "TABLE")]
    sql_videos: Option<String>,
    /// At most so many interactions of a user, the latest
    #[arg(long, value_name = "N", conflicts_with = "query", value_parser = clap::value_parser!(u32).range(1..))]
    events_per_user: Option<u32>,
    /// Users whose interactions are asked for at once [default: 1000]
    #[arg(long, value_name = "N", conflicts_with = "query", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users_per_batch: Option<u32>,
}

impl SqlArgs {
    fn options(&self) -> SqlOptions {
        let usual = SqlOptions::default();
        SqlOptions {
            query: self.query.clone(),
            events: self.sql_events.clone().unwrap_or(usual.events),
            videos: self.sql_videos.clone(),
            users_per_batch: self.users_per_batch.map_or(usual.users_per_batch, |n| n as usize),
            events_per_user: self.events_per_user,
            // As PostgreSQL's own tools do: a command line is seen by everyone on the machine.
            password: std::env::var("PGPASSWORD").ok().filter(|password| !password.is_empty()),
        }
    }
}

/// What is dropped, and what a reader may use.
#[derive(Args, Clone, Debug)]
pub(crate) struct CleanArgs {
    /// Rules of cleaning: default, kuairec (missing values, equal rows, times of zero or before) or none
    #[arg(long, default_value = "default", value_name = "SET")]
    rules: String,
    /// One rule otherwise, for example near-duplicate=30, bots=120/minute, k-core=5, duplicate=off; may stand again
    #[arg(long, value_name = "RULE=VALUE")]
    rule: Vec<String>,
    /// Stop at the first row that cannot be read, with its file and line
    #[arg(long)]
    strict: bool,
    /// Most memory, for example 512MiB or 2GiB; rows beyond it wait on disk
    #[arg(long, default_value = "2GiB", value_name = "BYTES")]
    memory: String,
}

impl CleanArgs {
    /// Puts the rules into options.
    ///
    /// # Errors
    /// When a rule cannot be meant.
    pub(crate) fn apply(&self, options: &mut Options) -> Result<(), WrongUse> {
        options.rules = self.rules.parse().map_err(|error| WrongUse::of("--rules", error))?;
        for rule in &self.rule {
            options.rules.set(rule).map_err(|error| WrongUse::of("--rule", error))?;
        }
        options.strict = self.strict;
        Ok(())
    }

    /// Most memory in bytes.
    ///
    /// # Errors
    /// When that is no size.
    pub(crate) fn memory_bytes(&self) -> Result<usize, WrongUse> {
        bytes_of("--memory", &self.memory)
    }
}

/// A dataset and what is known of where it came from.
pub(crate) struct Loaded {
    /// The clean set.
    pub(crate) dataset: Dataset,
    /// What counts as relevant in it.
    pub(crate) relevance: Relevance,
    /// What was read and dropped; a run folder keeps it.
    pub(crate) cleaning: CleaningReport,
    /// What the files were taken for.
    pub(crate) recognised: String,
    /// What a user of the data should be told.
    pub(crate) notice: Option<Notice>,
    /// Vectors that stood in the tables of a set that is no run, and files of them beside.
    pub(crate) vectors: (Vec<Vectors>, Vec<PathBuf>),
}

impl Loaded {
    /// The vectors of videos that lie in a set that is no run.
    ///
    /// # Errors
    /// When a file of them is no matrix of floats.
    pub(crate) fn vectors(&self) -> Result<Arc<[Stored]>> {
        let names = self.dataset.videos.names();
        let (in_tables, files) = &self.vectors;
        let mut all = Vec::new();
        for of in in_tables {
            all.push(vectors::of_set(names, of)?);
        }
        for file in files {
            match vectors::beside(names, file)? {
                Some(stored) => all.push(stored),
                None => tracing::info!(
                    "{0}: left aside, since nothing says which row is which video; expected ids that are row numbers, or \
                     a file of the same name with the ending .ids and an id a line",
                    file.display()
                ),
            }
        }
        Ok(all.into())
    }
}

/// Relevance of KuaiRec's files: watched at least once through, or listed as such.
const KUAIREC_RELEVANCE: &str = "watch_ratio>=1 or watch";

impl DataArgs {
    /// Reads what the arguments name.
    ///
    /// # Errors
    /// Whatever `ingest` says of the files.
    pub(crate) fn load(&self) -> Result<Loaded> {
        let (options, given) = self.options()?;
        if let [folder] = &self.files[..]
            && upnext_ingest::run::is_run(folder)
        {
            let run = upnext_ingest::run::open(folder)?;
            let relevance = match given {
                Some(rule) => rule,
                None => run.manifest.relevance.parse()?,
            };
            return Ok(Loaded {
                dataset: run.dataset,
                relevance,
                cleaning: run.cleaning,
                recognised: "a run folder".into(),
                notice: run.manifest.notice,
                vectors: Default::default(),
            });
        }
        let imported = progress::importing(|told| upnext_ingest::read(&self.files, &options, told))?;
        let relevance =
            relevance_of(given.as_ref(), &imported.recognised, || natural_relevance(&imported.dataset));
        Ok(Loaded {
            dataset: imported.dataset,
            relevance,
            cleaning: imported.cleaning,
            recognised: imported.recognised,
            notice: imported.notice,
            vectors: (imported.vectors, imported.vector_files),
        })
    }

    /// How to read, and the rule of relevance if one was given.
    ///
    /// # Errors
    /// When an argument cannot be meant.
    pub(crate) fn options(&self) -> Result<(Options, Option<Relevance>)> {
        let given: Option<Relevance> = self
            .relevance
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error| WrongUse::of("--relevance", error))?;
        let format: Format = self.format.parse().map_err(|error| WrongUse::of("--format", error))?;
        // The message names `--map` itself.
        let map: Map = self
            .map
            .as_deref()
            .unwrap_or_default()
            .parse()
            .map_err(|error: IngestError| WrongUse(error.to_string()))?;
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .context("the clock is before 1970: set it")?
            .as_millis() as i64;
        let options = Options {
            name: self.name.clone(),
            format,
            map,
            features: self.features.clone(),
            relevance: given.clone().unwrap_or_default(),
            now: Some(now),
            sql: self.sql.options(),
            ..Options::default()
        };
        Ok((options, given))
    }
}

/// The rule of relevance: as given, as a known set has it, or as reads naturally.
pub(crate) fn relevance_of(
    given: Option<&Relevance>,
    recognised: &str,
    natural: impl FnOnce() -> Relevance,
) -> Relevance {
    match given {
        Some(rule) => rule.clone(),
        None if recognised.starts_with("kuairec") => {
            KUAIREC_RELEVANCE.parse().expect("the rule of KuaiRec is well formed")
        }
        None => natural(),
    }
}

/// The default rule, or the one of its terms that alone says the same of a set: a line that people can read.
fn natural_relevance(set: &Dataset) -> Relevance {
    let all = Relevance::default();
    ["rating", "watch", "liked", "watch_ratio>=0.5"]
        .iter()
        .filter_map(|term| term.parse::<Relevance>().ok())
        .find(|rule| set.events().iter().all(|event| rule.judge(&event) == all.judge(&event)))
        .unwrap_or(all)
}

/// A split by its name on the command line.
///
/// # Errors
/// When there is no such split.
pub(crate) fn parse_split(name: Option<&str>) -> Result<Option<SplitRule>, WrongUse> {
    name.map(str::parse).transpose().map_err(|error| WrongUse::of("--split", error))
}

/// The split that fits a set, where none is asked for.
pub(crate) fn natural_split<L: Log>(log: &L) -> SplitRule {
    match (log.has_parts(), log.set().order) {
        (true, _) => SplitRule::Given,
        (false, Order::Unordered) => SplitRule::Random,
        (false, Order::Timed | Order::Sequence) => SplitRule::LeaveLastOut,
    }
}

/// Milliseconds since 1970 of a date or time (UTC where it names no zone), of seconds or of milliseconds.
pub(crate) fn moment(text: &str) -> Option<i64> {
    /// Numbers below this many are seconds: as milliseconds they would lie in 1973.
    const SECONDS_MAX: i64 = 100_000_000_000;
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Some(if number.abs() < SECONDS_MAX { number * 1_000 } else { number });
    }
    let zoned = || text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    let local = || {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
    };
    zoned().or_else(local)
}

/// A size such as `512MiB` or `2GiB`, of at least 64 MiB, in bytes.
///
/// # Errors
/// Names the argument, where that is no size.
pub(crate) fn bytes_of(argument: &str, text: &str) -> Result<usize, WrongUse> {
    const LEAST: usize = 64 << 20;
    let text = text.trim();
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1.0),
        "kb" => Some(1e3),
        "mb" => Some(1e6),
        "gb" => Some(1e9),
        "k" | "kib" => Some(1024.0),
        "m" | "mib" => Some(1024.0 * 1024.0),
        "g" | "gib" => Some(1024.0 * 1024.0 * 1024.0),
        _ => None,
    };
    match (text[..end].parse::<f64>(), unit) {
        (Ok(number), Some(unit)) if (number * unit) as usize >= LEAST => Ok((number * unit) as usize),
        _ => Err(WrongUse::of(
            argument,
            format!("`{text}` is no size of at least 64MiB; expected for example 512MiB or 2GiB"),
        )),
    }
}
