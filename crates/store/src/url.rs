//! Where a store is, if not in a file.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The URL of a database. It may hold a password, so it is not shown in whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// The URL, if `text` is one, and not the name of a file.
    pub fn of(text: &str) -> Option<Self> {
        let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        is_url.then(|| Self(text.to_owned()))
    }

    /// The whole URL, password included.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password may stand before the host, with an unescaped @ or ? in it, or behind the `?`: host and database are shown where
        // nothing else can be meant.
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        let (before, after) = rest.split_once('?').unwrap_or((rest, ""));
        let place = before.rsplit_once('@').filter(|_| !after.contains('@')).map(|(_, place)| place);
        write!(f, "{scheme}://…{}", place.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password_wherever_that_stands() {
        let shown = |url: &str| format!("{:?}", StoreUrl::of(url).unwrap());
        assert_eq!(shown("postgres://ann:s3cret@host:5432/films"), "postgres://…host:5432/films");
        assert_eq!(shown("postgres://ann:s3cret@host/films?sslmode=disable"), "postgres://…host/films");
        for url in [
            "postgres://host/films?user=ann&password=s3cret",
            "postgres://ann@host/films?password=s3cret",
            "postgresql://ann@host/films?password=p@s3cret",
            "postgresql://ann:s3c/s3cret@host/films?sslmode=disable",
            "postgres://ann:s3cret?x@host/films",
            "postgres://ann:p@s3cret?x@host/films",
            "postgres://ann:s3cret",
        ] {
            assert!(!shown(url).contains("s3cret"), "{}", shown(url));
        }
    }
}
