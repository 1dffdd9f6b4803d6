//! What is left after a million rows went.

#![allow(clippy::unwrap_used, reason = "a test")]

use upnext_index::{Allow, Config, Index, Metric, Quantised};
use upnext_math::Matrix;
use upnext_math::seed::Random;

#[test]
fn after_a_million_deletes_the_answer_is_what_is_left() {
    const N: u32 = 1_000_010;
    let mut random = Random::new(1);
    let vectors = Matrix::from_rows(N as usize, 4, (0..4 * N).map(|_| random.uniform()).collect());
    let config = Config { lists: Some(512), tuning_queries: 0, ..Config::new(Metric::L2) };
    let index = Quantised::build(&vectors, &config).unwrap();
    let left: Vec<u32> = (0..10).map(|at| at * 100_001 + 7).collect();
    for row in (0..N).filter(|row| !left.contains(row)) {
        assert!(index.remove(row));
    }
    assert!(index.should_fold());
    // Before the fold and after it.
    for _ in 0..2 {
        assert_eq!((index.len(), index.contains(left[0]), index.contains(left[0] + 1)), (10, true, false));
        let hits = index.search(&[0.5; 4], 20, Allow::All).unwrap();
        let mut rows: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
        rows.sort_unstable();
        assert_eq!(rows, left);
        index.fold();
    }
}
