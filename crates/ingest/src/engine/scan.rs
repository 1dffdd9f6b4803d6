//! Plain delimited files by ranges of bytes, on all threads: what most logs are, read as fast as memory allows.
//!
//! A row of plain numbers is taken here; any other row goes through the same code as in `formats/events.rs`, so
//! both paths agree row for row. Ranges are cut at line ends. That is right as long as nothing is quoted: at the
//! first range with a quote (or a carriage return) the sequential reader takes over.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use hashbrown::HashTable;
use memchr::{memchr, memchr2};
use upnext_data::{Action, Event, Part};

use super::in_order::{Idle, in_order};
use super::record::{Place, Record};
use super::rules::{Duplicates, Missing};
use crate::clean::Reason;
use crate::columns::Columns;
use crate::formats::events::{BadCells, Fault, measure};
use crate::gather::{Gather, refused};
use crate::source::text;
use crate::table::{Column, Row, RowHash, Table};
use crate::{Field, IngestError, Options, time};

/// How far the ranges went.
pub(crate) enum Scanned {
    /// To the end.
    All,
    /// So many rows, with what was bad among them; the next is for the sequential reader.
    Rows(u64, BadCells),
}

/// Reads a table of events by ranges, if it is of that kind; rows come in the order of the file.
pub(crate) fn read(
    gather: &mut Gather,
    table: &Table,
    columns: &Columns,
    part: Option<Part>,
) -> Result<Scanned, IngestError> {
    if gather.options.limits.range_bytes == 0 {
        return Ok(Scanned::Rows(0, BadCells::default()));
    }
    let keeps_rows = gather.report.sink.is_open();
    let Some(layout) = Layout::of(gather.options, table, columns, part, keeps_rows)? else {
        return Ok(Scanned::Rows(0, BadCells::default()));
    };
    let path = &table.path;
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let range_bytes = gather.options.limits.range_bytes as u64;
    let starts: Vec<u64> =
        (layout.start..layout.end).step_by(usize::try_from(range_bytes).unwrap_or(usize::MAX)).collect();
    let file = gather.file_number(path);
    let mut bad = BadCells::default();
    let (mut rows, mut line, mut blanks) = (0, 2, 0);
    let mut done = layout.start;
    let idle: Idle<Block> = Idle::new();
    let parse = |at: usize| {
        let mut block = idle.take().unwrap_or_default();
        layout.block(starts[at], layout.end.min(starts[at] + range_bytes), &mut block).map(|()| block)
    };
    let read = in_order(starts.len(), parse, |block| {
        let block = block.map_err(Some)?;
        if block.needs_sequence {
            return Err(None);
        }
        rows += block.rows;
        done = layout.end.min(done + range_bytes);
        block.take_in(gather, path, file, (line, blanks), &names, columns, &mut bad).map_err(Some)?;
        line += block.lines;
        blanks = block.blanks + if block.rows == 0 { blanks } else { 0 };
        gather.say(path, done);
        idle.give(block);
        Ok(())
    });
    match read {
        Ok(()) => {}
        Err(Some(error)) => return Err(error),
        Err(None) => return Ok(Scanned::Rows(rows, bad)),
    }
    bad.judge(path, &names, columns, rows)?;
    gather.strict()?;
    gather.file_read(path, "events", rows);
    Ok(Scanned::All)
}

/// Fields that rows of plain numbers are made of.
const FIELDS: [Field; 9] = [
    Field::User,
    Field::Video,
    Field::Time,
    Field::WatchSeconds,
    Field::WatchMs,
    Field::Duration,
    Field::DurationMs,
    Field::Ratio,
    Field::Rating,
];

/// The place of the watch ratio among them.
const RATIO: u8 = 7;
/// Ids that are whole numbers below this are looked up by number.
const NUMBERED_MAX: u64 = 1 << 18;

