//! Ending exchanges early, and running many exchanges concurrently.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use longshore_transport::Transport as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::finding::{Outcome, equal};
use super::server::{Server, read_head, read_to_close};
use super::subject::{Subject, get, read};
use crate::recorder::Recorder;
use crate::{Gate, Listen, ScriptedResponse};

/// A server that begins its answer with these bytes and waits for the client to close. The server
/// sends an event when a request has arrived, and another when the connection has closed.
pub(super) fn waiting(
    answer: impl Into<Bytes>,
) -> io::Result<(Server, mpsc::UnboundedReceiver<&'static str>)> {
    let answer = answer.into();
    let (sender, events) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let (sender, answer) = (sender.clone(), answer.clone());
        async move {
            read_head(&mut stream).await?;
            // A client that has already closed the connection is detected below.
            let _ = stream.write_all(&answer).await;
            let _ = sender.send("asked");
            read_to_close(&mut stream).await;
            let _ = sender.send("closed");
            Ok(())
        }
    })?;
    Ok((server, events))
}

pub(super) async fn a_dropped_request_ends(subject: &Subject) -> Outcome {
    let (server, mut events) = waiting("")?;
    let transport = subject.transport();
    {
        let mut sending = pin!(transport.send(get(&server.url())?));
        tokio::select! {
            answer = &mut sending => {
                let what = answer.map_or_else(|e| e.to_string(), |r| r.status().to_string());
                return Err(format!("a silent peer is reported as {what}").into());
            }
            event = events.recv() => equal("the first event", event, Some("asked"))?,
        }
    }
    equal("the next event", events.recv().await, Some("closed"))
}

pub(super) async fn a_dropped_body_ends(subject: &Subject) -> Outcome {
    let (server, mut events) = waiting("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")?;
    let transport = subject.transport();
    let mut body = transport.send(get(&server.url())?).await?.into_body();
    let frame = body.frame().await.transpose()?;
    let data = frame.and_then(|frame| frame.into_data().ok());
    equal("the first bytes", data, Some("abc".into()))?;
    drop(body);
    equal("the first event", events.recv().await, Some("asked"))?;
    equal("the next event", events.recv().await, Some("closed"))
}

pub(super) async fn requests_run_in_parallel(subject: &Subject) -> Outcome {
    /// Number of concurrent requests: what a client sends to one registry, and more than a browser
    /// opens.
    const REQUESTS: usize = 16;
    let (gate, arrived) = (Gate::new(), AtomicUsize::new(0));
    let server = Recorder::start(Listen::loopback(), move |_| {
        if arrived.fetch_add(1, Ordering::SeqCst) + 1 == REQUESTS {
            gate.open();
        }
        ScriptedResponse::status(StatusCode::OK).hold(gate.clone())
    })?;
    let transport = Arc::new(subject.transport());
    let mut sending = Vec::new();
    for _ in 0..REQUESTS {
        let (transport, request) = (Arc::clone(&transport), get(&server.url())?);
        sending.push(Box::pin(async move {
            Ok::<_, super::finding::Finding>(read(transport.send(request).await?).await?)
        }));
    }
    let mut results = Vec::new();
    std::future::poll_fn(|cx: &mut Context<'_>| {
        sending.retain_mut(|future| match future.as_mut().poll(cx) {
            Poll::Ready(result) => {
                results.push(result);
                false
            }
            Poll::Pending => true,
        });
        if sending.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    results.into_iter().try_for_each(|result| result.map(drop))
}
