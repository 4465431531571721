//! SOCKS 5 (RFC 1928, RFC 1929): the requests to the proxy, and its possible answers.

use std::sync::{Arc, Mutex};

use longshore_hyper::{HyperTransport, ProxyError, ProxyFault, ProxySettings};
use longshore_origin::Peer;
use longshore_transport::{Phase, Transport, TransportErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{OK, Server, fails, get, read_head, text};

/// Accepts no login.
const GREETED: &[u8] = &[5, 0];

/// A reply with this code and an IPv4 address.
const fn reply(code: u8) -> [u8; 10] {
    [5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// Starts a proxy that answers each request with these replies and then acts as the server. Returns
/// the proxy and the bytes that it received.
async fn proxy(replies: &[&[u8]]) -> (Server, Arc<Mutex<Vec<Vec<u8>>>>) {
    let replies: Vec<Vec<u8>> = replies.iter().map(|reply| reply.to_vec()).collect();
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let asked = seen.clone();
    let server = Server::start(move |mut stream| {
        let (asked, replies) = (asked.clone(), replies.clone());
        async move {
            for answer in replies {
                let mut message = vec![0; 512];
                let length = stream.read(&mut message).await.unwrap_or_default();
                message.truncate(length);
                asked.lock().unwrap().push(message);
                let _ = stream.write_all(&answer).await;
            }
            if read_head(&mut stream).await.is_some() {
                let _ = stream.write_all(OK.as_bytes()).await;
            }
        }
    })
    .await;
    (server, seen)
}

fn through(url: &str) -> HyperTransport {
    let settings = ProxySettings::url(url, "").unwrap();
    HyperTransport::builder().proxy(settings).build().unwrap()
}

// CR10
#[tokio::test]
async fn cr10_a_name_and_a_login_are_for_the_proxy_alone() {
    let (server, seen) = proxy(&[&[5, 2], &[1, 0], &reply(0)]).await;
    let transport = through(&format!("socks5h://us%40er:pass@{}", server.address));
    let request = get("http://registry.test:5000/v2/");
    let response = transport.send(request).await.unwrap();
    let peer = response.extensions().get::<Peer>().copied();
    assert_eq!(peer, Some(Peer::new(None, false)));
    assert_eq!(text(response).await.unwrap(), "ok");
    assert_eq!(
        *seen.lock().unwrap(),
        [
            vec![5, 2, 0, 2],
            b"\x01\x05us@er\x04pass".to_vec(),
            b"\x05\x01\x00\x03\x0dregistry.test\x13\x88".to_vec(),
        ]
    );
}

#[tokio::test]
async fn an_ip_address_is_sent_as_an_address_and_not_as_a_name() {
    for (scheme, host, expected) in [
        (
            "socks5",
            "192.0.2.9",
            &[5, 1, 0, 1, 192, 0, 2, 9, 0, 80][..],
        ),
        ("socks5h", "192.0.2.9", &[5, 1, 0, 1, 192, 0, 2, 9, 0, 80]),
        (
            "socks5h",
            "[2001:db8::9]",
            &[
                5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 80,
            ],
        ),
    ] {
        let (server, seen) = proxy(&[GREETED, &reply(0)]).await;
        let transport = through(&format!("{scheme}://{}", server.address));
        let request = get(&format!("http://{host}/v2/"));
        assert_eq!(
            text(transport.send(request).await.unwrap()).await.unwrap(),
            "ok"
        );
        assert_eq!(seen.lock().unwrap().last().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_connect_says_why() {
    let target = |answer: &str| ProxyFault::Target {
        answer: answer.into(),
    };
    let (refused, connect) = (TransportErrorKind::Proxy, TransportErrorKind::Connect);
    for (replies, kind, expected) in [
        (&[&[5, 0xff][..]][..], refused, ProxyFault::Credentials),
        (&[&[5, 2]], refused, ProxyFault::Credentials),
        (
            &[GREETED, &reply(1)],
            connect,
            target("general socks server failure"),
        ),
        (
            &[GREETED, &reply(2)],
            refused,
            ProxyFault::Refused {
                answer: "connection not allowed by ruleset".into(),
                page: false,
            },
        ),
        (&[GREETED, &reply(5)], connect, target("connection refused")),
        (
            &[GREETED, &reply(8)],
            connect,
            target("address type not supported"),
        ),
        (&[GREETED, &reply(99)], refused, ProxyFault::NotAProxy),
        (
            &[GREETED, &[5, 0, 0, 77, 0, 0, 0, 0, 0, 0]],
            refused,
            ProxyFault::NotAProxy,
        ),
        (
            &[GREETED, &[5, 0, 0, 3, 1, 0xff, 0, 0]],
            refused,
            ProxyFault::NotAProxy,
        ),
        (
            &[b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            refused,
            ProxyFault::NotAProxy,
        ),
        (&[&[4, 90]], refused, ProxyFault::NotAProxy),
    ] {
        let (server, _) = proxy(replies).await;
        let transport = through(&format!("socks5h://{}", server.address));
        let request = get("https://registry.test/v2/");
        let error = fails(&transport, request, kind, Phase::Connect).await;
        let source = std::error::Error::source(&error).unwrap();
        let found = source.downcast_ref::<ProxyError>().unwrap();
        assert_eq!(found.fault(), &expected, "{replies:?}");
        assert_eq!(found.proxy(), format!("socks5h://{}", server.address));
    }
}
