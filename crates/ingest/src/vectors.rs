//! Vectors that ride beside a log: one row of numbers for each id, under a name.
//!
//! Made elsewhere, by an encoder of images, sound or text, they come from a folder, an object store, a matrix or
//! a table, and lie in the run as `embeddings/NAME.npy`: a row for each video in the order of the run's videos,
//! 32-bit floats, zeros where there is none. `embeddings/NAME.json` tells which rows those are, and why.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use upnext_data::Names;

use crate::run::{self, RunError};
use crate::sources::npy;
use crate::sources::vectors::{self as sources, Found};
use crate::{IngestError, Limits};

/// Named vectors, such as a column `image_vector:float_seq` of RecBole's atomic files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vectors {
    /// What they are called: the name of the column or file.
    pub name: String,
    /// Numbers of each vector.
    pub dim: usize,
    /// Outside ids of the videos, in the order of the rows.
    pub ids: Vec<String>,
    /// All rows, one after another: `ids.len() × dim` numbers.
    pub values: Vec<f32>,
}

/// How vectors lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VectorFormat {
    /// To be told by names and first bytes.
    #[default]
    Auto,
    /// A folder or prefix with one `ID.npy` a video.
    Npy,
    /// A folder or prefix with one file of 32-bit floats a video, without a header.
    Raw,
    /// One `.npy` with a row a video.
    Matrix,
    /// A Parquet table with a column of ids and one of lists.
    Parquet,
    /// A table of text (CSV, JSON lines, RecBole) with a column of ids and one of lists.
    Table,
}

impl VectorFormat {
    /// All of them, by the names of the command line.
    pub const ALL: [(&'static str, Self); 6] = [
        ("auto", Self::Auto),
        ("npy", Self::Npy),
        ("raw", Self::Raw),
        ("matrix", Self::Matrix),
        ("parquet", Self::Parquet),
        ("table", Self::Table),
    ];
}

/// Where vectors come from, and how.
#[derive(Clone, Debug)]
pub struct VectorOptions {
    /// What they are called in the run: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// A folder, a file, or the URL of a prefix or an object.
    pub from: String,
    /// How they lie.
    pub format: VectorFormat,
    /// Numbers of each vector; without it, those of the first.
    pub dim: Option<usize>,
    /// The ids of a matrix, one a line; without it, its rows are those of the videos.
    pub ids: Option<PathBuf>,
    /// The column of ids of a table; without it, by its usual names.
    pub id_column: Option<String>,
    /// The column of vectors of a table; without it, the only one that holds lists.
    pub vector_column: Option<String>,
    /// Files or objects that are fetched at a time.
    pub workers: usize,
    /// How often a request is made again after the store did not answer or erred.
    pub retries: usize,
    /// Where objects that were fetched are kept.
    pub cache: Option<PathBuf>,
    /// The cache's bound.
    pub cache_bytes_max: u64,
    /// The address of an S3-compatible server.
    pub endpoint: Option<String>,
    /// Credentials and settings of an object store, by the names that they have in the environment:
    /// `AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`, …
    pub settings: Vec<(String, String)>,
    /// Bounds on tables.
    pub limits: Limits,
}

impl Default for VectorOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            from: String::new(),
            format: VectorFormat::Auto,
            dim: None,
            ids: None,
            id_column: None,
            vector_column: None,
            workers: 16,
            retries: 5,
            cache: None,
            cache_bytes_max: 4 << 30,
            endpoint: None,
            settings: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Why vectors cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum VectorError {
    /// The run cannot be read or written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A table cannot be read.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// What is given cannot be meant.
    #[error("{what}: {reason}")]
    Given {
        /// Which option, file or URL.
        what: String,
        /// What is wrong, what was expected and what to do.
        reason: String,
    },
    /// The store does not answer, or refuses.
    #[error("{url}: {reason}")]
    Store {
        /// What was asked for.
        url: String,
        /// What the store said, and what to do.
        reason: String,
    },
    /// Not one vector fits.
    #[error("{from}: no vector of {videos} videos could be taken ({why}); for example {example}")]
    NoneFound {
        /// Where was looked.
        from: String,
        /// Videos of the run.
        videos: usize,
        /// How many were lost to what.
        why: String,
        /// One of them.
        example: String,
    },
}

/// Some of the videos.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub n: usize,
    /// Of all videos of the run.
    pub share: f64,
    /// The first ten, with what was wrong.
    pub examples: Vec<String>,
}

