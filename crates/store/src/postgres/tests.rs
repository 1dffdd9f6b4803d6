//! Against a real server: what the contract does not ask of every store.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::Postgres;
use crate::{
    Feedback, FeedbackQuery, Store, StoreConfig, StoreError, StoredUser, StoredVideo, UserPatch, Write,
};

#[path = "../../../ingest/tests/servers/postgres.rs"]
mod server;

#[path = "../../../ingest/tests/servers/process.rs"]
mod process;

/// One server for all tests of this process, which ends with it.
fn server() -> Option<MutexGuard<'static, server::Postgres>> {
    static SERVER: OnceLock<Option<Mutex<server::Postgres>>> = OnceLock::new();
    let server = SERVER.get_or_init(|| server::Postgres::start().map(Mutex::new)).as_ref()?;
    Some(server.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The URL of a new database.
fn database() -> Option<String> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let server = server()?;
    let name = format!("test{}", MADE.fetch_add(1, Ordering::Relaxed));
    run(&server.url(), &format!("CREATE DATABASE {name}"));
    Some(server.url_of(&name))
}

/// Runs statements; no other program does, since between fork and exec it would hold the locks of files that other tests close.
fn run(url: &str, statements: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = super::Server::of(url, &StoreConfig::default()).unwrap();
        server.connect().await.unwrap().run(statements).await.unwrap();
    });
}

/// An empty store in a database of its own.
pub(crate) fn store(config: StoreConfig) -> Option<(Postgres, ())> {
    Some((Postgres::open(&database()?, config).unwrap(), ()))
}

fn event(user: &str, video: &str) -> Feedback {
    let (labels, comment) = (serde_json::Value::Null, String::new());
    Feedback {
        kind: "like".into(),
        user: user.into(),
        video: video.into(),
        value: 1.0,
        time: 1,
        labels,
        comment,
    }
}

fn waited_for(what: &str, is_there: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} does not come");
        std::thread::yield_now();
    }
    begun.elapsed()
}

#[test]
fn what_one_process_changed_the_other_hears_of_and_reads() {
    let Some(url) = database() else { return };
    let open = || Postgres::open(&url, StoreConfig::default()).unwrap();
    let (one, other) = (open(), open());
    let mut delays = Vec::new();
    for at in 0..200 {
        let (user, video) = (format!("u{at}"), format!("v{at}"));
        let (ann, all) = (other.user_version(&user), other.version());
        one.append(&[event(&user, &video)], Write::Accumulate).unwrap();
        // That what is remembered is old is heard a moment after the acknowledgement.
        delays.push(waited_for("the event", || other.user_version(&user) != ann));
        assert_eq!(other.history(&user, None, 9).unwrap(), [event(&user, &video)]);
        assert!(other.version().feedback > all.feedback);
    }
    delays.sort();
    println!("heard after the acknowledgement: median {:?}, largest {:?}", delays[100], delays[199]);

    let videos = other.version().videos;
    one.put_videos(&[StoredVideo { id: "v".into(), ..StoredVideo::default() }]).unwrap();
    waited_for("the video", || other.version().videos > videos);
    let bob = other.user_version("bob");
    one.put_users(&[StoredUser { id: "bob".into(), ..StoredUser::default() }]).unwrap();
    waited_for("the user", || other.user_version("bob") != bob);
    let bob = one.user_version("bob");
    other.patch_user("bob", &UserPatch { comment: Some("x".into()), labels: None }).unwrap();
    waited_for("the way back", || one.user_version("bob") != bob);
    let u1 = other.user_version("u1");
    one.delete_video("v1").unwrap();
    waited_for("a video that took feedback along", || other.user_version("u1") != u1);
}

