//! Object stores: S3 and what speaks it, Google Cloud Storage, Azure. Objects are fetched several at a time, and
//! those that were fetched once are kept in a cache.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};

use crate::sources::vectors::{self, Found, VECTOR_BYTES_MAX, id_of, vector_of};
use crate::vectors::{Filling, VectorError, VectorFormat, VectorOptions, VectorProgress};

/// No request waits longer.
const REQUEST_SECONDS_MAX: u64 = 60;
/// Nor for a connection.
const CONNECT_SECONDS_MAX: u64 = 10;
/// No longer is a request made again and again.
const RETRY_SECONDS_MAX: u64 = 120;
/// Objects that are named under a prefix at most: a hundred million keys are gigabytes of memory.
const OBJECTS_MAX: usize = 100_000_000;

/// A store, and the place in it.
struct Place {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

/// Reads the vectors of an object or a prefix.
pub(crate) fn fill(
    filling: &mut Filling,
    options: &VectorOptions,
    progress: &dyn Fn(VectorProgress),
) -> Result<(), VectorError> {
    let place = open(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| place.failed(&error.to_string()))?;
    let ending = options.from.rsplit_once('.').map(|(_, ending)| ending);
    let format = match (options.format, ending) {
        (VectorFormat::Auto, Some("npy")) => VectorFormat::Matrix,
        (VectorFormat::Auto, Some("parquet")) => VectorFormat::Parquet,
        (VectorFormat::Table, _) => {
            return Err(place.failed("a table of text is read from a file; copy it here first"));
        }
        (format, _) => format,
    };
    vectors::check_options(options, format)?;
    filling.coverage.recognised = vectors::said_of(format).into();
    let cache = options.cache.as_ref().map(|folder| Cache::open(folder, options.cache_bytes_max));
    let cache = cache.transpose()?;
    match format {
        VectorFormat::Matrix | VectorFormat::Parquet => {
            let (bytes, cached) = runtime.block_on(async {
                let about = place.store.head(&place.prefix).await.map_err(|e| place.refused(&e))?;
                vectors::check_matrix_bytes(&place.url, about.size)?;
                let fetched = place.fetch(&about, options.retries, cache.as_ref()).await?;
                fetched.ok_or_else(|| place.failed("the object vanished after it was named"))
            })?;
            filling.coverage.from_cache = usize::from(cached);
            vectors::whole(filling, bytes, format, options, progress)
        }
        _ => runtime.block_on(each(filling, &place, format, options, cache.as_ref(), progress)),
    }
}

/// One object for each video.
async fn each(
    filling: &mut Filling<'_>,
    place: &Place,
    format: VectorFormat,
    options: &VectorOptions,
    cache: Option<&Cache>,
    progress: &dyn Fn(VectorProgress),
) -> Result<(), VectorError> {
    let mut wanted: Vec<(u32, ObjectMeta)> = Vec::new();
    let mut listed = place.store.list(Some(&place.prefix));
    let mut n_listed = 0;
    while let Some(about) = listed.try_next().await.map_err(|error| place.refused(&error))? {
        n_listed += 1;
        if n_listed > OBJECTS_MAX {
            return Err(place.failed(&format!("more than {OBJECTS_MAX} objects; name a narrower prefix")));
        }
        // What lies deeper has a slash in its id.
        let parts: Vec<_> = about.location.prefix_match(&place.prefix).into_iter().flatten().collect();
        let name = parts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("/");
        match filling.names.row(id_of(&name)) {
            Some(row) => wanted.push((row, about)),
            None => filling.unknown(id_of(&name)),
        }
    }
    if n_listed == 0 {
        return Err(place.failed("nothing lies under this prefix; check the bucket and the prefix"));
    }
    // In the order of videos, so that what is told does not hang on the store.
    wanted.sort_by(|(row, about), (other, beside)| {
        (row, about.location.as_ref()).cmp(&(other, beside.location.as_ref()))
    });
    if let Some(cache) = cache {
        let new = wanted.iter().filter(|(_, about)| !cache.file(&place.url, about).exists());
        cache.make_room(new.map(|(_, about)| about.size + DIGEST_BYTES as u64).sum());
    }
    let total = wanted.len();
    let retries = options.retries;
    let mut fetched = stream::iter(wanted)
        .map(|(row, about)| async move {
            if about.size > VECTOR_BYTES_MAX {
                return Ok((row, Err(format!("{} bytes", about.size))));
            }
            Ok::<_, VectorError>((row, Ok(place.fetch(&about, retries, cache).await?)))
        })
        .buffered(options.workers.clamp(1, 1_024));
    let (mut done, mut values) = (0, Vec::new());
    while let Some((row, object)) = fetched.try_next().await? {
        let found = match object {
            Ok(Some((bytes, cached))) => {
                filling.coverage.from_cache += usize::from(cached);
                vector_of(&bytes, format, options.dim, &mut values)
            }
            Ok(None) => Found::Vanished,
            Err(why) => Found::WrongSize(why),
        };
        filling.take(row, found)?;
        done += 1;
        progress(VectorProgress { done, total });
    }
    Ok(())
}

/// The store that a URL means, with the settings of its provider.
fn open(options: &VectorOptions) -> Result<Place, VectorError> {
    super::name_tls_provider();
    let url = options.from.as_str();
    let failed = |reason: String| VectorError::Store { url: url.into(), reason };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(failed("names no bucket; write s3://bucket/prefix".into()));
    }
    let prefix = Path::parse(prefix.trim_matches('/')).map_err(|error| failed(error.to_string()))?;
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: options.retries,
        retry_timeout: Duration::from_secs(RETRY_SECONDS_MAX),
    };
    // Without TLS the credentials lie open: only to this machine, or where AWS_ALLOW_HTTP and its like say so.
    let client = || {
        let client = ClientOptions::new().with_timeout(Duration::from_secs(REQUEST_SECONDS_MAX));
        client.with_connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX)).with_allow_http(true)
    };
    let settings = |prefix: &'static str| {
        let of_provider = options.settings.iter().filter(move |(key, _)| key.starts_with(prefix));
        of_provider.map(|(key, value)| (key.to_ascii_lowercase(), value))
    };
    let base = format!("{scheme}://{bucket}");
    let store: Result<Arc<dyn ObjectStore>, object_store::Error> = match scheme {
        "s3" | "s3a" => {
            let mut builder = AmazonS3Builder::new().with_url(base).with_retry(retry);
            for (key, value) in settings("AWS_") {
                builder = key.parse().map_or(builder.clone(), |key| builder.with_config(key, value));
            }
            if let Some(endpoint) = &options.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if builder.get_config_value(&AmazonS3ConfigKey::Endpoint).is_some_and(|e| is_loopback(&e)) {
                builder = builder.with_client_options(client());
            }
            builder.build().map(|store| Arc::new(store) as _)
        }
        "gs" => {
            let mut builder = GoogleCloudStorageBuilder::new().with_url(base).with_retry(retry);
            for (key, value) in settings("GOOGLE_") {
                builder = key.parse().map_or(builder.clone(), |key| builder.with_config(key, value));
            }
            builder.build().map(|store| Arc::new(store) as _)
        }
        "az" | "azure" | "abfs" | "abfss" | "adl" => {
            let mut builder = MicrosoftAzureBuilder::new().with_url(base).with_retry(retry);
            for (key, value) in settings("AZURE_") {
                builder = key.parse().map_or(builder.clone(), |key| builder.with_config(key, value));
            }
            if let Some(endpoint) = &options.endpoint {
                builder = builder.with_endpoint(endpoint.clone());
            }
            if builder.get_config_value(&AzureConfigKey::Endpoint).is_some_and(|e| is_loopback(&e)) {
                builder = builder.with_client_options(client());
            }
            builder.build().map(|store| Arc::new(store) as _)
        }
        other => {
            return Err(failed(format!("`{other}` is not an object store; expected s3://, gs:// or az://")));
        }
    };
    let store = store.map_err(|error| failed(in_words(&error)))?;
    Ok(Place { store, prefix, url: url.into() })
}