/// What is known of a file before its rows.
struct Layout<'a> {
    options: &'a Options,
    path: &'a Path,
    columns: &'a Columns,
    names: &'a [Column],
    part: Option<Part>,
    delimiter: u8,
    /// The field of each column, as a place in [`FIELDS`].
    field_of: Vec<Option<u8>>,
    /// The columns that are read, with their fields.
    read: Vec<(usize, u8)>,
    has_measures: bool,
    latest: Option<i64>,
    /// The first byte below the header, and the end of the file.
    start: u64,
    end: u64,
    /// Whether the text of dropped rows is asked for.
    keeps_rows: bool,
}

impl<'a> Layout<'a> {
    fn of(
        options: &'a Options,
        table: &'a Table,
        columns: &'a Columns,
        part: Option<Part>,
        keeps_rows: bool,
    ) -> Result<Option<Self>, IngestError> {
        let Some(delimiter) = table.delimiter() else { return Ok(None) };
        let wanted = columns.wanted();
        let fields: Vec<usize> = FIELDS.iter().filter_map(|&field| columns.get(field)).collect();
        let is_plain = wanted.iter().all(|column| fields.contains(column))
            && wanted.len() == fields.len()
            && !table.columns.iter().any(|column| column.is_list);
        let measures = &FIELDS[3..8];
        let has_watch = measures.iter().any(|&field| columns.has(field));
        // A rating beside a watch is a second event of the row.
        let is_one_event = !(has_watch && columns.has(Field::Rating));
        if !is_plain || !is_one_event || !columns.has(Field::User) || !columns.has(Field::Video) {
            return Ok(None);
        }
        let io = IngestError::io;
        let mut file = File::open(&table.path).map_err(io(&table.path))?;
        let end = file.metadata().map_err(io(&table.path))?.len();
        let mut head = vec![0; 1 << 16];
        let got = file.read(&mut head).map_err(io(&table.path))?;
        let head = &head[..got];
        let is_packed = head.starts_with(&[0x1f, 0x8b]) || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let Some(line_end) = memchr(b'\n', head) else { return Ok(None) };
        if is_packed || line_end == 0 || memchr2(b'"', b'\r', &head[..line_end]).is_some() {
            return Ok(None);
        }
        let place = |at: usize| FIELDS.iter().position(|&f| columns.get(f) == Some(at)).map(|at| at as u8);
        let field_of: Vec<_> = (0..table.columns.len()).map(place).collect();
        let read = field_of.iter().enumerate().filter_map(|(at, place)| Some((at, (*place)?))).collect();
        Ok(Some(Self {
            options,
            path: &table.path,
            columns,
            names: &table.columns,
            part,
            delimiter,
            field_of,
            read,
            has_measures: has_watch || columns.has(Field::Rating),
            latest: options.now.map(|now| now.saturating_add(options.limits.future_ms_max)),
            start: line_end as u64 + 1,
            end,
            keeps_rows,
        }))
    }

    /// Reads the rows that begin in a range of bytes into a block, whatever it held.
    fn block(&self, from: u64, to: u64, block: &mut Block) -> Result<(), IngestError> {
        block.clear();
        let mut bytes = std::mem::take(&mut block.bytes);
        let begin = self.bytes(from, to, &mut bytes)?;
        match begin {
            Some(begin) => self.rows(&bytes[begin..], block),
            None => block.needs_sequence = true,
        }
        block.bytes = bytes;
        Ok(())
    }

