//! A real PostgreSQL, of the newest version that is installed.

#![allow(dead_code, reason = "each test needs some of it")]

use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::process::{free_port, skip, wait_for};

/// A PostgreSQL of its own: user `upnext`, password `s3cret/pw`, database `postgres`. It ends with the process that started it, however
/// that ends.
pub(crate) struct Postgres {
    child: Child,
    pub(crate) port: u16,
    bin: PathBuf,
    folder: tempfile::TempDir,
    /// Whom the server runs as where the test runs as root, which PostgreSQL refuses.
    owner: Option<(u32, u32)>,
}

/// Runs a server until the standard input ends, and then ends it as a power cut would.
const UNTIL_TOLD: &str = r#""$@" & read -r _; kill -QUIT $!; wait"#;

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
        Some(Self::start_of(bin))
    }

    /// One whose extensions have pgvector: of the system, or of the package pgserver for Python in `target/venv`. `UPNEXT_PGVECTOR` names the
    /// folder of another's programs.
    pub(crate) fn start_with_vectors() -> Option<Self> {
        let of_system = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let of_system = of_system.map(|entry| entry.path()).filter(|version| {
            let share = PathBuf::from("/usr/share/postgresql").join(version.file_name().unwrap());
            share.join("extension/vector.control").is_file()
        });
        let lib = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/venv/lib");
        let of_python = std::fs::read_dir(lib).into_iter().flatten().flatten();
        let of_python = of_python.map(|entry| entry.path().join("site-packages/pgserver/pginstall/bin"));
        let mut places: Vec<PathBuf> =
            of_system.map(|version| version.join("bin")).chain(of_python).collect();
        places.extend(std::env::var_os("UPNEXT_PGVECTOR").map(PathBuf::from));
        places.retain(|bin| bin.join("initdb").is_file());
        let Some(bin) = places.pop() else {
            skip("PostgreSQL with pgvector is not installed (pip install pgserver)");
            return None;
        };
        Some(Self::start_of(bin))
    }

    fn start_of(bin: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let id = |flag: &str, user: &[&str]| -> u32 {
            let said = Command::new("id").arg(flag).args(user).output().unwrap().stdout;
            String::from_utf8(said).unwrap().trim().parse().unwrap()
        };
        // The package brings a user of its own.
        let owner = (id("-u", &[]) == 0).then(|| (id("-u", &["postgres"]), id("-g", &["postgres"])));
        let password = folder.path().join("password");
        std::fs::write(&password, "s3cret/pw").unwrap();
        if let Some((user, group)) = owner {
            chown(folder.path(), Some(user), Some(group)).unwrap();
            chown(&password, Some(user), Some(group)).unwrap();
        }
        let mut initdb = Command::new(bin.join("initdb"));
        initdb
            .arg("-D")
            .arg(folder.path().join("data"))
            .args(["-U", "upnext", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--pwfile"])
            .arg(&password)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(as_owner(&mut initdb, owner, &folder).status().unwrap().success(), "initdb failed");
        let port = free_port();
        let child = launch(&bin, &folder, port, owner);
        let mut server = Self { child, port, bin, folder, owner };
        server.wait();
        server
    }

    fn wait(&mut self) {
        wait_for(self.port, &mut self.child);
        let until = Instant::now() + Duration::from_secs(60);
        while !self.psql("SELECT 1") {
            assert!(Instant::now() < until, "the server answers nothing within a minute");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url_of("postgres")
    }

    pub(crate) fn url_of(&self, database: &str) -> String {
        format!("postgres://upnext:s3cret%2Fpw@127.0.0.1:{}/{database}", self.port)
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
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }

    /// Starts it again, with what it kept.
    pub(crate) fn start_again(&mut self) {
        self.child = launch(&self.bin, &self.folder, self.port, self.owner);
        self.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn as_owner<'a>(
    command: &'a mut Command,
    owner: Option<(u32, u32)>,
    folder: &tempfile::TempDir,
) -> &'a mut Command {
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command.current_dir(folder.path())
}

fn launch(bin: &std::path::Path, folder: &tempfile::TempDir, port: u16, owner: Option<(u32, u32)>) -> Child {
    let mut command = Command::new("sh");
    command
        .args(["-c", UNTIL_TOLD, "sh"])
        .arg(bin.join("postgres"))
        .arg("-D")
        .arg(folder.path().join("data"))
        .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-c", "fsync=off", "-k"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    as_owner(&mut command, owner, folder).spawn().unwrap()
}
