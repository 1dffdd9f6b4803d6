//! The one task that writes. Calls that arrive while it commits share the next transaction.
//!
//! Processes take turns: a transaction first locks the only row of `store`, so rows are numbered in the order in which they can be seen.
//! Each counts its commits in `writers`. When the connection breaks while a commit is under way, that row tells whether it was made, so
//! that a change is repeated only when it was not.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::Row;

use super::connect::{Connection, Server, is_gone, said};
use super::listen::{CHANNEL, News};
use super::rows;
use crate::feedback::OwnStep;
use crate::{
    Feedback, Identified, Receipt, StoreConfig, StoreError, StoredUser, StoredVideo, UserPatch, VideoPatch,
    Write,
};

/// What is to be written.
pub(super) enum Change {
    Append { feedback: Vec<Feedback>, write: Write },
    AppendOnce { events: Vec<Identified>, step: Option<OwnStep>, now: i64 },
    DeleteFeedback { kind: Option<String>, user: String, video: String },
    PutUsers(Vec<StoredUser>),
    PatchUser { id: String, patch: UserPatch },
    DeleteUser { id: String },
    Forget { id: String, now: i64 },
    Expire { before: i64, n_rows_max: usize },
    PutVideos(Vec<StoredVideo>),
    PatchVideo { id: String, patch: VideoPatch },
    DeleteVideo { id: String },
}

/// What a change came to.
pub(super) enum Answer {
    /// A user was forgotten.
    Forgotten(Receipt),
    /// How many rows were written or deleted.
    Rows(usize),
    /// Whether there was something to change.
    Was(bool),
    /// It would break a bound.
    Refused(StoreError),
}

impl Change {
    fn n_rows(&self) -> usize {
        match self {
            Self::Append { feedback, .. } => feedback.len(),
            Self::AppendOnce { events, .. } => events.len().max(1),
            Self::PutUsers(users) => users.len(),
            Self::PutVideos(videos) => videos.len(),
            _ => 1,
        }
    }

    fn tell(&self, news: &mut News) {
        match self {
            Self::Append { feedback, .. } => news.feedback_of(feedback.iter().map(|f| f.user.as_str())),
            Self::AppendOnce { events, .. } => {
                news.feedback_of(events.iter().map(|event| event.feedback.user.as_str()));
            }
            Self::DeleteFeedback { user, .. } => news.feedback_of([user.as_str()]),
            Self::PutUsers(users) => news.users(users.iter().map(|user| user.id.as_str())),
            Self::PatchUser { id, .. } => news.users([id.as_str()]),
            Self::Expire { .. } => news.feedback_of_everybody(),
            Self::DeleteUser { id } | Self::Forget { id, .. } => news.feedback_of([id.as_str()]),
            Self::PutVideos(_) | Self::PatchVideo { .. } => news.videos(),
            Self::DeleteVideo { .. } => {
                news.videos();
                news.feedback_of_everybody();
            }
        }
    }
}

struct Call {
    change: Change,
    doing: &'static str,
    reply: SyncSender<Result<Answer, StoreError>>,
}

/// The way to the task that writes.
pub(super) struct Writer {
    queue: Sender<Call>,
    waiting_rows: Arc<AtomicUsize>,
    queue_rows_max: usize,
    retry_milliseconds: u64,
    server: Arc<Server>,
}

impl Writer {
    /// Starts the task on the runtime of whoever calls.
    pub(super) fn start(server: Arc<Server>, name: String, config: &StoreConfig) -> Self {
        let (queue, calls) = channel(config.queue_calls_max.max(1));
        let waiting_rows = Arc::new(AtomicUsize::new(0));
        let work = Work {
            calls,
            server: Arc::clone(&server),
            name,
            connection: None,
            commits: 0,
            commit_rows_max: config.commit_rows_max,
            commit_max: Duration::from_millis(config.server_commit_milliseconds_max),
            retry: Duration::from_millis(config.retry_milliseconds),
            waiting_rows: Arc::clone(&waiting_rows),
            limits: config.clone(),
        };
        tokio::spawn(work.run());
        let (queue_rows_max, retry_milliseconds) = (config.queue_rows_max, config.retry_milliseconds);
        Self { queue, waiting_rows, queue_rows_max, retry_milliseconds, server }
    }

