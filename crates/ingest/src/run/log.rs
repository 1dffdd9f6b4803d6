//! A run folder as a log whose events pass by, for work that must not hold them.
//!
//! Memory grows with users, videos and days. Circumstances, which may be as many as events, are counted only.

use std::path::{Path, PathBuf};

use upnext_data::{Dataset, Event, Events, Log, Part};

use super::{Manifest, RunError, event_batches, extras, manifest, read_cleaning, read_names};
use crate::CleaningReport;

/// A run that was opened for streaming.
#[derive(Clone, Debug)]
pub struct RunLog {
    /// What is written in `manifest.json`, the digest of the whole set included.
    pub manifest: Manifest,
    /// Events in all.
    pub n_events: u64,
    /// What the import read and dropped.
    pub cleaning: CleaningReport,
    /// Searches, comments and other circumstances that lie beside the events.
    pub n_circumstances: usize,
    path: PathBuf,
    /// With no event and no circumstance.
    set: Dataset,
    has_parts: bool,
}

impl Log for RunLog {
    type Error = RunError;

    fn set(&self) -> &Dataset {
        &self.set
    }

    fn has_parts(&self) -> bool {
        self.has_parts
    }

    fn pass(&self, see: &mut dyn FnMut(&Event, Option<Part>)) -> Result<(), RunError> {
        for batch in event_batches(&self.path)? {
            let (events, parts) = batch?;
            for (at, event) in events.iter().enumerate() {
                see(&event, parts.as_ref().map(|parts| parts[at]));
            }
        }
        Ok(())
    }
}

/// Opens a run; every file is checked against its digest.
///
/// # Errors
/// When the folder is no run, is of another version, or a file was changed.
pub fn open_log(path: &Path) -> Result<RunLog, RunError> {
    let manifest = manifest(path)?;
    let events = event_batches(path)?;
    let (users, videos) = read_names(path, &manifest)?;
    let cleaning = read_cleaning(path, &manifest)?;
    let mut set = Dataset::new(manifest.name.clone(), users, videos, Events::new(), manifest.order, None);
    extras::read(path, &manifest.files, &mut set)?;
    Ok(RunLog {
        n_events: events.n_events(),
        has_parts: events.has_parts(),
        n_circumstances: extras::count_circumstances(path, &manifest.files)?,
        path: path.into(),
        manifest,
        cleaning,
        set,
    })
}

#[cfg(test)]
mod tests {
    use upnext_data::{Action, Catalogue, Circumstance, Column, Daily, Names, Order, Users};

    use super::*;
    use crate::run::{self, About};

    #[test]
    fn a_log_that_passes_by_holds_what_the_run_holds() {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        (0..3).for_each(|user| _ = users.intern(&format!("u{user}")));
        users.label(1, "age:18-24");
        users.befriend(0, 2);
        users.attributes.set("fans", Column::Number(vec![1.0, f32::NAN, 3.0]));
        for id in ["v1", "影", ""] {
            let row = videos.intern(id);
            videos.label(row, &format!("tag:{id}"));
        }
        videos.video_mut(1).title = "A title".into();
        videos.video_mut(2).creator = Some(videos.creators.intern("maker"));
        let kinds = Names::from_iter(["short"]);
        videos.attributes.set("kind", Column::Category { codes: vec![0, Column::MISSING, 0], values: kinds });
        videos.attributes.set("comment", Column::Text(vec!["good".into(), String::new(), "bad".into()]));
        let event = |user, video| Event {
            user,
            video,
            action: Action::Watch,
            time: 5,
            value: None,
            ratio: Some(0.5),
        };
        (0..3).for_each(|at| events.push(event(at, 2 - at)));
        let parts = vec![Part::Train, Part::Test, Part::Validation];
        let mut set = Dataset::new("tiny", users, videos, events, Order::Timed, Some(parts));
        set.daily = Daily::new(vec![1, 1], vec![7, 8], vec![("play_cnt".into(), vec![3.0, f32::NAN])]);
        let place = Some((1.0, 2.0));
        let (text, device) = ("cats".into(), String::new());
        set.circumstances =
            vec![Circumstance { user: 0, video: None, action: Action::Search, time: 1, text, device, place }];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        run::write(&path, &set, &CleaningReport::default(), &About::default(), false).unwrap();

        let log = open_log(&path).unwrap();
        assert_eq!((log.n_events, log.n_circumstances, log.has_parts()), (3, 1, true));
        assert!(log.set().events().is_empty() && log.set().circumstances.is_empty());
        let (mut events, mut parts) = (Events::new(), Vec::new());
        log.pass(&mut |event, part| {
            events.push(*event);
            parts.extend(part);
        })
        .unwrap();
        // The digest covers all that is known; with the events it is the run's.
        let mut held = log.set().clone();
        held.circumstances = set.circumstances.clone();
        let (daily, circumstances) = (held.daily, held.circumstances);
        let mut held = Dataset::new("tiny", held.users, held.videos, events, Order::Timed, Some(parts));
        (held.daily, held.circumstances) = (daily, circumstances);
        assert_eq!(held.digest(), log.manifest.digest);
        assert!(held.videos.labels.iter().eq(set.videos.labels.iter()));

        std::fs::write(path.join("dataset/labels.parquet"), "damaged").unwrap();
        let error = open_log(&path).unwrap_err().to_string();
        assert!(error.contains("labels.parquet") && error.contains("upnext import"), "{error}");
    }
}
