//! `upnext encode`: what videos say, show and sound like, as vectors in a run folder; and what each kind of them adds.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use upnext_encode::{Limits, OnnxSettings};
use upnext_ingest::run;

use crate::encoding::{Ledger, Means, Modality, Target, Wanted, ablation, check, encode, read_wanted};
use crate::{WrongUse, config, output};

/// Arguments of `encode`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext encode runs/films\n  upnext encode runs/films --of image --from posters.tar --index index.parquet --id-column movie_id\n  upnext encode runs/films --encoder models/all-MiniLM-L6-v2 --name plot\n  upnext encode runs/clips --of video --from clips/ --set frames_max=16\n  upnext encode runs/films --encoder http://127.0.0.1:8000/v1 --model e5\n  upnext encode runs/films --ablate\n  upnext encode --of video --from clips/ --out vectors/"
)]
pub(crate) struct EncodeArgs {
    /// The run folder
    #[arg(value_name = "RUN", required_unless_present = "out")]
    run: Option<PathBuf>,
    /// What is encoded of each video
    #[arg(long, value_enum, default_value_t = Modality::Text)]
    of: Modality,
    /// A folder or .tar archive with a file for each video, named by its id
    #[arg(long, value_name = "WHERE")]
    from: Option<PathBuf>,
    /// A table that says which file belongs to which video
    #[arg(long, value_name = "FILE", requires = "from")]
    index: Option<PathBuf>,
    /// Its column of ids
    #[arg(long, value_name = "COLUMN", requires = "index")]
    id_column: Option<String>,
    /// Its column of names of files
    #[arg(long, value_name = "COLUMN", requires = "index")]
    file_column: Option<String>,
    /// words (text), statistics (image), log-mel (sound), pooled (video); a folder with a transformer; a file .onnx; the
    /// address of a server that speaks /v1/embeddings
    #[arg(long, value_name = "ENCODER")]
    encoder: Option<String>,
    /// The model's name at a server; its key stands in UPNEXT_EMBEDDINGS_KEY
    #[arg(long, value_name = "NAME", default_value = "")]
    model: String,
    /// What the vectors are called in the run [default: what is encoded]
    #[arg(long)]
    name: Option<String>,
    /// Stands before each text [default: `passage: ` for E5, nothing for others]
    #[arg(long)]
    prefix: Option<String>,
    /// Numbers of a vector, where the encoder can choose
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    dim: Option<u32>,
    /// Tokens of a text that a transformer reads, at most
    #[arg(long, value_name = "N")]
    tokens_max: Option<usize>,
    /// How exactly a transformer multiplies: f32 or bf16
    #[arg(long, value_name = "PRECISION", default_value = "f32")]
    precision: String,
    /// Requests a minute to a server; 0 knows no bound
    #[arg(long, value_name = "N", default_value_t = 0)]
    requests_per_minute: u32,
    /// How often a server is asked again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20))]
    retries: Option<u32>,
    /// A bound on what is read of a file, for example frames_max=16, or what an exported model does not tell, for example
    /// onnx.mean=[0.5,0.5,0.5]; may stand again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Several kinds at once, in tables [[encode]] of a TOML file with the names of these options
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "index", "encoder", "name", "model", "prefix", "dim", "tokens_max", "retries", "set"])]
    config: Option<PathBuf>,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    workers: Option<u16>,
    /// Where vectors are kept for another run [default: upnext/vectors in the user's cache folder]
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,
    /// Bound of each encoder's cache in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4_096)]
    cache_mib: u32,
    /// Keep no vectors for another run
    #[arg(long)]
    no_cache: bool,
    /// Write into this folder instead of a run: NAME.npy, NAME.ids, NAME.json
    #[arg(long, value_name = "FOLDER", conflicts_with = "run")]
    out: Option<PathBuf>,
    /// Encode nothing: measure what each kind of vectors of the run adds
    #[arg(long, conflicts_with_all = ["from", "encoder", "name", "config", "out"])]
    ablate: bool,
    /// Seed of splits and bootstrap of --ablate
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl EncodeArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When an encoder cannot be made, the files cannot be read, or the run cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        if self.ablate {
            let run = self.run.as_deref().context("--ablate measures a run: name one")?;
            let found = ablation::ablate(run, self.seed)?;
            return if self.json {
                output::print(&serde_json::to_string(&found)?)
            } else {
                output::print(&found.in_words())
            };
        }
        let kinds = match &self.config {
            Some(path) => read_wanted(path)?,
            None => vec![self.wanted()?],
        };
        let means = Means {
            workers: self.workers.map_or_else(rayon::current_num_threads, usize::from),
            cache: if self.no_cache {
                None
            } else {
                self.cache.clone().or_else(|| output::usual_cache("vectors"))
            },
            cache_bytes_max: u64::from(self.cache_mib) << 20,
        };
        let opened = self.run.as_deref().map(run::open).transpose()?;
        let target = match (&self.run, &opened, &self.out) {
            (Some(run), Some(opened), _) => Target::Run(run, &opened.dataset.videos),
            (_, _, Some(folder)) => Target::Folder(folder),
            _ => return Err(WrongUse("expected a run folder, or --out".into()).into()),
        };
        check(&kinds, &target)?;
        let (mut ledgers, mut failed) = (Vec::new(), Vec::new());
        for wanted in &kinds {
            match encode(wanted, &target, &means) {
                Ok(ledger) => ledgers.push(ledger),
                // Of several kinds the others are worth having; of one its own error says what to do.
                Err(error) if kinds.len() > 1 => {
                    failed.push(format!("{}: {error:#}", wanted.name()));
                }
                Err(error) => return Err(error),
            }
        }
        if self.json {
            let ledgers: Vec<_> = ledgers.iter().map(of_ledger).collect();
            output::print(&json!({ "encoded": ledgers, "failed": failed }).to_string())?;
            return not_all(&failed);
        }
        let folder = match (&self.run, &self.out) {
            (Some(run), _) => run.join("embeddings"),
            (None, out) => out.clone().unwrap_or_default(),
        };
        let texts: Vec<String> = ledgers.iter().map(|ledger| in_words(ledger, &folder)).collect();
        output::print(&texts.join("\n"))?;
        not_all(&failed)
    }

    fn wanted(&self) -> Result<Wanted> {
        #[derive(Default, Serialize, Deserialize)]
        #[serde(default)]
        struct Set {
            onnx: OnnxSettings,
            #[serde(flatten)]
            limits: Limits,
        }
        let Set { onnx, limits } =
            config::from_toml("", &self.set).map_err(|error| WrongUse::of("--set", format!("{error:#}")))?;
        let precision = match self.precision.as_str() {
            "f32" => upnext_math::linalg::Precision::F32,
            "bf16" => upnext_math::linalg::Precision::Bf16,
            other => return Err(WrongUse::of("--precision", format!("`{other}` is not f32 or bf16")).into()),
        };
        Ok(Wanted {
            of: self.of,
            name: self.name.clone(),
            from: self.from.clone(),
            index: self.index.clone(),
            id_column: self.id_column.clone(),
            file_column: self.file_column.clone(),
            encoder: self.encoder.clone(),
            model: self.model.clone(),
            prefix: self.prefix.clone(),
            dim: self.dim.map(|dim| dim as usize),
            tokens_max: self.tokens_max,
            precision,
            requests_per_minute: self.requests_per_minute,
            retries: self.retries,
            onnx,
            limits,
        })
    }
}