    /// Reads the bytes of the rows that begin in a range, and says where the first does; `None` where a line is too
    /// long for ranges.
    fn bytes(&self, from: u64, to: u64, bytes: &mut Vec<u8>) -> Result<Option<usize>, IngestError> {
        let failed = || IngestError::io(self.path);
        let mut file = File::open(self.path).map_err(failed())?;
        // The byte before tells whether a row begins right here.
        let before = u64::from(from > self.start);
        file.seek(SeekFrom::Start(from - before)).map_err(failed())?;
        bytes.resize((to - from + before) as usize, 0);
        file.read_exact(bytes).map_err(failed())?;
        let begin = if before == 0 { 0 } else { memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1) };
        let most = self.options.limits.line_bytes_max;
        if begin == bytes.len() && before > 0 {
            // The whole range is the middle of one line.
            return Ok((bytes.len() <= most).then_some(begin));
        }
        // The last row is read to its end.
        let mut piece = [0; 4_096];
        while bytes.last() != Some(&b'\n') {
            let got = file.read(&mut piece).map_err(failed())?;
            let line_end = memchr(b'\n', &piece[..got]);
            bytes.extend_from_slice(&piece[..line_end.map_or(got, |at| at + 1)]);
            if got == 0 || line_end.is_some() {
                break;
            }
            if bytes.len() as u64 > to - from + before + most as u64 {
                return Ok(None);
            }
        }
        Ok(Some(begin))
    }

    fn rows(&self, bytes: &[u8], block: &mut Block) {
        let mut ends = vec![0; self.field_of.len()];
        let mut marks = Marks::of(bytes, self.delimiter);
        let (mut start, mut line_of_row) = (0, 0);
        while start < bytes.len() {
            let (n_fields, end) = marks.row(&mut ends);
            let line = start..end;
            start = end + 1;
            block.lines += u64::from(end < bytes.len());
            if line.is_empty() {
                continue;
            }
            if line.len() > self.options.limits.line_bytes_max {
                block.needs_sequence = true;
                return;
            }
            block.rows += 1;
            let row = Cut { bytes, start: line.start, ends: &ends[..n_fields.min(ends.len())] };
            // A row with more fields than there are columns is broken.
            if n_fields > ends.len() || !self.quick(&row, line_of_row, block) {
                self.slow(&bytes[line], line_of_row, block);
            }
            // As the sequential reader counts: empty lines before a row are its own.
            line_of_row = block.lines;
        }
        block.needs_sequence |= marks.met_others;
        block.blanks = block.lines - line_of_row;
    }

    /// Takes a row of plain numbers; anything else is left to [`Self::slow`].
    fn quick(&self, row: &Cut, number: u64, block: &mut Block) -> bool {
        let rules = &self.options.rules;
        let whole_rows = rules.duplicate == Duplicates::Row;
        let needs_all = rules.missing == Missing::Any;
        let n_fields = row.ends.len();
        if (needs_all || whole_rows) && n_fields != self.field_of.len() {
            return false;
        }
        if needs_all && !(0..n_fields).all(|column| is_plainly_there(row.field(column))) {
            return false;
        }
        let mut numbers = [None; 7];
        let (mut user, mut video) = (0..0, 0..0);
        for &(column, place) in &self.read {
            if column >= n_fields {
                continue;
            }
            let span = row.span(column);
            match place {
                0 => user = span,
                1 => video = span,
                _ if span.is_empty() => {}
                place => {
                    // Ratios are kept as 32-bit floats and nothing is computed from them.
                    let number = match place {
                        RATIO => number_for_f32(row.bytes, span),
                        _ => plain_number(row.bytes, span),
                    };
                    let Some(number) = number else { return false };
                    numbers[usize::from(place) - 2] = Some(number);
                }
            }
        }
        let (Some(user), Some(video)) = (self.plain_id(row.bytes, user), self.plain_id(row.bytes, video))
        else {
            return false;
        };
        let hash = match whole_rows {
            false => 0,
            true if self.delimiter == b',' => {
                let line = &row.bytes[row.start..row.ends[n_fields - 1]];
                let mut hash = RowHash::default();
                let (words, rest) = line.as_chunks::<8>();
                words.iter().for_each(|word| hash.word(u64::from_le_bytes(*word)));
                if !rest.is_empty() {
                    hash.word(word_of(rest));
                }
                hash.of_length(line.len()).half()
            }
            true => {
                let mut hash = RowHash::default();
                (0..n_fields).for_each(|column| hash.field(column, row.field(column)));
                hash.half()
            }
        };
        let [time, watch_seconds, watch_ms, duration, duration_ms, ratio, rating] = numbers;
        let limits = &self.options.limits;
        let time = match time {
            Some(number) => time::from_number(number),
            None if self.columns.has(Field::Time) => return false,
            None => 0,
        };
        if self.columns.has(Field::Time)
            && !rules.times_after_duplicates
            && (time < 0 || time == 0 && rules.zero_time || self.latest.is_some_and(|latest| time > latest))
        {
            return false;
        }
        let duration = duration.or(duration_ms.map(|ms| ms / 1_000.0));
        let watched = watch_seconds.or(watch_ms.map(|ms| ms / 1_000.0));
        let is_impossible = duration.is_some_and(|s| s <= 0.0 || s > limits.duration_seconds_max)
            || watched.is_some_and(|s| s < 0.0 || s > limits.watch_seconds_max)
            || ratio.is_some_and(|ratio| ratio < 0.0);
        if rules.impossible_duration && is_impossible {
            return false;
        }
        let ratio = ratio.or_else(|| Some(watched? / duration?)).map(|ratio| ratio as f32);
        let (action, value, ratio) = match (watched.is_some() || ratio.is_some(), rating) {
            (true, _) => (Action::Watch, watched, ratio),
            (false, Some(rating)) => (Action::Rating, Some(rating), None),
            (false, None) if self.has_measures => return false,
            (false, None) => (Action::Watch, None, None),
        };
        // Values are kept as 32-bit floats.
        if numbers[1..].iter().flatten().any(|&number| !(number as f32).is_finite()) {
            return false;
        }
        let value = value.map(|value| value as f32);
        block.push(
            user,
            video,
            Event { user: 0, video: 0, action, time, value, ratio },
            self.part,
            (number, hash),
            duration.map(|seconds| seconds as f32),
        );
        true
    }

    /// An id that has nothing to trim, and is ASCII.
    fn plain_id<'b>(&self, bytes: &'b [u8], span: Range<usize>) -> Option<Id<'b>> {
        let text = &bytes[span.clone()];
        if let Some(number) = small_number(bytes, span) {
            return Some(Id { text, number: Some(number) });
        }
        let (first, last) = (*text.first()?, *text.last()?);
        let is_plain =
            first > b' ' && last > b' ' && text.len() <= self.options.limits.id_bytes_max && text.is_ascii();
        is_plain.then_some(Id { text, number: None })
    }

    /// Takes any row, as the sequential reader does.
    fn slow(&self, line: &[u8], number: u64, block: &mut Block) {
        let (mut bytes, mut ends) = (Vec::with_capacity(line.len()), Vec::new());
        for field in line.split(|&byte| byte == self.delimiter) {
            bytes.extend_from_slice(field);
            ends.push(bytes.len());
        }
        let row = Row::of_fields(number, self.names, &bytes, &ends);
        let mut drop = |why: Why| {
            let row = if self.keeps_rows { text(line).into_owned() } else { String::new() };
            block.faults.push((number, why, row));
        };
        if let Some(note) = &row.broken {
            return drop(Why::Broken(note.clone()));
        }
        if self.options.rules.missing == Missing::Any
            && let Some(column) = row.first_missing()
        {
            return drop(Why::Column(column));
        }
        let id = |field| {
            let mut id = String::new();
            if let Some(column) = self.columns.get(field) {
                row.cell(column).id_into(&mut id);
            }
            id
        };
        let (user, video) = (id(Field::User), id(Field::Video));
        let measures = match measure(self.options, &row, self.columns, &user) {
            Ok(measures) => measures,
            Err(fault) => return drop(Why::Fault(fault)),
        };
        if let Some((reason, note)) = refused(self.options, &video, "video") {
            return drop(Why::Refused(reason, note));
        }
        let hash = if self.options.rules.duplicate == Duplicates::Row { row.hash() } else { 0 };
        let (action, time, value, ratio) = (measures.action, measures.time, measures.value, measures.ratio);
        let event = Event { user: 0, video: 0, action, time, value, ratio };
        block.push(
            Id::of(user.as_bytes()),
            Id::of(video.as_bytes()),
            event,
            self.part,
            (number, hash),
            measures.duration,
        );
    }
}

