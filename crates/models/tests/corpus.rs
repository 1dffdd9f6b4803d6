//! Stored model files, and changed copies of them: refused in words, or models that answer.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../corpus/mutations.rs"]
mod mutations;

use upnext_models::{Settings, checkpoint};

#[test]
fn model_files_are_read_or_refused() {
    let read = std::cell::Cell::new(0);
    let n = mutations::replay("models", |bytes| {
        match checkpoint::load(bytes) {
            Ok(models) => read.set(read.get() + models.len()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let _ = checkpoint::two_tower(bytes);
        let _ = checkpoint::network(bytes, &mut Settings::default());
    });
    assert!(n > 50 && read.get() >= 2, "{n} inputs, {} models", read.get());
}
