//! The configuration: one TOML file, every key with a default.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use upnext_map::MapConfig;
use upnext_pipeline::FeedConfig;
use upnext_serve::{ServeConfig, TelemetryConfig};
use upnext_store::{StoreConfig, StoreUrl};

use crate::stream::StreamConfig;

/// All settings of a process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// How a request is answered.
    pub(crate) feed: FeedConfig,
    /// The taste map's bounds.
    pub(crate) map: MapConfig,
    /// The store's bounds.
    pub(crate) store: StoreConfig,
    /// The door's bounds.
    pub(crate) serve: ServeConfig,
    /// How a stream of events is read.
    pub(crate) stream: StreamConfig,
    /// How spans of requests are exported.
    pub(crate) telemetry: TelemetryConfig,
}

impl Config {
    /// Reads a file, or takes every default.
    ///
    /// # Errors
    /// When the file cannot be read, a key is not known, or a value is out of bounds.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self> {
        let mut config = Self::of_file(path)?;
        // URLs with a password, which no file and no listing of processes need to show.
        config.store.url = url_of("UPNEXT_STORE")?.or(config.store.url);
        config.store.vectors_url = url_of("UPNEXT_VECTORS")?.or(config.store.vectors_url);
        Ok(config)
    }

    fn of_file(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: the configuration cannot be read", path.display()))?;
        let config: Self = from_toml(&text, &[])
            .with_context(|| format!("{}: expected the keys of config/demo.toml", path.display()))?;
        config.feed.check().with_context(|| format!("{}", path.display()))?;
        config.store.check().with_context(|| format!("{}", path.display()))?;
        config.telemetry.check().with_context(|| format!("{}: [telemetry]", path.display()))?;
        config.stream.check().map_err(|error| anyhow!("{}: {error}", path.display()))?;
        let urls = [("url", &config.store.url), ("vectors_url", &config.store.vectors_url)];
        for (key, url) in urls {
            if url.as_ref().is_some_and(|url| StoreUrl::of(url.secret()).is_none()) {
                let expected = "expected postgres://user@host:5432/database";
                return Err(anyhow!("{}: `{key}` of [store]: {expected}", path.display()));
            }
        }
        Ok(config)
    }
}

/// The URL of a database that a variable of the environment names.
fn url_of(variable: &str) -> Result<Option<StoreUrl>> {
    let Some(url) = std::env::var(variable).ok().filter(|url| !url.is_empty()) else { return Ok(None) };
    let url = StoreUrl::of(&url)
        .with_context(|| format!("{variable}: expected postgres://user@host:5432/database"))?;
    Ok(Some(url))
}

/// Settings from a text that says only what differs from the defaults, and from `key=value` pairs that say it once more.
///
/// # Errors
/// When the text is not TOML, a value cannot be meant, or a key does not exist: then the nearest one is named.
pub(crate) fn from_toml<T: Default + Serialize + DeserializeOwned>(text: &str, set: &[String]) -> Result<T> {
    let mut all = Table::try_from(T::default())?;
    let given: Table = text.parse()?;
    // First as it stands: the reader's own message names the line.
    if let Err(error) = toml::from_str::<T>(text) {
        return Err(match unknown(&given, &all, "") {
            Some(hint) => anyhow!("{error}\n{hint}"),
            None => error.into(),
        });
    }
    merge(&mut all, given);
    for pair in set {
        let (key, value) = pair.split_once('=').with_context(|| format!("`{pair}`: expected KEY=VALUE"))?;
        // What is no TOML is a string, so that nobody has to quote twice.
        let value =
            format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
        let value = value.unwrap_or_else(|| Value::String(pair[key.len() + 1..].into()));
        let nested = key
            .trim()
            .rsplit('.')
            .fold(value, |inner, part| Value::Table(Table::from_iter([(part.to_string(), inner)])));
        let Value::Table(nested) = nested else { unreachable!("a key has at least one part") };
        if let Some(hint) = unknown(&nested, &all, "") {
            return Err(anyhow!(hint));
        }
        merge(&mut all, nested);
    }
    all.try_into().with_context(|| set.join(" "))
}

/// The first key of `given` that `known` has not, and the nearest that it has.
fn unknown(given: &Table, known: &Table, path: &str) -> Option<String> {
    given.iter().find_map(|(key, value)| match (known.get(key), value) {
        (Some(Value::Table(known)), Value::Table(given)) => unknown(given, known, &format!("{path}{key}.")),
        (Some(_), _) => None,
        (None, _) => {
            let nearest = known
                .keys()
                .max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)))?;
            Some(format!("no key `{path}{key}`; the nearest is `{path}{nearest}`"))
        }
    })
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            // A whole number where a fraction is meant.
            (Some(old @ Value::Float(_)), Value::Integer(new)) => *old = Value::Float(new as f64),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

#[cfg(test)]
#[path = "../../../corpus/mutations.rs"]
mod mutations;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_configurations_and_changed_copies_are_read_or_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upnext.toml");
        let read = std::cell::Cell::new(0);
        let n = mutations::replay("config", |bytes| {
            std::fs::write(&path, bytes).unwrap();
            match Config::of_file(Some(&path)) {
                Ok(_) => read.set(read.get() + 1),
                Err(error) => assert!(format!("{error:#}").contains("upnext.toml"), "{error:#}"),
            }
        });
        assert!(n > 50 && read.get() > 1, "{n} inputs, {} of them read", read.get());
    }

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
        let files = |folder: &Path| -> Vec<_> {
            let all = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
            all.filter(|path| path.is_file()).collect()
        };
        let of_models = files(&folder().join("models"));
        assert!(of_models.len() >= 10, "each design, and our best: {of_models:?}");
        for file in of_models {
            let text = std::fs::read_to_string(&file).unwrap();
            let settings: upnext_models::Settings =
                from_toml(&text, &[]).unwrap_or_else(|error| panic!("{error:#}"));
            settings.check().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        let files = files(folder());
        assert!(files.len() >= 3, "demo, movies and kuairec: {files:?}");
        for file in files {
            Config::read(Some(&file)).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }

    #[test]
    fn the_demos_file_is_the_defaults_and_explains_every_key_once() {
        let file = folder().join("demo.toml");
        let (read, default) = (Config::read(Some(&file)).unwrap(), Config::default());
        assert_eq!((read.feed, read.map), (default.feed, default.map));
        assert_eq!((read.store, read.serve), (default.store, default.serve));
        assert_eq!(read.stream, default.stream);

        let text = std::fs::read_to_string(&file).unwrap();
        let (mut written, mut known) = (Vec::new(), Vec::new());
        keys(&text.parse().unwrap(), "", &mut written);
        keys(&Table::try_from(Config::default()).unwrap(), "", &mut known);
        assert_eq!(written, known, "the keys of the file, and those of the code");
        // A secret has no default: it stands there as a comment.
        assert_eq!((text.matches("\n# key = ").count(), text.matches("\n# url = ").count()), (1, 1));

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
        assert!(error.contains("the nearest is `feed.lambda`"), "{error}");
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