#[test]
fn writers_of_several_processes_lose_and_double_nothing() {
    let Some(url) = database() else { return };
    let stores = [0, 1, 2].map(|_| Postgres::open(&url, StoreConfig::default()).unwrap());
    std::thread::scope(|scope| {
        for (at, store) in stores.iter().enumerate() {
            for thread in 0..4 {
                scope.spawn(move || {
                    for n in 0..25 {
                        let own = event(&format!("{at}-{thread}"), &n.to_string());
                        // The same rows in another order from each: taking turns, they cannot wait for each other in a circle.
                        let mut shared: Vec<Feedback> =
                            (0..20).map(|v| event("all", &v.to_string())).collect();
                        if at % 2 == 1 {
                            shared.reverse();
                        }
                        shared.push(own);
                        store.append(&shared, Write::Accumulate).unwrap();
                    }
                });
            }
        }
    });
    let counts = stores[0].counts().unwrap();
    assert_eq!((counts.users, counts.feedback), (13, 20 + 12 * 25));
    for row in stores[1].history("all", None, 99).unwrap() {
        assert_eq!(row.value, 300.0, "{}", row.video);
    }
}

#[test]
fn a_server_that_is_killed_and_started_again_loses_nothing_acknowledged_and_doubles_nothing() {
    let Some(mut server) = server::Postgres::start() else { return };
    let config = StoreConfig {
        server_commit_milliseconds_max: 1_500,
        server_check_milliseconds: 50,
        retry_milliseconds: 20,
        ..StoreConfig::default()
    };
    let (store, other) = (
        Postgres::open(&server.url(), config.clone()).unwrap(),
        Postgres::open(&server.url(), config).unwrap(),
    );
    let (done, heard) = (AtomicBool::new(false), other.user_version("w0"));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..6)
            .map(|writer| {
                let (store, done) = (&store, &done);
                scope.spawn(move || {
                    let (mut acknowledged, mut unsure) = (0, 0);
                    while !done.load(Ordering::Relaxed) {
                        match store.append(&[event(&format!("w{writer}"), "v")], Write::Accumulate) {
                            Ok(_) => acknowledged += 1,
                            Err(StoreError::Unsure { .. }) => unsure += 1,
                            Err(error @ StoreError::Unreachable { .. }) => {
                                let said = error.to_string();
                                assert!(said.contains("127.0.0.1") && said.contains("try again"), "{said}");
                                assert!(!said.contains("s3cret"), "{said}");
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    (acknowledged, unsure)
                })
            })
            .collect();
        // Short, so that writers only wait, and once so long that they are told.
        for pause in [50, 200, 2_500] {
            std::thread::sleep(Duration::from_millis(400));
            server.kill();
            assert!(matches!(other.history("w0", None, 1), Err(StoreError::Unreachable { .. })));
            std::thread::sleep(Duration::from_millis(pause));
            server.start_again();
        }
        std::thread::sleep(Duration::from_millis(400));
        done.store(true, Ordering::Relaxed);
        let mut total = 0;
        for (writer, thread) in writers.into_iter().enumerate() {
            let (acknowledged, unsure) = thread.join().unwrap();
            let rows = other.history(&format!("w{writer}"), None, 9).unwrap();
            let written = rows[0].value as i64;
            assert!(written >= acknowledged, "{acknowledged} were acknowledged, {written} are there");
            assert!(
                written <= acknowledged + unsure,
                "{written} are there of {acknowledged} and {unsure} unsure"
            );
            total += acknowledged;
        }
        println!("3 restarts, {total} acknowledged changes, none lost, none doubled");
        assert!(total > 100);
    });
    waited_for("the news after the restart", || other.user_version("w0") != heard);
    waited_for("listening", || other.user_version("quiet") == other.user_version("quiet"));
    let before = other.user_version("w0");
    store.append(&[event("w0", "later")], Write::Accumulate).unwrap();
    waited_for("the first news on the new connection", || other.user_version("w0") != before);
}

#[test]
fn receipts_form_a_chain_and_name_nobody() {
    let Some((store, ())) = store(StoreConfig::default()) else { return };
    for user in ["ann", "bob"] {
        store.append(&[event(user, "v")], Write::Overwrite).unwrap();
        store.forget(user, 7).unwrap();
    }
    let receipts = store.receipts().unwrap();
    assert_eq!(receipts.len(), 2);
    assert!(crate::Receipt::chained(&receipts));
    assert!(!crate::Receipt::chained(&receipts[1..]), "the first is missing");
    assert!(!format!("{receipts:?}").contains("bob"));
}

