//! Hearing of what other processes changed: `LISTEN` on a connection of its own.
//!
//! A writer notifies in its commit, so who hears of a change finds it. A lost connection may have lost news; after it everything counts
//! as changed, and while there is none every look does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::connect::Server;
use crate::StoreError;
use crate::version::{Versions, user_hash};

/// The channel's name.
pub(super) const CHANNEL: &str = "upnext";

/// Users that one notification names: PostgreSQL takes less than 8,000 bytes.
const USERS_PER_NEWS: usize = 800;

/// Users beyond which everybody's feedback counts as changed.
const USERS_NAMED_MAX: usize = 8_000;

/// How long to wait before the next try to connect, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What a commit changed, for those who remember something.
#[derive(Debug, Default)]
pub(super) struct News {
    videos: bool,
    everybody: bool,
    feedback: bool,
    users: Vec<u32>,
}

impl News {
    pub(super) fn videos(&mut self) {
        self.videos = true;
    }

    pub(super) fn feedback_of_everybody(&mut self) {
        self.everybody = true;
    }

    pub(super) fn feedback_of<'a>(&mut self, users: impl IntoIterator<Item = &'a str>) {
        self.feedback = true;
        self.users(users);
    }

    pub(super) fn users<'a>(&mut self, users: impl IntoIterator<Item = &'a str>) {
        self.users.extend(users.into_iter().map(user_hash));
    }

    /// What to notify, each with the writer's name in front, so that it need not listen to itself.
    pub(super) fn payloads(mut self, writer: &str) -> Vec<String> {
        self.users.sort_unstable();
        self.users.dedup();
        let mut all = Vec::new();
        if self.videos {
            all.push(format!("{writer} videos"));
        }
        if self.everybody || self.users.len() > USERS_NAMED_MAX {
            all.push(format!("{writer} everybody"));
            return all;
        }
        let what = if self.feedback { "feedback" } else { "users" };
        for part in self.users.chunks(USERS_PER_NEWS) {
            let hashes: String = part.iter().map(|hash| format!(" {hash:x}")).collect();
            all.push(format!("{writer} {what}{hashes}"));
        }
        all
    }
}

/// Takes note of what was notified, unless by the writer that is to be skipped.
fn heard(payload: &str, skip: Option<&str>, versions: &Versions) {
    let mut words = payload.split(' ');
    let writer = words.next();
    if skip.is_some() && writer == skip {
        return;
    }
    let what = words.next().unwrap_or_default();
    match what {
        "videos" => versions.videos_changed(),
        "users" | "feedback" => {
            for word in words {
                match u32::from_str_radix(word, 16) {
                    Ok(hash) => versions.user_changed(hash),
                    Err(_) => versions.everything_changed(),
                }
            }
            if what == "feedback" {
                versions.feedback_changed([]);
            }
        }
        "everybody" => versions.all_feedback_changed(),
        // A newer build may know more.
        _ => versions.everything_changed(),
    }
}

/// What a process knows of changes, its own and others'.
#[derive(Default)]
pub(super) struct Hearing {
    /// The name under which this process notifies.
    pub(super) writer: String,
    pub(super) versions: Versions,
    /// Whether others are heard at present.
    pub(super) is_open: AtomicBool,
    /// Whether a change of this process may have been committed without its knowing; from then on it listens to itself too.
    pub(super) is_unsure: AtomicBool,
}

impl Hearing {
    fn hear(&self, payload: &str) {
        let is_sure = !self.is_unsure.load(Ordering::Acquire);
        heard(payload, is_sure.then_some(self.writer.as_str()), &self.versions);
    }
}

/// Listens until the runtime ends; tells `opened` once how the first try went.
pub(super) async fn listen(
    server: Arc<Server>,
    hearing: Arc<Hearing>,
    check_every: Duration,
    opened: SyncSender<Result<(), StoreError>>,
) {
    let mut wait = RETRY_MIN;
    loop {
        let ear = Arc::clone(&hearing);
        let hears = Box::new(move |news: &tokio_postgres::Notification| ear.hear(news.payload()));
        let connection = match server.connect_to_hear(hears).await {
            Ok(connection) => connection,
            Err(error) => {
                // Only the first try has somebody who waits.
                let _ = opened.try_send(Err(error));
                sleep(wait).await;
                wait = (2 * wait).min(RETRY_MAX);
                continue;
            }
        };
        let mut answers =
            matches!(timeout(server.answer_max(), connection.run("LISTEN upnext")).await, Ok(Ok(())));
        if answers {
            hearing.versions.everything_changed();
            hearing.is_open.store(true, Ordering::Release);
            let _ = opened.try_send(Ok(()));
            wait = RETRY_MIN;
        }
        // A connection can be dead without a word; then nothing is heard on it.
        while answers {
            sleep(check_every).await;
            answers = matches!(timeout(server.answer_max(), connection.run("SELECT 1")).await, Ok(Ok(())));
        }
        hearing.is_open.store(false, Ordering::Release);
        sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one process notifies, as another hears it.
    fn told(news: News, to: &Versions) {
        for payload in news.payloads("w1") {
            assert!(payload.len() < 8_000, "{} bytes are more than PostgreSQL takes", payload.len());
            heard(&payload, Some("w2"), to);
        }
    }

    #[test]
    fn news_name_what_changed_and_nothing_else() {
        let versions = Versions::default();
        let (before, ann, bob) = (versions.version(), versions.of_user("ann"), versions.of_user("bob"));
        let mut news = News::default();
        news.feedback_of(["ann"]);
        told(news, &versions);
        assert_ne!(versions.of_user("ann"), ann);
        assert_eq!(versions.of_user("bob"), bob);
        assert!(versions.version().feedback > before.feedback);
        assert_eq!(versions.version().videos, before.videos);

        let (before, ann) = (versions.version(), versions.of_user("ann"));
        let mut news = News::default();
        news.users(["bob"]);
        news.videos();
        told(news, &versions);
        assert_ne!(versions.of_user("bob"), bob);
        assert_eq!(versions.of_user("ann"), ann);
        assert_eq!(versions.version().feedback, before.feedback, "a profile is no feedback");
        assert!(versions.version().videos > before.videos);
    }

    #[test]
    fn of_too_many_users_all_count_as_changed() {
        let names: Vec<String> = (0..20_000).map(|at| format!("u{at}")).collect();
        for n in [1_000, 20_000] {
            let versions = Versions::default();
            let before: Vec<u64> = names[..n].iter().map(|name| versions.of_user(name)).collect();
            let mut news = News::default();
            news.feedback_of(names[..n].iter().map(String::as_str));
            told(news, &versions);
            let changed = names[..n].iter().zip(before).filter(|(name, was)| versions.of_user(name) != *was);
            assert_eq!(changed.count(), n);
        }
    }

    #[test]
    fn a_process_does_not_listen_to_itself_and_fears_what_it_does_not_know() {
        let versions = Versions::default();
        let before = (versions.version(), versions.of_user("ann"));
        heard("w1 everybody", Some("w1"), &versions);
        heard("w1 videos", Some("w1"), &versions);
        assert_eq!((versions.version(), versions.of_user("ann")), before);
        heard("w1 everybody", None, &versions);
        assert_ne!(versions.of_user("ann"), before.1, "unless it does not know what became of its change");
        for odd in ["", "w2 feedback zz", "w2 something new"] {
            let before = versions.of_user("ann");
            heard(odd, Some("w1"), &versions);
            assert_ne!(versions.of_user("ann"), before, "{odd:?}");
        }
    }
}