/// What was found, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// What the vectors are called.
    pub name: String,
    /// Where they came from.
    pub from: String,
    /// What that was taken for.
    pub recognised: String,
    /// Numbers of each.
    pub dim: usize,
    /// Videos of the run.
    pub videos: usize,
    /// Videos that have a vector now.
    pub found: Count,
    /// Videos for which there is none.
    pub missing: Count,
    /// Vectors of another length.
    pub wrong_size: Count,
    /// Vectors with a number that is not finite.
    pub non_finite: Count,
    /// Files that are no vectors.
    pub unreadable: Count,
    /// Vectors of videos that the run does not have; the share is of the run's videos too.
    pub unknown: Count,
    /// Vectors of a video that had one already; the first stays.
    pub repeated: Count,
    /// What was not looked at: links, folders that cannot be read.
    #[serde(default)]
    pub skipped: Count,
    /// Objects that were not fetched again.
    pub from_cache: usize,
    /// Why not all vectors are kept for another run, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_trouble: Option<String>,
    /// BLAKE3 of the matrix that this belongs to, in hex.
    pub matrix_blake3: String,
    /// Rows of the matrix that are zeros because there is no vector.
    pub missing_rows: Vec<u32>,
}

const EXAMPLES_MAX: usize = 10;
/// Largest matrix: it is held in memory once.
pub(crate) const MATRIX_BYTES_MAX: u64 = 64 << 30;

impl Count {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.n += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }
}

/// The matrix while it fills.
pub(crate) struct Filling<'a> {
    pub(crate) names: &'a Names,
    pub(crate) coverage: Coverage,
    dim: Option<usize>,
    /// The file: header and numbers; empty until the dimension is known.
    bytes: Vec<u8>,
    header_bytes: usize,
    /// Which rows have been spoken for, with a vector or with a fault.
    seen: Vec<bool>,
    present: Vec<bool>,
}

impl<'a> Filling<'a> {
    fn new(names: &'a Names, name: &str, from: &str, dim: Option<usize>) -> Result<Self, VectorError> {
        let coverage =
            Coverage { name: name.into(), from: from.into(), videos: names.len(), ..Coverage::default() };
        let (seen, present) = (vec![false; names.len()], vec![false; names.len()]);
        let mut filling =
            Self { names, coverage, dim: None, bytes: Vec::new(), header_bytes: 0, seen, present };
        if let Some(dim) = dim {
            filling.set_dim(dim)?;
        }
        Ok(filling)
    }

    fn set_dim(&mut self, dim: usize) -> Result<(), VectorError> {
        let bytes = (self.names.len() as u64).checked_mul(4 * dim as u64);
        if dim == 0 || bytes.is_none_or(|bytes| bytes > MATRIX_BYTES_MAX) {
            return Err(VectorError::Given {
                what: "--dim".into(),
                reason: format!(
                    "{dim} numbers for each of {} videos; expected at least one, and a matrix of at most {} GiB",
                    self.names.len(),
                    MATRIX_BYTES_MAX >> 30
                ),
            });
        }
        self.bytes = npy::header(self.names.len(), dim);
        self.header_bytes = self.bytes.len();
        self.bytes.resize(self.header_bytes + self.names.len() * dim * 4, 0);
        self.dim = Some(dim);
        Ok(())
    }

