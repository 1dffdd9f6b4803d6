//! `upnext eval`: how good each model is on a set, under a protocol that is printed.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use upnext_data::{
    Dataset, FOLDS_MAX, GENERATED_COLD, Leak, MONTHS_MAX, Split, SplitRule, month_of, with_cold,
};
use upnext_eval::{Report, TableStyle, Ties};
use upnext_ingest::{Notice, run};
use upnext_models::zoo::Kind;

use crate::ablation::Ablation;
use crate::diagnosis::{self, Diagnosis};
use crate::evaluation::{CandidateRule, Conditions, Evaluation, evaluate_split, vectors_of};
use crate::learning::LearningArgs;
use crate::loading::{DataArgs, natural_split, parse_split};
use crate::new_videos::NewVideos;
use crate::protocols::{self, SideBySide, side_by_side};
use crate::report::draw;
use crate::sweep::{Asked, Sweep};
use crate::{WrongUse, output};

/// Arguments of `eval`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext eval Beauty.txt --format s3rec --features Beauty_item2attributes.json \\\n    --split leave-last-out --models popular,markov,ease,closed-blend --k 10,20 --seed 1 --json\n  upnext eval data/movies --protocols all --models popular,markov,ease\n  upnext eval data/movies --diagnose"
)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    data: DataArgs,
    /// leave-last-out, global-time, per-user-90-10, random, given, rolling, monthly, cold-videos, first-seen or cold-users;
    /// without it, what fits the set
    #[arg(long)]
    split: Option<String>,
    /// Models, or `all`: random, popular, popular-recent, video-mean, video-median, bias, bias-median, item-knn, user-knn,
    /// markov, markov-1, ease, ease-decayed, markov-ease, directed-cosine, directed-cosine-content, walk, slit, svd,
    /// ials, ials-confidence, wmf, bpr, lightgcn, sasrec, bsarec, esasrec, hstu, two-tower, feature-tower, fusion and profile (trained here: minutes), watch-towers, watch-ids, watch-d2q, watch-logistic and
    /// watch-tasks (of watch ratios), content, content-scores (daily statistics of before the first question),
    /// content-neighbours, smoothed-transitions, blend (of those asked for beside it), closed-blend, ranker (the candidates of
    /// closed-blend, or of --set ranker.stage_one=MODEL, in an order learnt from whole lists), auto (tries what fits the set, within --minutes, and blends it)
    #[arg(long, value_delimiter = ',', default_value = "popular,markov,item-knn,ease,closed-blend")]
    models: Vec<String>,
    /// Minutes in which `auto` tries and weighs (15)
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// Lengths of lists
    #[arg(long, value_delimiter = ',', default_value = "10,20")]
    k: Vec<usize>,
    /// Ask at most so many questions, drawn by the seed: each costs a score for every video
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    questions: Option<u32>,
    /// Seed of split, models and bootstrap
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How a relevant video ranks among equal scores
    #[arg(long, value_enum, default_value_t = TiesArg::Pessimistic)]
    ties: TiesArg,
    /// What is ranked
    #[arg(long, value_enum, default_value_t = CandidateRule::Occurring)]
    candidates: CandidateRule,
    /// Resampled sets of users behind each interval
    #[arg(long, default_value_t = 1000, value_name = "N")]
    bootstrap: usize,
    /// Measure models as they are served: with the N strongest entries of each video
    #[arg(long, value_name = "N")]
    neighbours: Option<usize>,
    /// Windows of `--split rolling`, each a tenth of the pairs by time (3), or months of `--split monthly` (6)
    #[arg(long, value_name = "N")]
    folds: Option<usize>,
    /// Ask for N generated cold users too, who have three interactions with popular videos; a table apart
    #[arg(long, default_value_t = 0, value_name = "N")]
    generated_cold_users: usize,
    /// Rank N generated cold videos too, which nobody has seen, and tell how many were shown
    #[arg(long, default_value_t = 0, value_name = "N")]
    generated_cold_videos: usize,
    /// Print a headline over this kind of leak all the same: shared_pairs, time, test_in_history,
    /// features_after_cut, candidate_pool, duplicate_videos, target_feature, all
    #[arg(long, value_name = "NAME")]
    allow_leak: Vec<String>,
    /// Re-rank the lists of the last of the models for variety, from the plain order on: `lambda`, or
    /// lambda=FROM..TO/STEP. By marginal relevance, a determinantal point process and caps; chosen on validation
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["generated_cold_users", "generated_cold_videos"])]
    sweep: Option<String>,
    /// Candidates that a re-rank chooses from
    #[arg(long, value_name = "N", default_value_t = 200, requires = "sweep")]
    pool: usize,
    /// Draw the sweep here: one HTML page that needs no network
    #[arg(long, value_name = "FILE", requires = "sweep")]
    plot: Option<std::path::PathBuf>,
    /// Take a model apart. Of ranker: learnt again without each group of its features, and on each alone, judged on
    /// validation. Of auto, blend and closed-blend: each of their models alone and left out, on the test, and its cost
    #[arg(long, value_name = "MODEL", value_parser = ["auto", "blend", "closed-blend", "ranker"], conflicts_with_all = ["protocols", "diagnose", "neighbours"])]
    ablate: Option<String>,
    /// The same models under several protocols, side by side, and by how much each inflates a figure: all, or splits
    /// (global-time, rolling, leave-last-out, random), rankings (full, sampled-uniform, sampled-popular: one wanted video among
    /// 100 drawn ones, for comparison with papers only) or SPLIT/RANKING
    #[arg(long, value_delimiter = ',', value_name = "WHAT", conflicts_with_all = ["split", "sweep", "generated_cold_users", "generated_cold_videos", "diagnose"])]
    protocols: Vec<String>,
    /// Measure no model on the test: say from train and validation which kind of model pays on this set, and whether it is
    /// an easy one
    #[arg(long, conflicts_with_all = ["sweep", "generated_cold_users", "generated_cold_videos"])]
    diagnose: bool,
    #[command(flatten)]
    learning: LearningArgs,
    /// Write the report here too
    #[arg(long, value_name = "FILE")]
    out: Option<std::path::PathBuf>,
    /// Every metric in the table, not only the first few
    #[arg(long)]
    full: bool,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TiesArg {
    Pessimistic,
    Random,
    Row,
}

