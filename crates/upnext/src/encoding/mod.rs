//! From a run's catalogue, or a folder of media, to vectors: which encoder, which files, what became of each.

pub(crate) mod ablation;
pub(crate) mod pictures;

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use upnext_data::Catalogue;
use upnext_encode::cache::Cache;
use upnext_encode::job::{self, Done, Outcome, Things};
use upnext_encode::things::{OfFiles, Texts, subtitles};
use upnext_encode::transformer::{self, TransformerSettings};
use upnext_encode::{
    Clip, Encoder, Ffmpeg, Files, Limits, Listed, LogMel, OnnxSettings, Picture, PictureStatistics, Pooled,
    Server, ServerSettings, Sound, Words, WordsSettings,
};
use upnext_ingest::file_index;
use upnext_ingest::vectors::{Coverage, Made, check_writable, put, put_into_folder};

use crate::{WrongUse, progress};

/// What is encoded of a video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Modality {
    /// Title and text of the catalogue
    #[default]
    Text,
    /// Pictures: posters, covers, frames
    Image,
    /// The sound of sound files or clips
    Sound,
    /// Clips: their frames, motion and sound
    Video,
    /// The text of clips' subtitles
    Subtitles,
}

impl Modality {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Sound => "sound",
            Self::Video => "video",
            Self::Subtitles => "subtitles",
        }
    }

    /// How files of this kind are mostly called. Others are read as well: what they are their bytes say.
    fn usual_endings(self) -> &'static [&'static str] {
        match self {
            Self::Image => &["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"],
            Self::Sound => &["wav", "mp3", "flac", "ogg", "opus", "m4a", "aac", "mp4", "mkv", "webm", "mov"],
            Self::Text | Self::Video | Self::Subtitles => {
                &["mp4", "mkv", "webm", "mov", "avi", "m4v", "mpg", "mpeg", "ts", "flv", "wmv", "ogv", "3gp"]
            }
        }
    }

    fn usual_encoder(self) -> &'static str {
        match self {
            Self::Text | Self::Subtitles => "words",
            Self::Image => "statistics",
            Self::Sound => "log-mel",
            Self::Video => "pooled",
        }
    }
}

/// One kind of vectors, as a command line or a table `[[encode]]` of a configuration asks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    /// What is encoded.
    pub(crate) of: Modality,
    /// What the vectors are called; without it, what is encoded.
    pub(crate) name: Option<String>,
    /// A folder or archive with a file for each video.
    pub(crate) from: Option<PathBuf>,
    /// A table that says which file belongs to which video; without it, files are named by ids.
    pub(crate) index: Option<PathBuf>,
    /// Its column of ids.
    pub(crate) id_column: Option<String>,
    /// Its column of names of files.
    pub(crate) file_column: Option<String>,
    /// `words`, `statistics`, `log-mel`, `pooled`, a folder of a transformer, a file `.onnx`, or the address of a server.
    pub(crate) encoder: Option<String>,
    /// The model's name at a server.
    pub(crate) model: String,
    /// Stands before each text.
    pub(crate) prefix: Option<String>,
    /// Numbers of a vector, where the encoder can choose.
    pub(crate) dim: Option<usize>,
    /// Tokens of a text that a transformer reads, at most.
    pub(crate) tokens_max: Option<usize>,
    /// How exactly a transformer multiplies.
    pub(crate) precision: upnext_math::linalg::Precision,
    /// Requests a minute to a server, at most; 0 knows no bound.
    pub(crate) requests_per_minute: u32,
    /// How often a server is asked again.
    pub(crate) retries: Option<u32>,
    /// What an exported model does not tell of itself.
    pub(crate) onnx: OnnxSettings,
    /// Bounds on what is read of a file.
    pub(crate) limits: Limits,
}

impl Wanted {
    /// What the vectors are called.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.of.name())
    }

    fn is_onnx(&self) -> bool {
        let encoder = self.encoder.as_deref().map(Path::new);
        encoder.and_then(Path::extension).is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"))
    }
}

/// Where vectors that were made before lie, and how many threads work.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) workers: usize,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) cache_bytes_max: u64,
}

/// Whose vectors are made, and where they go.
pub(crate) enum Target<'a> {
    /// The videos of a run.
    Run(&'a Path, &'a Catalogue),
    /// Whatever files there are, into a folder.
    Folder(&'a Path),
}