/// One row, cut.
struct Cut<'a> {
    /// The whole range, so that words of eight bytes can be read beyond a field.
    bytes: &'a [u8],
    start: usize,
    /// Where each field ends.
    ends: &'a [usize],
}

impl<'a> Cut<'a> {
    fn span(&self, column: usize) -> Range<usize> {
        let start = column.checked_sub(1).map_or(self.start, |before| self.ends[before] + 1);
        start..self.ends[column]
    }

    fn field(&self, column: usize) -> &'a [u8] {
        &self.bytes[self.span(column)]
    }
}

/// A bit pattern with the same byte eight times.
const fn eight(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// Finds delimiters and line ends, 64 bytes at a time, a bit for each byte.
struct Marks<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    /// Marks not yet given of the 64 bytes before `next`.
    marks: u64,
    next: usize,
    /// Whether a quote or a carriage return was met.
    met_others: bool,
}

/// Bytes looked at together.
const WIDE: usize = 64;

impl<'a> Marks<'a> {
    fn of(bytes: &'a [u8], delimiter: u8) -> Self {
        Self { bytes, delimiter, marks: 0, next: 0, met_others: false }
    }

    /// Where the fields of the next row end: how many there are, those beyond the places of `ends` included, and where
    /// the row does.
    fn row(&mut self, ends: &mut [usize]) -> (usize, usize) {
        let mut n = 0;
        loop {
            while self.marks == 0 {
                if self.next >= self.bytes.len() {
                    if let Some(end) = ends.get_mut(n) {
                        *end = self.bytes.len();
                    }
                    return (n + 1, self.bytes.len());
                }
                self.look();
            }
            let at = self.next - WIDE + self.marks.trailing_zeros() as usize;
            self.marks &= self.marks - 1;
            if let Some(end) = ends.get_mut(n) {
                *end = at;
            }
            n += 1;
            if self.bytes[at] == b'\n' {
                return (n, at);
            }
        }
    }

