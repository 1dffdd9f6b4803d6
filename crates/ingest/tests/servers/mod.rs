//! Real servers for tests, each with a folder and a port of its own. Where one is not installed the test says so
//! and passes, unless `UPNEXT_REQUIRE_SERVERS=1`.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Says that a test is skipped, or fails where servers are required.
pub fn skip(what: &str) {
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
pub struct Postgres {
    child: Child,
    pub port: u16,
    bin: PathBuf,
    folder: tempfile::TempDir,
}

impl Postgres {
    pub fn start() -> Option<Self> {
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

    pub fn url(&self) -> String {
        format!("postgres://upnext:s3cret%2Fpw@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs statements; whether they went well.
    pub fn psql(&self, statements: &str) -> bool {
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
    pub fn kill(&mut self) {
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

/// An S3-compatible server: `moto_server` of the Python package `moto[server]`.
pub struct S3 {
    child: Child,
    pub port: u16,
}

impl S3 {
    pub fn start() -> Option<Self> {
        let at_hand = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/moto_server");
        let named = std::env::var_os("MOTO_SERVER").map(PathBuf::from);
        let program = named.unwrap_or(if at_hand.is_file() { at_hand } else { "moto_server".into() });
        let port = free_port();
        let started = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = started else {
            skip("moto_server is not installed (pip install 'moto[server]', or name it with MOTO_SERVER)");
            return None;
        };
        wait_for(port, &mut child);
        Some(Self { child, port })
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// One request, by hand: the server wants a name, and checks the signature only where it is told to.
    fn ask(&self, what: &str, body: &[u8]) {
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
        assert!(answer.starts_with("HTTP/1.1 2"), "{what}: {answer}");
    }

    /// Puts an object into the bucket `vectors`; the empty key makes the bucket.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.ask(&format!("PUT /vectors/{key}"), bytes);
    }

    pub fn delete(&self, key: &str) {
        self.ask(&format!("DELETE /vectors/{key}"), &[]);
    }

    /// From now on only credentials that the server gave out are good, and it gave out none.
    pub fn check_credentials(&self) {
        self.ask("POST /moto-api/reset-auth", b"0");
    }

    pub fn check_nothing(&self) {
        self.ask("POST /moto-api/reset-auth", b"1000000");
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}
