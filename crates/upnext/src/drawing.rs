//! What the taste map is drawn from: spaces of labels, text, vectors, models and audiences, and the genres.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use upnext_data::{Catalogue, Dataset, Relevance};
use upnext_features::Content;
use upnext_ingest::run::{self, Manifest};
use upnext_ingest::vectors::{self, Stored};
use upnext_map::{Drawing, Groups, Map, MapConfig, MapError, Space};
use upnext_math::{Matrix, Sparse, svd};
use upnext_pipeline::FeedModels;
use upnext_serve::TasteMap;

use crate::WrongUse;
use crate::command::train::MODEL_FILE;

/// Directions that are kept of labels, of text and of audiences.
const DIRECTIONS: usize = 64;
/// Groups that have a colour: the most frequent ones. Nobody tells more colours apart.
const GROUPS_MAX: usize = 20;
/// The map's file in a run folder.
pub(crate) const MAP_FILE: &str = "map.bin";

/// What is known of a set besides its events.
pub(crate) struct Known<'a> {
    /// The set.
    pub(crate) set: &'a Dataset,
    /// What counts as wanted.
    pub(crate) relevance: &'a Relevance,
    /// Vectors that were brought, by name.
    pub(crate) vectors: Vec<(String, Stored)>,
    /// The models that serve: those of vectors are spaces too.
    pub(crate) models: &'a FeedModels,
    /// Kinds of label that colour the map: of those that begin so, the first that any video has.
    pub(crate) kinds: &'a [String],
}

/// Draws a map. `space` is drawn where it is named, else labels and text, else the first that there is.
///
/// # Errors
/// When there is no such space, or nothing is known of any video.
pub(crate) fn draw(
    known: &Known,
    space: Option<&str>,
    of: String,
    seed: u64,
    config: &MapConfig,
) -> Result<Map> {
    if config.videos_max == 0 {
        bail!("the taste map is switched off: `videos_max` of [map] is 0");
    }
    let mut spaces = spaces(known, seed);
    if let Some(name) = space {
        let Some(at) = spaces.iter().position(|space| space.name == name) else {
            let names: Vec<&str> = spaces.iter().map(|space| &space.name[..]).collect();
            let expected = format!("there is no `{name}` here; expected one of: {}", names.join(", "));
            return Err(WrongUse::of("--space", expected).into());
        };
        let first = spaces.remove(at);
        spaces.insert(0, first);
    }
    if spaces.is_empty() {
        return Err(MapError::Nothing { space: "anything".into() }.into());
    }
    let interactions = known.set.interactions(known.relevance);
    let drawing = Drawing {
        of,
        spaces,
        groups: groups(&known.set.videos, known.kinds),
        wanted: interactions.popularity(),
        seed,
    };
    Ok(Map::draw(drawing, config)?)
}

/// What a kept map was drawn of: it is drawn anew when one of these changes.
pub(crate) fn origin(manifest: &Manifest, config: &MapConfig) -> String {
    let files =
        manifest.files.iter().filter(|(name, _)| *name == MODEL_FILE || name.starts_with("embeddings/"));
    let digests: Vec<&str> = files.map(|(_, entry)| &entry.blake3[..]).collect();
    format!("{} {} {}", manifest.digest, config.videos_max, digests.join(" "))
}

/// The vectors of a run, by name.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn vectors_of(run: &Path) -> Result<Vec<(String, Stored)>> {
    let mut all = Vec::new();
    for name in vectors::names(run)? {
        all.extend(vectors::read(run, &name)?.map(|stored| (name, stored)));
    }
    Ok(all)
}

/// The map that a run keeps, if it was drawn of what the run now holds; else it is drawn and kept.
///
/// # Errors
/// When it cannot be drawn.
pub(crate) fn kept_or_drawn(folder: &Path, known: &Known, seed: u64, config: &MapConfig) -> Result<Map> {
    let of = origin(&run::manifest(folder)?, config);
    // Whatever is wrong with a kept map, it is drawn again.
    let kept = run::read_file(folder, MAP_FILE).ok().flatten();
    if let Some(map) = kept.and_then(|bytes| Map::from_bytes(&bytes).ok())
        && map.of == of
        && map.n_rows == known.set.videos.len()
    {
        return Ok(map);
    }
    let map = draw(known, None, of, seed, config)?;
    if let Err(error) = run::add_file(folder, MAP_FILE, &map.to_bytes()) {
        tracing::warn!("the taste map is not kept, and will be drawn again at the next start: {error}");
    }
    Ok(map)
}

