//! `upnext vectors`: vectors of videos that were made elsewhere, into a run folder, with what was found and what
//! was not.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use upnext_ingest::vectors::{Count, Coverage, VectorError, VectorFormat, VectorOptions, import};

use crate::{WrongUse, output, progress};

/// Arguments of `vectors`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  upnext vectors runs/mine --from embeddings/ --name internvideo --dim 256\n  upnext vectors runs/mine --from image_feat.npy --name image --ids ids.txt\n  upnext vectors runs/mine --from s3://bucket/internvideo_embedding --name internvideo --dim 256 --workers 64"
)]
pub(crate) struct VectorsArgs {
    /// The run folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// A folder or prefix with one file a video, one .npy matrix, or a table; s3://, gs:// and az:// too
    #[arg(long, value_name = "WHERE")]
    from: String,
    /// What the vectors are called in the run
    #[arg(long)]
    name: String,
    /// Numbers of each vector; without it, those of the first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    dim: Option<u32>,
    /// auto, npy, raw (32-bit floats without a header), matrix, parquet, table
    #[arg(long, default_value = "auto")]
    format: String,
    /// The ids of a matrix's rows, one a line; without it, its rows are the run's videos in order
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// The column of ids of a table
    #[arg(long, value_name = "COLUMN")]
    id_column: Option<String>,
    /// The column of vectors of a table
    #[arg(long, value_name = "COLUMN")]
    vector_column: Option<String>,
    /// Files or objects that are fetched at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    workers: u16,
    /// How often a request is made again after the store did not answer
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=20))]
    retries: u8,
    /// Where fetched objects are kept [default: upnext/objects in the user's cache folder]
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,
    /// Bound of the cache in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4_096)]
    cache_mib: u32,
    /// Keep no objects
    #[arg(long)]
    no_cache: bool,
    /// Address of an S3-compatible server; without TLS only on this machine
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT")]
    endpoint: Option<String>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl VectorsArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the vectors cannot be read or the run folder cannot be written.
    pub(crate) fn run(self) -> Result<()> {
        let format = VectorFormat::ALL.into_iter().find(|(name, _)| *name == self.format);
        let Some((_, format)) = format else {
            let known = VectorFormat::ALL.map(|(name, _)| name).join(", ");
            return Err(WrongUse::of("--format", format!("`{}` is not one of {known}", self.format)).into());
        };
        let options = VectorOptions {
            name: self.name,
            from: self.from,
            format,
            dim: self.dim.map(|dim| dim as usize),
            ids: self.ids,
            id_column: self.id_column,
            vector_column: self.vector_column,
            workers: self.workers.into(),
            retries: self.retries.into(),
            cache: if self.no_cache { None } else { self.cache.or_else(|| output::usual_cache("objects")) },
            cache_bytes_max: u64::from(self.cache_mib) << 20,
            endpoint: self.endpoint,
            settings: std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            ..VectorOptions::default()
        };
        let bar = progress::bar(0, "vectors");
        let coverage = import(&self.run, &options, &|step| {
            bar.set_length(step.total as u64);
            bar.set_position(step.done as u64);
        });
        bar.finish_and_clear();
        let coverage = coverage.map_err(|error| match error {
            VectorError::Given { ref what, .. } if what.starts_with("--") => {
                anyhow::Error::from(WrongUse(error.to_string()))
            }
            error => error.into(),
        })?;
        if self.json {
            // The rows that have none stay in the run: they may be millions.
            let mut printed = serde_json::to_value(&coverage)?;
            if let Some(printed) = printed.as_object_mut() {
                printed.remove("missing_rows");
            }
            return output::print(&printed.to_string());
        }
        output::print(&in_words(&coverage, &self.run)?)
    }
}

fn in_words(coverage: &Coverage, run: &std::path::Path) -> Result<String> {
    let mut text = format!(
        "{}: {} ({}), {} numbers each\n\n",
        coverage.name, coverage.from, coverage.recognised, coverage.dim
    );
    let rows: [(&str, &Count); 7] = [
        ("found", &coverage.found),
        ("missing", &coverage.missing),
        ("wrong size", &coverage.wrong_size),
        ("not finite", &coverage.non_finite),
        ("unreadable", &coverage.unreadable),
        ("of no video of the run", &coverage.unknown),
        ("a second of a video", &coverage.repeated),
    ];
    for (what, count) in rows {
        let always = matches!(what, "found" | "missing" | "wrong size" | "not finite");
        if count.n == 0 && !always {
            continue;
        }
        let of = if what == "of no video of the run" {
            String::new()
        } else {
            format!("{:.2} %", 100.0 * count.share)
        };
        write!(text, "{what:24}{:>10}{of:>10}", count.n)?;
        if what != "found" && !count.examples.is_empty() {
            let more = if count.n > count.examples.len() { ", …" } else { "" };
            write!(text, "   {}{more}", count.examples.join(", "))?;
        }
        text.push('\n');
    }
    if coverage.from_cache > 0 {
        writeln!(text, "\n{} objects came from the cache", coverage.from_cache)?;
    }
    let folder = run.join("embeddings");
    writeln!(text, "\n{0}/{1}.npy and {0}/{1}.json", folder.display(), coverage.name)?;
    Ok(text)
}
