//! What was dropped on the way in, why, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use crate::engine::quarantine::Sink;
use crate::engine::rules::RulesUsed;

/// Most examples kept for a reason.
const EXAMPLES_MAX: usize = 10;

/// Why a row was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A user, a video, or a measure that the file should have is not there.
    Missing,
    /// The same user, video, action, time and value stand there already.
    Duplicate,
    /// Before 1970.
    NegativeTime,
    /// Later than now.
    FutureTime,
    /// A duration or watch time of zero, below zero, or beyond all sense.
    ImpossibleDuration,
    /// NaN or infinite.
    NonFinite,
    /// Text where a number belongs, an unknown action, an id beyond the limit.
    Malformed,
    /// The time 0.
    ZeroTime,
    /// A watch ratio beyond the cap.
    RatioBeyondCap,
    /// A user or video that the table of users or videos does not have.
    UnknownReference,
    /// The same user, video and action a moment after one that was kept.
    NearDuplicate,
    /// Of a user who acts faster than people do.
    Bot,
    /// Of a user or a video with fewer events than the least.
    TooFewEvents,
}

impl Reason {
    /// All reasons, in the order of reports.
    pub const ALL: [Self; 13] = [
        Self::Missing,
        Self::Duplicate,
        Self::NegativeTime,
        Self::FutureTime,
        Self::ImpossibleDuration,
        Self::NonFinite,
        Self::Malformed,
        Self::ZeroTime,
        Self::RatioBeyondCap,
        Self::UnknownReference,
        Self::NearDuplicate,
        Self::Bot,
        Self::TooFewEvents,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Duplicate => "duplicate",
            Self::NegativeTime => "negative time",
            Self::FutureTime => "future time",
            Self::ImpossibleDuration => "impossible duration",
            Self::NonFinite => "non-finite",
            Self::Malformed => "malformed",
            Self::ZeroTime => "zero time",
            Self::RatioBeyondCap => "ratio beyond cap",
            Self::UnknownReference => "unknown reference",
            Self::NearDuplicate => "near-duplicate",
            Self::Bot => "bot",
            Self::TooFewEvents => "too few events",
        }
    }
}

/// One dropped row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The file.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// The line, from 1, the header included; for Parquet the row, from 1.
    pub line: u64,
    /// What is wrong there.
    pub note: String,
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", self.file.display(), self.line, self.note)
    }
}

/// A path in words: what is not Unicode in it is replaced, where it would otherwise be an error.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// The rows dropped for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// Why.
    pub reason: Reason,
    /// How many.
    pub rows: u64,
    /// Of all rows read.
    pub percent: f64,
    /// The first of them, at most ten.
    pub examples: Vec<Example>,
}

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRead {
    /// Which.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// As what: `events`, `videos`, `users`, `tags`, `attributes`.
    pub role: String,
    /// Rows in it.
    pub rows: u64,
}

/// What an import read, kept and dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CleaningReport {
    /// The files, in the order of reading.
    pub files: Vec<FileRead>,
    /// Rows of events read; of a sequence each place is a row.
    pub read: u64,
    /// Rows kept.
    pub kept: u64,
    /// Of all rows read.
    pub kept_percent: f64,
    /// Each reason, also those that did not occur.
    pub dropped: Vec<Dropped>,
    /// Users with an event.
    pub users: usize,
    /// Videos of the catalogue.
    pub videos: usize,
    /// Events made; a row with several marks makes several.
    pub events: usize,
    /// What else a reader should know.
    pub notes: Vec<String>,
    /// The rules, in the order in which they were asked.
    #[serde(default)]
    pub rules: RulesUsed,
    /// Where dropped rows go.
    #[serde(skip)]
    pub(crate) sink: Sink,
    /// The row at hand as text, for the quarantine.
    #[serde(skip)]
    pub(crate) row: String,
    /// Whether a reader stops at a row it cannot keep, and the first such row.
    #[serde(skip)]
    pub(crate) strict: bool,
    #[serde(skip)]
    pub(crate) stopped: Option<Example>,
}

impl Default for CleaningReport {
    fn default() -> Self {
        let dropped =
            Reason::ALL.map(|reason| Dropped { reason, rows: 0, percent: 0.0, examples: Vec::new() }).into();
        Self {
            files: Vec::new(),
            read: 0,
            kept: 0,
            kept_percent: 0.0,
            dropped,
            users: 0,
            videos: 0,
            events: 0,
            notes: Vec::new(),
            rules: RulesUsed::default(),
            sink: Sink::default(),
            row: String::new(),
            strict: false,
            stopped: None,
        }
    }
}

impl CleaningReport {
    /// Rows dropped for a reason.
    pub fn rows_dropped(&self, reason: Reason) -> u64 {
        self.dropped.iter().find(|dropped| dropped.reason == reason).map_or(0, |dropped| dropped.rows)
    }

