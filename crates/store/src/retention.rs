//! Feedback that is kept for a time, not for ever: deleted in small commits, so that others write in between, and its space given
//! back.

use crate::{Store, StoreError};

/// Pages that are given back at once: writers wait for some milliseconds.
const PAGES_MAX: usize = 1_000;

/// What is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Rows of feedback.
    pub rows: u64,
    /// Bytes of the disk.
    pub bytes: u64,
}

/// Deletes feedback with a time before `before`, `n_rows_max` rows at once, then gives free space back to the disk; without `before` it
/// only does the latter. After each step `go_on` hears what that step came to, may pause, and says whether there shall be another.
///
/// # Errors
/// As [`Store::expire`] and [`Store::compact`]. What is gone by then is gone.
pub fn clear(
    store: &dyn Store,
    before: Option<i64>,
    n_rows_max: usize,
    go_on: &mut dyn FnMut(Cleared) -> bool,
) -> Result<Cleared, StoreError> {
    let mut all = Cleared::default();
    if let Some(before) = before {
        loop {
            let rows = store.expire(before, n_rows_max)? as u64;
            if rows == 0 {
                break;
            }
            all.rows += rows;
            if !go_on(Cleared { rows, bytes: 0 }) {
                return Ok(all);
            }
        }
    }
    loop {
        let bytes = store.compact(PAGES_MAX)?;
        all.bytes += bytes;
        if bytes == 0 || !go_on(Cleared { rows: 0, bytes }) {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Feedback, Sqlite, StoreConfig, Write};

    #[test]
    fn what_is_old_goes_in_steps_until_told_to_stop_and_the_file_shrinks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let open = || Sqlite::open(&path, StoreConfig::default()).unwrap();
        let store = open();
        let event = |time: i64| Feedback {
            kind: "watch".into(),
            user: format!("u{}", time % 50),
            video: format!("v{time}"),
            value: 1.0,
            time,
            labels: serde_json::Value::Null,
            comment: "x".repeat(100),
        };
        let rows: Vec<Feedback> = (0..9_000).map(event).collect();
        store.append(&rows, Write::Overwrite).unwrap();
        // What is closed has no log.
        drop(store);
        let store = open();
        let size = || path.metadata().unwrap().len();
        let before = size();

        let mut steps = Vec::new();
        let two = clear(&store, Some(8_000), 1_000, &mut |step| {
            steps.push(step);
            steps.len() < 2
        });
        assert_eq!(two.unwrap(), Cleared { rows: 2_000, bytes: 0 });
        assert_eq!(steps, [Cleared { rows: 1_000, bytes: 0 }; 2]);
        assert_eq!(store.counts().unwrap().feedback, 7_000);
        assert!(
            store.history("u7", None, 999).unwrap().iter().all(|f| f.time >= 2_000),
            "the oldest go first"
        );

        let version = store.user_version("u7");
        let rest = clear(&store, Some(8_000), 1_000, &mut |_| true).unwrap();
        assert_eq!((rest.rows, store.counts().unwrap().feedback), (6_000, 1_000));
        assert_ne!(store.user_version("u7"), version, "what is remembered of them is old");
        assert!(rest.bytes > before / 2 && size() + rest.bytes == before, "{rest:?} of {before}");
        assert_eq!(clear(&store, Some(8_000), 1_000, &mut |_| true).unwrap(), Cleared::default());
        assert!(store.verify().unwrap().problems.is_empty());
    }
}
