//! NATS JetStream as the broker: a durable pull consumer, made anew behind what the store has whenever reading begins or a message was
//! lost on the way, so that messages are read in the order of the stream.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::RetentionPolicy;
use async_nats::jetstream::{self, Message};
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Progress, StreamConfig, Taken, Taker};

/// How long the broker's answers may take, and how often it says that it is there.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(5);
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// What the broker counts of a message beside what it says: subject, reply, place.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A stream of a broker.
#[derive(Clone)]
pub(crate) struct Source {
    /// The broker's address, with user and password if it wants them.
    address: String,
    /// The stream's name.
    stream: String,
}

impl Source {
    /// From `nats://user:password@host:4222/STREAM`.
    ///
    /// # Errors
    /// When it is written otherwise; the password is not repeated.
    pub(crate) fn of(url: &str) -> Result<Self> {
        let parts =
            url.strip_prefix("nats://").or(url.strip_prefix("tls://")).and_then(|_| url.rsplit_once('/'));
        match parts {
            Some((address, stream)) if !stream.is_empty() && !address.ends_with('/') => {
                Ok(Self { address: address.into(), stream: stream.into() })
            }
            _ => Err(anyhow!("expected nats://HOST:PORT/STREAM, or tls:// for an encrypted connection")),
        }
    }

    /// Host and stream.
    fn name(&self) -> String {
        let host = self.address.rsplit(['@', '/']).next().unwrap_or_default();
        format!("NATS {host}, stream {}", self.stream)
    }
}

