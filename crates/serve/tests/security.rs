//! The door against those who mean ill, on a real socket: keys and roles, other sites, floods, odd bodies and heads,
//! ids that look like paths or SQL, tenants, TLS, idle crowds, overload, and what is written down of administrators.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use upnext_serve::{
    About, AppState, KeptKey, Role, ServeConfig, ServeError, Tenants, add_key, bind, revoke_key, serve,
};
use upnext_store::{Memory, Sqlite, Store, StoreConfig};
use world::slow::Slow;

// ---- a service, and somebody who speaks to it --------------------------------------------------------------------

struct Service {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
}

impl Service {
    async fn of(tenants: impl Into<Tenants>) -> Self {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let tenants = tenants.into();
        let ended = tokio::spawn(serve(listener, tenants, async {
            let _ = stopped.await;
        }));
        Self { address, stop, ended }
    }

    async fn with(config: ServeConfig) -> Self {
        Self::of(world::state(config)).await
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        self.raw(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers, "").await
    }

    /// Sends these bytes and reads until the service closes.
    async fn raw(&self, bytes: &str) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Answer::of(stream, bytes).await
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    async fn of(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &str) -> Self {
        // The service may answer and close before it has read everything.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        let _ = read.expect("the service neither answers nor closes");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, text }
    }

    fn json(&self) -> Value {
        let body = self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The code of a well-formed error.
    fn code(&self) -> String {
        world::error_of(&self.json()).unwrap_or_else(|| panic!("no error: {}", self.text)).0
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.text.split("\r\n\r\n").next().unwrap().lines();
        lines.filter_map(|line| line.split_once(": ")).find(|(n, _)| n == &name).map(|(_, value)| value)
    }
}

/// A file of keys, one for each role, and their secrets.
struct Keys {
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.toml");
        std::fs::write(&file, "").unwrap();
        Self { file, _folder: folder }
    }

    fn add(&self, roles: &[Role], tenant: Option<&str>) -> (String, String) {
        let made = KeptKey::make("a key", roles, tenant, "2026-11-28").unwrap();
        add_key(&self.file, &made).unwrap();
        (made.key, made.id)
    }

    fn config(&self) -> ServeConfig {
        ServeConfig {
            keys_file: self.file.clone(),
            keys_reread_milliseconds: 20,
            address_requests_per_second: 0,
            ..ServeConfig::default()
        }
    }
}

// ---- keys and roles ----------------------------------------------------------------------------------------------

