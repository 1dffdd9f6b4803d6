//! Plain delimited files by ranges of bytes, on all threads: what most logs are, read as fast as memory allows.
//!
//! A row of plain numbers is taken here; any other row goes through the same code as in `formats/events.rs`, so
//! both paths agree row for row. Ranges are cut at line ends. That is right as long as nothing is quoted: at the
//! first range with a quote (or a carriage return) the sequential reader takes over.

mod block;
mod digits;
mod ids;
mod marks;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use memchr::{memchr, memchr2};
use upnext_data::{Action, Event, Part};

use self::block::{Block, Numbered, Why};
use self::digits::{number_for_f32, plain_number};
use self::ids::{Id, small_number};
use self::marks::{Cut, Marks};
use super::in_order::{Idle, in_order};
use super::rules::{Duplicates, Missing};
use crate::columns::Columns;
use crate::formats::events::{BadCells, measure};
use crate::gather::{Gather, refused};
use crate::row_hash::RowHash;
use crate::source::text;
use crate::table::{Column, Row, Table};
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
    let (mut bad, mut numbered) = (BadCells::default(), Numbered::default());
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
        block
            .take_in(gather, path, file, (line, blanks), &names, columns, &mut numbered, &mut bad)
            .map_err(Some)?;
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

/// Bytes that may be read beyond a field, so that short numbers are taken from one word.
const BEYOND: usize = 24;

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
        let end = bytes.len();
        bytes.resize(end + BEYOND, 0);
        match begin {
            Some(begin) => self.rows(&bytes[begin..], end - begin, block),
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

    /// Reads rows of the first `n` bytes, with the widest instructions that there are.
    fn rows(&self, bytes: &[u8], n: usize, block: &mut Block) {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,bmi1,bmi2")]
            fn wide(layout: &Layout, bytes: &[u8], n: usize, block: &mut Block) {
                layout.rows_here(bytes, n, block);
            }
            let has = [is_x86_feature_detected!("avx2"), is_x86_feature_detected!("bmi1")];
            if has == [true; 2] && is_x86_feature_detected!("bmi2") {
                #[expect(unsafe_code, reason = "the compiler cannot know the machine")]
                // SAFETY: the machine has been asked.
                unsafe {
                    wide(self, bytes, n, block);
                }
                return;
            }
        }
        self.rows_here(bytes, n, block);
    }

    #[inline(always)]
    fn rows_here(&self, bytes: &[u8], n: usize, block: &mut Block) {
        let mut ends = vec![0; self.field_of.len()];
        let mut marks = Marks::of(&bytes[..n], self.delimiter);
        let (mut start, mut line_of_row) = (0, 0);
        while start < n {
            let (n_fields, end) = marks.row(&mut ends);
            let line = start..end;
            start = end + 1;
            block.lines += u64::from(end < n);
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
    #[inline(always)]
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
                RowHash::of_line(&row.bytes[row.start..], row.ends[n_fields - 1] - row.start)
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
    #[inline(always)]
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

/// A value beyond doubt: no word for nothing starts so.
fn is_plainly_there(field: &[u8]) -> bool {
    field.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
}
