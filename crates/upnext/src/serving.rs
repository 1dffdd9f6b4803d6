//! The models that answer requests: fitted on everything, small enough to keep in memory, saved in the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use upnext_data::{Dataset, History, Order, Relevance};
use upnext_features::Content;
use upnext_ingest::vectors::Stored;
use upnext_models::train::Start;
use upnext_models::zoo::{Choices, Kind, Zoo};
use upnext_models::{Context, FitError, Recommender, Training, checkpoint};
use upnext_pipeline::{FeedModels, Similarity};

use crate::facts::facts;
use crate::learning::{Learning, Watcher};
use crate::progress;

/// The strongest entries of each video that a served model keeps. On the bundled films the closed blend loses
/// nothing by it: `upnext eval data/movies --models closed-blend --neighbours 200`.
const NEIGHBOURS: usize = 200;

/// Beyond this many videos nothing is made of pairs that are alike in content, and no vectors are learnt for the re-rank, which then
/// goes by content itself: a broad label alone has more pairs than memory holds, and training holds half a thousand numbers of each
/// video.
const PAIRS_VIDEOS_MAX: usize = 200_000;

/// Which models a feed is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth<'a> {
    /// Counting models alone: ready within a second on the bundled sets.
    Quick,
    /// This model ranks, a blend being one of these.
    Full(Kind, &'a [Kind]),
}

/// Fits a feed's models on all events of a set.
///
/// # Errors
/// When the numbers do not allow it.
pub(crate) fn fit(
    set: &Dataset,
    relevance: &Relevance,
    seed: u64,
    (choices, learning, vectors, start): (Choices, &Learning, &[Stored], Option<&Start>),
    depth: Depth,
) -> Result<FeedModels> {
    let interactions = set.interactions(relevance);
    let candidates: Vec<u32> = (0..set.videos.len() as u32).collect();
    let content = Content::new(&set.videos).map(Arc::new);
    let watcher = Watcher::new(learning);
    let training = Training {
        content: content.clone(),
        facts: Some(Arc::new(facts(set, vectors))),
        candidates: &candidates,
        settings: Arc::clone(&learning.settings),
        start,
        watch: &watcher,
        ..Training::of(&interactions, set.order, seed)
    };
    let mut zoo = Zoo::with_choices(training, choices);
    let sources = source_models(&mut zoo, set, depth)?;
    let main = match depth {
        Depth::Full(ranker, beside) => fit_one(&mut zoo, ranker, beside)?,
        Depth::Quick => {
            let parts = [Kind::DirectedCosineContent, Kind::DirectedCosine, Kind::ItemKnn, Kind::Content];
            let parts: Vec<Kind> = parts.into_iter().filter(|kind| can_fit(&mut zoo, *kind)).collect();
            fit_one(&mut zoo, Kind::Blend, &parts)?
        }
    };
    let fused = match depth {
        Depth::Full(..) => fused(&mut zoo, set.videos.len())?,
        Depth::Quick => None,
    };
    let is_large = set.videos.len() > PAIRS_VIDEOS_MAX;
    let neighbours = [Kind::DirectedCosineContent, Kind::DirectedCosine, Kind::ItemKnn]
        .into_iter()
        .filter(|&kind| !(is_large && kind == Kind::DirectedCosineContent))
        .find(|kind| can_fit(&mut zoo, *kind))
        .unwrap_or(Kind::ItemKnn);
    let neighbours = compact(fit_one(&mut zoo, neighbours, &[])?);
    Ok(FeedModels {
        similarity: similarity(content, &neighbours),
        fused,
        main: compact(main),
        sources: sources.into_iter().map(compact).collect(),
        neighbours,
        indexes: BTreeMap::new(),
    })
}

fn compact(model: Arc<dyn Recommender>) -> Arc<dyn Recommender> {
    model.compact(NEIGHBOURS).unwrap_or(model)
}

fn can_fit(zoo: &mut Zoo, kind: Kind) -> bool {
    zoo.fit(kind, &[]).is_ok()
}

fn fit_one(zoo: &mut Zoo, kind: Kind, beside: &[Kind]) -> Result<Arc<dyn Recommender>> {
    let wheel = progress::wheel(&format!("fitting {kind} on everything"));
    let fitted = zoo.fit(kind, beside)?;
    wheel.finish_and_clear();
    Ok(fitted.model)
}

/// Vectors of videos for the re-rank; `None` where there is nothing to learn them from, or too much.
fn fused(zoo: &mut Zoo, n_videos: usize) -> Result<Option<Arc<dyn Recommender>>> {
    if n_videos > PAIRS_VIDEOS_MAX {
        tracing::info!("{n_videos} videos: the re-rank goes by content, not by vectors learnt for it");
        return Ok(None);
    }
    let wheel = progress::wheel("fitting vectors that lists are varied by");
    let fitted = zoo.fit_for_variety();
    wheel.finish_and_clear();
    match fitted {
        Ok(model) => Ok(Some(model)),
        Err(FitError::Needs { .. }) => Ok(None),
        // Who stops the training wants it all stopped; whatever else goes wrong costs these vectors alone.
        Err(error @ FitError::Stopped { .. }) => Err(error.into()),
        Err(error) => {
            tracing::warn!("the re-rank goes by content, as no vectors could be learnt for it: {error}");
            Ok(None)
        }
    }
}

