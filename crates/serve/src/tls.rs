//! TLS by two files in PEM, which can be replaced while the service runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::ServeError;

/// A certificate and its key, as they were last read.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    held: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub(crate) fn open(cert: &Path, key: &Path) -> Result<Self, ServeError> {
        let held = RwLock::new(read(cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), held })
    }

    /// Reads the files again. New connections have what they say; if that cannot be used, what was read before.
    pub(crate) fn reload(&self) -> Result<(), ServeError> {
        let read = read(&self.cert, &self.key)?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// What shakes hands with a new connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// The same for a connection that speaks HTTP/2.
    #[cfg(feature = "grpc")]
    pub(crate) fn acceptor_of_http2(&self) -> TlsAcceptor {
        let held = Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner));
        let mut config = ServerConfig::clone(&held);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config).into()
    }
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, ServeError> {
    let failed = |path: &Path, reason: String, expected| ServeError::Tls {
        path: path.display().to_string(),
        reason,
        expected,
    };
    let no_chain = |reason: String| failed(cert, reason, "a certificate chain");
    let no_key = |reason: String| failed(key, reason, "the private key of the certificate");
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| no_chain(error.to_string()))?;
    if chain.is_empty() {
        return Err(no_chain("it holds no certificate".into()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| no_key(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| no_chain(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| no_key(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
