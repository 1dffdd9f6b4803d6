//! Real servers for tests, each with a folder and a port of its own. Where one is not installed the test says so
//! and passes, unless `UPNEXT_REQUIRE_SERVERS=1`.

#![allow(dead_code, unused_imports, reason = "each test needs some of the servers")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use upnext_ingest::engine::flight::Engine;

mod postgres;
mod process;

pub(crate) use postgres::Postgres;
pub(crate) use process::skip;
use process::{Process, free_port};

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
