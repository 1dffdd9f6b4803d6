//! From the outside world to a [`Dataset`]: readers of logs and catalogues, the cleaning report, and the run
//! folder on disk.
//!
//! This crate knows file formats. It does not know models.

mod beside;
mod clean;
mod columns;
pub mod engine;
mod error;
mod features;
pub mod file_index;
mod formats;
mod gather;
mod glob;
pub mod lists;
mod options;
pub mod pictures;
mod row_hash;
pub mod run;
mod source;
mod sources;
mod table;
mod time;
pub mod vectors;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use upnext_data::{Dataset, Order, Part};

pub use clean::{CleaningReport, Dropped, Example, FileRead, Reason};
pub use engine::import::{Checked, ImportError, Summary, Target, import, validate};
pub use engine::rules::{Duplicates, Missing, Rate, Rules, RulesUsed};
pub use error::IngestError;
pub use options::{Field, Format, Limits, Map, Options, Progress, Stage};
pub use sources::{SqlOptions, without_password};
pub use vectors::{VectorError, Vectors};

use columns::Columns;
use engine::scan::{self, Scanned};
use formats::recognise::{self, EventFile, Plan};
use gather::Gather;
use table::Table;

/// What an import yields.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The clean set.
    pub dataset: Dataset,
    /// What was read, kept and dropped.
    pub cleaning: CleaningReport,
    /// What the files were taken for, and why.
    pub recognised: String,
    /// What a user of the data should be told.
    pub notice: Option<Notice>,
    /// Vectors of videos that stood in the tables, for whoever stores vectors.
    pub vectors: Vec<Vectors>,
    /// Files of vectors (`.npy`) that lie beside the tables; they are not read here.
    pub vector_files: Vec<PathBuf>,
}

/// Terms of a data set, in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The licence's name.
    pub licence: String,
    /// What to say where somebody sees the data.
    pub text: String,
}

/// Reads files, or one folder, into a clean set.
///
/// # Errors
/// Whatever makes the files useless, named with file, line and column; see [`IngestError`].
pub fn read(
    files: &[PathBuf],
    options: &Options,
    progress: &dyn Fn(Progress),
) -> Result<Imported, IngestError> {
    let mut gather = Gather::new(options, progress);
    let plan = recognise::plan(files, options)?;
    let Read { name, recognised, notice, vector_files } = read_into(&mut gather, plan)?;
    let mut beside = std::mem::take(&mut gather.beside);
    let vectors = std::mem::take(&mut beside.vectors);
    let (mut dataset, cleaning) = gather.finish(name)?;
    beside.attach(&mut dataset);
    Ok(Imported { dataset, cleaning, recognised, notice, vectors, vector_files })
}

/// What is known of files beside their rows.
pub(crate) struct Read {
    pub(crate) name: String,
    pub(crate) recognised: String,
    pub(crate) notice: Option<Notice>,
    pub(crate) vector_files: Vec<PathBuf>,
}