fn source_models(zoo: &mut Zoo, set: &Dataset, depth: Depth) -> Result<Vec<Arc<dyn Recommender>>> {
    let mut models = Vec::new();
    if set.videos.len() > PAIRS_VIDEOS_MAX {
        tracing::info!(
            "{} videos: content is no source of its own, as it would score each of them for each request",
            set.videos.len()
        );
    }
    // EASE in its dual form is quick; in its primal form it waits for the full feed.
    let quick_ease = set.users.len() <= 2_000;
    for kind in [Kind::Markov, Kind::ItemKnn, Kind::Content, Kind::Ease] {
        if kind == Kind::Ease && depth == Depth::Quick && !quick_ease {
            continue;
        }
        if kind == Kind::Content && set.videos.len() > PAIRS_VIDEOS_MAX {
            continue;
        }
        match zoo.fit(kind, &[]) {
            Ok(fitted) => models.push(fitted.model),
            Err(FitError::Needs { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if models.is_empty() {
        bail!(
            "no model can be fitted on {}: it has {:?} events without order, labels or text",
            set.name,
            Order::Unordered
        );
    }
    Ok(models)
}

/// Likeness for refused and related videos, and for the re-rank of a run without vectors: of content where the catalogue tells anything, else of audiences.
fn similarity(content: Option<Arc<Content>>, neighbours: &Arc<dyn Recommender>) -> Arc<dyn Similarity> {
    match content {
        Some(content) => Arc::new(ByContent(content)),
        None => Arc::new(ByAudience(Arc::clone(neighbours))),
    }
}

struct ByContent(Arc<Content>);

impl Similarity for ByContent {
    fn between(&self, a: u32, b: u32) -> f32 {
        self.0.between(a, b)
    }
}

struct ByAudience(Arc<dyn Recommender>);

impl Similarity for ByAudience {
    fn between(&self, a: u32, b: u32) -> f32 {
        let reasons = self.0.because(&History::of_positives(&[a]), &Context::default(), b);
        reasons.first().map_or(0.0, |&(_, share)| share.clamp(0.0, 1.0))
    }
}

/// The bytes of a run's `model.safetensors`: main, neighbours, the sources, then the vectors of the re-rank.
///
/// # Errors
/// When the file cannot be made.
pub(crate) fn to_bytes(models: &FeedModels) -> Result<Vec<u8>> {
    let mut all: Vec<&dyn Recommender> = vec![models.main.as_ref(), models.neighbours.as_ref()];
    all.extend(models.sources.iter().chain(&models.fused).map(AsRef::as_ref));
    Ok(checkpoint::save(&all)?)
}

/// The models of a run's `model.safetensors`.
///
/// # Errors
/// When the file is not one that this build writes, or belongs to another set.
pub(crate) fn from_bytes(bytes: &[u8], set: &Dataset) -> Result<FeedModels> {
    let mut models = checkpoint::load(bytes)?.into_iter();
    let (Some(main), Some(neighbours)) = (models.next(), models.next()) else {
        bail!("the model file holds fewer than two models: fit it again with `upnext train`");
    };
    let mut sources: Vec<Arc<dyn Recommender>> = models.collect();
    // No source is called so, and runs of older builds hold none.
    let fused = sources.pop_if(|last| last.name() == Kind::Fusion.name());
    let content = Content::new(&set.videos).map(Arc::new);
    let (similarity, indexes) = (similarity(content, &neighbours), BTreeMap::new());
    Ok(FeedModels { similarity, fused, main, neighbours, sources, indexes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Action, Catalogue, Event, Events, Users};

    /// Twelve films of two genres, one of which nothing is known, and eight people who each like four of one genre.
    fn set() -> Dataset {
        let (mut users, mut videos, mut events) = (Users::new(), Catalogue::new(), Events::new());
        for at in 0..12u32 {
            let row = videos.intern(&format!("film{at}"));
            videos.label(row, if at < 6 { "genre:Comedy" } else { "genre:Crime" });
            videos.label(row, &format!("tag:{}", at % 3));
        }
        videos.intern("blank");
        for at in 0..8u32 {
            let user = users.intern(&format!("u{at}"));
            for step in 0..4 {
                let (video, time) = (at % 2 * 6 + (at / 2 + step) % 6, i64::from(at * 10 + step));
                events.push(Event { user, video, action: Action::Like, time, value: None, ratio: None });
            }
        }
        Dataset::new("small", users, videos, events, Order::Timed, None)
    }

    fn models(depth: Depth) -> FeedModels {
        let choices = (Choices::new(), &Learning::default(), &[][..], None);
        fit(&set(), &Relevance::default(), 1, choices, depth).unwrap()
    }

    #[test]
    fn the_vectors_of_the_re_rank_come_back_from_the_file() {
        let set = set();
        let full = models(Depth::Full(Kind::ItemKnn, &[]));
        let vectors = |models: &FeedModels| models.fused.as_ref().unwrap().tower().unwrap().items().clone();
        let learnt = vectors(&full);
        assert!(learnt.n_rows() == 13 && learnt.row(11).iter().any(|x| *x != 0.0));
        assert!(learnt.row(12).iter().all(|x| *x == 0.0), "nothing is known of it");
        let again = from_bytes(&to_bytes(&full).unwrap(), &set).unwrap();
        assert_eq!(vectors(&again).values(), vectors(&full).values());
        let names = |models: &FeedModels| -> Vec<String> {
            models.sources.iter().map(|source| source.name().to_string()).collect()
        };
        assert_eq!(names(&again), names(&full));

        let quick = models(Depth::Quick);
        assert!(quick.fused.is_none());
        let again = from_bytes(&to_bytes(&quick).unwrap(), &set).unwrap();
        assert!(again.fused.is_none(), "a file without them can be read");
        assert_eq!(names(&again), names(&quick));
    }
}