    fn look(&mut self) {
        let rest = &self.bytes[self.next..];
        let mut padded = [0; WIDE];
        let wide = rest.first_chunk().unwrap_or_else(|| {
            padded[..rest.len()].copy_from_slice(rest);
            &padded
        });
        let (marks, others) = marks(wide, self.delimiter);
        self.marks = marks;
        self.met_others |= others != 0;
        self.next += WIDE;
    }
}

/// A bit for each delimiter and line end, and a bit for each quote and carriage return.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the compiler takes SSE2 for granted on x86-64, and its rules do not")]
fn marks(bytes: &[u8; WIDE], delimiter: u8) -> (u64, u64) {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};
    #[target_feature(enable = "sse2")]
    fn with_sse2(bytes: &[u8; WIDE], delimiter: u8) -> (u64, u64) {
        let (delimiters, lines) = (_mm_set1_epi8(delimiter as i8), _mm_set1_epi8(b'\n' as i8));
        let (quotes, returns) = (_mm_set1_epi8(b'"' as i8), _mm_set1_epi8(b'\r' as i8));
        let (mut marks, mut others) = (0, 0);
        for (at, piece) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let piece = u128::from_le_bytes(*piece);
            let piece = _mm_set_epi64x((piece >> 64) as i64, piece as i64);
            let found = _mm_or_si128(_mm_cmpeq_epi8(piece, delimiters), _mm_cmpeq_epi8(piece, lines));
            marks |= u64::from(_mm_movemask_epi8(found) as u32) << (16 * at);
            let found = _mm_or_si128(_mm_cmpeq_epi8(piece, quotes), _mm_cmpeq_epi8(piece, returns));
            others |= u64::from(_mm_movemask_epi8(found) as u32) << (16 * at);
        }
        (marks, others)
    }
    // SAFETY: every x86-64 has SSE2.
    unsafe { with_sse2(bytes, delimiter) }
}

