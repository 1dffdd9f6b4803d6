//! The sets that lie in the repository come in whole.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use upnext_data::{Action, Order, Part, Split, SplitRule};
use upnext_ingest::{Imported, Options, run};

fn import(set: &str) -> Imported {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data").join(set);
    // 2026-01-01: later than anything in the sets.
    let options = Options { now: Some(1_767_225_600_000), ..Options::default() };
    upnext_ingest::read(&[folder], &options, &|_| ()).unwrap()
}

#[test]
fn movies_have_all_ratings_with_times_titles_genres_tags_plots_and_casts() {
    let Imported { dataset, cleaning, recognised, notice, .. } = import("movies");
    assert!(recognised.starts_with("movielens"), "{recognised}");
    assert_eq!((dataset.name.as_str(), dataset.order), ("movies", Order::Timed));
    assert_eq!((cleaning.read, cleaning.kept), (100_836, 100_836));
    assert_eq!((dataset.events().len(), dataset.users.len(), dataset.videos.len()), (100_836, 610, 9_742));
    assert!(dataset.events().iter().all(|e| e.action == Action::Rating && e.value.is_some() && e.time > 0));
    assert!(notice.unwrap().text.contains("non-commercial"));
    let heat = dataset.videos.row("6").unwrap();
    let video = dataset.videos.video(heat);
    assert_eq!((video.title.as_str(), video.year), ("Heat", Some(1995)));
    assert_eq!(dataset.videos.creators.name(video.creator.unwrap()), "Michael Mann");
    assert!(video.text.contains("crime"), "{}", video.text);
    assert!(dataset.videos.labels_of(heat, "genre").any(|genre| genre == "Thriller"));
    assert!(dataset.videos.labels_of(heat, "cast").any(|name| name == "Al Pacino"));
    let story = dataset.videos.row("1").unwrap();
    assert_eq!(dataset.videos.labels_of(story, "tag").collect::<Vec<_>>(), ["pixar", "fun"]);
    let plots = dataset.videos.videos().iter().filter(|video| !video.text.is_empty()).count();
    assert_eq!(plots, 6_365);
}

#[test]
fn kuairec_comes_split_without_times_and_its_shared_pairs_are_found() {
    let Imported { dataset, cleaning, recognised, notice, .. } = import("kuairec");
    assert!(recognised.starts_with("kuairec"), "{recognised}");
    assert_eq!(dataset.order, Order::Unordered);
    assert_eq!(cleaning.kept, 117_113 + 288_319);
    let parts = dataset.parts().unwrap();
    let of = |part| {
        let events = dataset.events().iter().zip(parts).filter(move |(_, p)| **p == part);
        events.map(|(event, _)| event).collect::<Vec<_>>()
    };
    let (sample, positives) = (of(Part::Train), of(Part::Test));
    assert_eq!((sample.len(), positives.len()), (117_113, 288_319));
    assert!(sample.iter().all(|e| e.ratio.is_some() && e.value.is_none() && e.time == 0));
    assert!(positives.iter().all(|e| e.ratio.is_none() && e.value.is_none() && e.action == Action::Watch));
    assert_eq!((dataset.users.len(), dataset.videos_in_events().len()), (1_411, 3_225));
    let rule = "watch or watch_ratio>=1".parse().unwrap();
    let split = Split::new(&dataset, &rule, SplitRule::Given, 1).unwrap();
    assert_eq!(split.pairs_on_both_sides, 10_764);
    assert!(notice.unwrap().licence.contains("CC BY-SA 4.0"));
    let video = dataset.videos.row("103").unwrap();
    assert_eq!(dataset.videos.labels_of(video, "category1").collect::<Vec<_>>(), ["美食"]);
    assert!(dataset.videos.labels_of(video, "topic").any(|topic| topic == "快手九周年"));
    let groups: Vec<&str> = dataset.users.labels.iter().collect();
    assert!(groups.contains(&"user_active_degree:full_active"), "{groups:?}");
}

#[test]
fn both_sets_survive_the_run_folder() {
    for set in ["movies", "kuairec"] {
        let imported = import(set);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(set);
        let about = run::About { notice: imported.notice.clone(), ..run::About::default() };
        run::write(&path, &imported.dataset, &imported.cleaning, &about, false).unwrap();
        let back = run::open(&path).unwrap();
        assert_eq!(back.dataset.digest(), imported.dataset.digest(), "{set}");
        assert_eq!(back.manifest.notice, imported.notice);
        assert_eq!(back.cleaning, imported.cleaning);
    }
}
