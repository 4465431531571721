use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream as Client;

use http::StatusCode;

use super::*;
use crate::recorder::Recorder;
use crate::{Listen, ScriptedResponse};

const BODY_BYTES: usize = 300_000;

fn origin() -> Recorder {
    Recorder::start(Listen::loopback(), |_| {
        ScriptedResponse::status(StatusCode::OK).body(vec![b'x'; BODY_BYTES])
    })
    .unwrap()
}

/// Everything one connection brings after one request, and how it ended.
fn fetch(address: SocketAddr) -> (usize, io::Result<()>) {
    let mut stream = Client::connect(address).unwrap();
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all).map(drop);
    // A reset is told once: to the write where it was quick, else to the read.
    (all.len(), sent.and(read))
}

#[test]
fn each_connection_gets_its_own_fault_and_counts() {
    let origin = origin();
    let script = Script::new()
        .connection(1, Fault::CutAfter(1000))
        .connection(2, Fault::Refuse)
        .connection(3, Fault::CutAfter(0));
    let proxy = FaultProxy::start(origin.address(), script).unwrap();
    let whole = fetch(proxy.address()).0;
    assert!(whole > BODY_BYTES);
    assert_eq!(proxy.bytes_to_client(), whole as u64);
    for expected in [1000, 0, 0, whole] {
        let (length, result) = fetch(proxy.address());
        assert_eq!(length, expected);
        // Closing with the client's request unread resets, which is as good as any cut.
        assert!(result.is_ok() || expected == 0, "{result:?}");
    }
    assert_eq!(proxy.connections(), 5);
    assert_eq!(
        origin.connections(),
        4,
        "the refused one never came through"
    );
    assert_eq!(proxy.bytes_to_client(), 2 * whole as u64 + 1000);
    assert!(proxy.bytes_to_server() > 0);
}

#[test]
fn a_reset_is_an_error_to_the_client() {
    let origin = origin();
    for fault in [Fault::Reset, Fault::ResetAfter(0)] {
        let proxy = FaultProxy::start(origin.address(), Script::every(fault)).unwrap();
        assert_eq!(
            fetch(proxy.address()).1.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }
}

#[test]
fn a_stalled_connection_goes_on_when_the_gate_opens() {
    let origin = origin();
    let gate = Gate::new();
    let script = Script::new().first(1, &Fault::StallAfter(10, gate.clone()));
    let proxy = FaultProxy::start(origin.address(), script).unwrap();
    let mut stream = Client::connect(proxy.address()).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut ten = [0; 10];
    stream.read_exact(&mut ten).unwrap();
    assert_eq!(&ten, b"HTTP/1.1 2");
    assert_eq!(proxy.bytes_to_client(), 10);
    gate.open();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > BODY_BYTES);
}

#[test]
fn a_held_connection_reaches_the_server_when_the_gate_opens() {
    let origin = origin();
    let gate = Gate::new();
    let proxy =
        FaultProxy::start(origin.address(), Script::every(Fault::Hold(gate.clone()))).unwrap();
    let mut stream = Client::connect(proxy.address()).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(origin.connections(), 0);
    gate.open();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.len() > BODY_BYTES);
}

/// The status lines of this many answers on one connection, and what followed.
fn converse(address: SocketAddr, requests: usize) -> (usize, io::Result<()>) {
    let mut stream = Client::connect(address).unwrap();
    let mut answered = 0;
    for _ in 0..requests {
        let mut answer = vec![0; BODY_BYTES];
        let exchanged = stream
            .write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
            .and_then(|()| stream.read_exact(&mut answer));
        if let Err(error) = exchanged {
            return (answered, Err(error));
        }
        // The head is what came beyond the length of the body.
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
        stream.read_exact(&mut answer[..end]).unwrap();
        answered += 1;
    }
    (answered, Ok(()))
}

#[test]
fn a_connection_is_reset_when_a_later_request_comes() {
    let origin = origin();
    let script = Script::new().first(1, &Fault::ResetOnRequest(3));
    let proxy = FaultProxy::start(origin.address(), script).unwrap();
    let (answered, result) = converse(proxy.address(), 3);
    assert_eq!(answered, 2);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(origin.requests().len(), 2, "the third never came through");
    assert_eq!(converse(proxy.address(), 3).0, 3);
}
