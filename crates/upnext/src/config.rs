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

#[cfg(test)]
mod tests {
    use toml::{Table, Value};

    use super::*;

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config"))
    }

    /// The keys of a table, those of tables in it with their path.
    fn keys(table: &Table, path: &str, into: &mut Vec<String>) {
        for (name, value) in table {
            match value {
                Value::Table(inside) if !inside.is_empty() => {
                    keys(inside, &format!("{path}{name}."), into);
                }
                _ => into.push(format!("{path}{name}")),
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_a_configuration() {
        let files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 3, "demo, movies and kuairec: {files:?}");
        for file in files {
            Config::read(Some(&file)).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }

    #[test]
    fn the_demos_file_is_the_defaults_and_explains_every_key_once() {
        let file = folder().join("demo.toml");
        let (read, default) = (Config::read(Some(&file)).unwrap(), Config::default());
        assert_eq!((read.feed, read.store, read.serve), (default.feed, default.store, default.serve));

        let text = std::fs::read_to_string(&file).unwrap();
        let (mut written, mut known) = (Vec::new(), Vec::new());
        keys(&text.parse().unwrap(), "", &mut written);
        keys(&Table::try_from(Config::default()).unwrap(), "", &mut known);
        assert_eq!(written, known, "the keys of the file, and those of the code");
        // A secret has no default: it stands there as a comment.
        assert_eq!(text.matches("\n# key = ").count(), 1);

        let lines: Vec<&str> = text.lines().collect();
        for (above, line) in lines.iter().zip(&lines[1..]) {
            let is_key = !line.starts_with('#') && line.contains(" = ");
            assert!(!is_key || above.starts_with("# "), "{line} is not explained");
        }
    }

    #[test]
    fn the_other_files_say_only_what_differs() {
        for name in ["movies.toml", "kuairec.toml"] {
            let text = std::fs::read_to_string(folder().join(name)).unwrap();
            let given: Table = text.parse().unwrap();
            let default = Table::try_from(Config::default()).unwrap();
            let mut named = Vec::new();
            keys(&given, "", &mut named);
            assert!(!named.is_empty(), "{name} says nothing");
            for key in named {
                let at = |table: &Table| {
                    key.split('.').try_fold(Value::Table(table.clone()), |at, part| at.get(part).cloned())
                };
                assert_ne!(at(&given), at(&default), "{name}: {key} is the default");
            }
        }
    }

    #[test]
    fn a_key_that_is_not_known_is_named_with_its_file_and_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[feed]\nlamda = 0.5\n").unwrap();
        let error = format!("{:#}", Config::read(Some(file.path())).unwrap_err());
        assert!(error.contains("lamda") && error.contains("line 2"), "{error}");
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
