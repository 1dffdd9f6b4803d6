//! What is asked, and what is answered.

use serde::{Deserialize, Serialize};

use crate::{ActionWeights, Expression, Failure, Trace};

/// One question. Limits of [`crate::FeedConfig`] apply: what is beyond them is cut.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Outside id of the viewer; `None` for somebody unknown.
    pub user: Option<String>,
    /// Outside ids of videos that count as wanted, newest last: onboarding, or the session so far.
    pub picks: Vec<String>,
    /// How many videos.
    pub n: usize,
    /// How many places to skip.
    pub offset: usize,
    /// Outside ids that must not be shown.
    pub exclude: Vec<String>,
    /// A video must be in all of these; `Comedy|Crime` is either of two.
    pub categories: Vec<String>,
    /// What a video must be, in the language of [`Expression`].
    pub filter: Option<Expression>,
    /// The viewer's language, `en` for example: a video in another one is not shown.
    pub language: Option<String>,
    /// Where the viewer is, `NO` for example: a video for other regions is not shown.
    pub region: Option<String>,
    /// The highest age rating that may be shown.
    pub age_max: Option<u32>,
    /// Outside ids of authors whose videos are not shown.
    pub block_authors: Vec<String>,
    /// The viewer's session: what was served in it is not served again. Without a user, what is told of the user
    /// `session:ID` counts.
    pub session: Option<String>,
    /// What the viewer looks at it on, as the log names it.
    pub device: Option<String>,
    /// The hour of the viewer's day, 0 to 23.
    pub hour: Option<u8>,
    /// Weights of actions; `None` takes the configured ones.
    pub weights: Option<ActionWeights>,
    /// Which rules are applied.
    pub rules: RuleMode,
    /// The weight of relevance in the re-rank, 0 to 1; 1 is the plain ranking. `None` takes the configured one.
    pub lambda: Option<f32>,
    /// Milliseconds since 1970.
    pub now: i64,
    /// For models that draw at random.
    pub seed: u64,
    /// Videos of the past that are left out, the newest: what would be shown to somebody who had stopped before.
    pub forget: usize,
}

/// Which rules are applied to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleMode {
    /// Those that are no dry run; what the others would change is told.
    #[default]
    Live,
    /// None; what all of them would change is told.
    Dry,
    /// All of them, dry runs included.
    All,
}

/// `lambda` and `diversity` are two names of one number: `diversity` is `1 - lambda`.
///
/// # Errors
/// If both are given and disagree, or one is outside 0 to 1.
pub fn lambda_from(lambda: Option<f32>, diversity: Option<f32>) -> Result<Option<f32>, LambdaError> {
    let within = |name: &'static str, value: Option<f32>| match value {
        Some(v) if !(0.0..=1.0).contains(&v) => Err(LambdaError::Range { name, value: v }),
        v => Ok(v),
    };
    let (lambda, diversity) = (within("lambda", lambda)?, within("diversity", diversity)?);
    match (lambda, diversity) {
        (Some(l), Some(d)) if (l + d - 1.0).abs() > 1e-4 => {
            Err(LambdaError::Both { lambda: l, diversity: d })
        }
        (Some(l), _) => Ok(Some(l)),
        (None, d) => Ok(d.map(|d| 1.0 - d)),
    }
}

/// A weight that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum LambdaError {
    /// Outside 0 to 1.
    #[error("{name} is {value}; expected a number from 0 to 1")]
    Range {
        /// `lambda` or `diversity`.
        name: &'static str,
        /// What was given.
        value: f32,
    },
    /// Two answers to one question.
    #[error(
        "lambda {lambda} and diversity {diversity} disagree: diversity is 1 - lambda, so give one of them"
    )]
    Both {
        /// Weight of relevance.
        lambda: f32,
        /// Weight of variety.
        diversity: f32,
    },
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    /// Unique: 16 hex digits.
    pub request_id: String,
    /// What to show, in order.
    pub slate: Vec<Slot>,
    /// How it came about.
    pub trace: Trace,
    /// What failed on the way.
    pub failures: Vec<Failure>,
}

/// One place of the slate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slot {
    /// Outside id.
    pub video: String,
    /// The sum of `parts`; finite.
    pub score: f64,
    /// The sources that returned it.
    pub sources: Vec<String>,
    /// The score, part by part.
    pub parts: Vec<(String, f64)>,
    /// Its rank in each source that returned it, from 1.
    pub ranks: Vec<(String, usize)>,
    /// Why it is here, in words.
    pub reason: Reason,
    /// How likely its place was to show it, where a share of places explores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propensity: Option<f64>,
}

/// Why a video is here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Which kind of reason.
    pub kind: ReasonKind,
    /// In words, with titles.
    pub text: String,
    /// The video of the viewer's past that is named, by outside id.
    pub video: Option<String>,
}

/// The kinds of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// A video of the viewer's past raises it.
    BecauseLiked,
    /// People watch it after a video of the viewer's past.
    WatchedNext,
    /// Its content is near a video of the viewer's past.
    CloseInContent,
    /// Many want it.
    Popular,
    /// It came in lately, or few have seen it.
    New,
    /// It would not be on this page without the re-rank.
    Varied,
    /// Its author is followed.
    Followed,
    /// It was drawn at random.
    Explored,
    /// The taste as a whole, without a single video to name.
    Taste,
    /// A rule gives it this place.
    Pinned,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diversity_is_one_minus_lambda_and_a_contradiction_is_named() {
        assert_eq!(lambda_from(Some(0.7), None), Ok(Some(0.7)));
        assert_eq!(lambda_from(None, Some(0.25)), Ok(Some(0.75)));
        assert_eq!(lambda_from(Some(0.7), Some(0.3)), Ok(Some(0.7)));
        assert_eq!(lambda_from(None, None), Ok(None));
        assert!(lambda_from(Some(0.7), Some(0.7)).unwrap_err().to_string().contains("disagree"));
        assert!(lambda_from(Some(f32::NAN), None).is_err());
        assert!(lambda_from(None, Some(1.5)).unwrap_err().to_string().contains("from 0 to 1"));
    }
}
