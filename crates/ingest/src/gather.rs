//! Where all readers bring what they read: ids become rows, duplicates are found, the report is kept.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};

use hashbrown::{DefaultHashBuilder, HashTable};
use upnext_data::{Action, Catalogue, Dataset, Event, Events, Judgement, Names, Order, Part, Users};

use crate::beside::Beside;
use crate::clean::{CleaningReport, FileRead, Reason};
use crate::source::Source;
use crate::{IngestError, Options, Progress};

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
    events: Events,
    parts: Vec<Part>,
    positions: Vec<i64>,
    /// Events by what they hold: half of their hash, so that growing reads no event, and their place.
    seen: HashTable<(u32, u32)>,
    hasher: DefaultHashBuilder,
    id_bytes: usize,
    files: Vec<PathBuf>,
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
            report: CleaningReport::default(),
            beside: Beside::default(),
            order: Order::Unordered,
            drop_duplicates: true,
            events: Events::new(),
            parts: Vec::new(),
            positions: Vec::new(),
            seen: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            id_bytes: 0,
            files: Vec::new(),
        }
    }

    pub(crate) fn tick(&self, source: &Source, rows: u64) {
        if rows.is_multiple_of(PROGRESS_ROWS) {
            self.say(&source.path, source.bytes(), source.bytes_total);
        }
    }

    pub(crate) fn say(&self, file: &Path, bytes: u64, bytes_total: u64) {
        (self.progress)(Progress { file, bytes, bytes_total, rows: self.report.read });
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
        let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
        self.say(path, bytes, bytes);
    }

    /// The file that messages about the whole set name.
    fn first_file(&self) -> PathBuf {
        self.files.first().cloned().unwrap_or_default()
    }

    /// Why an id cannot be taken, if it cannot.
    pub(crate) fn refuses(&self, id: &str, what: &str) -> Option<(Reason, String)> {
        let most = self.options.limits.id_bytes_max;
        if id.is_empty() {
            Some((Reason::Missing, format!("no {what}")))
        } else if id.len() > most {
            Some((Reason::Malformed, format!("the {what} has {} bytes; at most {most} are taken", id.len())))
        } else {
            None
        }
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

    /// The row of a video, new or known.
    pub(crate) fn video(&mut self, path: &Path, id: &str) -> Result<u32, IngestError> {
        if let Some(row) = self.videos.row(id) {
            return Ok(row);
        }
        self.room(path, id)?;
        Ok(self.videos.intern(id))
    }

    /// Takes an event; `false` where the same stands there already.
    pub(crate) fn event(&mut self, path: &Path, found: &Found) -> Result<bool, IngestError> {
        if self.events.len() >= self.options.limits.events_max.min(u32::MAX as usize) {
            return Err(IngestError::Limit {
                path: path.to_owned(),
                what: "events",
                most: self.options.limits.events_max,
                limit: "events_max",
            });
        }
        let user = self.user(path, found.user)?;
        let video = self.video(path, found.video)?;
        let Found { action, time, value, ratio, position, .. } = *found;
        let event = Event { user, video, action, time, value, ratio };
        if self.drop_duplicates {
            let (events, positions, parts) = (&self.events, &self.positions, &self.parts);
            let key = |event: &Event, position: i64, part: Option<Part>| {
                let bits = |x: Option<f32>| x.map_or(u32::MAX, f32::to_bits);
                let Event { user, video, action, time, value, ratio } = *event;
                let part = part.map_or(0, |part| part as u8 + 1);
                (user, video, action as u8, time, bits(value), bits(ratio), position, part)
            };
            let of = |row: u32| {
                let row = row as usize;
                let position = positions.get(row).copied().unwrap_or(0);
                key(&events.get(row), position, parts.get(row).copied())
            };
            let new = key(&event, position, found.part);
            let hash = self.hasher.hash_one(new);
            let half = (hash >> 32) as u32;
            // The table wants good bits at both ends of a hash.
            let spread = |half: u32| u64::from(half).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if self.seen.find(spread(half), |&(h, row)| h == half && of(row) == new).is_some() {
                return Ok(false);
            }
            self.seen.insert_unique(spread(half), (half, events.len() as u32), |&(h, _)| spread(h));
        }
        let before = self.events.len();
        self.events.push(event);
        // Parts and positions are kept from the first event that has one; earlier ones are train, at 0.
        if found.part.is_some() || !self.parts.is_empty() {
            self.parts.resize(before, Part::Train);
            self.parts.push(found.part.unwrap_or(Part::Train));
        }
        if position != 0 || !self.positions.is_empty() {
            self.positions.resize(before, 0);
            self.positions.push(position);
        }
        Ok(true)
    }

    /// Gives videos (and users) the rows of their numbers where all ids are small whole numbers: id 1, or 0
    /// where that occurs, is row 0, so that rows agree with other tools and with arrays beside the log.
    pub(crate) fn number_densely(&mut self, also_users: bool) {
        if let Some((first, last)) = small_numbers(self.videos.names()) {
            let old = std::mem::take(&mut self.videos);
            self.videos.labels = old.labels.clone();
            self.videos.creators = old.creators.clone();
            for id in first..=last {
                let id = id.to_string();
                let row = self.videos.intern(&id);
                if let Some(from) = old.row(&id) {
                    *self.videos.video_mut(row) = old.video(from).clone();
                }
            }
            let rows: Vec<u32> = old.names().iter().filter_map(|id| self.videos.row(id)).collect();
            self.events = self.events.iter().map(|e| Event { video: rows[e.video as usize], ..e }).collect();
        }
        if !also_users {
            return;
        }
        if let Some((first, last)) = small_numbers(self.users.names()) {
            let old = std::mem::take(&mut self.users);
            self.users.labels = old.labels.clone();
            for id in first..=last {
                let id = id.to_string();
                let row = self.users.intern(&id);
                if let Some(from) = old.row(&id) {
                    for &label in old.labels_of(from) {
                        self.users.label(row, old.labels.name(label));
                    }
                }
            }
            let rows: Vec<u32> = old.names().iter().filter_map(|id| self.users.row(id)).collect();
            self.events = self.events.iter().map(|e| Event { user: rows[e.user as usize], ..e }).collect();
        }
    }

    /// Puts the events of each user in the order of their positions, where the file gave any.
    fn sort_by_position(&mut self) {
        if self.positions.is_empty() {
            return;
        }
        let mut order: Vec<usize> = (0..self.events.len()).collect();
        order.sort_by_key(|&at| (self.events.users()[at], self.positions[at]));
        self.events = order.iter().map(|&at| self.events.get(at)).collect();
        if !self.parts.is_empty() {
            self.parts = order.iter().map(|&at| self.parts[at]).collect();
        }
    }

    /// Checks what the whole set must have, and makes it.
    pub(crate) fn finish(mut self, name: String) -> Result<(Dataset, CleaningReport), IngestError> {
        let path = self.first_file();
        if self.report.read == 0 {
            return Err(IngestError::Empty { path, expected: "at least one event below the header" });
        }
        if self.events.is_empty() {
            let dropped: Vec<_> = self.report.dropped.iter().filter(|dropped| dropped.rows > 0).collect();
            return Err(IngestError::NothingKept {
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
            });
        }
        self.sort_by_position();
        self.check_two(&path)?;
        self.check_positives(&path)?;
        let parts = (!self.parts.is_empty()).then(|| std::mem::take(&mut self.parts));
        let order = match (self.order, self.options.order) {
            (Order::Timed, _) | (_, None) => self.order,
            (_, Some(Order::Timed)) => self.order,
            (_, Some(order)) => order,
        };
        let dataset = Dataset::new(name, self.users, self.videos, self.events, order, parts);
        self.report.finish(dataset.users.len(), dataset.videos.len(), dataset.events().len());
        Ok((dataset, self.report))
    }

    fn check_two(&self, path: &Path) -> Result<(), IngestError> {
        let one = |what, rows: &[u32], names: &Names| match rows.first() {
            Some(&first) if rows.iter().all(|&row| row == first) => Err(IngestError::OnlyOne {
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
        one("user", self.events.users(), self.users.names())?;
        one("video", self.events.videos(), self.videos.names())
    }

    fn check_positives(&self, path: &Path) -> Result<(), IngestError> {
        let rule = &self.options.relevance;
        if self.events.iter().any(|event| rule.judge(&event) == Judgement::Positive) {
            return Ok(());
        }
        #[derive(Default)]
        struct Seen {
            n: usize,
            negative: usize,
            ratios: Vec<f32>,
            values: Vec<f32>,
        }
        let mut by_action: BTreeMap<Action, Seen> = BTreeMap::new();
        for event in self.events.iter() {
            let seen = by_action.entry(event.action).or_default();
            seen.n += 1;
            seen.negative += usize::from(rule.judge(&event) == Judgement::Negative);
            seen.ratios.extend(event.ratio);
            seen.values.extend(event.value);
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
        Err(IngestError::NoPositives {
            path: path.to_owned(),
            relevance: rule.to_string(),
            read: read.join("; "),
            instead,
        })
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
