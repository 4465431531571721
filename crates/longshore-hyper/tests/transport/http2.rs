//! HTTP/2: what a head may be, frame by frame.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use longshore_hyper::HyperTransport;
use longshore_transport::{Phase, Transport, TransportErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Server, chain, direct, fails, get, text};
use crate::tls::{Authority, Clients};

/// A server that sends so many interim responses before each answer, which has these fields.
async fn serve(authority: &Authority, interim: usize, fields: HeaderMap) -> Server {
    let acceptor = authority.acceptor(&["127.0.0.1"], Clients::Any, &[b"h2"]);
    Server::start(move |stream| {
        let (acceptor, fields) = (acceptor.clone(), fields.clone());
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            // An error is the client going away.
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                for _ in 0..interim {
                    let hints = Response::builder().status(StatusCode::EARLY_HINTS);
                    let hints = hints.header("link", "</>; rel=preload").body(()).unwrap();
                    let _ = respond.send_informational(hints);
                }
                let mut response = Response::new(());
                *response.headers_mut() = fields.clone();
                if let Ok(mut body) = respond.send_response(response, false) {
                    let _ = body.send_data(Bytes::from("ok"), true);
                }
            }
        }
    })
    .await
}

/// So many fields with values of so many bytes.
fn fields(count: usize, length: usize) -> HeaderMap {
    let value = HeaderValue::try_from("x".repeat(length)).unwrap();
    let name = |number: usize| HeaderName::try_from(format!("x{number}")).unwrap();
    (0..count)
        .map(|number| (name(number), value.clone()))
        .collect()
}

fn transport(authority: &Authority) -> HyperTransport {
    direct().tls(authority.believed()).build().unwrap()
}

// LI: what is over 64 KiB h2 itself refuses, counting 32 bytes more for each field (RFC 9113
// §6.5.2), and says no more of it than that the protocol was broken. The count is ours.
#[tokio::test]
async fn li_a_head_has_at_most_128_fields_and_64_kib() {
    let authority = Authority::new();
    for (count, length, refused) in [
        (128, 1, None),
        (129, 1, Some(TransportErrorKind::HeaderLimit)),
        (1000, 1, Some(TransportErrorKind::HeaderLimit)),
        (100, 500, None),
        (1, 65_000, None),
        (1, 64 * 1024, Some(TransportErrorKind::Protocol)),
        (120, 600, Some(TransportErrorKind::Protocol)),
        (5000, 1, Some(TransportErrorKind::Protocol)),
        // A flood of continuation frames ends the connection.
        (1, 1024 * 1024, Some(TransportErrorKind::Closed)),
    ] {
        let server = serve(&authority, 0, fields(count, length)).await;
        let transport = transport(&authority);
        let request = get(&server.url("https"));
        match refused {
            Some(kind) => drop(fails(&transport, request, kind, Phase::Head).await),
            None => {
                let response = transport.send(request).await.unwrap();
                assert_eq!(text(response).await.unwrap(), "ok");
            }
        }
    }
}

// LI
#[tokio::test]
async fn li_sixteen_interim_responses_are_read_and_no_more() {
    let authority = Authority::new();
    let server = serve(&authority, 16, HeaderMap::new()).await;
    let response = transport(&authority).send(get(&server.url("https"))).await;
    assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    for interim in [17, 2000] {
        let server = serve(&authority, interim, HeaderMap::new()).await;
        let transport = transport(&authority);
        let request = get(&server.url("https"));
        let kind = TransportErrorKind::HeaderLimit;
        let error = fails(&transport, request, kind, Phase::Head).await;
        let said = chain(&error);
        assert!(said.contains("more than 16 interim responses"), "{said}");
    }
}

/// A server that sends the bytes in `begun`, and then this frame repeatedly without end.
async fn flood(authority: &Authority, begun: &'static [u8], frame: &'static [u8]) -> Server {
    let acceptor = authority.acceptor(&["127.0.0.1"], Clients::Any, &[b"h2"]);
    Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            // The preface and the first frames; the client need not be read from any more.
            let mut some = [0; 64];
            let _ = stream.read(&mut some).await;
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            let mut sent = stream.write_all(&settings).await;
            if sent.is_ok() {
                sent = stream.write_all(begun).await;
            }
            let many = frame.repeat(100);
            while sent.is_ok() {
                sent = stream.write_all(&many).await;
            }
        }
    })
    .await
}

// LI
#[tokio::test]
async fn li_a_flood_of_frames_closes_the_connection() {
    let authority = Authority::new();
    // `:status: 200`, by its index in the static table (RFC 7541 appendix A).
    let head: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];
    let ours = "more HTTP/2 frames";
    let (protocol, closed) = (TransportErrorKind::Protocol, TransportErrorKind::Closed);
    for (begun, frame, kind, phase, words) in [
        // A frame of an unknown type, settings, a ping.
        (
            &b""[..],
            &[0, 0, 1, 0xfa, 0, 0, 0, 0, 1, 0][..],
            protocol,
            Phase::Head,
            ours,
        ),
        (
            b"",
            &[0, 0, 0, 4, 0, 0, 0, 0, 0],
            protocol,
            Phase::Head,
            ours,
        ),
        (
            b"",
            &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            protocol,
            Phase::Head,
            ours,
        ),
        (
            head,
            &[0, 0, 1, 0xfa, 0, 0, 0, 0, 1, 0],
            protocol,
            Phase::Body,
            ours,
        ),
        // h2 has a lower limit for empty frames of a body.
        (
            head,
            &[0, 0, 0, 0, 0, 0, 0, 0, 1],
            closed,
            Phase::Body,
            "too_many_data_frames",
        ),
    ] {
        let server = flood(&authority, begun, frame).await;
        let transport = transport(&authority);
        let request = get(&server.url("https"));
        let error = fails(&transport, request, kind, phase).await;
        let said = chain(&error);
        assert!(said.contains(words), "{said}");
    }
}