    /// Queues a change and waits until it is committed, or failed.
    pub(super) fn commit(&self, doing: &'static str, change: Change) -> Result<Answer, StoreError> {
        let busy = |what| StoreError::Busy { what, retry_milliseconds: self.retry_milliseconds };
        let ended = || self.server.failed(doing, "the task that writes has ended".into());
        let n_rows = change.n_rows();
        // A call larger than the bound is let in when nothing else waits.
        let before = self.waiting_rows.fetch_add(n_rows, Ordering::AcqRel);
        if before > 0 && before + n_rows > self.queue_rows_max {
            self.waiting_rows.fetch_sub(n_rows, Ordering::AcqRel);
            return Err(busy("too many rows wait to be written"));
        }
        let (reply, answer) = sync_channel(1);
        if let Err(error) = self.queue.try_send(Call { change, doing, reply }) {
            self.waiting_rows.fetch_sub(n_rows, Ordering::AcqRel);
            return Err(match error {
                TrySendError::Full(_) => busy("too many calls wait to be written"),
                TrySendError::Closed(_) => ended(),
            });
        }
        answer.recv().unwrap_or_else(|_| Err(ended()))
    }
}

struct Work {
    calls: Receiver<Call>,
    server: Arc<Server>,
    name: String,
    connection: Option<Connection>,
    /// How many transactions of this process were numbered.
    commits: i64,
    commit_rows_max: usize,
    commit_max: Duration,
    retry: Duration,
    waiting_rows: Arc<AtomicUsize>,
    limits: StoreConfig,
}

/// Why a transaction was not made.
enum Undone {
    /// The connection or the server is gone; it may be tried again.
    Gone(String),
    /// The server refuses a statement.
    Refused(String),
    /// Time is up.
    Late,
    /// The tables are another build's.
    Version(i64),
}

impl From<tokio_postgres::Error> for Undone {
    fn from(error: tokio_postgres::Error) -> Self {
        match is_gone(&error) {
            true => Self::Gone(said(&error)),
            false => Self::Refused(said(&error)),
        }
    }
}

impl Work {
    async fn run(mut self) {
        while let Some(first) = self.calls.recv().await {
            let mut n_rows = first.change.n_rows();
            let mut calls = vec![first];
            while n_rows < self.commit_rows_max
                && let Ok(call) = self.calls.try_recv()
            {
                n_rows += call.change.n_rows();
                calls.push(call);
            }
            self.write(calls).await;
            self.waiting_rows.fetch_sub(n_rows, Ordering::AcqRel);
        }
    }

    /// All calls in one transaction; if the server refuses it, each in its own, so that one that fails takes no other along.
    async fn write(&mut self, calls: Vec<Call>) {
        match self.committed(&calls).await {
            Ok(answers) => {
                for (call, answer) in calls.into_iter().zip(answers) {
                    let answer = match answer {
                        Answer::Refused(error) => Err(error),
                        answer => Ok(answer),
                    };
                    // A caller that went away has nothing to hear.
                    let _ = call.reply.send(answer);
                }
            }
            Err(Failure { why: Why::Refused(_), .. }) if calls.len() > 1 => {
                for call in calls {
                    Box::pin(self.write(vec![call])).await;
                }
            }
            Err(failure) => {
                for call in calls {
                    let error = self.error(&failure, call.doing);
                    let _ = call.reply.send(Err(error));
                }
            }
        }
    }

    fn error(&self, failure: &Failure, doing: &'static str) -> StoreError {
        let server = self.server.name().to_owned();
        match &failure.why {
            Why::Version(found) => {
                StoreError::Tables { server, found: *found, expected: rows::TABLES_VERSION }
            }
            Why::Refused(message) => self.server.failed(doing, message.clone()),
            Why::Gone(message) if failure.in_doubt => {
                StoreError::Unsure { server, doing, message: message.clone() }
            }
            Why::Gone(message) => self.server.unreachable(message.clone()),
        }
    }

