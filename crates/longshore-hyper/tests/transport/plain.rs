//! HTTP/1.1 without TLS: what is sent, what is reported, how it fails.

use std::time::Duration;

use longshore_hyper::TokioClock;
use longshore_origin::{AddressClass, AddressPolicy, AllowAddresses, Peer};
use longshore_transport::{Body, Clock, Phase, Transport, TransportErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{OK, Server, chain, direct, fails, get, read_head, text};

#[tokio::test]
async fn a_request_is_sent_as_it_is_and_its_answer_given_back() {
    let server = Server::start(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        let answer = format!(
            "HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n",
            head.len()
        );
        stream.write_all((answer + &head).as_bytes()).await.unwrap();
    })
    .await;
    let transport = direct().build().unwrap();
    let mut request = get(&format!("http://{}/v2/a?x=%2F+y", server.address));
    request.headers_mut().insert("x-own", "1".parse().unwrap());
    let response = transport.send(request).await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(
        text(response).await.unwrap(),
        format!(
            "GET /v2/a?x=%2F+y HTTP/1.1\r\nx-own: 1\r\nhost: {}\r\n\r\n",
            server.address
        )
    );
}

#[tokio::test]
async fn a_response_says_whose_it_is_and_whether_the_connection_was_reused() {
    let server = Server::answering(OK).await;
    let transport = direct().build().unwrap();
    for reused in [false, true, true] {
        let response = transport.send(get(&server.url("http"))).await.unwrap();
        let peer = response.extensions().get::<Peer>().copied();
        assert_eq!(peer, Some(Peer::new(Some(AddressClass::Loopback), reused)));
        assert_eq!(text(response).await.unwrap(), "ok");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn connections_are_not_shared_between_address_policies() {
    let server = Server::answering(OK).await;
    let transport = direct().build().unwrap();
    for policy in [AddressPolicy::Any, at_least(AddressClass::Loopback)] {
        for _ in 0..2 {
            let mut request = get(&server.url("http"));
            request.extensions_mut().insert(policy.clone());
            text(transport.send(request).await.unwrap()).await.unwrap();
        }
    }
    assert_eq!(server.connections(), 2);
}

// RE3, RD2
#[tokio::test]
async fn re3_an_address_of_a_narrower_class_is_not_connected_to() {
    let server = Server::answering(OK).await;
    let transport = direct().build().unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let mut request = get(&format!("http://{host}:{}/", server.address.port()));
        request
            .extensions_mut()
            .insert(at_least(AddressClass::Private));
        let error = fails(
            &transport,
            request,
            TransportErrorKind::AddressRefused,
            Phase::Connect,
        )
        .await;
        assert!(
            chain(&error).contains("is a loopback address"),
            "{}",
            chain(&error)
        );
    }
    assert_eq!(server.connections(), 0);
}

// CR12
#[tokio::test]
async fn cr12_user_information_is_refused() {
    let server = Server::answering(OK).await;
    let transport = direct().build().unwrap();
    let request = get(&format!("http://user:hunter2@{}/", server.address));
    let error = fails(
        &transport,
        request,
        TransportErrorKind::Other,
        Phase::Connect,
    )
    .await;
    assert!(!chain(&error).contains("hunter2"), "{}", chain(&error));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_refused_connection_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let transport = direct().build().unwrap();
    let request = get(&format!("http://{address}/"));
    fails(
        &transport,
        request,
        TransportErrorKind::Connect,
        Phase::Connect,
    )
    .await;
}

#[tokio::test]
async fn an_unknown_name_is_not_resolved() {
    // RFC 6761 §6.4: this name never exists.
    let transport = direct().build().unwrap();
    let request = get(&format!("http://{}.invalid/", "a".repeat(63)));
    fails(
        &transport,
        request,
        TransportErrorKind::Resolve,
        Phase::Connect,
    )
    .await;
}

#[tokio::test]
async fn a_connection_closed_before_the_head_is_closed_in_that_phase() {
    let server = Server::closing_after(b"").await;
    let transport = direct().build().unwrap();
    let error = fails(
        &transport,
        get(&server.url("http")),
        TransportErrorKind::Closed,
        Phase::Head,
    )
    .await;
    assert!(!error.is_reused());
    let server = Server::closing_after(b"HTTP/1.1 200 OK\r\nContent-").await;
    fails(
        &transport,
        get(&server.url("http")),
        TransportErrorKind::Closed,
        Phase::Head,
    )
    .await;
}

#[tokio::test]
async fn a_reset_before_the_head_is_closed_in_that_phase() {
    let server = Server::start(|mut stream| async move {
        read_head(&mut stream).await;
        // Closing without lingering resets.
        stream.set_zero_linger().unwrap();
    })
    .await;
    let transport = direct().build().unwrap();
    fails(
        &transport,
        get(&server.url("http")),
        TransportErrorKind::Closed,
        Phase::Head,
    )
    .await;
}

// RT5
#[tokio::test]
async fn rt5_a_reused_connection_that_dies_is_said_to_be_reused() {
    let server = Server::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let transport = direct().build().unwrap();
    text(transport.send(get(&server.url("http"))).await.unwrap())
        .await
        .unwrap();
    let error = fails(
        &transport,
        get(&server.url("http")),
        TransportErrorKind::Closed,
        Phase::Head,
    )
    .await;
    assert!(error.is_reused());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_closed_in_the_body() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ] {
        let server = Server::closing_after(answer).await;
        let transport = direct().build().unwrap();
        fails(
            &transport,
            get(&server.url("http")),
            TransportErrorKind::Closed,
            Phase::Body,
        )
        .await;
    }
}

