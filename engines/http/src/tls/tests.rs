//! TLS against a real server: rustls with a certificate of its own authority, in front of the scripted server.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::config::Timeouts;
use crate::exchange::{Answered, Client};
use crate::fault::Fault;
use crate::testing::{FakeServer, Reply, json, within};

/// A certificate for `127.0.0.1`, its authority in a file, and a TLS end in front of `server`.
struct TlsServer {
    server: FakeServer,
    port: u16,
    folder: tempfile::TempDir,
    handshakes: Arc<AtomicUsize>,
}

impl TlsServer {
    async fn start(host: &str) -> Self {
        let server = FakeServer::start(|request| {
            Some(Reply::keeping(json(200, &format!("{{\"bytes\":{}}}", request.body.len()))))
        });
        let folder = tempfile::tempdir().expect("a folder");
        let config = server_config(host, &folder.path().join("ca.pem"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("an address").port();
        let handshakes = Arc::new(AtomicUsize::new(0));
        let (acceptor, behind) = (TlsAcceptor::from(Arc::new(config)), server.address().port());
        let count = Arc::clone(&handshakes);
        crate::tasks::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                crate::tasks::spawn(async move {
                    // A client that trusts another authority ends the handshake.
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    count.fetch_add(1, Ordering::Relaxed);
                    let mut plain = TcpStream::connect(("127.0.0.1", behind)).await.expect("listens");
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
                });
            }
        });
        Self { server, port, folder, handshakes }
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    async fn client(&self, url: &str, ca_file: Option<&Path>) -> Client {
        let address = Address::parse(&url.replace("PORT", &self.port.to_string())).expect("a URL");
        let tls = Tls::to(&address, ca_file).await.expect("usable files");
        Client::over(tls, "an engine", address, None, Timeouts::default())
    }

    async fn fails(&self, url: &str, ca_file: Option<&Path>) -> String {
        let client = self.client(url, ca_file).await;
        let fault = within(client.get("/health")).await.expect_err("cannot be asked");
        fault.to_string().replace(&self.port.to_string(), "PORT")
    }
}

fn server_config(host: &str, ca_file: &Path) -> ServerConfig {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let certificate = authority.self_signed(&authority_key).expect("a certificate");
    std::fs::write(ca_file, certificate.pem()).expect("a file");
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec![host.to_owned()]).expect("a name").signed_by(&key, &issuer);
    let leaf = leaf.expect("a certificate").der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .expect("a key for it")
}

async fn post(client: &Client, body: &[u8]) -> Result<Answered, Fault> {
    within(client.post("/ask", body)).await
}

/// ORCH-ENG-30, ORCH-ENG-20
#[tokio::test]
async fn requests_over_tls_share_a_connection() {
    let server = TlsServer::start("127.0.0.1").await;
    let client = server.client("https://127.0.0.1:PORT", Some(&server.ca_file())).await;
    for _ in 0..3 {
        assert_eq!(post(&client, b"{}").await.expect("answers").body, b"{\"bytes\":2}");
    }
    assert_eq!(server.handshakes.load(Ordering::Relaxed), 1);
    assert_eq!(server.server.seen().len(), 3);
}

/// ORCH-ENG-30
#[tokio::test]
async fn a_request_of_many_records_arrives_whole() {
    let server = TlsServer::start("127.0.0.1").await;
    let client = server.client("https://127.0.0.1:PORT", Some(&server.ca_file())).await;
    let answered = post(&client, &vec![b'a'; 3_000_000]).await.expect("answers");
    assert_eq!(answered.body, b"{\"bytes\":3000000}");
}

/// ORCH-ENG-30
#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_for_another_host_is_named() {
    let server = TlsServer::start("engine.test").await;
    let at = "cannot connect to `an engine` at https://127.0.0.1:PORT: ";
    assert_eq!(
        server.fails("https://127.0.0.1:PORT", None).await,
        format!(
            "{at}its certificate is of an issuer that this machine does not trust\nhint: name the issuer's certificate \
             in `server.tls.ca_file`"
        )
    );
    assert_eq!(
        server.fails("https://127.0.0.1:PORT", Some(&server.ca_file())).await,
        format!(
            "{at}its certificate is not for `127.0.0.1` but for engine.test\nhint: write a name of the \
             certificate in `server.url`"
        )
    );
    assert_eq!(server.server.seen().len(), 0);
}

/// ORCH-ENG-30
#[tokio::test]
async fn tls_and_plain_http_at_each_others_ports_are_named() {
    let server = TlsServer::start("127.0.0.1").await;
    assert_eq!(
        server.fails("http://127.0.0.1:PORT", None).await,
        "`an engine` at http://127.0.0.1:PORT does not speak plain HTTP: it speaks TLS\nhint: write `https://` in \
         `server.url`"
    );
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = plain.local_addr().expect("an address").port();
    crate::tasks::spawn(async move {
        let (mut tcp, _) = plain.accept().await.expect("is asked");
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("answers");
    });
    let address = Address::parse(&format!("https://127.0.0.1:{port}")).expect("a URL");
    let tls = Tls::to(&address, None).await.expect("usable files");
    let client = Client::over(tls, "an engine", address, None, Timeouts::default());
    let fault = within(client.get("/health")).await.expect_err("no TLS").to_string();
    assert!(fault.ends_with("it does not speak TLS\nhint: write `http://` in `server.url`"), "{fault}");
}

/// ORCH-ENG-30
#[tokio::test]
async fn a_file_without_certificates_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (none, empty) = (folder.path().join("none.pem"), folder.path().join("empty.pem"));
    std::fs::write(&empty, "no certificate").expect("a file");
    let address = Address::parse("https://127.0.0.1:1").expect("a URL");
    for (file, why) in [(&none, "it cannot be read"), (&empty, "it has no certificate in PEM form")] {
        let error = Tls::to(&address, Some(file)).await.expect_err("no certificates");
        assert!(
            error.starts_with(&format!("`server.tls.ca_file` is `{}`: {why}", file.display())),
            "{error}"
        );
    }
}
