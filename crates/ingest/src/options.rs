//! What a caller may say about the files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use upnext_data::{Order, Relevance};

use crate::engine::rules::Rules;
use crate::{IngestError, SqlOptions};

/// What the files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// To be recognised.
    #[default]
    Auto,
    /// Comma, tab, semicolon or bar separated, with a header.
    Csv,
    /// Parquet tables.
    Parquet,
    /// KuaiRec's matrices or the bundled sample of them, with captions, categories, users beside.
    Kuairec,
    /// MovieLens in any of its shapes.
    Movielens,
    /// `user video video …` a line, in order of time.
    S3rec,
    /// `user video` a line, in order of time.
    Sasrec,
    /// A table with a position for each event, or a list of videos for each user.
    Sequences,
    /// A folder that comes split: `trn val tst` or `train valid test`.
    Parts,
    /// RecBole's atomic files.
    Recbole,
    /// One JSON object a line.
    Jsonl,
    /// Amazon Personalize: interactions, items and users as CSV.
    Personalize,
    /// Metarank's events as JSON lines.
    Metarank,
    /// Gorse's users, items and feedback as JSON lines.
    Gorse,
    /// KuaiRand's logs, with features of users and videos beside.
    Kuairand,
    /// MicroLens' pairs, with titles and counts beside.
    Microlens,
    /// A database, told by its URL.
    Sql,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 17] = [
        Self::Auto,
        Self::Csv,
        Self::Parquet,
        Self::Kuairec,
        Self::Movielens,
        Self::S3rec,
        Self::Sasrec,
        Self::Sequences,
        Self::Parts,
        Self::Recbole,
        Self::Jsonl,
        Self::Personalize,
        Self::Metarank,
        Self::Gorse,
        Self::Kuairand,
        Self::Microlens,
        Self::Sql,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Kuairec => "kuairec",
            Self::Movielens => "movielens",
            Self::S3rec => "s3rec",
            Self::Sasrec => "sasrec",
            Self::Sequences => "sequences",
            Self::Parts => "parts",
            Self::Recbole => "recbole",
            Self::Jsonl => "jsonl",
            Self::Personalize => "personalize",
            Self::Metarank => "metarank",
            Self::Gorse => "gorse",
            Self::Kuairand => "kuairand",
            Self::Microlens => "microlens",
            Self::Sql => "sql",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = IngestError;

    fn from_str(name: &str) -> Result<Self, IngestError> {
        // Names that people know the same shapes by.
        let known = match name {
            "tsv" => "csv",
            "tiktok" | "mmrec" => "parts",
            "movies" => "movielens",
            "amazon-personalize" => "personalize",
            name => name,
        };
        Self::ALL.into_iter().find(|format| format.name() == known).ok_or_else(|| {
            IngestError::UnknownFormat { name: name.into(), known: Self::ALL.map(Self::name).join(", ") }
        })
    }
}

