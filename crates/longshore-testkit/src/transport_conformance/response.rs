//! A response arrives unchanged, and as early as possible.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderValue, StatusCode};
use longshore_transport::{
    Body, HEADER_LIMIT, HEADER_LIMIT_BYTES, INTERIM_LIMIT, Transport as _, TransportErrorKind,
};
use tokio::io::AsyncWriteExt as _;

use super::ending::waiting;
use super::finding::{Finding, Outcome, ensure, equal};
use super::request::{FRAME_BYTES, LARGE_BYTES};
use super::server::{OK, Server, read_head};
use super::subject::{Subject, failure, get, read, request};
use crate::image::gzip;
use crate::recorder::Recorder;
use crate::{Listen, ScriptedResponse};

pub(super) async fn responses_arrive_unchanged(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    for status in [
        200, 201, 202, 206, 299, 300, 400, 401, 404, 409, 416, 418, 429, 500, 503, 599,
    ] {
        let mut answer = format!("HTTP/1.1 {status} Any Words\r\n").into_bytes();
        answer.extend(b"Content-Length: 5\r\nx-twice: a\r\nX-Twice: b\r\nx-binary: \xe9\xff\r\n");
        answer.extend(b"x-empty:\r\n\r\nhello");
        let server = Server::answering(answer)?;
        let response = transport.send(get(&server.url())?).await?;
        equal("the status", response.status().as_u16(), status)?;
        for (name, expected) in [
            ("content-length", vec![&b"5"[..]]),
            ("x-twice", vec![b"a", b"b"]),
            ("x-binary", vec![b"\xe9\xff"]),
            ("x-empty", vec![b""]),
        ] {
            let found = response.headers().get_all(name).into_iter();
            let found: Vec<_> = found.map(HeaderValue::as_bytes).collect();
            equal(name, found, expected)?;
        }
        equal("fields", response.headers().len(), 5)?;
        equal("the body", read(response).await?, Bytes::from("hello"))?;
    }
    // RFC 9112 §6.3: without a length the end of the connection is the end of the body.
    let server = Server::closing_after("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello")?;
    let response = transport.send(get(&server.url())?).await?;
    equal("the body", read(response).await?, Bytes::from("hello"))?;
    let chunks = "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let server = Server::answering(format!("{head}{chunks}"))?;
    let response = transport.send(get(&server.url())?).await?;
    equal("the body", read(response).await?, Bytes::from("hello"))
}

pub(super) async fn lengths_are_settled(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    let chunks = "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    for (fields, body, length) in [
        ("content-length: 5\r\ncontent-length: 5", "hello", Some("5")),
        ("content-length: 5, 5", "hello", Some("5")),
        (
            "content-length: 3\r\ntransfer-encoding: chunked",
            chunks,
            None,
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 99",
            chunks,
            None,
        ),
    ] {
        let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}"))?;
        for _ in 0..2 {
            let response = transport.send(get(&server.url())?).await?;
            let found = response.headers().get_all(CONTENT_LENGTH).iter();
            let found: Vec<_> = found.map(HeaderValue::as_bytes).collect();
            let expected: Vec<_> = length.map(str::as_bytes).into_iter().collect();
            equal(&format!("the lengths of {fields:?}"), found, expected)?;
            equal("the body", read(response).await?, Bytes::from("hello"))?;
        }
    }
    for fields in [
        "content-length: 5\r\ncontent-length: 4",
        "content-length: 5, 4",
    ] {
        let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhello"))?;
        let error = failure(&transport, get(&server.url())?).await;
        error.map_err(|_| Finding::from(format!("{fields:?} was accepted")))?;
    }
    Ok(())
}

pub(super) async fn bodies_are_not_decoded(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    let content = Bytes::from(gzip::stored(b"decoded"));
    for coding in ["gzip", "x-gzip", "deflate", "br", "zstd"] {
        let (sent, value) = (content.clone(), HeaderValue::from_static(coding));
        let server = Recorder::start(Listen::loopback(), move |_| {
            ScriptedResponse::status(StatusCode::OK)
                .header(CONTENT_ENCODING, value.clone())
                .body(sent.clone())
        })?;
        let response = transport.send(get(&server.url())?).await?;
        let field = |name| response.headers().get(name).map(HeaderValue::as_bytes);
        equal(
            "its coding",
            field(CONTENT_ENCODING),
            Some(coding.as_bytes()),
        )?;
        let length = content.len().to_string();
        equal("its length", field(CONTENT_LENGTH), Some(length.as_bytes()))?;
        equal("the body", read(response).await?, content.clone())?;
    }
    Ok(())
}

