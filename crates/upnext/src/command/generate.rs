//! `upnext generate`: files in KuaiRec's columns, of any size, with faults whose number is known.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use upnext_data::{Fault, Faults, Matrix, RATIO_CAP, Shape, Synthetic, UNKNOWN_FROM};

use crate::{WrongUse, generated, output};

/// Arguments of `generate`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext generate --like kuairec --users 1000 --videos 2000 --rows 1000000 --faults 0.08 --seed 1 --out made\n  upnext generate --users 7176 --videos 10728 --rows 12530806 --small-rows 465000 --faults like-kuairec --out made\n  upnext generate --rows 100000 --faults missing=0.03,duplicate=0.05 --json --out made\n\nFaults: missing, duplicate, time_not_positive, near_duplicate, future_time, zero_duration, ratio_beyond_cap, bot,\nunknown_reference. How many rows each took stands in truth.json."
)]
pub(crate) struct GenerateArgs {
    /// Whose files to be like
    #[arg(long, value_enum, default_value_t = Like::Kuairec)]
    like: Like,
    /// Users, bots among them
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    users: usize,
    /// Videos
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    videos: usize,
    /// Rows of big_matrix.csv, faults among them
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    rows: u64,
    /// Rows of small_matrix.csv; 0 makes none
    #[arg(long, default_value_t = 0, value_name = "N")]
    small_rows: u64,
    /// A share spread over all kinds, `like-kuairec`, or shares by kind as in missing=0.03,bot=0.01
    #[arg(long, default_value = "0", value_name = "SHARE")]
    faults: String,
    /// Another seed, other data
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace a folder that was generated before
    #[arg(long)]
    force: bool,
    /// One JSON object, which is truth.json, instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Like {
    Kuairec,
}

/// What marks a folder as made here; its first line says so in words.
const LABEL: &str = "GENERATED.md";

impl GenerateArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the shape cannot be made, or the folder cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        let Like::Kuairec = self.like;
        let (faults, small_faults) = parse_faults(&self.faults)?;
        let made = Synthetic::new(Shape {
            users: self.users,
            videos: self.videos,
            rows: self.rows,
            small_rows: self.small_rows,
            faults,
            small_faults,
            seed: self.seed,
        })
        .map_err(|error| WrongUse(error.to_string()))?;
        if self.out.exists() && !self.force {
            bail!("{} is there already: name another folder, or add --force", self.out.display());
        }
        if self.out.exists() && !self.out.join(LABEL).exists() {
            bail!("{} was not generated, so --force does not replace it", self.out.display());
        }
        let aside = aside(&self.out)?;
        let truth = truth(&made);
        let written = fs::create_dir_all(&aside)
            .with_context(|| format!("{} cannot be made", aside.display()))
            .and_then(|()| write(&aside, &made, &truth))
            .and_then(|()| {
                if self.out.exists() {
                    fs::remove_dir_all(&self.out)?;
                }
                fs::rename(&aside, &self.out)
                    .with_context(|| format!("{} cannot be written", self.out.display()))
            });
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&aside);
            return Err(error);
        }
        if self.json {
            return output::print(&truth.to_string());
        }
        output::print(&text(&self.out, &made))
    }
}

fn write(folder: &Path, made: &Synthetic, truth: &Value) -> Result<()> {
    generated::write(folder, made)?;
    output::write_file(&folder.join("truth.json"), serde_json::to_string_pretty(truth)?.as_bytes())?;
    output::write_file(&folder.join(LABEL), label(made).as_bytes())
}

/// A folder beside the one asked for.
fn aside(out: &Path) -> Result<PathBuf> {
    let name =
        out.file_name().with_context(|| format!("{}: expected the name of a folder", out.display()))?;
    Ok(out.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id())))
}

/// Faults of the big and of the small matrix.
fn parse_faults(text: &str) -> Result<(Faults, Faults), WrongUse> {
    let wrong = |why: String| WrongUse::of("--faults", why);
    if text == "like-kuairec" {
        return Ok((Faults::like_kuairec(Matrix::Big), Faults::like_kuairec(Matrix::Small)));
    }
    let number = |text: &str| {
        text.trim()
            .parse::<f64>()
            .ok()
            .filter(|share| (0.0..=1.0).contains(share))
            .ok_or_else(|| wrong(format!("`{text}` is not a share from 0 to 1")))
    };
    if !text.contains('=') {
        let faults = Faults::spread(number(text)?);
        return Ok((faults, faults));
    }
    let mut faults = Faults::default();
    for pair in text.split(',') {
        let (name, share) =
            pair.split_once('=').ok_or_else(|| wrong(format!("`{pair}` is not kind=share")))?;
        let name = name.trim();
        let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| {
            wrong(format!("`{name}` is not known; expected {}", Fault::ALL.map(Fault::name).join(", ")))
        })?;
        faults = faults.with(fault, number(share)?);
    }
    Ok((faults, faults))
}