    /// Commits, trying again for as long as it may take; the answers if it is known to be committed.
    async fn committed(&mut self, calls: &[Call]) -> Result<Vec<Answer>, Failure> {
        self.commits += 1;
        let until = Instant::now() + self.commit_max;
        let mut doubt: Option<Vec<Answer>> = None;
        loop {
            let connection = match self.connection.take() {
                Some(connection) => Ok(connection),
                None => match timeout_at(until, self.server.connect()).await {
                    Ok(Ok(connection)) => Ok(connection),
                    Ok(Err(StoreError::Unreachable { message, .. })) => Err(Undone::Gone(message)),
                    Ok(Err(error)) => Err(Undone::Gone(error.to_string())),
                    Err(_) => Err(Undone::Late),
                },
            };
            let undone = match connection {
                Err(undone) => undone,
                Ok(connection) => {
                    let tried = timeout_at(until, self.transaction(&connection, calls, &mut doubt)).await;
                    match tried.unwrap_or(Err(Undone::Late)) {
                        Ok(answers) => {
                            self.connection = Some(connection);
                            return Ok(answers);
                        }
                        Err(Undone::Refused(message)) => {
                            doubt = None;
                            // What was begun ends with the connection, unless it can be used again.
                            if let Ok(Ok(())) = timeout_at(until, connection.run("ROLLBACK")).await {
                                self.connection = Some(connection);
                            }
                            Undone::Refused(message)
                        }
                        Err(undone) => undone,
                    }
                }
            };
            let in_doubt = doubt.is_some();
            let why = match undone {
                Undone::Refused(message) => Why::Refused(message),
                Undone::Version(found) => Why::Version(found),
                Undone::Late => {
                    Why::Gone(format!("the change took more than {} ms", self.commit_max.as_millis()))
                }
                Undone::Gone(_) if Instant::now() + self.retry < until => {
                    sleep(self.retry).await;
                    continue;
                }
                Undone::Gone(message) => Why::Gone(message),
            };
            return Err(Failure { why, in_doubt });
        }
    }

    /// One transaction. `doubt` holds its answers from the moment in which it may have been committed.
    async fn transaction(
        &self,
        connection: &Connection,
        calls: &[Call],
        doubt: &mut Option<Vec<Answer>>,
    ) -> Result<Vec<Answer>, Undone> {
        connection.run("BEGIN").await?;
        let found = number(&connection.query(rows::TAKE_TURN, &[]).await?);
        if found != Some(rows::TABLES_VERSION) {
            return Err(Undone::Version(found.unwrap_or_default()));
        }
        // With the turn taken, nothing of an earlier try can be under way any more.
        if doubt.is_some() {
            let last = number(&connection.query(rows::COMMITS, &[&self.name]).await?);
            if let Some(answers) = doubt.take_if(|_| last == Some(self.commits)) {
                let _ = connection.run("ROLLBACK").await;
                return Ok(answers);
            }
            *doubt = None;
        }
        let answers = apply(connection, calls, &self.limits).await?;
        connection.execute(rows::COUNT_COMMIT, &[&self.name, &self.commits]).await?;
        let mut news = News::default();
        calls.iter().for_each(|call| call.change.tell(&mut news));
        connection.query(rows::NOTIFY, &[&CHANNEL, &news.payloads(&self.name)]).await?;
        let answers = doubt.insert(answers);
        connection.run("COMMIT").await?;
        Ok(std::mem::take(answers))
    }
}

struct Failure {
    why: Why,
    /// Whether it may have been committed all the same.
    in_doubt: bool,
}

enum Why {
    Gone(String),
    Refused(String),
    Version(i64),
}

fn number(rows: &[Row]) -> Option<i64> {
    rows.first().and_then(|row| row.try_get(0).ok())
}

/// Runs the changes in their order. Feedback that stands side by side is written together.
async fn apply(
    connection: &Connection,
    calls: &[Call],
    limits: &StoreConfig,
) -> Result<Vec<Answer>, tokio_postgres::Error> {
    let mut answers = Vec::with_capacity(calls.len());
    let mut gathered: Vec<(&Feedback, Write)> = Vec::new();
    for call in calls {
        if let Change::Append { feedback, write } = &call.change {
            gathered.extend(feedback.iter().map(|row| (row, *write)));
            answers.push(Answer::Rows(feedback.len()));
        } else {
            append(connection, &std::mem::take(&mut gathered)).await?;
            answers.push(change(connection, &call.change, limits).await?);
        }
    }
    append(connection, &gathered).await?;
    Ok(answers)
}

/// A statement cannot meet a key twice, so that a key's second row waits for the second round.
async fn append(connection: &Connection, all: &[(&Feedback, Write)]) -> Result<(), tokio_postgres::Error> {
    if all.is_empty() {
        return Ok(());
    }
    let users: HashSet<&str> = all.iter().map(|(row, _)| row.user.as_str()).collect();
    let users: Vec<String> = users.into_iter().map(rows::stored).collect();
    connection.execute(rows::SEE_USERS, &[&users]).await?;
    let mut met: HashMap<(&str, &str, &str), usize> = HashMap::with_capacity(all.len());
    let mut rounds: Vec<[Vec<&Feedback>; 2]> = Vec::new();
    for (row, write) in all {
        let round = met.entry((&row.user, &row.video, &row.kind)).or_default();
        if rounds.len() == *round {
            rounds.push(Default::default());
        }
        rounds[*round][usize::from(*write == Write::Overwrite)].push(row);
        *round += 1;
    }
    for [accumulated, overwritten] in rounds {
        put_feedback(connection, rows::ACCUMULATE, &accumulated).await?;
        put_feedback(connection, rows::OVERWRITE, &overwritten).await?;
    }
    Ok(())
}

