//! Stored maps, and changed copies of them: refused in words, or a map.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../corpus/mutations.rs"]
mod mutations;

use upnext_map::Map;

#[test]
fn maps_are_read_or_refused() {
    let read = std::cell::Cell::new(0);
    let n = mutations::replay("maps", |bytes| match Map::from_bytes(bytes) {
        Ok(map) => {
            read.set(read.get() + 1);
            let _ = map.to_bytes();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    });
    assert!(n > 50 && read.get() > 0, "{n} inputs, {} maps", read.get());
}
