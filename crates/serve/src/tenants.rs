//! Several sets behind one door. Each tenant has a store, a feed and a router of its own; a request is handed to one
//! router before any handler runs, so no handler can reach what is another's.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use upnext_store::Store;

use crate::error::ApiError;
use crate::keys::{Caller, Keys};
use crate::rates::{Counted, Rates, counted};
use crate::spans::{Recorded, Spans, TelemetryConfig};
use crate::tls::Tls;
use crate::{About, AppState, ServeConfig, ServeError, server};

/// What all tenants share.
pub(crate) struct Shared {
    pub(crate) config: ServeConfig,
    pub(crate) keys: Keys,
    pub(crate) tls: Option<Tls>,
    rates: Rates,
    exposed: AtomicBool,
    /// Becomes true when the service stops: what would go on for ever ends.
    stopping: watch::Sender<bool>,
    /// Requests that reached no tenant, by the code of the refusal.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    spans: OnceLock<Spans>,
}

impl Shared {
    pub(crate) fn new(config: ServeConfig) -> Result<Arc<Self>, ServeError> {
        config.check()?;
        let every = Duration::from_millis(config.keys_reread_milliseconds);
        let no_tls = config.tls_cert.as_os_str().is_empty();
        Ok(Arc::new(Self {
            keys: Keys::open(config.key.as_deref(), &config.keys_file, every)?,
            tls: if no_tls { None } else { Some(Tls::open(&config.tls_cert, &config.tls_key)?) },
            rates: Rates::new(&config),
            exposed: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            refused: Mutex::default(),
            spans: OnceLock::new(),
            config,
        }))
    }

    /// Whether other machines can reach the service.
    pub(crate) fn is_exposed(&self) -> bool {
        self.exposed.load(Ordering::Relaxed)
    }

    /// Whether other machines can reach a door; one that they can is enough.
    pub(crate) fn expose(&self, exposed: bool) {
        self.exposed.fetch_or(exposed, Ordering::Relaxed);
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub(crate) fn refuse(&self, code: &'static str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    pub(crate) fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where requests are recorded, if they are.
    pub(crate) fn spans(&self) -> Option<&Spans> {
        self.spans.get()
    }

    fn identify(&self, headers: &HeaderMap) -> Identity {
        if !self.keys.are_needed() {
            return Identity::Open;
        }
        match given_key(headers) {
            Given::None => Identity::Nobody,
            Given::Several => Identity::Wrong,
            Given::One(key) => self.keys.caller(key).map_or(Identity::Wrong, Identity::Key),
        }
    }

    fn check_rate(&self, identity: &Identity, peer: Option<IpAddr>) -> Result<(), ApiError> {
        let (who, per_second) = match (identity, peer) {
            (Identity::Open, _) | (Identity::Nobody | Identity::Wrong, None) => return Ok(()),
            (Identity::Key(caller), _) => {
                let own = caller.per_second.unwrap_or(self.config.key_requests_per_second);
                (Counted::Key(Arc::clone(&caller.id)), own)
            }
            // Wrong keys count too: nobody tries many.
            (_, Some(address)) => (counted(address), self.config.address_requests_per_second),
        };
        self.rates.take(who, per_second, Instant::now()).map_err(ApiError::too_often)
    }
}

/// Who asks, as far as the door can tell.
#[derive(Clone)]
pub(crate) enum Identity {
    /// Nobody needs a key here.
    Open,
    /// No key was sent.
    Nobody,
    /// What was sent is no key of ours.
    Wrong,
    /// A key.
    Key(Caller),
}

impl Identity {
    /// What the log of acts says.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Key(caller) => &caller.id,
            Self::Open | Self::Nobody | Self::Wrong => "none",
        }
    }

    /// The only tenant that it may see.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Key(caller) => caller.tenant.as_deref(),
            Self::Open | Self::Nobody | Self::Wrong => None,
        }
    }
}

enum Given<'a> {
    None,
    One(&'a [u8]),
    /// Two keys: who put the second there, and which would count?
    Several,
}

