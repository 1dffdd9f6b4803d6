//! Against a real server: what the contract does not ask of every index.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use upnext_math::Matrix;
use upnext_math::seed::Random;

use super::{PgConfig, Postgres};
use crate::{Allow, Bitmap, Flat, Hit, Index, IndexError, Metric};

#[path = "../../../ingest/tests/servers/postgres.rs"]
mod server;

#[path = "../../../ingest/tests/servers/process.rs"]
mod process;

/// One server for all tests of this process, which ends with it.
fn server() -> Option<MutexGuard<'static, server::Postgres>> {
    static SERVER: OnceLock<Option<Mutex<server::Postgres>>> = OnceLock::new();
    let server = SERVER.get_or_init(|| server::Postgres::start_with_vectors().map(Mutex::new)).as_ref()?;
    Some(server.lock().unwrap_or_else(PoisonError::into_inner))
}

fn url() -> Option<String> {
    Some(format!("{}?sslmode=disable", server()?.url()))
}

pub(crate) fn is_there() -> bool {
    server().is_some()
}

/// A set without rows.
pub(crate) fn empty(dim: usize, metric: Metric) -> Postgres {
    publish(&Matrix::zeros(0, dim), metric)
}

fn publish(vectors: &Matrix, metric: Metric) -> Postgres {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let (url, name) = (url().unwrap(), format!("test {}", MADE.fetch_add(1, Ordering::Relaxed)));
    Postgres::publish(&url, &name, vectors, metric, &PgConfig::default(), &mut |_| ()).unwrap()
}

fn made_up(n: usize, dim: usize, seed: u64) -> Matrix {
    let mut random = Random::new(seed);
    Matrix::from_rows(n, dim, (0..n * dim).map(|_| random.normal()).collect())
}

fn of(vector: &[i8]) -> Vec<f32> {
    vector.iter().map(|&x| f32::from(x)).collect()
}

const DIM: usize = 5;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Small whole numbers, of which sums are exact, so that scores tie and every tie has its order.
    #[test]
    fn any_set_searched_in_any_way_equals_flat(
        rows in prop::collection::vec(prop::collection::vec(-3..4i8, DIM), 0..60),
        removed in prop::collection::vec(0..60u32, 0..20),
        queries in prop::collection::vec((prop::collection::vec(-3..4i8, DIM), 1..70usize, 1..5u32), 1..4),
        is_product in any::<bool>(),
    ) {
        if !is_there() {
            return Ok(());
        }
        let metric = if is_product { Metric::InnerProduct } else { Metric::L2 };
        let values: Vec<f32> = rows.iter().flat_map(|row| of(row)).collect();
        let index = publish(&Matrix::from_rows(rows.len(), DIM, values), metric);
        let flat = Flat::new(DIM, metric).unwrap();
        for (row, vector) in (0..).zip(&rows) {
            flat.insert(row, &of(vector)).unwrap();
        }
        for row in removed {
            prop_assert_eq!(index.remove(row), flat.remove(row));
        }
        prop_assert_eq!(index.len(), flat.len());
        for (query, k, every) in &queries {
            let set: Bitmap = (0..60).filter(|row| row % every == 0).collect();
            let listed: Vec<u32> = set.rows().collect();
            let is_allowed = |row: u32| set.contains(row);
            for allow in [Allow::All, Allow::Bitmap(&set), Allow::Rows(&listed), Allow::Predicate(&is_allowed)] {
                let expected = flat.search(&of(query), *k, allow).unwrap();
                prop_assert_eq!(index.search(&of(query), *k, allow).unwrap(), expected, "{:?}", allow);
            }
        }
    }
}

#[test]
fn a_large_set_is_found_whole_through_any_filter_as_by_flat() {
    if !is_there() {
        return;
    }
    let (n, dim) = (30_000, 8);
    let vectors = made_up(n, dim, 1);
    let all: Bitmap = (0..n as u32).filter(|row| row % 5 != 2).collect();
    assert!(all.len() > super::LISTED_MAX, "looked through here");
    let few = |row: u32| row % 7_000 == 3;
    for metric in super::METRICS {
        let (index, flat) = (publish(&vectors, metric), Flat::new(dim, metric).unwrap());
        (0..n).for_each(|row| flat.insert(row as u32, vectors.row(row)).unwrap());
        let query = made_up(1, dim, 2);
        for allow in [Allow::All, Allow::Bitmap(&all), Allow::Predicate(&few)] {
            let (found, expected) = (
                index.search(query.row(0), 40, allow).unwrap(),
                flat.search(query.row(0), 40, allow).unwrap(),
            );
            assert_eq!(found.len(), expected.len());
            let rows = |hits: &[Hit]| hits.iter().map(|hit| hit.row).collect::<Vec<_>>();
            assert_eq!(rows(&found), rows(&expected), "{metric:?} {allow:?}");
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found.score - expected.score).abs() < 1e-5, "{metric:?}: {found:?}, {expected:?}");
            }
        }
    }
}

