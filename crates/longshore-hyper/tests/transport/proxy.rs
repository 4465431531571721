//! Proxies: tunnels, absolute form, and where their credentials go.

use std::sync::{Arc, Mutex};

use longshore_hyper::{
    HyperTransport, HyperTransportBuilder, ProxyError, ProxyFault, ProxySettings, TlsSettings,
};
use longshore_origin::{AddressClass, AddressPolicy, AllowAddresses, Peer};
use longshore_transport::{
    Phase, Sensitivity, TlsIdentity, Transport, TransportError, TransportErrorKind,
};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::support::{OK, Server, chain, direct, fails, get, read_head, text};
use crate::tls::{Authority, Clients, SMALL};

/// `user:pass` in Basic.
const AUTHORIZATION: &str = "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n";

// CR10
#[tokio::test]
async fn cr10_a_tunnel_is_opened_with_credentials_that_go_no_further() {
    for opened in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 204 \r\nVia: x\r\n\r\n",
    ] {
        let authority = Authority::new();
        // Its service asserts that no proxy credentials arrive.
        let server = authority.serve(&[NAME], Clients::Any).await;
        let (proxy, heads) = tunnelling(opened).await;
        let transport = through(&proxy).tls(authority.believed()).build().unwrap();
        let response = transport.send(get(&named(&server, "https"))).await.unwrap();
        assert_eq!(
            response.extensions().get::<Peer>().copied(),
            Some(Peer::new(None, false))
        );
        assert_eq!(text(response).await.unwrap(), SMALL);
        let target = format!("{NAME}:{}", server.address.port());
        assert_eq!(
            *heads.lock().unwrap(),
            [format!(
                "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{AUTHORIZATION}\r\n"
            )]
        );
    }
}

