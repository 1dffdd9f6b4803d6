//! `upnext eval`: how good each model is on a set, under a protocol that is printed.

use anyhow::Result;
use clap::{Args, ValueEnum};
use upnext_eval::{Report, TableStyle, Ties};
use upnext_models::zoo::Kind;

use crate::evaluation::{CandidateRule, Conditions, evaluate};
use crate::loading::{DataArgs, natural_split, parse_split};
use crate::{WrongUse, output};

/// Arguments of `eval`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext eval Beauty.txt --format s3rec --features Beauty_item2attributes.json \\\n    --split leave-last-out --models popular,markov,ease,closed-blend --k 10,20 --seed 1 --json"
)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    data: DataArgs,
    /// leave-last-out, global-time, per-user-90-10, random or given; without it, what fits the set
    #[arg(long)]
    split: Option<String>,
    /// Models, or `all`: random, popular, popular-recent, video-mean, video-median, bias, item-knn, user-knn,
    /// markov, markov-1, ease, markov-ease, directed-cosine, directed-cosine-content, slit, svd, ials,
    /// ials-confidence, content, content-scores (daily statistics of before the first question),
    /// content-neighbours, smoothed-transitions, blend (of those asked for beside it), closed-blend
    #[arg(long, value_delimiter = ',', default_value = "popular,markov,item-knn,ease,closed-blend")]
    models: Vec<String>,
    /// Lengths of lists
    #[arg(long, value_delimiter = ',', default_value = "10,20")]
    k: Vec<usize>,
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
    /// Print a headline over this kind of leak all the same: shared_pairs, time, all
    #[arg(long, value_name = "NAME")]
    allow_leak: Vec<String>,
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
const LEAKS: [&str; 3] = ["shared_pairs", "time", "all"];
/// Without these beside it, a number says little.
const FLOORS: [Kind; 3] = [Kind::Popular, Kind::Markov, Kind::Ease];

impl EvalArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the set cannot be read, cut or measured.
    pub(crate) fn run(self) -> Result<()> {
        let k = parse_k(&self.k)?;
        let models = parse_models(&self.models)?;
        let split = parse_split(self.split.as_deref())?;
        self.check()?;
        let loaded = self.data.load()?;
        tracing::info!("{}: {}", loaded.dataset.name, loaded.recognised);
        let conditions = Conditions {
            split: split.unwrap_or_else(|| natural_split(&loaded.dataset)),
            relevance: loaded.relevance,
            models,
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
        };
        let missing: Vec<&str> =
            FLOORS.into_iter().filter(|floor| !conditions.models.contains(floor)).map(Kind::name).collect();
        if !missing.is_empty() {
            tracing::info!("floors that were not asked for: {}", missing.join(", "));
        }
        let report = evaluate(&loaded.dataset, &conditions)?.report;
        if let Some(file) = &self.out {
            output::write_file(file, serde_json::to_string_pretty(&report)?.as_bytes())?;
        }
        print_table(&report, self.json, self.full)?;
        if let Some(notice) = loaded.notice {
            tracing::info!("{}", notice.text);
        }
        Ok(())
    }
}

impl EvalArgs {
    /// What clap cannot check.
    fn check(&self) -> Result<(), WrongUse> {
        if !(1..=BOOTSTRAP_MAX).contains(&self.bootstrap) {
            return Err(WrongUse::of("--bootstrap", format!("expected 1 to {BOOTSTRAP_MAX}")));
        }
        check_leaks(&self.allow_leak)
    }
}

/// Checks names of leaks.
pub(crate) fn check_leaks(names: &[String]) -> Result<(), WrongUse> {
    match names.iter().find(|name| !LEAKS.contains(&name.as_str())) {
        Some(name) => Err(WrongUse::of("--allow-leak", format!("`{name}`; expected {}", LEAKS.join(", ")))),
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