    /// Takes what was found for a video of the run.
    pub(crate) fn take(&mut self, row: u32, found: Found<'_>) -> Result<(), VectorError> {
        let (at, id) = (row as usize, self.names.name(row));
        if self.seen[at] {
            self.coverage.repeated.add(|| id.into());
            return Ok(());
        }
        let values = match found {
            Found::Vector(values) => values,
            // It stays missing.
            Found::Vanished => return Ok(()),
            Found::Unreadable(why) => {
                self.seen[at] = true;
                self.coverage.unreadable.add(|| format!("{id}: {why}"));
                return Ok(());
            }
            Found::WrongSize(why) => {
                self.seen[at] = true;
                self.coverage.wrong_size.add(|| format!("{id}: {why}"));
                return Ok(());
            }
        };
        self.seen[at] = true;
        let dim = match self.dim {
            Some(dim) => dim,
            None => {
                self.set_dim(values.len())?;
                values.len()
            }
        };
        if values.len() != dim {
            self.coverage.wrong_size.add(|| format!("{id}: {} numbers, expected {dim}", values.len()));
        } else if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            self.coverage.non_finite.add(|| format!("{id}: number {place} is {}", values[place]));
        } else {
            let start = self.header_bytes + at * dim * 4;
            for (to, value) in self.bytes[start..start + dim * 4].chunks_exact_mut(4).zip(values) {
                to.copy_from_slice(&value.to_le_bytes());
            }
            self.present[at] = true;
            self.coverage.found.add(|| id.into());
        }
        Ok(())
    }

    /// Takes what was found for an id, be it of the run or not.
    pub(crate) fn take_id(&mut self, id: &str, found: Found<'_>) -> Result<(), VectorError> {
        match self.names.row(id) {
            Some(row) => self.take(row, found),
            None => {
                self.unknown(id);
                Ok(())
            }
        }
    }

    pub(crate) fn unknown(&mut self, id: &str) {
        self.coverage.unknown.add(|| id.chars().take(80).collect());
    }

    /// Also the list of failures, a line of JSON each.
    fn finish_with_failures(self, made: &Made<'_>) -> Result<(Coverage, Vec<u8>, String), VectorError> {
        let names = self.names;
        let mut failures = String::new();
        for (row, of_video) in (0..).zip(&made.of_videos) {
            if let Err(reason) = of_video {
                let failure = Failure { video: names.name(row), reason };
                failures += &serde_json::to_string(&failure).expect("two strings are always JSON");
                failures.push('\n');
            }
        }
        let (coverage, matrix) = self.finish()?;
        Ok((coverage, matrix, failures))
    }

    fn finish(mut self) -> Result<(Coverage, Vec<u8>), VectorError> {
        let coverage = &mut self.coverage;
        for row in (0..self.names.len()).filter(|&row| !self.seen[row]) {
            coverage.missing.add(|| self.names.name(row as u32).into());
        }
        let all = coverage.videos.max(1) as f64;
        for count in [
            &mut coverage.found,
            &mut coverage.missing,
            &mut coverage.wrong_size,
            &mut coverage.non_finite,
            &mut coverage.unreadable,
            &mut coverage.unknown,
            &mut coverage.repeated,
            &mut coverage.skipped,
        ] {
            count.share = count.n as f64 / all;
        }
        if coverage.found.n == 0 {
            let lost = [
                ("missing", &coverage.missing),
                ("of a wrong size", &coverage.wrong_size),
                ("not finite", &coverage.non_finite),
                ("unreadable", &coverage.unreadable),
                ("of videos that the run does not have", &coverage.unknown),
            ];
            let lost: Vec<_> = lost.iter().filter(|(_, count)| count.n > 0).collect();
            // What was there and did not fit says more than what was not there.
            let example = lost.iter().rev().find_map(|(_, count)| count.examples.first());
            return Err(VectorError::NoneFound {
                from: coverage.from.clone(),
                videos: coverage.videos,
                why: lost.iter().map(|(what, c)| format!("{} {what}", c.n)).collect::<Vec<_>>().join(", "),
                example: example.map_or_else(|| "none".into(), |example| format!("`{example}`")),
            });
        }
        coverage.dim = self.dim.unwrap_or_default();
        coverage.missing_rows =
            (0..self.names.len()).filter(|&at| !self.present[at]).map(|at| at as u32).collect();
        coverage.matrix_blake3 = blake3::hash(&self.bytes).to_hex().to_string();
        Ok((self.coverage, self.bytes))
    }
}

/// Where an import of vectors stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorProgress {
    /// Vectors read so far.
    pub done: usize,
    /// Vectors in all, as far as that is known.
    pub total: usize,
}

/// Brings vectors into a run. All is read before anything is written: whatever fails leaves the run as it was.
///
/// # Errors
/// When the source or the run cannot be read, the store refuses or stops answering, or not one vector fits.
pub fn import(
    run: &Path,
    options: &VectorOptions,
    progress: &dyn Fn(VectorProgress),
) -> Result<Coverage, VectorError> {
    check_name(&options.name)?;
    let opened = run::open(run)?;
    let mut filling = Filling::new(opened.dataset.videos.names(), &options.name, &options.from, options.dim)?;
    sources::fill(&mut filling, options, progress)?;
    write(run, filling)
}

