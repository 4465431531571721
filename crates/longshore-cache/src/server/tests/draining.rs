use super::*;

#[tokio::test]
async fn ca12_an_answer_that_has_begun_is_finished() {
    let server = start(|builder| builder.admin(ANY)).await;
    let held = server.toy.hold();
    let mut stream = server.connect().await;
    stream.write_all(get("/held").as_bytes()).await.unwrap();
    held.send(Bytes::from_static(b"abc")).unwrap();
    read_until(&mut stream, "abc\r\n").await;
    let mut idle = server.connect().await;
    idle.write_all(get("/").as_bytes()).await.unwrap();
    read_until(&mut idle, "hello").await;

    server.handle.drain();
    // An idle connection ends, and the address is free.
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    let answer = exchange(server.admin.unwrap(), &get_and_close("/readyz")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#"{"status":"draining","#), "{answer}");
    let answer = exchange(server.admin.unwrap(), &get_and_close("/healthz")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    held.send(Bytes::from_static(b"def")).unwrap();
    drop(held);
    assert_eq!(read_to_end(&mut stream).await, "3\r\ndef\r\n0\r\n\r\n");
    assert_eq!(server.task.await.unwrap(), DrainReport { cut: 0 });
    assert!(TcpStream::connect(server.admin.unwrap()).await.is_err());
}

#[tokio::test]
async fn ca12_an_answer_that_begins_while_draining_closes_its_connection() {
    let server = start(|builder| builder).await;
    let (arrival, go_on) = server.toy.wait();
    let mut stream = server.connect().await;
    stream.write_all(get("/wait").as_bytes()).await.unwrap();
    arrival.await.unwrap();
    server.handle.drain();
    assert!(server.handle.is_draining());
    go_on.send(()).unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(server.task.await.unwrap(), DrainReport { cut: 0 });
}

#[tokio::test(start_paused = true)]
async fn ca12_draining_ends_after_30_seconds() {
    let server = start(|builder| builder).await;
    let _held = server.toy.hold();
    let mut stream = server.connect().await;
    stream.write_all(get("/held").as_bytes()).await.unwrap();
    read_until(&mut stream, "\r\n\r\n").await;
    let start = Instant::now();
    server.handle.drain();
    assert_eq!(server.task.await.unwrap(), DrainReport { cut: 1 });
    let elapsed = start.elapsed().as_secs();
    assert!((30..32).contains(&elapsed), "{elapsed}");
    // Not the end of a chunked body: the client sees that bytes are missing.
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test(start_paused = true)]
async fn ca12_stopping_cuts_at_once() {
    let server = start(|builder| builder).await;
    let _held = server.toy.hold();
    let mut stream = server.connect().await;
    stream.write_all(get("/held").as_bytes()).await.unwrap();
    read_until(&mut stream, "\r\n\r\n").await;
    let start = Instant::now();
    server.handle.drain();
    server.handle.stop();
    assert_eq!(server.task.await.unwrap(), DrainReport { cut: 1 });
    assert_eq!(start.elapsed().as_secs(), 0);
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_its_connections() {
    let server = start(|builder| builder).await;
    let _held = server.toy.hold();
    let mut stream = server.connect().await;
    stream.write_all(get("/held").as_bytes()).await.unwrap();
    read_until(&mut stream, "\r\n\r\n").await;
    server.task.abort();
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[cfg(unix)]
#[tokio::test]
async fn ca12_the_first_signal_drains_and_the_second_stops() {
    use rustix::process::{Signal, getpid, kill_process};

    let server = start(|builder| builder).await;
    let _held = server.toy.hold();
    let mut stream = server.connect().await;
    stream.write_all(get("/held").as_bytes()).await.unwrap();
    read_until(&mut stream, "\r\n\r\n").await;

    let obeying = server.handle.clone();
    let mut obeying = Box::pin(async move { obeying.obey_signals().await });
    // The first poll installs the signal handlers.
    let first = poll_fn(|cx| Poll::Ready(obeying.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    let obeying = tokio::spawn(obeying);
    kill_process(getpid(), Signal::TERM).unwrap();
    server.handle.phase().watch().reached(Phase::Draining).await;
    assert!(!server.task.is_finished());
    kill_process(getpid(), Signal::INT).unwrap();
    obeying.await.unwrap().unwrap();
    assert_eq!(server.task.await.unwrap(), DrainReport { cut: 1 });
}