async fn put_feedback(
    connection: &Connection,
    sql: &'static str,
    feedback: &[&Feedback],
) -> Result<(), tokio_postgres::Error> {
    if feedback.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&Feedback) -> &str| -> Vec<String> {
        feedback.iter().map(|row| rows::stored(of(row))).collect()
    };
    let (users, videos, kinds) = (texts(|f| &f.user), texts(|f| &f.video), texts(|f| &f.kind));
    let values: Vec<f64> = feedback.iter().map(|row| row.value).collect();
    let times: Vec<i64> = feedback.iter().map(|row| row.time).collect();
    let labels: Vec<Option<String>> = feedback.iter().map(|row| rows::json_or_null(&row.labels)).collect();
    let comments = texts(|f| &f.comment);
    connection.execute(sql, &[&users, &videos, &kinds, &values, &times, &labels, &comments]).await.map(drop)
}

async fn change(
    connection: &Connection,
    change: &Change,
    limits: &StoreConfig,
) -> Result<Answer, tokio_postgres::Error> {
    match change {
        Change::Append { feedback, write } => {
            let all: Vec<_> = feedback.iter().map(|row| (row, *write)).collect();
            append(connection, &all).await?;
            Ok(Answer::Rows(feedback.len()))
        }
        Change::AppendOnce { events, step, now } => {
            append_once(connection, events, step.as_ref(), *now, limits).await
        }
        Change::DeleteFeedback { kind, user, video } => {
            let kind = kind.as_deref().map(rows::stored);
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&rows::stored(user), &rows::stored(video), &kind];
            Ok(Answer::Rows(connection.execute(rows::DELETE_FEEDBACK, &parameters).await?))
        }
        Change::PutUsers(users) => {
            put_users(connection, users).await?;
            Ok(Answer::Rows(users.len()))
        }
        Change::PatchUser { id, patch } => {
            let found = connection.query(rows::USER, &[&rows::stored(id)]).await?;
            let Some(Ok(mut user)) = found.first().map(rows::user) else { return Ok(Answer::Was(false)) };
            patch.apply(&mut user);
            put_users(connection, &[user]).await?;
            Ok(Answer::Was(true))
        }
        Change::DeleteUser { id } => {
            let id = rows::stored(id);
            let gone = connection.execute(rows::DELETE_FEEDBACK_OF_USER, &[&id]).await?;
            let was = !connection.query(rows::USER, &[&id]).await?.is_empty();
            connection.execute(rows::BURY_USER, &[&id]).await?;
            Ok(Answer::Was(was || gone > 0))
        }
        Change::Forget { id, now } => {
            let id = rows::stored(id);
            let kinds = connection.query(rows::FORGET_FEEDBACK, &[&id]).await?;
            let counted = |row: &Row| Ok((rows::text(row, 0)?, rows::cell::<i64>(row, 1)?.unsigned_abs()));
            let kinds: Result<BTreeMap<String, u64>, String> = kinds.iter().map(counted).collect();
            let profiles = connection.execute(rows::FORGET_USER, &[&id]).await?;
            let before = connection.query(rows::LAST_RECEIPT, &[]).await?;
            let before = before.first().and_then(|row| rows::text(row, 0).ok()).unwrap_or_default();
            let receipt = Receipt::new(&before, *now, profiles as u64, kinds.unwrap_or_default());
            let feedback = serde_json::json!(receipt.feedback).to_string();
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&receipt.time, &(profiles as i64), &feedback, &receipt.digest];
            connection.execute(rows::PUT_RECEIPT, &parameters).await?;
            Ok(Answer::Forgotten(receipt))
        }
        Change::Expire { before, n_rows_max } => {
            let limit = i64::try_from(*n_rows_max).unwrap_or(i64::MAX);
            Ok(Answer::Rows(connection.execute(rows::EXPIRE, &[before, &limit]).await?))
        }
        Change::PutVideos(videos) => {
            put_videos(connection, videos).await?;
            Ok(Answer::Rows(videos.len()))
        }
        Change::PatchVideo { id, patch } => {
            let found = connection.query(rows::VIDEO, &[&rows::stored(id)]).await?;
            let Some(Ok(mut video)) = found.first().map(rows::video) else { return Ok(Answer::Was(false)) };
            patch.apply(&mut video);
            if let Err(error) = limits.check_categories(0, &video.categories) {
                return Ok(Answer::Refused(error));
            }
            put_videos(connection, &[video]).await?;
            Ok(Answer::Was(true))
        }
        Change::DeleteVideo { id } => {
            let id = rows::stored(id);
            let gone = connection.execute(rows::DELETE_FEEDBACK_ON_VIDEO, &[&id]).await?;
            let was = !connection.query(rows::VIDEO, &[&id]).await?.is_empty();
            connection.execute(rows::BURY_VIDEO, &[&id]).await?;
            Ok(Answer::Was(was || gone > 0))
        }
    }
}

