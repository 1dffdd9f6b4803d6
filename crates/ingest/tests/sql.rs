//! Databases by URL. SQLite is always there; PostgreSQL is a real server with a folder of its own.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use upnext_data::Action;
use upnext_ingest::{Field, Imported, IngestError, Limits, Map, Options, SqlOptions, read};

/// The two tables of the two-tower design, in words that both databases know.
const TABLES: &str = "
    CREATE TABLE interaction_filtered (
        user_id BIGINT, pid BIGINT, exposed_time BIGINT, watch_time REAL, cvm_like INT, comment INT,
        collect INT, forward INT, effective_view INT, hate INT);
    CREATE TABLE video_metadata (
        video_id BIGINT, title TEXT, duration REAL, author_fans_count BIGINT, category_id BIGINT,
        author_id BIGINT, follower_count BIGINT);
    INSERT INTO interaction_filtered VALUES
        (2, 10, 1700000300, 30, 0, 0, 0, 0, 1, 0),
        (1, 11, 1700000200, 5, 0, 0, 0, 0, 0, 1),
        (1, 10, 1700000100, 15, 1, 0, 1, 0, 1, 0),
        (1, 12, 1700000400, 60, 0, 1, 0, 1, 1, 0),
        (3, 99, 1700000500, 9, 0, 0, 0, 0, 0, 0);
    INSERT INTO video_metadata VALUES
        (10, 'A cat', 30, 1000, 7, 501, 20), (11, 'A dog', 50, 2000, 8, 502, 30),
        (12, 'A fish', 60, NULL, 7, 501, 20), (13, 'Unseen', 20, 5, 9, 503, 1);";

fn options(sql: SqlOptions) -> Options {
    Options { sql, ..Options::default() }
}

fn import(url: &str, sql: SqlOptions) -> Result<Imported, IngestError> {
    read(&[PathBuf::from(url)], &options(sql), &|_| {})
}

fn sqlite(folder: &Path, statements: &str) -> String {
    let path = folder.join("app.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(statements).unwrap();
    format!("sqlite://{}", path.display())
}

/// What the default query must make of the tables, in either database.
fn check_design(url: &str) {
    // One user at a time: batches do not show in the result.
    for users_per_batch in [1, 2, 1_000] {
        let imported = import(url, SqlOptions { users_per_batch, ..SqlOptions::default() }).unwrap();
        let set = &imported.dataset;
        assert!(imported.recognised.contains("video=pid"), "{}", imported.recognised);
        let named = |event: &upnext_data::Event| {
            let names = (set.users.names(), set.videos.names());
            (names.0.name(event.user).to_string(), names.1.name(event.video).to_string())
        };
        let watches: Vec<_> = set.events().iter().filter(|event| event.action == Action::Watch).collect();
        let pairs: Vec<_> = watches.iter().map(named).collect();
        let pairs: Vec<_> = pairs.iter().map(|(user, video)| (user.as_str(), video.as_str())).collect();
        assert_eq!(pairs, [("1", "10"), ("1", "11"), ("1", "12"), ("2", "10"), ("3", "99")]);
        // 15 of 30 seconds; a video without metadata has no ratio.
        assert_eq!((watches[0].value, watches[0].ratio), (Some(15.0), Some(0.5)));
        assert_eq!((watches[4].value, watches[4].ratio), (Some(9.0), None));
        assert_eq!(watches[0].time, 1_700_000_100_000);
        let of = |action| set.events().iter().filter(|event| event.action == action).count();
        assert_eq!(of(Action::Like) + 10 * of(Action::EffectiveView) + 100 * of(Action::Hate), 131);
        // The catalogue holds what nobody has watched, too.
        let unseen = set.videos.row("13").unwrap();
        assert_eq!(set.videos.video(unseen).title, "Unseen");
        assert_eq!(set.videos.len(), 5);
    }
    // The latest interaction of each user.
    let latest = SqlOptions { events_per_user: Some(1), ..SqlOptions::default() };
    let set = import(url, latest).unwrap().dataset;
    let watches = set.events().iter().filter(|event| event.action == Action::Watch);
    let videos: Vec<_> = watches.map(|event| set.videos.names().name(event.video).to_string()).collect();
    assert_eq!(videos, ["12", "10", "99"]);
    // Any query, by the rules of any file.
    let query = "SELECT user_id AS who, pid AS item, watch_time FROM interaction_filtered".to_string();
    let own = Options {
        map: Map::default().with(Field::User, "who"),
        ..options(SqlOptions { query: Some(query), ..SqlOptions::default() })
    };
    let set = read(&[PathBuf::from(url)], &own, &|_| {}).unwrap().dataset;
    assert_eq!((set.users.len(), set.videos.len(), set.events().len()), (3, 4, 5));
}

/// Errors that both databases must tell.
fn check_errors(url: &str) {
    let said = |sql: SqlOptions| import(url, sql).map(drop).unwrap_err().to_string();
    let query = |query: &str| SqlOptions { query: Some(query.into()), ..SqlOptions::default() };
    let error = said(query("SELECT nothing FROM interaction_filtered"));
    assert!(error.contains("SELECT nothing FROM") && error.contains("nothing"), "{error}");
    let error = said(SqlOptions { events: "absent".into(), ..SqlOptions::default() });
    assert!(error.contains("absent"), "{error}");
    let error = said(SqlOptions { videos: Some("absent".into()), ..SqlOptions::default() });
    assert!(error.contains("absent"), "{error}");
    let error = said(query("DELETE FROM interaction_filtered"));
    assert!(error.contains("DELETE") && error.contains("query"), "{error}");
    let error = said(query("SELECT watch_time FROM interaction_filtered"));
    assert!(error.contains("user"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn sqlite_is_read_as_the_design_reads_its_tables() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path(), TABLES);
    check_design(&url);
    check_errors(&url);
}

#[test]
fn without_a_table_of_videos_the_events_are_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path(), &format!("{TABLES} DROP TABLE video_metadata;"));
    let imported = import(&url, SqlOptions::default()).unwrap();
    assert_eq!(imported.dataset.videos.len(), 4);
    let notes = imported.cleaning.notes.join("\n");
    assert!(notes.contains("video_metadata") && notes.contains("no such table"), "{notes}");
}