fn given_key(headers: &HeaderMap) -> Given<'_> {
    let mut keys = headers.get_all("x-api-key").iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => return Given::One(key.as_bytes()),
        (Some(_), Some(_)) => return Given::Several,
        (None, _) => {}
    }
    let bearer = |value: &'_ axum::http::HeaderValue| -> Option<usize> {
        let scheme = value.as_bytes().get(..7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(7)
    };
    let mut tokens = headers.get_all(header::AUTHORIZATION).iter().filter_map(|v| Some((v, bearer(v)?)));
    match (tokens.next(), tokens.next()) {
        (Some((value, at)), None) => Given::One(value.as_bytes()[at..].trim_ascii()),
        (Some(_), Some(_)) => Given::Several,
        (None, _) => Given::None,
    }
}

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// That a request named no tenant, where there are several.
#[derive(Clone, Copy)]
pub(crate) struct NoTenant;

/// Every tenant, for what tells of the service as a whole.
#[derive(Clone)]
pub(crate) struct All(pub(crate) Arc<[AppState]>);

/// Tenants behind one door. A single one needs no name.
#[derive(Clone)]
pub struct Tenants {
    shared: Arc<Shared>,
    states: Vec<AppState>,
}

impl From<AppState> for Tenants {
    fn from(state: AppState) -> Self {
        Self { shared: Arc::clone(state.shared()), states: vec![state] }
    }
}

impl Tenants {
    /// No tenant yet.
    ///
    /// # Errors
    /// If a setting is out of bounds, or keys or certificates cannot be read.
    pub fn new(config: ServeConfig) -> Result<Self, ServeError> {
        Ok(Self { shared: Shared::new(config)?, states: Vec::new() })
    }

    /// Adds a tenant over a store of its own.
    ///
    /// # Errors
    /// If the name is taken or is none.
    pub fn add(&mut self, name: &str, store: Arc<dyn Store>, about: About) -> Result<AppState, ServeError> {
        let wrong = |reason| Err(ServeError::Tenant { name: name.to_owned(), reason });
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
            return wrong("expected 1 to 64 of a to z, 0 to 9, - and _");
        }
        if self.states.iter().any(|state| state.tenant() == name) {
            return wrong("it is there already: give each tenant a name of its own");
        }
        if !self.states.is_empty() && self.shared.config.open_reads {
            return wrong("`open_reads` cannot hold where there are several tenants: whose would be read?");
        }
        let state = AppState::of(Arc::clone(&self.shared), name, store, about);
        self.states.push(state.clone());
        Ok(state)
    }

    /// Records requests from now on; what was recorded comes out here, and is lost where nobody takes it. `None` where they are recorded already.
    pub fn record(&self, config: &TelemetryConfig) -> Option<Receiver<Recorded>> {
        let (spans, recorded) = Spans::new(config);
        self.shared.spans.set(spans).is_ok().then_some(recorded)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The whole service.
    pub(crate) fn router(self) -> Router {
        self.doors().router()
    }

    /// What stands before all of them.
    pub(crate) fn doors(self) -> Doors {
        let all: Arc<[AppState]> = self.states.into();
        let router = |state: &AppState| TowerToHyperService::new(server::of_tenant(state.clone()));
        let routers = all.iter().map(router).collect();
        Doors { shared: self.shared, all, routers }
    }
}

/// What reads files again when it is told to: certificates and keys.
#[derive(Clone)]
pub struct Reload(Arc<Shared>);

impl Tenants {
    /// A handle that reads certificates and keys again.
    pub fn reload(&self) -> Reload {
        Reload(Arc::clone(&self.shared))
    }
}

impl Reload {
    /// Reads certificates and keys again; what cannot be read is named in the log, and what was read before goes on.
    pub fn now(&self) {
        let changed = self.0.keys.look(true);
        match self.0.tls.as_ref().map(Tls::reload) {
            Some(Err(error)) => tracing::error!("{error}; the certificate that was read before goes on"),
            tls => tracing::info!(keys_changed = changed, tls = tls.is_some(), "read again"),
        }
    }
}