/// What anybody may ask, whatever keys there are. A new route is not among them unless it is put here on purpose.
const OPEN: [&str; 5] = ["/api/health/live", "/api/health/ready", "/apidocs", "/apidocs.js", "/apidocs.json"];
/// Questions that have a body.
const ASKING: [&str; 5] = [
    "/api/v2/recommend",
    "/api/session/recommend",
    "/api/session/recommend/{category}",
    "/rank/{model}",
    "/recommend/{model}",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_no_key_a_wrong_key_and_a_key_of_another_role() {
    let keys = Keys::new();
    let by_role = |role: Role| (role.name(), keys.add(&[role], None).0);
    let all = [Role::Read, Role::Write, Role::Admin].map(by_role);
    let wrong = format!("{}0", &all[2].1[..all[2].1.len() - 1]);
    let wrong = if wrong == all[2].1 { format!("{}1", &wrong[..wrong.len() - 1]) } else { wrong };
    let service = Service::with(keys.config()).await;
    let described = service.get("/apidocs.json", &[]).await.json();
    let mut n = 0;
    for (pattern, methods) in described["paths"].as_object().unwrap() {
        let path = pattern.split('/').map(|part| if part.starts_with('{') { "space1" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        for (method, operation) in methods.as_object().unwrap() {
            let method = &*method.to_uppercase();
            let needed = operation["security"][0]["key"][0].as_str();
            let body = if method == "GET" { "" } else { "[]" };
            let ask = async |headers: &[(&str, &str)]| service.ask(method, &path, headers, body).await;
            let said = format!("{method} {pattern}");
            n += 1;
            if OPEN.contains(&pattern.as_str()) {
                assert_eq!(needed, None, "{said} is described as closed");
                assert!(ask(&[]).await.status < 400 && ask(&[("x-api-key", &wrong)]).await.status < 400);
                continue;
            }
            let needed = needed.unwrap_or_else(|| panic!("{said} is open: is that meant?"));
            let changes = method != "GET" && !ASKING.contains(&pattern.as_str());
            assert!(!changes || needed != "read", "{said} changes something and needs only `read`");
            for headers in [
                &[][..],
                &[("x-api-key", "")],
                &[("x-api-key", &wrong)],
                &[("x-api-key", &all[2].1), ("x-api-key", &all[2].1)],
                &[("authorization", "Basic dXNlcjpwYXNz")],
                &[("authorization", &format!("Bearer {wrong}"))],
            ] {
                let answer = ask(headers).await;
                assert_eq!((answer.status, &*answer.code()), (401, "unauthorised"), "{said} {headers:?}");
            }
            for (role, key) in &all {
                let answer = ask(&[("x-api-key", key)]).await;
                if *role == needed || *role == "admin" {
                    assert!(![401, 403].contains(&answer.status), "{said} by {role}: {}", answer.text);
                } else {
                    assert_eq!((answer.status, &*answer.code()), (403, "wrong_role"), "{said} by {role}");
                }
            }
            // HEAD is GET, and no way around.
            if method == "GET" {
                assert_eq!(service.ask("HEAD", &path, &[], "").await.status, 401, "HEAD {pattern}");
            }
        }
    }
    assert!(n > 60, "{n} routes");
    // What writes back needs both roles, and the page itself needs none.
    let back = "/api/recommend/ann?write-back-type=read";
    assert_eq!(service.get(back, &[("x-api-key", &all[0].1)]).await.code(), "wrong_role");
    assert_eq!(service.get(back, &[("x-api-key", &all[1].1)]).await.code(), "wrong_role");
    let (both, _) = keys.add(&[Role::Read, Role::Write], None);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(service.get(back, &[("authorization", &format!("bearer {both}"))]).await.status, 200);
    assert_eq!(service.get("/", &[]).await.status, 200);
    // No way of asking goes round a key.
    for method in ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"] {
        let answer = service.ask(method, "/api/users", &[], "").await;
        assert!([400, 401, 405].contains(&answer.status), "{method}: {}", answer.text);
    }
    for path in ["/api//users", "/api/./users", "/API/users", "/api/users/", "/%61pi/users", "//api/users"] {
        let answer = service.get(path, &[]).await;
        assert!([401, 404].contains(&answer.status), "{path}: {}", answer.text);
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_and_go_while_the_service_runs_and_reads_can_be_opened() {
    let keys = Keys::new();
    let service = Service::with(keys.config()).await;
    assert_eq!(service.get("/api/v2/about", &[]).await.status, 401, "a file without keys lets nobody in");
    let (key, id) = keys.add(&[Role::Read], None);
    let about = async || {
        tokio::time::sleep(Duration::from_millis(60)).await;
        service.get("/api/v2/about", &[("x-api-key", &key)]).await.status
    };
    assert_eq!(about().await, 200);
    revoke_key(&keys.file, &id).unwrap();
    assert_eq!(about().await, 401);
    service.end().await;

    let open = ServeConfig { open_reads: true, ..keys.config() };
    let service = Service::with(open).await;
    assert_eq!(service.get("/api/v2/recommend/ann", &[]).await.status, 200);
    assert_eq!(service.get("/api/v2/history/ann", &[]).await.status, 401);
    assert_eq!(service.ask("POST", "/api/v2/events", &[], "[]").await.status, 401);
    service.end().await;
}

#[tokio::test]
async fn other_machines_come_in_by_a_key_of_the_file_and_not_without_keys() {
    let keys = Keys::new();
    let state = || world::state(keys.config());
    let error = serve(bind("0.0.0.0:0").await.unwrap(), state(), std::future::ready(())).await.unwrap_err();
    assert!(matches!(error, ServeError::KeyRequired { .. }), "{error}");
    keys.add(&[Role::Read], None);
    serve(bind("0.0.0.0:0").await.unwrap(), state(), std::future::ready(())).await.unwrap();
    let nowhere = ServeConfig { keys_file: "/nowhere/keys.toml".into(), ..ServeConfig::default() };
    let error = AppState::new(Arc::new(Memory::default()), nowhere, About::default()).err().unwrap();
    assert!(error.to_string().contains("/nowhere/keys.toml"), "{error}");
}

// ---- other sites and names ---------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_and_a_name_that_points_here_are_refused() {
    let service = Service::with(ServeConfig::default()).await;
    let event = r#"[{"user":"ann","video":"space1","action":"like"}]"#;
    for headers in [
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("origin", "http://127.0.0.1:1")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
    ] {
        let answer = service.ask("POST", "/api/v2/events", &headers, event).await;
        assert_eq!((answer.status, &*answer.code()), (403, "cross_site"), "{headers:?}");
        let answer = service.get("/api/users", &headers).await;
        assert_eq!((answer.status, &*answer.code()), (403, "cross_site"), "{headers:?}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "localhost@evil"] {
        let head = format!("GET /api/users HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = service.raw(&head).await;
        assert_eq!((answer.status, &*answer.code()), (403, "wrong_host"), "{host}");
    }
    let twice = "GET /api/users HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(service.raw(twice).await.status, 400);
    service.end().await;
}

// ---- how often ---------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_told_when_to_come_back_and_others_are_not_held_up() {
    let keys = Keys::new();
    let (busy, _) = keys.add(&[Role::Read], None);
    let (calm, _) = keys.add(&[Role::Read], None);
    let config = ServeConfig {
        key_requests_per_second: 2,
        address_requests_per_second: 3,
        burst_seconds: 5,
        ..keys.config()
    };
    let service = Service::with(config).await;
    let many = async |key: &str, n: usize| {
        let mut refused = 0;
        for _ in 0..n {
            let answer = service.get("/api/v2/about", &[("x-api-key", key)]).await;
            if answer.status == 429 {
                assert_eq!(answer.code(), "too_often");
                assert_eq!(answer.header("retry-after"), Some("1"));
                refused += 1;
            }
        }
        refused
    };
    let refused = many(&busy, 30).await;
    assert!((10..=20).contains(&refused), "10 at once and 2 a second pass, {refused} of 30 did not");
    assert_eq!(many(&calm, 5).await, 0, "each key has a count of its own");
    // Whoever guesses keys is counted by address, and hears nothing any more.
    let refused = many("upnext_0123456789abcdef_0", 40).await;
    assert!((15..=25).contains(&refused), "{refused} of 40");
    assert_eq!(service.get("/api/health/live", &[]).await.status, 200, "health is not counted");
    service.end().await;

    // On loopback without keys nobody is counted.
    let config = ServeConfig { address_requests_per_second: 1, burst_seconds: 1, ..ServeConfig::default() };
    let service = Service::with(config).await;
    for _ in 0..20 {
        assert_eq!(service.get("/api/v2/about", &[]).await.status, 200);
    }
    service.end().await;
}

// ---- bodies and heads --------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_in_size_depth_and_time() {
    let config = ServeConfig {
        body_bytes_max: 10_000,
        body_milliseconds_max: 200,
        head_milliseconds_max: 300,
        ..ServeConfig::default()
    };
    let service = Service::with(config).await;
    let post = async |body: &str| service.ask("POST", "/api/items", &[], body).await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(1_000), close.repeat(1_000));
        assert_eq!(post(&deep).await.code(), "bad_json");
        let labels = format!("[{{\"ItemId\":\"v\",\"Labels\":{}1{}}}]", open.repeat(31), close.repeat(31));
        assert!(post(&labels).await.json()["error"]["message"].as_str().unwrap().contains("32 deep"));
        let labels = format!("[{{\"ItemId\":\"v\",\"Labels\":{}1{}}}]", open.repeat(30), close.repeat(30));
        assert_eq!(post(&labels).await.status, 200);
    }
    assert_eq!(post(&format!("[{}]", " ".repeat(10_000))).await.status, 413);
    // A length that was only announced, and one that was not.
    let host = format!("host: {}\r\n", service.address);
    let huge = format!("POST /api/items HTTP/1.1\r\n{host}content-length: 99999999999\r\n\r\n[");
    assert_eq!(service.raw(&huge).await.status, 413);
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000)).repeat(4);
    let chunks =
        format!("POST /api/items HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    assert_eq!(service.raw(&chunks).await.status, 413);
    // A body and a head that drip.
    let slow = format!("POST /api/items HTTP/1.1\r\n{host}content-length: 50\r\n\r\n[");
    assert_eq!(service.raw(&slow).await.status, 408);
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let (start, mut closed) = (Instant::now(), false);
    for byte in b"GET /api/v2/about HTTP/1.1\r\nhost: a-very-long-name-that-comes-slowly".iter() {
        if stream.write_all(&[*byte]).await.is_err() {
            closed = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert!(closed && start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // Heads have a bound too.
    let head = format!("GET /api/v2/about HTTP/1.1\r\n{host}x: {}\r\n\r\n", "y".repeat(1_000_000));
    assert!([0, 431].contains(&service.raw(&head).await.status));
    let head = format!("GET /api/v2/about HTTP/1.1\r\n{host}{}\r\n", "a: b\r\n".repeat(1_000));
    assert!([0, 431].contains(&service.raw(&head).await.status));
    let target = format!("GET /{} HTTP/1.1\r\n{host}\r\n", "y".repeat(100_000));
    assert!([0, 414].contains(&service.raw(&target).await.status));
    assert_eq!(service.get("/api/v2/about", &[]).await.status, 200);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_request_however_its_length_is_told() {
    let service = Service::with(ServeConfig::default()).await;
    let host = format!("host: {}\r\n", service.address);
    let hidden = "GET /api/v2/about HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for lengths in [
        format!("content-length: 2\r\ncontent-length: {}\r\n", 2 + hidden.len()),
        "content-length: 2, 60\r\n".to_owned(),
        "content-length: -1\r\n".to_owned(),
        "content-length: +2\r\n".to_owned(),
        "content-length: 0x2\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "content-length : 2\r\n".to_owned(),
        "content-length: 2\r\n continued: 3\r\n".to_owned(),
    ] {
        let answer = service.raw(&format!("POST /api/items HTTP/1.1\r\n{host}{lengths}\r\n[]{hidden}")).await;
        assert_eq!(answer.status, 400, "{lengths:?}: {}", answer.text);
        assert_eq!(answer.text.matches("HTTP/1.1 ").count(), 1, "{lengths:?}: {}", answer.text);
    }
    // Where both stand, chunks decide and nothing after them is read, as RFC 9112 has it: who sent it may mean another end.
    let both = format!(
        "POST /api/items HTTP/1.1\r\n{host}content-length: 500\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n\
         GET /api/nothing HTTP/1.1\r\n{host}connection: close\r\n\r\n"
    );
    let answer = service.raw(&both).await;
    let statuses: Vec<&str> = answer.text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!((statuses, answer.header("connection")), (vec!["200"], Some("close")), "{}", answer.text);
    service.end().await;
}

// ---- ids that look like something else ----------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_names_and_neither_paths_nor_sql_nor_heads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = Arc::new(Sqlite::open(&path, StoreConfig::default()).unwrap());
    let service = Service::of(world::state_over(store.clone(), ServeConfig::default())).await;
    let ids = [
        "../../../../etc/passwd",
        "..\\..\\windows\\win.ini",
        "/etc/passwd",
        "file:///etc/passwd",
        "store.sqlite",
        "%2e%2e%2f",
        "'; DROP TABLE feedback; --",
        "\" OR 1=1 --",
        "x' UNION SELECT * FROM users --",
        "%' OR '%'='",
        "a\r\nset-cookie: b=c",
        "nul\u{0}byte",
        "<script>alert(1)</script>",
        "\u{202e}reversed",
    ];
    let encoded = |id: &str| id.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    for id in ids {
        let user = json!({ "UserId": id }).to_string();
        assert_eq!(service.ask("POST", "/api/user", &[], &user).await.status, 200, "{id}");
        let event = json!([{ "user": id, "video": "space1", "action": id }]).to_string();
        assert_eq!(service.ask("POST", "/api/v2/events", &[], &event).await.status, 200, "{id}");
    }
    let counts = store.counts().unwrap();
    assert_eq!((counts.users, counts.feedback), (ids.len() as u64, ids.len() as u64));
    for id in ids {
        let name = encoded(id);
        let answer = service.get(&format!("/api/user/{name}"), &[]).await;
        assert_eq!(answer.json()["UserId"], id);
        let past = service.get(&format!("/api/user/{name}/feedback/{name}"), &[]).await.json();
        assert_eq!((past.as_array().unwrap().len(), &past[0]["UserId"]), (1, &json!(id)), "only their own");
        for route in ["/api/v2/videos/{}/picture", "/api/item/{}", "/api/v2/map/{}", "/api/v2/trace/{}"] {
            let answer = service.get(&route.replace("{}", &name), &[]).await;
            assert_eq!(answer.status, 404, "{route} {id}: {}", answer.text);
            assert!(!answer.text.contains("root:") && answer.header("set-cookie").is_none());
        }
        let found = service.get(&format!("/api/v2/videos?query={name}&n=3"), &[]).await;
        assert_eq!(found.status, 200, "{id}: {}", found.text);
    }
    // The page's files are those of the binary.
    for path in ["/../Cargo.toml", "/..%2f..%2fetc%2fpasswd", "/app.css/../../x", "/%00", "/store.sqlite"] {
        assert!([400, 404].contains(&service.get(path, &[]).await.status), "{path}");
    }
    for id in ids {
        service.ask("DELETE", &format!("/api/user/{}", encoded(id)), &[], "").await;
    }
    assert_eq!(store.counts().unwrap().feedback, 0);
    service.end().await;
}

// ---- tenants -----------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_reads_or_writes_what_is_another_s() {
    let keys = Keys::new();
    let roles = [Role::Read, Role::Write, Role::Admin];
    let (films, films_id) = keys.add(&roles, Some("films"));
    let (songs, _) = keys.add(&roles, Some("songs"));
    let (elsewhere, _) = keys.add(&roles, Some("books"));
    let (all, _) = keys.add(&[Role::Admin], None);
    let mut tenants = Tenants::new(keys.config()).unwrap();
    for name in ["films", "songs"] {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let state = tenants.add(name, Arc::clone(&store), world::about()).unwrap();
        state.publish(world::feed(store));
    }
    for name in ["films", "", "Films", "a/b", "../x"] {
        assert!(tenants.add(name, Arc::new(Memory::default()), About::default()).is_err(), "{name:?}");
    }
    let service = Service::of(tenants).await;
    let by = |key: &str| vec![("x-api-key".to_owned(), key.to_owned())];
    let of = |key: &str, tenant: &str| [by(key), vec![("x-tenant".to_owned(), tenant.to_owned())]].concat();
    let ask = async |method: &str, path: &str, headers: &[(String, String)], body: &str| {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        service.ask(method, path, &headers, body).await
    };
    let event = r#"[{"user":"ann","video":"space1","action":"like"}]"#;
    assert_eq!(ask("POST", "/api/v2/events", &by(&films), event).await.status, 200);
    let total = async |headers: &[(String, String)]| {
        ask("GET", "/api/v2/history/ann", headers, "").await.json()["total"].clone()
    };
    assert_eq!((total(&by(&films)).await, total(&by(&songs)).await), (json!(1), json!(0)));
    assert_eq!((total(&of(&all, "films")).await, total(&of(&all, "songs")).await), (json!(1), json!(0)));
    // A trace and a rule of one are unknown to the other.
    let slate = ask("GET", "/api/v2/recommend/ann", &by(&films), "").await.json();
    let trace = format!("/api/v2/trace/{}", slate["request_id"].as_str().unwrap());
    assert_eq!(ask("GET", &trace, &by(&films), "").await.status, 200);
    assert_eq!(ask("GET", &trace, &by(&songs), "").await.status, 404);
    let rules = r#"[{"name":"autumn","action":"pin","videos":["space4"]}]"#;
    assert_eq!(ask("PUT", "/api/v2/rules", &by(&films), rules).await.status, 200);
    assert_eq!(ask("GET", "/api/v2/rules", &by(&songs), "").await.json()["rules"], json!([]));

    // Every route, so that a new one cannot be forgotten: a bound key opens no other tenant, and a key for all says which.
    let described = ask("GET", "/apidocs.json", &[], "").await.json();
    for (pattern, methods) in described["paths"].as_object().unwrap() {
        let path: Vec<&str> =
            pattern.split('/').map(|part| if part.starts_with('{') { "space1" } else { part }).collect();
        let path = path.join("/");
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            let answer = ask(&method, &path, &of(&films, "songs"), "[]").await;
            assert_eq!((answer.status, &*answer.code()), (403, "wrong_tenant"), "{method} {path}");
            let answer = ask(&method, &path, &of(&all, "books"), "[]").await;
            assert_eq!((answer.status, &*answer.code()), (404, "unknown_tenant"), "{method} {path}");
            if !operation["security"].is_null() && pattern != "/metrics" {
                let answer = ask(&method, &path, &by(&all), "[]").await;
                assert_eq!((answer.status, &*answer.code()), (400, "missing_tenant"), "{method} {path}");
            }
        }
    }
    assert_eq!(ask("GET", "/api/v2/about", &by(&elsewhere), "").await.status, 404);
    assert_eq!(ask("GET", "/api/v2/about", &[("x-tenant".into(), "films".into())], "").await.status, 401);
    let twice = [of(&all, "films"), vec![("x-tenant".to_owned(), "songs".to_owned())]].concat();
    assert_eq!(ask("GET", "/api/v2/about", &twice, "").await.code(), "bad_tenant");

    let listed = ask("GET", "/api/v2/keys", &by(&films), "").await;
    let seen = listed.json();
    let seen: Vec<&Value> = seen["keys"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
    assert_eq!(seen, [&json!(films_id)], "a tenant's administrator sees the tenant's keys alone");
    assert!(!listed.text.contains("hash"));
    let metrics = ask("GET", "/metrics", &by(&films), "").await.text;
    assert!(metrics.contains("upnext_events_total{tenant=\"films\",type=\"like\"} 1"), "{metrics}");
    assert!(!metrics.contains("songs"), "{metrics}");
    let metrics = ask("GET", "/metrics", &by(&all), "").await.text;
    assert!(metrics.contains("upnext_ready{tenant=\"songs\"} 1"), "{metrics}");
    assert_eq!(ask("GET", "/api/health/ready", &[], "").await.status, 200);
    service.end().await;
}

// ---- TLS ---------------------------------------------------------------------------------------------------------

/// Writes a certificate that signed itself, and its key.
fn certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

async fn over_tls(service: &Service, trusted: &CertificateDer<'static>) -> std::io::Result<Answer> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(service.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let head = "GET /api/v2/about HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    Ok(Answer::of(stream, head).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_by_files_that_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let config = ServeConfig {
        tls_cert: folder.path().join("cert.pem"),
        tls_key: folder.path().join("key.pem"),
        head_milliseconds_max: 500,
        ..ServeConfig::default()
    };
    let tenants = Tenants::from(world::state(config.clone()));
    let reload = tenants.reload();
    let service = Service::of(tenants).await;
    let mut silent = TcpStream::connect(service.address).await.unwrap();
    assert_eq!(over_tls(&service, &first).await.unwrap().status, 200);
    let plain = service.get("/api/v2/about", &[]).await;
    assert_ne!(plain.status, 200, "nothing is said in plain text: {}", plain.text);

    let second = certificate(folder.path());
    assert_eq!(over_tls(&service, &first).await.unwrap().status, 200, "files are read when it is told to");
    reload.now();
    assert_eq!(over_tls(&service, &second).await.unwrap().status, 200);
    assert!(over_tls(&service, &first).await.is_err());
    std::fs::write(folder.path().join("key.pem"), "torn").unwrap();
    reload.now();
    assert_eq!(over_tls(&service, &second).await.unwrap().status, 200, "a broken file changes nothing");
    // Who does not shake hands is not waited for.
    let mut nothing = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut nothing)).await.unwrap().unwrap();
    service.end().await;

    let error = AppState::new(Arc::new(Memory::default()), config, About::default()).err().unwrap();
    assert!(error.to_string().contains("key.pem") && error.to_string().contains("PEM"), "{error}");
    let alone = ServeConfig { tls_cert: "cert.pem".into(), ..ServeConfig::default() };
    assert!(alone.check().unwrap_err().to_string().contains("both"));
}