/// Adds vectors that are in memory to a run, as [`import`] does.
///
/// # Errors
/// When the run cannot be read or written, or not one vector fits.
pub fn add(run: &Path, vectors: &Vectors) -> Result<Coverage, VectorError> {
    check_name(&vectors.name)?;
    let opened = run::open(run)?;
    let mut filling =
        Filling::new(opened.dataset.videos.names(), &vectors.name, "the import", Some(vectors.dim))?;
    filling.coverage.recognised = "vectors of the import".into();
    for (id, values) in vectors.ids.iter().zip(vectors.values.chunks_exact(vectors.dim.max(1))) {
        filling.take_id(id, Found::Vector(values))?;
    }
    write(run, filling)
}

/// Vectors that were just made, and what became of those that were not.
#[derive(Clone, Debug, Default)]
pub struct Made<'a> {
    /// What they are called.
    pub name: &'a str,
    /// Where what was encoded lies.
    pub from: &'a str,
    /// What encoded it.
    pub recognised: &'a str,
    /// Numbers of each.
    pub dim: usize,
    /// For each video its vector, nothing, or what is wrong with what it has.
    pub of_videos: Vec<Result<Option<&'a [f32]>, &'a str>>,
    /// Names of files of no video.
    pub unknown: Vec<String>,
    /// Names of files of videos that have another one already.
    pub repeated: Vec<String>,
    /// What was not looked at, and why.
    pub skipped: Vec<String>,
    /// How many were not made again.
    pub from_cache: usize,
    /// Why not all are kept for another run, if so.
    pub cache_trouble: Option<String>,
}

/// Whether vectors of that name can be written into a folder, a run's or another: before they are made, which may take hours.
///
/// # Errors
/// When the name cannot be that of a file, or nothing can be written there.
pub fn check_writable(folder: &Path, name: &str) -> Result<(), VectorError> {
    check_name(name)?;
    // What is not there yet will be made in what is.
    let mut folders =
        folder.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let there = folders.find(|path| path.exists()).unwrap_or(folder);
    let probe = there.join(format!(".writable.{}", std::process::id()));
    let tried = std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe));
    tried.map_err(|error| VectorError::Given {
        what: folder.display().to_string(),
        reason: format!("cannot be written ({error}); expected a folder, or one that can be made"),
    })
}

/// What is wrong with one, as the list of failures has it.
#[derive(Serialize)]
struct Failure<'a> {
    video: &'a str,
    reason: &'a str,
}

/// Adds vectors that were just made to a run, and `embeddings/NAME.failures.jsonl`, a line for each that failed.
///
/// # Errors
/// When the run cannot be read or written, or there is not one vector.
///
/// # Panics
/// If there are not as many as the run has videos.
pub fn put(run: &Path, made: &Made<'_>) -> Result<Coverage, VectorError> {
    check_name(made.name)?;
    let opened = run::open(run)?;
    let names = opened.dataset.videos.names();
    let (coverage, matrix, failures) = filled(names, made)?.finish_with_failures(made)?;
    let failures_name = format!("embeddings/{}.failures.jsonl", made.name);
    write_parts(run, &coverage, &matrix)?;
    run::add_file(run, &failures_name, failures.as_bytes())?;
    Ok(coverage)
}

/// The same into a folder that is no run: `NAME.npy`, `NAME.ids` with a line for each row, `NAME.json` and
/// `NAME.failures.jsonl`.
///
/// # Errors
/// When the folder cannot be written, or there is not one vector.
///
/// # Panics
/// If there are not as many vectors as ids.
pub fn put_into_folder(folder: &Path, ids: &[String], made: &Made<'_>) -> Result<Coverage, VectorError> {
    check_name(made.name)?;
    let mut names = Names::new();
    ids.iter().for_each(|id| {
        names.intern(id);
    });
    let (coverage, matrix, failures) = filled(&names, made)?.finish_with_failures(made)?;
    let json = serde_json::to_vec_pretty(&coverage).expect("counts and strings are always JSON");
    let lines: String = ids.iter().flat_map(|id| [id, "\n"]).collect();
    std::fs::create_dir_all(folder).map_err(IngestError::io(folder))?;
    let files = [
        ("npy", matrix.as_slice()),
        ("ids", lines.as_bytes()),
        ("json", &json),
        ("failures.jsonl", failures.as_bytes()),
    ];
    for (ending, bytes) in files {
        let path = folder.join(format!("{}.{ending}", made.name));
        run::write_through(&path, bytes).map_err(IngestError::io(&path))?;
    }
    Ok(coverage)
}

