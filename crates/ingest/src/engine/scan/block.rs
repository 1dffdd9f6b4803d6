//! The rows of one range, and how they come to where all readers bring theirs.

use std::path::Path;

use upnext_data::{Event, Part};

use super::ids::{ByNumber, Id, Ids, Outside};
use crate::IngestError;
use crate::clean::Reason;
use crate::columns::Columns;
use crate::engine::record::{Place, Record};
use crate::formats::events::{BadCells, Fault};
use crate::gather::Gather;

/// Why a row was dropped.
pub(super) enum Why {
    Broken(String),
    Column(usize),
    Fault(Fault),
    Refused(Reason, String),
}

/// Rows in the set of users and videos that are small whole numbers: most ranges name most of them.
#[derive(Default)]
pub(super) struct Numbered {
    users: ByNumber,
    videos: ByNumber,
}

/// The rows of one range: users and videos by rows of its own.
#[derive(Default)]
pub(super) struct Block {
    pub(super) records: Vec<Record>,
    users: Ids,
    videos: Ids,
    /// The first length of each video.
    durations: Vec<Option<f32>>,
    /// Line in the range, cause and text of each row that was dropped.
    pub(super) faults: Vec<(u64, Why, String)>,
    pub(super) rows: u64,
    pub(super) lines: u64,
    /// Empty lines at the end.
    pub(super) blanks: u64,
    /// A quote, a carriage return or an endless line: not for ranges.
    pub(super) needs_sequence: bool,
    /// What the rows were read from; its memory serves the next range.
    pub(super) bytes: Vec<u8>,
}

impl Block {
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.users.clear();
        self.videos.clear();
        self.durations.clear();
        self.faults.clear();
        (self.rows, self.lines, self.blanks, self.needs_sequence) = (0, 0, 0, false);
    }

    #[inline(always)]
    pub(super) fn push(
        &mut self,
        user: Id,
        video: Id,
        event: Event,
        part: Option<Part>,
        (line, row_hash): (u64, u32),
        duration: Option<f32>,
    ) {
        let (user, video) = (self.users.row(user), self.videos.row(video));
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        let place = Place { file: 0, line, row_hash, is_first_of_row: true };
        self.records.push(Record::new(&Event { user, video, ..event }, part, place));
        if self.durations.len() <= video as usize {
            self.durations.push(None);
        }
        if let Some(seconds) = duration {
            self.durations[video as usize].get_or_insert(seconds);
        }
    }

    /// Brings the rows to where all readers bring theirs. `line` is the number of the range's first line, and
    /// `blanks` the empty lines before it, which count to its first row.
    #[expect(clippy::too_many_arguments, reason = "what a file is read with")]
    pub(super) fn take_in(
        &self,
        gather: &mut Gather,
        path: &Path,
        file: u16,
        (line, blanks): (u64, u64),
        names: &[String],
        columns: &Columns,
        numbered: &mut Numbered,
        bad: &mut BadCells,
    ) -> Result<(), IngestError> {
        gather.report.read += self.rows;
        gather.report.kept += self.records.len() as u64;
        for (at, why, row) in &self.faults {
            let number = line + at - if *at == 0 { blanks } else { 0 };
            if gather.report.sink.is_open() {
                row.clone_into(&mut gather.report.row);
            }
            match why {
                Why::Broken(note) => {
                    bad.row(number, note);
                    gather.report.drop_row(Reason::Malformed, path, number, || note.clone());
                }
                Why::Column(column) => {
                    let column = &names[*column];
                    gather.report.drop_row(Reason::Missing, path, number, || format!("`{column}` is empty"));
                }
                Why::Fault(fault) => {
                    bad.cell(fault, number);
                    gather.report.drop_row(fault.reason, path, number, || fault.note(names, columns));
                }
                Why::Refused(reason, note) => {
                    gather.report.drop_row(*reason, path, number, || note.clone());
                }
            }
        }
        gather.strict()?;
        gather.room_for_events(path, self.records.len())?;
        // Users and videos new to the set get their rows in the order of the file, a row's user before its video.
        let users = self.users.iter().map(|id| match id {
            Outside::Text(id) => gather.user(path, id),
            Outside::Number(n) => numbered.users.row(n, || gather.user(path, &n.to_string())),
        });
        let users: Vec<u32> = users.collect::<Result<_, _>>()?;
        let videos = self.videos.iter().map(|id| match id {
            Outside::Text(id) => gather.video(path, id),
            Outside::Number(n) => numbered.videos.row(n, || gather.video(path, &n.to_string())),
        });
        let videos: Vec<u32> = videos.collect::<Result<_, _>>()?;
        for (&video, duration) in videos.iter().zip(&self.durations) {
            if let Some(seconds) = *duration {
                gather.videos.video_mut(video).duration_seconds.get_or_insert(seconds);
            }
        }
        let as_u32 = |line: u64| u32::try_from(line).unwrap_or(u32::MAX);
        let (first, line) = (as_u32(line - blanks), as_u32(line));
        for record in &self.records {
            let mut record = *record;
            record.user = users[record.user as usize];
            record.video = videos[record.video as usize];
            record.line = if record.line == 0 { first } else { record.line.saturating_add(line) };
            record.file = file;
            gather.take_record(record)?;
        }
        Ok(())
    }
}