/// What a column may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Outside id of the user.
    User,
    /// Outside id of the video; a list of ids is a sequence.
    Video,
    /// When.
    Time,
    /// Which kind of event.
    Action,
    /// Stars of a rating, seconds of a watch.
    Value,
    /// Seconds watched.
    WatchSeconds,
    /// Milliseconds watched.
    WatchMs,
    /// Length of the video in seconds.
    Duration,
    /// Length of the video in milliseconds.
    DurationMs,
    /// Watch time over length.
    Ratio,
    /// Stars.
    Rating,
    /// Place of the event in the user's sequence.
    Position,
    /// Train, validation or test.
    Part,
    /// 0 or 1: liked.
    Like,
    /// 0 or 1: commented.
    Comment,
    /// 0 or 1: followed.
    Follow,
    /// 0 or 1: kept.
    Collect,
    /// 0 or 1: forwarded.
    Forward,
    /// 0 or 1: a view that counts.
    EffectiveView,
    /// 0 or 1: not interested.
    Hate,
    /// Title of the video.
    Title,
    /// Longer text.
    Text,
    /// Labels of the video; the column's name is their kind.
    Labels,
    /// Year of release.
    Year,
    /// Who made it.
    Creator,
    /// When it was published.
    Published,
    /// On which device.
    Device,
    /// Where, in degrees north.
    Latitude,
    /// Where, in degrees east.
    Longitude,
    /// Where, as latitude and longitude in one.
    Place,
    /// What was written or searched for.
    Words,
    /// Videos that were shown.
    Impressions,
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 32] = [
        Self::User,
        Self::Video,
        Self::Time,
        Self::Action,
        Self::Value,
        Self::WatchSeconds,
        Self::WatchMs,
        Self::Duration,
        Self::DurationMs,
        Self::Ratio,
        Self::Rating,
        Self::Position,
        Self::Part,
        Self::Like,
        Self::Comment,
        Self::Follow,
        Self::Collect,
        Self::Forward,
        Self::EffectiveView,
        Self::Hate,
        Self::Title,
        Self::Text,
        Self::Labels,
        Self::Year,
        Self::Creator,
        Self::Published,
        Self::Device,
        Self::Latitude,
        Self::Longitude,
        Self::Place,
        Self::Words,
        Self::Impressions,
    ];

    /// The key in `--map`.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Video => "video",
            Self::Time => "time",
            Self::Action => "action",
            Self::Value => "value",
            Self::WatchSeconds => "watch_seconds",
            Self::WatchMs => "watch_ms",
            Self::Duration => "duration",
            Self::DurationMs => "duration_ms",
            Self::Ratio => "ratio",
            Self::Rating => "rating",
            Self::Position => "position",
            Self::Part => "part",
            Self::Like => "like",
            Self::Comment => "comment",
            Self::Follow => "follow",
            Self::Collect => "collect",
            Self::Forward => "forward",
            Self::EffectiveView => "effective_view",
            Self::Hate => "hate",
            Self::Title => "title",
            Self::Text => "text",
            Self::Labels => "labels",
            Self::Year => "year",
            Self::Creator => "creator",
            Self::Published => "published",
            Self::Device => "device",
            Self::Latitude => "latitude",
            Self::Longitude => "longitude",
            Self::Place => "place",
            Self::Words => "words",
            Self::Impressions => "impressions",
        }
    }
}

/// Which column holds what: `user=uid,video=vid,time=ts`. What is not said is guessed from usual names;
/// `time=-` says that there is none. `labels` may stand several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    entries: Vec<(Field, String)>,
}

impl Map {
    /// The column given for a field; `-` for none.
    pub fn column(&self, field: Field) -> Option<&str> {
        self.entries.iter().find(|(f, _)| *f == field).map(|(_, column)| column.as_str())
    }

    /// All columns given for a field that may stand several times.
    pub fn columns(&self, field: Field) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(move |(f, _)| *f == field).map(|(_, column)| column.as_str())
    }

    /// Adds one entry.
    pub fn with(mut self, field: Field, column: impl Into<String>) -> Self {
        self.entries.push((field, column.into()));
        self
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromStr for Map {
    type Err = IngestError;

    fn from_str(text: &str) -> Result<Self, IngestError> {
        let mut map = Self::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, column) =
                pair.split_once('=').ok_or_else(|| IngestError::MapSyntax { text: pair.into() })?;
            let (key, column) = (key.trim(), column.trim());
            if column.is_empty() {
                return Err(IngestError::MapSyntax { text: pair.into() });
            }
            let field = Field::ALL.into_iter().find(|field| field.name() == key).ok_or_else(|| {
                IngestError::UnknownField { key: key.into(), known: Field::ALL.map(Field::name).join(", ") }
            })?;
            if field != Field::Labels && map.column(field).is_some() {
                return Err(IngestError::MapSyntax { text: format!("{pair} (a second `{key}`)") });
            }
            map.entries.push((field, column.into()));
        }
        Ok(map)
    }
}