/// What a page is shown of a drawing that was tried.
pub(crate) fn shown(drawn: Result<Map>) -> TasteMap {
    match drawn.context("the taste map") {
        Ok(map) => TasteMap::Ready(Arc::new(map)),
        Err(error) => {
            tracing::warn!("{error:#}");
            TasteMap::Absent(error.root_cause().to_string())
        }
    }
}

/// Every space that knows a video: what is to be drawn first, then the others.
fn spaces(known: &Known, seed: u64) -> Vec<Space> {
    let n_labels = known.set.videos.labels.len() as u32;
    let directions = |name: &str, vectors: &Sparse| {
        let rows = svd::truncated(vectors, DIRECTIONS, seed).rows();
        Space::new(name, rows)
    };
    let mut spaces = Vec::new();
    if let Some(content) = Content::new(&known.set.videos) {
        let labels = directions("labels", &content.vectors().filter(|_, column, _| column < n_labels));
        let text = directions("text", &content.vectors().filter(|_, column, _| column >= n_labels));
        spaces.push(Space::joined("labels and text", &[&labels, &text]));
        spaces.extend([labels, text]);
    }
    for (name, stored) in &known.vectors {
        spaces.push(Space::new(
            name,
            Matrix::from_rows(stored.present.len(), stored.dim, stored.values.clone()),
        ));
    }
    let models = std::iter::once(&known.models.main).chain(&known.models.sources);
    let named =
        models.map(|model| (model.name(), model)).chain(known.models.fused.iter().map(|it| ("fused", it)));
    for (name, model) in named {
        if let Some(tower) = model.tower().filter(|tower| tower.items().n_rows() == known.set.videos.len()) {
            spaces.push(Space::new(name, tower.items().clone()));
        }
    }
    spaces.push(directions("audience", &audiences(known)));
    spaces.retain(|space| (0..space.vectors().n_rows()).any(|row| space.knows(row)));
    // Where a catalogue has one of the two, both together are that one.
    let both =
        spaces.iter().any(|space| space.name == "labels") && spaces.iter().any(|space| space.name == "text");
    spaces.retain(|space| both || space.name != "labels and text");
    spaces
}

/// Who wanted each video, `(videos, users)`: a user who wanted much says less, and every video has unit length.
fn audiences(known: &Known) -> Sparse {
    let interactions = known.set.interactions(known.relevance);
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); known.set.videos.len()];
    for (user, wanted) in (0..).zip(interactions.sequences()) {
        let weight = 1.0 / (wanted.len() as f32).sqrt();
        wanted.iter().for_each(|&video| rows[video as usize].push((user, weight)));
    }
    for row in &mut rows {
        let norm = row.iter().map(|(_, x)| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|(_, x)| *x /= norm);
    }
    Sparse::from_rows(interactions.n_users(), rows)
}

/// The main genre of each video: of its labels the one that fewest videos have, as that says most of it. Labels that
/// are not among the most frequent twenty colour nothing.
fn groups(videos: &Catalogue, kinds: &[String]) -> Groups {
    let n = videos.len() as u32;
    // `category` finds `category1`, the broadest of three levels.
    let known: BTreeSet<&str> =
        videos.labels.iter().filter_map(|label| Some(label.split_once(':')?.0)).collect();
    let kind = kinds.iter().find_map(|kind| known.iter().find(|known| known.starts_with(&kind[..])));
    let Some(kind) = kind else { return Groups { names: Vec::new(), of: vec![None; videos.len()] } };
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for row in 0..n {
        videos.labels_of(row, kind).for_each(|label| *counts.entry(label).or_default() += 1);
    }
    let mut names: Vec<(&str, usize)> = counts.into_iter().collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    names.truncate(GROUPS_MAX);
    let numbers: HashMap<&str, u8> = (0..).zip(&names).map(|(number, (name, _))| (*name, number)).collect();
    let of =
        (0..n).map(|row| videos.labels_of(row, kind).filter_map(|label| numbers.get(label).copied()).max());
    Groups { of: of.collect(), names: names.iter().map(|(name, _)| (*name).to_string()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarest_genre_is_the_main_one_and_a_video_without_has_none() {
        let mut videos = Catalogue::new();
        for labels in [&["genre:Drama"][..], &["genre:Drama", "genre:War"], &["tag:x"]] {
            let row = videos.intern(&format!("v{}", videos.len()));
            labels.iter().for_each(|label| videos.label(row, label));
        }
        let found = groups(&videos, &["category".into(), "genre".into()]);
        assert_eq!(
            found,
            Groups { names: vec!["Drama".into(), "War".into()], of: vec![Some(0), Some(1), None] }
        );
        assert_eq!(groups(&videos, &["ta".into()]).names, ["x"]);
        assert_eq!(groups(&videos, &["topic".into()]).of, [None; 3]);
    }
}
