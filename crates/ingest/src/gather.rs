//! Where all readers bring what they read: ids become rows, duplicates are found, the report is kept.

mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use upnext_data::{
    Action, Catalogue, Dataset, Event, Events, Judgement, Names, Order, Part, Relevance, Users,
};

use crate::beside::Beside;
use crate::clean::{CleaningReport, Example, FileRead, Reason};
use crate::engine::clean::{Cleaner, Neighbours};
use crate::engine::in_order::{Idle, in_order};
use crate::engine::kept::Kept;
use crate::engine::partitions::{Chunk, Partitions};
use crate::engine::record::{Place, Record};
use crate::engine::rules::{Duplicates, Missing, RulesUsed};
use crate::engine::survey::{Sole, Survey};
use crate::formats::events::BadCells;
use crate::source::Source;
use crate::table::Row;
use crate::{IngestError, Options, Progress, Stage};

pub(crate) use self::state::State;

/// Every so many rows the caller hears of progress.
const PROGRESS_ROWS: u64 = 1 << 16;

pub(crate) struct Gather<'a> {
    pub(crate) options: &'a Options,
    progress: &'a dyn Fn(Progress),
    pub(crate) users: Users,
    pub(crate) videos: Catalogue,
    pub(crate) report: CleaningReport,
    /// What belongs to users and videos beside their events.
    pub(crate) beside: Beside,
    /// What is known of order; readers set it.
    pub(crate) order: Order,
    /// Whether the same event may stand only once.
    pub(crate) drop_duplicates: bool,
    pub(crate) partitions: Partitions,
    /// Where an import of several files keeps what it has read.
    pub(crate) kept: Option<&'a mut Kept>,
    n_events: usize,
    has_parts: bool,
    id_bytes: usize,
    /// Bytes of the files that were read to their end, and of all.
    bytes_done: u64,
    bytes_total: u64,
    files: Vec<PathBuf>,
    /// Files with events in the order of reading, the one being read included.
    paths: Vec<PathBuf>,
    /// Where the row at hand stands.
    place: Place,
    /// Rows read when the last event came: an event after another row is the first of its own.
    rows_at_last_event: u64,
    /// Rows of the file at hand that were read before its reader began, and what was bad among them.
    pub(crate) begun: (u64, BadCells),
    /// Which users and videos the tables beside the log name.
    named_users: Named,
    named_videos: Named,
}

/// Rows that a table names.
#[derive(Default, Serialize, Deserialize)]
struct Named {
    has_table: bool,
    rows: Vec<bool>,
}

impl Named {
    fn name(&mut self, row: u32) {
        let at = row as usize;
        if self.rows.len() <= at {
            self.rows.resize(at + 1, false);
        }
        self.rows[at] = true;
        self.has_table = true;
    }

    fn known(&self) -> Option<&[bool]> {
        self.has_table.then_some(&self.rows)
    }
}

