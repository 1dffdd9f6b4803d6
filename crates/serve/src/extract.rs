//! What a request says: path, query and body, each with an error that names what is wrong.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::{AppState, ServeConfig};

/// The named parts of a path, percent-decoded.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(ApiError::bad(
                "bad_path",
                rejection.body_text(),
                "ids are UTF-8, percent-encoded in a path",
            )),
        }
    }
}

/// The query: names may stand more than once.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl FromRequestParts<AppState> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &AppState) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).map(owned).collect()))
    }
}

fn owned((name, value): (Cow<'_, str>, Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

impl Params {
    /// The value of a name; an empty one counts as none.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Every value of a name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(n, value)| n == name && !value.is_empty()).map(|(_, v)| v.clone()).collect()
    }

    /// Fails on a name that is not one of these: a misspelt one would be ignored otherwise.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), ApiError> {
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let hint = match names {
                    [] => "this route takes no parameter".into(),
                    names => format!("this route takes {}", names.join(", ")),
                };
                Err(ApiError::bad("unknown_parameter", format!("there is no parameter `{name}` here"), hint))
            }
        }
    }

    /// A number in a range; `default` where it is not given.
    pub(crate) fn count(
        &self,
        name: &str,
        default: usize,
        least: usize,
        max: usize,
    ) -> Result<usize, ApiError> {
        match self.one(name) {
            None => Ok(default),
            Some(text) => within(name, text, text.parse().ok(), least, max),
        }
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f32>, ApiError> {
        let Some(text) = self.one(name) else { return Ok(None) };
        match text.parse::<f32>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => {
                let message = format!("`{name}` is {text:?}; expected a number");
                Err(ApiError::bad("bad_parameter", message, format!("{name}=0.7 for example")))
            }
        }
    }

    /// A value that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.one(name).ok_or_else(|| {
            ApiError::bad(
                "missing_parameter",
                format!("`{name}` is missing"),
                format!("add {name}=… to the query"),
            )
        })
    }
}

/// A count that is out of bounds is named with the bounds.
pub(crate) fn within(
    name: &str,
    text: &str,
    count: Option<usize>,
    least: usize,
    max: usize,
) -> Result<usize, ApiError> {
    match count {
        Some(count) if (least..=max).contains(&count) => Ok(count),
        _ => {
            let message = format!("`{name}` is {text:?}; expected a whole number from {least} to {max}");
            Err(ApiError::bad("bad_parameter", message, "ask in pages where more is needed"))
        }
    }
}

/// How large a route's body may be.
#[derive(Clone, Copy)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let config = state.config();
        let bytes_max =
            request.extensions().get::<BodyLimit>().map_or(config.body_bytes_max, |limit| limit.0);
        let (parts, body) = request.into_parts();
        let bytes = whole(&parts.headers, body, config, bytes_max).await?;
        check_depth(&bytes, config.json_depth_max)?;
        from_json(&bytes).map(Self)
    }
}

/// A whole body, within a bound on its size and on how long it takes.
pub(crate) async fn whole(
    headers: &HeaderMap,
    body: axum::body::Body,
    config: &ServeConfig,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body is larger than {bytes_max} bytes"),
            "send it in parts, or raise the limit in the configuration",
        )
    };
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| told > bytes_max as u64) {
        return Err(too_large());
    }
    let read = async {
        let mut stream = body.into_data_stream();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| {
                ApiError::bad("bad_body", format!("the body broke off: {error}"), "send the whole body")
            })?;
            if bytes.len() + chunk.len() > bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.into())
    };
    let limit = Duration::from_millis(config.body_milliseconds_max);
    tokio::time::timeout(limit, read).await.unwrap_or_else(|_| {
        let message = format!("the body did not arrive within {} ms", limit.as_millis());
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", message, "send smaller batches"))
    })
}

/// Refuses JSON that is nested too deep, before any of it is read: what reads it goes as deep as it is.
pub(crate) fn check_depth(json: &[u8], depth_max: usize) -> Result<(), ApiError> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            let message = format!("the body is nested more than {depth_max} deep");
            return Err(ApiError::bad("bad_json", message, "send it flat, or raise `json_depth_max`"));
        }
    }
    Ok(())
}

/// JSON, with the field, line and column of what is wrong.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner());
        let place = match path.as_str() {
            "." => String::new(),
            path => format!(" at `{path}`"),
        };
        match inner.classify() {
            serde_json::error::Category::Data => ApiError::bad(
                "bad_field",
                format!("the body is wrong{place}: {inner}"),
                "/apidocs shows the shape",
            ),
            _ => ApiError::bad(
                "bad_json",
                format!("the body is not JSON{place}: {inner}"),
                "send JSON, in UTF-8, without anything after it",
            ),
        }
    })?;
    reader.end().map_err(|error| {
        ApiError::bad("bad_json", format!("the body goes on after its end: {error}"), "send one JSON value")
    })?;
    Ok(value)
}

impl AppState {
    /// Checks an id that a client gave.
    pub(crate) fn check_id(&self, what: &str, id: &str) -> Result<(), ApiError> {
        let max = self.config().id_bytes_max;
        if id.is_empty() {
            return Err(ApiError::bad(
                "bad_id",
                format!("the {what} is empty"),
                "an id has at least one character",
            ));
        }
        if id.len() > max {
            let message = format!("the {what} is {} bytes long; expected at most {max}", id.len());
            return Err(ApiError::bad("bad_id", message, "use a shorter id, or raise `id_bytes_max`"));
        }
        Ok(())
    }

    /// Checks every id of a list, and how long the list is.
    pub(crate) fn check_ids(&self, what: &str, ids: &[String], max: usize) -> Result<(), ApiError> {
        if ids.len() > max {
            let message = format!("{} {what} were given; expected at most {max}", ids.len());
            return Err(ApiError::bad("too_many", message, "send fewer"));
        }
        ids.iter().try_for_each(|id| self.check_id(what, id))
    }

    /// Checks how long a batch is.
    pub(crate) fn check_batch(&self, n: usize) -> Result<(), ApiError> {
        let max = self.config().batch_max;
        if n > max {
            let message = format!("{n} rows were given; expected at most {max}");
            return Err(ApiError::bad("too_many", message, "send them in parts, or raise `batch_max`"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_outside_of_texts_only() {
        for (json, depth) in [
            ("[]", 1),
            (r#"{"a":[{"b":1}]}"#, 3),
            (r#""[[[[""#, 0),
            (r#"["a\"[[[", "\\"]"#, 1),
            ("[[],[],[]]", 2),
            ("]]][", 1),
        ] {
            assert!(check_depth(json.as_bytes(), depth).is_ok(), "{json}");
            assert!(depth == 0 || check_depth(json.as_bytes(), depth - 1).is_err(), "{json}");
        }
    }
}