/// A bit for each delimiter and line end, and a bit for each quote and carriage return.
#[cfg(not(target_arch = "x86_64"))]
fn marks(bytes: &[u8; WIDE], delimiter: u8) -> (u64, u64) {
    let of = |wanted: &dyn Fn(u8) -> bool| {
        bytes.iter().rev().fold(0, |bits, &byte| bits << 1 | u64::from(wanted(byte)))
    };
    (of(&|byte| byte == delimiter || byte == b'\n'), of(&|byte| byte == b'"' || byte == b'\r'))
}

/// At most eight bytes as a number, the first lowest.
fn word_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// Why a row was dropped.
enum Why {
    Broken(String),
    Column(usize),
    Fault(Fault),
    Refused(Reason, String),
}

/// The rows of one range: users and videos by rows of its own.
#[derive(Default)]
struct Block {
    records: Vec<Record>,
    users: Ids,
    videos: Ids,
    /// The first length of each video.
    durations: Vec<Option<f32>>,
    /// Line in the range, cause and text of each row that was dropped.
    faults: Vec<(u64, Why, String)>,
    rows: u64,
    lines: u64,
    /// Empty lines at the end.
    blanks: u64,
    /// A quote, a carriage return or an endless line: not for ranges.
    needs_sequence: bool,
    /// What the rows were read from; its memory serves the next range.
    bytes: Vec<u8>,
}

impl Block {
    fn clear(&mut self) {
        self.records.clear();
        self.users.clear();
        self.videos.clear();
        self.durations.clear();
        self.faults.clear();
        (self.rows, self.lines, self.blanks, self.needs_sequence) = (0, 0, 0, false);
    }

    fn push(
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
    fn take_in(
        &self,
        gather: &mut Gather,
        path: &Path,
        file: u16,
        (line, blanks): (u64, u64),
        names: &[String],
        columns: &Columns,
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
        let users: Vec<u32> = self.users.iter().map(|id| gather.user(path, id)).collect::<Result<_, _>>()?;
        let videos: Vec<u32> =
            self.videos.iter().map(|id| gather.video(path, id)).collect::<Result<_, _>>()?;
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

/// Outside ids of one range.
#[derive(Default)]
struct Ids {
    text: String,
    ends: Vec<u32>,
    /// Rows of ids that are no small whole numbers.
    table: HashTable<u32>,
    /// For each small whole number its row and one, or 0.
    numbered: Vec<u32>,
    last: u32,
}

/// An outside id, and the number that it is, where no other id is the same.
#[derive(Clone, Copy)]
struct Id<'a> {
    text: &'a [u8],
    number: Option<usize>,
}

impl<'a> Id<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { text, number: small_number(text, 0..text.len()) }
    }
}

impl Ids {
    fn row(&mut self, Id { text: id, number }: Id) -> u32 {
        if let Some(number) = number {
            if number >= self.numbered.len() {
                self.numbered.resize((number + 1).next_power_of_two().max(1_024), 0);
            }
            if self.numbered[number] == 0 {
                self.numbered[number] = self.add(id) + 1;
            }
            return self.numbered[number] - 1;
        }
        // Logs often come by user.
        if !self.ends.is_empty() && slice(&self.text, &self.ends, self.last).as_bytes() == id {
            return self.last;
        }
        let hash = hash(id);
        let (text, ends) = (&self.text, &self.ends);
        let found = self.table.find(hash, |&row| slice(text, ends, row).as_bytes() == id).copied();
        self.last = found.unwrap_or_else(|| {
            let row = self.add(id);
            let (text, ends) = (&self.text, &self.ends);
            self.table.insert_unique(hash, row, |&row| self::hash(slice(text, ends, row).as_bytes()));
            row
        });
        self.last
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.table.clear();
        self.numbered.fill(0);
        self.last = 0;
    }

    fn add(&mut self, id: &[u8]) -> u32 {
        self.text.push_str(&text(id));
        self.ends.push(self.text.len() as u32);
        self.ends.len() as u32 - 1
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|row| slice(&self.text, &self.ends, row))
    }
}

fn slice<'a>(text: &'a str, ends: &[u32], row: u32) -> &'a str {
    let row = row as usize;
    let start = if row == 0 { 0 } else { ends[row - 1] };
    &text[start as usize..ends[row] as usize]
}

