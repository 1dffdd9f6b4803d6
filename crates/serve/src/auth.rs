//! Who may come in: the key, and whether a browser was sent by a page of somebody else.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::AppState;
use crate::error::ApiError;
use crate::rest::Access;

/// Lets a request pass or answers it.
pub(crate) async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let access = access(&request, path);
    let verdict = check_host(&state, request.headers())
        .and_then(|()| check_origin(request.method(), access, request.headers()))
        .and_then(|()| check_key(&state, access, request.headers()));
    match verdict {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// What a request wants: by the table of routes; a recommendation that writes back writes.
fn access(request: &Request, path: Option<&str>) -> Access {
    let writes_back = request.uri().query().is_some_and(|query| {
        form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| name == "write-back-type" && !value.is_empty())
    });
    match path.map(|path| crate::rest::access(request.method(), path)) {
        Some(Access::Open) if writes_back => Access::Write,
        Some(access) => access,
        None => Access::Open,
    }
}

/// A page elsewhere may point its own name at this machine to read what only this machine may read; then the
/// name is not one of ours. Where other machines may come in, any name may stand.
fn check_host(state: &AppState, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let host = host.to_str().unwrap_or_default();
    let name = without_port(host);
    if state.is_exposed() || is_loopback(name) || state.config().hosts.iter().any(|own| own == name) {
        return Ok(());
    }
    let message = format!("this service is not known as {name:?}");
    let hint = "use 127.0.0.1 or localhost, or add the name to `hosts` in the configuration";
    Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_host", message, hint))
}

/// A page elsewhere can make a browser send a change; browsers say where it came from.
fn check_origin(method: &Method, access: Access, headers: &HeaderMap) -> Result<(), ApiError> {
    if access == Access::Open && matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let foreign = || {
        let hint = "changes come from the service's own page, or from a program, which sends no Origin";
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "this was sent by a page of another site",
            hint,
        ))
    };
    if let Some(origin) = text(header::ORIGIN) {
        let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if of.is_none() || of != text(header::HOST) {
            return foreign();
        }
    }
    match headers.get("sec-fetch-site").map(|value| value.as_bytes()) {
        Some(b"cross-site" | b"same-site") => foreign(),
        _ => Ok(()),
    }
}

fn check_key(state: &AppState, access: Access, headers: &HeaderMap) -> Result<(), ApiError> {
    if access == Access::Open {
        return Ok(());
    }
    let hint = "send the key that the service was started with as the header X-API-Key";
    let refuse = |message: &str| Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorised", message, hint));
    match (&state.config().key, headers.get("x-api-key")) {
        (None, _) if !state.is_exposed() => Ok(()),
        (None, _) => refuse("this service has no key, so nobody may do this from another machine"),
        (Some(_), None) => refuse("this needs an API key"),
        (Some(key), Some(given)) if same(key.as_bytes(), given.as_bytes()) => Ok(()),
        (Some(_), Some(_)) => refuse("this is not the API key"),
    }
}

/// Takes the same time wherever two keys of one length differ, so that a key cannot be guessed letter by letter.
fn same(key: &[u8], given: &[u8]) -> bool {
    let differences = key.iter().zip(given).fold(0, |all, (a, b)| all | std::hint::black_box(a ^ b));
    key.len() == given.len() && differences == 0
}

fn without_port(host: &str) -> &str {
    match host.rfind(']') {
        // [::1]:8088
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn is_loopback(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_is_the_same() {
        assert!(same(b"secret", b"secret"));
        for other in [&b"secres"[..], b"secre", b"secretx", b"", b"Secret"] {
            assert!(!same(b"secret", other));
        }
    }

    #[test]
    fn loopback_has_several_names() {
        for host in ["localhost:8088", "LOCALHOST", "127.0.0.1:1", "127.9.9.9", "[::1]:8088", "[::1]"] {
            assert!(is_loopback(without_port(host)), "{host}");
        }
        for host in
            ["example.org", "127.0.0.1.example.org:80", "localhost.example.org", "", "10.0.0.1", "]:x"]
        {
            assert!(!is_loopback(without_port(host)), "{host}");
        }
    }
}
