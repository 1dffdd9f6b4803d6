//! Plain delimited files by ranges of bytes, on all threads: what most logs are, read as fast as memory allows.
//!
//! A row of plain numbers is taken here; any other row goes through the same code as in `formats/events.rs`, so
//! both paths agree row for row. Ranges are cut at line ends. That is right as long as nothing is quoted: at the
//! first range with a quote (or a carriage return) the sequential reader takes over.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use hashbrown::HashTable;
use memchr::{memchr, memchr2};
use rayon::prelude::*;
use upnext_data::{Action, Event, Part};

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
    let Some(layout) = Layout::of(gather.options, table, columns, part)? else {
        return Ok(Scanned::Rows(0, BadCells::default()));
    };
    let path = &table.path;
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let range_bytes = gather.options.limits.range_bytes as u64;
    let starts: Vec<u64> =
        (layout.start..layout.end).step_by(usize::try_from(range_bytes).unwrap_or(usize::MAX)).collect();
    let wide = 2 * rayon::current_num_threads();
    let parse = |wave: &[u64]| -> Vec<Result<Block, IngestError>> {
        wave.par_iter().map(|&from| layout.block(from, layout.end.min(from + range_bytes))).collect()
    };
    let file = gather.file_number(path);
    let mut bad = BadCells::default();
    let (mut rows, mut line, mut blanks) = (0, 2, 0);
    let mut waves = starts.chunks(wide);
    let mut parsed = waves.next().map_or_else(Vec::new, parse);
    let mut done = layout.start;
    while !parsed.is_empty() {
        let next = waves.next();
        // The next ranges are parsed while these are taken in.
        let taken = std::thread::scope(|scope| {
            let next = scope.spawn(|| next.map_or_else(Vec::new, parse));
            for block in parsed.drain(..) {
                let block = block?;
                if block.needs_sequence {
                    return Ok(None);
                }
                rows += block.rows;
                done = layout.end.min(done + range_bytes);
                block.take_in(gather, path, file, (line, blanks), &names, columns, &mut bad)?;
                line += block.lines;
                blanks = block.blanks + if block.rows == 0 { blanks } else { 0 };
                gather.say(path, done, layout.end);
            }
            Ok(Some(next.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
        });
        match taken? {
            Some(next) => parsed = next,
            None => return Ok(Scanned::Rows(rows, bad)),
        }
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
const NUMBERED_MAX: usize = 1 << 18;

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
}

impl<'a> Layout<'a> {
    fn of(
        options: &'a Options,
        table: &'a Table,
        columns: &'a Columns,
        part: Option<Part>,
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
        }))
    }

    /// The rows that begin in a range of bytes.
    fn block(&self, from: u64, to: u64) -> Result<Block, IngestError> {
        let failed = || IngestError::io(self.path);
        let mut file = File::open(self.path).map_err(failed())?;
        // The byte before tells whether a row begins right here.
        let before = u64::from(from > self.start);
        file.seek(SeekFrom::Start(from - before)).map_err(failed())?;
        let mut bytes = vec![0; (to - from + before) as usize];
        file.read_exact(&mut bytes).map_err(failed())?;
        let begin = if before == 0 { 0 } else { memchr(b'\n', &bytes).map_or(bytes.len(), |at| at + 1) };
        let most = self.options.limits.line_bytes_max;
        if begin == bytes.len() && before > 0 {
            // The whole range is the middle of one line.
            return Ok(Block { needs_sequence: bytes.len() > most, ..Block::default() });
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
                return Ok(Block { needs_sequence: true, ..Block::default() });
            }
        }
        let bytes = &bytes[begin..];
        if memchr2(b'"', b'\r', bytes).is_some() {
            return Ok(Block { needs_sequence: true, ..Block::default() });
        }
        Ok(self.rows(bytes))
    }

    fn rows(&self, bytes: &[u8]) -> Block {
        let mut block = Block::default();
        block.records.reserve(bytes.len() / 48);
        let mut row = Fields { ends: vec![0; self.field_of.len()], numbers: [None; 7] };
        let (mut at, mut line_of_row) = (0, 0);
        while at < bytes.len() {
            let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n);
            let line = &bytes[at..end];
            at = end + 1;
            block.lines += u64::from(end < bytes.len());
            if line.is_empty() {
                continue;
            }
            if line.len() > self.options.limits.line_bytes_max {
                return Block { needs_sequence: true, ..Block::default() };
            }
            block.rows += 1;
            if !self.quick(line, line_of_row, &mut row, &mut block) {
                self.slow(line, line_of_row, &mut block);
            }
            // As the sequential reader counts: empty lines before a row are its own.
            line_of_row = block.lines;
        }
        block.blanks = block.lines - line_of_row;
        block
    }

    /// Takes a row of plain numbers; anything else is left to [`Self::slow`].
    fn quick(&self, line: &[u8], number: u64, row: &mut Fields, block: &mut Block) -> bool {
        let rules = &self.options.rules;
        let whole_rows = rules.duplicate == Duplicates::Row;
        let needs_all = rules.missing == Missing::Any;
        let Some((n_fields, hash)) = cut(line, self.delimiter, &mut row.ends) else { return false };
        if (needs_all || whole_rows) && n_fields != self.field_of.len() {
            return false;
        }
        let ends = &row.ends[..n_fields];
        let field = |column: usize| match (column.checked_sub(1).map(|before| ends[before]), ends[column]) {
            (None, end) => &line[..end as usize],
            (Some(before), end) => &line[before as usize + 1..end as usize],
        };
        if needs_all && !(0..n_fields).all(|column| is_plainly_there(field(column))) {
            return false;
        }
        row.numbers = [None; 7];
        let (mut user, mut video): (&[u8], &[u8]) = (b"", b"");
        for &(column, place) in &self.read {
            if column >= n_fields {
                continue;
            }
            let field = field(column);
            match place {
                0 => user = field,
                1 => video = field,
                _ if field.is_empty() => {}
                place => {
                    // Ratios are kept as 32-bit floats and nothing is computed from them.
                    let number = if place == RATIO { number_for_f32(field) } else { plain_number(field) };
                    let Some(number) = number else { return false };
                    row.numbers[usize::from(place) - 2] = Some(number);
                }
            }
        }
        if !self.is_plain_id(user) || !self.is_plain_id(video) {
            return false;
        }
        let hash = match whole_rows {
            false => 0,
            true if self.delimiter == b',' => hash.half(),
            true => {
                let mut hash = RowHash::default();
                (0..n_fields).for_each(|column| hash.field(column, field(column)));
                hash.half()
            }
        };
        let [time, watch_seconds, watch_ms, duration, duration_ms, ratio, rating] = row.numbers;
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
        if row.numbers[1..].iter().flatten().any(|&number| !(number as f32).is_finite()) {
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

    /// Whether an id has nothing to trim, and is ASCII.
    fn is_plain_id(&self, id: &[u8]) -> bool {
        let (Some(&first), Some(&last)) = (id.first(), id.last()) else { return false };
        first > b' ' && last > b' ' && id.len() <= self.options.limits.id_bytes_max && id.is_ascii()
    }

    /// Takes any row, as the sequential reader does.
    fn slow(&self, line: &[u8], number: u64, block: &mut Block) {
        let (mut bytes, mut ends) = (Vec::with_capacity(line.len()), Vec::new());
        for field in line.split(|&byte| byte == self.delimiter) {
            bytes.extend_from_slice(field);
            ends.push(bytes.len());
        }
        let row = Row::of_fields(number, self.names, &bytes, &ends);
        let mut drop = |why: Why| block.faults.push((number, why, text(line).into_owned()));
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
        block.push(user.as_bytes(), video.as_bytes(), event, self.part, (number, hash), measures.duration);
    }
}

/// One row, cut: where its fields end, and its numbers in the order of [`FIELDS`] from the time on.
struct Fields {
    ends: Vec<u32>,
    numbers: [Option<f64>; 7],
}

/// A bit pattern with the same byte eight times.
const fn eight(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// Finds where fields end, and hashes the row's text on the way, eight bytes at a time. `None` where there are more
/// fields than places.
fn cut(line: &[u8], delimiter: u8, ends: &mut [u32]) -> Option<(usize, RowHash)> {
    const LOW: u64 = eight(0x7f);
    let wanted = eight(delimiter);
    let mut hash = RowHash::default();
    let (mut n, mut at) = (0, 0u32);
    let mut see = |word: u64| {
        hash.word(word);
        let other = word ^ wanted;
        // The top bit of each byte that is the delimiter, exactly (Warren, Hacker's Delight, 6-1).
        let mut hits = !(((other & LOW) + LOW) | other | LOW);
        while hits != 0 {
            *ends.get_mut(n)? = at + hits.trailing_zeros() / 8;
            n += 1;
            hits &= hits - 1;
        }
        at += 8;
        Some(())
    };
    let (words, rest) = line.as_chunks::<8>();
    for word in words {
        see(u64::from_le_bytes(*word))?;
    }
    if !rest.is_empty() {
        see(word_of(rest))?;
    }
    *ends.get_mut(n)? = line.len() as u32;
    Some((n + 1, hash.of_length(line.len())))
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
}

impl Block {
    fn push(
        &mut self,
        user: &[u8],
        video: &[u8],
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

impl Ids {
    fn row(&mut self, id: &[u8]) -> u32 {
        if let Some(number) = small_number(id) {
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
fn small_number(id: &[u8]) -> Option<usize> {
    if id.is_empty() || id.len() > 6 || (id[0] == b'0' && id.len() > 1) {
        return None;
    }
    let mut number = 0;
    for byte in id {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + usize::from(digit);
    }
    (number < NUMBERED_MAX).then_some(number)
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
    fn of(field: &[u8]) -> Option<Self> {
        let (is_negative, text) = match field {
            [b'-', text @ ..] => (true, text),
            text => (false, text),
        };
        let mut whole = 0;
        let before = run_of_digits(text, &mut whole);
        let decimals = match text.get(before) {
            None => 0,
            Some(b'.') => {
                let after = &text[before + 1..];
                let decimals = run_of_digits(after, &mut whole);
                if decimals < after.len() {
                    return None;
                }
                decimals
            }
            Some(_) => return None,
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

/// Appends digits to a number, eight at a time; how many there were.
fn run_of_digits(text: &[u8], whole: &mut u64) -> usize {
    let mut n = 0;
    while let Some(&piece) = text[n..].first_chunk::<8>() {
        let word = u64::from_le_bytes(piece);
        // Every high half is 3, and stays so when 6 is added to the low half.
        let high = word & eight(0xf0) | (word.wrapping_add(eight(6)) & eight(0xf0)) >> 4;
        if high != eight(0x33) {
            break;
        }
        // Pairs of digits, then of pairs, then of fours, at once.
        let word = word & eight(0x0f);
        let word = word.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
        let word = word.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
        let word = word.wrapping_mul(10_000 << 32 | 1) >> 32;
        *whole = whole.wrapping_mul(100_000_000).wrapping_add(word);
        n += 8;
    }
    for byte in &text[n..] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *whole = whole.wrapping_mul(10).wrapping_add(u64::from(digit));
        n += 1;
    }
    n
}

/// Digits with at most one point and a minus before, as the exact number they are read as; other text is `None`.
fn plain_number(field: &[u8]) -> Option<f64> {
    let digits = Digits::of(field)?;
    if digits.is_exact() {
        return Some(digits.size());
    }
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The same, for a number that is kept as a 32-bit float: that is the one of the exact number, the number itself may
/// be off by its last bits.
fn number_for_f32(field: &[u8]) -> Option<f64> {
    const HALF: u64 = 1 << 28;
    let digits = Digits::of(field)?;
    if digits.n <= 19 {
        let size = digits.size();
        // Two roundings, less than 2 steps of a 64-bit float: they matter only next to the middle of two 32-bit ones.
        let beyond = size.to_bits() & (2 * HALF - 1);
        if digits.is_exact() || beyond.abs_diff(HALF) > 8 {
            return Some(size);
        }
    }
    std::str::from_utf8(field).ok()?.parse().ok()
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
            assert_eq!(plain_number(text.as_bytes()).unwrap().to_bits(), expected.to_bits(), "{text}");
            let number = number_for_f32(text.as_bytes()).unwrap();
            assert_eq!((number as f32).to_bits(), (expected as f32).to_bits(), "{text}");
        }
        // The middle of two 32-bit floats, and a little beside it.
        for text in ["1.000000059604644775", "1.000000059604644776", "0.1490116119384765625"] {
            let expected: f64 = text.parse().unwrap();
            let number = number_for_f32(text.as_bytes()).unwrap();
            assert_eq!((number as f32).to_bits(), (expected as f32).to_bits(), "{text}");
        }
        for text in ["", "-", ".", "1e5", "+1", "nan", " 1", "1 ", "1.2.3", "inf", "1234567:", "12345678x"] {
            assert_eq!(plain_number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_row_is_cut_at_every_delimiter_and_nowhere_else() {
        let mut ends = [0; 5];
        // `-` differs from `,` by its last bit, and stands right behind it.
        for (line, expected) in [("a,-b,,--,c", vec![1, 4, 5, 8, 10]), (",", vec![0, 1]), ("", vec![0])] {
            let (n, hash) = cut(line.as_bytes(), b',', &mut ends).unwrap();
            assert_eq!(ends[..n], expected, "{line}");
            let mut fields = RowHash::default();
            line.split(',').enumerate().for_each(|(at, field)| fields.field(at, field.as_bytes()));
            assert_eq!(hash.half(), fields.half(), "{line}");
        }
        assert!(cut(b"1,2,3,4,5,6", b',', &mut ends).is_none());
    }

    #[test]
    fn ids_that_are_written_differently_are_different() {
        let mut ids = Ids::default();
        let rows = ["7", "07", "a", "7", "0", "262144", "00", "07", "a"].map(|id| ids.row(id.as_bytes()));
        assert_eq!(rows, [0, 1, 2, 0, 3, 4, 5, 1, 2]);
        assert!(ids.iter().eq(["7", "07", "a", "0", "262144", "00"]));
    }
}