// ---- crowds ------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn thousands_who_say_nothing_keep_nobody_out() {
    // Each is a file for both sides; what the system allows is left some room.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files: usize = files.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1_024);
    let crowd = 3_000.min(files / 3);
    for connections_max in [ServeConfig::default().connections_max, crowd / 10] {
        let service = Service::with(ServeConfig { connections_max, ..ServeConfig::default() }).await;
        let mut silent = Vec::with_capacity(crowd);
        for at in 0..crowd {
            let mut stream = TcpStream::connect(service.address).await.unwrap();
            // Some begin and do not go on.
            if at % 2 == 0 {
                let _ = stream.write_all(b"GET /api/v2/ab").await;
            }
            silent.push(stream);
        }
        let start = Instant::now();
        for _ in 0..20 {
            assert_eq!(service.get("/api/v2/recommend/ann", &[]).await.status, 200);
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{connections_max}: {:?}", start.elapsed());
        drop(silent);
        service.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_service_says_so_at_once_and_tells_how_it_does() {
    let (store, held) = Slow::new();
    let config = ServeConfig {
        reads_max: 1,
        read_wait_milliseconds_max: 200,
        request_milliseconds_max: 5_000,
        ..ServeConfig::default()
    };
    let state = AppState::new(Arc::new(store), config, About::default()).unwrap();
    let service = Arc::new(Service::of(state).await);
    let first = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.get("/api/user/ann", &[]).await.status }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    let others: Vec<_> = (0..50)
        .map(|_| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { service.get("/api/user/bob", &[]).await })
        })
        .collect();
    for other in others {
        let answer = other.await.unwrap();
        assert_eq!((answer.status, &*answer.code()), (503, "overloaded"));
        assert!(answer.header("retry-after").is_some());
    }
    assert!(start.elapsed() < Duration::from_secs(2), "nobody waits for long: {:?}", start.elapsed());
    assert_eq!(service.get("/api/health/live", &[]).await.status, 200);
    let metrics = service.get("/metrics", &[]).await.text;
    assert!(metrics.contains("upnext_shed_total 50"), "{metrics}");
    held.store(false, Ordering::Relaxed);
    assert_eq!(first.await.unwrap(), 404, "who was there first is answered");
    assert_eq!(service.get("/api/user/bob", &[]).await.status, 404, "and then everybody again");
    Arc::into_inner(service).unwrap().end().await;
}

