//! Real servers for tests, each with a folder and a port of its own. Where one is not installed the test says so
//! and passes, unless `UPNEXT_REQUIRE_SERVERS=1`.

#![allow(dead_code, reason = "each test needs some of the servers")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use upnext_ingest::engine::flight::Engine;

/// Says that a test is skipped, or fails where servers are required.
pub(crate) fn skip(what: &str) {
    assert!(
        std::env::var("UPNEXT_REQUIRE_SERVERS").as_deref() != Ok("1"),
        "{what}, and UPNEXT_REQUIRE_SERVERS=1"
    );
    println!("SKIPPED: {what}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16, child: &mut Child) {
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "the server ended at once");
        assert!(Instant::now() < until, "the server does not listen within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A PostgreSQL of its own: user `upnext`, password `s3cret/pw`, database `postgres`.
pub(crate) struct Postgres {
    child: Child,
    pub(crate) port: u16,
    bin: PathBuf,
    folder: tempfile::TempDir,
}

impl Postgres {
    pub(crate) fn start() -> Option<Self> {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("initdb").is_file())
            .collect();
        versions.sort();
        let Some(bin) = versions.pop() else {
            skip("PostgreSQL is not installed (apt-get install postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL refuses to run as root; the package brings a user of its own.
        let id = |flag: &str, user: &[&str]| -> u32 {
            let said = Command::new("id").arg(flag).args(user).output().unwrap().stdout;
            String::from_utf8(said).unwrap().trim().parse().unwrap()
        };
        let owner = (id("-u", &[]) == 0).then(|| (id("-u", &["postgres"]), id("-g", &["postgres"])));
        let password = folder.path().join("password");
        std::fs::write(&password, "s3cret/pw").unwrap();
        if let Some((user, group)) = owner {
            chown(folder.path(), Some(user), Some(group)).unwrap();
            chown(&password, Some(user), Some(group)).unwrap();
        }
        let as_owner = |program: &str| {
            let mut command = Command::new(bin.join(program));
            command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
            if let Some((user, group)) = owner {
                command.uid(user).gid(group);
            }
            command
        };
        let data = folder.path().join("data");
        let made = as_owner("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "upnext", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--pwfile"])
            .arg(&password)
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let port = free_port();
        let mut child = as_owner("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .spawn()
            .unwrap();
        wait_for(port, &mut child);
        let server = Self { child, port, bin, folder };
        let until = Instant::now() + Duration::from_secs(60);
        while !server.psql("SELECT 1") {
            assert!(Instant::now() < until, "the server answers nothing within a minute");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://upnext:s3cret%2Fpw@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs statements; whether they went well.
    pub(crate) fn psql(&self, statements: &str) -> bool {
        let mut psql = Command::new(self.bin.join("psql"))
            .args(["-h", "127.0.0.1", "-U", "upnext", "-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1"])
            .args(["-p", &self.port.to_string()])
            .env("PGPASSWORD", "s3cret/pw")
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        psql.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
        psql.wait().unwrap().success()
    }

    /// Ends the server as a power cut would.
    pub(crate) fn kill(&mut self) {
        // An immediate shutdown takes the backends with it, as killing the first process alone does not.
        let _ = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program of the virtual environment that holds Sail and moto, or the one that a variable names.
fn program(name: &str, variable: &str) -> Option<PathBuf> {
    let at_hand = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin").join(name);
    let program = std::env::var_os(variable).map_or(at_hand, PathBuf::from);
    if program.is_file() {
        return Some(program);
    }
    skip(&format!("{name} is not installed (see docs/operations.md), nor named by {variable}"));
    None
}

/// A server that ends with the test.
struct Process(Child);

impl Process {
    /// Starts a server, and waits until it answers at its port.
    fn start(command: &mut Command, port: u16) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(port, &mut child);
        Self(child)
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sail in cluster mode with four workers: driver and workers in one process, rows exchanged as between machines.
pub(crate) struct Sail {
    process: Process,
    pub(crate) url: String,
}

impl Sail {
    pub(crate) fn start(environment: &[(&str, &str)]) -> Option<Self> {
        let port = free_port();
        let mut command = Command::new(program("sail", "UPNEXT_SAIL")?);
        command
            .args(["flight", "server", "--port", &port.to_string()])
            .env("SAIL_MODE", "local-cluster")
            .env("SAIL_CLUSTER__WORKER_INITIAL_COUNT", "4")
            .env("SAIL_CLUSTER__WORKER_MAX_COUNT", "4")
            .envs(environment.iter().copied());
        Some(Self { process: Process::start(&mut command, port), url: format!("grpc://127.0.0.1:{port}") })
    }

    pub(crate) fn connect(&self) -> Engine {
        Engine::connect(&self.url, None).unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}

/// An S3-compatible server: `moto_server` of the Python package `moto[server]`.
pub(crate) struct S3 {
    process: Process,
    pub(crate) port: u16,
}

impl S3 {
    pub(crate) fn start() -> Option<Self> {
        let port = free_port();
        let mut command = Command::new(program("moto_server", "UPNEXT_MOTO")?);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        Some(Self { process: Process::start(&mut command, port), port })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A request that must go well.
    fn ask(&self, what: &str, body: &[u8]) {
        let answer = self.answer(what, body);
        assert!(answer.starts_with("HTTP/1.1 2"), "{what}: {answer}");
    }

    /// Whether an object is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.answer(&format!("HEAD /vectors/{key}"), &[]).starts_with("HTTP/1.1 2")
    }

    /// One request, by hand: the server wants a name, and checks the signature only where it is told to.
    fn answer(&self, what: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "{what} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\nAuthorization: {}\r\n\
             Connection: close\r\n\r\n",
            self.port,
            body.len(),
            "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Puts an object into the bucket `vectors`; the empty key makes the bucket.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.ask(&format!("PUT /vectors/{key}"), bytes);
    }

    pub(crate) fn delete(&self, key: &str) {
        self.ask(&format!("DELETE /vectors/{key}"), &[]);
    }

    /// From now on only credentials that the server gave out are good, and it gave out none.
    pub(crate) fn check_credentials(&self) {
        self.ask("POST /moto-api/reset-auth", b"0");
    }

    pub(crate) fn check_nothing(&self) {
        self.ask("POST /moto-api/reset-auth", b"1000000");
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}
