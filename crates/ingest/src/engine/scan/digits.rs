//! Numbers from their digits, up to eight at a time.

use std::ops::Range;

use crate::row_hash::word_of;

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

/// The top bit of each byte above nine, exactly.
#[inline(always)]
fn others(word: u64) -> u64 {
    (((word & eight(0x7f)) + eight(0x76)) | word) & eight(0x80)
}

/// Eight bytes from 0 to 9, the first highest, as a number: pairs of digits, pairs of pairs, and fours, at once.
#[inline(always)]
fn eight_digits(word: u64) -> u64 {
    let word = word.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let word = word.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    word.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// Appends the digits that a span begins with to a number, up to eight at a time; how many there were. Bytes beyond the
/// span are read and not minded.
pub(super) fn run_of_digits(bytes: &[u8], Range { start, end }: Range<usize>, whole: &mut u64) -> usize {
    const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let mut at = start;
    while at < end {
        let word = match bytes[at..].first_chunk::<8>() {
            Some(piece) => u64::from_le_bytes(*piece),
            None => word_of(&bytes[at..end]),
        } ^ eight(b'0');
        let n = (others(word).trailing_zeros() as usize / 8).min(end - at);
        if n == 0 {
            break;
        }
        // The digits to the end of the word, zeros before.
        *whole = whole.wrapping_mul(POWERS[n]).wrapping_add(eight_digits(word << (64 - 8 * n)));
        at += n;
        if n < 8 {
            break;
        }
    }
    at - start
}

/// Short text of digits with at most one point, as one number and how many of the digits are decimals. Bytes beyond the
/// span are read and not minded: what is wanted is moved to the end of the word, and zeros stand before it.
#[inline(always)]
fn short(bytes: &[u8], start: usize, n: usize) -> Option<(u64, usize)> {
    debug_assert!(0 < n && n <= 8);
    let word = (u64::from_le_bytes(*bytes[start..].first_chunk()?) ^ eight(b'0')) << (64 - 8 * n);
    let others = others(word);
    if others == 0 {
        return Some((eight_digits(word), 0));
    }
    // The point goes, and what stands before it moves up.
    let at = others.trailing_zeros() & !7;
    let is_one_point = others & (others - 1) == 0 && (word >> at) as u8 == b'.' ^ b'0' && n > 1;
    let word = (word & ((1 << at) - 1)) << 8 | word >> at >> 8 << at << 8;
    is_one_point.then(|| (eight_digits(word), 7 - at as usize / 8))
}

/// The same for 9 to 16 bytes.
#[inline(always)]
fn medium(bytes: &[u8], start: usize, n: usize) -> Option<(u64, usize)> {
    const ZEROS: u128 = (eight(b'0') as u128) << 64 | eight(b'0') as u128;
    debug_assert!(8 < n && n <= 16);
    let word = (u128::from_le_bytes(*bytes[start..].first_chunk()?) ^ ZEROS) << (128 - 8 * n);
    let (low, high) = (others(word as u64), others((word >> 64) as u64));
    let number = |word: u128| eight_digits(word as u64) * 100_000_000 + eight_digits((word >> 64) as u64);
    if low | high == 0 {
        return Some((number(word), 0));
    }
    let others = u128::from(high) << 64 | u128::from(low);
    let at = others.trailing_zeros() & !7;
    let is_one_point = others & (others - 1) == 0 && (word >> at) as u8 == b'.' ^ b'0';
    let word = (word & ((1 << at) - 1)) << 8 | word >> at >> 8 << at << 8;
    is_one_point.then(|| (number(word), 15 - at as usize / 8))
}

/// A whole number of at most eight digits.
#[inline(always)]
pub(super) fn short_whole(bytes: &[u8], Range { start, end }: Range<usize>) -> Option<u64> {
    if bytes.len() - start < 8 {
        let mut whole = 0;
        return (run_of_digits(bytes, start..end, &mut whole) == end - start).then_some(whole);
    }
    short(bytes, start, end - start).and_then(|(whole, decimals)| {
        // `7.` has no decimals either.
        (decimals == 0 && bytes[end - 1] != b'.').then_some(whole)
    })
}

/// Digits with at most one point and a minus before, as the exact number they are read as; other text is `None`.
#[inline(always)]
pub(super) fn plain_number(bytes: &[u8], span: Range<usize>) -> Option<f64> {
    let found = match span.len() {
        1..=8 => short(bytes, span.start, span.len()),
        9..=16 => medium(bytes, span.start, span.len()),
        _ => None,
    };
    match found {
        // Both are exact as floats, so the one division rounds once (Clinger 1990).
        Some((whole, decimals)) if whole < 1 << 53 => Some(whole as f64 / EXACT[decimals]),
        _ => any_number(bytes, span),
    }
}

/// The same, of any length.
#[inline(never)]
fn any_number(bytes: &[u8], span: Range<usize>) -> Option<f64> {
    let digits = Digits::of(bytes, span.clone())?;
    if digits.is_exact() {
        return Some(digits.size());
    }
    std::str::from_utf8(&bytes[span]).ok()?.parse().ok()
}

/// The same, for a number that is kept as a 32-bit float: that is the one of the exact number, the number itself may
/// be off by a part of 10^10.
#[inline(always)]
pub(super) fn number_for_f32(bytes: &[u8], span: Range<usize>) -> Option<f64> {
    const HALF: u64 = 1 << 28;
    if let 17..=24 = span.len()
        && let Some((whole, decimals)) = medium(bytes, span.start, 16)
        && (10_000_000_000..1 << 53).contains(&whole)
        && let Some(rest) = bytes[span.start + 16..].first_chunk()
        && decimals > 0
    {
        let rest = (u64::from_le_bytes(*rest) ^ eight(b'0')) << (64 - 8 * (span.len() - 16));
        // Digits beyond the 15th change less than half a part of 10^10, which is 2^19 steps of a 64-bit float: that
        // matters only next to the middle of two 32-bit ones.
        let size = (whole as f64 + 0.5) / EXACT[decimals];
        let beyond = size.to_bits() & (2 * HALF - 1);
        if others(rest) == 0 && beyond.abs_diff(HALF) > 1 << 20 {
            return Some(size);
        }
    }
    plain_number(bytes, span)
}

/// A bit pattern with the same byte eight times.
pub(super) const fn eight(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
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

    proptest::proptest! {
        #[test]
        fn any_text_of_digits_and_points_is_read_as_the_standard_library_does(
            text in "-?[0-9]{0,19}[.x]?[0-9]{0,9}",
            behind in "[,.0-9x]{0,30}",
        ) {
            let line = format!("{text}{behind}");
            let expected = text.parse::<f64>().ok().filter(|_| !text.contains(['x', 'n', 'i']));
            let (plain, short) = (plain_number(line.as_bytes(), 0..text.len()), number_for_f32(line.as_bytes(), 0..text.len()));
            proptest::prop_assert_eq!(plain.map(f64::to_bits), expected.map(f64::to_bits));
            let bits = |number: Option<f64>| number.map(|number| (number as f32).to_bits());
            proptest::prop_assert_eq!(bits(short), bits(expected));
        }
    }
}
