//! Looks through the whole file: pages, trees against rows, and counts; and makes anew what can be derived.

use std::path::Path;

use crate::{Counts, Receipt, Sqlite, StoreConfig, StoreError};

use super::{open, rows};

/// Problems that are named; beyond them the file is bad enough.
const PROBLEMS_MAX: usize = 100;

/// What [`Sqlite::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How much was counted, row by row; nothing where a page is so damaged that it cannot be.
    pub counts: Counts,
    /// What is wrong, in words; empty if nothing is. At most a hundred.
    pub problems: Vec<String>,
}

impl Sqlite {
    /// Checks the file, as of one moment, while it may be written: its pages, each tree against the rows,
    /// and the chain of receipts. Reads everything once or twice.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub fn verify(&self) -> Result<Report, StoreError> {
        let wrap = |error| open::database_error(&self.path, "verify it", error);
        let connection = open::reader(&self.path, &self.config)?;
        let look = || {
            connection.execute_batch("BEGIN")?;
            let mut problems: Vec<String> = Vec::new();
            let mut pages = connection.prepare(&format!("PRAGMA integrity_check({PROBLEMS_MAX})"))?;
            for said in pages.query_map([], |row| row.get(0))? {
                // At a page that is torn from end to end it goes no further.
                problems.push(said.unwrap_or_else(|error: rusqlite::Error| error.to_string()));
            }
            problems.retain(|problem| problem != "ok");
            let found = open::objects(&connection)?;
            let mut is_whole = true;
            for (name, (kind, sql)) in open::expected_objects()? {
                match found.get(&name) {
                    None => {
                        is_whole = false;
                        problems.push(format!("the {kind} {name} is missing"));
                    }
                    // Tables may have come about in other words.
                    Some((_, other)) if kind != "table" && *other != sql => {
                        problems.push(format!("the {kind} {name} is another one"));
                    }
                    Some(_) => {}
                }
            }
            for (what, sql) in rows::CHECKS {
                match connection.query_row(sql, [], |row| row.get::<_, i64>(0)) {
                    Ok(0) => {}
                    Ok(n) => problems.push(format!("{n} {what}")),
                    // It needs what is missing.
                    Err(_) if !is_whole => {}
                    Err(error) => problems.push(format!("it cannot be seen whether {what}: {error}")),
                }
            }
            let read = || -> rusqlite::Result<Vec<Receipt>> {
                connection.prepare(rows::RECEIPTS)?.query_map([-1, 0], rows::receipt)?.collect()
            };
            match read() {
                Ok(receipts) if Receipt::chained(&receipts) => {}
                Ok(_) => problems.push("a receipt of a forgotten user was changed or taken out".into()),
                Err(error) => problems.push(format!("receipts of forgotten users cannot be read: {error}")),
            }
            let counts = connection.query_row(rows::COUNTS, [], rows::counts).unwrap_or_else(|error| {
                problems.push(format!("rows cannot be counted: {error}"));
                Counts::default()
            });
            problems.truncate(PROBLEMS_MAX);
            Ok(Report { counts, problems })
        };
        look().map_err(wrap)
    }

    /// Makes everything anew in the store at `path` that its rows tell as well: the trees by number, by time and by video, how far the
    /// last one is, and what keeps it up. Nobody else may have it open for writing. A store that is killed meanwhile is as it was or as it
    /// should be; where a page of a tree is damaged, the file is written anew first.
    ///
    /// # Errors
    /// When the store is in use, cannot be written, or the rows themselves are damaged: restore a dump then.
    pub fn rebuild(path: &Path, config: &StoreConfig) -> Result<(), StoreError> {
        config.check()?;
        path.metadata().map_err(|source| open::refused(path, source))?;
        let (_lock, connection) = open::writer(path, config)?;
        open::derive(&connection)
            .map_err(|error| open::database_error(path, "make anew what is derived", error))
    }
}
