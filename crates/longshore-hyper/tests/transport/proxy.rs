//! Proxies: tunnels, absolute form, and where their credentials go.

use std::sync::{Arc, Mutex};

use longshore_hyper::{HyperTransport, HyperTransportBuilder, ProxyRefused, ProxySettings};
use longshore_origin::{AddressClass, AddressPolicy, AllowAddresses, Peer};
use longshore_transport::{Body, Phase, Sensitivity, Transport, TransportErrorKind};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
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
        let server = authority.serve(&["127.0.0.1"], Clients::Any).await;
        let (proxy, heads) = tunnelling(opened).await;
        let transport = through(&proxy).tls(authority.believed()).build().unwrap();
        let response = transport.send(get(&server.url("https"))).await.unwrap();
        assert_eq!(
            response.extensions().get::<Peer>().copied(),
            Some(Peer::new(None, false))
        );
        assert_eq!(text(response).await.unwrap(), SMALL);
        let target = server.address;
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
    let refused = std::error::Error::source(&error)
        .unwrap()
        .downcast_ref::<ProxyRefused>();
    assert_eq!(refused.unwrap().status, 407);
    // OU1
    assert_eq!(
        chain(&error),
        "the proxy refused (while connecting): \
         the proxy answered 407 Proxy Authentication\\u{1b} Required"
    );
    let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let proxy = Server::answering(answer).await;
    let transport = through(&proxy).build().unwrap();
    let request = get("http://registry.example/v2/");
    fails(&transport, request, TransportErrorKind::Proxy, Phase::Head).await;
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_says_why() {
    for (answer, kind) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n".to_owned(),
            TransportErrorKind::Proxy,
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n".to_owned(),
            TransportErrorKind::Connect,
        ),
        (
            "HTTP/1.1 301 Moved\r\nLocation: x\r\n\r\n".to_owned(),
            TransportErrorKind::Proxy,
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
            TransportErrorKind::Proxy,
        ),
        (
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000)),
            TransportErrorKind::Proxy,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(17),
            TransportErrorKind::Proxy,
        ),
    ] {
        let proxy = Server::answering(answer).await;
        let transport = through(&proxy).build().unwrap();
        let request = get("https://registry.example/v2/");
        fails(&transport, request, kind, Phase::Connect).await;
    }
    let proxy = Server::closing_after(b"HTTP/1.1 200").await;
    let transport = through(&proxy).build().unwrap();
    let request = get("https://registry.example/v2/");
    fails(
        &transport,
        request,
        TransportErrorKind::Closed,
        Phase::Connect,
    )
    .await;
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
        "http://localhost/",
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

// CR4: a secret may go to this machine in the clear, but not by way of a proxy.
#[tokio::test]
async fn cr4_a_secret_for_this_machine_does_not_pass_a_proxy() {
    let proxy = Server::answering(OK).await;
    let transport = through(&proxy).build().unwrap();
    for url in ["http://127.0.0.1:5000/v2/", "http://a.localhost:5000/v2/"] {
        // A request without a sensitivity counts as secret, whatever its method.
        for wish in [None, Some(Sensitivity::Secret)] {
            let mut request = get(url);
            request.extensions_mut().remove::<Sensitivity>();
            wish.map(|wish| request.extensions_mut().insert(wish));
            let kind = TransportErrorKind::Proxy;
            let error = fails(&transport, request, kind, Phase::Connect).await;
            assert!(chain(&error).contains("NO_PROXY"), "{}", chain(&error));
        }
        let mut request = get(url);
        let headers = request.headers_mut();
        headers.insert("authorization", "Basic eA==".parse().unwrap());
        let kind = TransportErrorKind::Proxy;
        fails(&transport, request, kind, Phase::Connect).await;
    }
    assert_eq!(proxy.connections(), 0);
    let mut request = http::Request::post("http://127.0.0.1:5000/v2/");
    request.extensions_mut().unwrap().insert(Sensitivity::Plain);
    let request = request.body(Body::empty()).unwrap();
    let response = transport.send(request).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "ok");
}