#[tokio::test]
async fn broken_framing_is_a_protocol_error() {
    let transport = direct().build().unwrap();
    for (answer, phase) in [
        (&b"SSH-2.0-OpenSSH_9.6\r\n"[..], Phase::Head),
        (b"HTTP/1.1 abc OK\r\n\r\n", Phase::Head),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Phase::Head),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            Phase::Head,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            Phase::Body,
        ),
    ] {
        let server = Server::closing_after(answer).await;
        fails(
            &transport,
            get(&server.url("http")),
            TransportErrorKind::Protocol,
            phase,
        )
        .await;
    }
}

// LI
#[tokio::test]
async fn li_a_head_has_at_most_128_fields_and_64_kib() {
    let fields = |count: usize| "a: b\r\n".repeat(count);
    let bytes = |count: usize| format!("a: {}\r\n", "b".repeat(count));
    // The fixed field of 17 bytes in length, and `name: value` with four bytes around.
    let fixed = "content-length".len() + "0".len() + 4;
    let room = 64 * 1024 - fixed - "a".len() - 4;
    for (extra, passes) in [
        (fields(127), true),
        (fields(128), false),
        (bytes(room), true),
        (bytes(room + 1), false),
        (bytes(600 * 1024), false),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{extra}\r\n");
        let server = Server::answering(answer).await;
        let transport = direct().build().unwrap();
        let request = get(&server.url("http"));
        if passes {
            assert_eq!(
                text(transport.send(request).await.unwrap()).await.unwrap(),
                ""
            );
        } else {
            fails(
                &transport,
                request,
                TransportErrorKind::HeaderLimit,
                Phase::Head,
            )
            .await;
        }
    }
}

// LI
#[tokio::test]
async fn li_sixteen_interim_responses_are_read_and_no_more() {
    let interim = |count: usize| "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(count) + OK;
    let transport = direct().build().unwrap();
    let server = Server::answering(interim(16)).await;
    let response = transport.send(get(&server.url("http"))).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "ok");
    let server = Server::answering(interim(17)).await;
    fails(
        &transport,
        get(&server.url("http")),
        TransportErrorKind::HeaderLimit,
        Phase::Head,
    )
    .await;
}

// LI: a flood ends when it is refused and when its request is dropped.
#[tokio::test]
async fn li_a_flood_of_interim_responses_ends_with_its_request() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(8);
    let few = interim.len() + 1;
    for size in [interim.len() * 100, few] {
        let flood = interim.as_bytes().repeat(100);
        let flood = flood.get(..size).unwrap().to_vec();
        let (ended, mut has_ended) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::start(move |mut stream| {
            let (flood, ended) = (flood.clone(), ended.clone());
            async move {
                read_head(&mut stream).await;
                if flood.len() == few {
                    // Half of an interim response more, and then nothing.
                    stream.write_all(&flood).await.unwrap();
                    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
                } else {
                    while stream.write_all(&flood).await.is_ok() {}
                }
                ended.send(()).unwrap();
            }
        })
        .await;
        let transport = direct().build().unwrap();
        let request = transport.send(get(&server.url("http")));
        if size == few {
            let dropped = tokio::time::timeout(Duration::from_millis(50), request).await;
            assert!(dropped.is_err(), "there is no response yet");
        } else {
            let error = request.await.unwrap_err();
            assert_eq!(error.kind(), TransportErrorKind::HeaderLimit);
        }
        has_ended.recv().await.unwrap();
    }
}

// DG6: coded bodies reach the client as they are, which refuses or verifies them.
#[tokio::test]
async fn redirects_are_not_followed_and_bodies_not_decoded() {
    let server = Server::answering(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n\
         Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\ngzip",
    )
    .await;
    let transport = direct().build().unwrap();
    let response = transport.send(get(&server.url("http"))).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(text(response).await.unwrap(), "gzip");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_error_of_our_own_body_keeps_its_kind() {
    struct Failing;
    impl http_body::Body for Failing {
        type Data = bytes::Bytes;
        type Error = longshore_transport::TransportError;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            let error = Self::Error::new(TransportErrorKind::Canceled, Phase::Body);
            std::task::Poll::Ready(Some(Err(error)))
        }
    }
    let server = Server::answering(OK).await;
    let transport = direct().build().unwrap();
    let url = server.url("http");
    let request = http::Request::post(url).body(Body::wrap(Failing)).unwrap();
    fails(
        &transport,
        request,
        TransportErrorKind::Canceled,
        Phase::Head,
    )
    .await;
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let body = "0123456789abcdef".repeat(512 * 1024);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let server = Server::answering(answer).await;
    let transport = direct().build().unwrap();
    let response = transport.send(get(&server.url("http"))).await.unwrap();
    assert!(text(response).await.unwrap() == body);
}

#[tokio::test(start_paused = true)]
async fn the_clock_counts_from_its_start() {
    let clock = TokioClock::new();
    assert_eq!(clock.now(), Duration::ZERO);
    clock.sleep(Duration::from_secs(5)).await;
    clock.alarm(Duration::from_secs(2)).await;
    assert_eq!(clock.now().as_secs(), 7);
}

fn at_least(class: AddressClass) -> AddressPolicy {
    AddressPolicy::AtLeast {
        class,
        allow: AllowAddresses::default(),
    }
}
