//! `upnext export`: two towers as files that other programs read: parameters, vectors of videos, ids, and how to use them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use upnext_data::Past;
use upnext_features::interaction;
use upnext_ingest::run;
use upnext_math::Matrix;
use upnext_models::zoo::TwoTower;
use upnext_models::{Tower, checkpoint};

use crate::command::train::MODEL_FILE;
use crate::output;

/// Arguments of `export`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  upnext train runs/mine --models popular,markov,ease,two-tower --ranker two-tower\n  upnext export runs/mine --out towers\n\nupnext-towers.py in the same folder reads these files with NumPy alone."
)]
pub(crate) struct ExportArgs {
    /// The run folder, trained with a two-tower among what ranks
    run: PathBuf,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What was written, as one JSON object
    #[arg(long)]
    json: bool,
}

/// Reads the files with NumPy alone: the towers' arithmetic, written down once more.
const READER: &str = include_str!("export_reader.py");
/// Users whose vectors are written as examples to check a reader by.
const EXAMPLES: u32 = 5;

impl ExportArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the run has no two-tower, or the folder cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        let folder = run::open(&self.run)?;
        let path = self.run.join(MODEL_FILE);
        let bytes = std::fs::read(&path)
            .with_context(|| format!("{}: there is no model; fit one with `upnext train`", path.display()))?;
        let Some(model) = checkpoint::two_tower(&bytes)? else {
            bail!(
                "{}: no two-tower among what ranks; train with --models two-tower --ranker two-tower",
                self.run.display()
            );
        };
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("{}: the folder cannot be made", self.out.display()))?;
        let set = &folder.dataset;
        let ids: Vec<&str> = (0..set.videos.len() as u32).map(|video| set.videos.name(video)).collect();
        let interactions = set.interactions(&folder.manifest.relevance.parse()?);
        let examples: Vec<_> = (0..interactions.n_users() as u32)
            .filter(|&user| !interactions.of(user).is_empty())
            .take(EXAMPLES as usize)
            .map(|user| {
                let history = interactions.history(user);
                let steps: Vec<_> = history.past().iter().map(step).collect();
                json!({ "user": set.users.name(user), "steps": steps, "vector": model.user(&history) })
            })
            .collect();
        let write = |name: &str, bytes: &[u8]| output::write_file(&self.out.join(name), bytes);
        write("towers.safetensors", &checkpoint::save(&[&model])?)?;
        write("videos.npy", &npy(model.items()))?;
        write("videos.json", serde_json::to_string(&ids)?.as_bytes())?;
        write("examples.json", serde_json::to_string(&examples)?.as_bytes())?;
        write("schema.json", serde_json::to_string_pretty(&schema(&model, set.digest()))?.as_bytes())?;
        write("upnext-towers.py", READER.as_bytes())?;
        let (n_videos, n_numbers) = (model.items().n_rows(), model.items().n_columns());
        if self.json {
            let done = json!({ "out": self.out, "videos": n_videos, "dimension": n_numbers, "examples": examples.len() });
            return output::print(&done.to_string());
        }
        output::print(&format!("{n_videos} videos, {n_numbers} numbers each, in {}", shown(&self.out)))
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// One step of a history: the video's row, and the twelve numbers of the viewing.
fn step(past: &Past) -> serde_json::Value {
    json!({ "video": past.video, "viewing": TwoTower::viewing(past) })
}

/// How the files belong together, and what a program does with them.
fn schema(model: &TwoTower, digest: String) -> serde_json::Value {
    json!({
        "format": 1,
        "dataset": digest,
        "settings": model.settings(),
        "files": {
            "towers.safetensors": "all parameters, f32, under `0.network.`; `0.inputs` (videos, width): modalities of unit length, one after another, then metadata; `0.known` (videos, modalities): 1 where a video has it",
            "videos.npy": "vectors of the item tower, a row a video, in the order of videos.json",
            "videos.json": "outside ids of videos",
            "examples.json": "some users' steps, oldest first, and the vector of the user tower",
        },
        "viewing": interaction::NAMES,
        "item_input": "0.inputs row, then for each modality 1 where 0.known is 0",
        "item_tower": "linear layers item.0 … with GELU (tanh form) between them; plus item_ids of the video where there are ids; unit length if settings.normalise",
        "step_input": "item_input, then the viewing",
        "user_tower": "the newest settings.length steps: linear `step` plus step_ids, before them `start`; plus `places`, counted so that the newest has the last; pre-norm blocks (attention over all steps, then wide, GELU, narrow); layer norm `last`; pooling: softmax(score(tanh(hidden(x)))) weighs the steps; linear `output`; unit length if settings.normalise",
        "score": "inner product of both towers' vectors; larger is better",
    })
}

/// A matrix as NumPy writes it: format 1.0, little-endian f32, row after row.
fn npy(matrix: &Matrix) -> Vec<u8> {
    let shape = format!("({}, {})", matrix.n_rows(), matrix.n_columns());
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // The header ends in a line end, at a multiple of 64 bytes.
    let padding = (64 - (10 + header.len() + 1) % 64) % 64;
    header += &format!("{}\n", " ".repeat(padding));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes.extend(matrix.values().iter().flat_map(|x| x.to_le_bytes()));
    bytes
}
