//! What is kept of a user who was forgotten: when, how much, and a digest, but nothing that names them.

use std::collections::BTreeMap;

/// What [`crate::Store::forget`] erased. Receipts are kept and form a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When, in milliseconds since 1970, as the caller said.
    pub time: i64,
    /// Profiles erased: 1, or 0 if there was none.
    pub profiles: u64,
    /// Rows of feedback erased, by kind.
    pub feedback: BTreeMap<String, u64>,
    /// BLAKE3 over the digest of the receipt before, the time and the counts, in hexadecimal: a receipt that
    /// is changed or taken out later breaks the chain.
    pub digest: String,
}

impl Receipt {
    pub(crate) fn new(before: &str, time: i64, profiles: u64, feedback: BTreeMap<String, u64>) -> Self {
        let mut receipt = Self { time, profiles, feedback, digest: String::new() };
        receipt.digest = receipt.digest_after(before);
        receipt
    }

    fn digest_after(&self, before: &str) -> String {
        let counted = serde_json::json!([before, self.time, self.profiles, self.feedback]);
        blake3::hash(counted.to_string().as_bytes()).to_hex().to_string()
    }

    /// Whether it is the one that came after the receipt with this digest; an empty one stands for none.
    pub(crate) fn follows(&self, before: &str) -> bool {
        self.digest == self.digest_after(before)
    }

    /// Whether the digests of all receipts, from the first on, are those that were written.
    pub fn chained(receipts: &[Self]) -> bool {
        let mut before = "";
        receipts.iter().all(|receipt| {
            let fits = receipt.follows(before);
            before = &receipt.digest;
            fits
        })
    }
}
