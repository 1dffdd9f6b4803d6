//! Messages into the store: batches, steps, and what is set aside.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;
use tokio::sync::watch;
use upnext_serve::{ServeConfig, read_message};
use upnext_store::{Identified, Step, Store, StoreError};

use super::DeadLetters;

/// A message of a stream.
pub(crate) struct Taken {
    /// Its place in the stream; the first is 1.
    pub(crate) sequence: u64,
    /// When the broker got it, milliseconds since 1970.
    pub(crate) published: i64,
    /// What it says.
    pub(crate) payload: Vec<u8>,
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    /// Messages.
    pub(crate) messages: u64,
    /// Events in them.
    pub(crate) events: u64,
    /// Events that were new.
    pub(crate) written: u64,
    /// Events that are no deeds.
    pub(crate) passed_over: u64,
    /// Messages that were set aside.
    pub(crate) dead: u64,
    /// How far the stream was read.
    pub(crate) position: u64,
}

/// Writes what a stream brings into a store.
pub(crate) struct Taker {
    store: Arc<dyn Store>,
    limits: ServeConfig,
    events_max: usize,
    retry: Duration,
    dead: DeadLetters,
    stream: String,
    stop: watch::Receiver<bool>,
    progress: Progress,
}

/// Why a commit was not made.
enum Refused {
    /// What the messages say breaks a bound of the store.
    Input(StoreError),
    /// It makes no sense to go on.
    Fatal(anyhow::Error),
}

impl Taker {
    /// What writes into `store`, whose commits hold `events_max` events, until `stop` says true.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        limits: ServeConfig,
        events_max: usize,
        retry: Duration,
        dead: DeadLetters,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (stream, progress) = (String::new(), Progress::default());
        Self { store, limits, events_max, retry, dead, stream, stop, progress }
    }

    /// Says which stream comes; returns how far it was read.
    ///
    /// # Errors
    /// When the store cannot be asked before it is time to stop.
    pub(crate) fn begin(&mut self, stream: &str) -> Result<u64> {
        self.stream = stream.to_owned();
        self.progress.position = self.patiently(|taker| taker.store.position(&taker.stream))?;
        Ok(self.progress.position)
    }

    /// How much was read so far.
    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// Writes messages in their order; they are kept when this returns.
    ///
    /// # Errors
    /// When it is time to stop and the store still fails, when another process reads the stream, or when nothing can be set aside.
    pub(crate) fn take(&mut self, messages: &[Taken]) -> Result<()> {
        let mut from = 0;
        while from < messages.len() {
            let (mut events, mut dead, mut n_passed_over, mut to) = (Vec::new(), Vec::new(), 0, from);
            while let Some(message) = messages.get(to) {
                match read_message(&message.payload, message.published, &self.limits) {
                    Ok(read) if to > from && events.len() + read.events.len() > self.events_max => break,
                    Ok(read) => {
                        events.extend(read.events);
                        n_passed_over += read.n_passed_over as u64;
                    }
                    Err(reason) => dead.push((message, reason)),
                }
                to += 1;
            }
            let part = &messages[from..to];
            // Set aside first: it is better to find one there twice than never.
            self.set_aside(&dead)?;
            match self.commit(part, &events) {
                Ok(()) => {}
                Err(Refused::Fatal(error)) => return Err(error),
                Err(Refused::Input(error)) if part.len() == 1 => {
                    self.set_aside(&[(&part[0], error.to_string())])?;
                    self.commit(part, &[]).map_err(Refused::into_error)?;
                }
                // One of them is to blame; alone it is found.
                Err(Refused::Input(_)) => {
                    for message in part {
                        self.take_alone(message)?;
                    }
                }
            }
            self.progress.messages += part.len() as u64;
            self.progress.passed_over += n_passed_over;
            from = to;
        }
        Ok(())
    }

    fn take_alone(&mut self, message: &Taken) -> Result<()> {
        let part = std::slice::from_ref(message);
        // What cannot be read was set aside with the whole.
        let events =
            read_message(&message.payload, message.published, &self.limits).unwrap_or_default().events;
        match self.commit(part, &events) {
            Err(Refused::Input(error)) => {
                self.set_aside(&[(message, error.to_string())])?;
                self.commit(part, &[]).map_err(Refused::into_error)
            }
            done => done.map_err(Refused::into_error),
        }
    }

    fn set_aside(&mut self, letters: &[(&Taken, String)]) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        self.progress.dead += letters.len() as u64;
        self.dead.add(&self.stream, letters)
    }

    /// One commit: the events, their ids, and that the stream was read up to the last message.
    fn commit(&mut self, part: &[Taken], events: &[Identified]) -> Result<(), Refused> {
        let Some(last) = part.last() else { return Ok(()) };
        let done = self.patiently(|taker| {
            let step = Step { stream: &taker.stream, from: taker.progress.position, to: last.sequence };
            match taker.store.append_once(events, Some(step), last.published) {
                // A try whose answer was lost had been made.
                Err(StoreError::Moved { found, .. }) if found == last.sequence => Ok(Ok(events.len())),
                Err(error) if error.is_input() => Ok(Err(error)),
                done => done.map(Ok),
            }
        });
        let n = done.map_err(Refused::Fatal)?.map_err(Refused::Input)?;
        self.progress.events += events.len() as u64;
        self.progress.written += n as u64;
        self.progress.position = last.sequence;
        Ok(())
    }

    /// Does something with the store again and again until it goes well: meanwhile nothing is read.
    fn patiently<T>(&self, work: impl Fn(&Self) -> Result<T, StoreError>) -> Result<T> {
        let mut was_told = false;
        loop {
            let error = match work(self) {
                Ok(done) => return Ok(done),
                Err(error @ (StoreError::Moved { .. } | StoreError::OpenToRead { .. })) => {
                    return Err(error.into());
                }
                Err(error) => error,
            };
            if *self.stop.borrow() {
                bail!(error);
            }
            if !was_told {
                tracing::warn!("{error}; trying until it goes well");
                was_told = true;
            }
            std::thread::sleep(self.retry);
        }
    }
}

impl Refused {
    fn into_error(self) -> anyhow::Error {
        match self {
            Self::Input(error) => error.into(),
            Self::Fatal(error) => error,
        }
    }
}