/// One event as a reader found it, before its ids have rows.
pub(crate) struct Found<'a> {
    pub(crate) user: &'a str,
    pub(crate) video: &'a str,
    pub(crate) action: Action,
    pub(crate) time: i64,
    pub(crate) value: Option<f32>,
    pub(crate) ratio: Option<f32>,
    pub(crate) part: Option<Part>,
    pub(crate) position: i64,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(options: &'a Options, progress: &'a dyn Fn(Progress)) -> Self {
        Self {
            options,
            progress,
            users: Users::new(),
            videos: Catalogue::new(),
            beside: Beside::default(),
            report: CleaningReport {
                rules: RulesUsed::from(&options.rules),
                strict: options.strict,
                ..CleaningReport::default()
            },
            order: Order::Unordered,
            drop_duplicates: true,
            partitions: Partitions::new(usize::MAX, None),
            kept: None,
            n_events: 0,
            has_parts: false,
            id_bytes: 0,
            bytes_done: 0,
            bytes_total: 0,
            files: Vec::new(),
            paths: Vec::new(),
            place: Place::default(),
            rows_at_last_event: 0,
            begun: (0, BadCells::default()),
            named_users: Named::default(),
            named_videos: Named::default(),
        }
    }

    /// Says which row comes next. Where every column must have a value, the first without one is told.
    pub(crate) fn at_row(&mut self, row: &Row) -> Option<usize> {
        self.at_line(row.line);
        if self.report.sink.is_open() {
            row.text_into(&mut self.report.row);
        }
        if self.options.rules.duplicate == Duplicates::Row {
            self.place.row_hash = row.hash();
        }
        (self.options.rules.missing == Missing::Any).then(|| row.first_missing()).flatten()
    }

    /// Says which line comes next, where lines are no rows of a table.
    pub(crate) fn at_line(&mut self, line: u64) {
        self.place.line = u32::try_from(line).unwrap_or(u32::MAX);
        self.report.row.clear();
    }

    /// Stops where no row may be dropped and one was.
    pub(crate) fn strict(&mut self) -> Result<(), IngestError> {
        match self.report.stopped.take() {
            Some(Example { file: path, line, note: found }) => Err(IngestError::Strict { path, line, found }),
            None => Ok(()),
        }
    }

    /// The place of a file in the order of reading.
    pub(crate) fn file_number(&mut self, path: &Path) -> u16 {
        if self.paths.last().is_none_or(|last| last.as_os_str() != path.as_os_str()) {
            self.paths.push(path.to_owned());
        }
        u16::try_from(self.paths.len() - 1).unwrap_or(u16::MAX)
    }

    pub(crate) fn tick(&self, source: &Source, rows: u64) {
        if rows.is_multiple_of(PROGRESS_ROWS) {
            self.say(&source.path, source.bytes());
        }
    }

    /// Counts what there is to read.
    pub(crate) fn bytes_of<'p>(&mut self, paths: impl Iterator<Item = &'p Path>) {
        self.bytes_total = paths.map(|path| std::fs::metadata(path).map_or(0, |m| m.len())).sum();
    }

    /// Says how many bytes of a file were read.
    pub(crate) fn say(&self, file: &Path, bytes: u64) {
        let done = self.bytes_done + bytes;
        let total = self.bytes_total.max(done);
        (self.progress)(Progress { stage: Stage::Read(file), done, total, rows: self.report.read });
    }

    pub(crate) fn note(&mut self, note: String) {
        self.report.notes.push(note);
    }

    /// Says which columns of a table became attributes.
    pub(crate) fn note_attributes<'n>(&mut self, path: &Path, names: impl Iterator<Item = &'n str>) {
        const SHOWN: usize = 12;
        let names: Vec<&str> = names.collect();
        if names.is_empty() {
            return;
        }
        let more =
            if names.len() > SHOWN { format!(", and {} more", names.len() - SHOWN) } else { String::new() };
        let shown = names[..names.len().min(SHOWN)].join(", ");
        self.note(format!("{}: kept as attributes: {shown}{more}", path.display()));
    }

    pub(crate) fn file_read(&mut self, path: &Path, role: &str, rows: u64) {
        if role == "events" {
            self.files.push(path.to_owned());
        }
        self.report.files.push(FileRead { file: path.to_owned(), role: role.into(), rows });
        self.bytes_done += std::fs::metadata(path).map_or(0, |m| m.len());
        self.say(path, 0);
    }

    /// The file that messages about the whole set name.
    fn first_file(&self) -> PathBuf {
        self.files.first().cloned().unwrap_or_default()
    }

    /// Why an id cannot be taken, if it cannot.
    pub(crate) fn refuses(&self, id: &str, what: &str) -> Option<(Reason, String)> {
        refused(self.options, id, what)
    }

    /// Makes sure that the tables of names stay within their bounds.
    fn room(&mut self, path: &Path, id: &str) -> Result<(), IngestError> {
        self.id_bytes += id.len();
        let most = self.options.limits.ids_max;
        // Text of names is indexed by 32 bits.
        if self.users.len().max(self.videos.len()) > most || self.id_bytes > u32::MAX as usize - (1 << 20) {
            return Err(IngestError::Limit {
                path: path.to_owned(),
                what: "users or videos",
                most,
                limit: "ids_max",
            });
        }
        Ok(())
    }

    /// The row of a user, new or known.
    pub(crate) fn user(&mut self, path: &Path, id: &str) -> Result<u32, IngestError> {
        if let Some(row) = self.users.row(id) {
            return Ok(row);
        }
        self.room(path, id)?;
        Ok(self.users.intern(id))
    }

    /// The row of a user whom a table beside the log names, if known.
    pub(crate) fn known_user(&mut self, id: &str) -> Option<u32> {
        let row = self.users.row(id)?;
        self.named_users.name(row);
        Some(row)
    }

    /// The row of a video that a table beside the log names, if known.
    pub(crate) fn known_video(&mut self, id: &str) -> Option<u32> {
        let row = self.videos.row(id)?;
        self.named_videos.name(row);
        Some(row)
    }

    /// The row of a video, new or known.
    pub(crate) fn video(&mut self, path: &Path, id: &str) -> Result<u32, IngestError> {
        if let Some(row) = self.videos.row(id) {
            return Ok(row);
        }
        self.room(path, id)?;
        Ok(self.videos.intern(id))
    }

    /// Takes an event. Whether the same stands there already is told later, when all have come.
    pub(crate) fn event(&mut self, path: &Path, found: &Found) -> Result<bool, IngestError> {
        self.strict()?;
        self.room_for_events(path, 1)?;
        let user = self.user(path, found.user)?;
        let video = self.video(path, found.video)?;
        let file = self.file_number(path);
        let Found { action, time, value, ratio, position, part, .. } = *found;
        let is_first_of_row = self.rows_at_last_event != self.report.read;
        self.rows_at_last_event = self.report.read;
        let event = Event { user, video, action, time, value, ratio };
        let record = Record::new(&event, part, Place { file, is_first_of_row, ..self.place });
        self.has_parts |= part.is_some();
        self.partitions.push(record, position)?;
        Ok(true)
    }

    /// Takes a record that names rows of this set.
    pub(crate) fn take_record(&mut self, record: Record) -> Result<(), IngestError> {
        self.has_parts |= record.part().is_some();
        self.partitions.push(record, 0)
    }

    /// Counts events that come.
    pub(crate) fn room_for_events(&mut self, path: &Path, n: usize) -> Result<(), IngestError> {
        self.n_events += n;
        if self.n_events > self.options.limits.events_max {
            return Err(IngestError::Limit {
                path: path.to_owned(),
                what: "events",
                most: self.options.limits.events_max,
                limit: "events_max",
            });
        }
        Ok(())
    }

    /// Gives videos (and users) the rows of their numbers where all ids are small whole numbers: id 1, or 0
    /// where that occurs, is row 0, so that rows agree with other tools and with arrays beside the log.
    pub(crate) fn number_densely(&mut self, also_users: bool) -> Result<(), IngestError> {
        let ids = |names: &Names| {
            small_numbers(names).map(|(first, last)| (first..=last).map(|number| number.to_string()))
        };
        let (users, videos) = (ids(self.users.names()).filter(|_| also_users), ids(self.videos.names()));
        let videos = videos.map(|ids| self.number_videos(ids));
        let users = users.map(|ids| self.number_users(ids));
        match (&users, &videos) {
            (None, None) => Ok(()),
            _ => self.partitions.renumber(users.as_deref(), videos.as_deref()),
        }
    }

    /// Makes the catalogue one of these videos, in this order; the new row of each old one that is among them.
    fn number_videos(&mut self, ids: impl Iterator<Item = String>) -> Vec<u32> {
        let old = std::mem::take(&mut self.videos);
        self.videos.labels = old.labels.clone();
        self.videos.creators = old.creators.clone();
        for id in ids {
            let row = self.videos.intern(&id);
            if let Some(from) = old.row(&id) {
                *self.videos.video_mut(row) = old.video(from).clone();
            }
        }
        old.names().iter().map(|id| self.videos.row(id).unwrap_or(u32::MAX)).collect()
    }

    /// The same of users.
    fn number_users(&mut self, ids: impl Iterator<Item = String>) -> Vec<u32> {
        let old = std::mem::take(&mut self.users);
        self.users.labels = old.labels.clone();
        for id in ids {
            let row = self.users.intern(&id);
            if let Some(from) = old.row(&id) {
                for &label in old.labels_of(from) {
                    self.users.label(row, old.labels.name(label));
                }
            }
        }
        old.names().iter().map(|id| self.users.row(id).unwrap_or(u32::MAX)).collect()
    }

    /// Cleans and checks, and makes the set in memory.
    pub(crate) fn finish(self, name: String) -> Result<(Dataset, CleaningReport), IngestError> {
        self.settle(name)?.into_dataset()
    }

    /// Cleans partition after partition, and checks what the whole set must have.
    pub(crate) fn settle(mut self, name: String) -> Result<Settled, IngestError> {
        self.strict()?;
        let path = self.first_file();
        if self.report.read == 0 {
            return Err(IngestError::Empty { path, expected: "at least one event below the header" });
        }
        let order = match (self.order, self.options.order) {
            (Order::Timed, _) | (_, None) => self.order,
            (_, Some(Order::Timed)) => self.order,
            (_, Some(order)) => order,
        };
        let survey = self.clean_all(order == Order::Timed)?;
        let survey = match self.options.rules.counts() {
            true => self.drop_rare()?,
            false => survey,
        };
        if survey.events == 0 {
            return Err(self.nothing_kept(path));
        }
        self.check_two(&path, &survey)?;
        if survey.positives == 0 {
            return Err(self.no_positives(path)?);
        }
        let Self { users, videos, partitions, mut report, has_parts, .. } = self;
        report.finish(survey.users, videos.len(), survey.events as usize);
        Ok(Settled { name, users, videos, order, partitions, report, has_parts, survey })
    }

    fn clean_all(&mut self, is_timed: bool) -> Result<Survey, IngestError> {
        let rules = &self.options.rules;
        let minds = rules.unknown_reference;
        let asked = Neighbours {
            rules,
            drops_duplicates: self.drop_duplicates,
            is_timed,
            latest: self.options.now.map(|now| now.saturating_add(self.options.limits.future_ms_max)),
            known_users: self.named_users.known().filter(|_| minds),
            known_videos: self.named_videos.known().filter(|_| minds),
        };
        let survey = Survey::new(&self.options.relevance);
        let mut whole = survey.clone();
        let n_videos = self.videos.len();
        let idle: Idle<Cleaner> = Idle::new();
        let (partitions, report) = (&self.partitions, &mut self.report);
        let names = (&self.users, &self.videos);
        let clean = |at: usize| {
            let mut cleaner = idle.take().unwrap_or_else(|| Cleaner::new(n_videos));
            let mut taken = partitions.take(at);
            cleaner.take(partitions, &taken)?;
            let events = cleaner.chunk.records.len() as u64;
            let dropped = cleaner.clean(&asked);
            taken.refill(&cleaner.chunk);
            partitions.put(at, taken)?;
            let mut survey = survey.clone();
            if !rules.counts() {
                survey.pass(&cleaner.chunk.records);
            }
            idle.give(cleaner);
            Ok((events, dropped, survey))
        };
        let mut done = 0;
        in_order(partitions.count(), clean, |cleaned: Result<_, IngestError>| {
            let (events, dropped, survey) = cleaned?;
            whole.join(survey);
            take_back(report, &dropped, &self.paths, names);
            done += events;
            let (stage, total) = (Stage::Clean, self.n_events as u64);
            (self.progress)(Progress { stage, done, total, rows: report.read });
            Ok::<_, IngestError>(())
        })?;
        Ok(whole)
    }

    /// Users and videos with too few rows go: once each, then both again and again where a core is asked for.
    fn drop_rare(&mut self) -> Result<Survey, IngestError> {
        let rules = &self.options.rules;
        let least_user = rules.user_events_min.max(rules.k_core);
        let least_video = rules.video_events_min.max(rules.k_core);
        let mut users = vec![true; self.users.len()];
        let mut videos = vec![true; self.videos.len()];
        loop {
            let mut gone = false;
            for of_users in [true, false] {
                let (least, n) =
                    if of_users { (least_user, users.len()) } else { (least_video, videos.len()) };
                let mut rows = vec![0u32; n];
                for at in 0..self.partitions.count() {
                    self.partitions.visit(at, &mut |records| {
                        for record in records.iter().filter(|record| record.is_first_of_row()) {
                            let (user, video) = (record.user as usize, record.video as usize);
                            if users[user] && videos[video] {
                                rows[if of_users { user } else { video }] += 1;
                            }
                        }
                    })?;
                }
                let stay = if of_users { &mut users } else { &mut videos };
                for (stays, &rows) in stay.iter_mut().zip(&rows) {
                    // Who has no row at all is not dropped by this.
                    if *stays && rows < least && rows > 0 {
                        (*stays, gone) = (false, true);
                    }
                }
            }
            if !gone || rules.k_core == 0 {
                break;
            }
        }
        let mut survey = Survey::new(&self.options.relevance);
        let mut chunk = Chunk::default();
        for at in 0..self.partitions.count() {
            let (mut taken, mut kept, mut dropped) = (self.partitions.take(at), Chunk::default(), Vec::new());
            self.partitions.load(&taken, &mut chunk)?;
            for (at, record) in chunk.records.iter().enumerate() {
                if users[record.user as usize] && videos[record.video as usize] {
                    kept.push(*record, chunk.position(at));
                } else {
                    dropped.push((Reason::TooFewEvents, *record));
                }
            }
            survey.pass(&kept.records);
            taken.refill(&kept);
            self.partitions.put(at, taken)?;
            take_back(&mut self.report, &dropped, &self.paths, (&self.users, &self.videos));
        }
        // Who is below the least is no user or video of the set.
        let stay = |names: &Names, stays: &[bool]| -> Vec<String> {
            names.iter().zip(stays).filter(|(_, stays)| **stays).map(|(id, _)| id.to_string()).collect()
        };
        let users = stay(self.users.names(), &users);
        let videos = stay(self.videos.names(), &videos);
        if (users.len(), videos.len()) != (self.users.len(), self.videos.len()) {
            let users = self.number_users(users.into_iter());
            let videos = self.number_videos(videos.into_iter());
            self.partitions.renumber(Some(&users), Some(&videos))?;
            survey.renumber(&users, &videos);
        }
        Ok(survey)
    }

    fn nothing_kept(&self, path: PathBuf) -> IngestError {
        let dropped: Vec<_> = self.report.dropped.iter().filter(|dropped| dropped.rows > 0).collect();
        IngestError::NothingKept {
            path,
            read: self.report.read,
            dropped: dropped
                .iter()
                .map(|d| format!("{} {}", d.rows, d.reason.name()))
                .collect::<Vec<_>>()
                .join(", "),
            example: dropped
                .iter()
                .find_map(|d| d.examples.first())
                .map_or_else(String::new, ToString::to_string),
        }
    }

    fn check_two(&self, path: &Path, survey: &Survey) -> Result<(), IngestError> {
        let one = |what, sole: Sole, names: &Names| match sole {
            Sole::One(first) => Err(IngestError::OnlyOne {
                path: path.to_owned(),
                what,
                id: names.name(first).into(),
                hint: match self.report.kept == self.report.read {
                    true => {
                        format!("give more data, or check with --map {what}=COLUMN that the column is right")
                    }
                    false => format!(
                        "{} of {} rows were dropped, for example {}",
                        self.report.read - self.report.kept,
                        self.report.read,
                        self.report.first_examples()
                    ),
                },
            }),
            _ => Ok(()),
        };
        one("user", survey.user, self.users.names())?;
        one("video", survey.video, self.videos.names())
    }

    /// Says what the events are, so that a rule can be found under which some are positive.
    fn no_positives(&self, path: PathBuf) -> Result<IngestError, IngestError> {
        const VALUES_MAX: usize = 1 << 20;
        #[derive(Default)]
        struct Seen {
            n: usize,
            negative: usize,
            ratios: Vec<f32>,
            values: Vec<f32>,
        }
        let rule = &self.options.relevance;
        let mut by_action: BTreeMap<Action, Seen> = BTreeMap::new();
        for at in 0..self.partitions.count() {
            self.partitions.visit(at, &mut |records| {
                for event in records.iter().map(Record::event) {
                    let seen = by_action.entry(event.action).or_default();
                    seen.n += 1;
                    seen.negative += usize::from(rule.judge(&event) == Judgement::Negative);
                    if seen.ratios.len().max(seen.values.len()) < VALUES_MAX {
                        seen.ratios.extend(event.ratio);
                        seen.values.extend(event.value);
                    }
                }
            })?;
        }
        let mut instead = "any".to_string();
        let mut read = Vec::new();
        for (action, seen) in &mut by_action {
            let mut text = format!("{} read as `{}`", seen.n, action.name());
            if seen.negative > 0 {
                text += " (negative under every rule)";
            }
            let unit = if *action == Action::Rating { "stars" } else { "seconds" };
            for (what, values) in [("watch ratio", &mut seen.ratios), (unit, &mut seen.values)] {
                values.sort_by(f32::total_cmp);
                if let (Some(least), Some(most)) = (values.first(), values.last()) {
                    text += &format!(", {what} {least} to {most}");
                    let middle = values[values.len() / 2];
                    match (*action, what) {
                        (Action::Watch, "watch ratio") => instead = format!("watch_ratio>={middle}"),
                        (Action::Watch, "seconds") if seen.n > 0 && instead == "any" => {
                            instead = format!("watch_seconds>={middle}");
                        }
                        (Action::Rating, "stars") => instead = format!("rating>={middle}"),
                        _ => {}
                    }
                }
            }
            read.push(text);
        }
        Ok(IngestError::NoPositives { path, relevance: rule.to_string(), read: read.join("; "), instead })
    }
}

