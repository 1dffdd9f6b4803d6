//! The protocol: everything that must be equal before two numbers may be compared.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use upnext_data::Finding;

use crate::Bootstrap;

/// How a relevant video ranks among others of the same score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// Behind all of them: rank = how many score at least as much, itself left out.
    #[default]
    Pessimistic,
    /// In an order drawn from the seed: in expectation, the mean over all orders.
    Random,
    /// In the order of the rows, as a plain stable sort leaves them.
    Row,
}

impl fmt::Display for Ties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pessimistic => "pessimistic",
            Self::Random => "at random",
            Self::Row => "in row order",
        })
    }
}

/// What was ranked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidates {
    /// How many videos, before masks.
    pub n: usize,
    /// Which, in words: `whole catalogue`.
    pub what: String,
}

/// A finding of the leakage linter, as the report keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeakNote {
    /// What kind: `shared_pairs`, `time`.
    pub leak: String,
    /// How many pairs or events.
    pub count: usize,
    /// One example, by row numbers: user, video.
    pub example: Option<(u32, u32)>,
    /// Whether the protocol makes it harmless.
    pub handled: bool,
    /// In words.
    pub note: String,
}

impl From<&Finding> for LeakNote {
    fn from(finding: &Finding) -> Self {
        let leak = serde_json::to_value(finding.leak).ok().and_then(|leak| leak.as_str().map(str::to_owned));
        Self {
            leak: leak.unwrap_or_default(),
            count: finding.count,
            example: finding.example,
            handled: finding.handled,
            note: finding.note.clone(),
        }
    }
}

/// The conditions of a measurement. Equal [`fingerprint`](Self::fingerprint)s may be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// The set's name.
    pub set: String,
    /// The digest of its content.
    pub digest: String,
    /// How it was cut.
    pub split: String,
    /// What counts as relevant.
    pub relevance: String,
    /// What models were fitted on: `train`. Refitting on validation is worth a tenth and more, so it is said.
    pub fitted_on: String,
    /// What the questions show of a user: `train and validation`.
    pub history: String,
    /// What was ranked.
    pub candidates: Candidates,
    /// What was taken out of the ranking: `seen in the history`.
    pub masked: String,
    /// How equal scores rank.
    pub ties: Ties,
    /// The lengths of list that were looked at.
    pub k: Vec<usize>,
    /// The seed of split, models and bootstrap.
    pub seed: u64,
    /// Users counted: those with at least one relevant video.
    pub users: usize,
    /// How the intervals were made.
    pub bootstrap: Bootstrap,
    /// What else a reader must know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What the linter found.
    #[serde(default)]
    pub leaks: Vec<LeakNote>,
}

impl Protocol {
    /// 16 hex digits of the BLAKE3 of the protocol's canonical JSON: keys sorted, no spaces.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        // A struct of strings and numbers always has a JSON form.
        write_canonical(&serde_json::to_value(self).unwrap_or_default(), &mut text);
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }

    /// Leaks that nothing in the protocol makes harmless: no headline may stand over them.
    pub fn open_leaks(&self) -> impl Iterator<Item = &LeakNote> {
        self.leaks.iter().filter(|leak| !leak.handled)
    }
}

/// JSON with sorted keys, whatever order the map of this build keeps.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical(value, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.digest.get(..8).unwrap_or(&self.digest);
        let k: Vec<String> = self.k.iter().map(usize::to_string).collect();
        write!(
            f,
            "{} ({short}), {}, relevant: {}, fitted on {}, history {}, {} users, {} candidates ({}), masked: {}, \
             ties {}, K {}, seed {}, {} % intervals from {} bootstraps over users, fingerprint {}",
            self.set,
            self.split,
            self.relevance,
            self.fitted_on,
            self.history,
            grouped(self.users),
            grouped(self.candidates.n),
            self.candidates.what,
            self.masked,
            self.ties,
            k.join(" "),
            self.seed,
            // 0.95 becomes 95, not 94.99999999999999.
            (self.bootstrap.level * 1e6).round() / 1e4,
            grouped(self.bootstrap.samples),
            self.fingerprint(),
        )?;
        // Beside the number, not only below it.
        let mut open: Vec<&str> = self.open_leaks().map(|leak| leak.leak.as_str()).collect();
        open.dedup();
        if open.is_empty() { Ok(()) } else { write!(f, "; OVER A LEAK: {}", open.join(", ")) }
    }
}

/// 12345 as 12,345.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use upnext_data::Leak;

    pub(crate) fn protocol() -> Protocol {
        Protocol {
            set: "tiny".into(),
            digest: "0123456789abcdef".into(),
            split: "leave-last-out".into(),
            relevance: "rating>=4".into(),
            fitted_on: "train".into(),
            history: "train and validation".into(),
            candidates: Candidates { n: 12_101, what: "whole catalogue".into() },
            masked: "seen in the history".into(),
            ties: Ties::Pessimistic,
            k: vec![10, 20],
            seed: 1,
            users: 22_363,
            bootstrap: Bootstrap::default(),
            notes: vec![],
            leaks: vec![],
        }
    }

    #[test]
    fn the_line_says_everything_that_must_be_equal() {
        let line = protocol().to_string();
        for part in ["tiny (01234567)", "22,363 users", "12,101 candidates", "95 % intervals", "K 10 20"] {
            assert!(line.contains(part), "{part} is missing in: {line}");
        }
        assert!(!line.contains('\n'));
    }

    #[test]
    fn any_change_changes_the_fingerprint_and_nothing_else_does() {
        let one = protocol();
        assert_eq!(one.fingerprint(), protocol().fingerprint());
        assert_eq!(one.fingerprint().len(), 16);
        let others = [
            Protocol { seed: 2, ..protocol() },
            Protocol { ties: Ties::Random, ..protocol() },
            Protocol { masked: "nothing".into(), ..protocol() },
            Protocol { bootstrap: Bootstrap { samples: 999, level: 0.95 }, ..protocol() },
        ];
        for other in others {
            assert_ne!(one.fingerprint(), other.fingerprint(), "{other}");
        }
        // It survives being written and read.
        let json = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Protocol>(&json).unwrap().fingerprint(), one.fingerprint());
    }

    #[test]
    fn canonical_json_sorts_its_keys() {
        let mut out = String::new();
        write_canonical(&serde_json::json!({"b": [1, {"d": null, "c": "\""}], "a": 0.5}), &mut out);
        assert_eq!(out, r#"{"a":0.5,"b":[1,{"c":"\"","d":null}]}"#);
    }

    #[test]
    fn findings_of_the_linter_are_kept_and_open_ones_stand_out() {
        let finding = Finding {
            leak: Leak::SharedPairs,
            count: 3,
            example: Some((1, 2)),
            handled: false,
            note: "3 test pairs are also in train".into(),
        };
        let note = LeakNote::from(&finding);
        assert_eq!((note.leak.as_str(), note.example), ("shared_pairs", Some((1, 2))));
        let protocol = Protocol { leaks: vec![note], ..protocol() };
        assert_eq!(protocol.open_leaks().count(), 1);
    }
}
