//! A real Chromium, driven through its own pipe: one JSON message after another, each ended by a zero byte.
//! No driver and no web socket stand between.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than anything a page does here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The browser's program: `CHROME`, or one of the usual names on the path.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROME") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "CHROME names {}, which is not a file", named.display());
        return Some(named);
    }
    let path = std::env::var_os("PATH")?;
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|program| program.is_file())
}

/// Starts a browser, or says loudly that there is none and what is not tested then.
///
/// # Panics
/// If there is none and `UPNEXT_REQUIRE_BROWSER` is set.
pub(crate) fn browser(what: &str) -> Option<Browser> {
    let Some(program) = program() else {
        assert!(
            std::env::var_os("UPNEXT_REQUIRE_BROWSER").is_none(),
            "UPNEXT_REQUIRE_BROWSER is set and there is no browser: install chromium, or name one by CHROME"
        );
        eprintln!(
            "\n  ** SKIPPED ** no chromium, chromium-browser or google-chrome here, and CHROME is not set:"
        );
        eprintln!("  ** SKIPPED ** {what} was NOT tested in a browser\n");
        return None;
    };
    Some(Browser::start(&program))
}

/// A running browser with one page open.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    asked: u64,
    events: Vec<Value>,
    // Kept until the end: the browser's own folder.
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Starts the browser with an empty folder and attaches to its page.
    fn start(program: &PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the browser");
        // The shell puts the pipe where the browser looks for it: commands come in as file 3, answers go out as 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            // WebGL drawn by the processor, as machines that test have no other.
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe", "--enable-unsafe-swiftshader"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts the browser");
        let to = child.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (send, from) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0) {
                let Ok(message) = message else { break };
                let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser =
            Self { child, to, from, session: None, asked: 0, events: Vec::new(), _folder: folder };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let started = Instant::now();
        let page = loop {
            let targets = self.ask("Target.getTargets", json!({}));
            let page = targets["targetInfos"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|target| target["type"] == "page")
                .cloned();
            if let Some(page) = page {
                break page;
            }
            assert!(started.elapsed() < PATIENCE, "the browser opened no page");
            std::thread::sleep(Duration::from_millis(50));
        };
        let session =
            self.ask("Target.attachToTarget", json!({ "targetId": page["targetId"], "flatten": true }));
        self.session = Some(session["sessionId"].as_str().expect("a session").to_owned());
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.ask(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Sends one command and waits for its answer; events that come meanwhile are kept.
    pub(crate) fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).and_then(|()| self.to.flush()).expect("the browser listens");
        loop {
            let answer = match self.from.recv_timeout(PATIENCE) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the browser did not answer {method} in {PATIENCE:?}")
                }
                Err(RecvTimeoutError::Disconnected) => panic!("the browser ended at {method}"),
            };
            if answer["id"] == self.asked {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    /// The value of an expression in the page; a promise is waited for.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let answer = self.evaluate(expression);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        self.ask(
            "Runtime.evaluate",
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }),
        )
    }

    /// Waits until an expression holds. While a page is being left an expression may fail: that is not yet true.
    pub(crate) fn until(&mut self, expression: &str) {
        let started = Instant::now();
        loop {
            let answer = self.evaluate(expression);
            if answer["result"]["value"] == true {
                return;
            }
            if started.elapsed() > PATIENCE {
                let text = self.evaluate("document.body.innerText.slice(0, 1500)");
                panic!(
                    "never true: {expression}\nlast answer: {answer}\nthe page says: {}",
                    text["result"]["value"].as_str().unwrap_or("")
                );
            }
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    /// Opens an address as if typed.
    pub(crate) fn open(&mut self, address: &str) {
        self.ask("Page.navigate", json!({ "url": address }));
        self.until(&format!(
            "location.href.startsWith({}) && document.readyState === 'complete'",
            json!(address)
        ));
    }

    /// A real click into the middle of the first element of a selector, after scrolling it into view.
    pub(crate) fn click(&mut self, selector: &str) {
        let found = self.value(&format!(
            "(() => {{ const e = document.querySelector({}); if (!e) return null; e.scrollIntoView({{ block: 'center', inline: 'center', behavior: 'instant' }}); const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()",
            json!(selector)
        ));
        assert!(found.is_array(), "nothing to click: {selector}");
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let count = i32::from(kind != "mouseMoved");
            let button = if count == 1 { "left" } else { "none" };
            self.ask(
                "Input.dispatchMouseEvent",
                json!({ "type": kind, "x": found[0], "y": found[1], "button": button, "clickCount": count }),
            );
        }
    }

    /// The mouse comes to a place of the window.
    pub(crate) fn point_at(&mut self, x: f64, y: f64) {
        self.ask(
            "Input.dispatchMouseEvent",
            json!({ "type": "mouseMoved", "x": x, "y": y, "button": "none" }),
        );
    }

    /// A real key press.
    pub(crate) fn press(&mut self, key: &str) {
        // Named keys act by their code; letters by their text.
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            letter => letter.to_uppercase().bytes().next().map_or(0, i32::from),
        };
        let text = match key {
            "Enter" => "\r",
            letter if letter.len() == 1 => letter,
            _ => "",
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// The size of the window, as a phone has it or as a desk has it.
    pub(crate) fn size(&mut self, width: u32, height: u32, phone: bool) {
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone }),
        );
    }

    /// What the reader prefers: `("prefers-color-scheme", "dark")`.
    pub(crate) fn prefer(&mut self, features: &[(&str, &str)]) {
        let features: Vec<Value> =
            features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        self.ask("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What the page complained about since the start: errors on the console, uncaught exceptions, refused loads.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.events
            .iter()
            .filter(|event| is_complaint(event))
            .map(|event| event["params"].to_string())
            .collect()
    }

    /// Every address that was asked for since the start.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    /// Forgets what was recorded.
    pub(crate) fn forget(&mut self) {
        self.events.clear();
    }

    /// Writes a picture of the window, where the environment asks for pictures (`UPNEXT_PICTURES=FOLDER`).
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("UPNEXT_PICTURES") else { return };
        let shot = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = base64(shot["data"].as_str().expect("a picture"));
        let path = PathBuf::from(folder).join(format!("{name}.png"));
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Both may fail if the browser has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_complaint(event: &Value) -> bool {
    match event["method"].as_str() {
        Some("Runtime.exceptionThrown") => true,
        Some("Runtime.consoleAPICalled") => {
            matches!(event["params"]["type"].as_str(), Some("error" | "assert"))
        }
        Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
        _ => false,
    }
}

fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0u32, 0);
    for letter in text.bytes().filter(|&letter| letter != b'=') {
        let value = LETTERS.iter().position(|&known| known == letter).expect("base64 has 64 letters");
        held = (held << 6) | u32::try_from(value).expect("below 64");
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).expect("eight bits"));
        }
    }
    bytes
}