// Plain text behind a proxy may be the proxy's own, so it is no reason to fall back to plain http.
#[tokio::test]
async fn a_peer_behind_a_proxy_is_never_said_not_to_speak_tls() {
    let plain = Server::closing_after_some(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let (proxy, _) = tunnelling("HTTP/1.1 200 OK\r\n\r\n").await;
    let transport = through(&proxy).build().unwrap();
    let request = get(&plain.url("https"));
    let error = fails(&transport, request, TransportErrorKind::Tls, Phase::Connect).await;
    assert!(
        chain(&error).contains("the peer does not speak TLS"),
        "{}",
        chain(&error)
    );
    // The proxy itself should speak TLS, and does not.
    let settings = ProxySettings::url(&plain.url("https"), "").unwrap();
    let transport = HyperTransport::builder().proxy(settings).build().unwrap();
    let request = get("https://127.0.0.1:1/");
    let kind = TransportErrorKind::Proxy;
    fails(&transport, request, kind, Phase::Connect).await;
}

#[tokio::test]
async fn a_proxy_may_itself_speak_tls() {
    let authority = Authority::new();
    let server = authority.serve(&["127.0.0.1"], Clients::Any).await;
    let acceptor = authority.acceptor(&["127.0.0.1"], Clients::Any, &[b"http/1.1"]);
    let proxy = Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let head = read_head(&mut stream).await.unwrap();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut onward = TcpStream::connect(target).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await;
    let settings = ProxySettings::url(&proxy.url("https"), "").unwrap();
    let builder = HyperTransport::builder().proxy(settings);
    let transport = builder.tls(authority.believed()).build().unwrap();
    let response = transport.send(get(&server.url("https"))).await.unwrap();
    assert_eq!(text(response).await.unwrap(), SMALL);
}

#[tokio::test]
async fn tinyproxy_carries_both_kinds() {
    let directory = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = directory.path().join("tinyproxy.conf");
    let text_of_config = format!("Port {port}\nListen 127.0.0.1\nBasicAuth user pass\n");
    std::fs::write(&config, text_of_config).unwrap();
    let tinyproxy = tokio::process::Command::new("tinyproxy")
        .args(["-d", "-c"])
        .arg(&config)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut tinyproxy = match tinyproxy {
        Ok(tinyproxy) => tinyproxy,
        Err(error) => return eprintln!("SKIPPED: tinyproxy cannot be started: {error}"),
    };
    let mut log = BufReader::new(tinyproxy.stdout.take().unwrap()).lines();
    while let Some(line) = log.next_line().await.unwrap() {
        if line.contains("Accepting connections") {
            break;
        }
    }
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });

    let authority = Authority::new();
    let secure = authority.serve(&["127.0.0.1"], Clients::Any).await;
    let plain = Server::answering(OK).await;
    let settings = ProxySettings::url(&format!("http://user:pass@127.0.0.1:{port}"), "").unwrap();
    let builder = HyperTransport::builder().proxy(settings);
    let transport = builder.tls(authority.believed()).build().unwrap();
    let response = transport.send(get(&secure.url("https"))).await.unwrap();
    assert_eq!(text(response).await.unwrap(), SMALL);
    let response = transport.send(get(&plain.url("http"))).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "ok");

    let stranger = ProxySettings::url(&format!("http://127.0.0.1:{port}"), "").unwrap();
    let transport = HyperTransport::builder().proxy(stranger).build().unwrap();
    fails(
        &transport,
        get(&secure.url("https")),
        TransportErrorKind::Proxy,
        Phase::Connect,
    )
    .await;
    fails(
        &transport,
        get(&plain.url("http")),
        TransportErrorKind::Proxy,
        Phase::Head,
    )
    .await;
    tinyproxy.kill().await.unwrap();
}

#[test]
fn the_environment_names_the_proxy() {
    const PROXY: &str = "http://user:pass@p:3128";
    for (variables, expected) in [
        (
            &[("HTTPS_PROXY", PROXY)][..],
            "Matcher { https: Intercept { uri: http://p:3128/ } }",
        ),
        (
            &[("https_proxy", "p:3128")],
            "Matcher { https: Intercept { uri: http://p:3128/ } }",
        ),
        (
            &[("HTTP_PROXY", PROXY)],
            "Matcher { http: Intercept { uri: http://p:3128/ } }",
        ),
        (
            &[("HTTP_PROXY", PROXY), ("REQUEST_METHOD", "GET")],
            "Matcher",
        ),
        (
            &[("HTTPS_PROXY", "http://user:pass@")],
            "the environment variable HTTPS_PROXY does",
        ),
        (&[("HTTPS_PROXY", "")], "Matcher"),
        (&[], "Matcher"),
    ] {
        // Changing our own environment would race with the other tests.
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "proxy::print_the_proxy_of_the_environment",
            "--nocapture",
            "--ignored",
        ]);
        for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
            child.env_remove(name).env_remove(name.to_lowercase());
        }
        let output = child.envs(variables.iter().copied()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains(expected), "{variables:?}: {printed}");
        assert!(
            !printed.contains("hunter2") && !printed.contains("pass@"),
            "{printed}"
        );
    }
}

#[test]
#[ignore = "run by the_environment_names_the_proxy, with an environment of its own"]
fn print_the_proxy_of_the_environment() {
    match ProxySettings::from_env() {
        Err(error) => println!("\nsettings: {error}"),
        Ok(settings) => println!("\nsettings: {settings:?}"),
    }
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
            let target = head.split(' ').nth(1).unwrap().to_owned();
            seen.lock().unwrap().push(head);
            let mut onward = TcpStream::connect(target).await.unwrap();
            stream.write_all(opened.as_bytes()).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await;
    (proxy, heads)
}