/// Longest list that can be asked for.
const K_MAX: usize = 10_000;
/// Most resampled sets of users.
const BOOTSTRAP_MAX: usize = 100_000;
/// What `--allow-leak` knows.
fn leaks() -> Vec<&'static str> {
    Leak::ALL.map(Leak::name).into_iter().chain(["all"]).collect()
}
/// Most generated cold users, and videos.
const GENERATED_MAX: usize = 1_000_000;
/// Without these beside it, a number says little.
const FLOORS: [Kind; 3] = [Kind::Popular, Kind::Markov, Kind::Ease];

impl EvalArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the set cannot be read, cut or measured.
    pub(crate) fn run(self) -> Result<()> {
        let k = parse_k(&self.k)?;
        let mut models = parse_models(&self.models)?;
        let ablate = self.ablate.as_deref().map(str::parse::<Kind>).transpose()?;
        models.extend(ablate.filter(|kind| !models.contains(kind)));
        let split = parse_split(self.split.as_deref())?;
        self.check()?;
        let protocols = match &self.protocols[..] {
            [] => None,
            names => Some(protocols::Asked::new(names)?),
        };
        let sweep =
            self.sweep.as_deref().map(|what| Asked::new(what, self.pool)).transpose().map_err(WrongUse)?;
        let loaded = self.data.load()?;
        tracing::info!("{}: {}", loaded.dataset.name, loaded.recognised);
        let vectors = match &self.data.files[..] {
            [folder] if run::is_run(folder) => vectors_of(folder)?,
            _ => loaded.vectors()?,
        };
        let conditions = Conditions {
            split: split.unwrap_or_else(|| natural_split(&loaded.dataset)),
            relevance: loaded.relevance,
            models,
            ranker: Kind::ClosedBlend,
            k,
            seed: self.seed,
            ties: match self.ties {
                TiesArg::Pessimistic => Ties::Pessimistic,
                TiesArg::Random => Ties::Random,
                TiesArg::Row => Ties::Row,
            },
            candidates: self.candidates,
            bootstrap_samples: self.bootstrap,
            neighbours: self.neighbours.map(|n| n.max(1)),
            allow_leak: self.allow_leak,
            vectors,
            generated_videos: Vec::new(),
            learning: self.learning.read()?.within(self.minutes)?,
            remarks: Vec::new(),
            sweep,
            questions_max: self.questions.map(|n| n as usize),
            ablate,
            negatives: Vec::new(),
        };
        let told = match protocols {
            Some(asked) => Some(Told::Protocols(Box::new(side_by_side(
                &loaded.dataset,
                &conditions,
                &asked,
                self.folds,
            )?))),
            None if self.diagnose => {
                Some(Told::Diagnosis(Box::new(diagnosis::of_set(&loaded.dataset, &conditions)?)))
            }
            None => None,
        };
        if let Some(told) = told {
            if let Some(file) = &self.out {
                output::write_file(file, serde_json::to_string_pretty(&told)?.as_bytes())?;
            }
            let printed = if self.json { serde_json::to_string(&told)? } else { told.in_words() };
            output::print(&printed)?;
            tell(loaded.notice.as_ref());
            return Ok(());
        }
        let missing: Vec<&str> =
            FLOORS.into_iter().filter(|floor| !conditions.models.contains(floor)).map(Kind::name).collect();
        if !missing.is_empty() {
            tracing::info!("floors that were not asked for: {}", missing.join(", "));
        }
        let generated = (self.generated_cold_users, self.generated_cold_videos);
        let tables = tables(&loaded.dataset, conditions, self.folds, generated)?;
        // One table is printed as it always was; several stand side by side under their names.
        if let [table] = &tables[..] {
            if let (Some(file), Some(sweep)) = (&self.plot, &table.sweep) {
                output::write_file(file, draw::sweep::page(sweep).as_bytes())?;
            }
            let printed = match (&table.sweep, &table.new_videos, &table.ablation) {
                (None, None, None) => Printed::Report(&table.report),
                _ => Printed::Both(table),
            };
            if let Some(file) = &self.out {
                output::write_file(file, serde_json::to_string_pretty(&printed)?.as_bytes())?;
            }
            if self.json {
                output::print(&serde_json::to_string(&printed)?)?;
            } else {
                print_table(&table.report, false, self.full)?;
                table.sweep.iter().try_for_each(|sweep| output::print(&sweep.in_words()))?;
                table.new_videos.iter().try_for_each(|of| output::print(&of.in_words()))?;
                table.ablation.iter().try_for_each(|of| output::print(&of.in_words()))?;
            }
        } else {
            let all = Tables { mean: mean(&tables), tables };
            if let Some(file) = &self.out {
                output::write_file(file, serde_json::to_string_pretty(&all)?.as_bytes())?;
            }
            if self.json {
                output::print(&serde_json::to_string(&all)?)?;
            } else {
                for table in &all.tables {
                    output::print(&format!("\n=== {} ===\n", table.name))?;
                    print_table(&table.report, false, self.full)?;
                    table.ablation.iter().try_for_each(|of| output::print(&of.in_words()))?;
                }
                output::print(&mean_in_words(&all.mean))?;
            }
        }
        tell(loaded.notice.as_ref());
        Ok(())
    }
}

