//! TLS: who is believed, what is offered, how handshakes fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
#[cfg(feature = "http2")]
use longshore_hyper::Http2;
use longshore_hyper::{SettingsError, TlsSettings};
use longshore_origin::{AddressClass, Peer};
#[cfg(feature = "http2")]
use longshore_transport::WireWish;
use longshore_transport::{
    ConnectionWish, Phase, TlsFault, TlsIdentity, Transport, TransportErrorKind,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::support::{Server, chain, direct, fails, get, read_head, text};

#[tokio::test]
async fn a_server_of_an_added_root_is_believed() {
    let authority = Authority::new();
    let server = authority.serve(&["127.0.0.1"], Clients::Any).await;
    let transport = direct().tls(authority.believed()).build().unwrap();
    for reused in [false, true] {
        let response = transport.send(get(&server.url("https"))).await.unwrap();
        let peer = response.extensions().get::<Peer>().copied();
        assert_eq!(peer, Some(Peer::new(Some(AddressClass::Loopback), reused)));
        assert_eq!(text(response).await.unwrap(), SMALL);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_root_can_come_from_a_file() {
    let authority = Authority::new();
    let server = authority.serve(&["127.0.0.1"], Clients::Any).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &authority.pem).unwrap();
    let settings = TlsSettings::default().ca_file(file.path()).unwrap();
    let transport = direct().tls(settings).build().unwrap();
    text(transport.send(get(&server.url("https"))).await.unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_a_tls_error_and_not_a_missing_tls() {
    let (believed, other) = (Authority::new(), Authority::new());
    let transport = direct().tls(believed.believed()).build().unwrap();
    let server = other.serve(&["127.0.0.1"], Clients::Any).await;
    let request = get(&server.url("https"));
    let error = fails(&transport, request, TransportErrorKind::Tls, Phase::Connect).await;
    assert!(
        chain(&error).contains("invalid peer certificate"),
        "{}",
        chain(&error)
    );
    // The right authority, but another name.
    let server = believed.serve(&["registry.example"], Clients::Any).await;
    fails(
        &transport,
        get(&server.url("https")),
        TransportErrorKind::Tls,
        Phase::Connect,
    )
    .await;
}

#[tokio::test]
async fn skipping_verification_believes_anybody() {
    let server = Authority::new()
        .serve(&["registry.example"], Clients::Any)
        .await;
    let transport = direct()
        .tls(TlsSettings::default().insecure_skip_verify())
        .build()
        .unwrap();
    let response = transport.send(get(&server.url("https"))).await.unwrap();
    assert_eq!(text(response).await.unwrap(), SMALL);
}

#[tokio::test]
async fn a_peer_that_answers_in_plain_text_does_not_speak_tls() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ] {
        let server = Server::closing_after_some(answer).await;
        let transport = direct().tls(Authority::new().believed()).build().unwrap();
        let request = get(&server.url("https"));
        fails(
            &transport,
            request,
            TransportErrorKind::NotTls,
            Phase::Connect,
        )
        .await;
    }
}

// RT12: peers that drop the first message of the handshake, and similar peers.
#[tokio::test]
async fn rt12_no_answer_to_the_first_message_differs_from_a_later_failure() {
    // The beginning of a record.
    let begun = &[22, 3, 3, 0, 80][..];
    for (answer, resets, expected) in [
        (&b""[..], false, Some(TlsFault::Unanswered)),
        (b"", true, Some(TlsFault::Unanswered)),
        (begun, false, None),
    ] {
        let server = Server::start(move |mut stream| async move {
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(answer).await.unwrap();
            if resets {
                stream.set_zero_linger().unwrap();
            }
        })
        .await;
        let transport = direct().tls(Authority::new().believed()).build().unwrap();
        let request = get(&server.url("https"));
        let kind = TransportErrorKind::Closed;
        let error = fails(&transport, request, kind, Phase::Connect).await;
        assert_eq!(error.tls(), expected, "{answer:?} {resets}");
    }
}

// RT12
#[tokio::test]
async fn rt12_a_silent_peer_ends_the_handshake_by_its_limit() {
    for (answer, expected) in [
        (&b""[..], Some(TlsFault::Unanswered)),
        (&[22, 3, 3, 0, 80], None),
    ] {
        let server = Server::start(move |mut stream| async move {
            stream.write_all(answer).await.unwrap();
            let _open = stream;
            std::future::pending::<()>().await;
        })
        .await;
        let transport = direct()
            .tls(Authority::new().believed())
            .handshake_timeout(Duration::from_millis(100))
            .build()
            .unwrap();
        let request = get(&server.url("https"));
        let kind = TransportErrorKind::Timeout;
        let error = fails(&transport, request, kind, Phase::Connect).await;
        assert_eq!(error.tls(), expected, "{answer:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_under_its_identity_only() {
    let authority = Authority::new();
    let server = authority.serve(&["127.0.0.1"], Clients::Known).await;
    let (chain_pem, key_pem) = authority.issue(&["client.example"]);
    let known = authority
        .believed()
        .client_pem(chain_pem.as_bytes(), key_pem.as_bytes())
        .unwrap();
    let shown = format!("{known:?}");
    assert!(!shown.contains(&key_pem), "{shown}");
    let transport = direct()
        .tls(authority.believed())
        .tls_for(TlsIdentity::named("known"), known)
        .build()
        .unwrap();
    let with = |name: &str| {
        let mut request = get(&server.url("https"));
        request.extensions_mut().insert(TlsIdentity::named(name));
        request
    };
    let response = transport.send(with("known")).await.unwrap();
    assert_eq!(text(response).await.unwrap(), SMALL);
    // TLS 1.3 tells only after the handshake, so the phase is the peer's choice.
    let error = transport.send(get(&server.url("https"))).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Tls, "{}", chain(&error));
    let fault = error.tls();
    assert_eq!(
        fault,
        Some(TlsFault::ClientCertificate),
        "{}",
        chain(&error)
    );
    let connections = server.connections();
    fails(
        &transport,
        with("unknown"),
        TransportErrorKind::Tls,
        Phase::Connect,
    )
    .await;
    assert_eq!(server.connections() - connections, 1, "nothing was sent");
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn http2_is_offered_for_small_exchanges_by_default() {
    let authority = Authority::new();
    let server = authority.serve(&["127.0.0.1"], Clients::Any).await;
    for (http2, small, bulk) in [
        (Http2::Small, "HTTP/2.0", "HTTP/1.1"),
        (Http2::Always, "HTTP/2.0", "HTTP/2.0"),
        (Http2::Never, "HTTP/1.1", "HTTP/1.1"),
    ] {
        let transport = direct()
            .http2(http2)
            .tls(authority.believed())
            .build()
            .unwrap();
        for (wish, expected) in [(WireWish::Small, small), (WireWish::Bulk, bulk)] {
            let mut request = get(&server.url("https"));
            request.extensions_mut().insert(wish);
            let response = transport.send(request).await.unwrap();
            assert_eq!(format!("{:?}", response.version()), expected);
            assert_eq!(
                text(response).await.unwrap(),
                expected,
                "{http2:?} {wish:?}"
            );
        }
    }
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn many_small_requests_share_one_http2_connection() {
    let authority = Authority::new();
    let server = authority.serve(&["127.0.0.1"], Clients::Any).await;
    let transport = direct().tls(authority.believed()).build().unwrap();
    text(transport.send(get(&server.url("https"))).await.unwrap())
        .await
        .unwrap();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (transport, request) = (transport.clone(), get(&server.url("https")));
        requests.spawn(async move { text(transport.send(request).await?).await });
    }
    while let Some(done) = requests.join_next().await {
        assert_eq!(done.unwrap().unwrap(), "HTTP/2.0");
    }
    assert_eq!(server.connections(), 1);
}

// RT5
#[tokio::test]
async fn rt5_a_request_for_a_new_connection_does_not_use_an_idle_one() {
    let authority = Authority::new();
    let server = authority.serve(&["127.0.0.1"], Clients::Any).await;
    let transport = direct().tls(authority.believed()).build().unwrap();
    for (wish, connections) in [
        (ConnectionWish::Any, 1),
        (ConnectionWish::Any, 1),
        (ConnectionWish::New, 2),
        (ConnectionWish::New, 3),
        (ConnectionWish::Any, 3),
    ] {
        let mut request = get(&server.url("https"));
        request.extensions_mut().insert(wish);
        let response = transport.send(request).await.unwrap();
        assert_eq!(text(response).await.unwrap(), SMALL);
        assert_eq!(server.connections(), connections, "{wish:?}");
    }
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn requests_that_race_to_open_an_http2_connection_all_arrive() {
    let authority = Authority::new();
    let server = authority.serve(&["127.0.0.1"], Clients::Any).await;
    let transport = direct().tls(authority.believed()).build().unwrap();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (transport, request) = (transport.clone(), get(&server.url("https")));
        requests.spawn(async move { text(transport.send(request).await?).await });
    }
    while let Some(done) = requests.join_next().await {
        assert_eq!(done.unwrap().unwrap(), "HTTP/2.0");
    }
}

#[test]
fn a_machine_without_roots_still_tells_plain_text_from_tls() {
    // Changing our own environment would race with the other tests.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "tls::without_roots", "--nocapture", "--ignored"]);
    child
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent");
    let output = child.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}"
    );
}

#[tokio::test]
#[ignore = "run by a_machine_without_roots_still_tells_plain_text_from_tls"]
async fn without_roots() {
    let authority = Authority::new();
    let transport = direct().build().unwrap();
    let plain = Server::closing_after_some(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    fails(
        &transport,
        get(&plain.url("https")),
        TransportErrorKind::NotTls,
        Phase::Connect,
    )
    .await;
    let server = authority.serve(&["127.0.0.1"], Clients::Any).await;
    let request = get(&server.url("https"));
    let error = fails(&transport, request, TransportErrorKind::Tls, Phase::Connect).await;
    assert!(
        chain(&error).contains("No CA certificates were loaded"),
        "{}",
        chain(&error)
    );
    // Added roots do without the platform's.
    let transport = direct().tls(authority.believed()).build().unwrap();
    let response = transport.send(get(&server.url("https"))).await.unwrap();
    assert_eq!(text(response).await.unwrap(), SMALL);
}

#[tokio::test]
async fn a_tls_stream_cut_without_a_farewell_is_closed_in_the_body() {
    let authority = Authority::new();
    let acceptor = authority.acceptor(&["127.0.0.1"], Clients::Any, &[b"http/1.1"]);
    let server = Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            read_head(&mut stream).await.unwrap();
            // Without a length the end of the stream is the end of the body: TLS must tell a
            // true end from a cut.
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
                .await
                .unwrap();
            stream.flush().await.unwrap();
            drop(stream.into_inner().0);
        }
    })
    .await;
    let transport = direct().tls(authority.believed()).build().unwrap();
    fails(
        &transport,
        get(&server.url("https")),
        TransportErrorKind::Closed,
        Phase::Body,
    )
    .await;
}

