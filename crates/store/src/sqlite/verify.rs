//! Looks through the whole file: pages, trees against rows, and counts.

use crate::{Counts, Receipt, Sqlite, StoreError};

use super::{open, rows};

/// Problems that are named; beyond them the file is bad enough.
const PROBLEMS_MAX: usize = 100;

/// What [`Sqlite::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How much was counted, row by row.
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
            let mut problems: Vec<String> = connection
                .prepare(&format!("PRAGMA integrity_check({PROBLEMS_MAX})"))?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            problems.retain(|problem| problem != "ok");
            for (what, sql) in rows::CHECKS {
                let n: i64 = connection.query_row(sql, [], |row| row.get(0))?;
                if n != 0 {
                    problems.push(format!("{n} {what}"));
                }
            }
            let receipts = connection
                .prepare(rows::RECEIPTS)?
                .query_map([-1, 0], rows::receipt)?
                .collect::<Result<Vec<Receipt>, _>>()?;
            if !Receipt::chained(&receipts) {
                problems.push("a receipt of a forgotten user was changed or taken out".into());
            }
            problems.truncate(PROBLEMS_MAX);
            let counts = connection.query_row(rows::COUNTS, [], rows::counts)?;
            Ok(Report { counts, problems })
        };
        look().map_err(wrap)
    }
}
