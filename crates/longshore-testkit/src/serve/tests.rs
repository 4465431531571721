//! HTTP/2 and TLS, with clients that share nothing with the server but their libraries.

use std::sync::Arc;

use http_body_util::Empty;
use hyper::client::conn::http2;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use http_body_util::BodyExt as _;

use super::*;
use crate::Gate;
use crate::certificate::{Authority, Identity};
use crate::recorder::Recorder;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// One request over HTTP/2; the body, or that it broke off.
async fn fetch<S>(stream: S, uri: &str) -> Result<usize, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(uri)
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let body = sender.send_request(request).await?.into_body();
    Ok(body.collect().await?.to_bytes().len())
}

fn connector(authority: &Authority) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    let pem = authority.pem();
    let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

#[test]
fn http2_is_understood_in_the_clear_and_can_be_cut() {
    for (answer, expected) in [
        (
            ScriptedResponse::status(StatusCode::OK).body(vec![0; 200_000]),
            Some(200_000),
        ),
        (
            ScriptedResponse::status(StatusCode::OK)
                .body(vec![0; 200_000])
                .cut_after(10),
            None,
        ),
        (ScriptedResponse::hang_up(), None),
    ] {
        let recorder = Recorder::start(Listen::loopback(), move |_| answer.clone()).unwrap();
        let found = block_on(async {
            let stream = TcpStream::connect(recorder.address()).await.unwrap();
            fetch(stream, &recorder.url()).await
        });
        assert_eq!(found.ok(), expected);
        assert_eq!(recorder.requests().all()[0].version, http::Version::HTTP_2);
    }
}

#[test]
fn tls_offers_http2_unless_told_otherwise() {
    let authority = Authority::new();
    let identity = authority.server(&["127.0.0.1"]);
    for (listen, expected) in [
        (Listen::loopback().tls(identity.clone()), &b"h2"[..]),
        (Listen::loopback().tls(identity).http1_only(), b"http/1.1"),
    ] {
        let recorder =
            Recorder::start(listen, |_| ScriptedResponse::status(StatusCode::OK)).unwrap();
        block_on(async {
            let stream = TcpStream::connect(recorder.address()).await.unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let stream = connector(&authority).connect(name, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(expected));
            if expected == b"h2" {
                assert_eq!(fetch(stream, &recorder.url()).await.unwrap(), 0);
            }
        });
    }
}

#[test]
fn certificates_are_as_wrong_as_asked() {
    let authority = Authority::new();
    for (identity, trusted) in [
        (authority.server(&["127.0.0.1", "localhost"]), true),
        (authority.server(&["elsewhere.example"]), false),
        (authority.expired(&["127.0.0.1"]), false),
        (Identity::self_signed(&["127.0.0.1"]), false),
        (Authority::new().server(&["127.0.0.1"]), false),
    ] {
        let recorder = Recorder::start(Listen::loopback().tls(identity), |_| {
            ScriptedResponse::status(StatusCode::OK)
        })
        .unwrap();
        let connected = block_on(async {
            let stream = TcpStream::connect(recorder.address()).await.unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            connector(&authority).connect(name, stream).await.is_ok()
        });
        assert_eq!(connected, trusted);
    }
}

#[test]
fn a_dropped_server_does_not_wait_for_what_it_holds() {
    let gate = Gate::new();
    let recorder = Recorder::start(Listen::loopback(), move |_| {
        ScriptedResponse::status(StatusCode::OK).hold(gate.clone())
    })
    .unwrap();
    let failed = block_on(async {
        let stream = TcpStream::connect(recorder.address()).await.unwrap();
        let url = recorder.url();
        let fetching = tokio::spawn(async move { fetch(stream, &url).await });
        while recorder.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(recorder);
        fetching.await.unwrap()
    });
    assert!(failed.is_err());
}
