//! What is known of videos, from files beside a log.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::IngestError;
use crate::gather::Gather;
use crate::source::Source;

/// `{"video": [attribute, …], …}`, as S3-Rec's `item2attributes`: labels `attribute:N`. Videos that no event
/// names are left out.
pub(crate) fn attributes(gather: &mut Gather, path: &Path) -> Result<(), IngestError> {
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
