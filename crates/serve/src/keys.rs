//! Keys: who may do what, for which tenant. A key is shown once; only its hash is kept.
//!
//! A key is `upnext_ID_SECRET`: the id finds its line in the file of keys, the secret is 256 random bits. Of such a
//! secret a plain BLAKE3 hash is enough: a slow hash protects what people make up and others can guess, and nobody
//! guesses 256 bits. A slow one would only let anybody who sends wrong keys keep the processor busy.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::ServeError;

/// What a key may do. A key may have several roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Ask for slates and lists, read items and metrics.
    Read,
    /// Send events, users and items.
    Write,
    /// Everything: rules, exports, deletion of people, and what is stored of them.
    Admin,
}

impl Role {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Read, Self::Write, Self::Admin];
        let found = all.into_iter().find(|role| role.name() == name);
        found.ok_or_else(|| format!("{name:?} is not a role; expected read, write or admin"))
    }
}

/// A key as the file keeps it, by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptKey {
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// The only tenant that it opens; without one, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Requests a second, in place of `key_requests_per_second`; 0 is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
    /// The day it was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// BLAKE3 of id and secret, in hex.
    pub hash: String,
}

/// A key that was just made. The secret is nowhere else.
#[derive(Debug)]
pub struct NewKey {
    /// What a client sends.
    pub key: String,
    /// What names it.
    pub id: String,
    /// The line of the file.
    pub line: String,
}

const PREFIX: &str = "upnext_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
/// Hashes of this use are not those of another.
const CONTEXT: &str = "upnext 2026-11 api keys";
/// A file of keys is a few lines; more is a mistake.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

impl KeptKey {
    /// Makes a key of 256 random bits.
    ///
    /// # Errors
    /// If the system has no randomness, or the name or the roles cannot be meant.
    pub fn make(
        name: &str,
        roles: &[Role],
        tenant: Option<&str>,
        created: &str,
    ) -> Result<NewKey, ServeError> {
        let wrong = |reason: &str| ServeError::Keys { path: "a new key".into(), reason: reason.into() };
        if roles.is_empty() {
            return Err(wrong("it has no role; expected read, write or admin"));
        }
        if name.len() > 100 || name.chars().any(char::is_control) {
            return Err(wrong("its name is too long or has control characters; expected at most 100 bytes"));
        }
        let mut random = [0; ID_BYTES + SECRET_BYTES];
        getrandom::fill(&mut random).map_err(|error| wrong(&error.to_string()))?;
        let (id, secret) = (hex(&random[..ID_BYTES]), hex(&random[ID_BYTES..]));
        let mut roles = roles.to_vec();
        roles.sort_unstable();
        roles.dedup();
        let (name, created) = (name.to_owned(), created.to_owned());
        let hash = hex(&hash(&id, &secret));
        let kept = Self { name, roles, tenant: tenant.map(str::to_owned), per_second: None, created, hash };
        let value = toml::Value::try_from(&kept).map_err(|error| wrong(&error.to_string()))?;
        Ok(NewKey { key: format!("{PREFIX}{id}_{secret}"), line: format!("{id} = {value}"), id })
    }
}