/// Writes the events whose ids are new, if the store stands where the step begins.
async fn append_once(
    connection: &Connection,
    events: &[Identified],
    step: Option<&OwnStep>,
    now: i64,
    limits: &StoreConfig,
) -> Result<Answer, tokio_postgres::Error> {
    if let Some(OwnStep { stream, from, to }) = step {
        let name = rows::stored(stream);
        let found = number(&connection.query(rows::POSITION, &[&name]).await?);
        let found = found.unwrap_or_default().unsigned_abs();
        if found != *from {
            let (stream, expected) = (stream.clone(), *from);
            return Ok(Answer::Refused(StoreError::Moved { stream, found, expected }));
        }
        let to = i64::try_from(*to).unwrap_or(i64::MAX);
        connection.execute(rows::STEP, &[&name, &to]).await?;
    }
    let since = limits.event_ids_since(now);
    let digests: BTreeSet<String> = events.iter().filter_map(Identified::digest).collect();
    let mut new: HashSet<String> = HashSet::new();
    if !digests.is_empty() {
        let digests: Vec<String> = digests.into_iter().collect();
        let found = connection.query(rows::NEW_EVENT_IDS, &[&digests, &now, &since]).await?;
        new.extend(found.iter().filter_map(|row| rows::text(row, 0).ok()));
    }
    // Of two with one id the first counts, which takes it out.
    let mut is_new = |event: &&Identified| event.digest().is_none_or(|digest| new.remove(&digest));
    let all: Vec<&Identified> = events.iter().filter(|event| is_new(event)).collect();
    // What is added and what replaces may meet in a key, so the order of the call is kept.
    for run in all.chunk_by(|a, b| a.write == b.write) {
        let run: Vec<_> = run.iter().map(|event| (&event.feedback, event.write)).collect();
        append(connection, &run).await?;
    }
    // More than came in, so that a backlog goes away.
    let limit = 2 * events.len() as i64 + 100;
    connection.execute(rows::FORGET_EVENT_IDS, &[&since, &limit]).await?;
    Ok(Answer::Rows(all.len()))
}

/// The last of each id, since a statement cannot meet one twice.
fn last_of_each<T>(all: &[T], id: impl Fn(&T) -> &str) -> Vec<&T> {
    let last: HashMap<&str, usize> = all.iter().enumerate().map(|(at, one)| (id(one), at)).collect();
    let of_last = |(at, one): &(usize, &T)| last.get(id(one)) == Some(at);
    all.iter().enumerate().filter(of_last).map(|(_, one)| one).collect()
}

async fn put_users(connection: &Connection, users: &[StoredUser]) -> Result<(), tokio_postgres::Error> {
    let users = last_of_each(users, |user| &user.id);
    let ids: Vec<String> = users.iter().map(|user| rows::stored(&user.id)).collect();
    let labels: Vec<Option<String>> = users.iter().map(|user| rows::json_or_null(&user.labels)).collect();
    let comments: Vec<String> = users.iter().map(|user| rows::stored(&user.comment)).collect();
    connection.execute(rows::PUT_USERS, &[&ids, &labels, &comments]).await.map(drop)
}

async fn put_videos(connection: &Connection, videos: &[StoredVideo]) -> Result<(), tokio_postgres::Error> {
    let videos = last_of_each(videos, |video| &video.id);
    let ids: Vec<String> = videos.iter().map(|video| rows::stored(&video.id)).collect();
    let hidden: Vec<bool> = videos.iter().map(|video| video.hidden).collect();
    let categories: Vec<String> =
        videos.iter().map(|video| serde_json::Value::from(video.categories.as_slice()).to_string()).collect();
    let times: Vec<Option<i64>> = videos.iter().map(|video| video.time).collect();
    let labels: Vec<Option<String>> = videos.iter().map(|video| rows::json_or_null(&video.labels)).collect();
    let comments: Vec<String> = videos.iter().map(|video| rows::stored(&video.comment)).collect();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&ids, &hidden, &categories, &times, &labels, &comments];
    connection.execute(rows::PUT_VIDEOS, &parameters).await.map(drop)
}
