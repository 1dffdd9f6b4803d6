//! Indexes over the vectors of a run's models: built once, kept in the run under a name that tells of the vectors, opened by `serve`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use upnext_index::{Config, Index, IndexError, Metric, Quantised};
#[cfg(feature = "scale")]
use upnext_index::{PgConfig, Postgres};
use upnext_math::Matrix;
use upnext_models::{Recommender, Shape};
use upnext_pipeline::{FUSED_INDEX, FeedModels};
use upnext_store::{StoreConfig, StoreUrl};

use crate::progress;

/// The folder of a run. Its files are not in the manifest: each checks itself, and its name tells of its vectors.
const FOLDER: &str = "index";

/// The share of the true neighbours that is found, where nobody says otherwise.
pub(crate) const RECALL: f32 = 0.95;

/// An index, where it came from, and what it takes.
pub(crate) struct Built {
    /// The model.
    pub(crate) name: String,
    /// The file, where there is one.
    pub(crate) file: PathBuf,
    /// Whether it was there already.
    pub(crate) was_there: bool,
    /// What opening or building took.
    pub(crate) seconds: f64,
    /// The index.
    pub(crate) index: Arc<Quantised>,
}

/// An index for each model whose scores are inner products: those of the run where its vectors did not change, others built and kept.
/// Files of other vectors are removed.
///
/// # Errors
/// When an index can neither be opened nor built, or the run cannot be written.
pub(crate) fn open_or_build(run: &Path, models: &FeedModels, config: &Config) -> Result<Vec<Built>> {
    let built = all(run, models, config, true)?;
    remove_others(run, &built);
    Ok(built)
}

/// The indexes that are there; nothing is written, as a service may be at the same run.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn open(run: &Path, models: &FeedModels, config: &Config) -> Result<Vec<Built>> {
    all(run, models, config, false)
}

