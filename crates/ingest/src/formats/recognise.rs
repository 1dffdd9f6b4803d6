//! What lies before us: which files, of which shape, holding what.

use std::path::{Path, PathBuf};

use upnext_data::Part;

use crate::columns::{self, Columns, Role, bare};
use crate::formats::events::part_named;
use crate::source::{head, text};
use crate::table::{Shape, Table};
use crate::{Field, Format, IngestError, Notice, Options};

/// What to read, in this order.
pub(crate) struct Plan {
    pub(crate) format: Format,
    pub(crate) name: String,
    pub(crate) why: String,
    pub(crate) events: Vec<EventFile>,
    pub(crate) videos: Vec<(Table, Columns)>,
    pub(crate) users: Vec<(Table, Columns)>,
    pub(crate) tags: Vec<(Table, Columns)>,
    /// Files of a folder that nothing was read from, with the reason.
    pub(crate) ignored: Vec<(PathBuf, String)>,
    pub(crate) notice: Option<Notice>,
}

/// A file of events.
pub(crate) enum EventFile {
    Lines { path: PathBuf, part: Option<Part> },
    Table { table: Box<Table>, columns: Columns, part: Option<Part> },
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

const HEAD_BYTES: usize = 1 << 16;

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
    Ok(sniff_lines(&lines))
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

/// Files of a folder, sorted by name; a file stands for itself.
fn expand(given: &[PathBuf], options: &Options) -> Result<(Vec<PathBuf>, bool), IngestError> {
    let mut files = Vec::new();
    let mut folder = false;
    for path in given {
        let kind = std::fs::metadata(path).map_err(IngestError::io(path))?;
        if !kind.is_dir() {
            files.push(path.clone());
            continue;
        }
        folder = true;
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(IngestError::io(path))? {
            let entry = entry.map_err(IngestError::io(path))?.path();
            let name = file_name(&entry);
            let is_text = name.to_ascii_uppercase().starts_with("README") || name.starts_with("LICENSE");
            if entry.is_file() && !name.starts_with('.') && !is_text {
                inside.push(entry);
            }
            if inside.len() > options.limits.files_max {
                return Err(IngestError::Limit {
                    path: path.clone(),
                    what: "files",
                    most: options.limits.files_max,
                    limit: "files_max",
                });
            }
        }
        inside.sort();
        if inside.is_empty() {
            return Err(IngestError::Empty { path: path.clone(), expected: "files of events" });
        }
        files.extend(inside);
    }
    Ok((files, folder))
}

/// Whether a file of a folder may be of the format that was asked for.
fn could_be(format: Format, path: &Path) -> Result<bool, IngestError> {
    let shape = match format {
        Format::Recbole => return Ok(["inter", "item", "user"].contains(&extension(path).as_str())),
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
    let mut ignored = Vec::new();
    let mut candidates = Vec::new();
    let mut tried = Vec::new();
    for path in files {
        if is_folder && OTHER_FILES.contains(&extension(&path).as_str()) {
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
                let table = Table::open(&path, shape, &options.limits)?;
                let columns = columns::resolve(&path, &table.columns, &options.map, alone)?;
                tried.push((path.clone(), names_of(&table)));
                candidates.push((Candidate { path, table: Some((table, columns, shape)) }, None));
            }
        }
    }
    mapped_somewhere(&candidates, options)?;
    let shape = |format| candidates.iter().any(|(_, lines)| *lines == Some(format));
    let (format, why) = name_format(&candidates, options, shape(Format::S3rec), shape(Format::Sasrec))?;
    let mut plan = Plan {
        format,
        name: options.name.clone().unwrap_or_else(|| set_name(first)),
        why,
        events: Vec::new(),
        videos: Vec::new(),
        users: Vec::new(),
        tags: Vec::new(),
        ignored,
        notice: notice(format),
    };
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
            Role::Other => plan.ignored.push((path, format!("no events or videos in {}", names_of(&table)))),
        }
    }
    if plan.events.is_empty() {
        let tried = tried.iter().map(|(path, why)| format!("{}: {why}", file_name(path)));
        return Err(IngestError::NotRecognised {
            path: first.clone(),
            tried: format!("no table with a user and a video; {}", tried.collect::<Vec<_>>().join("; ")),
        });
    }
    one_kind(&mut plan)?;
    Ok(plan)
}

fn set_name(first: &Path) -> String {
    // `.` and `..` have no name of their own.
    let whole = std::fs::canonicalize(first).unwrap_or_else(|_| first.to_owned());
    stem(if first.file_name().is_none() { &whole } else { first })
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
    has_s3rec: bool,
    has_sasrec: bool,
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
        both.then(|| "the files' names say train, validation and test".to_string())
    };
    let sequences = || {
        let (path, ..) =
            events().find(|(.., columns, _)| columns.has(Field::Position) && !columns.has(Field::Time))?;
        Some(format!("`{}` has a position for each event and no time", file_name(path)))
    };
    let tries: [(Format, &dyn Fn() -> Option<String>); 5] = [
        (Format::Kuairec, &kuairec),
        (Format::Recbole, &recbole),
        (Format::Parts, &parts),
        (Format::Movielens, &movielens),
        (Format::Sequences, &sequences),
    ];
    if options.format != Format::Auto {
        let asked = tries.iter().find(|(format, _)| *format == options.format);
        let why = match asked {
            // A list of videos for each user is a sequence too, and is known only when it is read.
            Some((Format::Sequences | Format::Movielens, fits)) => fits().unwrap_or_else(|| "as asked".into()),
            Some((format, fits)) => fits().ok_or_else(|| IngestError::NotThatFormat {
                path: candidates.first().map(|(c, _)| c.path.clone()).unwrap_or_default(),
                format: format.name(),
                reason: match format {
                    Format::Kuairec => "expected big_matrix, small_matrix, or columns play_duration, video_duration, watch_ratio",
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

fn notice(format: Format) -> Option<Notice> {
    match format {
        Format::Movielens => Some(Notice {
            licence: "GroupLens MovieLens terms; plots and casts, where there are any, CC BY-SA 4.0".into(),
            text: "in the shape of MovieLens: its ratings, by GroupLens (Harper and Konstan 2015), are for \
                   non-commercial use only; plots and casts, where there are any, by the authors of Wikipedia"
                .into(),
        }),
        Format::Kuairec => Some(Notice {
            licence: "CC BY-SA 4.0".into(),
            text: "in the shape of KuaiRec, by Gao et al. (CIKM 2022): CC BY-SA 4.0".into(),
        }),
        _ => None,
    }
}