// ---- what is written down ------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn acts_of_administrators_are_written_down_without_secrets_or_people() {
    let keys = Keys::new();
    let (admin, id) = keys.add(&[Role::Admin], None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let state = world::state(keys.config());
    state.keep_audit_in(file.clone()).unwrap();
    let service = Service::of(state).await;
    let headers = [("x-api-key", admin.as_str())];
    let user = r#"{"UserId":"annabel"}"#;
    assert_eq!(service.ask("POST", "/api/user", &headers, user).await.status, 200);
    assert_eq!(service.ask("DELETE", "/api/user/annabel", &headers, "").await.status, 200);
    let rules = r#"[{"name":"autumn","action":"pin","videos":["space4"]}]"#;
    assert_eq!(service.ask("PUT", "/api/v2/rules", &headers, rules).await.status, 200);
    assert_eq!(service.ask("DELETE", "/api/user/annabel", &[], "").await.status, 401);
    keys.add(&[Role::Read], None);
    tokio::time::sleep(Duration::from_millis(50)).await;
    service.get("/api/v2/about", &headers).await;
    service.end().await;

    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let acts: Vec<_> = lines.iter().map(|line| line["act"].as_str().unwrap()).collect();
    assert_eq!(
        acts,
        ["DELETE /api/user/{id}", "PUT /api/v2/rules", "keys reread"],
        "what was refused is no act"
    );
    assert_eq!((&lines[0]["key"], &lines[1]["key"]), (&json!(id), &json!(id)));
    assert_ne!(lines[0]["digest"], lines[1]["digest"]);
    assert!(lines.iter().all(|line| line["time"].as_str().unwrap().starts_with("20")));
    for secret in ["annabel", "autumn", "space4", admin.as_str(), admin.rsplit('_').next().unwrap()] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}
