//! What a transport does not declare fails closed.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use longshore_origin::{AddressClass, AddressPolicy, AllowAddresses, Peer};
use longshore_transport::{
    Body, Capabilities, Capability, DynTransport, MissingCapability, Phase, Sensitivity,
    TlsIdentity, Transport, TransportError, TransportErrorKind, from_fn,
};

/// Runs a future that never waits for anything.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

/// What came of a request, and whether the transport saw it.
#[derive(Debug, PartialEq)]
enum Outcome {
    Sent,
    Missing(Capability),
    Refused(TransportErrorKind),
}

use Outcome::{Missing, Refused, Sent};

/// Sends a request over a transport that declares these capabilities.
fn outcome(declared: Capabilities, request: Request<Body>) -> Outcome {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let transport = from_fn(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok(Response::new(Body::empty())) }
    });
    let transport = DynTransport::new(transport.declaring(declared));
    let outcome = match now(transport.send(request)) {
        Ok(_) => Sent,
        Err(error) => {
            assert_eq!(error.phase(), Phase::Connect);
            let source = error.source().unwrap();
            match source.downcast_ref::<MissingCapability>() {
                Some(missing) => {
                    assert_eq!(error.kind(), TransportErrorKind::Unsupported);
                    Missing(missing.capability)
                }
                None => Refused(error.kind()),
            }
        }
    };
    assert_eq!(sent.load(Ordering::SeqCst), usize::from(outcome == Sent));
    outcome
}

fn get(uri: &str) -> Request<Body> {
    let mut request = Request::get(uri).body(Body::empty()).unwrap();
    request.extensions_mut().insert(Sensitivity::Plain);
    request
}

fn with<W: Clone + Send + Sync + 'static>(mut request: Request<Body>, wish: W) -> Request<Body> {
    request.extensions_mut().insert(wish);
    request
}

fn at_least(class: AddressClass, allow: &str) -> AddressPolicy {
    let ranges = allow.split(',').filter(|range| !range.is_empty());
    let allow: AllowAddresses = ranges.map(|range| range.parse().unwrap()).collect();
    AddressPolicy::AtLeast { class, allow }
}

const ALL: Capabilities = Capabilities::all();
const NONE: Capabilities = Capabilities::none();

#[test]
fn a_set_of_capabilities_holds_what_it_was_made_of() {
    let some = Capabilities::none().with(Capability::TlsIdentity);
    let some = some.with(Capability::AddressPolicy);
    let listed: Vec<_> = some.iter().collect();
    assert_eq!(listed, [Capability::AddressPolicy, Capability::TlsIdentity]);
    assert_eq!(format!("{some:?}"), "{AddressPolicy, TlsIdentity}");
    assert_eq!(NONE.iter().count(), 0);
    let every = ALL.iter().fold(NONE, Capabilities::with);
    assert_eq!((every, ALL.iter().count()), (ALL, 4));
}

#[test]
fn a_transport_declares_nothing_unless_it_says_so() {
    let transport = from_fn(|_| async { Ok(Response::new(Body::empty())) });
    assert_eq!(transport.capabilities(), NONE);
    let some = NONE.with(Capability::PeerClass);
    let transport = DynTransport::new(transport.declaring(some));
    assert_eq!(transport.capabilities(), some);
    assert_eq!(DynTransport::new(transport).capabilities(), some);
}

// RE3, RD2: without a check of the addresses a name resolves to, the name could lead anywhere.
#[test]
fn re3_a_name_is_not_asked_under_a_policy_that_nobody_checks() {
    let name = "https://storage.example.net/blob?signature=s";
    assert_eq!(outcome(NONE, get(name)), Sent);
    assert_eq!(outcome(NONE, with(get(name), AddressPolicy::Any)), Sent);
    for class in [
        AddressClass::Public,
        AddressClass::Private,
        AddressClass::Loopback,
    ] {
        for uri in [name, "https://localhost/", "https://a.localhost/"] {
            let request = || with(get(uri), at_least(class, ""));
            let missing = Missing(Capability::AddressPolicy);
            assert_eq!(outcome(NONE, request()), missing, "{uri} {class}");
            let address_policy = NONE.with(Capability::AddressPolicy);
            assert_eq!(outcome(address_policy, request()), Sent, "{uri} {class}");
        }
    }
}

// RE3, RD2: a literal address is the one connected to, so it can be checked for any transport.
#[test]
fn re3_a_literal_address_is_checked_for_every_transport() {
    let refused = Refused(TransportErrorKind::AddressRefused);
    for (uri, policy, expected) in [
        ("https://8.8.8.8/", at_least(AddressClass::Public, ""), Sent),
        (
            "https://10.0.0.1/",
            at_least(AddressClass::Private, ""),
            Sent,
        ),
        (
            "https://10.0.0.1/",
            at_least(AddressClass::Public, "10.0.0.0/8"),
            Sent,
        ),
        ("https://127.0.0.1/", AddressPolicy::Any, Sent),
        ("https://169.254.169.254/", AddressPolicy::Any, Sent),
    ] {
        let request = with(get(uri), policy.clone());
        assert_eq!(outcome(NONE, request), expected, "{uri} {policy:?}");
    }
    for (uri, policy) in [
        ("https://10.0.0.1/", at_least(AddressClass::Public, "")),
        (
            "http://127.0.0.1:5000/",
            at_least(AddressClass::Private, ""),
        ),
        (
            "http://[::ffff:127.0.0.1]/",
            at_least(AddressClass::Private, ""),
        ),
        (
            "http://169.254.169.254/",
            at_least(AddressClass::Loopback, "0.0.0.0/0"),
        ),
    ] {
        let request = with(get(uri), policy.clone());
        assert_eq!(outcome(NONE, request), refused, "{uri} {policy:?}");
    }
}

