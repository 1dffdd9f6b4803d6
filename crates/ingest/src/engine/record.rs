//! One event in 36 bytes: what it says, and where it stood.

use upnext_data::{Action, Event, Part};

/// Bytes of a record on disk.
pub(crate) const RECORD_BYTES: usize = 36;

/// An event between reading and cleaning. A missing number is NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) user: u32,
    pub(crate) video: u32,
    /// Milliseconds since 1970, in two halves: a record needs no padding then.
    time: [u32; 2],
    pub(crate) value: f32,
    pub(crate) ratio: f32,
    /// The line in its file; beyond 2^32 it stays there.
    pub(crate) line: u32,
    /// Half of a hash of all columns of the row, where rows are compared as wholes.
    pub(crate) row_hash: u32,
    /// Which file, in the order of reading.
    pub(crate) file: u16,
    pub(crate) action: Action,
    flags: u8,
}

const PART: u8 = 0b11;
const FIRST_OF_ROW: u8 = 0b100;
const FIRST_OF_PAIR: u8 = 0b1000;

/// Where a record stood.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) file: u16,
    pub(crate) line: u32,
    pub(crate) row_hash: u32,
    /// The row's first event: dropping it is dropping the row.
    pub(crate) is_first_of_row: bool,
}

impl Record {
    pub(crate) fn new(event: &Event, part: Option<Part>, place: Place) -> Self {
        let first = if place.is_first_of_row { FIRST_OF_ROW } else { 0 };
        Self {
            user: event.user,
            video: event.video,
            time: halves(event.time),
            value: event.value.unwrap_or(f32::NAN),
            ratio: event.ratio.unwrap_or(f32::NAN),
            line: place.line,
            row_hash: place.row_hash,
            file: place.file,
            action: event.action,
            flags: part.map_or(0, |part| part as u8 + 1) | first,
        }
    }

    pub(crate) fn time(&self) -> i64 {
        (u64::from(self.time[0]) << 32 | u64::from(self.time[1])) as i64
    }

    pub(crate) fn event(&self) -> Event {
        let known = |x: f32| (!x.is_nan()).then_some(x);
        Event {
            user: self.user,
            video: self.video,
            action: self.action,
            time: self.time(),
            value: known(self.value),
            ratio: known(self.ratio),
        }
    }

    pub(crate) fn part(&self) -> Option<Part> {
        match self.flags & PART {
            1 => Some(Part::Train),
            2 => Some(Part::Validation),
            3 => Some(Part::Test),
            _ => None,
        }
    }

    pub(crate) fn is_first_of_row(&self) -> bool {
        self.flags & FIRST_OF_ROW != 0
    }

    pub(crate) fn is_first_of_pair(&self) -> bool {
        self.flags & FIRST_OF_PAIR != 0
    }

    pub(crate) fn set_first_of_pair(&mut self, yes: bool) {
        self.flags = self.flags & !FIRST_OF_PAIR | if yes { FIRST_OF_PAIR } else { 0 };
    }

    /// What equal events share. `position` is that of the row in its sequence.
    pub(crate) fn key(&self, position: i64) -> (u32, u8, u32, u32, i64, u8) {
        let bits = |x: f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
        (self.video, self.action as u8, bits(self.value), bits(self.ratio), position, self.flags & PART)
    }

    pub(crate) fn write_to(&self, bytes: &mut Vec<u8>) {
        for word in [
            self.user,
            self.video,
            self.time[0],
            self.time[1],
            self.value.to_bits(),
            self.ratio.to_bits(),
            self.line,
            self.row_hash,
        ] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let [low, high] = self.file.to_le_bytes();
        bytes.extend_from_slice(&[low, high, self.action as u8, self.flags]);
    }

    /// The record of its bytes; `None` where they cannot be one.
    pub(crate) fn read_from(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(4 * at..4 * at + 4)?.try_into().ok()?));
        let tail = bytes.get(32..36)?;
        Some(Self {
            user: word(0)?,
            video: word(1)?,
            time: [word(2)?, word(3)?],
            value: f32::from_bits(word(4)?),
            ratio: f32::from_bits(word(5)?),
            line: word(6)?,
            row_hash: word(7)?,
            file: u16::from_le_bytes([tail[0], tail[1]]),
            action: *Action::ALL.get(usize::from(tail[2]))?,
            flags: tail[3],
        })
    }
}

fn halves(time: i64) -> [u32; 2] {
    [(time as u64 >> 32) as u32, time as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_36_bytes_and_comes_back_from_them() {
        assert_eq!(size_of::<Record>(), RECORD_BYTES);
        for time in [0, -1, i64::MIN, i64::MAX, 1_593_898_068_264] {
            let event =
                Event { user: 7, video: 9, action: Action::Hate, time, value: None, ratio: Some(0.5) };
            let place = Place { file: 300, line: 5, row_hash: 77, is_first_of_row: true };
            let record = Record::new(&event, Some(Part::Test), place);
            let mut bytes = Vec::new();
            record.write_to(&mut bytes);
            let back = Record::read_from(&bytes).unwrap();
            assert_eq!((back.event(), back.part(), back.line), (event, Some(Part::Test), 5));
            assert_eq!((back.file, back.row_hash, back.is_first_of_row()), (300, 77, true));
            assert!(!back.is_first_of_pair() && Record::read_from(&bytes[..35]).is_none());
        }
    }
}
