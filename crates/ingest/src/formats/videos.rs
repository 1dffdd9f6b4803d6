//! Tables of videos: titles, texts, labels, years, makers, lengths.

use std::path::Path;

use upnext_data::Video;

use crate::beside::{Rows, attribute_name, is_reference};
use crate::columns::Columns;
use crate::formats::length;
use crate::gather::Gather;
use crate::table::{Cell, Row, Table};
use crate::{Field, IngestError, time};

/// Reads a table of videos. Unknown ids are added where `add` says so: videos that nobody has seen are part of a
/// catalogue. Returns how many rows told of a video.
pub(crate) fn read(
    gather: &mut Gather,
    mut table: Table,
    columns: &Columns,
    add: bool,
) -> Result<u64, IngestError> {
    let path = table.path.clone();
    let Some(id_column) = columns.get(Field::Video) else { return Ok(0) };
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let described = columns.describing();
    let mut kept = table.readable();
    kept.extend(&described);
    let (mut attributes, mut vectors) = (Vec::new(), Vec::new());
    for at in table.readable() {
        if table.vectors.contains(&at) {
            vectors.push((at, Rows::new(&names[at])));
        } else if at != id_column && !described.contains(&at) && !is_reference(&names[at]) {
            attributes.push((at, gather.beside.videos.column(&names[at])));
        }
    }
    table.keep(&kept)?;
    let (mut rows, mut skipped, mut unknown) = (0, 0, 0);
    let mut id = String::new();
    while let Some(row) = table.next()? {
        rows += 1;
        row.cell(id_column).id_into(&mut id);
        if row.broken.is_some() || gather.refuses(&id, "video").is_some() {
            skipped += 1;
            continue;
        }
        let video = match gather.known_video(&id) {
            Some(video) => video,
            // It has no event, so no rule asks whether a table names it.
            None if add => gather.video(&path, &id)?,
            None => {
                unknown += 1;
                continue;
            }
        };
        describe(gather, &row, columns, &names, video);
        for &(at, column) in &attributes {
            attribute(gather, &path, &names[at], row.cell(at), &id, (video, column))?;
        }
        for (at, rows) in &mut vectors {
            if let Cell::List(numbers) = row.cell(*at) {
                rows.push(&id, &numbers);
            }
        }
        let most = gather.options.limits.features_bytes_max;
        if vectors.iter().map(|(_, rows)| rows.bytes()).sum::<usize>() > most {
            let (what, limit) = ("bytes of vectors", "features_bytes_max");
            return Err(IngestError::Limit { path, what, most, limit });
        }
    }
    for (at, rows) in vectors {
        if rows.unusable > 0 {
            let (unusable, name) = (rows.unusable, &names[at]);
            gather.note(format!(
                "{}: {unusable} vectors of `{name}` have another size or a number that is not finite",
                path.display()
            ));
        }
        gather.beside.vectors.extend(rows.finish());
    }
    gather.note_attributes(&path, attributes.iter().map(|&(at, _)| names[at].as_str()));
    let file = path.display();
    if skipped > 0 {
        gather
            .note(format!("{file}: {skipped} of {rows} rows have no usable id or another number of fields"));
    }
    if unknown > 0 {
        gather.note(format!("{file}: {unknown} videos without an event were left out"));
    }
    gather.file_read(&path, "videos", rows);
    Ok(rows - skipped - unknown)
}

/// Keeps a cell that nothing else reads: a list of words as labels of the column's name, else an attribute.
fn attribute(
    gather: &mut Gather,
    path: &Path,
    name: &str,
    cell: Cell,
    id: &str,
    (video, column): (u32, usize),
) -> Result<(), IngestError> {
    match cell {
        Cell::List(values) => {
            let kind = attribute_name(name);
            for value in values.iter().map(|value| value.trim()).filter(|value| !is_unknown(value)) {
                gather.videos.label(video, &format!("{kind}:{value}"));
            }
        }
        cell => {
            let limits = &gather.options.limits;
            if let Some(value) = attribute_text(cell) {
                gather.beside.videos.set(path, limits, id, column, &value)?;
            }
        }
    }
    Ok(())
}