/// An error that names the kinds that could not be made.
fn not_all(failed: &[String]) -> Result<()> {
    if failed.is_empty() { Ok(()) } else { Err(anyhow::anyhow!("not made: {}", failed.join("; "))) }
}

fn of_ledger(ledger: &Ledger) -> serde_json::Value {
    let failures: Vec<_> =
        ledger.failures.iter().map(|(video, reason)| json!({ "video": video, "reason": reason })).collect();
    let mut coverage = serde_json::to_value(&ledger.coverage).unwrap_or_default();
    // The rows that have none stay in the run: they may be millions.
    if let Some(coverage) = coverage.as_object_mut() {
        coverage.remove("missing_rows");
    }
    json!({
        "coverage": coverage,
        "failures": failures,
        "seconds": ledger.seconds,
    })
}

/// Failures that are printed; the file has all of them.
const FAILURES_SHOWN: usize = 10;

fn in_words(ledger: &Ledger, folder: &Path) -> String {
    let coverage = &ledger.coverage;
    let mut text = format!(
        "{}: {} by {}, {} numbers each, in {:.1} s\n\n",
        coverage.name, coverage.from, coverage.recognised, coverage.dim, ledger.seconds
    );
    let rows = [
        ("encoded", &coverage.found, true),
        ("nothing to encode", &coverage.missing, true),
        ("failed", &coverage.unreadable, true),
        ("not finite", &coverage.non_finite, false),
        ("files of no video", &coverage.unknown, false),
        ("a second file of a video", &coverage.repeated, false),
        ("not looked at", &coverage.skipped, false),
    ];
    for (what, count, always) in rows {
        if count.n > 0 || always {
            let of_videos = matches!(what, "encoded" | "nothing to encode" | "failed" | "not finite");
            let share = if of_videos { format!("{:.2} %", 100.0 * count.share) } else { String::new() };
            let _ = writeln!(text, "{what:28}{:>10}{share:>10}", count.n);
        }
    }
    if coverage.from_cache > 0 {
        let _ = writeln!(text, "\n{} were not encoded again: they came from the cache", coverage.from_cache);
    }
    if let Some(trouble) = &coverage.cache_trouble {
        let _ = writeln!(text, "\nnot all vectors were kept for another run: {trouble}");
    }
    if coverage.skipped.n > 0 {
        let _ = writeln!(text, "\nnot looked at:");
        for what in &coverage.skipped.examples {
            let _ = writeln!(text, "  {}", output::one_line(what));
        }
        if coverage.skipped.n > coverage.skipped.examples.len() {
            let _ = writeln!(text, "  and {} more", coverage.skipped.n - coverage.skipped.examples.len());
        }
    }
    if !ledger.failures.is_empty() {
        text.push('\n');
        for (video, reason) in ledger.failures.iter().take(FAILURES_SHOWN) {
            let _ = writeln!(text, "  {}", output::one_line(&format!("{video}: {reason}")));
        }
        if ledger.failures.len() > FAILURES_SHOWN {
            let _ = writeln!(text, "  and {} more", ledger.failures.len() - FAILURES_SHOWN);
        }
    }
    let (folder, name) = (folder.display(), &coverage.name);
    let _ = writeln!(text, "\n{folder}/{name}.npy, {name}.json and {name}.failures.jsonl");
    text
}
