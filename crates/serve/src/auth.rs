//! Who may come in: the key, and whether a browser was sent by a page of somebody else.

use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::AppState;
use crate::error::ApiError;
use crate::extract::whole;
use crate::keys::Role;
use crate::rest::Access;
use crate::tenants::{Identity, NoTenant};

/// Lets a request pass or answers it.
pub(crate) async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match admitted(&state, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn admitted(state: &AppState, request: Request) -> Result<Request, ApiError> {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map(MatchedPath::as_str);
    let identity = request.extensions().get().cloned().unwrap_or(Identity::Nobody);
    let (method, headers) = (request.method(), request.headers());
    let access = path.map_or(Access::Open, |path| crate::rest::access(method, path));
    let writes_back = writes_back(&request);
    check_host(state, headers)?;
    check_origin(method, if writes_back { Access::Write } else { access }, headers)?;
    check_key(state, access, &identity)?;
    if writes_back && access != Access::Open {
        check_key(state, Access::Write, &identity)?;
    }
    let about_all = path == Some("/metrics");
    if access != Access::Open && !about_all && request.extensions().get::<NoTenant>().is_some() {
        let hint = "send the header X-Tenant, or a key that is bound to a tenant";
        return Err(ApiError::bad("missing_tenant", "there are several tenants here", hint));
    }
    match path.filter(|path| crate::rest::is_audited(method, path)) {
        Some(path) => written_down(state, &identity, &format!("{method} {path}"), request).await,
        None => Ok(request),
    }
}

/// The same request, after it was written down what it asks for.
async fn written_down(
    state: &AppState,
    identity: &Identity,
    act: &str,
    request: Request,
) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    let body = whole(&parts.headers, body, state.config(), state.config().body_bytes_max).await?;
    let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let (own, key, act) = (state.clone(), identity.id().to_owned(), act.to_owned());
    let about = [target.as_bytes().to_vec(), body.to_vec()];
    // It waits for the disk.
    let written = tokio::task::spawn_blocking(move || own.audit(&key, &act, &[&about[0], &about[1]]));
    written.await.map_err(|error| ApiError::internal(&error.to_string()))??;
    Ok(Request::from_parts(parts, body.into()))
}

/// A recommendation that writes back writes.
fn writes_back(request: &Request) -> bool {
    request.uri().query().is_some_and(|query| {
        form_urlencoded::parse(query.as_bytes())
            .any(|(name, value)| name == "write-back-type" && !value.is_empty())
    })
}

/// A page elsewhere may point its own name at this machine to read what only this machine may read; then the
/// name is not one of ours. Where other machines may come in, any name may stand.
fn check_host(state: &AppState, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else { return Ok(()) };
    if hosts.next().is_some() {
        return Err(ApiError::bad("bad_host", "Host stands there twice", "send one Host"));
    }
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
    if matches!(access, Access::Open | Access::Read) && matches!(*method, Method::GET | Method::HEAD) {
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

/// Whether the key of a caller may do this.
pub(crate) fn check_key(state: &AppState, access: Access, identity: &Identity) -> Result<(), ApiError> {
    let Some(role) = access.role() else { return Ok(()) };
    if role == Role::Read && state.config().open_reads {
        return Ok(());
    }
    let hint = "send a key as the header X-API-Key, or as Authorization: Bearer; `upnext keys new` makes one";
    let refuse = |message: &str| Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorised", message, hint));
    match identity {
        Identity::Open if !state.is_exposed() => Ok(()),
        Identity::Open => refuse("this service has no key, so nobody may do this from another machine"),
        Identity::Nobody => refuse("this needs an API key"),
        Identity::Wrong => refuse("this is not an API key of this service"),
        Identity::Key(caller) if caller.may(role) => Ok(()),
        Identity::Key(caller) => {
            let message = format!("this key may {}; this needs the role {}", caller.roles(), role.name());
            let hint = "use a key with that role; `upnext keys new --role` makes one";
            Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_role", message, hint))
        }
    }
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
