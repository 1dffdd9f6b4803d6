//! Acknowledged means durable, over HTTP: `upnext serve` is killed in the middle of streams of writes, again and
//! again, and every event it acknowledged is found afterwards.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::collections::HashSet;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use service::{Service, ask};

mod service;

const KILLS: usize = 20;
const WRITERS: usize = 6;

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
                assert_eq!(body, r#"{"accepted":2,"counted":2}"#);
                acknowledged.lock().unwrap().extend(videos.map(|video| (user.to_owned(), video)));
            }
            Some((503, _)) => std::thread::sleep(Duration::from_millis(5)),
            Some((status, body)) => panic!("{status} {body}"),
            None => return,
        }
    }
}

#[test]
fn an_event_that_is_sent_again_after_a_kill_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = service::small_run(folder.path());
    let send = |address: &str, id: &str, share: f64| {
        let event = serde_json::json!([{"user": "ann", "video": "v1", "action": "watch", "value": share, "event_id": id}]);
        let mut stream = TcpStream::connect(address).unwrap();
        let (status, body) = ask(&mut stream, "POST", "/api/v2/events", &event.to_string()).unwrap();
        assert_eq!(status, 200, "{body}");
        let (_, row) = ask(&mut stream, "GET", "/api/feedback/watch/ann/v1", "").unwrap();
        let row: Value = serde_json::from_str(&row).unwrap();
        (body, row["Value"].as_f64().unwrap())
    };
    let counted = |n: usize| format!(r#"{{"accepted":1,"counted":{n}}}"#);
    let mut service = Service::start(&run);
    assert_eq!(send(&service.address, "e1", 0.2), (counted(1), 0.2));
    assert_eq!(send(&service.address, "e2", 0.9), (counted(1), 0.9));
    for _ in 0..2 {
        service.child.kill().unwrap();
        service.child.wait().unwrap();
        service = Service::start(&run);
        // The client did not hear the answer. What it said first does not come back over what was said since.
        assert_eq!(send(&service.address, "e1", 0.2), (counted(0), 0.9));
        assert_eq!(send(&service.address, "e2", 0.9), (counted(0), 0.9));
    }
}

#[test]
fn every_acknowledged_event_is_found_after_each_of_many_kills() {
    let folder = tempfile::tempdir().unwrap();
    let run = service::small_run(folder.path());
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
