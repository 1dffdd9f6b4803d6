//! What lies before us: which files, of which shape, holding what.

use std::path::{Path, PathBuf};

use upnext_data::Part;

use crate::columns::{self, Columns, Role, bare};
use crate::formats;
use crate::formats::events::part_named;
use crate::glob;
use crate::source::{head, text};
use crate::table::{Shape, Table};
use crate::{Field, Format, IngestError, Map, Notice, Options};

/// What to read, in this order.
pub(crate) struct Plan {
    pub(crate) format: Format,
    pub(crate) name: String,
    pub(crate) why: String,
    pub(crate) events: Vec<EventFile>,
    pub(crate) videos: Vec<(Table, Columns)>,
    pub(crate) users: Vec<(Table, Columns)>,
    pub(crate) tags: Vec<(Table, Columns)>,
    pub(crate) daily: Vec<(Table, Columns)>,
    pub(crate) friends: Vec<(Table, Columns)>,
    /// `.npy` files beside the tables.
    pub(crate) vector_files: Vec<PathBuf>,
    /// Files of a folder that nothing was read from, with the reason.
    pub(crate) ignored: Vec<(PathBuf, String)>,
    pub(crate) notice: Option<Notice>,
}

/// A file of events.
pub(crate) enum EventFile {
    Lines { path: PathBuf, part: Option<Part> },
    Table { table: Box<Table>, columns: Columns, part: Option<Part> },
}

impl EventFile {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Lines { path, .. } => path,
            Self::Table { table, .. } => &table.path,
        }
    }
}

/// What the first bytes of a file say.
pub(crate) enum Sniffed {
    Table(Shape),
    Lines(Format),
    /// Why each shape does not fit.
    Unknown(String),
}

const RATINGS: &[&str] = &["user_id", "movie_id", "rating", "timestamp"];
const FILMS: &[&str] = &["movie_id", "title", "genres"];
const VIEWERS: &[&str] = &["user_id", "gender", "age", "occupation", "zip"];
const VIEWERS_100K: &[&str] = &["user_id", "age", "gender", "occupation", "zip"];
const FILMS_100K: &[&str] = &[
    "movie_id",
    "title",
    "release_date",
    "video_release_date",
    "address",
    "genre:unknown",
    "genre:Action",
    "genre:Adventure",
    "genre:Animation",
    "genre:Children",
    "genre:Comedy",
    "genre:Crime",
    "genre:Documentary",
    "genre:Drama",
    "genre:Fantasy",
    "genre:Film-Noir",
    "genre:Horror",
    "genre:Musical",
    "genre:Mystery",
    "genre:Romance",
    "genre:Sci-Fi",
    "genre:Thriller",
    "genre:War",
    "genre:Western",
];

const COUNTS_MICROLENS: &[&str] = &["item", "likes", "views"];
const TITLES_MICROLENS: &[&str] = &["item", "title"];

/// Long enough for a first line with a vector of some thousand numbers.
const HEAD_BYTES: usize = 1 << 18;

/// Looks at the first bytes of a file.
pub(crate) fn sniff(path: &Path) -> Result<Sniffed, IngestError> {
    let head = head(path, HEAD_BYTES)?;
    if head.iter().all(u8::is_ascii_whitespace) {
        return Err(IngestError::Empty { path: path.to_owned(), expected: "events" });
    }
    if head.starts_with(b"PAR1") {
        return Ok(Sniffed::Table(Shape::Parquet));
    }
    if extension(path) == "parquet" {
        return Err(IngestError::Parquet {
            path: path.to_owned(),
            reason: "it does not start with `PAR1`".into(),
        });
    }
    let whole = head.len() < HEAD_BYTES;
    let head = text(&head).trim_start_matches('\u{feff}').to_string();
    let mut lines: Vec<&str> = head.lines().collect();
    if !whole && lines.len() > 1 {
        // The last line may be cut.
        lines.pop();
    }
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.trim().is_empty()).take(500).collect();
    let Some(first) = lines.first() else { return Ok(Sniffed::Unknown("no line of text".into())) };
    if first.trim_start().starts_with('{') {
        return Ok(match serde_json::from_str::<serde_json::Map<_, _>>(first) {
            Ok(_) => Sniffed::Table(Shape::Jsonl),
            Err(_) => Sniffed::Unknown("starts with `{`, but its first line is not a JSON object".into()),
        });
    }
    if first.trim_start().starts_with('[') && (first.contains('{') || first.trim() == "[") {
        let why = "jsonl: a JSON array; write one object a line, for example with `jq -c '.[]' FILE`";
        return Ok(Sniffed::Unknown(why.into()));
    }
    if first.contains("::") {
        return Ok(match first.split("::").count() {
            4 => Sniffed::Table(Shape::DoubleColon(RATINGS)),
            3 => Sniffed::Table(Shape::DoubleColon(FILMS)),
            5 => Sniffed::Table(Shape::DoubleColon(VIEWERS)),
            n => Sniffed::Unknown(format!("movielens: {n} fields by `::`; expected 3, 4 or 5")),
        });
    }
    if extension(path) == "item" && first.split('|').count() == FILMS_100K.len() {
        return Ok(Sniffed::Table(Shape::Headerless(b'|', FILMS_100K)));
    }
    if extension(path) == "user" && first.split('|').count() == VIEWERS_100K.len() {
        return Ok(Sniffed::Table(Shape::Headerless(b'|', VIEWERS_100K)));
    }
    if let Some(shape) = microlens_beside(path, first) {
        return Ok(Sniffed::Table(shape));
    }
    Ok(sniff_lines(&lines))
}

