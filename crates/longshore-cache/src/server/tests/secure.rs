use std::fs;

use longshore_testkit::certificate::{self, Authority};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// A certificate and its key in files.
struct Files {
    directory: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
        };
        files.renew();
        files
    }

    /// Replaces both files, and returns the new certificate.
    fn renew(&self) -> Vec<u8> {
        let identity = self.authority.server(&["127.0.0.1"]);
        self.write(&identity);
        identity.certificate_der().to_vec()
    }

    fn write(&self, identity: &certificate::Identity) {
        let files = self.names();
        fs::write(files.certificate, identity.certificate_pem()).unwrap();
        fs::write(files.key, identity.key_pem()).unwrap();
    }

    fn names(&self) -> TlsFiles {
        let directory = self.directory.path();
        TlsFiles::new(directory.join("cache.crt"), directory.join("cache.key"))
    }

    async fn connect(&self, address: SocketAddr, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let pem = self.authority.pem();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.unwrap()
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn http1_and_http2_are_offered_over_tls() {
    let files = Files::new();
    let server = start_on(|builder| builder.listen_tls(ANY, files.names())).await;
    let mut stream = files.connect(server.address, b"http/1.1").await;
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    assert_eq!(protocol.as_deref(), Some(b"http/1.1".as_slice()));
    let request = get_and_close("/");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");

    let stream = files.connect(server.address, b"h2").await;
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    assert_eq!(protocol.as_deref(), Some(b"h2".as_slice()));
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://cache/").body(()).unwrap();
    let (response, _) = requests.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_certificate_is_replaced_while_the_server_runs() {
    let files = Files::new();
    let (sender, mut reloaded) = mpsc::unbounded_channel();
    let server = start_on(|builder| {
        builder
            .listen_tls(ANY, files.names())
            .on_reload(move || sender.send(()).unwrap())
    })
    .await;
    files.connect(server.address, b"h2").await;
    let new = files.renew();
    server.handle.reload();
    reloaded.recv().await.unwrap();
    // The files are read on another thread.
    let mut tries = 0;
    while shown(&files.connect(server.address, b"h2").await) != new {
        tries += 1;
        assert!(tries < 1000, "the certificate stays as it was");
    }
}

#[test]
fn a_certificate_is_read_again_when_its_files_changed_or_on_demand() {
    let files = Files::new();
    let identity = Identity::load(&files.names()).unwrap();
    assert!(!identity.reload(false).unwrap());
    assert!(identity.reload(true).unwrap());
    files.write(&certificate::Identity::self_signed(&[
        "a-longer-name.example",
    ]));
    assert!(identity.reload(false).unwrap());
    assert!(!identity.reload(false).unwrap());
}

#[tokio::test]
async fn errors_about_certificates_name_the_file() {
    let files = Files::new();
    let TlsFiles { certificate, key } = files.names();
    let error = async || {
        let server = Server::builder(Toy::default()).listen_tls(ANY, files.names());
        let error = server.bind().await.unwrap_err();
        assert_eq!(error.to_string(), "cannot listen on 127.0.0.1:0 with TLS");
        error.source().unwrap().to_string()
    };
    let other = files.authority.server(&["127.0.0.1"]);
    fs::write(&key, other.key_pem()).unwrap();
    assert_eq!(
        error().await,
        format!(
            "cannot use the key in {} with the certificate in {}",
            key.display(),
            certificate.display()
        )
    );
    fs::write(&key, "no key").unwrap();
    let expected = format!("{} has no private key in PEM", key.display());
    assert_eq!(error().await, expected);
    fs::write(&certificate, "").unwrap();
    let expected = format!("{} has no certificate in PEM", certificate.display());
    assert_eq!(error().await, expected);
    fs::remove_file(&certificate).unwrap();
    let expected = format!("cannot read {}", certificate.display());
    assert_eq!(error().await, expected);
}

#[tokio::test(start_paused = true)]
async fn ca10_a_tls_handshake_has_10_seconds() {
    let files = Files::new();
    let server = start_on(|builder| builder.listen_tls(ANY, files.names())).await;
    let start = Instant::now();
    let mut stream = server.connect().await;
    assert_eq!(read_to_end(&mut stream).await, "");
    let elapsed = start.elapsed().as_secs();
    assert!((10..12).contains(&elapsed), "{elapsed}");
}
