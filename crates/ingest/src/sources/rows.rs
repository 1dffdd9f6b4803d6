//! Rows that a database hands out: read by a thread of its own, a bounded number of batches ahead.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::IngestError;
use crate::sources::sql::Failed;
use crate::table::{Cell, Column};

/// Batches that wait at most; with [`BATCH_ROWS`] and [`BATCH_BYTES`] it bounds what is in memory.
const BATCHES_AHEAD: usize = 4;
/// Most rows of a batch.
pub(super) const BATCH_ROWS: usize = 1_024;
/// A batch with so much text in it is sent before it is full.
const BATCH_BYTES: usize = 1 << 20;

/// Rows of a query, from first to last.
pub(crate) struct Rows {
    receiver: Receiver<Message>,
    pub(crate) columns: Vec<Column>,
    kinds: Vec<ColumnType>,
    cells: Vec<Cell<'static>>,
    at: usize,
    row: u64,
    failed: Failed,
}

/// What a database says of a column.
pub(super) struct ColumnType {
    /// Its type; empty where any value may be of any type.
    pub(super) name: String,
    pub(super) is_readable: bool,
}

/// What the reading thread says.
enum Message {
    Columns(Vec<Column>, Vec<ColumnType>),
    Rows(Vec<Cell<'static>>),
    Error(IngestError),
    End,
}

/// The reading thread's side.
pub(super) struct Writer {
    sender: SyncSender<Message>,
    cells: Vec<Cell<'static>>,
    rows: usize,
    bytes: usize,
}

/// Nobody wants the rest of the rows.
pub(super) struct Enough;

impl Rows {
    /// Starts `read` on a thread and waits until it has said which columns there are.
    pub(super) fn start(
        failed: Failed,
        read: impl FnOnce(&mut Writer) -> Result<(), IngestError> + Send + 'static,
    ) -> Result<Self, IngestError> {
        let (sender, receiver) = sync_channel(BATCHES_AHEAD);
        let thread = std::thread::Builder::new().name("sql".into()).spawn(move || {
            let mut writer = Writer { sender, cells: Vec::new(), rows: 0, bytes: 0 };
            let last = match read(&mut writer) {
                Ok(()) => writer.flush().map(|()| Message::End),
                Err(error) => Ok(Message::Error(error)),
            };
            if let Ok(last) = last {
                // If nobody listens any more, nobody misses it.
                let _ = writer.sender.send(last);
            }
        });
        thread.map_err(|error| failed.because("cannot start a thread", error))?;
        match receiver.recv() {
            Ok(Message::Columns(columns, kinds)) => {
                Ok(Self { receiver, columns, kinds, cells: Vec::new(), at: 0, row: 0, failed })
            }
            Ok(Message::Error(error)) => Err(error),
            _ => Err(failed.because("the query ended before it said which columns it has", "")),
        }
    }

    /// Moves to the next row; `false` at the end.
    pub(crate) fn next(&mut self) -> Result<bool, IngestError> {
        let width = self.columns.len();
        self.at += width;
        if self.at >= self.cells.len() {
            self.at = 0;
            // A batch is never empty.
            match self.receiver.recv() {
                Ok(Message::Rows(cells)) => self.cells = cells,
                Ok(Message::Error(error)) => return Err(error),
                Ok(Message::End) => return Ok(false),
                Ok(Message::Columns(..)) | Err(_) => {
                    return Err(self.failed.because("reading stopped in the middle", ""));
                }
            }
        }
        self.row += 1;
        Ok(true)
    }

    /// The cells of the row.
    pub(crate) fn cells(&self) -> &[Cell<'static>] {
        let end = (self.at + self.columns.len()).min(self.cells.len());
        &self.cells[self.at.min(end)..end]
    }

    /// The row's number, from 1.
    pub(crate) fn row(&self) -> u64 {
        self.row
    }

    /// The type of a column, if it is one that cannot be read.
    pub(crate) fn unreadable(&self, column: usize) -> Option<&str> {
        let kind = &self.kinds[column];
        (!kind.is_readable).then_some(&kind.name)
    }

    /// The type of a column as the database names it; empty where any value may be of any type.
    pub(super) fn kind(&self, column: usize) -> &str {
        &self.kinds[column].name
    }
}

impl Writer {
    /// Says which columns there are, before the first row.
    pub(super) fn columns(
        &mut self,
        columns: impl Iterator<Item = (String, ColumnType)>,
    ) -> Result<(), Enough> {
        let (columns, kinds) = columns.map(|(name, kind)| (Column { name, is_list: false }, kind)).unzip();
        self.sender.send(Message::Columns(columns, kinds)).map_err(|_| Enough)
    }

    /// Adds a cell of the row that is being written.
    pub(super) fn cell(&mut self, cell: Cell<'static>) {
        self.bytes += match &cell {
            Cell::Text(text) => text.len(),
            Cell::List(values) => values.iter().map(|value| value.len() + size_of::<String>()).sum(),
            _ => 0,
        };
        self.cells.push(cell);
    }

    /// Ends the row.
    pub(super) fn end_row(&mut self) -> Result<(), Enough> {
        self.rows += 1;
        if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Enough> {
        (self.rows, self.bytes) = (0, 0);
        if self.cells.is_empty() {
            return Ok(());
        }
        let room = self.cells.len();
        let cells = std::mem::replace(&mut self.cells, Vec::with_capacity(room));
        self.sender.send(Message::Rows(cells)).map_err(|_| Enough)
    }
}