/// Reads a stream until `stop` says true, or, where `once` is set, until nothing is left; `say` hears of progress and of what waits.
///
/// # Errors
/// When the broker is not there at the start or has no such stream, or what was read cannot be kept.
pub(crate) async fn follow(
    source: &Source,
    consumer: &str,
    config: &StreamConfig,
    taker: &mut Taker,
    once: bool,
    mut stop: watch::Receiver<bool>,
    say: &dyn Fn(Progress, u64) -> Result<()>,
) -> Result<()> {
    let name = source.name();
    let client = ConnectOptions::new()
        .name("upnext")
        .connection_timeout(ANSWER_MAX)
        .request_timeout(Some(ANSWER_MAX))
        .connect(&source.address)
        .await
        .with_context(|| format!("{name}: cannot connect; check host, port, user and password"))?;
    let mut reading = Reading { source, consumer, config, client, once };
    let mut has_begun = false;
    loop {
        let error = match reading.until_lost(taker, &mut stop, say, &mut has_begun).await {
            Ok(Ended::Done) => return Ok(()),
            Ok(Ended::Lost(why)) => why,
            Err(error) => return Err(error),
        };
        if !has_begun {
            return Err(anyhow!("{name}: {error}"));
        }
        tracing::warn!("{name}: {error}; going on behind what was kept");
        tokio::select! {
            () = sleep(Duration::from_millis(reading.config.retry_milliseconds)) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

struct Reading<'a> {
    source: &'a Source,
    consumer: &'a str,
    config: &'a StreamConfig,
    client: Client,
    once: bool,
}

/// Why reading ended.
enum Ended {
    /// It is done, or told to stop.
    Done,
    /// The broker went away, or messages were lost on the way.
    Lost(String),
}

impl Reading<'_> {
    async fn until_lost(
        &mut self,
        taker: &mut Taker,
        stop: &mut watch::Receiver<bool>,
        say: &dyn Fn(Progress, u64) -> Result<()>,
        has_begun: &mut bool,
    ) -> Result<Ended> {
        let config = self.config;
        let (consumer, position) = match timeout(3 * ANSWER_MAX, self.begin(taker)).await {
            Ok(Ok(begun)) => begun?,
            Ok(Err(why)) => return Ok(Ended::Lost(why)),
            Err(_) => return Ok(Ended::Lost("it does not answer".into())),
        };
        *has_begun = true;
        let mut waiting = consumer.cached_info().num_pending;
        if self.once && waiting == 0 {
            return Ok(Ended::Done);
        }
        let messages = consumer
            .stream()
            .max_messages_per_batch(config.batch_max)
            // Less than the largest message would never bring that one.
            .max_bytes_per_batch(
                config.batch_bytes_max.max(self.client.server_info().max_payload + HEAD_BYTES_MAX),
            )
            .heartbeat(HEARTBEAT)
            .expires(REQUEST_MAX)
            .messages();
        let mut messages = match messages.await {
            Ok(messages) => messages,
            Err(error) => return Ok(Ended::Lost(error.to_string())),
        };
        let (mut delivered, mut told) = (0, Instant::now());
        let mut seen = position;
        loop {
            let first = tokio::select! {
                first = messages.next() => first,
                _ = stop.wait_for(|stop| *stop) => return Ok(Ended::Done),
            };
            let (mut batch, mut lost): (Vec<(Message, Taken)>, Option<String>) = (Vec::new(), None);
            let mut n_bytes = 0;
            let until = Instant::now() + Duration::from_millis(config.gather_milliseconds_max);
            let mut next = Some(first);
            while let Some(message) = next {
                let message = match message {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => {
                        lost = Some(error.to_string());
                        break;
                    }
                    None => {
                        lost = Some("the broker sends no more".into());
                        break;
                    }
                };
                let Ok(info) = message.info() else {
                    lost = Some("a message has no place in the stream".into());
                    break;
                };
                delivered += 1;
                if info.consumer_sequence != delivered {
                    lost = Some("a message was lost on the way".into());
                    break;
                }
                waiting = info.pending;
                let taken = Taken {
                    sequence: info.stream_sequence,
                    published: (info.published.unix_timestamp_nanos() / 1_000_000) as i64,
                    payload: message.payload.to_vec(),
                };
                // One that comes again was kept already, or is in this batch.
                if taken.sequence > seen {
                    seen = taken.sequence;
                    n_bytes += taken.payload.len();
                    batch.push((message, taken));
                } else {
                    let _ = message.ack().await;
                }
                next = match batch.len() < config.batch_max && n_bytes < config.batch_bytes_max {
                    true => timeout_at(until, messages.next()).await.ok(),
                    false => None,
                };
            }
            let (handles, taken): (Vec<Message>, Vec<Taken>) = batch.into_iter().unzip();
            // The store is asked on this thread; the connection lives on others.
            tokio::task::block_in_place(|| taker.take(&taken))?;
            // An acknowledgement that is lost costs nothing: what is sent again is known.
            for message in &handles {
                let _ = message.ack().await;
            }
            let is_done = self.once && waiting == 0 && lost.is_none();
            if is_done || told.elapsed() >= Duration::from_millis(config.progress_milliseconds) {
                say(taker.progress(), waiting)?;
                told = Instant::now();
            }
            if is_done {
                let _ = self.client.flush().await;
                return Ok(Ended::Done);
            }
            if let Some(why) = lost {
                return Ok(Ended::Lost(why));
            }
        }
    }

    /// A consumer that begins behind what the store has.
    async fn begin(
        &self,
        taker: &mut Taker,
    ) -> Result<Result<(jetstream::consumer::Consumer<pull::Config>, u64)>, String> {
        let (config, name) = (self.config, &self.source.stream);
        let context = jetstream::new(self.client.clone());
        let stream = context.get_stream(name).await.map_err(|error| error.to_string())?;
        let info = stream.cached_info();
        // A stream that was made again under the same name counts from 1 again.
        let stream_name = format!("nats {name} {}", info.created.unix_timestamp_nanos() / 1_000_000);
        let position = match tokio::task::block_in_place(|| taker.begin(&stream_name)) {
            Ok(position) => position,
            Err(error) => return Ok(Err(error)),
        };
        // Of a queue, whatever is left is to be read; what the store has is passed over.
        let deliver_policy = match (info.config.retention, position) {
            (RetentionPolicy::WorkQueue, _) | (_, 0) => DeliverPolicy::All,
            _ => DeliverPolicy::ByStartSequence { start_sequence: position + 1 },
        };
        // There may be none.
        let _ = stream.delete_consumer(self.consumer).await;
        let consumer = stream
            .create_consumer(pull::Config {
                durable_name: Some(self.consumer.to_owned()),
                deliver_policy,
                ack_policy: AckPolicy::Explicit,
                ack_wait: Duration::from_secs(config.acknowledge_seconds_max),
                max_ack_pending: i64::try_from(2 * config.batch_max).unwrap_or(i64::MAX),
                ..pull::Config::default()
            })
            .await
            .map_err(|error| error.to_string())?;
        Ok(Ok((consumer, position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_broker_and_a_stream_and_its_name_hides_the_password() {
        let source = Source::of("nats://ann:s3cret@host:4222/EVENTS").unwrap();
        assert_eq!(
            (source.address.as_str(), source.stream.as_str()),
            ("nats://ann:s3cret@host:4222", "EVENTS")
        );
        assert_eq!(source.name(), "NATS host:4222, stream EVENTS");
        for wrong in ["nats://host", "nats://host/", "kafka://host/EVENTS", "EVENTS", "nats:///EVENTS"] {
            assert!(Source::of(wrong).is_err(), "{wrong}");
        }
    }
}
