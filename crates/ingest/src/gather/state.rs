//! All that is known between two files of events, to be kept on disk.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use upnext_data::{Catalogue, Order, Users};

use super::{Gather, Named};
use crate::IngestError;
use crate::beside::Beside;
use crate::clean::CleaningReport;
use crate::engine::partitions::Spilled;
use crate::engine::quarantine::Sink;

/// What [`Gather`] holds when a file of events has ended. Records themselves lie on disk.
#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) partitions: Spilled,
    users: Users,
    videos: Catalogue,
    report: CleaningReport,
    beside: Beside,
    order: Order,
    n_events: usize,
    has_parts: bool,
    id_bytes: usize,
    bytes_done: u64,
    files: Vec<PathBuf>,
    paths: Vec<PathBuf>,
    rows_at_last_event: u64,
    named_users: Named,
    named_videos: Named,
}

impl Gather<'_> {
    /// Goes on from what an earlier import of the same files kept; how many of them it had read.
    pub(crate) fn go_on(&mut self) -> Result<usize, IngestError> {
        let Some(kept) = &mut self.kept else { return Ok(0) };
        let Some(state) = kept.take() else { return Ok(0) };
        let files = kept.files;
        self.partitions.restore(&state.partitions)?;
        self.put_state(state);
        Ok(files)
    }

    /// Keeps what was read of so many files, where something is kept at all and the last time is long ago.
    pub(crate) fn keep(&mut self, files: usize) -> Result<(), IngestError> {
        if !self.kept.as_ref().is_some_and(|kept| kept.is_due()) {
            return Ok(());
        }
        let layout = self.partitions.spill_to_disk()?;
        let ended = self.report.sink.close().transpose();
        let has_pieces = ended.map_err(|error| IngestError::Unkept(Box::new(error)))?.is_some();
        let state = self.take_state(layout);
        let written = self.kept.as_mut().map(|kept| {
            kept.write(files, &state, has_pieces)?;
            Ok(kept.open_piece())
        });
        self.put_state(state);
        if let Some(piece) = written.transpose()?.filter(|_| has_pieces) {
            self.report.sink = Sink::to(piece);
        }
        Ok(())
    }

    fn take_state(&mut self, partitions: Spilled) -> State {
        use std::mem::take;
        let sink = self.report.sink.clone();
        let report = take(&mut self.report);
        self.report.sink = sink;
        self.report.strict = report.strict;
        State {
            partitions,
            users: take(&mut self.users),
            videos: take(&mut self.videos),
            report,
            beside: take(&mut self.beside),
            order: self.order,
            n_events: self.n_events,
            has_parts: self.has_parts,
            id_bytes: self.id_bytes,
            bytes_done: self.bytes_done,
            files: take(&mut self.files),
            paths: take(&mut self.paths),
            rows_at_last_event: self.rows_at_last_event,
            named_users: take(&mut self.named_users),
            named_videos: take(&mut self.named_videos),
        }
    }

    /// Gives back what [`Self::take_state`] took; where dropped rows go, and whether one may be dropped, stays.
    fn put_state(&mut self, state: State) {
        let State { users, videos, report, beside, order, n_events, has_parts, id_bytes, .. } = state;
        let CleaningReport { sink, strict, .. } = std::mem::take(&mut self.report);
        self.report = CleaningReport { sink, strict, ..report };
        (self.users, self.videos, self.beside) = (users, videos, beside);
        if order == Order::Sequence && self.order == Order::Unordered {
            // A list of videos in an earlier file told so.
            self.order = order;
        }
        (self.n_events, self.has_parts, self.id_bytes) = (n_events, has_parts, id_bytes);
        let State { bytes_done, files, paths, rows_at_last_event, named_users, named_videos, .. } = state;
        (self.bytes_done, self.files, self.paths) = (bytes_done, files, paths);
        self.rows_at_last_event = rows_at_last_event;
        (self.named_users, self.named_videos) = (named_users, named_videos);
    }
}