/// A cell as the text of an attribute: a time as whole days since 1970-01-01 (UTC).
pub(crate) fn attribute_text(cell: Cell) -> Option<String> {
    match cell {
        Cell::Time(at) => Some(at.div_euclid(86_400_000).to_string()),
        cell => cell.into_id(),
    }
}

/// Reads a table of tags that users gave to videos.
pub(crate) fn read_tags(gather: &mut Gather, mut table: Table, columns: &Columns) -> Result<(), IngestError> {
    let path = table.path.clone();
    table.keep(&columns.wanted())?;
    let (Some(id_column), Some(tag_column)) = (columns.get(Field::Video), columns.tag) else { return Ok(()) };
    let mut rows = 0;
    let mut id = String::new();
    while let Some(row) = table.next()? {
        rows += 1;
        row.cell(id_column).id_into(&mut id);
        if let (Some(video), Some(tag)) = (gather.videos.row(&id), row.cell(tag_column).into_id()) {
            gather.videos.label(video, &format!("tag:{}", tag.to_lowercase()));
        }
    }
    gather.file_read(&path, "tags", rows);
    Ok(())
}

/// Adds to a video what a row says of it. What is known already stays.
pub(crate) fn describe(gather: &mut Gather, row: &Row, columns: &Columns, names: &[String], video: u32) {
    let cell = |field| columns.get(field).map_or(Cell::Missing, |column| row.cell(column));
    let (title, year_in_title) = match said(cell(Field::Title)) {
        Some(title) => take_year(&title),
        None => (String::new(), None),
    };
    let year =
        number(&cell(Field::Year)).filter(|year| (1_800.0..2_200.0).contains(year)).map(|year| year as i32);
    let written = |cell: &Cell| match cell {
        Cell::Text(text) => length::seconds(text),
        _ => None,
    };
    let length = |field, a_second: f64| {
        let cell = cell(field);
        number(&cell).map(|number| number / a_second).or_else(|| written(&cell))
    };
    let length = length(Field::Duration, 1.0).or_else(|| length(Field::DurationMs, 1_000.0));
    let length = length.filter(|&s| s > 0.0 && s <= gather.options.limits.duration_seconds_max);
    let published = match cell(Field::Published) {
        Cell::Time(at) => Some(at),
        Cell::Text(text) if text.trim().parse::<f64>().is_err() => {
            time::from_text(&text).filter(|&at| at > 0)
        }
        cell => number(&cell).filter(|&at| at > 0.0).map(time::from_number),
    };
    let texts: Vec<String> = columns.texts.iter().filter_map(|&column| said(row.cell(column))).collect();
    let creator = said(cell(Field::Creator)).map(|name| gather.videos.creators.intern(&name));
    let known: &mut Video = gather.videos.video_mut(video);
    if known.title.is_empty() {
        known.title = title;
    }
    known.year = known.year.or(year).or(year_in_title);
    known.duration_seconds = known.duration_seconds.or(length.map(|seconds| seconds as f32));
    known.published = known.published.or(published);
    known.creator = known.creator.or(creator);
    for text in texts {
        if !known.text.contains(&text) {
            if !known.text.is_empty() {
                known.text.push('\n');
            }
            known.text.push_str(&text);
        }
    }
    for (column, kind) in &columns.labels {
        for value in list(row.cell(*column), kind) {
            gather.videos.label(video, &format!("{kind}:{value}"));
        }
    }
    for &column in &columns.flags {
        if number(&row.cell(column)) == Some(1.0) {
            gather.videos.label(video, &names[column]);
        }
    }
}