#[test]
fn settings_that_cannot_be_used_are_refused_at_once() {
    let settings = TlsSettings::default;
    assert!(matches!(
        settings().ca_pem(b""),
        Err(SettingsError::NoCertificate)
    ));
    let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        settings().ca_pem(broken),
        Err(SettingsError::Pem(_))
    ));
    let empty = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        settings().ca_pem(empty),
        Err(SettingsError::Root(_))
    ));
    let missing = settings().ca_file("/nonexistent/ca.pem").unwrap_err();
    assert_eq!(missing.to_string(), "/nonexistent/ca.pem cannot be read");
    assert!(matches!(
        settings().client_pem(broken, b""),
        Err(SettingsError::Pem(_))
    ));
}

/// What is spoken for small exchanges.
pub(crate) const SMALL: &str = if cfg!(feature = "http2") {
    "HTTP/2.0"
} else {
    "HTTP/1.1"
};

/// Which clients a server takes.
#[derive(Clone, Copy)]
pub(crate) enum Clients {
    Any,
    Known,
}

/// A certificate authority of one test.
pub(crate) struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Settings that believe this authority.
    pub(crate) fn believed(&self) -> TlsSettings {
        TlsSettings::default().ca_pem(self.pem.as_bytes()).unwrap()
    }

    /// Certificate and key, in PEM.
    fn issue(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }

    pub(crate) fn acceptor(
        &self,
        names: &[&str],
        clients: Clients,
        protocols: &[&[u8]],
    ) -> TlsAcceptor {
        use rustls::pki_types::pem::PemObject;
        let (certificate, key) = self.issue(names);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            Clients::Any => builder.with_no_client_auth(),
            Clients::Known => {
                let mut roots = RootCertStore::empty();
                roots.add(self.der.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A server that answers with the version it was asked in.
    pub(crate) async fn serve(&self, names: &[&str], clients: Clients) -> Server {
        let acceptor = self.acceptor(names, clients, &[b"h2", b"http/1.1"]);
        Server::start(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let io = TokioIo::new(stream);
                let service =
                    service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                        assert!(!request.headers().contains_key("proxy-authorization"));
                        let version = format!("{:?}", request.version());
                        Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::from(version))))
                    });
                // An error is the client going away.
                let _ = if is_http2 {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    server.serve_connection(io, service).await
                } else {
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await
                };
            }
        })
        .await
    }
}