/// The number that an id is written as, where no other id is the same number.
fn small_number(bytes: &[u8], span: Range<usize>) -> Option<usize> {
    let (start, n) = (span.start, span.len());
    if n == 0 || n > 6 || (bytes[start] == b'0' && n > 1) {
        return None;
    }
    let mut number = 0;
    let digits = run_of_digits(bytes, span, &mut number);
    (digits == n && number < NUMBERED_MAX).then_some(number as usize)
}

/// Quick, and good enough for the few thousand ids of one range. An id made to collide costs time alone, and is
/// checked against the seeded table of the set afterwards.
fn hash(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = bytes.len() as u64;
    let mut mix = |word: u64| {
        hash = (hash.rotate_left(23) ^ word).wrapping_mul(ODD);
        hash ^= hash >> 32;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
    mix(word_of(rest));
    hash.wrapping_mul(ODD)
}

/// Powers of ten that are exact as floats.
const EXACT: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19,
];

/// Digits with at most one point and a minus before.
struct Digits {
    is_negative: bool,
    /// All digits as one number, where there are at most 19.
    whole: u64,
    n: usize,
    decimals: usize,
}

impl Digits {
    fn of(bytes: &[u8], Range { start, end }: Range<usize>) -> Option<Self> {
        let is_negative = start < end && bytes[start] == b'-';
        let start = start + usize::from(is_negative);
        let mut whole = 0;
        let before = run_of_digits(bytes, start..end, &mut whole);
        let point = start + before;
        let decimals = match end - point {
            0 => 0,
            rest if bytes[point] == b'.' => {
                let decimals = run_of_digits(bytes, point + 1..end, &mut whole);
                if decimals + 1 < rest {
                    return None;
                }
                decimals
            }
            _ => return None,
        };
        let n = before + decimals;
        (n > 0).then_some(Self { is_negative, whole, n, decimals })
    }

    fn size(&self) -> f64 {
        let size = self.whole as f64 / EXACT[self.decimals];
        if self.is_negative { -size } else { size }
    }

    /// Whether [`Self::size`] is what reading the text gives: both parts are exact as floats, so the one division
    /// rounds once (Clinger 1990).
    fn is_exact(&self) -> bool {
        self.n <= 19 && self.whole < 1 << 53
    }
}

/// Appends the digits that a span begins with to a number, up to eight at a time; how many there were. Bytes beyond the
/// span are read and not minded.
fn run_of_digits(bytes: &[u8], Range { start, end }: Range<usize>, whole: &mut u64) -> usize {
    const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let mut at = start;
    while at < end {
        let word = match bytes[at..].first_chunk::<8>() {
            Some(piece) => u64::from_le_bytes(*piece),
            None => word_of(&bytes[at..end]),
        } ^ eight(b'0');
        // The top bit of each byte above nine, exactly.
        let others = (((word & eight(0x7f)) + eight(0x76)) | word) & eight(0x80);
        let n = (others.trailing_zeros() as usize / 8).min(end - at);
        if n == 0 {
            break;
        }
        // The digits to the end of the word, zeros before; then pairs of digits, pairs of pairs, and fours, at once.
        let word = word << (64 - 8 * n);
        let word = word.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
        let word = word.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
        let word = word.wrapping_mul(10_000 << 32 | 1) >> 32;
        *whole = whole.wrapping_mul(POWERS[n]).wrapping_add(word);
        at += n;
        if n < 8 {
            break;
        }
    }
    at - start
}

/// Digits with at most one point and a minus before, as the exact number they are read as; other text is `None`.
fn plain_number(bytes: &[u8], span: Range<usize>) -> Option<f64> {
    let digits = Digits::of(bytes, span.clone())?;
    if digits.is_exact() {
        return Some(digits.size());
    }
    std::str::from_utf8(&bytes[span]).ok()?.parse().ok()
}