/// What an encoder reads.
enum AnyEncoder {
    Text(Box<dyn Encoder<str>>),
    Image(Box<dyn Encoder<Picture>>),
    Sound(Box<dyn Encoder<Sound>>),
    Video(Box<dyn Encoder<Clip>>),
}

/// What was made of one kind.
pub(crate) struct Ledger {
    pub(crate) coverage: Coverage,
    /// Failures by id, all of them.
    pub(crate) failures: Vec<(String, String)>,
    /// Seconds that it took.
    pub(crate) seconds: f64,
}

/// Looks before hours of work whether all kinds can be meant, and be written.
///
/// # Errors
/// Names the one that cannot.
pub(crate) fn check(kinds: &[Wanted], target: &Target<'_>) -> Result<()> {
    let mut names = HashSet::new();
    for wanted in kinds {
        let wrong = |error: upnext_encode::EncodeError| WrongUse(error.to_string());
        wanted.limits.check().map_err(wrong)?;
        wanted.onnx.check().map_err(wrong)?;
        if wanted.onnx != OnnxSettings::default() && !wanted.is_onnx() {
            let encoder = wanted.encoder.as_deref().unwrap_or(wanted.of.usual_encoder());
            return Err(
                WrongUse::of("onnx", format!("settings of exported models; `{encoder}` is none")).into()
            );
        }
        let name = wanted.name();
        if !names.insert(name) {
            let why = format!("two kinds are called `{name}`, and the second would replace the first");
            return Err(WrongUse::of("--name", why).into());
        }
        match target {
            Target::Run(run, _) => check_writable(&run.join("embeddings"), name)?,
            Target::Folder(folder) => check_writable(folder, name)?,
        }
    }
    Ok(())
}

/// Makes one kind of vectors and writes them.
///
/// # Errors
/// When the encoder cannot be made, the files cannot be looked through, or not one vector came out.
pub(crate) fn encode(wanted: &Wanted, target: &Target<'_>, means: &Means) -> Result<Ledger> {
    let begun = std::time::Instant::now();
    let files = match (&wanted.from, wanted.of) {
        (None, Modality::Text) => None,
        (Some(_), Modality::Text) => {
            return Err(WrongUse::of(
                "--from",
                "texts come from the catalogue of the run; for files name --of",
            )
            .into());
        }
        (None, of) => {
            let why = format!("{} needs the folder or archive of its files", of.name());
            return Err(WrongUse::of("--from", why).into());
        }
        (Some(from), _) => Some(Files::open(from)?),
    };
    let placed = place(wanted, target, files.as_ref())?;
    let ffmpeg = match wanted.of {
        Modality::Sound | Modality::Video | Modality::Subtitles => Some(Ffmpeg::find()?),
        Modality::Text | Modality::Image => None,
    };
    let of_files = files.as_ref().map(|files| OfFiles {
        files,
        places: placed.places.clone(),
        limits: &wanted.limits,
        ffmpeg: ffmpeg.as_ref(),
    });
    let (encoder_name, dim, done, read_failures) = match wanted.of {
        Modality::Text | Modality::Subtitles => {
            let (texts, failures) = texts(wanted, target, of_files.as_ref(), means)?;
            let AnyEncoder::Text(encoder) = encoder(wanted, &texts.there())? else {
                unreachable!("an encoder of what is wanted");
            };
            let done = run::<String, str>(&*encoder, &texts, wanted, means)?;
            (encoder.name(), encoder.dim(), done, failures)
        }
        of => {
            let things = of_files.as_ref().expect("other kinds need files: checked above");
            match (encoder(wanted, &[])?, of) {
                (AnyEncoder::Image(e), _) => {
                    (e.name(), e.dim(), run::<Picture, Picture>(&*e, things, wanted, means)?, Vec::new())
                }
                (AnyEncoder::Sound(e), _) => {
                    (e.name(), e.dim(), run::<Sound, Sound>(&*e, things, wanted, means)?, Vec::new())
                }
                (AnyEncoder::Video(e), _) => {
                    (e.name(), e.dim(), run::<Clip, Clip>(&*e, things, wanted, means)?, Vec::new())
                }
                (AnyEncoder::Text(_), _) => unreachable!("an encoder of what is wanted"),
            }
        }
    };
    let mut outcomes = done.outcomes;
    for (at, why) in read_failures.into_iter().chain(placed.wrong) {
        outcomes[at] = Outcome::Failed(why);
    }
    let from = wanted.from.as_ref().map_or_else(|| "the catalogue".into(), |from| from.display().to_string());
    let made = Made {
        name: wanted.name(),
        from: &from,
        recognised: &encoder_name,
        dim,
        of_videos: outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Vector(values) => Ok(Some(values.as_slice())),
                Outcome::Nothing => Ok(None),
                Outcome::Failed(why) => Err(why.as_str()),
            })
            .collect(),
        unknown: placed.unknown,
        repeated: placed.repeated,
        skipped: placed.skipped,
        from_cache: done.from_cache,
        cache_trouble: done.cache_trouble,
    };
    let failures = placed.ids.iter().zip(&outcomes).filter_map(|(id, outcome)| match outcome {
        Outcome::Failed(why) => Some((id.clone(), why.clone())),
        _ => None,
    });
    let failures = failures.collect();
    let coverage = match target {
        Target::Run(run, _) => put(run, &made)?,
        Target::Folder(folder) => put_into_folder(folder, &placed.ids, &made)?,
    };
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Ledger { coverage, failures, seconds })
}