/// The keys of a file, by id.
///
/// # Errors
/// If it cannot be read or is not a file of keys.
pub fn keys_in(path: &Path) -> Result<BTreeMap<String, KeptKey>, ServeError> {
    let broken = |reason: String| ServeError::Keys { path: path.display().to_string(), reason };
    let size = fs::metadata(path).map_err(|error| broken(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(broken(format!("it has {size} bytes; expected at most {FILE_BYTES_MAX}")));
    }
    let text = fs::read_to_string(path).map_err(|error| broken(error.to_string()))?;
    parsed(&text).map_err(broken)
}

fn parsed(text: &str) -> Result<BTreeMap<String, KeptKey>, String> {
    let keys: BTreeMap<String, KeptKey> = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    for (id, key) in &keys {
        if id.len() != 2 * ID_BYTES || bytes::<ID_BYTES>(id).is_none() {
            return Err(format!("{id:?} is not an id of a key; expected {} hex digits", 2 * ID_BYTES));
        }
        if bytes::<32>(&key.hash).is_none() {
            return Err(format!("the hash of {id} is not one; expected 64 hex digits"));
        }
        if key.roles.is_empty() {
            return Err(format!("{id} has no role; expected read, write or admin"));
        }
    }
    Ok(keys)
}

/// Adds a line to the file, which is made where it is missing, for its owner alone.
///
/// # Errors
/// If the file is not one of keys, or cannot be written.
pub fn add_key(path: &Path, key: &NewKey) -> Result<(), ServeError> {
    if path.exists() {
        keys_in(path)?;
    }
    let failed = |error: std::io::Error| ServeError::Keys {
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    let mut file = owned(fs::OpenOptions::new().append(true).create(true)).open(path).map_err(failed)?;
    // One write at the end of the file: who reads meanwhile sees the whole line or none of it.
    file.write_all(format!("{}\n", key.line).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Takes the line of a key away; the other lines stay as they are.
///
/// # Errors
/// If there is no such key, or the file cannot be written.
pub fn revoke_key(path: &Path, id: &str) -> Result<KeptKey, ServeError> {
    let broken = |reason: String| ServeError::Keys { path: path.display().to_string(), reason };
    let Some(gone) = keys_in(path)?.remove(id) else {
        return Err(broken(format!("there is no key {id:?}; `upnext keys list` names them")));
    };
    let failed = |error: std::io::Error| broken(error.to_string());
    let text = fs::read_to_string(path).map_err(failed)?;
    let others = text.lines().filter(|line| line.split(['=', ' ', '\t']).next() != Some(id));
    let rest: String = others.flat_map(|line| [line, "\n"]).collect();
    if parsed(&rest).map_err(broken)?.contains_key(id) {
        return Err(broken(format!("{id} is not on a line of its own: take it out by hand")));
    }
    let aside = path.with_extension("part");
    let mut file =
        owned(fs::OpenOptions::new().write(true).create(true).truncate(true)).open(&aside).map_err(failed)?;
    file.write_all(rest.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&aside, path).map_err(failed)?;
    Ok(gone)
}

/// A new file is its owner's alone.
pub(crate) fn owned(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn hash(id: &str, secret: &str) -> [u8; 32] {
    blake3::derive_key(CONTEXT, format!("{id}_{secret}").as_bytes())
}

/// Who asks, by the key that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The id of the key; `config` for the one of the configuration.
    pub(crate) id: Arc<str>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) per_second: Option<u32>,
    roles: Arc<[Role]>,
}

impl Caller {
    pub(crate) fn may(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Admin)
    }

    /// The roles, in words.
    pub(crate) fn roles(&self) -> String {
        self.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" and ")
    }
}

/// A key that is ready to be compared.
struct Ready {
    hash: [u8; 32],
    caller: Caller,
    kept: KeptKey,
}

/// The key of the configuration and those of the file, which is looked at again when it changes.
pub(crate) struct Keys {
    /// Hashed, so that comparing does not tell how long it is.
    plain: Option<[u8; 32]>,
    file: Option<PathBuf>,
    every: Duration,
    held: RwLock<Held>,
}

struct Held {
    keys: BTreeMap<String, Ready>,
    stamp: Option<Stamp>,
    looked: Instant,
}

/// What changes when a file does.
type Stamp = (SystemTime, u64);

impl Keys {
    pub(crate) fn open(plain: Option<&str>, file: &Path, every: Duration) -> Result<Self, ServeError> {
        let file = (!file.as_os_str().is_empty()).then(|| file.to_owned());
        let held = Held { keys: BTreeMap::new(), stamp: None, looked: Instant::now() };
        let plain = plain.map(|plain| hash("config", plain));
        let keys = Self { plain, file, every, held: RwLock::new(held) };
        if let Some(path) = &keys.file {
            keys.reread(path, stamp(path))?;
        }
        Ok(keys)
    }

    /// Whether keys decide who may come in. A file of keys without keys lets nobody in.
    pub(crate) fn are_needed(&self) -> bool {
        self.plain.is_some() || self.file.is_some()
    }

    /// Whether there is a key at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_none() && self.read().keys.is_empty()
    }

    /// The keys of the file, by id.
    pub(crate) fn kept(&self) -> Vec<(String, KeptKey)> {
        self.read().keys.iter().map(|(id, ready)| (id.clone(), ready.kept.clone())).collect()
    }

    /// Who sends this key, if it is one. It takes the same time wherever a wrong one differs.
    pub(crate) fn caller(&self, given: &[u8]) -> Option<Caller> {
        let given = std::str::from_utf8(given).ok()?;
        let is_plain = self.plain.is_some_and(|plain| bool::from(plain.ct_eq(&hash("config", given))));
        if is_plain {
            let id = Arc::from("config");
            return Some(Caller { id, tenant: None, per_second: None, roles: Arc::from([Role::Admin]) });
        }
        let (id, secret) = given.strip_prefix(PREFIX)?.split_once('_')?;
        let held = self.read();
        let found = held.keys.get(id);
        let known = found.map_or([0; 32], |ready| ready.hash);
        let is_same = bool::from(known.ct_eq(&hash(id, secret)));
        found.filter(|_| is_same).map(|ready| ready.caller.clone())
    }

    /// Looks whether the file changed, at most so often; says whether its keys are others now. A file that is gone or
    /// broken leaves those that held.
    pub(crate) fn look(&self, at_once: bool) -> bool {
        let Some(path) = &self.file else { return false };
        {
            let held = self.read();
            if !at_once && held.looked.elapsed() < self.every {
                return false;
            }
        }
        let found = stamp(path);
        {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            held.looked = Instant::now();
            if held.stamp == found {
                return false;
            }
        }
        match self.reread(path, found) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!("{error}; the keys that were read before go on");
                self.held.write().unwrap_or_else(PoisonError::into_inner).stamp = found;
                false
            }
        }
    }

    fn reread(&self, path: &Path, stamp: Option<Stamp>) -> Result<(), ServeError> {
        let ready = |(id, kept): (String, KeptKey)| {
            let caller = Caller {
                id: id.as_str().into(),
                tenant: kept.tenant.as_deref().map(Into::into),
                per_second: kept.per_second,
                roles: kept.roles.as_slice().into(),
            };
            let hash = bytes(&kept.hash).unwrap_or_default();
            (id, Ready { hash, caller, kept })
        };
        let keys = keys_in(path)?.into_iter().map(ready).collect();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        *held = Held { keys, stamp, looked: Instant::now() };
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digits = hex.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(file: &Path) -> Keys {
        Keys::open(Some("plain"), file, Duration::ZERO).unwrap()
    }

    #[test]
    fn a_key_opens_what_its_line_says_and_the_file_does_not_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.toml");
        let made = KeptKey::make("web", &[Role::Write, Role::Read], Some("films"), "2026-11-28").unwrap();
        add_key(&file, &made).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(&made.id) && text.lines().count() == 1, "{text}");
        assert!(!text.contains(made.key.rsplit('_').next().unwrap()), "the secret is in the file");

        let keys = open(&file);
        let caller = keys.caller(made.key.as_bytes()).unwrap();
        assert_eq!((&*caller.id, caller.tenant.as_deref()), (made.id.as_str(), Some("films")));
        assert!(caller.may(Role::Read) && caller.may(Role::Write) && !caller.may(Role::Admin));
        assert!(keys.caller(b"plain").unwrap().may(Role::Admin));
        let mut wrong = made.key.clone().into_bytes();
        *wrong.last_mut().unwrap() ^= 1;
        let (id, secret) = made.key[PREFIX.len()..].split_once('_').unwrap();
        for given in [
            &wrong[..],
            &made.key.as_bytes()[..made.key.len() - 1],
            b"",
            b"plai",
            b"plain ",
            b"upnext_",
            secret.as_bytes(),
            format!("{PREFIX}{id}_").as_bytes(),
            format!("{PREFIX}0000000000000000_{secret}").as_bytes(),
            b"\xff\xfe",
        ] {
            assert!(keys.caller(given).is_none(), "{:?}", String::from_utf8_lossy(given));
        }
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.toml");
        let one = KeptKey::make("", &[Role::Admin], None, "").unwrap();
        fs::write(&file, format!("# ours\n{}\n", one.line)).unwrap();
        let keys = open(&file);
        let two = KeptKey::make("", &[Role::Read], None, "").unwrap();
        add_key(&file, &two).unwrap();
        assert!(keys.look(false) && keys.caller(two.key.as_bytes()).is_some());
        assert!(!keys.look(false), "nothing changed since");

        assert_eq!(revoke_key(&file, &one.id).unwrap().roles, [Role::Admin]);
        assert!(fs::read_to_string(&file).unwrap().starts_with("# ours\n"));
        assert!(keys.look(false) && keys.caller(one.key.as_bytes()).is_none());
        assert!(revoke_key(&file, &one.id).unwrap_err().to_string().contains("no key"));

        for broken in ["{", "abc = 1", "0000000000000000 = { roles = [\"root\"], hash = \"00\" }"] {
            fs::write(&file, broken).unwrap();
            assert!(!keys.look(false) && keys.caller(two.key.as_bytes()).is_some(), "{broken}");
            assert!(Keys::open(None, &file, Duration::ZERO).is_err(), "{broken}");
        }
        fs::remove_file(&file).unwrap();
        assert!(!keys.look(false) && keys.caller(two.key.as_bytes()).is_some());
    }
}
