//! The page people see: a few files inside the binary, served as they are. It knows no data; the page itself asks
//! `/api/v2` for everything it shows.

mod file;

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub use file::map_file;

/// One file of the page.
struct File {
    path: &'static str,
    content_type: &'static str,
    content: &'static str,
}

/// Every file of the page; the first is the page.
const FILES: [File; 16] = [
    File { path: "/", content_type: HTML, content: include_str!("index.html") },
    File { path: "/app.css", content_type: "text/css; charset=utf-8", content: include_str!("app.css") },
    File { path: "/app.js", content_type: SCRIPT, content: include_str!("app.js") },
    File { path: "/api.js", content_type: SCRIPT, content: include_str!("api.js") },
    File { path: "/dom.js", content_type: SCRIPT, content: include_str!("dom.js") },
    File { path: "/cover.js", content_type: SCRIPT, content: include_str!("cover.js") },
    File { path: "/feed.js", content_type: SCRIPT, content: include_str!("feed.js") },
    File { path: "/welcome.js", content_type: SCRIPT, content: include_str!("welcome.js") },
    File { path: "/trace.js", content_type: SCRIPT, content: include_str!("trace.js") },
    File { path: "/results.js", content_type: SCRIPT, content: include_str!("results.js") },
    File { path: "/cloud.js", content_type: SCRIPT, content: include_str!("cloud.js") },
    File { path: "/map.js", content_type: SCRIPT, content: include_str!("map.js") },
    File { path: "/journey.js", content_type: SCRIPT, content: include_str!("journey.js") },
    File { path: "/live.js", content_type: SCRIPT, content: include_str!("live.js") },
    File { path: "/events.js", content_type: SCRIPT, content: include_str!("events.js") },
    File { path: "/favicon.svg", content_type: "image/svg+xml", content: include_str!("favicon.svg") },
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What the page may do: load its own files and ask its own server. No inline script or style, no other host,
/// no frame around it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// The page's routes, for a server with any state.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        let tag = tag(file.content.as_bytes());
        router.route(file.path, get(move |headers: HeaderMap| async move { answer(file, &tag, &headers) }))
    })
}

/// The file, or, if the browser has this very content, only the news that it has.
fn answer(file: &File, tag: &HeaderValue, request: &HeaderMap) -> Response {
    let headers = [
        (header::ETAG, tag.clone()),
        // Kept, but asked about each time: a new build shows at once.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    if knows(request, tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type))], file.content)
        .into_response()
}

/// Whether the browser says that it has the content of this tag.
pub(crate) fn knows(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let tags = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == "*" || one.as_bytes() == tag.as_bytes())
}

/// A strong tag: 64 bits of the content's hash.
pub(crate) fn tag(content: &[u8]) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish()))
        .expect("hex digits in quotes are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> &'static File {
        FILES.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is not served"))
    }

    /// What stands in quotes after each `before` in a text.
    fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        text.split(before).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
    }

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let page = file("/").content;
        let named = quoted(page, "src=\"")
            .into_iter()
            .chain(quoted(page, "<link rel=\"icon\" href=\""))
            .chain(quoted(page, "<link rel=\"stylesheet\" href=\""));
        let served: Vec<&str> = named.map(|path| file(path).path).collect();
        assert_eq!(served.len(), 3);
        let mut imports = 0;
        for script in FILES.iter().filter(|file| file.content_type == SCRIPT) {
            for import in quoted(script.content, "from \"./") {
                assert_eq!(file(&format!("/{import}")).content_type, SCRIPT);
                imports += 1;
            }
        }
        assert!(imports > 10, "{imports} imports: the modules are not read as this test thinks");
    }

    #[test]
    fn nothing_is_inline_and_nothing_names_another_host() {
        let page = file("/").content;
        assert_eq!(page.matches("<script").count(), quoted(page, "<script type=\"module\" src=\"").len());
        assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick"));
        for file in &FILES {
            let hosts = file.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!hosts.contains("http://") && !hosts.contains("https://"), "{} names a host", file.path);
            assert!(!file.content.contains("innerHTML"), "{} could turn data into markup", file.path);
        }
    }

    #[test]
    fn a_browser_that_has_the_content_is_told_only_that() {
        let page = file("/");
        let tag = tag(page.content.as_bytes());
        let first = answer(page, &tag, &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], HTML);
        assert_eq!(first.headers()[header::ETAG], tag);
        assert!(
            first.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .starts_with("default-src 'self'")
        );

        let mut again = HeaderMap::new();
        again.insert(
            header::IF_NONE_MATCH,
            HeaderValue::from_str(&format!("\"other\", W/{}", tag.to_str().unwrap())).unwrap(),
        );
        assert_eq!(answer(page, &tag, &again).status(), StatusCode::NOT_MODIFIED);
        again.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(answer(page, &tag, &again).status(), StatusCode::OK);
    }

    #[test]
    fn different_files_have_different_tags() {
        let mut tags: Vec<_> =
            FILES.iter().map(|file| tag(file.content.as_bytes()).to_str().unwrap().to_owned()).collect();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), FILES.len());
    }

    #[test]
    fn the_routes_hold_together() {
        // `route` panics if two files have one path.
        let _: Router<()> = router();
    }
}