/// Bounds on what is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Longest line or record of a text file.
    pub line_bytes_max: usize,
    /// Most columns of a table.
    pub columns_max: usize,
    /// Longest outside id.
    pub id_bytes_max: usize,
    /// Most users, and most videos.
    pub ids_max: usize,
    /// Most events.
    pub events_max: usize,
    /// Most files of a folder.
    pub files_max: usize,
    /// Longest video, in seconds; beyond it a duration is impossible.
    pub duration_seconds_max: f64,
    /// Longest watch, in seconds: loops of a short video add up.
    pub watch_seconds_max: f64,
    /// How far beyond `now` a time may lie, in milliseconds: clocks and zones differ.
    pub future_ms_max: i64,
    /// A column of a table of users makes groups if it has at most so many values.
    pub group_values_max: usize,
    /// Largest file of features in JSON.
    pub features_bytes_max: usize,
    /// Bytes of a plain table that one thread reads at once; 0 reads tables row by row.
    pub range_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes_max: 8 << 20,
            columns_max: 4_096,
            id_bytes_max: 512,
            ids_max: 200_000_000,
            events_max: 2_000_000_000,
            files_max: 1_000,
            duration_seconds_max: 86_400.0,
            watch_seconds_max: 7.0 * 86_400.0,
            future_ms_max: 86_400_000,
            group_values_max: 64,
            features_bytes_max: 1 << 30,
            range_bytes: 4 << 20,
        }
    }
}

/// How to read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The set's name; without it, the file's or folder's.
    pub name: Option<String>,
    /// What the files are.
    pub format: Format,
    /// Which column holds what.
    pub map: Map,
    /// Files of features beside the log.
    pub features: Vec<PathBuf>,
    /// The rule under which an import must have a positive.
    pub relevance: Relevance,
    /// Milliseconds since 1970: later events are dropped. `None` checks nothing.
    pub now: Option<i64>,
    /// What is known about order where the files have no times; without it, what the format implies.
    pub order: Option<Order>,
    /// What is read of a database.
    pub sql: SqlOptions,
    /// Bounds.
    pub limits: Limits,
    /// What is dropped.
    pub rules: Rules,
    /// Stop at the first row that a reader cannot keep.
    pub strict: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            format: Format::Auto,
            map: Map::default(),
            features: Vec::new(),
            relevance: Relevance::default(),
            now: None,
            order: None,
            sql: SqlOptions::default(),
            limits: Limits::default(),
            rules: Rules::default(),
            strict: false,
        }
    }
}

/// What an import does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage<'a> {
    /// Reads a file, which is one of several: progress counts the bytes of all, as they lie on disk.
    Read(&'a Path),
    /// Cleans what was read: progress counts events.
    Clean,
    /// Writes the run folder: progress counts events.
    Write,
}

/// Where an import stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What is done.
    pub stage: Stage<'a>,
    /// How much of the stage is done.
    pub done: u64,
    /// How much there is in all, as far as is known.
    pub total: u64,
    /// Rows read so far, of all files.
    pub rows: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_as_people_write_it() {
        let map: Map = "user=uid, video=vid,labels=a,labels=b".parse().unwrap();
        assert_eq!((map.column(Field::User), map.column(Field::Time)), (Some("uid"), None));
        assert_eq!(map.columns(Field::Labels).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_wrong_key_is_told_which_keys_there_are() {
        let error = "usr=uid".parse::<Map>().unwrap_err().to_string();
        assert!(error.contains("`usr`") && error.contains("user, video, time"), "{error}");
        let error = "user".parse::<Map>().unwrap_err().to_string();
        assert!(error.contains("`user` is not `field=column`"), "{error}");
        let error = "user=a,user=b".parse::<Map>().unwrap_err().to_string();
        assert!(error.contains("a second `user`"), "{error}");
    }

    #[test]
    fn every_format_is_known_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>().unwrap(), format);
        }
        assert!("xls".parse::<Format>().unwrap_err().to_string().contains("s3rec"));
    }
}