/// A clean set whose events still lie in partitions.
pub(crate) struct Settled {
    pub(crate) name: String,
    pub(crate) users: Users,
    pub(crate) videos: Catalogue,
    pub(crate) order: Order,
    pub(crate) partitions: Partitions,
    pub(crate) report: CleaningReport,
    pub(crate) has_parts: bool,
    pub(crate) survey: Survey,
}

impl Settled {
    /// The default rule of relevance, or a shorter one that says the same of this set.
    pub(crate) fn natural_relevance(&self) -> Relevance {
        self.survey.natural()
    }

    /// The set with the given events: all of them, or none where they are written from the partitions.
    pub(crate) fn with_events(self, events: Events, parts: Option<Vec<Part>>) -> (Dataset, CleaningReport) {
        let dataset = Dataset::new(self.name, self.users, self.videos, events, self.order, parts);
        (dataset, self.report)
    }

    fn into_dataset(self) -> Result<(Dataset, CleaningReport), IngestError> {
        let mut events = Events::new();
        let mut parts = self.has_parts.then(Vec::new);
        let mut chunk = Chunk::default();
        for at in 0..self.partitions.count() {
            let taken = self.partitions.take(at);
            self.partitions.load(&taken, &mut chunk)?;
            for record in &chunk.records {
                events.push(record.event());
                if let Some(parts) = &mut parts {
                    parts.push(record.part().unwrap_or(Part::Train));
                }
            }
        }
        Ok(self.with_events(events, parts))
    }
}

