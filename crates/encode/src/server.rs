//! Texts by a server that speaks `/v1/embeddings`, as OpenAI's and many since do.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::encoder::unit;
use crate::{EncodeError, Encoded, Encoder};

/// Which server, and how it is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Up to and with the version: `http://127.0.0.1:8000/v1`.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// The key, sent as a bearer; from the environment, so that no file holds it.
    #[serde(skip)]
    pub key: Option<String>,
    /// Numbers of a vector that the server is asked for, where it can shorten them.
    pub dim: Option<usize>,
    /// Stands before each text.
    pub prefix: String,
    /// Texts of a request.
    pub batch: usize,
    /// Requests a minute at most; 0 knows no bound.
    pub requests_per_minute: u32,
    /// How often a request is made again after the server did not answer, or asked to wait.
    pub retries: u32,
    /// Seconds that an answer may take.
    pub seconds_max: f64,
    /// Largest answer in bytes.
    pub answer_bytes_max: u64,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: String::new(),
            key: None,
            dim: None,
            prefix: String::new(),
            batch: 64,
            requests_per_minute: 0,
            retries: 5,
            seconds_max: 60.0,
            answer_bytes_max: 256 << 20,
        }
    }
}

/// A server that has answered once.
pub struct Server {
    settings: ServerSettings,
    agent: ureq::Agent,
    dim: usize,
    /// When the next request may begin.
    free_at: Mutex<Instant>,
}

/// What became of one request.
enum Answer {
    Rows(Vec<Vec<f32>>),
    /// Worth another try, after so long if the server says so.
    Later(String, Option<Duration>),
    /// Not worth another try; whether an input may be to blame.
    Never(String, bool),
}

