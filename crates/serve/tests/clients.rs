//! Clients that others wrote, unchanged: Gorse's for Python, and one that a generator makes of our description. They are in
//! `target/venv` (`pip install PyGorse openapi-python-client openapi-spec-validator`); without it these tests say so, and
//! with `UPNEXT_REQUIRE_SERVERS` they fail.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tokio::sync::oneshot;
use upnext_serve::{ServeConfig, bind, serve};
use upnext_store::{Sqlite, StoreConfig};

/// A program of the virtual environment, if it is there and has these packages.
fn program(name: &str, packages: &str) -> Option<PathBuf> {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin");
    let found = Command::new(bin.join("python")).args(["-c", &format!("import {packages}")]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(bin.join(name));
    }
    assert!(std::env::var_os("UPNEXT_REQUIRE_SERVERS").is_none(), "target/venv has no {packages}");
    eprintln!("skipped: no target/venv with the Python packages {packages}");
    None
}

/// Runs while a service answers at the address that stands last among the arguments.
async fn beside_a_service(run: impl FnOnce(String) + Send + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(folder.path().join("store.db"), StoreConfig::default()).unwrap());
    let config = ServeConfig { key: Some("secret".into()), ..ServeConfig::default() };
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let service = tokio::spawn(serve(listener, world::state_over(store, config), async {
        let _ = stopped.await;
    }));
    tokio::task::spawn_blocking(move || run(address)).await.unwrap();
    stop.send(()).unwrap();
    service.await.unwrap().unwrap();
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn gorse_s_client_for_python_walks_all_its_methods() {
    let Some(python) = program("python", "gorse") else { return };
    beside_a_service(move |address| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/gorse_walk.py");
        let said = succeeds(Command::new(python).arg(script).args([&address, "secret"]));
        assert!(said.contains("walked 38 methods"), "{said}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_generated_of_the_description_asks_and_tells() {
    let packages = "openapi_python_client, openapi_spec_validator";
    let Some(generate) = program("openapi-python-client", packages) else { return };
    beside_a_service(move |address| {
        let folder = tempfile::tempdir().unwrap();
        let description = folder.path().join("apidocs.json");
        let python = generate.with_file_name("python");
        let fetch =
            "import sys, urllib.request as r; open(sys.argv[2], 'wb').write(r.urlopen(sys.argv[1]).read())";
        succeeds(
            Command::new(&python).args(["-c", fetch, &format!("{address}/apidocs.json")]).arg(&description),
        );
        succeeds(Command::new(&python).args(["-m", "openapi_spec_validator"]).arg(&description));
        let said = succeeds(
            Command::new(&generate)
                .args(["generate", "--meta", "none", "--fail-on-warning", "--output-path"])
                .arg(folder.path().join("upnext_client"))
                .arg("--path")
                .arg(&description),
        );
        assert!(!said.contains("WARNING"), "every route has a function: {said}");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/generated_walk.py");
        let mut walk = Command::new(&python);
        let said = succeeds(walk.arg(script).args([&address, "secret"]).env("PYTHONPATH", folder.path()));
        assert!(said.contains("walked"), "{said}");
    })
    .await;
}
