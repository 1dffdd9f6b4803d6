//! A table that says which file belongs to which video.

use std::path::Path;

use crate::formats::recognise::{Sniffed, sniff};
use crate::table::{Column, Table};
use crate::{Limits, VectorError};

/// Columns of ids by their usual names, the surest first.
const IDS: [&str; 8] = ["video_id", "item_id", "movie_id", "movieid", "video", "item", "id", "asin"];
/// Columns of names of files likewise.
const FILES: [&str; 8] = ["file", "filename", "file_name", "path", "poster", "image", "cover", "clip"];

/// Pairs of a video's id and the name of its file, in the order of the table; rows that lack one are left out.
///
/// # Errors
/// When the file is no table, or has no such columns.
pub fn read(
    path: &Path,
    (id_column, file_column): (Option<&str>, Option<&str>),
    limits: &Limits,
) -> Result<Vec<(String, String)>, VectorError> {
    let Sniffed::Table(shape) = sniff(path)? else {
        return Err(VectorError::Given {
            what: path.display().to_string(),
            reason: "is no table; expected CSV, Parquet or JSON lines with a column of ids and one of names of files"
                .into(),
        });
    };
    let mut table = Table::open(path, shape, limits)?;
    let ids = column(&table.columns, id_column, &IDS, ("--id-column", "ids"))?;
    let files = column(&table.columns, file_column, &FILES, ("--file-column", "names of files"))?;
    table.keep(&[ids, files])?;
    let mut pairs = Vec::new();
    while let Some(row) = table.next()? {
        if let (None, Some(id), Some(file)) =
            (&row.broken, row.cell(ids).into_id(), row.cell(files).into_id())
        {
            pairs.push((id, file));
        }
    }
    Ok(pairs)
}

fn column(
    columns: &[Column],
    asked: Option<&str>,
    usual: &[&str],
    (option, of): (&str, &str),
) -> Result<usize, VectorError> {
    let at = |name: &str| columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
    let found = match asked {
        Some(name) => at(name),
        None => usual.iter().find_map(|name| at(name)),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let wanted = asked.map_or_else(
            || format!("no column of {of} known by its name"),
            |name| format!("no column `{name}`"),
        );
        VectorError::Given {
            what: option.into(),
            reason: format!("{wanted}; the table has {}", names.join(", ")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_usual_names_or_as_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.csv");
        std::fs::write(&path, "file,imdb,movie_id\na.jpg,tt1,1\nb.jpg,tt2,2\n,tt3,3\n").unwrap();
        let of = |columns| read(&path, columns, &Limits::default());
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(of((None, None)).unwrap(), [pair("1", "a.jpg"), pair("2", "b.jpg")]);
        assert_eq!(of((Some("IMDB"), None)).unwrap()[0], pair("tt1", "a.jpg"));
        let error = of((Some("tmdb"), None)).unwrap_err().to_string();
        assert!(
            error.contains("--id-column") && error.contains("`tmdb`") && error.contains("imdb"),
            "{error}"
        );
        std::fs::write(&path, "x,y\n1,2\n").unwrap();
        assert!(of((None, None)).unwrap_err().to_string().contains("the table has x, y"));
    }
}