/// Reads every row of files that were recognised.
pub(crate) fn read_into(gather: &mut Gather, plan: Plan) -> Result<Read, IngestError> {
    let options = gather.options;
    let Plan {
        format,
        name,
        why,
        events,
        videos,
        users,
        tags,
        daily,
        friends,
        vector_files,
        ignored,
        notice,
    } = plan;
    gather.order = order_of(&events, format);
    let tables = [&videos, &users, &tags, &daily, &friends].into_iter().flatten();
    let paths = events.iter().map(EventFile::path).chain(tables.map(|(table, _)| table.path.as_path()));
    gather.bytes_of(paths);
    // In a sequence the same video may come again.
    gather.drop_duplicates = !matches!(events[..], [EventFile::Lines { .. }, ..]) || format == Format::Parts;
    let mut recognised = format!("{format}: {why}");
    for file in &events {
        if let EventFile::Table { table, columns, part } = file {
            recognised += &format!("; {}", described(table, columns, *part));
        }
    }
    let kept = gather.go_on()?;
    for (at, file) in events.into_iter().enumerate().skip(kept) {
        if at > kept {
            gather.keep(at)?;
        }
        read_events(gather, file, format)?;
    }
    if matches!(format, Format::S3rec | Format::Sasrec | Format::Parts) {
        gather.number_densely(format == Format::Parts)?;
    }
    for (table, columns) in videos {
        // KuaiRec describes videos of its big matrix too, which the small one does not have.
        let add = !matches!(format, Format::Kuairec | Format::Kuairand) && columns.describes();
        formats::videos::read(gather, table, &columns, add)?;
    }
    for (table, columns) in tags {
        formats::videos::read_tags(gather, table, &columns)?;
    }
    for (table, columns) in users {
        formats::users::read(gather, table, &columns)?;
    }
    for (table, columns) in daily {
        formats::daily::read(gather, table, &columns)?;
    }
    for (table, columns) in friends {
        formats::friends::read(gather, table, &columns)?;
    }
    for file in &options.features {
        features::read(gather, file)?;
    }
    for (path, why) in ignored {
        gather.note(format!("{}: not read: {why}", path.display()));
    }
    Ok(Read { name, recognised, notice, vector_files })
}

fn read_events(gather: &mut Gather, file: EventFile, format: Format) -> Result<(), IngestError> {
    match file {
        EventFile::Lines { path, part } => formats::lines::read(gather, &path, format, part),
        EventFile::Table { table, columns, part } => {
            let mut table = *table;
            // Ranges first; what they cannot read, from there on row by row.
            if let Scanned::Rows(rows, bad) = scan::read(gather, &table, &columns, part)? {
                for _ in 0..rows {
                    table.next()?;
                }
                gather.begun = (rows, bad);
                formats::events::read(gather, table, &columns, part)?;
            }
            Ok(())
        }
    }
}

fn order_of(events: &[EventFile], format: Format) -> Order {
    let all = |has: &dyn Fn(&Columns) -> bool| {
        events.iter().all(|file| matches!(file, EventFile::Table { columns, .. } if has(columns)))
    };
    let is_lines = matches!(events, [EventFile::Lines { .. }, ..]);
    if all(&|columns| columns.has(Field::Time)) {
        Order::Timed
    } else if all(&|columns| columns.has(Field::Position)) || (is_lines && format != Format::Parts) {
        Order::Sequence
    } else {
        Order::Unordered
    }
}

/// Which column is read as what, in the words of `--map`.
fn described(table: &Table, columns: &Columns, part: Option<Part>) -> String {
    let name = table.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let fields = Field::ALL
        .into_iter()
        .filter_map(|field| Some(format!("{}={}", field.name(), table.columns[columns.get(field)?].name)));
    let part = part.map_or(String::new(), |part| format!(" as {part:?}").to_lowercase());
    let wanted = columns.wanted();
    let mut unread: Vec<&str> = (0..table.columns.len())
        .filter(|at| !wanted.contains(at) && columns.tag != Some(*at))
        .map(|at| table.columns[at].name.as_str())
        .collect();
    if unread.len() > UNREAD_MAX {
        unread.truncate(UNREAD_MAX);
        unread.push("…");
    }
    let beside: Vec<&str> = columns
        .of_users
        .iter()
        .chain(&columns.of_videos)
        .map(|&at| table.columns[at].name.as_str())
        .collect();
    let beside = match beside.is_empty() {
        true => String::new(),
        false => format!(" (attributes: {})", beside.join(", ")),
    };
    let unread = match unread.is_empty() {
        true => String::new(),
        false => format!(" (not read: {})", unread.join(", ")),
    };
    format!("{name}{part}: {}{beside}{unread}", fields.collect::<Vec<_>>().join(","))
}

/// Most columns that are named as not read.
const UNREAD_MAX: usize = 12;
