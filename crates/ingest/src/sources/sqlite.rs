//! SQLite: a file is opened to read only, and its rows are stepped through.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Params, Statement};

use crate::IngestError;
use crate::source::text;
use crate::sources::rows::{ColumnType, Enough, Rows, Writer};
use crate::sources::sql::{Failed, Query};
use crate::table::Cell;

/// The rows of a query.
pub(super) fn rows(path: PathBuf, failed: Failed, query: Query) -> Result<Rows, IngestError> {
    Rows::start(failed.clone(), move |writer| read(&path, &failed, &query, writer))
}

fn read(path: &Path, failed: &Failed, query: &Query, writer: &mut Writer) -> Result<(), IngestError> {
    // SQLite would say "unable to open database file" to all of what the system can say.
    std::fs::File::open(path).map_err(IngestError::io(path))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)
        .map_err(|error| failed.because("cannot be opened", error))?;
    let prepared = |query: &str| -> Result<Statement<'_>, IngestError> {
        let statement = db.prepare(query).map_err(|error| failed.query(query, error))?;
        if statement.column_count() == 0 || !statement.readonly() {
            return Err(failed.query(query, "it is not a query that only reads rows"));
        }
        Ok(statement)
    };
    match query {
        Query::Whole(query) => {
            let mut statement = prepared(query)?;
            if statement.parameter_count() > 0 {
                return Err(failed.query(query, "it has parameters; write their values into it"));
            }
            if columns(&statement, writer).is_err() {
                return Ok(());
            }
            write(&mut statement, [], writer).map_err(|error| failed.query(query, error))?;
        }
        Query::Batches { users, events, users_per_batch } => {
            let mut statement = prepared(events)?;
            if columns(&statement, writer).is_err() {
                return Ok(());
            }
            let mut all_users = prepared(users)?;
            let mut all_users = all_users.query([]).map_err(|error| failed.query(users, error))?;
            loop {
                let mut batch = Vec::new();
                while batch.len() < *users_per_batch {
                    let Some(row) = all_users.next().map_err(|error| failed.query(users, error))? else {
                        break;
                    };
                    batch.push(json_of(row.get_ref(0).map_err(|error| failed.query(users, error))?));
                }
                if batch.is_empty() {
                    return Ok(());
                }
                let batch = serde_json::Value::Array(batch).to_string();
                let more = write(&mut statement, [batch], writer);
                if !more.map_err(|error| failed.query(events, error))? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn columns(statement: &Statement, writer: &mut Writer) -> Result<(), Enough> {
    writer.columns(
        statement
            .column_names()
            .map(|name| (name.to_string(), ColumnType { name: String::new(), is_readable: true })),
    )
}

/// Writes all rows; `false` where nobody wants more.
fn write(
    statement: &mut Statement,
    parameters: impl Params,
    writer: &mut Writer,
) -> Result<bool, rusqlite::Error> {
    let width = statement.column_count();
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        for at in 0..width {
            writer.cell(match row.get_ref(at)? {
                ValueRef::Null => Cell::Missing,
                ValueRef::Integer(int) => Cell::Int(int),
                ValueRef::Real(real) => Cell::Float(real),
                ValueRef::Text([]) | ValueRef::Blob([]) => Cell::Missing,
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Cell::Text(text(bytes).into_owned().into()),
            });
        }
        if writer.end_row().is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A user's id as `json_each` gives it back.
fn json_of(value: ValueRef) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(int) => int.into(),
        ValueRef::Real(real) => real.into(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => text(bytes).into_owned().into(),
    }
}