/// Which file belongs to which video.
struct Placed {
    ids: Vec<String>,
    places: Vec<Option<usize>>,
    /// Files of no video.
    unknown: Vec<String>,
    /// Files of videos that have one already.
    repeated: Vec<String>,
    /// What was not looked at, and why.
    skipped: Vec<String>,
    /// Videos whose file, of which a table tells, cannot be found, and why.
    wrong: Vec<(usize, String)>,
}

fn place(wanted: &Wanted, target: &Target<'_>, files: Option<&Files>) -> Result<Placed> {
    let of_run = match target {
        Target::Run(_, catalogue) => {
            let names = catalogue.names();
            Some((0..catalogue.len() as u32).map(|row| names.name(row).to_string()).collect::<Vec<_>>())
        }
        Target::Folder(_) => None,
    };
    let Some(files) = files else {
        let ids =
            of_run.ok_or_else(|| WrongUse::of("RUN", "texts come from the catalogue of a run: name one"))?;
        return Ok(Placed {
            places: vec![None; ids.len()],
            ids,
            unknown: Vec::new(),
            repeated: Vec::new(),
            skipped: Vec::new(),
            wrong: Vec::new(),
        });
    };
    let shown = |at: &usize| files.listed()[*at].path.display().to_string();
    // By the table where there is one, else by the names of files.
    let mut gone: HashMap<String, String> = HashMap::new();
    let mut pairs: Vec<(String, usize)> = match &wanted.index {
        Some(index) => {
            let (by_path, _) = files.by_name(|file| file.path.to_string_lossy().into_owned());
            let (by_name, again) = files.by_name(Listed::file_name);
            // A name alone says which file is meant only where one file has it.
            let ambiguous: HashSet<String> = again.iter().map(|&at| files.listed()[at].file_name()).collect();
            let columns = (wanted.id_column.as_deref(), wanted.file_column.as_deref());
            let mut pairs = Vec::new();
            for (id, file) in file_index::read(index, columns, &upnext_ingest::Limits::default())? {
                let name = Path::new(&file).file_name().unwrap_or_default().to_string_lossy().into_owned();
                let by_name = || by_name.get(&name).filter(|_| !ambiguous.contains(&name));
                match by_path.get(file.trim_start_matches("./")).or_else(by_name) {
                    Some(&at) => pairs.push((id, at)),
                    None if ambiguous.contains(&name) => {
                        gone.insert(
                            id,
                            format!("several files are called `{name}`: name its path in the table"),
                        );
                    }
                    None => {
                        gone.insert(id, format!("its file `{file}` is not there"));
                    }
                }
            }
            pairs
        }
        None => files.listed().iter().enumerate().map(|(at, file)| (file.stem(), at)).collect(),
    };
    let mut skipped = files.skipped().to_vec();
    let is_folder = of_run.is_none();
    if is_folder {
        // `NAME.ids` has a line for each.
        pairs.retain(|(id, at)| {
            let fits = !id.contains(['\n', '\r']);
            if !fits {
                skipped.push(format!("{}: its id {id:?} has a line break, and stands on a line", shown(at)));
            }
            fits
        });
    }
    // `1.json` beside `1.png` tells of the picture, and is none. A table says itself which of them is meant.
    let is_unusual = |at: usize| {
        let ending = files.listed()[at].ending();
        wanted.index.is_none() && !wanted.of.usual_endings().contains(&ending.as_str())
    };
    let mut first: HashMap<&str, usize> = HashMap::new();
    let (mut repeated, mut order) = (Vec::new(), Vec::new());
    for (id, at) in &pairs {
        match first.entry(id.as_str()) {
            Entry::Vacant(free) => {
                free.insert(*at);
                order.push(id.clone());
            }
            Entry::Occupied(mut taken) => {
                let is_better = !is_unusual(*at) && is_unusual(*taken.get());
                let other = if is_better { taken.insert(*at) } else { *at };
                repeated.push(shown(&other));
            }
        }
    }
    let ids = of_run.unwrap_or_else(|| order.clone());
    let places: Vec<Option<usize>> = ids.iter().map(|id| first.get(id.as_str()).copied()).collect();
    let known: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let unknown = order.iter().filter(|id| !known.contains(id.as_str())).map(|id| shown(&first[id.as_str()]));
    let unknown: Vec<String> = unknown.collect();
    if is_folder {
        let lost = gone.iter().filter(|(id, _)| !known.contains(id.as_str()));
        skipped.extend(lost.map(|(id, why)| format!("{id}: {why}")));
        skipped.sort();
    }
    let wrong = ids.iter().enumerate().filter(|(at, _)| places[*at].is_none());
    let wrong = wrong.filter_map(|(at, id)| Some((at, gone.remove(id)?))).collect();
    Ok(Placed { places, unknown, repeated, skipped, wrong, ids })
}

