//! Sequences as lines: `user video video …` (S3-Rec) and `user video` (SASRec), both in order of time.

use std::path::Path;

use upnext_data::{Action, Part};

use crate::clean::Reason;
use crate::gather::{Found, Gather};
use crate::source::{Lines, text};
use crate::{Format, IngestError};

/// Reads one file of either shape. Users keep the order of the file; repeats stay as they come.
pub(crate) fn read(
    gather: &mut Gather,
    path: &Path,
    format: Format,
    part: Option<Part>,
) -> Result<(), IngestError> {
    let mut lines = Lines::open(path, &gather.options.limits)?;
    let mut rows = 0;
    while let Some(line) = lines.next()? {
        let line = text(line).into_owned();
        let number = lines.number;
        gather.at_line(number);
        let mut words = line.split_ascii_whitespace();
        let Some(user) = words.next() else { continue };
        let videos: Vec<&str> = words.collect();
        let refused = if videos.is_empty() {
            Some((Reason::Missing, format!("user `{user}` without a video")))
        } else if format == Format::Sasrec && videos.len() > 1 {
            Some((Reason::Malformed, format!("{} columns; expected `user video`", videos.len() + 1)))
        } else {
            gather.refuses(user, "user")
        };
        if let Some((reason, note)) = refused {
            gather.report.read += 1;
            gather.report.drop_row(reason, path, number, || note);
            continue;
        }
        for video in videos {
            rows += 1;
            gather.report.read += 1;
            if let Some((reason, note)) = gather.refuses(video, "video") {
                gather.report.drop_row(reason, path, number, || note);
                continue;
            }
            let action = Action::Watch;
            let found = Found { user, video, action, time: 0, value: None, ratio: None, part, position: 0 };
            gather.report.kept += 1;
            gather.event(path, &found)?;
            gather.tick(lines.source(), rows);
        }
    }
    if gather.report.read == 0 {
        return Err(IngestError::Empty {
            path: path.to_owned(),
            expected: "lines such as `user video video`",
        });
    }
    gather.file_read(path, "events", rows);
    Ok(())
}
