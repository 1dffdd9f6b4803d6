//! Acknowledged means durable, over HTTP: `upnext serve` is killed in the middle of streams of writes, again and
//! again, and every event it acknowledged is found afterwards.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

const KILLS: usize = 20;
const WRITERS: usize = 6;

/// `upnext serve`, killed when this is dropped.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(run: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_upnext"))
            .args(["serve", run.to_str().unwrap(), "--listen", "127.0.0.1:0", "--json"])
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
fn ask(stream: &mut TcpStream, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
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

/// Writes until the service goes away; what was acknowledged is added to `acknowledged`.
fn write_events(address: &str, user: &str, round: usize, acknowledged: &Mutex<HashSet<(String, String)>>) {
    let Ok(mut stream) = TcpStream::connect(address) else { return };
    for at in 0.. {
        let videos = [format!("{round}-{at}-a"), format!("{round}-{at}-b")];
        let events: Vec<Value> = videos
            .iter()
            .map(|video| serde_json::json!({"user": user, "video": video, "action": "like"}))
            .collect();
        match ask(&mut stream, "POST", "/api/v2/events", &Value::from(events).to_string()) {
            Some((200, body)) => {
                assert_eq!(body, r#"{"accepted":2}"#);
                acknowledged.lock().unwrap().extend(videos.map(|video| (user.to_owned(), video)));
            }
            Some((503, _)) => std::thread::sleep(Duration::from_millis(5)),
            Some((status, body)) => panic!("{status} {body}"),
            None => return,
        }
    }
}

#[test]
fn every_acknowledged_event_is_found_after_each_of_many_kills() {
    let folder = tempfile::tempdir().unwrap();
    let (log, run) = (folder.path().join("log.csv"), folder.path().join("run"));
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

    let acknowledged = Arc::new(Mutex::new(HashSet::new()));
    for round in 0..KILLS {
        let mut service = Service::start(&run);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, acknowledged) = (service.address.clone(), Arc::clone(&acknowledged));
                std::thread::spawn(move || {
                    write_events(&address, &format!("writer {writer}"), round, &acknowledged);
                })
            })
            .collect();
        // In the middle of the stream, at another point each time.
        std::thread::sleep(Duration::from_millis(40 + 13 * (round as u64 % 9)));
        service.child.kill().unwrap();
        service.child.wait().unwrap();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    }

    let service = Service::start(&run);
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let (mut found, mut cursor) = (HashSet::new(), String::new());
    loop {
        let path = format!("/api/feedback/like?n=10000&cursor={cursor}");
        let (status, body) = ask(&mut stream, "GET", &path, "").unwrap();
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).unwrap();
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let rows = page["Feedback"].as_array().unwrap().iter();
        found.extend(rows.map(|row| (text(row, "UserId"), text(row, "ItemId"))));
        cursor = text(&page, "Cursor");
        if cursor.is_empty() {
            break;
        }
    }
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged events are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(acknowledged.len() > 10 * KILLS, "only {} events were acknowledged", acknowledged.len());
    println!("{KILLS} kills, {} acknowledged events, none lost", acknowledged.len());
}