/// Texts of the catalogue or of subtitles, and what is wrong with which.
fn texts(
    wanted: &Wanted,
    target: &Target<'_>,
    files: Option<&OfFiles<'_>>,
    means: &Means,
) -> Result<(Texts, Vec<(usize, String)>)> {
    if let Some(files) = files {
        let bar = progress::bar(files.places.len(), "reading subtitles");
        let read = subtitles(files, means.workers, &|_| bar.inc(1));
        bar.finish_and_clear();
        let failures =
            read.iter().enumerate().filter_map(|(at, text)| Some((at, text.clone().err()?))).collect();
        let texts: Vec<Option<String>> = read.into_iter().map(Result::unwrap_or_default).collect();
        return Ok((Texts::new(texts.iter().map(Option::as_deref), &wanted.limits), failures));
    }
    let Target::Run(_, catalogue) = target else {
        return Err(WrongUse::of("RUN", "texts come from the catalogue of a run: name one").into());
    };
    let texts: Vec<Option<Cow<'_, str>>> = (catalogue.videos().iter())
        .map(|video| match (video.title.as_str(), video.text.as_str()) {
            ("", "") => None,
            ("", lone) | (lone, "") => Some(lone.into()),
            (title, text) => Some(format!("{title}. {text}").into()),
        })
        .collect();
    Ok((Texts::new(texts.iter().map(Option::as_deref), &wanted.limits), Vec::new()))
}

fn run<Owned: std::borrow::Borrow<Input>, Input: ?Sized>(
    encoder: &dyn Encoder<Input>,
    things: &dyn Things<Owned>,
    wanted: &Wanted,
    means: &Means,
) -> Result<Done> {
    let cache = match &means.cache {
        Some(folder) if encoder.is_kept() => {
            Some(Cache::open(folder, &encoder.digest(), encoder.dim(), means.cache_bytes_max)?)
        }
        _ => None,
    };
    let bar: ProgressBar = progress::bar(things.len(), &format!("encoding {}", wanted.of.name()));
    let most = AtomicUsize::new(0);
    let done = job::run(encoder, things, cache.as_ref(), means.workers, &|n| {
        // Workers tell out of order.
        bar.set_position(most.fetch_max(n, Ordering::Relaxed).max(n) as u64);
    });
    bar.finish_and_clear();
    Ok(done)
}

