//! The phase that errors report, and whether the connection was reused.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use longshore_origin::Peer;
use longshore_transport::{ConnectionWish, Phase, Transport as _, TransportErrorKind};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::finding::{Outcome, ensure, equal};
use super::server::{OK, Server, read_head};
use super::subject::{Subject, failure, get, read};

pub(super) async fn errors_say_how_far_the_exchange_was(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}/", listener.local_addr()?);
    drop(listener);
    let error = failure(&transport, get(&url)?).await?;
    let facts = (error.kind(), error.phase(), error.is_reused());
    let expected = (TransportErrorKind::Connect, Phase::Connect, false);
    equal("a port that nobody listens on", facts, expected)?;

    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
    for (answer, phase) in [
        ("", Phase::Head),
        ("HTTP/1.1 200 OK\r\nContent-", Phase::Head),
        (cut, Phase::Body),
    ] {
        let server = Server::closing_after(answer)?;
        let error = failure(&transport, get(&server.url())?).await?;
        let facts = (error.kind(), error.phase(), error.is_reused());
        let what = format!("a connection that closes after {answer:?}");
        equal(&what, facts, (TransportErrorKind::Closed, phase, false))?;
    }
    Ok(())
}

pub(super) async fn rt5_reused_connections_are_reported(subject: &Subject) -> Outcome {
    let requests = Arc::new(AtomicUsize::new(0));
    let (sender, mut reused) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let (requests, sender) = (Arc::clone(&requests), sender.clone());
        async move {
            let mut has_served = false;
            loop {
                read_head(&mut stream).await?;
                let _ = sender.send(has_served);
                // The third request of all is not answered.
                if requests.fetch_add(1, Ordering::SeqCst) == 2 {
                    return Ok(());
                }
                stream.write_all(OK.as_bytes()).await?;
                has_served = true;
            }
        }
    })?;
    let transport = subject.transport();
    for number in 1..=2 {
        let response = transport.send(get(&server.url())?).await?;
        let peer = response.extensions().get::<Peer>().copied();
        let peer = peer.ok_or("a response does not say whether its connection was reused")?;
        read(response).await?;
        let what = format!("response {number}: reused");
        equal(&what, Some(peer.reused), reused.recv().await)?;
    }
    let error = failure(&transport, get(&server.url())?).await?;
    let found = Some(error.is_reused());
    equal("the failure: reused", found, reused.recv().await)?;
    ensure(error.phase() == Phase::Head, || {
        format!("a request that was read failed in {:?}", error.phase())
    })
}

pub(super) async fn rt5_a_new_connection_is_made_where_one_is_wished_for(
    subject: &Subject,
) -> Outcome {
    let server = Server::answering(OK)?;
    let transport = subject.transport();
    for connections in 1..=3 {
        let mut request = get(&server.url())?;
        request.extensions_mut().insert(ConnectionWish::New);
        let response = transport.send(request).await?;
        equal("the body", read(response).await?, Bytes::from("ok"))?;
        let what = "connections after as many requests for a new one";
        equal(what, server.connections(), connections)?;
    }
    Ok(())
}