/// The first wait before another try; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Server {
    /// Asks for one vector, to know that somebody answers and how long vectors are.
    ///
    /// # Errors
    /// When a setting cannot be meant, or the server does not answer as it should.
    pub fn open(settings: ServerSettings) -> Result<Self, EncodeError> {
        let wrong = |what: &str, reason: &str| Err(EncodeError::of(what, reason));
        if !(settings.url.starts_with("http://") || settings.url.starts_with("https://")) {
            return wrong(
                &settings.url,
                "expected the address of a server, such as http://127.0.0.1:8000/v1",
            );
        }
        if settings.key.is_some() && settings.url.starts_with("http://") && !is_of_this_machine(&settings.url)
        {
            return wrong(&settings.url, "a key is not sent without TLS to another machine: use https://");
        }
        if !(1..=4_096).contains(&settings.batch) {
            return wrong("batch", "expected 1 to 4096 texts a request");
        }
        if !(settings.seconds_max > 0.0 && settings.seconds_max <= 3_600.0) || settings.retries > 20 {
            return wrong("seconds_max", "expected above 0, at most 3600, and at most 20 retries");
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs_f64(settings.seconds_max)))
            .http_status_as_error(false)
            .max_redirects(0);
        // What goes to this machine goes through no other.
        let config = if is_of_this_machine(&settings.url) { config.proxy(None) } else { config }.build();
        let mut server = Self { settings, agent: config.into(), dim: 0, free_at: Mutex::new(Instant::now()) };
        let rows = server.ask(&["a video"])?;
        server.dim = rows[0].len();
        Ok(server)
    }

    fn endpoint(&self) -> String {
        format!("{}/embeddings", self.settings.url.trim_end_matches('/'))
    }

    /// Rows of some texts, tried again where that may help.
    fn ask(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let mut wait = FIRST_WAIT;
        let mut tried = 0;
        loop {
            self.wait_for_turn();
            let (reason, asked) = match self.request(texts) {
                Answer::Rows(rows) => return Ok(rows),
                Answer::Never(reason, is_of_input) => {
                    return Err(EncodeError { is_of_input, ..EncodeError::of(self.endpoint(), reason) });
                }
                Answer::Later(reason, asked) => (reason, asked),
            };
            if tried == self.settings.retries {
                let reason = format!("{reason}, {} times in a row", tried + 1);
                return Err(EncodeError::of(self.endpoint(), reason));
            }
            tried += 1;
            std::thread::sleep(asked.unwrap_or(wait).min(WAIT_MAX));
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Sleeps until the rate allows another request. Those who come later wait longer.
    fn wait_for_turn(&self) {
        if self.settings.requests_per_minute == 0 {
            return;
        }
        let between = Duration::from_secs(60) / self.settings.requests_per_minute;
        let mut free_at = self.free_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let begins = (*free_at).max(Instant::now());
        *free_at = begins + between;
        drop(free_at);
        std::thread::sleep(begins.saturating_duration_since(Instant::now()));
    }

    fn request(&self, texts: &[&str]) -> Answer {
        let input: Vec<String> = texts.iter().map(|text| format!("{}{text}", self.settings.prefix)).collect();
        let mut body = json!({ "model": self.settings.model, "input": input, "encoding_format": "float" });
        if let Some(dim) = self.settings.dim {
            body["dimensions"] = dim.into();
        }
        let mut request = self.agent.post(self.endpoint()).header("content-type", "application/json");
        if let Some(key) = &self.settings.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = match request.send(body.to_string()) {
            Ok(response) => response,
            Err(ureq::Error::BadUri(reason)) => return Answer::Never(reason, false),
            Err(error) => return Answer::Later(format!("no answer: {error}"), None),
        };
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let read = response.body_mut().with_config().limit(self.settings.answer_bytes_max).read_to_vec();
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => return Answer::Later(format!("the answer breaks off: {error}"), None),
        };
        match status {
            200 => match self.rows(&bytes, texts.len()) {
                Ok(rows) => Answer::Rows(rows),
                Err(reason) => Answer::Never(reason, true),
            },
            408 | 429 | 500..=599 => {
                let asked = after.map(Duration::from_secs);
                Answer::Later(format!("it answers {status}{}", said(&bytes)), asked)
            }
            // Too long, or not to be read: the other texts of the request may do.
            400 | 413 | 422 => Answer::Never(format!("it answers {status}{}", said(&bytes)), true),
            401 | 403 => Answer::Never(
                format!("it answers {status}{}: set the key in UPNEXT_EMBEDDINGS_KEY", said(&bytes)),
                false,
            ),
            _ => Answer::Never(format!("it answers {status}{}", said(&bytes)), false),
        }
    }

    /// The vectors of an answer, in the order of the inputs.
    fn rows(&self, bytes: &[u8], n: usize) -> Result<Vec<Vec<f32>>, String> {
        #[derive(Deserialize)]
        struct One {
            index: Option<usize>,
            embedding: Vec<f32>,
        }
        #[derive(Deserialize)]
        struct All {
            data: Vec<One>,
        }
        let all: All =
            serde_json::from_slice(bytes).map_err(|error| format!("no embeddings in its answer: {error}"))?;
        if all.data.len() != n {
            return Err(format!("{} vectors for {n} texts", all.data.len()));
        }
        let mut rows: Vec<Option<Vec<f32>>> = vec![None; n];
        for (place, one) in all.data.into_iter().enumerate() {
            let expected = if self.dim > 0 { self.dim } else { one.embedding.len() };
            if one.embedding.is_empty() || one.embedding.len() != expected {
                return Err(format!("a vector of {} numbers; expected {expected}", one.embedding.len()));
            }
            let index = one.index.unwrap_or(place);
            let row = unit(one.embedding).filter(|row| row.iter().all(|x| x.is_finite()));
            let row = row.ok_or("a vector of zeros, or with a number that is not finite")?;
            match rows.get_mut(index) {
                Some(free @ None) => *free = Some(row),
                _ => return Err(format!("index {index} is there twice, or beyond {n} texts")),
            }
        }
        rows.into_iter().collect::<Option<Vec<_>>>().ok_or_else(|| "an index is missing".into())
    }
}

/// Whether an address leads to this machine.
fn is_of_this_machine(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    // A name before `@` is who asks, not where.
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = if host.starts_with('[') {
        host.split(']').next().unwrap_or_default()
    } else {
        host.split(':').next().unwrap_or_default()
    };
    matches!(host, "localhost" | "127.0.0.1" | "[::1")
}