/// Whether an endpoint is this machine, where nobody listens in.
fn is_loopback(endpoint: &str) -> bool {
    let host = endpoint.strip_prefix("http://").unwrap_or("");
    let host = host.split('/').next().unwrap_or("");
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == "localhost" || host == "[::1]" || (host.starts_with("127.") && !host.contains('@'))
}

impl Place {
    fn failed(&self, reason: &str) -> VectorError {
        VectorError::Store { url: self.url.clone(), reason: reason.into() }
    }

    /// What the store said, and what to do about it.
    fn refused(&self, error: &object_store::Error) -> VectorError {
        use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
        let said = in_words(error);
        let hint = match error {
            NotFound { .. } => "check the bucket and the name",
            PermissionDenied { .. } | Unauthenticated { .. } => "check the credentials in the environment",
            // As words: a time or a port may hold the same digits.
            _ if said.split(|c: char| !c.is_alphanumeric()).any(|word| word == "403" || word == "401") => {
                "check the credentials in the environment"
            }
            _ => "check --endpoint and that the store answers; what was fetched is in the cache",
        };
        self.failed(&format!("{said}; {hint}"))
    }

    /// An object and whether it came from the cache; nothing where it is gone.
    async fn fetch(
        &self,
        about: &ObjectMeta,
        retries: usize,
        cache: Option<&Cache>,
    ) -> Result<Option<(Bytes, bool)>, VectorError> {
        let kept = cache.map(|cache| (cache, cache.file(&self.url, about)));
        if let Some(bytes) = kept.as_ref().and_then(|(_, file)| Cache::get(file, about.size)) {
            return Ok(Some((bytes, true)));
        }
        // The library makes a request again; what breaks off within an answer is left to us.
        let mut tries = 0;
        let bytes = loop {
            let answer = match self.store.get(&about.location).await {
                Ok(answer) => answer.bytes().await.map_err(|error| (error, tries < retries.min(3))),
                Err(error) => Err((error, false)),
            };
            match answer {
                Ok(bytes) => break bytes,
                Err((object_store::Error::NotFound { .. }, _)) => return Ok(None),
                Err((_, true)) => {
                    tokio::time::sleep(Duration::from_millis(100 << tries)).await;
                    tries += 1;
                }
                Err((error, false)) => return Err(self.refused(&error)),
            }
        };
        if let Some((cache, file)) = kept {
            cache.put(&file, &bytes);
        }
        Ok(Some((bytes, false)))
    }
}