    pub(crate) fn drop_row(&mut self, reason: Reason, file: &Path, line: u64, note: impl FnOnce() -> String) {
        let dropped = self.dropped_for(reason);
        dropped.rows += 1;
        let is_example = dropped.examples.len() < EXAMPLES_MAX;
        if !is_example && !self.sink.is_open() && !self.strict {
            return;
        }
        let note = note();
        if self.sink.is_open() {
            self.sink.put(&file.to_string_lossy(), line, reason.name(), &note, &self.row);
        }
        let example = Example { file: file.to_owned(), line, note };
        if self.strict {
            self.stopped.get_or_insert_with(|| Example {
                note: format!("{} ({})", example.note, reason.name()),
                ..example.clone()
            });
        }
        if is_example {
            self.dropped_for(reason).examples.push(example);
        }
    }

    fn dropped_for(&mut self, reason: Reason) -> &mut Dropped {
        let at = Reason::ALL.iter().position(|&r| r == reason).expect("every reason is in ALL");
        &mut self.dropped[at]
    }

    /// Takes back a row that a reader had kept. Rows come by user; the ten examples are the first by file, where
    /// `rank` is a file's place in the order of reading.
    pub(crate) fn take_back(
        &mut self,
        reason: Reason,
        (file, line): (&Path, u64),
        rank: impl Fn(&Path) -> usize,
        told: impl Fn() -> (String, String),
    ) {
        self.kept -= 1;
        let dropped = self.dropped_for(reason);
        dropped.rows += 1;
        let place = |example: &Example| (rank(&example.file), example.line);
        let at = dropped.examples.partition_point(|example| place(example) <= (rank(file), line));
        let is_example = at < EXAMPLES_MAX;
        if !is_example && !self.sink.is_open() {
            return;
        }
        let (note, row) = told();
        if self.sink.is_open() {
            self.sink.put(&file.to_string_lossy(), line, reason.name(), &note, &row);
        }
        if is_example {
            let examples = &mut self.dropped_for(reason).examples;
            examples.insert(at, Example { file: file.to_owned(), line, note });
            examples.truncate(EXAMPLES_MAX);
        }
    }

    pub(crate) fn finish(&mut self, users: usize, videos: usize, events: usize) {
        let percent = |rows: u64| if self.read == 0 { 0.0 } else { 100.0 * rows as f64 / self.read as f64 };
        let percents: Vec<f64> = self.dropped.iter().map(|dropped| percent(dropped.rows)).collect();
        self.kept_percent = percent(self.kept);
        for (dropped, percent) in self.dropped.iter_mut().zip(percents) {
            dropped.percent = percent;
        }
        (self.users, self.videos, self.events) = (users, videos, events);
        self.row = String::new();
    }
}

impl CleaningReport {
    /// One example for each reason that occurred, in a line.
    pub(crate) fn first_examples(&self) -> String {
        let examples = self.dropped.iter().filter_map(|dropped| {
            let example = dropped.examples.first()?;
            Some(format!("{} ({example})", dropped.reason.name()))
        });
        examples.collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for CleaningReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28} {:>12}", "rows read", self.read)?;
        writeln!(f, "{:<28} {:>12}  {:>6.2} %", "kept", self.kept, self.kept_percent)?;
        let all: u64 = self.dropped.iter().map(|dropped| dropped.rows).sum();
        let percent = if self.read == 0 { 0.0 } else { 100.0 * all as f64 / self.read as f64 };
        writeln!(f, "{:<28} {all:>12}  {percent:>6.2} %", "dropped")?;
        // Rules that are off by default are told where they dropped something.
        let told = |dropped: &&Dropped| dropped.rows > 0 || Reason::ALL[..7].contains(&dropped.reason);
        for dropped in self.dropped.iter().filter(told) {
            writeln!(
                f,
                "{:<28} {:>12}  {:>6.2} %",
                format!("dropped: {}", dropped.reason.name()),
                dropped.rows,
                dropped.percent
            )?;
            if let Some(example) = dropped.examples.first() {
                writeln!(f, "    {example}")?;
            }
        }
        writeln!(f, "{} events of {} users on {} videos", self.events, self.users, self.videos)?;
        if !self.rules.name.is_empty() {
            let on = self.rules.in_order.iter().filter(|(_, setting)| setting != "off");
            let on: Vec<String> = on.map(|(rule, setting)| format!("{rule}={setting}")).collect();
            writeln!(f, "rules {}, in this order: {}", self.rules.name, on.join(", "))?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_keeps_ten_examples_and_says_percent() {
        let mut report = CleaningReport { read: 40, kept: 20, ..CleaningReport::default() };
        for line in 0..20 {
            report.drop_row(Reason::NonFinite, Path::new("log.csv"), line + 2, || "ratio is NaN".into());
        }
        report.finish(3, 4, 20);
        assert_eq!(report.rows_dropped(Reason::NonFinite), 20);
        assert_eq!(report.rows_dropped(Reason::Duplicate), 0);
        let text = report.to_string();
        assert!(text.contains("50.00 %") && text.contains("log.csv, line 2: ratio is NaN"), "{text}");
        let json = serde_json::to_string(&report).unwrap();
        let back: CleaningReport = serde_json::from_str(&json).unwrap();
        assert_eq!(back, report);
        assert_eq!(back.dropped[5].examples.len(), 10);
    }
}
