//! What a request for a list may say, read once for all routes.

use axum::Json;
use serde::Serialize;
use upnext_pipeline::{Feed, Request, lambda_from};

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
            lambda: weight(params.number("lambda")?, params.number("diversity")?)?,
            ..self.listed(feed, params)?
        };
        self.check_lists(feed, &request)?;
        Ok(request)
    }

    pub(super) fn check_lists(&self, feed: &Feed, request: &Request) -> Result<(), ApiError> {
        let limits = feed.config();
        self.check_ids("picks", &request.picks, limits.picks_max)?;
        self.check_ids("excluded ids", &request.exclude, limits.exclude_max)?;
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

pub(super) fn weight(lambda: Option<f32>, diversity: Option<f32>) -> Result<Option<f32>, ApiError> {
    lambda_from(lambda, diversity).map_err(|error| {
        ApiError::bad(
            "bad_parameter",
            error.to_string(),
            "lambda is the weight of relevance; diversity is 1 - lambda",
        )
    })
}
