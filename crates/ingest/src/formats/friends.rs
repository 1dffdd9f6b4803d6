//! Who knows whom: a user and a list of friends, or pairs of users.

use crate::IngestError;
use crate::columns::Columns;
use crate::gather::Gather;
use crate::table::{Cell, Table};

/// Reads a table of friends. Both must be users of the log; others are left out.
pub(crate) fn read(gather: &mut Gather, mut table: Table, columns: &Columns) -> Result<(), IngestError> {
    let path = table.path.clone();
    let Some((user_column, friend_column)) = columns.friends else { return Ok(()) };
    table.keep(&[user_column, friend_column])?;
    let mut rows = 0;
    while let Some(row) = table.next()? {
        rows += 1;
        let Some(user) = row.cell(user_column).into_id().filter(|_| row.broken.is_none()) else { continue };
        take(gather, &user, row.cell(friend_column));
    }
    gather.file_read(&path, "friends", rows);
    Ok(())
}

/// Takes the friends that a cell names: a real list, `[3371, 2975]`, `3371|2975`, or one.
pub(crate) fn take(gather: &mut Gather, user: &str, cell: Cell) {
    if gather.users.row(user).is_none() {
        return;
    }
    let friends = match cell {
        Cell::List(friends) => friends,
        cell => {
            let text = cell.into_id().unwrap_or_default();
            let part = |c: char| matches!(c, '[' | ']' | ',' | '|' | ';' | ' ' | '\'' | '"');
            text.split(part).filter(|friend| !friend.is_empty()).map(Into::into).collect()
        }
    };
    for friend in friends.iter().filter(|&friend| gather.users.row(friend).is_some()) {
        gather.beside.friend(user, friend);
    }
}
