//! A platform's statistics of each video and day, and what such a table says of the video itself.

use crate::columns::Columns;
use crate::formats::videos;
use crate::gather::Gather;
use crate::table::{Cell, Table};
use crate::{Field, IngestError, time};

const DAY_MS: i64 = 86_400_000;

/// Columns of such tables that describe the video, and so are the same every day.
const STATIC: &[&str] = &[
    "author_id",
    "video_type",
    "upload_dt",
    "upload_type",
    "visible_status",
    "video_duration",
    "duration",
    "video_width",
    "video_height",
    "server_width",
    "server_height",
    "width",
    "height",
    "music_id",
    "music_type",
    "video_tag_id",
    "video_tag_name",
];

/// Reads a table with a row for each video and day. Videos that are not in the log are left out.
pub(crate) fn read(gather: &mut Gather, mut table: Table, columns: &Columns) -> Result<(), IngestError> {
    let path = table.path.clone();
    let (Some(id_column), Some(day_column)) = (columns.get(Field::Video), columns.get(Field::Time)) else {
        return Ok(());
    };
    let readable = table.readable();
    table.keep(&readable)?;
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let described = columns.wanted();
    let is_static = |at: usize| {
        let name = names[at].to_ascii_lowercase();
        STATIC.contains(&name.as_str()) || name.ends_with("_id") || described.contains(&at)
    };
    let mut measures = Vec::new();
    let mut attributes = Vec::new();
    for at in readable.into_iter().filter(|&at| at != id_column && at != day_column) {
        match is_static(at) {
            false => measures.push(at),
            true if !described.contains(&at) => {
                attributes.push((at, gather.beside.videos.column(&names[at])));
            }
            true => {}
        }
    }
    let (mut rows, mut unusable) = (0, 0_u64);
    let mut id = String::new();
    while let Some(row) = table.next()? {
        rows += 1;
        row.cell(id_column).id_into(&mut id);
        let day = match row.cell(day_column) {
            Cell::Time(at) => Some(at),
            Cell::Text(text) if text.trim().parse::<f64>().is_err() => time::from_text(&text),
            cell => videos::number(&cell).map(time::from_number),
        };
        let day = day.and_then(|at| i32::try_from(at.div_euclid(DAY_MS)).ok());
        let (Some(day), None) = (day.filter(|&day| day > 0), &row.broken) else {
            unusable += 1;
            continue;
        };
        let Some(video) = gather.videos.row(&id) else { continue };
        videos::describe(gather, &row, columns, &names, video);
        for &(at, column) in &attributes {
            if let Some(value) = row.cell(at).into_id() {
                let limits = &gather.options.limits;
                gather.beside.videos.set(&path, limits, &id, column, &value)?;
            }
        }
        let most = gather.options.limits.events_max;
        if gather.beside.daily_len() >= most {
            let (what, limit) = ("daily rows", "events_max");
            return Err(IngestError::Limit { path, what, most, limit });
        }
        let found = measures.iter().map(|&at| {
            let value = videos::number(&row.cell(at)).map_or(f32::NAN, |value| value as f32);
            (names[at].as_str(), if value.is_finite() { value } else { f32::NAN })
        });
        gather.beside.daily(&id, day, found);
    }
    if unusable > 0 {
        let file = path.display();
        gather.note(format!("{file}: {unusable} of {rows} rows have no day or another number of fields"));
    }
    gather.file_read(&path, "daily statistics", rows);
    Ok(())
}
