//! Which store a command uses: a file in the run folder, or a database that several processes share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use upnext_store::{Memory, Sqlite, Store, StoreConfig, StoreUrl};

/// The store's file in a run folder.
pub(crate) const STORE_FILE: &str = "store.sqlite";

/// Where a store is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a file, which one process writes.
    File(PathBuf),
    /// In a database.
    Database(StoreUrl),
}

impl Place {
    /// What was asked for on the command line, what the configuration says, or the file of the run folder, in this order.
    pub(crate) fn of(asked: Option<&str>, config: &StoreConfig, run: &Path) -> Self {
        match (asked, &config.url) {
            (Some(asked), _) => match StoreUrl::of(asked) {
                Some(url) => Self::Database(url),
                None => Self::File(asked.into()),
            },
            (None, Some(url)) => Self::Database(url.clone()),
            (None, None) => Self::File(run.join(STORE_FILE)),
        }
    }

    /// A file that lies beside the store's; beside the run's where the store is a database.
    pub(crate) fn beside(&self, run: &Path, name: &str) -> PathBuf {
        match self {
            Self::File(file) => file.with_file_name(name),
            Self::Database(_) => run.join(name),
        }
    }

    /// Opens it for writing.
    ///
    /// # Errors
    /// When it cannot be used, or this build has no databases.
    pub(crate) fn open(&self, config: &StoreConfig) -> Result<Arc<dyn Store>> {
        match self {
            Self::File(file) => Ok(Arc::new(Sqlite::open(file, config.clone())?)),
            Self::Database(url) => database(url, config),
        }
    }

    /// Opens it for reading, beside a service that writes it; where there is none yet, an empty one.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub(crate) fn open_to_read(&self, config: &StoreConfig) -> Result<Arc<dyn Store>> {
        match self {
            Self::File(file) if file.exists() => Ok(Arc::new(Sqlite::open_to_read(file, config.clone())?)),
            Self::File(_) => Ok(Arc::new(Memory::new(config.clone()))),
            Self::Database(url) => database(url, config),
        }
    }
}

#[cfg(feature = "scale")]
fn database(url: &StoreUrl, config: &StoreConfig) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(upnext_store::Postgres::open(url.secret(), config.clone())?))
}

#[cfg(not(feature = "scale"))]
fn database(_: &StoreUrl, _: &StoreConfig) -> Result<Arc<dyn Store>> {
    anyhow::bail!("this build has no PostgreSQL; build it with `cargo build --release --features scale`")
}
