//! What a request for a list may say, read once for all routes.

use axum::Json;
use serde::Serialize;
use serde::de::{Deserialize, IntoDeserializer};
use upnext_pipeline::{ActionWeights, Expression, Feed, Request, RuleMode, ShelfKind, lambda_from};

use crate::AppState;
use crate::error::ApiError;
use crate::extract::{Params, within};

/// `{"RowAffected":n}`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RowAffected {
    row_affected: usize,
}

pub(super) fn affected(row_affected: usize) -> Json<RowAffected> {
    Json(RowAffected { row_affected })
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl AppState {
    /// Rows of a page of stored things.
    pub(super) fn page_of(&self, params: &Params) -> Result<usize, ApiError> {
        let config = self.config();
        params.count("n", config.n_default, 1, config.page_max)
    }

    /// `n`, `offset` and `category`, for somebody unknown.
    pub(super) fn listed(&self, feed: &Feed, params: &Params) -> Result<Request, ApiError> {
        let config = self.config();
        let n = params.count("n", config.n_default, 1, config.n_max)?;
        let places = feed.config().places_max;
        let offset = params.count("offset", 0, 0, places.saturating_sub(n))?;
        let categories = params.all("category");
        self.check_ids("categories", &categories, feed.config().categories_max)?;
        Ok(Request { n, offset, categories, now: now(), ..Request::default() })
    }

    /// The same for somebody who may have seen things: `user-id`.
    pub(super) fn listed_for(&self, feed: &Feed, params: &Params) -> Result<Request, ApiError> {
        let user = params.one("user-id").map(str::to_owned);
        user.iter().try_for_each(|user| self.check_id("user id", user))?;
        Ok(Request { user, ..self.listed(feed, params)? })
    }

    /// All that our own routes take.
    pub(super) fn asked(
        &self,
        feed: &Feed,
        user: Option<&str>,
        params: &Params,
    ) -> Result<Request, ApiError> {
        user.iter().try_for_each(|user| self.check_id("user", user))?;
        let request = Request {
            user: user.map(str::to_owned),
            picks: params.all("pick"),
            exclude: params.all("exclude"),
            block_authors: params.all("block_author"),
            lambda: weight(params.number("lambda")?, params.number("diversity")?)?,
            weights: params.one("weights").map(ActionWeights::parse).transpose().map_err(wrong_weights)?,
            ..self.listed(feed, params)?
        };
        self.check_lists(feed, &request)?;
        let number = |name, max| match params.one(name) {
            None => Ok(None),
            Some(_) => params.count(name, 0, 0, max).map(Some),
        };
        let said = Said {
            filter: params.one("filter"),
            language: params.one("language"),
            region: params.one("region"),
            device: params.one("device"),
            session: params.one("session"),
            rules: params.one("rules"),
            age_max: number("age_max", AGE_MAX)?,
            hour: number("hour", HOUR_MAX)?,
        };
        self.with_said(feed, request, &said)
    }

    /// A request with what a query or a body says in words.
    pub(super) fn with_said(
        &self,
        feed: &Feed,
        request: Request,
        said: &Said<'_>,
    ) -> Result<Request, ApiError> {
        for (name, text) in [
            ("language", said.language),
            ("region", said.region),
            ("device", said.device),
            ("session", said.session),
        ] {
            text.iter().try_for_each(|text| self.check_id(name, text))?;
        }
        let limits = feed.config().filters.limits();
        let filter =
            said.filter.map(|text| Expression::parse(text, limits)).transpose().map_err(|error| {
                let hint =
                    "genre:Comedy and not (tag:gore or year < 1990), for example; docs/rules.md tells all";
                ApiError::bad("bad_parameter", format!("`filter`: {error}"), hint)
            })?;
        let rules = match said.rules {
            None => RuleMode::Live,
            Some("dry") => RuleMode::Dry,
            Some(other) => {
                let message = format!("`rules` is {other:?}; expected dry");
                return Err(ApiError::bad("bad_parameter", message, "without it, rules are applied"));
            }
        };
        let within = |name, number: Option<usize>, max| match number {
            Some(number) => within(name, &number.to_string(), Some(number), 0, max).map(Some),
            None => Ok(None),
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Request {
            filter,
            rules,
            language: owned(said.language),
            region: owned(said.region),
            device: owned(said.device),
            session: owned(said.session),
            age_max: within("age_max", said.age_max, AGE_MAX)?.map(|age| age as u32),
            hour: within("hour", said.hour, HOUR_MAX)?.map(|hour| hour as u8),
            ..request
        })
    }

    pub(super) fn check_lists(&self, feed: &Feed, request: &Request) -> Result<(), ApiError> {
        let limits = feed.config();
        self.check_ids("picks", &request.picks, limits.picks_max)?;
        self.check_ids("excluded ids", &request.exclude, limits.exclude_max)?;
        self.check_ids("blocked authors", &request.block_authors, limits.filters.block_authors_max)?;
        self.check_ids("categories", &request.categories, limits.categories_max)
    }

    /// The bounds of `n` and `offset`, where a body gives them.
    pub(super) fn check_places(&self, feed: &Feed, n: usize, offset: usize) -> Result<(), ApiError> {
        let places = feed.config().places_max;
        within("n", &n.to_string(), Some(n), 1, self.config().n_max)?;
        within("offset", &offset.to_string(), Some(offset), 0, places.saturating_sub(n))?;
        Ok(())
    }
}

const AGE_MAX: usize = 150;
const HOUR_MAX: usize = 23;

/// What a query or a body says in words.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) filter: Option<&'a str>,
    pub(super) language: Option<&'a str>,
    pub(super) region: Option<&'a str>,
    pub(super) device: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) rules: Option<&'a str>,
    pub(super) age_max: Option<usize>,
    pub(super) hour: Option<usize>,
}

pub(super) fn wrong_weights(error: upnext_pipeline::WeightsError) -> ApiError {
    ApiError::bad("bad_parameter", format!("`weights`: {error}"), "like:1,watch:0.2,hate:-5 for example")
}

/// The kind of shelf of that name.
pub(super) fn shelf_kind(name: &str) -> Result<ShelfKind, ApiError> {
    let kind = ShelfKind::deserialize(IntoDeserializer::<serde::de::value::Error>::into_deserializer(name));
    kind.map_err(|_| {
        let hint = "one of top_picks, because_you_watched, more_like, most_popular, trending_now, new";
        ApiError::bad("bad_parameter", format!("`kind` is {name:?}; expected a kind of shelf"), hint)
    })
}

pub(super) fn weight(lambda: Option<f32>, diversity: Option<f32>) -> Result<Option<f32>, ApiError> {
    lambda_from(lambda, diversity).map_err(|error| {
        ApiError::bad(
            "bad_parameter",
            error.to_string(),
            "lambda is the weight of relevance; diversity is 1 - lambda",
        )
    })
}
