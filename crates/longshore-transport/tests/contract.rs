//! The bodies, the script and the test clock behave as their docs say.
#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use longshore_transport::{
    Body, Clock, DynTransport, Exchange, Phase, ScriptedTransport, Sensitivity, TestClock,
    Transport, TransportError, TransportErrorKind, from_fn,
};

/// Runs a future that never waits for anything.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

fn collect(mut body: Body) -> Result<Vec<u8>, TransportError> {
    let mut bytes = Vec::new();
    while let Some(frame) = now(body.frame()) {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::empty()).unwrap()
}

#[test]
fn a_body_gives_its_bytes_once_and_ends() {
    assert_eq!(collect(Body::empty()).unwrap(), b"");
    assert_eq!(collect(Body::from("abc")).unwrap(), b"abc");
    let mut body = Body::from(Bytes::from_static(b"abc"));
    assert_eq!(
        now(body.frame()).unwrap().unwrap().into_data().unwrap(),
        "abc"
    );
    assert!(now(body.frame()).is_none());
    assert!(http_body::Body::is_end_stream(&body));
}

/// A body that is `Send` but not `Sync`.
struct Unshared(Cell<Option<&'static str>>);

impl http_body::Body for Unshared {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|text| Ok(Frame::data(text.into()))))
    }
}

#[test]
fn a_body_is_send_and_sync_whatever_it_wraps() {
    fn is_sync<T: Send + Sync>(value: T) -> T {
        value
    }
    let body = is_sync(Body::wrap(Unshared(Cell::new(Some("abc")))));
    assert_eq!(collect(body).unwrap(), b"abc");
}

#[test]
fn a_wrapped_body_keeps_its_length() {
    let body = Body::wrap(Body::from("abcd"));
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(4));
    assert_eq!(body.known(), None);
    assert_eq!(collect(body).unwrap(), b"abcd");
}

#[test]
fn a_script_is_replayed_behind_a_pointer() {
    let script = ScriptedTransport::new([
        Exchange::new("GET", "https://a.example/v2/", 200)
            .lacks("authorization")
            .body("one")
            .body("two"),
        Exchange::failing(
            "GET",
            "https://a.example/x",
            TransportError::new(TransportErrorKind::Closed, Phase::Head),
        ),
    ]);
    let transport = DynTransport::new(script.clone());
    let response = now(transport.send(get("https://a.example/v2/"))).unwrap();
    assert_eq!(collect(response.into_body()).unwrap(), b"onetwo");
    let error = now(transport.send(get("https://a.example/x"))).unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (TransportErrorKind::Closed, Phase::Head)
    );
    assert_eq!(
        error.to_string(),
        "the peer closed the connection (before the response)"
    );
    script.finish();
}

#[test]
#[should_panic(expected = "never requested")]
fn a_script_that_was_not_played_fails() {
    ScriptedTransport::new([Exchange::new("GET", "https://a.example/", 200)]).finish();
}

#[test]
#[should_panic(expected = "header authorization")]
fn a_script_refuses_a_secret_it_does_not_want() {
    let script = ScriptedTransport::new([
        Exchange::new("GET", "https://a.example/", 200).lacks("authorization")
    ]);
    let mut request = get("https://a.example/");
    request
        .headers_mut()
        .insert("authorization", "Basic eA==".parse().unwrap());
    let _ = now(script.send(request));
}

// CR4: what is not known to be harmless must not be shown.
#[test]
fn cr4_a_request_is_secret_unless_it_says_otherwise() {
    let mut request = get("http://localhost/");
    assert_eq!(Sensitivity::of(&request), Sensitivity::Secret);
    request.extensions_mut().insert(Sensitivity::Plain);
    assert_eq!(Sensitivity::of(&request), Sensitivity::Plain);
    let headers = request.headers_mut();
    headers.insert("authorization", "Basic eA==".parse().unwrap());
    assert_eq!(Sensitivity::of(&request), Sensitivity::Secret);
}

#[test]
fn a_function_is_a_transport() {
    let transport = from_fn(|request: Request<Body>| async move {
        Ok(http::Response::new(Body::from(
            request.uri().to_string().into_bytes(),
        )))
    });
    let response = now(transport.send(get("https://a.example/"))).unwrap();
    assert_eq!(
        collect(response.into_body()).unwrap(),
        b"https://a.example/"
    );
}

#[test]
fn a_test_clock_ends_waits_and_holds_limits() {
    let clock = TestClock::default();
    now(clock.sleep(Duration::from_secs(3)));
    assert_eq!(clock.now(), Duration::from_secs(3));
    let mut alarm = clock.alarm(Duration::from_secs(1));
    assert!(
        alarm
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    clock.ring(true);
    now(clock.alarm(Duration::from_secs(1)));
    assert_eq!(clock.slept(), [Duration::from_secs(3)]);
}