/// What a user of the data should be told.
fn tell(notice: Option<&Notice>) {
    if let Some(notice) = notice {
        tracing::info!("{} ({})", notice.text, notice.licence);
    }
}

/// What stands in place of a table.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Protocols(Box<SideBySide>),
    Diagnosis(Box<Diagnosis>),
}

impl Told {
    fn in_words(&self) -> String {
        match self {
            Self::Protocols(told) => told.in_words(),
            Self::Diagnosis(told) => told.in_words(),
        }
    }
}

/// One of several tables.
#[derive(Serialize)]
struct Table {
    name: String,
    /// Whether it is a window of time, of which the mean is told.
    #[serde(skip)]
    window: bool,
    report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Sweep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_videos: Option<NewVideos>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ablation: Option<Ablation>,
}

/// The object of one table: the report as it is, or with what stands beside it.
#[derive(Serialize)]
#[serde(untagged)]
enum Printed<'a> {
    Report(&'a Report),
    Both(&'a Table),
}

/// Several tables, and for windows the mean of each model and metric over them.
#[derive(Serialize)]
struct Tables {
    tables: Vec<Table>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    mean: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Every table that the conditions ask for: one, or one a window, or cold and warm, and generated users apart.
fn tables(
    set: &Dataset,
    mut conditions: Conditions,
    folds: Option<usize>,
    (n_users, n_videos): (usize, usize),
) -> Result<Vec<Table>> {
    let generated = (n_users + n_videos > 0)
        .then(|| with_cold(set, &conditions.relevance, n_users, n_videos, conditions.seed));
    let set = generated.as_ref().map_or(set, |with| &with.set);
    if let Some(with) = generated.as_ref().filter(|with| !with.videos.is_empty()) {
        conditions.generated_videos = with.videos.clone();
        conditions.remarks.push(format!(
            "{n_videos} generated cold videos (`{GENERATED_COLD}video-…`) are ranked beside the real ones: made up, seen by nobody"
        ));
    }
    let table = |name: String, window: bool, split: &Split, conditions: &Conditions| -> Result<Table> {
        let Evaluation { report, sweep, new_videos, ablation, .. } = evaluate_split(set, split, conditions)?;
        Ok(Table { name, window, report, sweep, new_videos, ablation })
    };
    let named = |name: &str| {
        let mut conditions = conditions.clone();
        conditions.remarks.push(name.into());
        conditions
    };
    let mut tables = Vec::new();
    let splits = match conditions.split {
        SplitRule::Rolling => Split::rolling(set, &conditions.relevance, folds.unwrap_or(3))?,
        SplitRule::Monthly => Split::monthly(set, &conditions.relevance, folds.unwrap_or(6))?,
        rule => vec![Split::new(set, &conditions.relevance, rule, conditions.seed)?],
    };
    for (at, split) in splits.iter().enumerate() {
        match conditions.split {
            SplitRule::Rolling | SplitRule::Monthly => {
                let month = split.cuts.filter(|_| conditions.split == SplitRule::Monthly);
                let name = match month {
                    Some((_, start)) => month_of(start),
                    None => format!("window {} of {}", at + 1, splits.len()),
                };
                tables.push(table(name.clone(), true, split, &named(&name))?);
            }
            SplitRule::ColdVideos | SplitRule::ColdUsers => {
                tables.push(table(
                    "cold".into(),
                    false,
                    split,
                    &named("cold: train has seen nothing of them"),
                )?);
                if !split.warm.is_empty() {
                    let warm = named("warm: a tenth of the positives that are not cold, of the same models");
                    tables.push(table("warm".into(), false, &split.as_warm(), &warm)?);
                }
            }
            SplitRule::FirstSeen => {
                let remark = "videos that nobody has seen before the test: each user is asked at the moment of the first";
                tables.push(table("new videos".into(), false, split, &named(remark))?);
            }
            _ => tables.push(table("real users".into(), false, split, &conditions)?),
        }
    }
    if let (Some(with), Some(split)) =
        (generated.as_ref().filter(|with| !with.users.is_empty()), splits.last())
    {
        let test = with.questions(&conditions.relevance);
        let asked = Split { test, warm: Vec::new(), held_out_values: Vec::new(), ..split.clone() };
        let labelled = named(&format!(
            "GENERATED: all {n_users} users of this table (`{GENERATED_COLD}user-…`) are made up, with three interactions \
             with popular videos, of which the third is asked for: it favours popularity, and says nothing of real users"
        ));
        tables.push(table("generated cold users".into(), false, &asked, &labelled)?);
    }
    Ok(tables)
}

/// The mean over windows, by model and metric; of models that every window has.
fn mean(tables: &[Table]) -> BTreeMap<String, BTreeMap<String, f64>> {
    let windows: Vec<&Report> =
        tables.iter().filter(|table| table.window).map(|table| &table.report).collect();
    let Some(first) = windows.first() else { return BTreeMap::new() };
    let of = |report: &Report, model: &str, metric: &str| {
        let model = report.models.iter().find(|other| other.name == model)?;
        Some(model.metrics.get(metric)?.mean)
    };
    let means = first.models.iter().map(|model| {
        let metrics = model.metrics.keys().filter_map(|metric| {
            let sum: Option<f64> = windows.iter().map(|report| of(report, &model.name, metric)).sum();
            Some((metric.clone(), sum? / windows.len() as f64))
        });
        (model.name.clone(), metrics.collect())
    });
    means.collect()
}

fn mean_in_words(mean: &BTreeMap<String, BTreeMap<String, f64>>) -> String {
    if mean.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n=== mean over all windows ===\n");
    for (model, metrics) in mean {
        let shown =
            metrics.iter().filter(|(name, _)| name.starts_with("ndcg@") || name.starts_with("recall@"));
        let shown: Vec<String> = shown.map(|(name, value)| format!("{name} {value:.4}")).collect();
        text += &format!("{model:<24} {}\n", shown.join("  "));
    }
    text
}

impl EvalArgs {
    /// What clap cannot check.
    fn check(&self) -> Result<(), WrongUse> {
        let most = if self.split.as_deref() == Some("monthly") { MONTHS_MAX } else { FOLDS_MAX };
        if self.folds.is_some_and(|folds| !(1..=most).contains(&folds)) {
            return Err(WrongUse::of("--folds", format!("expected 1 to {most}")));
        }
        if self.generated_cold_users.max(self.generated_cold_videos) > GENERATED_MAX {
            return Err(WrongUse::of("--generated-cold-…", format!("expected 0 to {GENERATED_MAX}")));
        }
        if !(1..=BOOTSTRAP_MAX).contains(&self.bootstrap) {
            return Err(WrongUse::of("--bootstrap", format!("expected 1 to {BOOTSTRAP_MAX}")));
        }
        let several = ["rolling", "monthly", "cold-videos", "cold-users"];
        let split = self.split.as_deref().filter(|split| several.contains(split));
        if let (Some(_), Some(split)) = (&self.sweep, split) {
            let why = format!(
                "split {split} makes several tables; expected one, for example leave-last-out or global-time"
            );
            return Err(WrongUse::of("--sweep", why));
        }
        check_leaks(&self.allow_leak)
    }
}

/// Checks names of leaks.
pub(crate) fn check_leaks(names: &[String]) -> Result<(), WrongUse> {
    match names.iter().find(|name| !leaks().contains(&name.as_str())) {
        Some(name) => Err(WrongUse::of("--allow-leak", format!("`{name}`; expected {}", leaks().join(", ")))),
        None => Ok(()),
    }
}

/// Checks lengths of lists.
fn parse_k(k: &[usize]) -> Result<Vec<usize>> {
    if let Some(wrong) = k.iter().find(|&&k| k == 0 || k > K_MAX) {
        return Err(WrongUse(format!("--k {wrong}: expected 1 to {K_MAX}")).into());
    }
    let mut unique = Vec::new();
    k.iter().for_each(|&k| {
        if !unique.contains(&k) {
            unique.push(k)
        }
    });
    Ok(unique)
}

/// Models by name, each once; blends of all others last.
pub(crate) fn parse_models(names: &[String]) -> Result<Vec<Kind>> {
    let mut kinds: Vec<Kind> = Vec::new();
    for name in names {
        if name == "all" {
            kinds.extend(Kind::ALL);
        } else {
            kinds.push(name.trim().parse().map_err(|error| WrongUse::of("--models", error))?);
        }
    }
    let mut unique: Vec<Kind> = Vec::new();
    kinds.into_iter().for_each(|kind| {
        if !unique.contains(&kind) {
            unique.push(kind)
        }
    });
    Ok(unique)
}

/// The report on standard output, as JSON or as a short table.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn print_report(report: &Report, json: bool) -> Result<()> {
    print_table(report, json, false)
}

fn print_table(report: &Report, json: bool, all: bool) -> Result<()> {
    if json {
        return output::print(&serde_json::to_string(report)?);
    }
    let bold = std::io::IsTerminal::is_terminal(&std::io::stdout());
    output::print(&report.table(&TableStyle { bold, all, ..TableStyle::default() }))
}