// CR10
#[tokio::test]
async fn cr10_plain_http_is_asked_of_the_proxy_in_absolute_form() {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = heads.clone();
    let proxy = Server::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            while let Some(head) = read_head(&mut stream).await {
                seen.lock().unwrap().push(head);
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let transport = through(&proxy).build().unwrap();
    let response = transport
        .send(get("http://registry.example:5000/v2/"))
        .await
        .unwrap();
    assert_eq!(
        response.extensions().get::<Peer>().copied(),
        Some(Peer::new(None, false))
    );
    assert_eq!(text(response).await.unwrap(), "ok");
    assert_eq!(
        heads.lock().unwrap().first().unwrap().to_lowercase(),
        format!(
            "get http://registry.example:5000/v2/ http/1.1\r\n{AUTHORIZATION}\
             host: registry.example:5000\r\n\r\n"
        )
        .to_lowercase()
    );
}

// CR10
#[tokio::test]
async fn cr10_an_excepted_host_sees_no_proxy_credentials() {
    let server = Server::start(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", head.len());
        stream.write_all((answer + &head).as_bytes()).await.unwrap();
    })
    .await;
    let proxy = Server::answering(OK).await;
    let url = format!("http://user:pass@{}", proxy.address);
    let settings = ProxySettings::url(&url, "127.0.0.0/8").unwrap();
    let transport = HyperTransport::builder().proxy(settings).build().unwrap();
    let seen = text(transport.send(get(&server.url("http"))).await.unwrap())
        .await
        .unwrap();
    assert!(!seen.to_lowercase().contains("proxy"), "{seen}");
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_is_not_asked_again() {
    let answer = "HTTP/1.1 407 Proxy Authentication\x1b Required\r\nContent-Length: 0\r\n\r\n";
    let proxy = Server::answering(answer).await;
    let transport = through(&proxy).build().unwrap();
    let request = get("https://registry.example/v2/");
    let error = fails(
        &transport,
        request,
        TransportErrorKind::Proxy,
        Phase::Connect,
    )
    .await;
    assert_eq!(fault(&error), &ProxyFault::Credentials);
    let said = format!(
        "the proxy cannot be used (while connecting): \
         the proxy http://{} requires a valid user name and password",
        proxy.address
    );
    assert_eq!(chain(&error), said);
    let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let proxy = Server::answering(answer).await;
    let transport = through(&proxy).build().unwrap();
    let request = get("http://registry.example/v2/");
    fails(&transport, request, TransportErrorKind::Proxy, Phase::Head).await;
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_says_why() {
    let refused = |answer: &str, page| ProxyFault::Refused {
        answer: answer.into(),
        page,
    };
    for (answer, kind, expected) in [
        (
            "HTTP/1.1 403 For\x1bbidden\r\n\r\n".to_owned(),
            TransportErrorKind::Proxy,
            // OU1
            refused("403 For\\u{1b}bidden", false),
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\r\n<html>".to_owned(),
            TransportErrorKind::Proxy,
            refused("403 Forbidden", true),
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n".to_owned(),
            TransportErrorKind::Connect,
            ProxyFault::Target {
                answer: "502 Bad Gateway".into(),
            },
        ),
        (
            "HTTP/1.1 301 Moved\r\nLocation: x\r\n\r\n".to_owned(),
            TransportErrorKind::Proxy,
            refused("301 Moved", false),
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
            TransportErrorKind::Proxy,
            ProxyFault::NotAProxy,
        ),
        (
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000)),
            TransportErrorKind::Proxy,
            ProxyFault::NotAProxy,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(17),
            TransportErrorKind::Proxy,
            ProxyFault::NotAProxy,
        ),
    ] {
        let proxy = Server::answering(answer).await;
        let transport = through(&proxy).build().unwrap();
        let request = get("https://registry.example/v2/");
        let error = fails(&transport, request, kind, Phase::Connect).await;
        assert_eq!(fault(&error), &expected);
    }
    let proxy = Server::closing_after(b"HTTP/1.1 200").await;
    let transport = through(&proxy).build().unwrap();
    let request = get("https://registry.example/v2/");
    let kind = TransportErrorKind::Closed;
    let error = fails(&transport, request, kind, Phase::Connect).await;
    assert_eq!(fault(&error), &ProxyFault::Unreachable);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_the_one_to_blame() {
    let stranger = Authority::new().serve(&["127.0.0.1"], Clients::Any).await;
    for (url, kind, expected) in [
        (
            "http://127.0.0.1:1".to_owned(),
            TransportErrorKind::Connect,
            ProxyFault::Unreachable,
        ),
        (
            "socks5://127.0.0.1:1".to_owned(),
            TransportErrorKind::Connect,
            ProxyFault::Unreachable,
        ),
        (
            "http://user:hunter2@nosuch.invalid:1".to_owned(),
            TransportErrorKind::Resolve,
            ProxyFault::UnknownName,
        ),
        (
            format!("https://{}", stranger.address),
            TransportErrorKind::Proxy,
            ProxyFault::Tls,
        ),
    ] {
        for scheme in ["http", "https"] {
            let settings = ProxySettings::url(&url, "").unwrap();
            let transport = HyperTransport::builder().proxy(settings).build().unwrap();
            let request = get(&format!("{scheme}://registry.example/v2/"));
            let error = fails(&transport, request, kind, Phase::Connect).await;
            assert_eq!(fault(&error), &expected, "{url}");
            assert!(!chain(&error).contains("hunter2"), "{}", chain(&error));
        }
    }
}

// Over plain http the proxy answers requests itself.
#[tokio::test]
async fn a_proxys_own_error_is_not_taken_for_the_registrys() {
    for (answer, refused) in [
        ("403 Forbidden\r\nServer: tinyproxy/1.11.1", true),
        (
            "503 Service Unavailable\r\nX-Squid-Error: ERR_DNS_FAIL 0",
            true,
        ),
        (
            "502 Bad Gateway\r\nProxy-Status: corp; error=dns_error",
            true,
        ),
        ("407 Proxy Authentication Required", true),
        ("403 Forbidden", false),
        ("503 Service Unavailable\r\nServer: nginx", false),
        ("200 OK\r\nServer: squid/6", false),
    ] {
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        let proxy = Server::answering(answer.clone()).await;
        let transport = through(&proxy).build().unwrap();
        let sent = transport.send(get("http://registry.example/v2/")).await;
        match sent {
            Err(error) => {
                assert!(refused, "{answer}: {}", chain(&error));
                assert_eq!(error.phase(), Phase::Head);
                let _ = fault(&error);
            }
            Ok(_) => assert!(!refused, "{answer}"),
        }
    }
}

// CR4, CR10
#[tokio::test]
async fn cr10_the_tls_setting_of_a_registry_does_not_apply_to_its_proxy() {
    let proxy = Authority::new().serve(&["127.0.0.1"], Clients::Any).await;
    let settings = ProxySettings::url(&format!("https://{}", proxy.address), "").unwrap();
    let unverified = TlsIdentity::named("registry");
    let transport = HyperTransport::builder().proxy(settings);
    let transport = transport.tls_for(
        unverified.clone(),
        TlsSettings::default().insecure_skip_verify(),
    );
    let transport = transport.build().unwrap();
    let mut request = get("https://registry.example/v2/");
    request.extensions_mut().insert(unverified);
    let kind = TransportErrorKind::Proxy;
    let error = fails(&transport, request, kind, Phase::Connect).await;
    assert_eq!(fault(&error), &ProxyFault::Tls);
}

// RE3
#[tokio::test]
async fn re3_behind_a_proxy_a_literal_of_a_narrower_class_is_refused() {
    let proxy = Server::answering(OK).await;
    let transport = through(&proxy).build().unwrap();
    let allow = AllowAddresses::default();
    let policy = AddressPolicy::AtLeast {
        class: AddressClass::Public,
        allow,
    };
    for url in [
        "https://10.0.0.1/",
        "http://10.0.0.1/",
        "https://169.254.169.254/",
    ] {
        let mut request = get(url);
        request.extensions_mut().insert(policy.clone());
        fails(
            &transport,
            request,
            TransportErrorKind::AddressRefused,
            Phase::Connect,
        )
        .await;
    }
    assert_eq!(proxy.connections(), 0);
}

// RT12: secrets for this machine, which may be sent in plain text (CR4), do not leave it.
#[tokio::test]
async fn rt12_a_request_for_this_machine_goes_to_it_and_not_to_a_proxy() {
    let server = Server::answering(OK).await;
    let proxy = Server::answering(OK).await;
    let transport = through(&proxy).build().unwrap();
    for host in ["127.0.0.1", "localhost", "a.localhost"] {
        let url = format!("http://{host}:{}/v2/", server.address.port());
        let mut request = get(&url);
        request.extensions_mut().insert(Sensitivity::Secret);
        let response = transport.send(request).await.unwrap();
        assert_eq!(text(response).await.unwrap(), "ok");
    }
    assert_eq!((server.connections(), proxy.connections()), (3, 0));
}

// RT12: plain text behind a proxy may be the proxy's own, so it is no reason to fall back to plain
// http.
#[tokio::test]
async fn rt12_plain_text_behind_a_proxy_is_not_reported_as_not_tls() {
    let plain = Server::closing_after_some(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let (proxy, _) = tunnelling("HTTP/1.1 200 OK\r\n\r\n").await;
    let transport = through(&proxy).build().unwrap();
    let request = get(&named(&plain, "https"));
    let error = fails(&transport, request, TransportErrorKind::Tls, Phase::Connect).await;
    assert!(
        chain(&error).contains("the peer does not speak TLS"),
        "{}",
        chain(&error)
    );
    assert_eq!(error.tls(), None);
    // The proxy itself should speak TLS, and does not.
    let settings = ProxySettings::url(&plain.url("https"), "").unwrap();
    let transport = HyperTransport::builder().proxy(settings).build().unwrap();
    let request = get("https://registry.test/");
    let kind = TransportErrorKind::Proxy;
    let error = fails(&transport, request, kind, Phase::Connect).await;
    assert_eq!(fault(&error), &ProxyFault::Tls);
}

#[tokio::test]
async fn a_proxy_may_itself_speak_tls() {
    let authority = Authority::new();
    let server = authority.serve(&[NAME], Clients::Any).await;
    let acceptor = authority.acceptor(&["127.0.0.1"], Clients::Any, &[b"http/1.1"]);
    let proxy = Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let head = read_head(&mut stream).await.unwrap();
            let mut onward = onward(&head).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await;
    let settings = ProxySettings::url(&proxy.url("https"), "").unwrap();
    let builder = HyperTransport::builder().proxy(settings);
    let transport = builder.tls(authority.believed()).build().unwrap();
    let response = transport.send(get(&named(&server, "https"))).await.unwrap();
    assert_eq!(text(response).await.unwrap(), SMALL);
}

/// A name of this machine that only the proxies of these tests can resolve.
const NAME: &str = "registry.test";

/// The URL of a server under that name.
fn named(server: &Server, scheme: &str) -> String {
    format!("{scheme}://{NAME}:{}/v2/", server.address.port())
}

/// Connects to what the head of a CONNECT asks for.
async fn onward(head: &str) -> TcpStream {
    let target = head.split(' ').nth(1).unwrap();
    let port = target
        .strip_prefix(NAME)
        .unwrap()
        .strip_prefix(':')
        .unwrap();
    let address = ("127.0.0.1", port.parse().unwrap());
    TcpStream::connect(address).await.unwrap()
}

fn fault(error: &TransportError) -> &ProxyFault {
    let source = std::error::Error::source(error).unwrap();
    source.downcast_ref::<ProxyError>().unwrap().fault()
}

fn through(proxy: &Server) -> HyperTransportBuilder {
    let url = format!("http://user:pass@{}", proxy.address);
    direct().proxy(ProxySettings::url(&url, "").unwrap())
}

/// A proxy that opens every tunnel with these words, and what it was asked.
async fn tunnelling(opened: &'static str) -> (Server, Arc<Mutex<Vec<String>>>) {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = heads.clone();
    let proxy = Server::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            let head = read_head(&mut stream).await.unwrap();
            let mut onward = onward(&head).await;
            seen.lock().unwrap().push(head);
            stream.write_all(opened.as_bytes()).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await;
    (proxy, heads)
}