/// The encoder that is asked for. `texts` are what a fitted one is fitted on.
fn encoder(wanted: &Wanted, texts: &[&str]) -> Result<AnyEncoder> {
    let of = wanted.of;
    let asked = wanted.encoder.as_deref().unwrap_or(of.usual_encoder());
    let transformers = || TransformerSettings {
        prefix: wanted.prefix.clone(),
        tokens_max: wanted.tokens_max,
        precision: wanted.precision,
    };
    let path = Path::new(asked);
    Ok(match (of, asked) {
        (Modality::Text | Modality::Subtitles, "words") => {
            let usual = WordsSettings::default();
            let settings = WordsSettings { dim: wanted.dim.unwrap_or(usual.dim), ..usual };
            AnyEncoder::Text(Box::new(Words::fit(texts, &settings)?))
        }
        (Modality::Text | Modality::Subtitles, url)
            if url.starts_with("http://") || url.starts_with("https://") =>
        {
            AnyEncoder::Text(Box::new(Server::open(server(wanted, url))?))
        }
        (Modality::Text | Modality::Subtitles, _) if path.is_dir() => {
            AnyEncoder::Text(transformer::of_texts(path, &transformers())?)
        }
        (Modality::Image, "statistics") => AnyEncoder::Image(Box::new(PictureStatistics)),
        (Modality::Sound, "log-mel") => AnyEncoder::Sound(Box::new(LogMel::default())),
        (Modality::Video, "pooled") => AnyEncoder::Video(Box::new(Pooled::default())),
        (Modality::Image, _) if path.is_dir() => {
            AnyEncoder::Image(transformer::of_pictures(path, &transformers())?)
        }
        (Modality::Video, _) if path.is_dir() => {
            AnyEncoder::Video(Box::new(Pooled::new(transformer::of_pictures(path, &transformers())?)))
        }
        (Modality::Image | Modality::Sound | Modality::Video, _) if wanted.is_onnx() => {
            exported(of, path, wanted.onnx.clone())?
        }
        _ => {
            let known = match of {
                Modality::Text | Modality::Subtitles => {
                    "words, the folder of a transformer, or the address of a server"
                }
                Modality::Image => "statistics, the folder of a transformer, or a file .onnx",
                Modality::Sound => "log-mel, or a file .onnx",
                Modality::Video => "pooled, the folder of a transformer, or a file .onnx",
            };
            let why = format!(
                "`{asked}` does not encode {} and is nothing that exists; expected {known}",
                of.name()
            );
            return Err(WrongUse::of("--encoder", why).into());
        }
    })
}

#[cfg(feature = "onnx")]
fn exported(of: Modality, path: &Path, settings: OnnxSettings) -> Result<AnyEncoder> {
    let model = upnext_encode::Onnx::open(path, settings)?;
    Ok(match of {
        Modality::Sound => AnyEncoder::Sound(Box::new(model)),
        Modality::Video if model.reads_clips() => AnyEncoder::Video(Box::new(model)),
        Modality::Video => AnyEncoder::Video(Box::new(Pooled::new(Box::new(model)))),
        _ => AnyEncoder::Image(Box::new(model)),
    })
}

#[cfg(not(feature = "onnx"))]
fn exported(_of: Modality, path: &Path, _settings: OnnxSettings) -> Result<AnyEncoder> {
    let why = "this build does without ONNX Runtime: build it with `--features onnx`";
    Err(upnext_encode::EncodeError::of(path.display(), why).into())
}

fn server(wanted: &Wanted, url: &str) -> ServerSettings {
    let usual = ServerSettings::default();
    ServerSettings {
        url: url.into(),
        model: wanted.model.clone(),
        key: std::env::var("UPNEXT_EMBEDDINGS_KEY").ok().filter(|key| !key.is_empty()),
        dim: wanted.dim,
        prefix: wanted.prefix.clone().unwrap_or_default(),
        requests_per_minute: wanted.requests_per_minute,
        retries: wanted.retries.unwrap_or(usual.retries),
        ..usual
    }
}

/// All kinds that a configuration asks for, in tables `[[encode]]`.
///
/// # Errors
/// When the file cannot be read, or a key is not known.
pub(crate) fn read_wanted(path: &Path) -> Result<Vec<Wanted>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Kinds {
        encode: Vec<Wanted>,
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: the configuration cannot be read", path.display()))?;
    let kinds: Kinds = toml::from_str(&text).map_err(|error| {
        WrongUse::of(&path.display().to_string(), format!("expected tables [[encode]]: {error}"))
    })?;
    Ok(kinds.encode)
}