pub(super) async fn response_bodies_are_streamed(subject: &Subject) -> Outcome {
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let server = Server::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await?;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE_BYTES}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let frame = vec![0; FRAME_BYTES];
            for _ in 0..LARGE_BYTES / FRAME_BYTES as u64 {
                stream.write_all(&frame).await?;
                count.fetch_add(FRAME_BYTES as u64, Ordering::SeqCst);
            }
            Ok(())
        }
    })?;
    let response = subject.transport().send(get(&server.url())?).await?;
    let is_streamed = || {
        ensure(written.load(Ordering::SeqCst) < LARGE_BYTES, || {
            "the whole body was read before anybody asked for it".to_owned()
        })
    };
    is_streamed()?;
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if length == 0 {
            is_streamed()?;
        }
        let data = frame?.into_data().unwrap_or_default();
        length += data.len() as u64;
    }
    equal("the length of the body", length, LARGE_BYTES)
}

pub(super) async fn responses_to_head_have_no_body(subject: &Subject) -> Outcome {
    let server = Server::start(|mut stream| async move {
        loop {
            let head = read_head(&mut stream).await?;
            let answer = match head.split(|byte| *byte == b' ').nth(1) {
                Some(b"/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                Some(b"/304") => "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
                _ if head.starts_with(b"HEAD") => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
                _ => OK,
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    })?;
    let transport = subject.transport();
    for (method, path, length) in [
        ("HEAD", "/", Some("5")),
        ("GET", "/204", None),
        ("GET", "/304", Some("5")),
    ] {
        let url = format!("{}{path}", server.url());
        let response = transport
            .send(request(method, &url, Body::empty())?)
            .await?;
        let found = response.headers().get(CONTENT_LENGTH);
        let found = found.map(HeaderValue::as_bytes);
        equal("content-length", found, length.map(str::as_bytes))?;
        let what = format!("the body in answer to {method} {path}");
        equal(&what, read(response).await?, Bytes::new())?;
        // What comes next on the connection is the next response.
        let response = transport.send(get(&server.url())?).await?;
        equal(
            "the next response",
            read(response).await?,
            Bytes::from("ok"),
        )?;
    }
    Ok(())
}

pub(super) async fn interim_responses_are_skipped(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    let hints = INTERIM.repeat(INTERIM_LIMIT - 2);
    let others = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    let server = Server::answering(format!("{others}{hints}{OK}"))?;
    for _ in 0..2 {
        let response = transport.send(get(&server.url())?).await?;
        equal("the status", response.status(), StatusCode::OK)?;
        equal("the body", read(response).await?, Bytes::from("ok"))?;
    }
    Ok(())
}

pub(super) async fn a_flood_of_interim_responses_ends(subject: &Subject) -> Outcome {
    let flood = INTERIM.repeat(1000);
    let transport = subject.transport();
    let server = Server::answering(format!("{flood}{OK}"))?;
    match transport.send(get(&server.url())?).await {
        // Without a limit of its own, the transport skips them all.
        Ok(response) => equal("the body", read(response).await?, Bytes::from("ok"))?,
        Err(error) => {
            let expected = TransportErrorKind::HeaderLimit;
            equal("the kind of the refusal", error.kind(), expected)?;
        }
    }
    // If the interim responses stop, the transport refuses the request, or dropping it closes the
    // connection.
    let (server, mut events) = waiting(flood)?;
    let event = {
        let mut sending = pin!(transport.send(get(&server.url())?));
        tokio::select! {
            answer = &mut sending => {
                ensure(answer.is_err(), || {
                    "an interim response was given as the final one".to_owned()
                })?;
                events.recv().await
            }
            event = events.recv() => event,
        }
    };
    equal("the first event", event, Some("asked"))?;
    equal("the next event", events.recv().await, Some("closed"))
}

pub(super) async fn response_heads_are_limited(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    let fields = |count: usize| "a: b\r\n".repeat(count);
    let bytes = |count: usize| format!("a: {}\r\n", "b".repeat(count));
    // The one field that is always there, and the name and punctuation of the other.
    let room = HEADER_LIMIT_BYTES - "content-length: 0\r\n".len() - "a: \r\n".len();
    for (extra, passes) in [
        (fields(HEADER_LIMIT - 1), true),
        (fields(HEADER_LIMIT), false),
        (bytes(room), true),
        (bytes(room + 1), false),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{extra}\r\n");
        let what = format!("a head of {} bytes", head.len());
        let server = Server::answering(head)?;
        if passes {
            read(transport.send(get(&server.url())?).await?).await?;
        } else {
            let error = failure(&transport, get(&server.url())?).await?;
            equal(&what, error.kind(), TransportErrorKind::HeaderLimit)?;
        }
    }
    // An endless head is refused by the HTTP library, whose error may say less.
    let server = Server::start(|mut stream| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        endless(&mut stream).await
    })?;
    let kind = failure(&transport, get(&server.url())?).await?.kind();
    let limits = [
        TransportErrorKind::HeaderLimit,
        TransportErrorKind::Protocol,
    ];
    ensure(limits.contains(&kind), || {
        format!("an endless head is reported as {kind:?}")
    })
}

async fn endless(stream: &mut tokio::net::TcpStream) -> io::Result<()> {
    loop {
        stream.write_all(b"x-endless: head\r\n").await?;
    }
}

const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nlink: </>; rel=preload\r\n\r\n";
