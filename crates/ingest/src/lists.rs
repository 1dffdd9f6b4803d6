//! Lists of recommendations for all users, in a file that other tools read.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};

use crate::run::{RunError, table_bytes};

/// Whether [`write()`] knows what a file's ending asks for.
pub fn is_known(path: &Path) -> bool {
    ending(path).is_some_and(|ending| ["parquet", "csv", "jsonl"].contains(&ending.as_str()))
}

fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase())
}

/// Writes `user, video, rank, score` rows, rank from 1: Parquet, CSV or JSON lines by the file's ending. The file
/// is written aside and renamed.
///
/// # Errors
/// When the ending is another, or the file cannot be written.
pub fn write(path: &Path, users: &[String], lists: &[Vec<(String, f64)>]) -> Result<(), RunError> {
    let bytes = match ending(path).as_deref() {
        Some("parquet") => parquet(path, users, lists)?,
        Some("csv") => csv(users, lists),
        Some("jsonl") => json_lines(users, lists),
        _ => {
            let reason = "expected a file that ends in .parquet, .csv or .jsonl".into();
            return Err(RunError::Table { path: path.into(), reason });
        }
    };
    let aside = path.with_extension(format!("{}.aside", std::process::id()));
    fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, path)).map_err(|source| {
        let _ = fs::remove_file(&aside);
        RunError::Io { path: path.into(), action: "written", source }
    })
}

fn rows<'a>(
    users: &'a [String],
    lists: &'a [Vec<(String, f64)>],
) -> impl Iterator<Item = (&'a str, &'a str, u32, f64)> + Clone {
    users.iter().zip(lists).flat_map(|(user, list)| {
        (1..).zip(list).map(move |(rank, (video, score))| (user.as_str(), video.as_str(), rank, *score))
    })
}

fn parquet(path: &Path, users: &[String], lists: &[Vec<(String, f64)>]) -> Result<Vec<u8>, RunError> {
    let rows = rows(users, lists);
    let columns: [(&str, ArrayRef); 4] = [
        ("user", Arc::new(StringArray::from_iter_values(rows.clone().map(|row| row.0)))),
        ("video", Arc::new(StringArray::from_iter_values(rows.clone().map(|row| row.1)))),
        ("rank", Arc::new(UInt32Array::from_iter_values(rows.clone().map(|row| row.2)))),
        ("score", Arc::new(Float64Array::from_iter_values(rows.map(|row| row.3)))),
    ];
    let failed = |reason: String| RunError::Table { path: path.into(), reason };
    let batch = RecordBatch::try_from_iter(columns).map_err(|error| failed(error.to_string()))?;
    table_bytes(&batch).map_err(|error| failed(error.to_string()))
}

fn csv(users: &[String], lists: &[Vec<(String, f64)>]) -> Vec<u8> {
    let quoted = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    };
    let mut out = String::from("user,video,rank,score\n");
    for (user, video, rank, score) in rows(users, lists) {
        out += &format!("{},{},{rank},{score}\n", quoted(user), quoted(video));
    }
    out.into_bytes()
}

fn json_lines(users: &[String], lists: &[Vec<(String, f64)>]) -> Vec<u8> {
    let mut out = String::new();
    for (user, video, rank, score) in rows(users, lists) {
        let row = serde_json::json!({"user": user, "video": video, "rank": rank, "score": score});
        out += &format!("{row}\n");
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_commas_survive_csv() {
        let lists = [vec![("a,\"b\"".to_string(), 0.5)]];
        let text = String::from_utf8(csv(&["u".into()], &lists)).unwrap();
        assert_eq!(text, "user,video,rank,score\nu,\"a,\"\"b\"\"\",1,0.5\n");
    }

    #[test]
    fn another_ending_is_refused() {
        let error = write(Path::new("x.xlsx"), &[], &[]).unwrap_err().to_string();
        assert!(error.contains("x.xlsx") && error.contains(".parquet"), "{error}");
    }
}
