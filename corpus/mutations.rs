//! Replays stored inputs of a format, and changed copies of them. `CONTRIBUTING.md` says how an input is added.
//!
//! The order is the same in every run: seeds come from the names of the files. `UPNEXT_FUZZ_SECONDS` lets a format be tried for longer than a
//! second, `UPNEXT_FUZZ_SEED` draws other changes.

#![allow(dead_code, reason = "each test needs some of it")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No input of these sizes may take longer, on a busy machine either.
const ONE_MAX: Duration = Duration::from_secs(10);
/// Where each takes long, those that are cut may take this much more than is asked for.
const CUTS_MAX: Duration = Duration::from_secs(3);

/// Rounds through all inputs that are tried whatever they take.
const ROUNDS_MIN: usize = 3;
/// Nor may all of them together make the process grow by more.
const GROWTH_MAX_KIBIBYTES: u64 = 1 << 20;

/// What is tried of numbers and signs: the ends of ranges, and what separates.
const TOKENS: [&[u8]; 24] = [
    b"0",
    b"-1",
    b"1e400",
    b"NaN",
    b"18446744073709551616",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"0.1e-400",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"\x00",
    b"\xff\xfe",
    b"null",
    b"(((((((((((((((((((((((((((((((",
    b"a\xcc\x81",
];

/// The stored inputs of a format, by name.
pub(crate) fn inputs(format: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus").join(format);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no inputs", folder.display());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

/// Hands every stored input of a format to `check`, then cut and changed copies until the time is over. `check` may refuse an input in words; it
/// must not panic. How many were tried.
pub(crate) fn replay(format: &str, check: impl Fn(&[u8])) -> usize {
    let inputs = inputs(format);
    let before = peak_kibibytes();
    let mut n = 0;
    let mut try_one = |from: &Path, bytes: &[u8]| {
        let timed = || {
            let begun = Instant::now();
            (catch_unwind(AssertUnwindSafe(|| check(bytes))), begun.elapsed())
        };
        let (mut done, mut took) = timed();
        if done.is_ok() && took > ONE_MAX {
            // The machine may have stopped the process meanwhile.
            (done, took) = timed();
        }
        n += 1;
        if done.is_err() || took > ONE_MAX {
            let kept = std::env::temp_dir().join(format!("found-{format}-{:016x}", hash(bytes)));
            std::fs::write(&kept, bytes).unwrap();
            let what = if done.is_err() { "panicked".into() } else { format!("took {took:?}") };
            panic!(
                "{} changed {what}: it lies in {}; mend it and put it into corpus/{format}",
                from.display(),
                kept.display()
            );
        }
    };
    for (path, bytes) in &inputs {
        try_one(path, bytes);
    }
    let until = Instant::now() + Duration::from_secs(asked("UPNEXT_FUZZ_SECONDS").unwrap_or(1));
    // Cut at each byte of small inputs, and at some of large ones.
    'cuts: for (path, bytes) in &inputs {
        for cut in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
            if Instant::now() > until + CUTS_MAX {
                break 'cuts;
            }
            try_one(path, &bytes[..cut]);
        }
    }
    let until = until.max(Instant::now() + Duration::from_millis(500));
    let seed = asked("UPNEXT_FUZZ_SEED").unwrap_or(0);
    let mut random: Vec<Random> = inputs
        .iter()
        .map(|(path, _)| Random(hash(path.file_name().unwrap().as_encoded_bytes()) ^ seed))
        .collect();
    'rounds: for round in 0.. {
        for (at, (path, bytes)) in inputs.iter().enumerate() {
            // Some rounds in any case, however slow the machine is.
            if round >= ROUNDS_MIN && Instant::now() > until {
                break 'rounds;
            }
            let random = &mut random[at];
            let mut changed = bytes.clone();
            for _ in 0..1 + round % 4 {
                change(&mut changed, &inputs, random);
            }
            try_one(path, &changed);
        }
    }
    let grown = peak_kibibytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX_KIBIBYTES, "{format}: the process grew by {} MiB", grown >> 10);
    println!("{format}: {n} inputs from {} stored ones", inputs.len());
    n
}

fn change(bytes: &mut Vec<u8>, inputs: &[(PathBuf, Vec<u8>)], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let to = (at + 1 + random.below(16)).min(bytes.len());
    match random.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.next() as u8,
        2 => drop(bytes.drain(at.min(to)..to)),
        3 => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
        4 => drop(bytes.splice(at.min(to)..to, TOKENS[random.below(TOKENS.len())].iter().copied())),
        // A part twice.
        5 => {
            let part = bytes[at.min(to)..to].to_vec();
            bytes.splice(at..at, part);
        }
        // The end of another.
        6 => {
            let other = &inputs[random.below(inputs.len())].1;
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        // A length or an offset that lies.
        7 if at + 8 <= bytes.len() => {
            let number = [0, 1, u64::MAX, 1 << 31, 1 << 40, random.next() % 4_096][random.below(6)];
            let width = [2, 4, 8][random.below(3)];
            bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        }
        _ => bytes.truncate(at),
    }
    bytes.truncate(1 << 20);
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The most memory that the process ever held; 0 where the system does not tell.
fn peak_kibibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}
