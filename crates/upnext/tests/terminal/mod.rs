//! A folder to work in, and the binary as a script meets it.

#![allow(dead_code, reason = "each test file takes what it needs")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes long; this is for machines that do much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a command left behind.
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ended {
    /// That it ended with 0, and said what it had to say on standard output.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }

    /// That it ended with 1, with nothing on standard output and each of `parts` in the message.
    #[track_caller]
    pub(crate) fn failed(self, parts: &[&str]) -> Self {
        self.refused(1, parts)
    }

    /// The same with 2, for wrong use.
    #[track_caller]
    pub(crate) fn wrong(self, parts: &[&str]) -> Self {
        self.refused(2, parts)
    }

    #[track_caller]
    fn refused(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "`{part}` is missing in: {}", self.err);
        }
        self
    }

    /// That standard output is one JSON object, and nothing else.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let ended = self.done();
        let value: Value =
            serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.out));
        assert!(value.is_object(), "{}", ended.out);
        value
    }
}

/// A folder of its own for each test.
pub(crate) struct Desk(tempfile::TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the folders that it lies in.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Every file below the folder, hidden ones included.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        fn walk(folder: PathBuf, found: &mut BTreeSet<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                found.insert(path.clone());
                if path.is_dir() {
                    walk(path, found);
                }
            }
        }
        let mut found = BTreeSet::new();
        walk(self.0.path().into(), &mut found);
        found
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_upnext"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_remove("UPNEXT_LOG").env_remove("UPNEXT_KEY");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `upnext` here to its end; whatever it is told, it never panics.
    #[track_caller]
    pub(crate) fn upnext(&self, args: &[&str]) -> Ended {
        let mut child = self.command(args).spawn().unwrap();
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        let code = wait(&mut child);
        let ended = Ended { code, out: out.join().unwrap(), err: err.join().unwrap() };
        assert!(!ended.err.contains("panicked") && code != 101, "{args:?} panicked: {}", ended.err);
        ended
    }

    /// Runs a line as one types it; nothing in it may hold a space.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Ended {
        self.upnext(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Imports `log.csv` into `run` and trains it.
    #[track_caller]
    pub(crate) fn trained(&self) -> &Self {
        self.run("import log.csv --out run").done();
        self.run("train run").done();
        self
    }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The exit code, if it ends in time.
#[track_caller]
pub(crate) fn wait(child: &mut Child) -> i32 {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it did not end in {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A service that is killed when this is dropped.
pub(crate) struct Service {
    child: Child,
    /// Host and port.
    pub(crate) address: String,
}

impl Service {
    /// Starts a command that says where it listens in its first line, as JSON.
    #[track_caller]
    pub(crate) fn start(desk: &Desk, args: &[&str]) -> Self {
        let mut child = desk.command(args).spawn().unwrap();
        let err = collect(child.stderr.take().unwrap());
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let Ok(said) = serde_json::from_str::<Value>(&line) else {
            let _ = child.kill();
            panic!("it said {line:?}: {}", err.join().unwrap());
        };
        // What it says later is read, so that it never waits for us.
        collect(out);
        let address = said["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        assert_eq!(said["pid"], child.id());
        Self { child, address }
    }

    /// Status and body of one request.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (status, body) = self.ask_bytes(method, path, body);
        (status, String::from_utf8(body).unwrap())
    }

    /// The same where the answer is no text.
    pub(crate) fn ask_bytes(&self, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        write!(request, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[..head]);
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        (status, answer[head + 4..].to_vec())
    }

    /// Tells it to read again what can be read again.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn hang_up(&self) {
        let told = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Tells it to stop, and gives its exit code.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn stop(mut self) -> i32 {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        wait(&mut self.child)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A picture of one colour as a BMP file.
pub(crate) fn bmp(side: u32, [r, g, b]: [u8; 3]) -> Vec<u8> {
    let row = (3 * side).next_multiple_of(4) as usize;
    let size = 54 + row as u32 * side;
    let mut bytes = b"BM".to_vec();
    for number in [size, 0, 54, 40, side, side, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    let mut line = [b, g, r].repeat(side as usize);
    line.resize(row, 0);
    bytes.extend(line.repeat(side as usize));
    bytes
}

/// A folder with a small log.
pub(crate) fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("log.csv", walks(30, 20, 8));
    desk
}

/// The names in a list of named things.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

/// The ids of a slate as `recommend --json` prints it.
pub(crate) fn videos_of(slate: &Value) -> Vec<&str> {
    slate["slate"].as_array().unwrap().iter().map(|slot| slot["video"].as_str().unwrap()).collect()
}

/// Users who each walk through the videos from another start, with a step of 1 or 2.
pub(crate) fn walks(users: usize, videos: usize, events: usize) -> String {
    let mut text = String::from("user,video,time\n");
    for user in 0..users {
        for at in 0..events {
            let video = (user * 7 + at * (1 + user % 2)) % videos;
            writeln!(text, "u{user},v{video},{}", 1_700_000_000 + user * 100 + at).unwrap();
        }
    }
    text
}

/// The same walks, cut into files of `user,item[,time]` by the folder's names of parts.
pub(crate) fn parts(desk: &Desk, folder: &str, with_times: bool) {
    for (name, places) in [("trn", 0..6), ("val", 6..7), ("tst", 7..8)] {
        let mut text = String::from(if with_times { "user,item,time\n" } else { "user,item\n" });
        for user in 0..20 {
            for at in places.clone() {
                let item = (user * 3 + at) % 15;
                let time = 1_700_000_000 + user * 100 + at;
                match with_times {
                    true => writeln!(text, "{user},{item},{time}").unwrap(),
                    false => writeln!(text, "{user},{item}").unwrap(),
                }
            }
        }
        desk.write(&format!("{folder}/{name}.csv"), text);
    }
}