fn matrix(made: &Synthetic, matrix: Matrix, rows: u64) -> Value {
    let planted: serde_json::Map<String, Value> =
        Fault::ALL.iter().map(|&fault| (fault.name().into(), json!(made.planted(matrix, fault)))).collect();
    let faulty: u64 = Fault::ALL.iter().map(|&fault| made.planted(matrix, fault)).sum();
    json!({ "rows": rows, "rows_without_fault": rows - faulty, "faults": planted })
}

/// What was planted, to check a cleaner against.
fn truth(made: &Synthetic) -> Value {
    let shape = made.shape();
    let bots = shape.users - made.n_bots()..shape.users;
    json!({
        "generated": true,
        "like": "kuairec",
        "users": shape.users,
        "videos": shape.videos,
        "seed": shape.seed,
        "big_matrix": matrix(made, Matrix::Big, shape.rows),
        "small_matrix": (shape.small_rows > 0).then(|| matrix(made, Matrix::Small, shape.small_rows)),
        "bots": { "user_id_first": bots.start, "n": bots.len(), "views_per_minute": 120 },
        "overlap": "a row has one fault at most, and what a duplicate or near-duplicate repeats has none",
        "meaning": {
            "missing": "four of five lack time, date and timestamp; the fifth lacks play_duration and watch_ratio",
            "duplicate": "the same bytes as an earlier row of that user; every second one stands at the user's end",
            "time_not_positive": "a timestamp of 0 or less, an hour apart from the user's next",
            "near_duplicate": "the same user and video 0.1 to 0.9 s after a row; no other two of a pair are within 60 s, bots aside",
            "future_time": "a timestamp of the year 2100 or later",
            "zero_duration": "a video_duration of 0 with a watch_ratio of 0",
            "ratio_beyond_cap": format!("a watch_ratio above {RATIO_CAP}; others stay below 136"),
            "bot": "every row of the bots above; people watch at most 20 videos a minute",
            "unknown_reference": format!("an id of {UNKNOWN_FROM} or more, in no other file: three of four are videos, the fourth a user"),
        },
    })
}

fn label(made: &Synthetic) -> String {
    let shape = made.shape();
    format!(
        "# Generated data\n\nEvery number and word in this folder was made up by `upnext generate`; nobody watched anything. It has \
         KuaiRec's\ncolumns and skew, not its content: no result on it says anything of real viewers.\n\n{} users, {} videos, {} \
         rows, seed {}. Faults were planted on purpose: see `truth.json`.\n",
        shape.users, shape.videos, shape.rows, shape.seed
    )
}

fn text(out: &Path, made: &Synthetic) -> String {
    let shape = made.shape();
    let mut text = format!(
        "generated, like KuaiRec: {} users ({} bots), {} videos, seed {}\n\n",
        shape.users,
        made.n_bots(),
        shape.videos,
        shape.seed
    );
    for (matrix, name, rows) in
        [(Matrix::Big, "big_matrix.csv", shape.rows), (Matrix::Small, "small_matrix.csv", shape.small_rows)]
    {
        if rows == 0 {
            continue;
        }
        text += &format!("{name:<20} {rows:>12} rows\n");
        for fault in Fault::ALL {
            let n = made.planted(matrix, fault);
            if n > 0 {
                text +=
                    &format!("  {:<18} {n:>12}  {:6.3} %\n", fault.name(), 100.0 * n as f64 / rows as f64);
            }
        }
    }
    text + &format!("\nfolder: {}\nnext: upnext import {0}\n", out.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_one_share_a_name_or_shares_by_kind() {
        let (big, small) = parse_faults("0.1").unwrap();
        assert_eq!(big, small);
        assert!((big.share(Fault::Duplicate) - 0.03).abs() < 1e-12);
        let (big, small) = parse_faults("like-kuairec").unwrap();
        assert_eq!((big.share(Fault::Duplicate), small.share(Fault::Missing)), (0.0771, 0.0389));
        let (big, _) = parse_faults("missing=0.03, bot=0.01").unwrap();
        assert_eq!((big.share(Fault::Missing), big.share(Fault::Bot)), (0.03, 0.01));
        assert!(parse_faults("typo=0.1").unwrap_err().to_string().contains("near_duplicate"));
        assert!(parse_faults("7").unwrap_err().to_string().contains("share from 0 to 1"));
    }
}