/// The same, for a number that is kept as a 32-bit float: that is the one of the exact number, the number itself may
/// be off by its last bits.
fn number_for_f32(bytes: &[u8], span: Range<usize>) -> Option<f64> {
    const HALF: u64 = 1 << 28;
    let digits = Digits::of(bytes, span.clone())?;
    if digits.n <= 19 {
        let size = digits.size();
        // Two roundings, less than 2 steps of a 64-bit float: they matter only next to the middle of two 32-bit ones.
        let beyond = size.to_bits() & (2 * HALF - 1);
        if digits.is_exact() || beyond.abs_diff(HALF) > 8 {
            return Some(size);
        }
    }
    std::str::from_utf8(&bytes[span]).ok()?.parse().ok()
}

/// A value beyond doubt: no word for nothing starts so.
fn is_plainly_there(field: &[u8]) -> bool {
    field.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_are_what_the_standard_library_reads() {
        for text in [
            "0",
            "-0",
            "7",
            "1593898068.264",
            "1.2738353765323993",
            "-5.",
            ".5",
            "123456789012345678901",
            "0.1",
            "12345678",
            "123456781234567.5",
            "0.0000000000000000001",
            "0.12345678901234567",
        ] {
            let expected: f64 = text.parse().unwrap();
            // Whatever stands behind it.
            let line = format!("x,{text},7777777777");
            let span = 2..2 + text.len();
            for bytes in [line.as_bytes(), line[..span.end].as_bytes()] {
                assert_eq!(
                    plain_number(bytes, span.clone()).unwrap().to_bits(),
                    expected.to_bits(),
                    "{text}"
                );
            }
            let number = number_for_f32(line.as_bytes(), span).unwrap();
            assert_eq!((number as f32).to_bits(), (expected as f32).to_bits(), "{text}");
        }
        // The middle of two 32-bit floats, and a little beside it.
        for text in ["1.000000059604644775", "1.000000059604644776", "0.1490116119384765625"] {
            let expected: f64 = text.parse().unwrap();
            let number = number_for_f32(text.as_bytes(), 0..text.len()).unwrap();
            assert_eq!((number as f32).to_bits(), (expected as f32).to_bits(), "{text}");
        }
        for text in ["", "-", ".", "1e5", "+1", "nan", " 1", "1 ", "1.2.3", "inf", "1234567:", "12345678x"] {
            assert_eq!(plain_number(text.as_bytes(), 0..text.len()), None, "{text}");
        }
    }

    #[test]
    fn rows_are_cut_at_every_delimiter_and_line_end_and_nowhere_else() {
        let long = format!("{},{}\n", "a".repeat(62), "b".repeat(130));
        for text in ["a,-b,,--,c\n,\n\nx", ",", "a\n", "1,2,3,4,5,6\n7", &long] {
            let mut marks = Marks::of(text.as_bytes(), b',');
            let (mut ends, mut start) = ([0; 5], 0);
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                let (n, end) = marks.row(&mut ends);
                assert_eq!((n, end), (line.split(',').count(), start + line.len()), "{text}");
                let row = Cut { bytes: text.as_bytes(), start, ends: &ends[..n.min(5)] };
                let fields = line.split(',').take(5).map(str::as_bytes);
                assert!(fields.eq((0..n.min(5)).map(|column| row.field(column))), "{text}");
                start = end + 1;
            }
            assert!(!marks.met_others);
        }
        for text in ["a,b\r\n", "\"a\",b\n"] {
            let mut marks = Marks::of(text.as_bytes(), b',');
            marks.row(&mut [0; 2]);
            assert!(marks.met_others, "{text}");
        }
    }

    #[test]
    fn ids_that_are_written_differently_are_different() {
        let mut ids = Ids::default();
        let rows =
            ["7", "07", "a", "7", "0", "262144", "00", "07", "a"].map(|id| ids.row(Id::of(id.as_bytes())));
        assert_eq!(rows, [0, 1, 2, 0, 3, 4, 5, 1, 2]);
        assert!(ids.iter().eq(["7", "07", "a", "0", "262144", "00"]));
    }
}
