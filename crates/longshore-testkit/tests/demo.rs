//! The demonstration as a program: what it prints, and when it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

#[test]
fn it_says_where_it_is_logs_each_request_and_ends_with_its_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_longshore-testkit-demo"))
        .args(["--user", "u:p"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let place: serde_json::Value = serde_json::from_str(&line).unwrap();
    let registry = place["registry"].as_str().unwrap();
    assert!(
        place["references"][0]
            .as_str()
            .unwrap()
            .starts_with(registry)
    );
    let mut stream = TcpStream::connect(registry).unwrap();
    stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 401 "), "{answer}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert_eq!(log, "registry GET /v2/ anonymous -> 401\n");
}

#[test]
fn a_wrong_option_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_longshore-testkit-demo"))
        .args(["--port", "many"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("many"), "{said}");
}