fn filled<'a>(names: &'a Names, made: &Made<'_>) -> Result<Filling<'a>, VectorError> {
    assert_eq!(made.of_videos.len(), names.len(), "a vector, nothing or a reason for each video");
    let mut filling = Filling::new(names, made.name, made.from, Some(made.dim))?;
    filling.coverage.recognised = made.recognised.into();
    filling.coverage.from_cache = made.from_cache;
    filling.coverage.cache_trouble.clone_from(&made.cache_trouble);
    for (row, of_video) in (0..).zip(&made.of_videos) {
        match of_video {
            Ok(Some(values)) => filling.take(row, Found::Vector(values))?,
            Ok(None) => {}
            Err(why) => filling.take(row, Found::Unreadable((*why).into()))?,
        }
    }
    made.unknown.iter().for_each(|name| filling.unknown(name));
    made.repeated.iter().for_each(|name| filling.coverage.repeated.add(|| name.clone()));
    made.skipped.iter().for_each(|why| filling.coverage.skipped.add(|| why.clone()));
    Ok(filling)
}

fn write(run: &Path, filling: Filling) -> Result<Coverage, VectorError> {
    let (coverage, matrix) = filling.finish()?;
    write_parts(run, &coverage, &matrix)?;
    Ok(coverage)
}

fn write_parts(run: &Path, coverage: &Coverage, matrix: &[u8]) -> Result<(), VectorError> {
    let (matrix_name, coverage_name) = file_names(&coverage.name);
    let json = serde_json::to_vec_pretty(coverage).expect("counts and strings are always JSON");
    run::add_file(run, &matrix_name, matrix)?;
    run::add_file(run, &coverage_name, &json)?;
    Ok(())
}

fn file_names(name: &str) -> (String, String) {
    (format!("embeddings/{name}.npy"), format!("embeddings/{name}.json"))
}

fn check_name(name: &str) -> Result<(), VectorError> {
    const CHARS_MAX: usize = 80;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= CHARS_MAX && name.chars().all(plain) && !name.starts_with('.') {
        return Ok(());
    }
    Err(VectorError::Given {
        what: "--name".into(),
        reason: format!(
            "`{name}` cannot be the name of a file; expected letters, digits, `-`, `_` or `.`, at most {CHARS_MAX}"
        ),
    })
}

/// Vectors of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Numbers of each vector.
    pub dim: usize,
    /// `videos × dim`, a row a video in the run's order, zeros where there is none.
    pub values: Vec<f32>,
    /// Whether a video has one.
    pub present: Vec<bool>,
    /// What was found, and what was not.
    pub coverage: Coverage,
}

/// The vectors of that name, or nothing where the run has none.
///
/// # Errors
/// When the files are not the ones that were written, or do not belong together.
pub fn read(run: &Path, name: &str) -> Result<Option<Stored>, VectorError> {
    check_name(name)?;
    let (matrix_name, coverage_name) = file_names(name);
    // Whatever of these is damaged, another import of the vectors makes it again.
    let file = |name: &str| {
        run::read_file(run, name).map_err(|error| match error {
            RunError::Changed { path, reason, .. } => RunError::Changed { path, reason, verb: "vectors" },
            error => error,
        })
    };
    let Some(matrix) = file(&matrix_name)? else { return Ok(None) };
    let changed = |reason: String| {
        VectorError::Run(RunError::Changed { path: run.join(&matrix_name), reason, verb: "vectors" })
    };
    let coverage = file(&coverage_name)?
        .ok_or_else(|| changed(format!("`{coverage_name}` is missing: the import was cut short")))?;
    let coverage: Coverage =
        serde_json::from_slice(&coverage).map_err(|error| changed(format!("{coverage_name}: {error}")))?;
    if coverage.matrix_blake3 != blake3::hash(&matrix).to_hex().to_string() {
        return Err(changed(format!("`{coverage_name}` is of another import")));
    }
    stored(coverage, &matrix).map(Some).map_err(changed)
}

