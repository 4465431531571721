use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use longshore_transport::TestClock;

use super::*;
use crate::server::listen::Accept;

#[tokio::test(start_paused = true)]
async fn ca10_a_slow_head_is_cut_after_10_seconds() {
    let server = start(|builder| builder).await;
    let start = Instant::now();
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    // One byte per second does not extend the limit.
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut rest = Vec::new();
    // A reset also ends the connection.
    let _ = reader.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
    let elapsed = start.elapsed().as_secs();
    assert!((10..12).contains(&elapsed), "{elapsed}");
    dripping.abort();
}

#[tokio::test(start_paused = true)]
async fn ca10_an_idle_connection_is_closed_after_60_seconds() {
    let server = start(|builder| builder).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(get("/").as_bytes()).await.unwrap();
        read_until(&mut stream, "\r\n\r\nhello").await;
        tokio::time::sleep(Duration::from_secs(50)).await;
    }
    stream.write_all(get("/").as_bytes()).await.unwrap();
    read_until(&mut stream, "\r\n\r\nhello").await;
    let start = Instant::now();
    assert_eq!(read_to_end(&mut stream).await, "");
    let elapsed = start.elapsed().as_secs();
    assert!((60..62).contains(&elapsed), "{elapsed}");
}

#[tokio::test(start_paused = true)]
async fn ca10_a_client_that_does_not_read_is_cut() {
    let mut server = start(|builder| builder).await;
    let start = Instant::now();
    let mut stream = server.connect().await;
    stream.write_all(get("/endless").as_bytes()).await.unwrap();
    server.event("Connections(0)").await;
    let elapsed = start.elapsed().as_secs();
    assert!((300..=361).contains(&elapsed), "{elapsed}");
}

#[tokio::test(start_paused = true)]
async fn ca10_a_client_may_wait_for_a_slow_upstream() {
    let server = start(|builder| builder).await;
    let held = server.toy.hold();
    let mut stream = server.connect().await;
    stream.write_all(get("/held").as_bytes()).await.unwrap();
    held.send(Bytes::from_static(b"abc")).unwrap();
    read_until(&mut stream, "abc\r\n").await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    held.send(Bytes::from_static(b"def")).unwrap();
    drop(held);
    let rest = read_until(&mut stream, "0\r\n\r\n").await;
    assert_eq!(rest, "3\r\ndef\r\n0\r\n\r\n");
}

#[tokio::test]
async fn ca10_a_head_above_32_kib_is_refused() {
    let server = start(|builder| builder).await;
    let line = |length| format!("x: {}\r\n\r\n", "y".repeat(length));
    let head = get_and_close("/").replace("\r\n\r\n", "\r\n");
    let answer = exchange(server.address, &(head.clone() + &line(30 * 1024))).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut stream = server.connect().await;
    // The server may close before everything is written.
    let _ = stream.write_all((head + &line(40 * 1024)).as_bytes()).await;
    let answer = read_to_end(&mut stream).await;
    let refused = answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n");
    assert!(refused || answer.is_empty(), "{answer}");
}

#[tokio::test]
async fn ca10_a_connection_above_the_limit_gets_503() {
    let limits = Limits::default().with_connections(1);
    let mut server = start(|builder| builder.limits(limits)).await;
    let mut first = server.connect().await;
    first.write_all(get("/").as_bytes()).await.unwrap();
    read_until(&mut first, "\r\n\r\nhello").await;
    assert_eq!(server.event("Conn").await, "Connections(1)");

    // No `Connection: close` in the request: it is the server that ends the connection.
    let answer = exchange(server.address, &get("/")).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(
        answer.contains(r#"{"errors":[{"code":"UNAVAILABLE""#),
        "{answer}"
    );
    assert_eq!(server.event("Conn").await, "ConnectionRefused");

    drop(first);
    assert_eq!(server.event("Conn").await, "Connections(0)");
    let answer = exchange(server.address, &get_and_close("/")).await;
    assert!(answer.ends_with("hello"), "{answer}");
}

/// Answers that a client does not read, on one connection: with an empty window, the frames stay in
/// their bodies; with a window of 1 byte, the only frame is queued and its body is dropped.
#[tokio::test]
async fn ca10_a_request_above_the_limit_of_open_answers_gets_503() {
    for (window, path) in [(0, "/endless"), (1, "/")] {
        let limits = Limits::default().with_answers(1);
        let mut server = start(|builder| builder.limits(limits)).await;
        let mut client = h2::client::Builder::new();
        client.initial_window_size(window);
        let client = client.handshake::<_, Bytes>(server.connect().await);
        let (mut requests, connection) = client.await.unwrap();
        let connection = tokio::spawn(connection);
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut response = send(&mut requests, path).await;
            assert_eq!(response.status(), StatusCode::OK);
            if window > 0 {
                let sent = response.body_mut().data().await.unwrap().unwrap();
                assert_eq!(sent, "h");
            }
            held.push(response);
        }

        let response = send(&mut requests, path).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(server.event("Refused").await, "RequestRefused");
        // A connection always has one answer.
        let answer = exchange(server.address, &get_and_close("/")).await;
        assert!(answer.ends_with("hello"), "{answer}");

        // The server soon notices that the client has reset the streams.
        drop(held);
        while send(&mut requests, path).await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
        connection.abort();
    }
}

async fn send(
    requests: &mut h2::client::SendRequest<Bytes>,
    path: &str,
) -> Response<h2::RecvStream> {
    let uri = format!("http://cache{path}");
    let request = Request::get(uri).body(()).unwrap();
    let (response, _) = requests.send_request(request, true).unwrap();
    response.await.unwrap()
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_its_connection() {
    let mut server = start(|builder| builder).await;
    let (arrival, _go_on) = server.toy.wait();
    let mut stream = server.connect().await;
    stream.write_all(get("/wait").as_bytes()).await.unwrap();
    arrival.await.unwrap();
    drop(stream);
    server.event("Connections(0)").await;
}

/// Fails once, as in a process without free descriptors.
struct NoDescriptors(AtomicUsize, mpsc::UnboundedSender<usize>);

impl Accept for NoDescriptors {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let count = self.0.fetch_add(1, Ordering::SeqCst);
        self.1.send(count).unwrap();
        match count {
            0..7 => Err(io::Error::from_raw_os_error(
                rustix::io::Errno::MFILE.raw_os_error(),
            )),
            // A client that disconnected does not delay the others.
            7 => Err(io::ErrorKind::ConnectionAborted.into()),
            _ => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn ca10_failed_accepts_are_repeated_after_growing_pauses() {
    let clock = TestClock::default();
    let server = Server::builder(Toy::default()).clock(Arc::new(clock.clone()));
    let phase = PhaseControl::new();
    let door = Door {
        shared: server.parts.shared(false),
        service: Toy::default(),
        slots: Slots::new(1),
        phase: phase.watch(),
        tls: None,
    };
    let (sender, mut counts) = mpsc::unbounded_channel();
    let source = NoDescriptors(AtomicUsize::new(0), sender);
    let accepting = tokio::spawn(listen::accept(source, door, Phase::Draining));
    while counts.recv().await != Some(8) {}
    let pauses = [50, 100, 200, 400, 800, 1000, 1000].map(Duration::from_millis);
    assert_eq!(clock.slept(), pauses);
    phase.enter(Phase::Draining);
    accepting.await.unwrap();
}
