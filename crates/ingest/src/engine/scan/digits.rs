//! Numbers from their digits, up to eight at a time.

use std::ops::Range;

/// Powers of ten that are exact as floats.
pub(super) const EXACT: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19,
];

/// Digits with at most one point and a minus before.
pub(super) struct Digits {
    is_negative: bool,
    /// All digits as one number, where there are at most 19.
    whole: u64,
    n: usize,
    decimals: usize,
}

impl Digits {
    pub(super) fn of(bytes: &[u8], Range { start, end }: Range<usize>) -> Option<Self> {
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

    pub(super) fn size(&self) -> f64 {
        let size = self.whole as f64 / EXACT[self.decimals];
        if self.is_negative { -size } else { size }
    }

    /// Whether [`Self::size`] is what reading the text gives: both parts are exact as floats, so the one division
    /// rounds once (Clinger 1990).
    pub(super) fn is_exact(&self) -> bool {
        self.n <= 19 && self.whole < 1 << 53
    }
}

/// Appends the digits that a span begins with to a number, up to eight at a time; how many there were. Bytes beyond the
/// span are read and not minded.
pub(super) fn run_of_digits(bytes: &[u8], Range { start, end }: Range<usize>, whole: &mut u64) -> usize {
    pub(super) const POWERS: [u64; 9] =
        [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
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
pub(super) fn plain_number(bytes: &[u8], span: Range<usize>) -> Option<f64> {
    let digits = Digits::of(bytes, span.clone())?;
    if digits.is_exact() {
        return Some(digits.size());
    }
    std::str::from_utf8(&bytes[span]).ok()?.parse().ok()
}

/// The same, for a number that is kept as a 32-bit float: that is the one of the exact number, the number itself may
/// be off by its last bits.
pub(super) fn number_for_f32(bytes: &[u8], span: Range<usize>) -> Option<f64> {
    pub(super) const HALF: u64 = 1 << 28;
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

/// A bit pattern with the same byte eight times.
pub(super) const fn eight(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// At most eight bytes as a number, the first lowest.
pub(super) fn word_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
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
            for bytes in [line.as_bytes(), &line.as_bytes()[..span.end]] {
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
}