fn all(run: &Path, models: &FeedModels, config: &Config, may_build: bool) -> Result<Vec<Built>> {
    let folder = run.join(FOLDER);
    let mut built: Vec<Built> = Vec::new();
    for (name, model) in inner_models(models) {
        let Shape::Inner(tower) = model.shape() else { continue };
        if built.iter().any(|other| other.name == name) {
            continue;
        }
        let file = folder.join(format!("{name}-{}.bin", digest(tower.items())));
        let begun = Instant::now();
        let (index, was_there) = match opened(&file, config)? {
            Some(index) => (index, true),
            None if may_build => (build(&name, tower.items(), config, &file)?, false),
            None => {
                tracing::warn!(
                    "{}: has no index of {name}, so every video is looked at; build it with `upnext index`",
                    run.display()
                );
                continue;
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        built.push(Built { name, file, was_there, seconds, index: Arc::new(index) });
    }
    Ok(built)
}

/// The indexes by model, as a feed takes them.
pub(crate) fn by_model(built: Vec<Built>) -> BTreeMap<String, Arc<dyn Index>> {
    built.into_iter().map(|built| (built.name, built.index as Arc<dyn Index>)).collect()
}

/// The indexes that serving searches: on the server that the configuration names those that are there, else of the run.
///
/// # Errors
/// As [`open_or_build`].
pub(crate) fn for_serving(
    run: &Path,
    models: &FeedModels,
    config: &StoreConfig,
    may_build: bool,
) -> Result<BTreeMap<String, Arc<dyn Index>>> {
    let remote = match &config.vectors_url {
        Some(url) => on_server(url, models, config)?,
        None => BTreeMap::new(),
    };
    let is_all = inner_models(models).iter().all(|(name, _)| remote.contains_key(name));
    let mut indexes = match (is_all, may_build) {
        (true, _) => BTreeMap::new(),
        (false, true) => by_model(open_or_build(run, models, &settings(RECALL))?),
        (false, false) => by_model(open(run, models, &settings(RECALL))?),
    };
    indexes.extend(remote);
    Ok(indexes)
}

/// What a set of vectors is called on a server: it tells of the vectors, so that a service never searches those of another version.
#[cfg(feature = "scale")]
fn set_name(model: &str, vectors: &Matrix) -> String {
    format!("{model}-{}", digest(vectors))
}

/// Writes the vectors of each model that scores by them to a server; gives the name of each set, and how many rows it has.
///
/// # Errors
/// When the server cannot be reached, has no pgvector, or refuses.
#[cfg(feature = "scale")]
pub(crate) fn publish(url: &StoreUrl, models: &FeedModels) -> Result<Vec<(String, usize)>> {
    let mut published: Vec<(String, usize)> = Vec::new();
    for (name, model) in inner_models(models) {
        let Shape::Inner(tower) = model.shape() else { continue };
        let (vectors, set) = (tower.items(), set_name(&name, tower.items()));
        if published.iter().any(|(other, _)| *other == set) {
            continue;
        }
        let bar = progress::bar(vectors.n_rows(), &format!("sending {set}"));
        // Nobody waits for it but who asked for it.
        let config = PgConfig { answer_milliseconds_max: 60_000, ..PgConfig::default() };
        let tell = &mut |n| bar.set_position(n as u64);
        let done = Postgres::publish(url.secret(), &set, vectors, Metric::InnerProduct, &config, tell);
        bar.finish_and_clear();
        published.push((set, done?.len()));
    }
    Ok(published)
}

/// The sets of a server that fit these models. A server that is away is no reason not to serve.
#[cfg(feature = "scale")]
fn on_server(
    url: &StoreUrl,
    models: &FeedModels,
    config: &StoreConfig,
) -> Result<BTreeMap<String, Arc<dyn Index>>> {
    let limits = PgConfig {
        connect_milliseconds_max: config.server_connect_milliseconds_max,
        answer_milliseconds_max: config.vectors_answer_milliseconds_max,
        ..PgConfig::default()
    };
    let mut found = BTreeMap::new();
    for (name, model) in inner_models(models) {
        let Shape::Inner(tower) = model.shape() else { continue };
        if found.contains_key(&name) {
            continue;
        }
        let set = set_name(&name, tower.items());
        match Postgres::open(url.secret(), &set, &limits) {
            Ok(Some(index)) => drop(found.insert(name, Arc::new(index) as Arc<dyn Index>)),
            Ok(None) => tracing::warn!(
                "the server of vectors has none of {set}, so the run's own are searched; `upnext index RUN --to URL` puts them there"
            ),
            Err(error @ IndexError::Server { .. }) => {
                tracing::warn!("{error}; the run's own vectors are searched until the next start");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

#[cfg(not(feature = "scale"))]
pub(crate) fn publish(_: &StoreUrl, _: &FeedModels) -> Result<Vec<(String, usize)>> {
    anyhow::bail!("this build has no PostgreSQL; build it with `cargo build --release --features scale`")
}

#[cfg(not(feature = "scale"))]
fn on_server(
    url: &StoreUrl,
    models: &FeedModels,
    _: &StoreConfig,
) -> Result<BTreeMap<String, Arc<dyn Index>>> {
    let _ = publish(url, models)?;
    Ok(BTreeMap::new())
}

/// The models of a feed, parts of blends included, whose scores are inner products, by the names of their indexes.
fn inner_models(models: &FeedModels) -> Vec<(String, Arc<dyn Recommender>)> {
    fn leaves(model: &Arc<dyn Recommender>, out: &mut Vec<Arc<dyn Recommender>>) {
        match model.shape() {
            Shape::Blend(parts) => parts.iter().for_each(|part| leaves(&part.model, out)),
            Shape::Inner(_) => out.push(Arc::clone(model)),
            _ => model.stage().into_iter().for_each(|stage| leaves(stage, out)),
        }
    }
    let mut out = Vec::new();
    let all = [&models.main, &models.neighbours].into_iter().chain(&models.sources);
    all.for_each(|model| leaves(model, &mut out));
    let named = out.into_iter().map(|model| (model.name().to_string(), model));
    // A model that ranks may bear the same name and have other vectors.
    named.chain(models.fused.iter().map(|model| (FUSED_INDEX.to_string(), Arc::clone(model)))).collect()
}

/// The index of a file, if it is there, whole, of this version, and for the recall that is asked for.
fn opened(file: &Path, config: &Config) -> Result<Option<Quantised>> {
    match Quantised::open(file) {
        Ok(index) if index.config().recall >= config.recall => Ok(Some(index)),
        Ok(_) => Ok(None),
        Err(IndexError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error @ IndexError::File { .. }) => Err(error.into()),
        // It is made of what the run still has.
        Err(error) => {
            tracing::warn!("{error}; it is built again");
            Ok(None)
        }
    }
}

fn build(name: &str, vectors: &Matrix, config: &Config, file: &Path) -> Result<Quantised> {
    let wheel = progress::wheel(&format!("building the index of {name} over {} videos", vectors.n_rows()));
    let index = Quantised::build(vectors, config).with_context(|| format!("the vectors of {name}"))?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    }
    index.save(file)?;
    drop(index);
    // Opened again, its exact vectors stay in the file.
    let index = Quantised::open(file)?;
    wheel.finish_and_clear();
    Ok(index)
}

/// The first digits of the BLAKE3 of a matrix.
fn digest(vectors: &Matrix) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(vectors.n_columns() as u64).to_le_bytes());
    const ROWS: usize = 4_096;
    let mut bytes = Vec::with_capacity(4 * ROWS * vectors.n_columns());
    for values in vectors.values().chunks((ROWS * vectors.n_columns()).max(1)) {
        bytes.clear();
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex()[..16].to_string()
}

/// The files of indexes in a run, by name.
pub(crate) fn files(run: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(run.join(FOLDER)) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "bin")).collect();
    files.sort();
    files
}

/// Removes indexes of vectors that the run has no more.
fn remove_others(run: &Path, built: &[Built]) {
    for path in files(run) {
        let is_old = !built.iter().any(|built| built.file == path);
        if is_old && let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!("{}: an old index cannot be removed: {error}", path.display());
        }
    }
}

/// What an index is built with for serving.
pub(crate) fn settings(recall: f32) -> Config {
    Config { recall, ..Config::new(Metric::InnerProduct) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_opened_where_its_vectors_are_the_same_and_mended_where_it_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let vectors =
            |by: f32| Matrix::from_rows(300, 16, (0..4_800).map(|at| (at as f32 * by).sin()).collect());
        let config = settings(RECALL);
        let file = folder.path().join(FOLDER).join(format!("wmf-{}.bin", digest(&vectors(0.7))));
        assert!(opened(&file, &config).unwrap().is_none());
        build("wmf", &vectors(0.7), &config, &file).unwrap();
        assert!(opened(&file, &config).unwrap().is_some());
        assert!(opened(&file, &settings(0.99)).unwrap().is_none(), "built for less");
        assert_ne!(digest(&vectors(0.7)), digest(&vectors(0.8)));
        let bytes = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(opened(&file, &config).unwrap().is_none());
        remove_others(folder.path(), &[]);
        assert!(!file.exists());
    }
}