// CR4: over plain http a secret may go to this machine only, and only a transport that resolves the
// name knows whether the name means this machine.
#[test]
fn cr4_a_secret_for_localhost_needs_a_transport_that_knows_where_that_is() {
    let missing = Missing(Capability::AddressPolicy);
    for uri in ["http://localhost:5000/v2/", "http://a.localhost/v2/"] {
        assert_eq!(outcome(NONE, get(uri)), Sent);
        let secret = || with(get(uri), Sensitivity::Secret);
        assert_eq!(outcome(NONE, secret()), missing);
        assert_eq!(
            outcome(NONE.with(Capability::AddressPolicy), secret()),
            Sent
        );
        let mut unsaid = get(uri);
        unsaid.extensions_mut().remove::<Sensitivity>();
        assert_eq!(outcome(NONE, unsaid), missing);
    }
    for uri in [
        "http://127.0.0.1:5000/v2/",
        "http://[::1]/",
        "https://localhost/v2/",
    ] {
        assert_eq!(outcome(NONE, with(get(uri), Sensitivity::Secret)), Sent);
    }
}

#[test]
fn a_named_tls_setting_is_not_replaced_by_the_default() {
    let named = |uri| with(get(uri), TlsIdentity::named("own roots"));
    let uri = "https://r.example.com/v2/";
    let missing = Missing(Capability::TlsIdentity);
    assert_eq!(outcome(NONE, named(uri)), missing);
    assert_eq!(outcome(ALL, named(uri)), Sent);
    assert_eq!(outcome(NONE, with(get(uri), TlsIdentity::default())), Sent);
    assert_eq!(outcome(NONE, named("http://r.example.com/v2/")), Sent);
}

#[test]
fn a_refusal_names_the_host_and_what_is_missing() {
    let request = with(get("https://a.example/"), TlsIdentity::named("x"));
    let transport = from_fn(|_| async { Ok(Response::new(Body::empty())) });
    let error = now(DynTransport::new(transport).send(request)).unwrap_err();
    assert_eq!(
        format!("{error}: {}", error.source().unwrap()),
        "the transport does not support this request (while connecting): a request to \
         a.example needs the capability \"TLS identity\", which the transport does not declare"
    );
}

// RE3, RD2: a class that is too narrow would let a peer lead the client into a private network.
#[test]
fn re3_facts_are_taken_from_transports_that_declare_them() {
    let peer = Peer::new(Some(AddressClass::Loopback), true);
    let reported = |declared: Capabilities| {
        let transport = from_fn(move |_| async move {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(peer);
            Ok(response)
        });
        let transport = DynTransport::new(transport.declaring(declared));
        let response = now(transport.send(get("https://a.example/"))).unwrap();
        *response.extensions().get::<Peer>().unwrap()
    };
    assert_eq!(reported(ALL), peer);
    assert_eq!(reported(NONE), Peer::default());
    let class = reported(NONE.with(Capability::PeerClass));
    assert_eq!(class, Peer::new(Some(AddressClass::Loopback), false));
    let reused = reported(NONE.with(Capability::ErrorPhase));
    assert_eq!(reused, Peer::new(None, true));
}

fn stale() -> TransportError {
    TransportError::new(TransportErrorKind::Closed, Phase::Head).on_reused(true)
}

// RT5: an extra attempt is for requests that are known not to have been answered.
#[test]
fn rt5_a_failure_in_an_unknown_phase_is_no_stale_connection() {
    let failed = |declared: Capabilities, error: fn() -> TransportError| {
        let transport = from_fn(move |_| async move { Err(error()) });
        let transport = DynTransport::new(transport.declaring(declared));
        now(transport.send(get("https://a.example/"))).unwrap_err()
    };
    let facts = |error: &TransportError| (error.kind(), error.phase(), error.is_stale());
    let closed = TransportErrorKind::Closed;
    assert_eq!(facts(&failed(ALL, stale)), (closed, Phase::Head, true));
    assert_eq!(facts(&failed(NONE, stale)), (closed, Phase::Head, false));
    // RT4: without the capability, an error is not reported as one from before sending.
    let unsent = || TransportError::new(TransportErrorKind::Connect, Phase::Connect);
    let connect = TransportErrorKind::Connect;
    assert_eq!(
        facts(&failed(ALL, unsent)),
        (connect, Phase::Connect, false)
    );
    assert_eq!(facts(&failed(NONE, unsent)), (connect, Phase::Head, false));
}

/// A body that yields one frame and then fails with a phase from before the body.
struct Failing(Option<Bytes>);

impl http_body::Body for Failing {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        Poll::Ready(Some(self.0.take().map(Frame::data).ok_or_else(stale)))
    }
}

#[test]
fn rt5_a_body_that_fails_in_an_unknown_phase_is_no_stale_connection() {
    for (declared, phase) in [(NONE, Phase::Body), (ALL, Phase::Head)] {
        let transport =
            from_fn(|_| async { Ok(Response::new(Body::wrap(Failing(Some("abc".into()))))) });
        let transport = DynTransport::new(transport.declaring(declared));
        let response = now(transport.send(get("https://a.example/"))).unwrap();
        let mut body = response.into_body();
        let frame = now(body.frame()).unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abc");
        let error = now(body.frame()).unwrap().unwrap_err();
        assert_eq!((error.phase(), error.is_stale()), (phase, declared == ALL));
    }
}

#[test]
fn a_body_in_memory_stays_one() {
    let transport = from_fn(|_| async { Ok(Response::new(Body::from("abc"))) });
    let transport = DynTransport::new(transport);
    let response = now(transport.send(get("https://a.example/"))).unwrap();
    assert_eq!(response.body().known(), Some(b"abc".as_slice()));
}
