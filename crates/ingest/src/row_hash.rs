//! Whether two rows are the same text: a hash of all their columns, taken of a whole line or field by field.

pub(crate) const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(ODD).rotate_left(29)
}

/// At most eight bytes as a number, the first lowest.
pub(crate) fn word_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// A hash of a row's text, its fields by commas, eight bytes at a time.
#[derive(Clone, Copy, Default)]
pub(crate) struct RowHash {
    /// Words go to either by turns: neither waits for the other.
    states: [u64; 2],
    /// Bytes that wait for their word.
    open: u64,
    n: usize,
}

impl RowHash {
    /// The hash of a row whose fields stand with commas between them: the first `n` of some bytes. Those beyond are not
    /// minded, but make the last word quick to read.
    pub(crate) fn of_line(bytes: &[u8], n: usize) -> u32 {
        let mut hash = Self { n, ..Self::default() };
        let (pairs, rest) = bytes[..n].as_chunks::<16>();
        let [one, other] = &mut hash.states;
        for pair in pairs {
            let pair = u128::from_le_bytes(*pair);
            (*one, *other) = (mix(*one, pair as u64), mix(*other, (pair >> 64) as u64));
        }
        let mut from = n - rest.len();
        if rest.len() >= 8 {
            *one = mix(*one, word_of(&bytes[from..from + 8]));
            from += 8;
        }
        hash.open = match bytes[from..].first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word) & ((1 << (8 * (n - from))) - 1),
            None => word_of(&bytes[from..n]),
        };
        hash.half()
    }

    fn byte(&mut self, byte: u8) {
        self.open |= u64::from(byte) << (8 * (self.n % 8));
        self.n += 1;
        if self.n.is_multiple_of(8) {
            let state = &mut self.states[(self.n / 8 + 1) % 2];
            *state = mix(*state, std::mem::take(&mut self.open));
        }
    }

    /// Half of the hash.
    pub(crate) fn half(self) -> u32 {
        let [one, other] = self.states;
        (mix(mix(mix(one, other), self.open), self.n as u64).wrapping_mul(ODD) >> 32) as u32
    }

    /// Takes a field, in their order.
    pub(crate) fn field(&mut self, column: usize, text: &[u8]) {
        if column > 0 {
            self.byte(b',');
        }
        // A comma within a field is none between fields; no text has this byte.
        text.iter().for_each(|&byte| self.byte(if byte == b',' { 0xff } else { byte }));
    }
}
