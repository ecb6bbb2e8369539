//! TLS to a server at an `https://` URL: rustls with ring, as downloads of models have it. Trusted are the system's
//! certificate authorities and those of `server.tls.ca_file`.
//!
//! Rules: ORCH-ENG-30

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use crate::address::Address;

/// The first bytes of an alert of TLS, as a server answers to a request that is none.
const ALERT: [u8; 2] = [0x15, 0x03];

/// Makes TLS connections to one server.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS to the server at `address`; nothing where its URL is `http://`. Reads files on a thread that may block.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(crate) async fn to(address: &Address, ca_file: Option<&Path>) -> Result<Option<Self>, String> {
        if !address.is_tls() {
            return Ok(None);
        }
        let name = ServerName::try_from(address.host().to_owned())
            .map_err(|_| format!("`{address}` has no host that a certificate can be for"))?;
        let ca_file = ca_file.map(Path::to_owned);
        let config = tokio::task::spawn_blocking(move || client_config(ca_file))
            .await
            .map_err(|error| format!("cannot read certificates: {error}"))??;
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }

    /// Shakes hands over `tcp`.
    ///
    /// # Errors
    /// What is wrong with the server's answer or certificate, and what to do.
    pub(crate) async fn connect(&self, tcp: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        self.connector.connect(self.name.clone(), tcp).await.map_err(|error| explain(&error))
    }
}

fn client_config(ca_file: Option<PathBuf>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // What the system has beside usable certificates is no fault of this connection.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        add_file(&mut roots, &path)
            .map_err(|why| format!("`server.tls.ca_file` is `{}`: {why}", path.display()))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let pem = std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("it is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("certificate {}: {error}", added + 1))?;
        added += 1;
    }
    if added == 0 { Err("it has no certificate in PEM form".to_owned()) } else { Ok(()) }
}

/// A failed handshake in words, with what to do where there is something.
fn explain(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(wrong)) => explain_certificate(wrong),
        Some(Error::InvalidMessage(_)) => {
            "it does not speak TLS\nhint: write `http://` in `server.url`".to_owned()
        }
        _ => format!("the TLS handshake failed: {error}"),
    }
}

fn explain_certificate(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::UnknownIssuer => {
            "its certificate is of an issuer that this machine does not trust\nhint: name \
             the issuer's certificate in `server.tls.ca_file`"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "its certificate is not for `{}` but for {}\nhint: write a name of the certificate in `server.url`",
            expected.to_str(),
            presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired\nhint: renew it, and check the clock of this machine".to_owned()
        }
        other => format!("its certificate is not valid: {other}"),
    }
}

/// The name in what rustls calls `DnsName("host")` or `IpAddress(address)`.
fn bare(presented: &str) -> &str {
    presented.split_once('(').map_or(presented, |(_, name)| name.trim_matches(['"', ')']))
}

/// What a server that speaks TLS alone answers to plain HTTP.
pub(crate) fn is_alert(bytes: &[u8]) -> bool {
    bytes.starts_with(&ALERT)
}

#[cfg(test)]
mod tests;
