//! The configuration: one TOML file, every key with a default.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use upnext_pipeline::FeedConfig;
use upnext_serve::ServeConfig;
use upnext_store::StoreConfig;

/// All settings of a process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// How a request is answered.
    pub(crate) feed: FeedConfig,
    /// The store's bounds.
    pub(crate) store: StoreConfig,
    /// The door's bounds.
    pub(crate) serve: ServeConfig,
}

impl Config {
    /// Reads a file, or takes every default.
    ///
    /// # Errors
    /// When the file cannot be read, a key is not known, or a value is out of bounds.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: the configuration cannot be read", path.display()))?;
        let config: Self = toml::from_str(&text)
            .with_context(|| format!("{}: expected the keys of config/demo.toml", path.display()))?;
        config.feed.check().with_context(|| format!("{}", path.display()))?;
        Ok(config)
    }
}