/// An error and its causes in a line.
fn in_words(error: &dyn std::error::Error) -> String {
    const CHARS_MAX: usize = 600;
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !said.contains(&text) {
            said += &format!(": {text}");
        }
        cause = inner.source();
    }
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(CHARS_MAX).collect()
}

/// Objects on this disk, each under a digest of where it lay and which version it was.
struct Cache {
    folder: PathBuf,
    bytes: AtomicU64,
    bytes_max: u64,
}

const DIGEST_BYTES: usize = 32;

impl Cache {
    fn open(folder: &FilePath, bytes_max: u64) -> Result<Self, VectorError> {
        let failed = |error: std::io::Error| VectorError::Given {
            what: format!("--cache {}", folder.display()),
            reason: format!("cannot be made or read: {error}"),
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let cache = Self { folder: folder.into(), bytes: AtomicU64::new(0), bytes_max };
        let bytes = cache.files().iter().map(|(.., bytes)| bytes).sum();
        cache.bytes.store(bytes, Ordering::Relaxed);
        Ok(cache)
    }

    /// Our own files, oldest first.
    fn files(&self) -> Vec<(SystemTime, PathBuf, u64)> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "object"))
            .filter_map(|entry| {
                let about = entry.metadata().ok()?;
                Some((about.modified().ok()?, entry.path(), about.len()))
            })
            .collect();
        files.sort();
        files
    }

    /// Removes the oldest until what comes fits, as far as the bound allows.
    fn make_room(&self, coming: u64) {
        let aim = self.bytes_max.saturating_sub(coming.min(self.bytes_max));
        if self.bytes.load(Ordering::Relaxed) + coming.min(self.bytes_max) <= self.bytes_max {
            return;
        }
        for (_, file, bytes) in self.files() {
            if self.bytes.load(Ordering::Relaxed) <= aim {
                return;
            }
            if std::fs::remove_file(file).is_ok() {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
    }

    fn file(&self, url: &str, about: &ObjectMeta) -> PathBuf {
        let version = about.e_tag.as_deref().or(about.version.as_deref()).unwrap_or_default();
        let time = about.last_modified.timestamp_millis();
        let key = format!("{url}\0{}\0{version}\0{}\0{time}", about.location, about.size);
        self.folder.join(format!("{}.object", blake3::hash(key.as_bytes()).to_hex()))
    }

    /// The object, if it is there and whole.
    fn get(file: &FilePath, size: u64) -> Option<Bytes> {
        let bytes = Bytes::from(std::fs::read(file).ok()?);
        let digest = bytes.get(..DIGEST_BYTES)?;
        let content = bytes.slice(DIGEST_BYTES..);
        (content.len() as u64 == size && blake3::hash(&content).as_bytes() == digest).then_some(content)
    }

    /// Keeps an object where there is room. A cache that cannot be written costs time, not the import.
    fn put(&self, file: &FilePath, content: &[u8]) {
        let bytes = (DIGEST_BYTES + content.len()) as u64;
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return;
        }
        let aside = file.with_extension(format!("{}.aside", std::process::id()));
        let whole = [&blake3::hash(content).as_bytes()[..], content].concat();
        let written = std::fs::write(&aside, whole).and_then(|()| std::fs::rename(&aside, file));
        if written.is_err() {
            let _ = std::fs::remove_file(&aside);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for own in ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:9000/x"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in
            ["http://s3.example.com", "http://127.0.0.1@evil.example", "https://localhost", "localhost"]
        {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn the_cache_keeps_its_bound_and_refuses_what_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 200).unwrap();
        let file = |name: &str| folder.path().join(name).with_extension("object");
        cache.put(&file("a"), &[1; 100]);
        assert_eq!(Cache::get(&file("a"), 100).unwrap().as_ref(), [1; 100]);
        // 132 + 132 bytes are more than 200.
        cache.put(&file("b"), &[2; 100]);
        assert!(Cache::get(&file("b"), 100).is_none());
        cache.make_room(100);
        assert!(!file("a").exists());
        cache.put(&file("b"), &[2; 100]);
        let mut bytes = std::fs::read(file("b")).unwrap();
        bytes[50] ^= 1;
        std::fs::write(file("b"), bytes).unwrap();
        assert!(Cache::get(&file("b"), 100).is_none());
    }
}