/// What a server says of an error, shortened.
fn said(bytes: &[u8]) -> String {
    const CHARS_MAX: usize = 200;
    let json: Option<Value> = serde_json::from_slice(bytes).ok();
    let said =
        json.as_ref().and_then(|json| json["error"]["message"].as_str().or_else(|| json["message"].as_str()));
    match said {
        Some(said) => format!(", `{}`", said.chars().take(CHARS_MAX).collect::<String>()),
        None => String::new(),
    }
}

impl Encoder<str> for Server {
    fn name(&self) -> String {
        format!("`{}` of {}, {} numbers", self.settings.model, self.settings.url, self.dim)
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn is_unit(&self) -> bool {
        true
    }

    /// The server may change its model behind our back: then the cache must be left out.
    fn digest(&self) -> String {
        let ServerSettings { url, model, dim, prefix, .. } = &self.settings;
        blake3::hash(format!("server 1 {url:?} {model:?} {dim:?} {prefix:?} {}", self.dim).as_bytes())
            .to_hex()
            .to_string()
    }

    fn batch(&self) -> usize {
        self.settings.batch
    }

    fn encode(&self, inputs: &[Option<&str>]) -> Result<Encoded, EncodeError> {
        let mut rows: Vec<Option<Vec<f32>>> = vec![None; inputs.len()];
        let there: Vec<(usize, &str)> = inputs
            .iter()
            .enumerate()
            .filter_map(|(at, text)| Some((at, (*text)?)))
            .filter(|(_, text)| !text.is_empty())
            .collect();
        for part in there.chunks(self.settings.batch) {
            let texts: Vec<&str> = part.iter().map(|(_, text)| *text).collect();
            for ((at, _), row) in part.iter().zip(self.ask(&texts)?) {
                rows[*at] = Some(row);
            }
        }
        Ok(Encoded::of_rows(self.dim, &rows))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::contract;

    /// A server that answers each request by a function of its number and its body.
    fn serving(
        answer: impl Fn(usize, &Value) -> String + Send + Sync + 'static,
    ) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (asked, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answer, count) = (stream.unwrap(), Arc::clone(&answer), Arc::clone(&count));
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || {
                    let mut read = Vec::new();
                    let mut buffer = [0; 4_096];
                    let body = loop {
                        let got = stream.read(&mut buffer).unwrap_or(0);
                        if got == 0 {
                            return;
                        }
                        read.extend_from_slice(&buffer[..got]);
                        let text = String::from_utf8_lossy(&read).into_owned();
                        if let Some((_, body)) = text.split_once("\r\n\r\n")
                            && let Ok(body) = serde_json::from_str::<Value>(body)
                        {
                            break body;
                        }
                    };
                    counted.fetch_add(1, Ordering::SeqCst);
                    let said = answer(count.fetch_add(1, Ordering::SeqCst), &body);
                    let _ = stream.write_all(said.as_bytes());
                });
            }
        });
        (url, asked)
    }

    fn http(status: u16, head: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{head}\r\n{body}",
            body.len()
        )
    }

    /// A vector that tells texts apart: their lengths and first letters.
    fn vectors(body: &Value) -> String {
        let texts = body["input"].as_array().unwrap();
        let one = |(at, text): (usize, &Value)| {
            let text = text.as_str().unwrap();
            json!({ "index": at, "embedding": [text.len(), text.bytes().next().unwrap_or(0), 1] })
        };
        // Backwards: the index counts, not the place.
        let data: Vec<Value> = texts.iter().enumerate().map(one).rev().collect();
        http(200, "", &json!({ "data": data }).to_string())
    }

    fn settings(url: String) -> ServerSettings {
        ServerSettings {
            url,
            model: "small".into(),
            retries: 2,
            seconds_max: 0.6,
            batch: 2,
            ..ServerSettings::default()
        }
    }

    #[test]
    fn a_server_that_answers_passes_the_contract() {
        let (url, asked) = serving(|_, body| {
            assert_eq!(body["model"], "small");
            vectors(body)
        });
        let server = Server::open(settings(url)).unwrap();
        contract::check::<str>(&server, &["a", "bcd", "ef", "g", "hij"]);
        let before = asked.load(Ordering::SeqCst);
        server.encode(&["a", "b", "c"].map(Some)).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst) - before, 2, "two texts a request");
    }

    #[test]
    fn what_passes_by_is_tried_again_and_what_does_not_is_told() {
        let (url, asked) = serving(|n, body| match n {
            0 => http(503, "", ""),
            1 => http(429, "retry-after: 0\r\n", ""),
            _ => vectors(body),
        });
        assert!(Server::open(settings(url)).is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        for (answer, expected) in [
            (http(401, "", r#"{"error":{"message":"no key"}}"#), "401, `no key`: set the key"),
            (http(500, "", ""), "it answers 500, 3 times in a row"),
            (http(200, "", r#"{"data":[]}"#), "0 vectors for 1 texts"),
            (http(200, "", "<html>"), "no embeddings in its answer"),
            (http(200, "", r#"{"data":[{"embedding":[0.0,0.0]}]}"#), "a vector of zeros"),
            (http(200, "", r#"{"data":[{"index":7,"embedding":[1.0]}]}"#), "index 7"),
            (http(302, "location: http://127.0.0.1:1/\r\n", ""), "it answers 302"),
        ] {
            let (url, _) = serving(move |_, _| answer.clone());
            let error = Server::open(settings(url)).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}; expected {expected}");
        }
    }

    #[test]
    fn one_that_is_slow_gone_or_changes_its_mind_is_an_error() {
        let (url, _) = serving(|n, body| {
            if n > 0 {
                std::thread::sleep(Duration::from_secs(3));
            }
            vectors(body)
        });
        let server = Server::open(ServerSettings { retries: 0, ..settings(url) }).unwrap();
        assert!(server.encode(&[Some("late")]).unwrap_err().reason.contains("no answer"));
        let gone = Server::open(ServerSettings { retries: 0, ..settings("http://127.0.0.1:1/v1".into()) });
        assert!(gone.err().unwrap().reason.contains("no answer"));
        let (url, _) =
            serving(
                |n, body| {
                    if n == 0 { vectors(body) } else { http(200, "", r#"{"data":[{"embedding":[1,2]}]}"#) }
                },
            );
        let server = Server::open(settings(url)).unwrap();
        assert!(server.encode(&[Some("a")]).unwrap_err().reason.contains("2 numbers; expected 3"));
        let (url, _) = serving(|n, body| {
            if n == 0 { vectors(body) } else { http(400, "", r#"{"error":{"message":"too long"}}"#) }
        });
        let error = Server::open(settings(url)).unwrap().encode(&[Some("a")]).unwrap_err();
        assert!(error.is_of_input && error.reason.contains("too long"), "{error}");
    }

    #[test]
    fn requests_keep_to_the_rate() {
        let (url, _) = serving(|_, body| vectors(body));
        let server = Server::open(ServerSettings { requests_per_minute: 600, ..settings(url) }).unwrap();
        let begun = Instant::now();
        server.encode(&["a", "b", "c", "d", "e", "f"].map(Some)).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(200), "three requests, a tenth of a second apart");
    }

    #[test]
    fn a_key_does_not_travel_in_the_open() {
        let with_key = |url: &str| {
            let settings = ServerSettings { key: Some("k".into()), retries: 0, ..settings(url.into()) };
            Server::open(settings).err().unwrap().to_string()
        };
        assert!(with_key("http://192.0.2.1/v1").contains("without TLS"));
        assert!(with_key("http://localhost@192.0.2.1/v1").contains("without TLS"));
        assert!(with_key("http://192.0.2.1?@127.0.0.1/v1").contains("without TLS"));
        assert!(with_key("http://localhost.example/v1").contains("without TLS"));
        assert!(!with_key("http://127.0.0.1:1/v1").contains("without TLS"));
        assert!(with_key("ftp://x").contains("expected the address"));
    }
}
