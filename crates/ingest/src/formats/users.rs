//! Tables of users: every column is an attribute, and columns with few values make groups.

use std::collections::HashMap;

use crate::beside::{attribute_name, is_reference};
use crate::columns::Columns;
use crate::formats::videos::attribute_text;
use crate::formats::{around, friends};
use crate::gather::Gather;
use crate::table::{Cell, Table};
use crate::{Field, IngestError};

/// Reads a table of users. A column with at most `group_values_max` values labels the users who have events.
pub(crate) fn read(gather: &mut Gather, mut table: Table, columns: &Columns) -> Result<(), IngestError> {
    let path = table.path.clone();
    let Some(id_column) = columns.get(Field::User) else { return Ok(()) };
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let friends = columns.friends.map(|(_, friends)| friends);
    let mut readable = table.readable();
    let mut kept = readable.clone();
    kept.extend(friends);
    table.keep(&kept)?;
    // Friends are no attribute and no group.
    readable.retain(|&at| Some(at) != friends);
    let most = gather.options.limits.group_values_max;
    // For each column the values it has, while they are few enough.
    let mut values: Vec<Option<HashMap<String, u32>>> = vec![Some(HashMap::new()); names.len()];
    for at in friends.into_iter().chain([id_column]) {
        values[at] = None;
    }
    let attributes: Vec<Option<usize>> = (0..names.len())
        .map(|at| {
            let is_kept = readable.contains(&at)
                && at != id_column
                && !is_reference(&names[at])
                && !table.vectors.contains(&at);
            is_kept.then(|| gather.beside.users.column(&names[at]))
        })
        .collect();
    let places: Vec<usize> = (0..names.len())
        .filter(|&at| ["location", "coordinates"].contains(&attribute_name(&names[at]).as_str()))
        .collect();
    let mut labelled: Vec<(u32, usize, u32)> = Vec::new();
    let (mut rows, mut unknown) = (0, 0);
    while let Some(row) = table.next()? {
        rows += 1;
        let Some(id) = row.cell(id_column).into_id().filter(|_| row.broken.is_none()) else { continue };
        let Some(user) = gather.known_user(&id) else {
            unknown += 1;
            continue;
        };
        if let Some(friends) = friends {
            friends::take(gather, &id, row.cell(friends));
        }
        for (at, column) in attributes.iter().enumerate() {
            let Some(column) = *column else { continue };
            let limits = &gather.options.limits;
            match row.cell(at) {
                Cell::List(list) if !list.is_empty() => {
                    gather.beside.users.set(&path, limits, &id, column, &list.join("|"))?;
                }
                cell => {
                    if let Some(value) = attribute_text(cell) {
                        gather.beside.users.set(&path, limits, &id, column, &value)?;
                    }
                }
            }
        }
        for &at in &places {
            let Some((latitude, longitude)) = around::text_of(row.cell(at)).and_then(|t| around::place(&t))
            else {
                continue;
            };
            for (name, degrees) in [("latitude", latitude), ("longitude", longitude)] {
                let column = gather.beside.users.column(name);
                let limits = &gather.options.limits;
                gather.beside.users.set(&path, limits, &id, column, &degrees.to_string())?;
            }
        }
        for (column, known) in values.iter_mut().enumerate() {
            let Some(seen) = known else { continue };
            let cell = row.cell(column);
            if matches!(cell, Cell::List(_)) {
                *known = None;
                continue;
            }
            let Some(value) = cell.into_id().filter(|value| value.len() <= 64) else { continue };
            let next = seen.len() as u32;
            let value = *seen.entry(value).or_insert(next);
            if seen.len() > most {
                *known = None;
            } else {
                labelled.push((user, column, value));
            }
        }
    }
    let mut names_of: Vec<Option<Vec<String>>> = Vec::new();
    for known in values {
        names_of.push(known.map(|known| {
            let mut names: Vec<(String, u32)> = known.into_iter().collect();
            names.sort_by_key(|(_, value)| *value);
            names.into_iter().map(|(name, _)| name).collect()
        }));
    }
    for (user, column, value) in labelled {
        // A column with one value for everybody says nothing.
        if let Some(of) = names_of[column].as_ref().filter(|of| of.len() > 1) {
            gather.users.label(user, &format!("{}:{}", names[column], of[value as usize]));
        }
    }
    let kept = (0..names.len()).filter(|&at| attributes[at].is_some());
    gather.note_attributes(&path, kept.map(|at| names[at].as_str()));
    if unknown > 0 {
        gather.note(format!("{}: {unknown} users without an event were left out", path.display()));
    }
    gather.file_read(&path, "users", rows);
    Ok(())
}
