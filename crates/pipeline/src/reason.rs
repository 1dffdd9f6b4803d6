//! Why each video is here, in words that are true.

use std::sync::Arc;

use crate::pipeline::{Place, Served, StageError, guard};
use crate::{Audience, Failure, Popularity, Query, Reason, ReasonKind};

/// What a source of the pipeline is, for the words of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// A model, by its place in [`Query::models`].
    Model(usize),
    /// Near the last videos by vectors.
    Near,
    /// Of an author whom the viewer follows.
    Followed,
    /// Drawn at random.
    Drawn,
    /// The run's popular videos.
    Popular,
    /// Wanted right now.
    PopularNow,
    /// Came in last.
    Latest,
    /// What rules name.
    Rules,
}

/// Gives reasons: from the source that ranks the video best and can name a video of the past, else the main
/// model; else what is true without a past.
pub(crate) struct Reasons {
    kinds: Vec<SourceKind>,
    popularity: Arc<Popularity>,
    next: Option<Arc<Audience>>,
}

/// Ranks in the live counts that are "popular right now".
const POPULAR_NOW_RANKS: u32 = 20;
/// Videos of the past that are tried for each model.
const CAUSES_MAX: usize = 5;
/// A share is named of a video that at least so many wanted.
const WATCHED_LEAST: usize = 8;
/// A share is named if it is at least one in so many.
const SHARE_LEAST: usize = 50;

impl Reasons {
    /// With what each source of the pipeline is; model 0 is the main one.
    pub(crate) fn new(
        kinds: Vec<SourceKind>,
        popularity: Arc<Popularity>,
        next: Option<Arc<Audience>>,
    ) -> Self {
        Self { kinds, popularity, next }
    }

    fn reason(&self, query: &Query, place: &Place<'_>, failures: &mut Vec<Failure>) -> Reason {
        let row = place.candidate.row();
        if let Some(pin) = query.rules.pin(row) {
            let text = format!("placed here by the rule {}", pin.rule);
            return Reason { kind: ReasonKind::Pinned, text, video: None };
        }
        if place.from >= query.places() {
            return Reason { kind: ReasonKind::Varied, text: "to keep the list varied".into(), video: None };
        }
        let followed = (place.candidate.retrieved().iter())
            .any(|retrieved| self.kinds.get(retrieved.source) == Some(&SourceKind::Followed));
        if followed {
            let author = query.stock.authors(row, &[]).join(", ");
            return Reason {
                kind: ReasonKind::Followed,
                text: format!("by {author}, whom you follow"),
                video: None,
            };
        }
        if !query.is_cold() && query.stock.is_of_run(row) {
            let mut models: Vec<(bool, u32, usize)> = (place.candidate.retrieved().iter())
                .filter_map(|retrieved| match self.kinds.get(retrieved.source) {
                    Some(&SourceKind::Model(model)) => Some((model == 0, retrieved.rank, model)),
                    _ => None,
                })
                .collect();
            models.sort_unstable();
            for (_, _, model) in models {
                match self.cause(query, model, row) {
                    Ok(Some(reason)) => return reason,
                    Ok(None) => {}
                    Err(error) => {
                        let part = query.models()[model].name().to_string();
                        let failure = Failure { stage: "served".into(), part, message: error.to_string() };
                        if !failures.contains(&failure) {
                            failures.push(failure);
                        }
                    }
                }
            }
            if query.scores(0).is_ok_and(|scores| scores.scaled(row) > 1.0) {
                let text = "fits your taste as a whole".into();
                return Reason { kind: ReasonKind::Taste, text, video: None };
            }
        }
        self.without_a_past(query, place)
    }

    /// The video of the past that raises `row` most in a model, if the model can name one that was wanted, and
    /// what would be said of it is true.
    fn cause(&self, query: &Query, model: usize, row: u32) -> Result<Option<Reason>, StageError> {
        let of = &query.models()[model];
        let because = guard(|| Ok(of.because(&query.history, &query.context, row)))?;
        let raising = because.into_iter().filter(|&(past, weight)| {
            weight.is_finite() && weight > 0.0 && past != row && query.wanted.contains_key(&past)
        });
        Ok(raising.take(CAUSES_MAX).find_map(|(past, _)| {
            let mut reason = in_words(query, of.name(), past, query.wanted[&past].verb());
            if let (ReasonKind::WatchedNext, Some(next)) = (reason.kind, &self.next) {
                let (followed, all) = next.soon_after(past, row);
                let share = share_in_words(followed, all)?;
                reason.text = format!("watched soon after {} by {share}", query.stock.short_title(past));
            }
            Some(reason)
        }))
    }

    fn without_a_past(&self, query: &Query, place: &Place<'_>) -> Reason {
        let row = place.candidate.row();
        let now = place.candidate.retrieved().iter().any(|retrieved| {
            self.kinds.get(retrieved.source) == Some(&SourceKind::PopularNow)
                && retrieved.rank < POPULAR_NOW_RANKS
        });
        popular_or_new(&self.popularity, query.stock.is_of_run(row), now, row)
    }
}

/// `1 in 6`, or `most who wanted it`; what one viewer did, or hardly anybody, is no reason.
pub(crate) fn share_in_words(some: usize, all: usize) -> Option<String> {
    if some < 2 || all < WATCHED_LEAST || some * SHARE_LEAST < all {
        return None;
    }
    match some * 2 > all {
        true => Some("most who wanted it".into()),
        false => Some(format!("1 in {}", (all + some / 2) / some)),
    }
}

/// What counts alone say of a video.
pub(crate) fn popular_or_new(popularity: &Popularity, of_run: bool, now: bool, row: u32) -> Reason {
    let count = popularity.count(row);
    let (kind, text) = if now {
        (ReasonKind::Popular, "popular right now".to_string())
    } else if !of_run || count == 0 {
        (ReasonKind::New, "new, few have seen it".to_string())
    } else if popularity.is_among_the_most_wanted(row) {
        (ReasonKind::Popular, "popular with other viewers".to_string())
    } else if count == 1 {
        (ReasonKind::Popular, "one viewer wanted it".to_string())
    } else {
        (ReasonKind::Popular, format!("{count} viewers wanted it"))
    };
    Reason { kind, text, video: None }
}

/// A sentence about a video of the past, in the manner of a model.
pub(crate) fn in_words(query: &Query, model: &str, past: u32, verb: &str) -> Reason {
    let title = query.stock.short_title(past);
    let (kind, text) = match kind_of(model) {
        ReasonKind::WatchedNext => (ReasonKind::WatchedNext, format!("often watched next after {title}")),
        ReasonKind::CloseInContent => (ReasonKind::CloseInContent, format!("close in content to {title}")),
        _ => (ReasonKind::BecauseLiked, format!("because you {verb} {title}")),
    };
    Reason { kind, text, video: Some(query.stock.id(past).to_string()) }
}

/// What kind of neighbourhood a model's name stands for.
fn kind_of(model: &str) -> ReasonKind {
    let begins = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
    if begins(&["markov", "transition"]) {
        ReasonKind::WatchedNext
    } else if begins(&["content"]) {
        ReasonKind::CloseInContent
    } else {
        ReasonKind::BecauseLiked
    }
}

impl Served for Reasons {
    fn served(&self, query: &Query, slate: &[Place<'_>], failures: &mut Vec<Failure>) -> Vec<Reason> {
        slate.iter().map(|place| self.reason(query, place, failures)).collect()
    }
}