/// MicroLens' titles and counts may come without a header.
fn microlens_beside(path: &Path, first: &str) -> Option<Shape> {
    let name = file_name(path).to_ascii_lowercase();
    let starts_with_number =
        |by: char| first.split(by).next().is_some_and(|id| id.trim().parse::<u64>().is_ok());
    if name.contains("title") && starts_with_number(',') && first.contains(',') {
        return Some(Shape::Headerless(b',', TITLES_MICROLENS));
    }
    if name.contains("title") && starts_with_number('\t') && first.contains('\t') {
        return Some(Shape::Headerless(b'\t', TITLES_MICROLENS));
    }
    let three =
        first.split('\t').count() == 3 && first.split('\t').all(|field| field.trim().parse::<f64>().is_ok());
    (name.contains("likes") && three).then_some(Shape::Headerless(b'\t', COUNTS_MICROLENS))
}

fn sniff_lines(lines: &[&str]) -> Sniffed {
    let numbers = |line: &str, by: char| -> Option<Vec<f64>> {
        line.split(by).map(|field| field.trim().parse().ok()).collect()
    };
    let first = lines[0];
    let rated = |line: &&str| matches!(numbers(line, '\t').as_deref(), Some([_, _, stars, time]) if (0.0..=10.0).contains(stars) && *time > 1e8);
    if lines.iter().all(rated) {
        return Sniffed::Table(Shape::Headerless(b'\t', RATINGS));
    }
    let delimiter = [',', '\t', ';', '|'].into_iter().find(|&delimiter| first.contains(delimiter));
    // MicroLens: a user, a tab, and videos by spaces.
    let by_tab = |line: &&str| {
        line.split_once('\t').is_some_and(|(user, videos)| {
            let is_id = |word: &str| word.parse::<u64>().is_ok();
            let mut videos = videos.split_ascii_whitespace().peekable();
            is_id(user.trim()) && videos.peek().is_some() && videos.all(is_id)
        })
    };
    if lines.iter().all(by_tab) && lines.iter().any(|line| line.contains(' ')) {
        return Sniffed::Lines(Format::S3rec);
    }
    let mut tried = vec!["parquet: does not start with `PAR1`".to_string()];
    match delimiter {
        Some(delimiter) if numbers(first, delimiter).is_none() => {
            let fields = first.split(delimiter).count();
            // Sequences by tabs have lines of many lengths.
            if delimiter != '\t' || lines.iter().all(|line| line.split('\t').count() == fields) {
                return Sniffed::Table(Shape::Delimited(None));
            }
            tried.push("csv: lines of many lengths".into());
        }
        Some(',' | ';' | '|') => {
            tried.push("csv: the first line holds numbers only; it must name the columns".into());
            return Sniffed::Unknown(tried.join("; "));
        }
        _ => tried.push("csv: the first line has no `,`, tab, `;` or `|`".into()),
    }
    let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split_ascii_whitespace().collect()).collect();
    if words.iter().any(|words| words.len() < 2) {
        tried.push("s3rec and sasrec: a line with fewer than two words".into());
    } else if words.iter().any(|words| words.iter().any(|word| word.parse::<u64>().is_err())) {
        tried.push(
            "s3rec and sasrec: words that are not whole numbers (name the format if ids are words)".into(),
        );
    } else if words.iter().all(|words| words.len() == 2) {
        return Sniffed::Lines(Format::Sasrec);
    } else {
        let mut users: Vec<&str> = words.iter().map(|words| words[0]).collect();
        users.sort_unstable();
        users.dedup();
        let same_length = words.len() > 3 && words.iter().all(|line| line.len() == words[0].len());
        if users.len() == words.len() && !same_length {
            return Sniffed::Lines(Format::S3rec);
        }
        tried.push("s3rec: first words occur twice, or all lines have the same length".into());
    }
    Sniffed::Unknown(tried.join("; "))
}

