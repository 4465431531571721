use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use http::header::AUTHORIZATION;

use super::*;
use crate::Gate;

/// Sends `head` on a new connection and reads until the server closes it.
fn raw(recorder: &Recorder, head: &str) -> String {
    let mut stream = TcpStream::connect(recorder.address()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

const GET: &str =
    "GET /x?y=z HTTP/1.1\r\nhost: h\r\nauthorization: Bearer secret\r\nconnection: close\r\n\r\n";

#[test]
fn it_keeps_what_it_is_sent() {
    let recorder = Recorder::silent().unwrap();
    assert!(raw(&recorder, GET).starts_with("HTTP/1.1 404 "));
    let requests = recorder.requests().all();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path(), "/x");
    assert_eq!(requests[0].query(), "y=z");
    assert_eq!(requests[0].headers[AUTHORIZATION], "Bearer secret");
    assert_eq!(requests[0].status, Some(StatusCode::NOT_FOUND));
    assert!(recorder.requests().hold("secret"));
    assert!(!recorder.requests().hold("another"));
    assert_eq!(recorder.connections(), 1);
}

#[test]
fn a_cut_lets_exactly_so_many_bytes_through() {
    for bytes in [0, 1, 100_000, 3_000_000] {
        let recorder = Recorder::start(Listen::loopback(), move |_| {
            ScriptedResponse::status(StatusCode::OK)
                .body(vec![b'x'; 4_000_000])
                .cut_after(bytes)
        })
        .unwrap();
        let answer = raw(&recorder, GET);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-length: 4000000"), "{head}");
        assert_eq!(body.len() as u64, bytes);
    }
}

#[test]
fn a_held_body_goes_on_when_the_gate_opens() {
    let gate = Gate::new();
    let held = gate.clone();
    let recorder = Recorder::start(Listen::loopback(), move |_| {
        ScriptedResponse::status(StatusCode::OK)
            .body("123456")
            .hold_after(3, held.clone())
    })
    .unwrap();
    let mut stream = TcpStream::connect(recorder.address()).unwrap();
    stream.write_all(GET.as_bytes()).unwrap();
    let mut seen = String::new();
    while !seen.ends_with("\r\n\r\n123") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        seen.push(char::from(byte[0]));
    }
    gate.open();
    stream.read_to_string(&mut seen).unwrap();
    assert!(seen.ends_with("\r\n\r\n123456"), "{seen}");
}

#[test]
fn hanging_up_sends_nothing() {
    let recorder = Recorder::start(Listen::loopback(), |_| ScriptedResponse::hang_up()).unwrap();
    assert_eq!(raw(&recorder, GET), "");
    assert_eq!(recorder.requests().all()[0].status, None);
}

#[test]
fn head_announces_the_length_and_sends_no_body() {
    let recorder = Recorder::start(Listen::loopback(), |_| {
        ScriptedResponse::status(StatusCode::OK).body("body")
    })
    .unwrap();
    let answer = raw(&recorder, &GET.replacen("GET", "HEAD", 1));
    assert!(answer.contains("content-length: 4\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}
