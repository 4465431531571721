//! What is reported when a peer breaks off or does not speak HTTP.

use bytes::Bytes;
use longshore_transport::{Transport as _, TransportError, TransportErrorKind};

use super::finding::{Finding, Outcome, chain, ensure, equal};
use super::server::{OK, Server};
use super::subject::{Subject, failure, get, read};

/// Requires that an error over plain http is retryable and is not reported as a timeout.
fn is_transient(error: &TransportError, what: &str) -> Outcome {
    let kind = error.kind();
    ensure(kind.is_retryable(), || {
        format!(
            "{what} is reported as {kind:?}, which is not retried: {}",
            chain(error)
        )
    })?;
    ensure(kind != TransportErrorKind::Timeout, || {
        format!("{what} is reported as a timeout")
    })
}

pub(super) async fn a_broken_head_is_an_error(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    let good = Server::answering(OK)?;
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ] {
        let server = Server::closing_after(answer)?;
        let error = match transport.send(get(&server.url())?).await {
            Err(error) => error,
            Ok(response) => {
                let status = response.status();
                return Err(format!("{answer:?} was taken for a response: {status}").into());
            }
        };
        is_transient(&error, &format!("{answer:?}"))?;
        // One failure does not spoil the transport.
        let response = transport.send(get(&good.url())?).await?;
        equal(
            "the next response",
            read(response).await?,
            Bytes::from("ok"),
        )?;
    }
    Ok(())
}

pub(super) async fn a_cut_body_is_an_error(subject: &Subject) -> Outcome {
    let transport = subject.transport();
    for framed in [
        "content-length: 10\r\n\r\nabc",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "transfer-encoding: chunked\r\n\r\n5\r\nabc",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "transfer-encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let server = Server::closing_after(format!("HTTP/1.1 200 OK\r\n{framed}"))?;
        let what = format!("a body cut as in {framed:?}");
        let error = failure(&transport, get(&server.url())?).await;
        let error = error.map_err(|_| Finding::from(format!("{what} ended cleanly")))?;
        is_transient(&error, &what)?;
    }
    Ok(())
}
