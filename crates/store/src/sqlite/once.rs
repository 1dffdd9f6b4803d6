//! Events that may come again: digests of their ids and how far a stream was read are kept in the commit that keeps what they say.

use rusqlite::{OptionalExtension, params};

use super::rows::{self, Prepared};
use super::writer::Desk;
use crate::feedback::OwnStep;
use crate::{Feedback, Identified, StoreError, Write};

/// What is to be written once.
pub(super) struct Once {
    pub(super) events: Vec<Identified>,
    pub(super) step: Option<OwnStep>,
    pub(super) now: i64,
    /// Ids from before this moment are forgotten.
    pub(super) since: i64,
}

impl Once {
    /// Writes what is new; of how many events that was.
    pub(super) fn write(
        &self,
        desk: &Desk,
        wrap: &impl Fn(rusqlite::Error) -> StoreError,
    ) -> Result<usize, StoreError> {
        if let Some(OwnStep { stream, from, to }) = &self.step {
            let found: Option<i64> = desk
                .connection
                .query_row(rows::POSITION, [stream], |row| row.get(0))
                .optional()
                .map_err(wrap)?;
            let found = found.unwrap_or_default().unsigned_abs();
            if found != *from {
                return Err(StoreError::Moved { stream: stream.clone(), found, expected: *from });
            }
            let to = i64::try_from(*to).unwrap_or(i64::MAX);
            desk.connection.execute(rows::STEP, params![stream, to]).map_err(wrap)?;
        }
        self.rows(desk).map_err(wrap)
    }

    fn rows(&self, desk: &Desk) -> rusqlite::Result<usize> {
        let mut note = desk.connection.prepare_cached(rows::NEW_EVENT_ID)?;
        let mut new: Vec<&Identified> = Vec::with_capacity(self.events.len());
        for event in &self.events {
            let is_new = match event.digest() {
                None => true,
                Some(digest) => note.execute(params![digest, self.now, self.since])? > 0,
            };
            if is_new {
                new.push(event);
            }
        }
        // What is added and what replaces may meet in a key, so the order of the call is kept.
        for run in new.chunk_by(|a, b| a.write == b.write) {
            let write = run.first().map_or(Write::Overwrite, |event| event.write);
            let feedback: Vec<Feedback> = run.iter().map(|event| event.feedback.clone()).collect();
            Prepared::new(&feedback).write(desk, write)?;
        }
        // More than came in, so that a backlog goes away.
        let limit = 2 * self.events.len() as i64 + 100;
        desk.connection.prepare_cached(rows::FORGET_EVENT_IDS)?.execute(params![self.since, limit])?;
        Ok(new.len())
    }
}