/// What a matrix and its coverage say together, or what is wrong with them.
fn stored(coverage: Coverage, matrix: &[u8]) -> Result<Stored, String> {
    let npy = npy::parse(matrix)?;
    let mut values = Vec::with_capacity(npy.rows * npy.dim);
    let mut row_values = Vec::new();
    for row in 0..npy.rows {
        npy.row_into(row, &mut row_values);
        values.extend_from_slice(&row_values);
    }
    let mut present = vec![true; npy.rows];
    for &row in &coverage.missing_rows {
        let place = present.get_mut(row as usize);
        *place.ok_or_else(|| format!("row {row} of {} is named missing", npy.rows))? = false;
    }
    Ok(Stored { dim: npy.dim, values, present, coverage })
}

/// Vectors that are in memory, for a set that is no run.
///
/// # Errors
/// When not one vector fits.
pub fn of_set(names: &Names, vectors: &Vectors) -> Result<Stored, VectorError> {
    let mut filling = Filling::new(names, &vectors.name, "the import", Some(vectors.dim))?;
    for (id, values) in vectors.ids.iter().zip(vectors.values.chunks_exact(vectors.dim.max(1))) {
        filling.take_id(id, Found::Vector(values))?;
    }
    filled_to_stored(filling, "the import")
}

/// A matrix that lies beside the tables of a set that is no run, as `NAME.npy`. Which row is which video is said by
/// `NAME.ids` beside it, a line for each row, or by ids that are whole numbers: the row of that number, from 0. `None` where
/// neither says it.
///
/// # Errors
/// When the file cannot be read, is no matrix of floats, or not one vector fits.
pub fn beside(names: &Names, file: &Path) -> Result<Option<Stored>, VectorError> {
    let from = file.display().to_string();
    let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let given = |reason: String| VectorError::Given { what: from.clone(), reason };
    let bytes = std::fs::metadata(file).map_err(IngestError::io(file))?.len();
    sources::check_matrix_bytes(&from, bytes)?;
    let bytes = std::fs::read(file).map_err(IngestError::io(file))?;
    let mut filling = Filling::new(names, &name, &from, None)?;
    let ids = file.with_extension("ids");
    if ids.is_file() {
        let options = VectorOptions { name, from, ids: Some(ids), ..VectorOptions::default() };
        sources::matrix(&mut filling, &bytes, &options, &|_| {})?;
        return filled_to_stored(filling, &options.from).map(Some);
    }
    let mend = "mend it, or move it out of the folder";
    let npy = npy::parse(&bytes).map_err(|why| given(format!("cannot be read: {why}; {mend}")))?;
    // A matrix of something else, of users for example, has another number of rows.
    let numbers: Option<Vec<usize>> =
        (0..names.len()).map(|row| names.name(row as u32).parse().ok()).collect();
    let Some(numbers) =
        numbers.filter(|numbers| !npy.is_flat && numbers.iter().max() == Some(&npy.rows.wrapping_sub(1)))
    else {
        return Ok(None);
    };
    let mut values = Vec::new();
    for (row, number) in (0..).zip(numbers) {
        npy.row_into(number, &mut values);
        filling.take(row, Found::Vector(&values))?;
    }
    filled_to_stored(filling, &from).map(Some)
}

fn filled_to_stored(filling: Filling, from: &str) -> Result<Stored, VectorError> {
    let (coverage, matrix) = filling.finish()?;
    stored(coverage, &matrix).map_err(|reason| VectorError::Given { what: from.into(), reason })
}

/// The names of all vectors of a run, in order.
///
/// # Errors
/// When the manifest cannot be read.
pub fn names(run: &Path) -> Result<Vec<String>, VectorError> {
    let files = run::manifest(run)?.files;
    let name = |file: &String| {
        file.strip_prefix("embeddings/").and_then(|file| file.strip_suffix(".npy")).map(Into::into)
    };
    Ok(files.keys().filter_map(name).collect())
}
