//! A service for tests: `upnext serve` over a small run, and requests by hand.

#![allow(dead_code, reason = "each test needs some of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A run of 30 users in a folder.
pub(crate) fn small_run(folder: &Path) -> PathBuf {
    let (log, run) = (folder.join("log.csv"), folder.join("run"));
    let mut text = String::from("user,video,time\n");
    for user in 0..30 {
        for at in 0..6 {
            text += &format!("u{user},v{},{}\n", (user + at * at) % 12, 1_700_000_000 + user * 100 + at);
        }
    }
    std::fs::write(&log, text).unwrap();
    let import = Command::new(env!("CARGO_BIN_EXE_upnext"))
        .args(["import", log.to_str().unwrap(), "--out", run.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    run
}

/// `upnext serve`, killed when this is dropped.
pub(crate) struct Service {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Service {
    pub(crate) fn start(run: &Path) -> Self {
        Self::start_in(run, &[])
    }

    pub(crate) fn start_in(run: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_with(run, environment, &[])
    }

    pub(crate) fn start_with(run: &Path, environment: &[(&str, &str)], more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_upnext"))
            .args(["serve", run.to_str().unwrap(), "--listen", "127.0.0.1:0", "--json"])
            .args(more)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it said {line:?}"));
        let address = said["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        Self { child, address }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request on a connection that stays open; the status and the body, if the answer came in full.
pub(crate) fn ask(stream: &mut TcpStream, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let n = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {n}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((status, String::from_utf8(body).ok()?))
}