#[test]
fn what_cannot_be_opened_is_named_without_the_password() {
    let wrong = |url: &str| {
        let error = Postgres::open(url, StoreConfig::default()).unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
        error
    };
    assert!(wrong("postgres://").contains("it names no host"));
    assert!(wrong("postgres://ann:s3cret@host:port/x").contains("postgres://user@host:5432/database"));
    let nobody = wrong("postgres://ann:s3cret@127.0.0.1:1/films");
    assert!(nobody.contains("127.0.0.1:1/films cannot be reached") && nobody.contains("check"), "{nobody}");

    let Some(url) = database() else { return };
    let refused = wrong(&url.replace("upnext:s3cret", "ann:s3cret"));
    assert!(refused.contains("authentication failed"), "{refused}");
    let (place, _) = url.rsplit_once('/').unwrap();
    assert!(wrong(&format!("{place}/nowhere")).contains("\"nowhere\" does not exist"));
    drop(Postgres::open(&url, StoreConfig::default()).unwrap());

    let name = url.rsplit_once('/').unwrap().1;
    run(&url, "UPDATE upnext.store SET version = 99");
    let other = Postgres::open(&url, StoreConfig::default()).unwrap_err();
    assert!(matches!(other, StoreError::Tables { found: 99, .. }), "{other}");
    assert!(
        format!("{:?}", StoreConfig { url: crate::StoreUrl::of(&url), ..StoreConfig::default() })
            .contains(name)
    );
    assert!(!format!("{:?}", crate::StoreUrl::of(&url)).contains("s3cret"));
}

#[test]
fn a_change_that_the_server_refuses_takes_nothing_else_of_its_commit_along() {
    let config = StoreConfig { id_bytes_max: 20_000, ..StoreConfig::default() };
    let Some((store, ())) = store(config) else { return };
    // Longer than a key of an index may be, and not to be compressed.
    let long: String = (0..9_000_u32).map(|at| char::from(33 + (at * at % 8_191 * 7 % 90) as u8)).collect();
    let (good, bad) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, long, good, bad) = (&store, &long, &good, &bad);
            scope.spawn(move || {
                for at in 0..10 {
                    let id = if thread == 0 { format!("{long}{at}") } else { format!("{thread}-{at}") };
                    match store.append(&[event("ann", &id)], Write::Overwrite) {
                        Ok(_) => good.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert!(
                                error.to_string().contains("could not write feedback: index row"),
                                "{error}"
                            );
                            bad.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
    });
    assert_eq!((good.into_inner(), bad.into_inner()), (70, 10));
    assert_eq!(store.counts().unwrap().feedback, 70);
}

#[test]
fn who_finds_all_readers_at_work_is_told_to_come_back_and_no_read_waits_for_ever() {
    let config = StoreConfig {
        readers: 1,
        read_wait_milliseconds: 50,
        server_answer_milliseconds_max: 1_000,
        ..StoreConfig::default()
    };
    let Some(url) = database() else { return };
    let store = Postgres::open(&url, config).unwrap();
    store.append(&[event("ann", "v")], Write::Overwrite).unwrap();
    std::thread::scope(|scope| {
        let lock = "BEGIN; LOCK TABLE upnext.feedback IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT;";
        let locked = scope.spawn(|| run(&url, lock));
        std::thread::sleep(Duration::from_millis(700));
        let waits = scope.spawn(|| store.history("ann", None, 1));
        std::thread::sleep(Duration::from_millis(300));
        let busy = store.user("ann").unwrap_err();
        assert!(matches!(busy, StoreError::Busy { .. }), "{busy}");
        let late = waits.join().unwrap().unwrap_err();
        assert!(late.to_string().contains("could not read a history: no answer within 1000 ms"), "{late}");
        locked.join().unwrap();
    });
    assert_eq!(store.history("ann", None, 1).unwrap(), [event("ann", "v")], "it recovers");
    assert_eq!(store.feedback(&FeedbackQuery { n: 9, ..FeedbackQuery::default() }).unwrap().rows.len(), 1);
}
