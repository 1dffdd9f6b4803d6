//! Ten thousand who connect and say nothing: those who ask are answered.

#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::{Service, ask};

mod service;

const CROWD: usize = 10_000;

#[test]
fn ten_thousand_who_say_nothing_keep_nobody_out() {
    // A connection is a file on either side; the service is a process of its own.
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let needed = CROWD as u64 + 500;
    if maximum.is_some_and(|most| most < needed) {
        println!(
            "SKIPPED: the system allows {maximum:?} open files (now {current:?}), of which {needed} are needed"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = service::small_run(folder.path());
    // As many as there may be, and then all of them.
    for (connections_max, n_kept) in [(4_096, 4_000), (CROWD + 100, CROWD)] {
        let config = folder.path().join("upnext.toml");
        std::fs::write(
            &config,
            format!("[serve]\nconnections_max = {connections_max}\nhead_milliseconds_max = 600000\n"),
        )
        .unwrap();
        let service = Service::start_with(&run, &[], &["--config", config.to_str().unwrap()]);
        let mut silent = Vec::with_capacity(CROWD);
        for at in 0..CROWD {
            let mut stream = TcpStream::connect(&service.address).unwrap();
            // Some begin and do not go on.
            if at % 2 == 0 {
                let _ = stream.write_all(b"GET /api/v2/ab");
            }
            silent.push(stream);
        }
        let files = || std::fs::read_dir(format!("/proc/{}/fd", service.child.id())).unwrap().count();
        // The system keeps those that the service has not taken yet.
        let until = Instant::now() + Duration::from_secs(30);
        while files() < n_kept && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(files() >= n_kept, "{} files are open, of {n_kept} connections at least", files());
        let mut times: Vec<Duration> = (0..50)
            .map(|at| {
                let begun = Instant::now();
                let mut stream = TcpStream::connect(&service.address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let path = format!("/api/v2/recommend/u{}?n=5", at % 30);
                assert_eq!(ask(&mut stream, "GET", &path, "").unwrap().0, 200);
                begun.elapsed()
            })
            .collect();
        times.sort();
        let status = std::fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
        let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        println!(
            "{connections_max} connections at most: {} files, median {:?}, most {:?}, {resident}",
            files(),
            times[25],
            times[49]
        );
        assert!(
            times[45] < Duration::from_secs(2),
            "those who ask wait behind those who are silent: {times:?}"
        );
    }
}
