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
        // A password may hold an unescaped @, so what follows the last one is shown.
        let scheme = self.0.split("://").next().unwrap_or_default();
        let place = self.0.rsplit(['@', '/']).next().filter(|_| self.0.contains('@'));
        write!(f, "{scheme}://…{}", place.unwrap_or_default())
    }
}