#[test]
fn a_set_is_replaced_whole_and_read_by_others_by_its_name() {
    let Some(url) = url() else { return };
    let config = PgConfig::default();
    let publish =
        |vectors: &Matrix| Postgres::publish(&url, "shared", vectors, Metric::Cosine, &config, &mut |_| ());
    assert!(Postgres::open(&url, "never made", &config).unwrap().is_none());
    let first = publish(&made_up(700, 3, 1)).unwrap();
    let other = Postgres::open(&url, "shared", &config).unwrap().unwrap();
    assert_eq!((other.len(), other.dim(), other.metric()), (700, 3, Metric::Cosine));
    first.insert(900, &[0.0, 0.0, 2.0]).unwrap();
    assert_eq!(
        other.search(&[0.0, 0.0, 1.0], 1, Allow::Rows(&[900, 1])).unwrap(),
        [Hit { row: 900, score: 1.0 }]
    );

    let mut values = made_up(700, 3, 2).values().to_vec();
    values[3 * 650] = f32::NAN;
    let error = publish(&Matrix::from_rows(700, 3, values)).unwrap_err().to_string();
    assert!(error.contains("row 650 is NaN"), "{error}");
    assert_eq!(Postgres::open(&url, "shared", &config).unwrap().unwrap().len(), 701, "the old one stays");
    // Whoever has it open sees the new one.
    let (before, query) = (other.search(&[0.1, 0.2, 0.3], 5, Allow::All).unwrap(), [0.1, 0.2, 0.3]);
    publish(&made_up(60, 3, 4)).unwrap();
    let after = other.search(&query, 5, Allow::All).unwrap();
    let judge = Flat::new(3, Metric::Cosine).unwrap();
    let anew = made_up(60, 3, 4);
    (0..60).for_each(|row| judge.insert(row, anew.row(row as usize)).unwrap());
    let rows = |hits: &[Hit]| hits.iter().map(|hit| hit.row).collect::<Vec<_>>();
    assert_eq!(rows(&after), rows(&judge.search(&query, 5, Allow::All).unwrap()));
    assert_ne!(before, after);
    assert_eq!(other.len(), 60);
    publish(&made_up(50, 4, 3)).unwrap();
    assert!(
        matches!(other.search(&query, 5, Allow::All), Err(IndexError::Server { .. })),
        "of another length"
    );
    let again = Postgres::open(&url, "shared", &config).unwrap().unwrap();
    assert_eq!((again.len(), again.dim()), (50, 4));
}

#[test]
fn a_server_that_never_answers_is_left_alone_after_one_connecting() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:s3cret@{}/d?sslmode=disable", silent.local_addr().unwrap());
    let config = PgConfig {
        connect_milliseconds_max: 300,
        answer_milliseconds_max: 100,
        retry_milliseconds: 60_000,
        connections: 2,
    };
    let server = super::server::Server::of(&url, &config).unwrap();
    let ask = || server.query("ask", "SELECT 1", Vec::new()).unwrap_err().to_string();
    assert!(ask().contains("no answer within 100 ms"));
    let until = Instant::now() + Duration::from_secs(20);
    while !ask().contains("no answer within 300 ms") {
        assert!(Instant::now() < until, "it is asked for ever: {}", ask());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!ask().contains("s3cret"));
}

#[test]
fn a_server_that_is_away_is_named_at_once_and_asked_again_when_it_is_back() {
    let Some(mut server) = server::Postgres::start_with_vectors() else { return };
    let url = format!("{}?sslmode=disable", server.url());
    let config = PgConfig { retry_milliseconds: 300, ..PgConfig::default() };
    let index = Postgres::publish(&url, "v", &made_up(100, 4, 1), Metric::L2, &config, &mut |_| ()).unwrap();
    let query = [0.1, 0.2, 0.3, 0.4];
    let found = index.search(&query, 5, Allow::All).unwrap();
    server.kill();
    for _ in 0..50 {
        let begun = Instant::now();
        let error = index.search(&query, 5, Allow::All).unwrap_err();
        assert!(matches!(error, IndexError::Server { .. }), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    assert!(index.len() == 100 && !index.contains(1) && index.try_remove(1).is_err(), "what was last known");
    server.start_again();
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(index.search(&query, 5, Allow::All).unwrap(), found);

    let wrong = Postgres::open("postgres://", "v", &config).unwrap_err();
    assert!(matches!(wrong, IndexError::Url { .. }), "{wrong}");
}