/// Who comes in, and to whom.
#[derive(Clone)]
pub(crate) struct Doors {
    shared: Arc<Shared>,
    all: Arc<[AppState]>,
    routers: Arc<[TowerToHyperService<Router>]>,
}

async fn enter(State(doors): State<Doors>, mut request: Request) -> Response {
    match doors.choose(&mut request) {
        Ok(at) => doors.routers[at].call(request).await.unwrap_or_else(|never| match never {}),
        Err(error) => {
            doors.shared.refuse(error.code());
            error.into_response()
        }
    }
}

/// That a request was let in, and counted, before it was read.
#[derive(Clone, Copy)]
pub(crate) struct Admitted;

impl Doors {
    /// The whole service.
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(enter).with_state(self)
    }

    /// Whether somebody may come in for this, by what is known before the request is read: key, rate and role.
    #[cfg(feature = "grpc")]
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        access: crate::rest::Access,
    ) -> Result<(), ApiError> {
        let admitted = self.identify(headers).and_then(|identity| {
            self.shared.check_rate(&identity, peer)?;
            let may = |state| crate::auth::check_key(state, access, &identity);
            self.all.first().map_or(Ok(()), may)
        });
        admitted.inspect_err(|error| self.shared.refuse(error.code()))
    }

    fn identify(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        if self.shared.keys.look(false)
            && let Some(first) = self.all.first()
        {
            first.audit("file", "keys reread", &[])?;
        }
        Ok(self.shared.identify(headers))
    }

    /// Says whose request it is, and marks it with what the door knows.
    fn choose(&self, request: &mut Request) -> Result<usize, ApiError> {
        let identity = self.identify(request.headers())?;
        // Who looks whether the service lives must hear it.
        let counted = request.extensions().get::<Admitted>().is_some();
        if !counted && !request.uri().path().starts_with("/api/health/") {
            let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
            self.shared.check_rate(&identity, peer)?;
        }
        let at = self.tenant(&identity, request.headers())?;
        let extensions = request.extensions_mut();
        extensions.insert(identity);
        extensions.insert(All(Arc::clone(&self.all)));
        if at.is_none() {
            extensions.insert(NoTenant);
        }
        Ok(at.unwrap_or(0))
    }

    /// The tenant that the key is bound to, or that the header names; `None` where several could be meant.
    fn tenant(&self, identity: &Identity, headers: &HeaderMap) -> Result<Option<usize>, ApiError> {
        let hint = "the header X-Tenant names a tenant; a key that is bound to one needs none";
        let mut named = headers.get_all("x-tenant").iter();
        let named = match (named.next(), named.next()) {
            (named, None) => named.map(|value| value.to_str().unwrap_or_default()),
            _ => return Err(ApiError::bad("bad_tenant", "X-Tenant stands there twice", hint)),
        };
        let name = match (identity.tenant(), named) {
            (Some(own), Some(other)) if own != other => {
                let message = "this key is bound to another tenant";
                return Err(ApiError::new(StatusCode::FORBIDDEN, "wrong_tenant", message, hint));
            }
            (own, named) => own.or(named),
        };
        let Some(name) = name else { return Ok((self.all.len() == 1).then_some(0)) };
        // Who has no key is not told which tenants there are.
        let may_know = matches!(identity, Identity::Open | Identity::Key(_));
        match self.all.iter().position(|state| state.tenant() == name) {
            Some(at) => Ok(Some(at)),
            None if may_know => {
                let message = format!("there is no tenant {name:?}");
                Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_tenant", message, hint))
            }
            None => Ok(Some(0)),
        }
    }
}

impl AppState {
    /// Keeps the acts of administrators of this tenant in a file from now on.
    ///
    /// # Errors
    /// If it cannot be appended to.
    pub fn keep_audit_in(&self, file: PathBuf) -> Result<(), ServeError> {
        self.set_audit(crate::audit::Audit::open(&file)?);
        Ok(())
    }
}
