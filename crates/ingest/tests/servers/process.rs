//! Programs that tests start: ports, waiting, and what a test does where a program is not installed.

#![allow(dead_code, reason = "each test needs some of it")]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Says that a test is skipped, or fails where servers are required.
pub(crate) fn skip(what: &str) {
    assert!(
        std::env::var("UPNEXT_REQUIRE_SERVERS").as_deref() != Ok("1"),
        "{what}, and UPNEXT_REQUIRE_SERVERS=1"
    );
    println!("SKIPPED: {what}");
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn wait_for(port: u16, child: &mut Child) {
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "the server ended at once");
        assert!(Instant::now() < until, "the server does not listen within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server that ends with the test.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a server, and waits until it answers at its port.
    pub(crate) fn start(command: &mut Command, port: u16) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(port, &mut child);
        Self(child)
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