/// Rows that were kept by their reader, and are not by a rule.
fn take_back(
    report: &mut CleaningReport,
    dropped: &[(Reason, Record)],
    paths: &[PathBuf],
    (users, videos): (&Users, &Catalogue),
) {
    let rank = |path: &Path| paths.iter().position(|known| known == path).unwrap_or(usize::MAX);
    for (reason, record) in dropped.iter().filter(|(_, record)| record.is_first_of_row()) {
        let Some(path) = paths.get(usize::from(record.file)) else { continue };
        report.take_back(*reason, (path, u64::from(record.line)), rank, || {
            let (user, video) = (users.name(record.user), videos.name(record.video));
            let event = record.event();
            let note = match reason {
                Reason::Duplicate => {
                    format!("user `{user}` and video `{video}` stand there already with the same values")
                }
                Reason::NearDuplicate => {
                    format!("user `{user}` and video `{video}` stand there a moment before")
                }
                Reason::NegativeTime => format!("the time is {}; expected a time since 1970", event.time),
                Reason::ZeroTime => "the time is 0; expected a time since 1970".into(),
                Reason::FutureTime => format!("the time is {}; expected a time that is past", event.time),
                Reason::RatioBeyondCap => format!("the watch ratio is {}", record.ratio),
                Reason::UnknownReference => {
                    format!("user `{user}` or video `{video}` is not in the table beside the log")
                }
                Reason::Bot => format!("user `{user}` acts faster than the rate"),
                _ => format!("user `{user}` or video `{video}` has too few events"),
            };
            let number = |x: Option<f32>| x.map_or(String::new(), |x| x.to_string());
            let (action, time) = (event.action.name(), event.time);
            let row = format!(
                "user={user},video={video},action={action},time={time},value={},ratio={}",
                number(event.value),
                number(event.ratio)
            );
            (note, row)
        });
    }
}

/// Why an id cannot be taken, if it cannot.
pub(crate) fn refused(options: &Options, id: &str, what: &str) -> Option<(Reason, String)> {
    let most = options.limits.id_bytes_max;
    if id.is_empty() {
        Some((Reason::Missing, format!("no {what}")))
    } else if id.len() > most {
        Some((Reason::Malformed, format!("the {what} has {} bytes; at most {most} are taken", id.len())))
    } else {
        None
    }
}

/// The least and the largest, where all names are whole numbers, not much larger than there are names.
fn small_numbers(names: &Names) -> Option<(u64, u64)> {
    let (mut least, mut most) = (u64::MAX, 0);
    for name in names.iter() {
        let number: u64 = name.parse().ok()?;
        // `007` and `+7` are names of their own.
        if name.starts_with('+') || (name.len() > 1 && name.starts_with('0')) {
            return None;
        }
        (least, most) = (least.min(number), most.max(number));
    }
    let enough = 4 * names.len() as u64 + 1_000;
    (most < enough && !names.is_empty()).then_some((least.min(1), most))
}
