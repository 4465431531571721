use super::*;

type Requests = h2::client::SendRequest<Bytes>;

/// Uses HTTP/2 directly, as a client with prior knowledge does. The task ends with the connection.
async fn connect(address: SocketAddr) -> (Requests, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    (requests, tokio::spawn(connection))
}

fn request(path: &str) -> Request<()> {
    let uri = format!("http://cache{path}");
    Request::get(uri).body(()).unwrap()
}

async fn text(body: &mut h2::RecvStream) -> String {
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        text.extend_from_slice(&data.unwrap());
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let server = start(|builder| builder).await;
    let (mut requests, _connection) = connect(server.address).await;
    let (response, _) = requests.send_request(request("/"), true).unwrap();
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response.body_mut()).await, "hello");
}

#[tokio::test]
async fn ca10_an_http2_connection_has_at_most_128_streams() {
    let server = start(|builder| builder).await;
    let stream = server.connect().await;
    let (mut requests, mut connection) = h2::client::handshake::<_>(stream).await.unwrap();
    let (response, _) = requests.send_request(request("/"), true).unwrap();
    let mut response = std::pin::pin!(response);
    // An answer comes after the settings of the server.
    poll_fn(|cx| {
        if response.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        assert!(Pin::new(&mut connection).poll(cx).is_pending());
        Poll::Pending
    })
    .await;
    assert_eq!(connection.max_concurrent_send_streams(), 128);
}

#[tokio::test]
async fn ca10_an_http2_head_above_32_kib_is_refused() {
    let server = start(|builder| builder).await;
    let (mut requests, _connection) = connect(server.address).await;
    let mut large = request("/");
    let value = "y".repeat(40 * 1024).parse().unwrap();
    large.headers_mut().insert("x", value);
    let (response, _) = requests.send_request(large, true).unwrap();
    match response.await {
        Ok(response) => assert_eq!(
            response.status(),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        ),
        Err(error) => assert!(error.is_remote(), "{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn ca10_an_http2_stream_that_is_not_read_is_cut() {
    let mut server = start(|builder| builder).await;
    let start = Instant::now();
    let (mut requests, connection) = connect(server.address).await;
    let (response, _) = requests.send_request(request("/endless"), true).unwrap();
    // The body is kept, but no window is given back to the server.
    let _body = response.await.unwrap().into_body();
    server.event("Connections(0)").await;
    let elapsed = start.elapsed().as_secs();
    assert!((300..=421).contains(&elapsed), "{elapsed}");
    // It may end with or without an error.
    let _ = connection.await.unwrap();
}

#[tokio::test]
async fn ca12_an_http2_connection_ends_after_its_last_answer() {
    let server = start(|builder| builder).await;
    let held = server.toy.hold();
    let (mut requests, connection) = connect(server.address).await;
    let (response, _) = requests.send_request(request("/held"), true).unwrap();
    let mut response = response.await.unwrap();
    server.handle.drain();
    held.send(Bytes::from_static(b"late")).unwrap();
    drop(held);
    assert_eq!(text(response.body_mut()).await, "late");
    // GOAWAY without an error.
    connection.await.unwrap().unwrap();
    assert_eq!(server.task.await.unwrap(), DrainReport { cut: 0 });
}
