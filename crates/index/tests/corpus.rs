//! Stored files of indexes, and changed copies of them, with digests that fit and that do not: refused in words, or an index that answers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../corpus/mutations.rs"]
mod mutations;

use upnext_index::{Allow, Index, Quantised};

/// Bytes of the head, and where its digests of body, vectors and of itself begin.
const HEAD: usize = 128;
const DIGESTS: usize = 32;

/// The same file with digests that fit, as far as its lengths do: so that what it says is read.
fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = bytes.to_vec();
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (body, vectors) = (usize::try_from(long(16)?).ok()?, usize::try_from(long(24)?).ok()?);
    let (rest, end) = (bytes.get(HEAD..)?, body.checked_add(vectors)?);
    (rest.len() == end).then_some(())?;
    for (at, part) in [(DIGESTS, &rest[..body]), (DIGESTS + 32, &rest[body..])] {
        sealed[at..at + 32].copy_from_slice(blake3::hash(part).as_bytes());
    }
    let head = *blake3::hash(&sealed[..HEAD - 32]).as_bytes();
    sealed[HEAD - 32..HEAD].copy_from_slice(&head);
    Some(sealed)
}

#[test]
fn files_of_indexes_are_opened_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.bin");
    let opened = std::cell::Cell::new(0);
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match Quantised::open(&path) {
            Ok(index) => {
                opened.set(opened.get() + 1);
                let query = vec![0.5; index.dim()];
                let hits = index.search(&query, 10, Allow::All);
                assert!(hits.is_err() || hits.unwrap().len() <= 10);
            }
            Err(error) => assert!(error.to_string().contains("index.bin"), "{error}"),
        }
        std::fs::remove_file(&path).unwrap();
    };
    let n = mutations::replay("indexes", |bytes| {
        open(bytes);
        sealed(bytes).iter().for_each(|sealed| open(sealed));
    });
    assert!(n > 50 && opened.get() >= 2, "{n} inputs, {} of them opened", opened.get());
}