/// The last part of a name, packing left out: `csv` for `a.csv.gz`.
pub(crate) fn extension(path: &Path) -> String {
    let name = file_name(path).to_ascii_lowercase();
    let mut parts: Vec<&str> = name.split('.').collect();
    while parts.len() > 1 && matches!(parts.last(), Some(&("gz" | "zst" | "zstd"))) {
        parts.pop();
    }
    if parts.len() > 1 { parts.pop().unwrap_or_default().to_string() } else { String::new() }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// `Beauty` for `data/Beauty.txt.zst`.
fn stem(path: &Path) -> String {
    let name = file_name(path);
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("data");
    stem.to_string()
}

/// The part that a file's name says, in any of its words: `beauty.train.inter`, `trn.parquet`.
fn part_of_name(path: &Path) -> Option<Part> {
    let name = file_name(path);
    name.split(['.', '_', '-']).filter(|word| word.parse::<u64>().is_err()).find_map(part_named)
}

/// Endings that hold no table; they lie beside data everywhere.
const OTHER_FILES: &[&str] = &[
    "md", "npy", "npz", "json", "pkl", "pt", "tar", "zip", "jpg", "png", "html", "pdf", "py", "ipynb",
    "toml", "yaml",
];

/// Files of a folder, sorted by name; a file stands for itself, and a pattern for what fits it. A folder
/// without a table stands for its folders.
fn expand(given: &[PathBuf], options: &Options) -> Result<(Vec<PathBuf>, bool), IngestError> {
    let files_max = options.limits.files_max;
    let mut files = Vec::new();
    let mut folder = false;
    for path in given {
        let fitting = if glob::is_pattern(path) {
            folder = true;
            glob::expand(path, files_max)?
        } else {
            vec![path.clone()]
        };
        for path in fitting {
            if !std::fs::metadata(&path).map_err(IngestError::io(&path))?.is_dir() {
                files.push(path);
                continue;
            }
            folder = true;
            let (mut inside, folders) = files_in(&path, files_max)?;
            // Scripts and papers lie on top of many sets, whose tables are in a folder `data`.
            if !inside.iter().any(|file| !OTHER_FILES.contains(&extension(file).as_str())) {
                for folder in folders {
                    inside.extend(files_in(&folder, files_max)?.0);
                }
            }
            if inside.is_empty() {
                return Err(IngestError::Empty { path, expected: "files of events" });
            }
            files.extend(inside);
        }
        if files.len() > files_max {
            let (what, limit) = ("files", "files_max");
            return Err(IngestError::Limit { path: path.clone(), what, most: files_max, limit });
        }
    }
    Ok((files, folder))
}

/// Files and folders that lie in a folder, each sorted by name.
fn files_in(path: &Path, files_max: usize) -> Result<(Vec<PathBuf>, Vec<PathBuf>), IngestError> {
    let (mut inside, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(path).map_err(IngestError::io(path))? {
        let entry = entry.map_err(IngestError::io(path))?.path();
        let name = file_name(&entry);
        let upper = name.to_ascii_uppercase();
        let is_text = upper.starts_with("README") || upper.starts_with("LICENSE");
        if name.starts_with('.') || name.starts_with("__") {
            continue;
        }
        if entry.is_dir() {
            folders.push(entry);
        } else if entry.is_file() && !is_text {
            inside.push(entry);
        }
        if inside.len().max(folders.len()) > files_max {
            let (what, limit) = ("files", "files_max");
            return Err(IngestError::Limit { path: path.to_owned(), what, most: files_max, limit });
        }
    }
    inside.sort();
    folders.sort();
    Ok((inside, folders))
}

/// Whether a file of a folder may be of the format that was asked for.
fn could_be(format: Format, path: &Path) -> Result<bool, IngestError> {
    let shape = match format {
        Format::Recbole => return Ok(["inter", "item", "user", "net"].contains(&extension(path).as_str())),
        Format::Csv => Shape::Delimited(None),
        Format::Parquet => Shape::Parquet,
        Format::Jsonl => Shape::Jsonl,
        _ => return Ok(true),
    };
    match sniff(path) {
        Ok(Sniffed::Table(found)) => Ok(found == shape),
        Ok(_) | Err(IngestError::Empty { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a file named `.json` holds one object a line, each with more than lists in it.
fn is_json_lines(path: &Path) -> Result<bool, IngestError> {
    if extension(path) != "json" {
        return Ok(false);
    }
    let head = head(path, HEAD_BYTES)?;
    let head = text(&head);
    let mut lines = head.trim_start_matches('\u{feff}').lines();
    let first = lines.next().and_then(|line| serde_json::from_str::<serde_json::Map<_, _>>(line).ok());
    let is_record = first.is_some_and(|object| object.values().any(|value| !value.is_array()));
    Ok(is_record && lines.all(|line| line.is_empty() || line.starts_with('{')))
}

struct Candidate {
    path: PathBuf,
    table: Option<(Table, Columns, Shape)>,
}

/// Decides what to read and as what.
pub(crate) fn plan(given: &[PathBuf], options: &Options) -> Result<Plan, IngestError> {
    let first = given.first().ok_or(IngestError::NoFiles)?;
    if let Some(plan) = crate::sources::sql::plan(given, options) {
        return plan;
    }
    let (files, is_folder) = expand(given, options)?;
    let alone = files.len() == 1;
    let mut vector_files = Vec::new();
    let mut nested = None;
    let mut ignored = Vec::new();
    let mut candidates = Vec::new();
    let mut tried = Vec::new();
    for path in files {
        if !alone && extension(&path) == "npy" {
            ignored.push((path.clone(), "vectors, which `upnext vectors` reads".to_string()));
            vector_files.push(path);
            continue;
        }
        if is_folder && ["kg", "link"].contains(&extension(&path).as_str()) {
            ignored.push((path, "a knowledge graph of RecBole's, which nothing here reads".to_string()));
            continue;
        }
        let is_other = OTHER_FILES.contains(&extension(&path).as_str());
        if is_folder && is_other && !is_json_lines(&path)? {
            ignored.push((path, "not a table".to_string()));
            continue;
        }
        if is_folder && !could_be(options.format, &path)? {
            ignored.push((path, format!("not {}", options.format)));
            continue;
        }
        let sniffed = match options.format {
            Format::Csv => Sniffed::Table(Shape::Delimited(None)),
            Format::Parquet => Sniffed::Table(Shape::Parquet),
            Format::Jsonl => Sniffed::Table(Shape::Jsonl),
            Format::Recbole => Sniffed::Table(Shape::Delimited(Some(b'\t'))),
            Format::Metarank | Format::Gorse => Sniffed::Table(Shape::Jsonl),
            Format::S3rec | Format::Sasrec => Sniffed::Lines(options.format),
            _ => match sniff(&path) {
                Err(IngestError::Empty { .. }) if is_folder => Sniffed::Unknown("is empty".into()),
                other => other?,
            },
        };
        match sniffed {
            Sniffed::Lines(format) => {
                tried.push((path.clone(), format!("{format} lines")));
                candidates.push((Candidate { path, table: None }, Some(format)));
            }
            Sniffed::Unknown(why) if alone => {
                return Err(match options.format {
                    Format::Auto => IngestError::NotRecognised { path, tried: why },
                    format => IngestError::NotThatFormat { path, format: format.name(), reason: why },
                });
            }
            Sniffed::Unknown(why) => {
                tried.push((path.clone(), why.clone()));
                ignored.push((path, why));
            }
            Sniffed::Table(shape) => {
                let kinds = match (shape, options.format) {
                    (Shape::Jsonl, Format::Auto | Format::Metarank | Format::Gorse) => {
                        formats::nested::recognise(&path, &options.limits)?
                    }
                    _ => None,
                };
                if let Some((format, kinds)) = kinds {
                    nested = nested.or(Some((format, path.clone())));
                    for &kind in kinds {
                        let shape = Shape::Nested(kind);
                        let table = Table::open(&path, shape, &options.limits)?;
                        if table.columns.is_empty() {
                            continue;
                        }
                        let columns = columns::resolve(&path, &table.columns, &Map::default(), false)?;
                        tried.push((path.clone(), names_of(&table)));
                        let table = Some((table, columns, shape));
                        candidates.push((Candidate { path: path.clone(), table }, None));
                    }
                    continue;
                }
                let table = Table::open(&path, shape, &options.limits)?;
                let columns = columns::resolve(&path, &table.columns, &options.map, alone)?;
                tried.push((path.clone(), names_of(&table)));
                candidates.push((Candidate { path, table: Some((table, columns, shape)) }, None));
            }
        }
    }
    let alone = alone && candidates.len() == 1 && nested.is_none();
    mapped_somewhere(&candidates, options)?;
    let shape = |format| candidates.iter().any(|(_, lines)| *lines == Some(format));
    let has_lines = [shape(Format::S3rec), shape(Format::Sasrec)];
    let (format, mut why) = name_format(&candidates, options, has_lines, nested)?;
    let generated = candidates.iter().find_map(|(candidate, _)| generated_seed(&candidate.path));
    if let Some(seed) = generated {
        why += &format!("; generated, seed {seed}");
    }
    let mut plan = Plan {
        format,
        name: options.name.clone().unwrap_or_else(|| set_name(first)),
        why,
        events: Vec::new(),
        videos: Vec::new(),
        users: Vec::new(),
        tags: Vec::new(),
        daily: Vec::new(),
        friends: Vec::new(),
        vector_files,
        ignored,
        notice: notice(format, generated),
    };
    let near = near_misses(&candidates, format);
    let kuairec_parts = KuairecParts::of(candidates.iter().map(|(candidate, _)| stem(&candidate.path)));
    for (Candidate { path, table }, _) in candidates {
        let part = match format {
            Format::Kuairec => kuairec_parts.part(&stem(&path)),
            Format::Parts => part_of_name(&path),
            Format::Recbole => part_of_name(&path),
            _ => None,
        };
        let Some((table, columns, _)) = table else {
            plan.events.push(EventFile::Lines { path, part });
            continue;
        };
        match columns.role() {
            Role::Tags if !alone => plan.tags.push((table, columns)),
            Role::Events | Role::Tags => {
                columns::need_events(&path, &table.columns, &columns)?;
                plan.events.push(EventFile::Table { table: Box::new(table), columns, part });
            }
            // A file given by itself must be events: say which column is missing.
            _ if alone => columns::need_events(&path, &table.columns, &columns)?,
            Role::Videos => plan.videos.push((table, columns)),
            Role::Users => plan.users.push((table, columns)),
            Role::Daily => plan.daily.push((table, columns)),
            Role::Friends => plan.friends.push((table, columns)),
            Role::Other => plan.ignored.push((path, format!("no events or videos in {}", names_of(&table)))),
        }
    }
    if plan.events.is_empty() {
        let tried = if tried.is_empty() { &plan.ignored } else { &tried };
        let tried = tried.iter().map(|(path, why)| format!("{}: {why}", file_name(path)));
        return Err(IngestError::NotRecognised {
            path: first.clone(),
            tried: format!(
                "{near}no table with a user and a video; {}",
                tried.collect::<Vec<_>>().join("; ")
            ),
        });
    }
    one_kind(&mut plan)?;
    Ok(plan)
}

fn set_name(first: &Path) -> String {
    // `.` and `..` have no name of their own.
    let whole = std::fs::canonicalize(first).unwrap_or_else(|_| first.to_owned());
    let name = stem(if first.file_name().is_none() { &whole } else { first });
    if !glob::is_pattern(first) {
        return name;
    }
    // Of a pattern what all its files share, else their folder's name.
    let shared = name.split(['*', '?', '[']).next().unwrap_or_default();
    match (shared.trim_end_matches(['_', '-']), first.parent()) {
        ("", Some(parent)) => set_name(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }),
        ("", None) => "data".into(),
        (shared, _) => shared.into(),
    }
}

fn names_of(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().take(12).map(|column| column.name.as_str()).collect();
    format!("columns {}{}", names.join(", "), if table.columns.len() > 12 { ", …" } else { "" })
}

/// That each mapped column is in some table.
fn mapped_somewhere(
    candidates: &[(Candidate, Option<Format>)],
    options: &Options,
) -> Result<(), IngestError> {
    let tables = || candidates.iter().filter_map(|(candidate, _)| candidate.table.as_ref());
    for field in Field::ALL {
        for wanted in options.map.columns(field).filter(|&wanted| wanted != "-") {
            let here = tables().any(|(table, ..)| table.columns.iter().any(|column| column.name == wanted));
            if let (false, Some((table, ..))) = (here, tables().next()) {
                return Err(columns::no_column(&table.path, field, wanted, &table.columns));
            }
        }
    }
    Ok(())
}

/// Where the same folder holds tables and lines of events, the tables say more; and several files of lines are
/// several sets, unless their names say that they are parts of one.
fn one_kind(plan: &mut Plan) -> Result<(), IngestError> {
    let is_lines = |file: &EventFile| matches!(file, EventFile::Lines { .. });
    if !plan.events.iter().all(is_lines) {
        let (lines, tables) = std::mem::take(&mut plan.events).into_iter().partition(is_lines);
        plan.events = tables;
        for file in lines {
            if let EventFile::Lines { path, .. } = file {
                plan.ignored.push((path, "a list of sequences beside tables of events".into()));
            }
        }
    }
    if let [EventFile::Lines { path, part: None }, _, ..] = &plan.events[..] {
        return Err(IngestError::NotRecognised {
            path: path.parent().unwrap_or(path).to_owned(),
            tried: format!(
                "{} files of sequences, which number users and videos each on its own; name one file",
                plan.events.len()
            ),
        });
    }
    plan.events.sort_by_key(|file| {
        let (EventFile::Lines { part, .. } | EventFile::Table { part, .. }) = file;
        part.map(|part| part as u8)
    });
    Ok(())
}

/// The name of what lies here, and why it is that.
fn name_format(
    candidates: &[(Candidate, Option<Format>)],
    options: &Options,
    [has_s3rec, has_sasrec]: [bool; 2],
    nested: Option<(Format, PathBuf)>,
) -> Result<(Format, String), IngestError> {
    let tables: Vec<(&Path, &Table, &Columns, Shape)> = candidates
        .iter()
        .filter_map(|(c, _)| {
            c.table.as_ref().map(|(t, columns, shape)| (c.path.as_path(), t, columns, *shape))
        })
        .collect();
    let events = || tables.iter().filter(|(_, _, columns, _)| columns.role() == Role::Events);
    let matrix = candidates.iter().find(|(c, _)| is_kuairec(&stem(&c.path)));
    let kuairec = || {
        let by_name =
            matrix.map(|(c, _)| format!("the name `{}` is one of its matrices", file_name(&c.path)));
        by_name.or_else(|| {
            let (path, ..) = events().find(|(_, table, ..)| {
                let has = |wanted: &str| table.columns.iter().any(|column| column.name == wanted);
                has("play_duration") && has("video_duration") && has("watch_ratio")
            })?;
            Some(format!("`{}` has play_duration, video_duration and watch_ratio", file_name(path)))
        })
    };
    let movielens = || {
        let (path, ..) = events().find(|(_, table, columns, shape)| {
            let film = table.columns.iter().any(|column| bare(&column.name) == "movieid");
            let given = matches!(shape, Shape::DoubleColon(_) | Shape::Headerless(..));
            given || (film && columns.has(Field::Rating) && columns.has(Field::Time))
        })?;
        Some(format!("`{}` has users, movies, ratings and times", file_name(path)))
    };
    let recbole = || {
        let (path, ..) = tables.iter().find(|(path, ..)| extension(path) == "inter")?;
        Some(format!("`{}` is an atomic file of interactions", file_name(path)))
    };
    let parts = || {
        let of: Vec<Part> = candidates.iter().filter_map(|(c, _)| part_of_name(&c.path)).collect();
        let both = of.contains(&Part::Train) && of.iter().any(|&part| part != Part::Train);
        let by_name = both.then(|| "the files' names say train, validation and test".to_string());
        by_name.or_else(|| {
            let is_label = |column: &crate::table::Column| bare(&column.name) == "xlabel";
            let (path, ..) = events().find(|(_, table, ..)| table.columns.iter().any(is_label))?;
            Some(format!("`{}` has x_label, MMRec's column of parts", file_name(path)))
        })
    };
    // RecBole's own split files keep their names, and MMRec's have the ending of RecBole's.
    let is_mmrec = || parts().is_some_and(|why| why.contains("x_label")).then(parts).flatten();
    let sequences = || {
        let (path, ..) =
            events().find(|(.., columns, _)| columns.has(Field::Position) && !columns.has(Field::Time))?;
        Some(format!("`{}` has a position for each event and no time", file_name(path)))
    };
    let of_kind = |wanted: Format, what: &str| {
        let (format, path) = nested.as_ref()?;
        (*format == wanted).then(|| format!("`{}` {what}", file_name(path)))
    };
    let metarank = || of_kind(Format::Metarank, "holds events named item, user, interaction or ranking");
    let gorse = || of_kind(Format::Gorse, "has Gorse's keys: UserId, ItemId, FeedbackType, Labels");
    let named = |table: &Table, wanted: &[&str]| {
        wanted.iter().all(|wanted| table.columns.iter().any(|column| column.name == *wanted))
    };
    let personalize = || {
        let keys = ["USER_ID", "ITEM_ID", "TIMESTAMP"];
        let (path, ..) = tables.iter().find(|(_, table, ..)| named(table, &keys))?;
        Some(format!("`{}` has USER_ID, ITEM_ID and TIMESTAMP", file_name(path)))
    };
    let kuairand = || {
        let keys = ["is_click", "play_time_ms", "duration_ms"];
        let (path, ..) = tables.iter().find(|(_, table, ..)| {
            named(table, &keys) && ["is_rand", "tab", "hourmin"].iter().any(|key| named(table, &[key]))
        })?;
        Some(format!("`{}` has is_click, play_time_ms and duration_ms", file_name(path)))
    };
    let microlens = || {
        let by_name = candidates.iter().find(|(candidate, _)| {
            let name = file_name(&candidate.path).to_ascii_lowercase();
            name.contains("microlens") && name.contains("pairs")
        });
        let beside = candidates.iter().any(|(candidate, _)| {
            let shape = candidate.table.as_ref().map(|(.., shape)| *shape);
            matches!(shape, Some(Shape::Headerless(_, names)) if names == COUNTS_MICROLENS || names == TITLES_MICROLENS)
        });
        match by_name {
            Some((candidate, _)) => {
                Some(format!("`{}` is named as one of its files of pairs", file_name(&candidate.path)))
            }
            None if beside && (has_s3rec || events().next().is_some()) => {
                Some("titles or counts by item, without a header, beside pairs".to_string())
            }
            None => None,
        }
    };
    let tries: [(Format, &dyn Fn() -> Option<String>); 11] = [
        (Format::Metarank, &metarank),
        (Format::Gorse, &gorse),
        (Format::Personalize, &personalize),
        (Format::Kuairand, &kuairand),
        (Format::Microlens, &microlens),
        (Format::Kuairec, &kuairec),
        (Format::Parts, &is_mmrec),
        (Format::Recbole, &recbole),
        (Format::Parts, &parts),
        (Format::Movielens, &movielens),
        (Format::Sequences, &sequences),
    ];
    if options.format != Format::Auto {
        let asked = tries.iter().rfind(|(format, _)| *format == options.format);
        let why = match asked {
            // A list of videos for each user is a sequence too, and is known only when it is read.
            Some((Format::Sequences | Format::Movielens | Format::Microlens, fits)) => fits().unwrap_or_else(|| "as asked".into()),
            Some((format, fits)) => fits().ok_or_else(|| IngestError::NotThatFormat {
                path: candidates.first().map(|(c, _)| c.path.clone()).unwrap_or_default(),
                format: format.name(),
                reason: match format {
                    Format::Kuairec => "expected big_matrix, small_matrix, or columns play_duration, video_duration, watch_ratio",
                    Format::Metarank => "expected JSON lines with `event` (item, user, interaction, ranking) and `timestamp`",
                    Format::Gorse => "expected JSON lines with FeedbackType, UserId, ItemId (feedback), ItemId (items) or UserId (users)",
                    Format::Personalize => "expected a CSV with USER_ID, ITEM_ID, TIMESTAMP in its header",
                    Format::Kuairand => "expected a log with user_id, video_id, time_ms, is_click, play_time_ms, duration_ms",
                    Format::Recbole => "expected a file NAME.inter with columns `user_id:token`, `item_id:token`",
                    _ => "expected files named train, valid and test, or trn, val and tst",
                }
                .into(),
            })?,
            None => "as asked".into(),
        };
        return Ok((options.format, why));
    }
    for (format, fits) in tries {
        if let Some(why) = fits() {
            return Ok((format, why));
        }
    }
    if has_s3rec {
        return Ok((Format::S3rec, "lines of a user and videos, of many lengths, each user once".into()));
    }
    if has_sasrec {
        return Ok((Format::Sasrec, "two numbers a line, without a header".into()));
    }
    let why = |what: &str| what.to_string();
    Ok(match events().next().or(tables.first()).map(|(.., shape)| *shape) {
        Some(Shape::Parquet) => (Format::Parquet, why("starts with `PAR1`")),
        Some(Shape::Jsonl) => (Format::Jsonl, why("one JSON object a line")),
        _ => (Format::Csv, why("a header and delimited fields")),
    })
}

/// What the files would be if one more were there, for those who forgot it.
fn near_misses(candidates: &[(Candidate, Option<Format>)], format: Format) -> String {
    let names: Vec<String> =
        candidates.iter().map(|(candidate, _)| file_name(&candidate.path).to_ascii_lowercase()).collect();
    let any = |parts: &[&str]| names.iter().any(|name| parts.iter().any(|part| name.contains(part)));
    let ends = |ending: &str| candidates.iter().any(|(candidate, _)| extension(&candidate.path) == ending);
    let roles: Vec<Role> =
        (candidates.iter()).filter_map(|(candidate, _)| Some(candidate.table.as_ref()?.1.role())).collect();
    let upper = |wanted: &str| {
        let mut tables = candidates.iter().filter_map(|(candidate, _)| candidate.table.as_ref());
        tables.any(|(table, ..)| table.columns.iter().any(|column| column.name == wanted))
    };
    let lacking = if format == Format::Gorse {
        "gorse without feedback: add the file with FeedbackType, UserId and ItemId"
    } else if format == Format::Metarank {
        "metarank without interactions: add events with `\"event\": \"interaction\"`"
    } else if any(&["video_features_basic", "video_features_statistic"]) {
        "kuairand without a log: add log_standard_*.csv or log_random_*.csv"
    } else if any(&["caption_category", "item_daily_features", "item_categories", "user_features_raw"]) {
        "kuairec without a matrix: add big_matrix.csv or small_matrix.csv"
    } else if ends("item") || ends("user") {
        "recbole without interactions: add NAME.inter"
    } else if upper("ITEM_ID") || upper("USER_ID") {
        "personalize without interactions: add a CSV with USER_ID, ITEM_ID and TIMESTAMP"
    } else if any(&["microlens"]) {
        "microlens without pairs: add MicroLens-*_pairs.csv or .tsv"
    } else if any(&["movies"]) {
        "movielens without ratings: add ratings.csv or ratings.dat"
    } else if roles.contains(&Role::Users) && roles.contains(&Role::Videos) {
        "users and videos without a log: add a table with both ids"
    } else {
        return String::new();
    };
    format!("{lacking}; ")
}

fn is_kuairec(stem: &str) -> bool {
    stem.starts_with("big_matrix") || stem.starts_with("small_matrix")
}

/// Which of KuaiRec's matrices are there: the big one trains and the small one tests; of the sample's files the
/// sample trains and the later positives test.
struct KuairecParts {
    split: bool,
    big: bool,
}

impl KuairecParts {
    fn of(stems: impl Iterator<Item = String>) -> Self {
        let stems: Vec<String> = stems.filter(|stem| is_kuairec(stem)).collect();
        let big = stems.iter().any(|stem| stem.starts_with("big_matrix"));
        let later = stems.iter().any(|stem| stem.contains("positives"));
        Self { split: stems.len() > 1 && (big || later), big }
    }

    fn part(&self, stem: &str) -> Option<Part> {
        let tests = if self.big { stem.starts_with("small_matrix") } else { stem.contains("positives") };
        (self.split && is_kuairec(stem)).then_some(if tests { Part::Test } else { Part::Train })
    }
}

/// The seed of the data that `upnext generate` made, if a file lies beside what that says of itself.
fn generated_seed(path: &Path) -> Option<u64> {
    let truth = std::fs::read(path.with_file_name("truth.json")).ok()?;
    let truth: serde_json::Value = serde_json::from_slice(&truth).ok()?;
    truth["generated"].as_bool().filter(|&generated| generated)?;
    truth["seed"].as_u64()
}

fn notice(format: Format, generated: Option<u64>) -> Option<Notice> {
    let by_gao = |set: &str| Notice {
        licence: "CC BY-SA 4.0".into(),
        text: format!("in the shape of {set}, by Gao et al. (CIKM 2022)"),
    };
    if let Some(seed) = generated {
        return Some(Notice {
            licence: "generated data, no licence needed".into(),
            text: format!("generated by `upnext generate`, seed {seed}: nobody watched anything"),
        });
    }
    match format {
        Format::Movielens => Some(Notice {
            licence: "GroupLens MovieLens terms; plots and casts, where there are any, CC BY-SA 4.0".into(),
            text: "in the shape of MovieLens: its ratings, by GroupLens (Harper and Konstan 2015), are for \
                   non-commercial use only; plots and casts, where there are any, by the authors of Wikipedia"
                .into(),
        }),
        Format::Kuairand => Some(by_gao("KuaiRand")),
        Format::Kuairec => Some(by_gao("KuaiRec")),
        _ => None,
    }
}