#[test]
fn a_file_that_is_no_database_or_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not.db");
    std::fs::write(&path, "user_id,video_id\n1,2\n".repeat(100)).unwrap();
    let said = |url: String| import(&url, SqlOptions::default()).map(drop).unwrap_err().to_string();
    let error = said(format!("sqlite:{}", path.display()));
    assert!(error.contains("not.db") && error.contains("not a database"), "{error}");
    let error = said(format!("sqlite:{}/absent.db", folder.path().display()));
    assert!(error.contains("absent.db"), "{error}");
}

#[test]
fn damaged_databases_are_errors_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path(), TABLES);
    let path = PathBuf::from(url.trim_start_matches("sqlite://"));
    let whole = std::fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(509) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let _ = import(&url, SqlOptions::default());
        let mut changed = whole.clone();
        changed[cut] ^= 0x5a;
        std::fs::write(&path, &changed).unwrap();
        let _ = import(&url, SqlOptions::default());
    }
}

#[test]
fn rows_are_streamed_so_that_a_query_without_end_meets_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(folder.path(), TABLES);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT i % 100 AS user_id, i AS video_id FROM n";
    let limits = Limits { events_max: 20_000, ..Limits::default() };
    let sql = SqlOptions { query: Some(endless.into()), ..SqlOptions::default() };
    let error = read(&[PathBuf::from(url)], &Options { limits, ..options(sql) }, &|_| {}).map(drop);
    assert!(matches!(error, Err(IngestError::Limit { limit: "events_max", .. })), "{error:?}");
}

#[cfg(feature = "scale")]
mod servers;

#[cfg(feature = "scale")]
mod postgres {
    use std::sync::Mutex;

    use super::servers::Postgres;
    use super::*;

    #[test]
    fn a_real_postgresql_is_read_as_the_design_reads_its_tables() {
        let Some(server) = Postgres::start() else { return };
        assert!(server.psql(TABLES));
        check_design(&server.url());
        check_errors(&server.url());
        every_type_is_read(&server);
        whoever_is_refused_is_told_why(&server);
        memory_does_not_grow_with_the_table(&server);
        server_that_stops(server);
    }

