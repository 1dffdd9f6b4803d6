//! Where rows and fields end: delimiters and line ends, found 64 bytes at a time.

use std::ops::Range;

/// One row, cut.
pub(super) struct Cut<'a> {
    /// The whole range, so that words of eight bytes can be read beyond a field.
    pub(super) bytes: &'a [u8],
    pub(super) start: usize,
    /// Where each field ends.
    pub(super) ends: &'a [usize],
}

impl<'a> Cut<'a> {
    pub(super) fn span(&self, column: usize) -> Range<usize> {
        let start = column.checked_sub(1).map_or(self.start, |before| self.ends[before] + 1);
        start..self.ends[column]
    }

    pub(super) fn field(&self, column: usize) -> &'a [u8] {
        &self.bytes[self.span(column)]
    }
}

/// Finds delimiters and line ends, 64 bytes at a time, a bit for each byte.
pub(super) struct Marks<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    /// Marks not yet given of the 64 bytes before `next`.
    marks: u64,
    /// Which of these 64 bytes are line ends.
    lines: u64,
    next: usize,
    /// Whether a quote or a carriage return was met.
    pub(super) met_others: bool,
}

/// Bytes looked at together.
const WIDE: usize = 64;

impl<'a> Marks<'a> {
    pub(super) fn of(bytes: &'a [u8], delimiter: u8) -> Self {
        Self { bytes, delimiter, marks: 0, lines: 0, next: 0, met_others: false }
    }

    /// Where the fields of the next row end: how many there are, those beyond the places of `ends` included, and where
    /// the row does.
    pub(super) fn row(&mut self, ends: &mut [usize]) -> (usize, usize) {
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
            let mark = self.marks & self.marks.wrapping_neg();
            let at = self.next - WIDE + self.marks.trailing_zeros() as usize;
            self.marks ^= mark;
            if let Some(end) = ends.get_mut(n) {
                *end = at;
            }
            n += 1;
            if self.lines & mark != 0 {
                return (n, at);
            }
        }
    }

    pub(super) fn look(&mut self) {
        let rest = &self.bytes[self.next..];
        let mut padded = [0; WIDE];
        let wide = rest.first_chunk().unwrap_or_else(|| {
            padded[..rest.len()].copy_from_slice(rest);
            &padded
        });
        let (delimiters, lines, others) = marks(wide, self.delimiter);
        (self.marks, self.lines) = (delimiters | lines, lines);
        self.met_others |= others != 0;
        self.next += WIDE;
    }
}

/// A bit for each delimiter, one for each line end, and one for each quote and carriage return.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the compiler takes SSE2 for granted on x86-64, and its rules do not")]
fn marks(bytes: &[u8; WIDE], delimiter: u8) -> (u64, u64, u64) {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};
    #[target_feature(enable = "sse2")]
    fn with_sse2(bytes: &[u8; WIDE], delimiter: u8) -> (u64, u64, u64) {
        let (delimiters, lines) = (_mm_set1_epi8(delimiter as i8), _mm_set1_epi8(b'\n' as i8));
        let (quotes, returns) = (_mm_set1_epi8(b'"' as i8), _mm_set1_epi8(b'\r' as i8));
        let (mut marks, mut ends, mut others) = (0, 0, 0);
        for (at, piece) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let piece = u128::from_le_bytes(*piece);
            let piece = _mm_set_epi64x((piece >> 64) as i64, piece as i64);
            let bits = |found| u64::from(_mm_movemask_epi8(found) as u32) << (16 * at);
            marks |= bits(_mm_cmpeq_epi8(piece, delimiters));
            ends |= bits(_mm_cmpeq_epi8(piece, lines));
            let found = _mm_or_si128(_mm_cmpeq_epi8(piece, quotes), _mm_cmpeq_epi8(piece, returns));
            others |= bits(found);
        }
        (marks, ends, others)
    }
    // SAFETY: every x86-64 has SSE2.
    unsafe { with_sse2(bytes, delimiter) }
}

/// A bit for each delimiter, one for each line end, and one for each quote and carriage return.
#[cfg(not(target_arch = "x86_64"))]
fn marks(bytes: &[u8; WIDE], delimiter: u8) -> (u64, u64, u64) {
    let of = |wanted: &dyn Fn(u8) -> bool| {
        bytes.iter().rev().fold(0, |bits, &byte| bits << 1 | u64::from(wanted(byte)))
    };
    (of(&|byte| byte == delimiter), of(&|byte| byte == b'\n'), of(&|byte| byte == b'"' || byte == b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
