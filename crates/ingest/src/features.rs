//! What is known of videos, from files beside a log.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::columns::{self, Role};
use crate::formats::recognise::{self, Sniffed};
use crate::formats::{daily, friends, users, videos};
use crate::gather::Gather;
use crate::source::{Source, head};
use crate::table::{Shape, Table};
use crate::{IngestError, Map};

/// Reads a file of features: attributes, or a table of videos or users.
pub(crate) fn read(gather: &mut Gather, path: &Path) -> Result<(), IngestError> {
    let limits = &gather.options.limits;
    // A line of a long vector has to be seen whole.
    let head = head(path, 1 << 20)?;
    let first = head.trim_ascii_start();
    let lines = first.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    if first.starts_with(b"{") && !lines.take(1).any(is_record) {
        return attributes(gather, path);
    }
    let shape = match recognise::sniff(path)? {
        Sniffed::Table(shape) => shape,
        Sniffed::Lines(_) => Shape::Delimited(None),
        Sniffed::Unknown(reason) => return Err(IngestError::Features { path: path.to_owned(), reason }),
    };
    let table = Table::open(path, shape, limits)?;
    let columns = columns::resolve(path, &table.columns, &Map::default(), false)?;
    let told = match columns.role() {
        Role::Videos => videos::read(gather, table, &columns, false)?,
        Role::Users => return users::read(gather, table, &columns),
        Role::Daily => return daily::read(gather, table, &columns),
        Role::Friends => return friends::read(gather, table, &columns),
        _ => {
            return Err(IngestError::Features {
                path: path.to_owned(),
                reason: format!(
                    "its columns are {}; expected an id of a video and a title, genres, tags or text",
                    table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
                ),
            });
        }
    };
    if told == 0 {
        let reason = "none of its ids is a video of the log".into();
        return Err(IngestError::Features { path: path.to_owned(), reason });
    }
    Ok(())
}

/// Whether a line is an object by itself that describes one video, rather than a table of attributes by id.
fn is_record(line: &[u8]) -> bool {
    match serde_json::from_slice::<serde_json::Map<String, Value>>(line) {
        Ok(object) => object.values().any(|value| !value.is_array()),
        Err(_) => false,
    }
}

/// `{"video": [attribute, …], …}`, as S3-Rec's `item2attributes`: labels `attribute:N`. Videos that no event
/// names are left out.
fn attributes(gather: &mut Gather, path: &Path) -> Result<(), IngestError> {
    let bytes = whole(path, gather.options.limits.features_bytes_max)?;
    // A sorted map, so that labels get the same rows on every machine.
    let table: BTreeMap<String, Vec<Value>> =
        serde_json::from_slice(&bytes).map_err(|error| IngestError::Features {
            path: path.to_owned(),
            reason: format!("{error}; expected {{\"video\": [attribute, …], …}}"),
        })?;
    let (mut known, mut unknown) = (0, 0);
    for (id, values) in &table {
        let Some(row) = gather.videos.row(id) else {
            unknown += 1;
            continue;
        };
        known += 1;
        for value in values {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                other => {
                    return Err(IngestError::Features {
                        path: path.to_owned(),
                        reason: format!("the attributes of `{id}` hold {other}; expected numbers or strings"),
                    });
                }
            };
            gather.videos.label(row, &format!("attribute:{value}"));
        }
    }
    if known == 0 {
        return Err(IngestError::Features {
            path: path.to_owned(),
            reason: format!("none of its {} ids is a video of the log", table.len()),
        });
    }
    if unknown > 0 {
        gather.note(format!("{}: {unknown} ids are not in the log and were left out", path.display()));
    }
    gather.file_read(path, "attributes", table.len() as u64);
    Ok(())
}

fn whole(path: &Path, most: usize) -> Result<Vec<u8>, IngestError> {
    let mut source = Source::open(path)?;
    let mut bytes = Vec::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let got = source.fill(&mut block)?;
        bytes.extend_from_slice(&block[..got]);
        if bytes.len() > most {
            return Err(IngestError::Limit {
                path: path.to_owned(),
                what: "bytes of features",
                most,
                limit: "features_bytes_max",
            });
        }
        if got < block.len() {
            break;
        }
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(IngestError::Empty { path: path.to_owned(), expected: "features of videos" });
    }
    Ok(bytes)
}