    fn every_type_is_read(server: &Postgres) {
        assert!(server.psql(
            "CREATE TYPE mood AS ENUM ('like', 'hate');
             CREATE TABLE typed (user_id UUID, video_id VARCHAR(20), at TIMESTAMPTZ, action mood,
                 tags TEXT[], price NUMERIC(10, 2), spot POINT);
             INSERT INTO typed VALUES
                 ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'x \"1\"', '2024-01-02 03:04:05+00', 'like',
                  '{a,\"b c\",NULL}', 12.50, '(1,2)'),
                 ('b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'y', '2024-01-02 03:04:06.5+00', 'hate',
                  '{}', 7, NULL);"
        ));
        let map = Map::default().with(Field::Time, "at");
        let sql = SqlOptions { events: "public.typed".into(), ..SqlOptions::default() };
        let own = Options { map: map.clone(), ..options(sql.clone()) };
        let url = [PathBuf::from(server.url())];
        let set = read(&url, &own, &|_| {}).unwrap().dataset;
        let times: Vec<_> = set.events().iter().map(|event| event.time).collect();
        assert_eq!(times, [1_704_164_645_000, 1_704_164_646_500]);
        assert!(set.users.row("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").is_some());
        assert!(set.videos.row("x \"1\"").is_some());
        // A type that cannot be read matters only where it is asked for.
        let own = Options { map: map.with(Field::Rating, "spot"), ..options(sql) };
        let error = read(&url, &own, &|_| {}).map(drop).unwrap_err().to_string();
        assert!(error.contains("`spot`") && error.contains("point"), "{error}");
    }

    fn whoever_is_refused_is_told_why(server: &Postgres) {
        let said = |url: String| import(&url, SqlOptions::default()).map(drop).unwrap_err().to_string();
        let error = said(format!("postgres://upnext:wr0ng@127.0.0.1:{}/postgres", server.port));
        assert!(error.contains("password authentication failed") && !error.contains("wr0ng"), "{error}");
        let error = said(format!("postgres://upnext:s3cret%2Fpw@127.0.0.1:{}/absent", server.port));
        assert!(error.contains("\"absent\" does not exist") && !error.contains("s3cret"), "{error}");
        // Nobody listens on a port that was just given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = said(format!("postgres://upnext:pw@127.0.0.1:{port}/postgres"));
        assert!(error.contains("cannot connect") && error.contains("refused"), "{error}");
        let error = said(format!("{}?sslmode=require", server.url()));
        assert!(error.contains("cannot connect") && error.contains("TLS"), "{error}");
        let error = said("postgres://upnext:p@w@host:x/y".into());
        assert!(error.contains("is not a URL") && !error.contains("p@w"), "{error}");
        // The password need not stand in the URL.
        let sql = SqlOptions { password: Some("s3cret/pw".into()), ..SqlOptions::default() };
        import(&format!("postgres://upnext@127.0.0.1:{}/postgres", server.port), sql).unwrap();
    }

    /// Rows go from the server to the run folder; what exceeds `memory_bytes` waits on disk.
    fn memory_does_not_grow_with_the_table(server: &Postgres) {
        let folder = tempfile::tempdir().unwrap();
        let peak_mib = |rows: u64| {
            // Sets the highest so far back to what is in use now (proc(5)).
            std::fs::write("/proc/self/clear_refs", "5").unwrap();
            let query = format!(
                "SELECT g % 5000 AS user_id, g % 777 AS video_id, 1600000000 + g AS timestamp,
                     repeat('x', 200) AS title FROM generate_series(1, {rows}) g"
            );
            let map = Map::default().with(Field::Title, "-");
            let sql = SqlOptions { query: Some(query), ..SqlOptions::default() };
            let run = folder.path().join(rows.to_string());
            let target = upnext_ingest::Target {
                run: Some(&run),
                replace: false,
                command: "test".into(),
                seed: 1,
                relevance: &|_, natural| natural.clone(),
                memory_bytes: 64 << 20,
                quarantine: false,
                split: None,
                keep_every: None,
                go_on: false,
            };
            let url = [PathBuf::from(server.url())];
            let made =
                upnext_ingest::import(&url, &Options { map, ..options(sql) }, &target, &|_| {}).unwrap();
            assert_eq!(made.cleaning.events as u64, rows);
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
        };
        let [few, many, more] = [100_000, 1_000_000, 3_000_000].map(peak_mib);
        println!(
            "peak memory: {few} MiB for 100,000 rows, {many} MiB for 1,000,000, {more} MiB for 3,000,000"
        );
        // What is encoded at a time is half a million events; three million of these rows are 700 MB on the wire.
        assert!(many < 256 && more < many + 64, "{few}, {many} and {more} MiB");
    }

    /// First the one connection, then the server.
    fn server_that_stops(server: Postgres) {
        const ENDLESS: &str = "SELECT g % 100 AS user_id, g % 777 AS video_id, g AS timestamp
            FROM (SELECT generate_series(1, 1000000000000) AS g) endless";
        let sql = SqlOptions { query: Some(ENDLESS.into()), ..SqlOptions::default() };
        let url = [PathBuf::from(server.url())];
        let server = Mutex::new(server);
        let read_until = |stop: &dyn Fn(&mut Postgres)| {
            let error = read(&url, &options(sql.clone()), &|progress| {
                if progress.rows > 0 {
                    stop(&mut server.lock().unwrap());
                }
            });
            error.map(drop).unwrap_err().to_string()
        };
        let error = read_until(&|server| {
            assert!(server.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'upnext'"
            ));
        });
        assert!(error.contains("generate_series") && error.contains("terminating"), "{error}");
        let error = read_until(&|server| server.kill());
        assert!(error.contains("generate_series") && error.contains("upnext:***@"), "{error}");
    }
}