/// Words by which tables say that something is not known.
fn is_unknown(text: &str) -> bool {
    matches!(
        text,
        "" | "UNKNOWN"
            | "unknown"
            | "(no genres listed)"
            | "null"
            | "None"
            | "NULL"
            | "nan"
            | "NaN"
            | "NAN"
            | "N/A"
            | "-124"
            | "\\N"
    )
}

fn said(cell: Cell) -> Option<String> {
    let text = match cell {
        Cell::List(values) => values.join(" "),
        cell => cell.into_id()?,
    };
    let text = text.trim();
    (!is_unknown(text)).then(|| text.to_string())
}

pub(crate) fn number(cell: &Cell) -> Option<f64> {
    let number = match cell {
        Cell::Int(int) => *int as f64,
        Cell::Float(float) => *float,
        Cell::Text(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// The values of a cell that holds several: a real list, `[a, b]`, `a|b`, or, where no value has a comma of its
/// own, `a, b`.
fn list(cell: Cell, kind: &str) -> Vec<String> {
    let values: Vec<String> = match cell {
        Cell::List(values) => values,
        cell => {
            let Some(text) = cell.into_id() else { return Vec::new() };
            let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            let by_comma = inside.is_some() || ["genre", "tag", "topic", "cast"].contains(&kind);
            let text = inside.unwrap_or(&text);
            let separator = [('|', true), (';', inside.is_none()), (',', by_comma)];
            match separator.into_iter().find(|&(separator, may)| may && text.contains(separator)) {
                Some((separator, _)) => text.split(separator).map(Into::into).collect(),
                None => vec![text.into()],
            }
        }
    };
    let quotes = ['\'', '"', ' '];
    values
        .iter()
        .map(|value| value.trim().trim_matches(quotes).trim())
        .filter(|value| !is_unknown(value))
        .map(Into::into)
        .collect()
}

/// `Matrix, The (1999)` is The Matrix, of 1999.
fn take_year(raw: &str) -> (String, Option<i32>) {
    let raw = raw.trim();
    let in_brackets = || {
        let (title, year) = raw.strip_suffix(')')?.rsplit_once('(')?;
        let year = (year.len() == 4).then(|| year.parse::<i32>().ok())??;
        (1_800..2_200).contains(&year).then(|| (title.trim(), year))
    };
    let Some((title, year)) = in_brackets() else { return (raw.into(), None) };
    let articles = ["The", "A", "An", "La", "Le", "Les", "El", "Il", "Der", "Die", "Das", "Los", "Las", "L'"];
    let turned = title.rsplit_once(", ").filter(|(_, article)| articles.contains(article));
    let title = match turned {
        Some((rest, "L'")) => format!("L'{rest}"),
        Some((rest, article)) => format!("{article} {rest}"),
        None => title.to_string(),
    };
    (title, Some(year))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_in_brackets_leaves_the_title_and_the_article_goes_in_front() {
        assert_eq!(take_year("Matrix, The (1999)"), ("The Matrix".into(), Some(1999)));
        assert_eq!(take_year("Avventura, L' (1960)"), ("L'Avventura".into(), Some(1960)));
        assert_eq!(take_year("Se7en"), ("Se7en".into(), None));
        assert_eq!(take_year("2001 (film)"), ("2001 (film)".into(), None));
    }

    #[test]
    fn lists_are_read_as_people_write_them() {
        let of = |text: &str, kind| list(Cell::Text(text.to_string().into()), kind);
        assert_eq!(of("Comedy|Drama", "genre"), ["Comedy", "Drama"]);
        assert_eq!(of("Action, Family", "genre"), ["Action", "Family"]);
        assert_eq!(of("[27, 9]", "tag"), ["27", "9"]);
        assert_eq!(of("['a', 'b']", "tag"), ["a", "b"]);
        assert_eq!(of("Food, Drink", "category"), ["Food, Drink"]);
        assert_eq!(of("(no genres listed)", "genre"), Vec::<String>::new());
        assert_eq!(of("[]", "topic"), Vec::<String>::new());
    }
}
