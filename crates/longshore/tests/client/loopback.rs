//! Loopback names that nothing is configured for: TLS or not is found out once, before any secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response};
use longshore::transport::{
    Body, Phase, TlsFault, TlsIdentity, TransportError, TransportErrorKind, from_fn,
};
use longshore::{Client, ErrorKind, HostSettings};
use tokio::sync::Semaphore;

use crate::support::{BASIC, MANIFEST, Net, builder, credential, reference, reply};

/// A registry on loopback that does this to https, and wants Basic over http.
fn peer(https: fn() -> Result<Response<Body>, TransportError>) -> Net {
    Net::over(from_fn(move |request| async move {
        match request.uri().scheme_str() {
            Some("https") => https(),
            _ => Ok(wants_basic(&request)),
        }
    }))
}

fn wants_basic(request: &Request<Body>) -> Response<Body> {
    match request.headers().get("authorization") {
        Some(value) if value == BASIC => reply(200, &[], MANIFEST),
        _ => reply(401, &[("www-authenticate", "Basic realm=r")], ""),
    }
}

fn not_tls() -> Result<Response<Body>, TransportError> {
    Err(TransportError::new(
        TransportErrorKind::NotTls,
        Phase::Connect,
    ))
}

async fn origin(client: &Client, name: &str) -> String {
    let repository = client.repository(&reference(name)).await.unwrap();
    repository.origin().to_string()
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_spoken_to_in_the_clear_from_then_on() {
    let net = peer(not_tls);
    let client = builder(&net)
        .credentials(credential("localhost:5000"))
        .build()
        .unwrap();
    let app = reference("localhost:5000/app:v1");
    for _ in 0..2 {
        let repository = client.repository(&app).await.unwrap();
        repository.manifest(&app.target()).await.unwrap();
    }
    let uri = "http://localhost:5000/v2/app/manifests/v1";
    assert_eq!(
        net.lines(),
        [
            "GET https://localhost:5000/v2/".to_owned(),
            format!("GET {uri}"),
            // CR4: a loopback registry may have its secrets in the clear.
            format!("GET {uri} {BASIC}"),
            format!("GET {uri} {BASIC}"),
        ]
    );
}

// RT12: port forwards and some servers drop the first message of a TLS handshake.
#[tokio::test]
async fn rt12_plain_http_is_used_if_a_peer_does_not_answer_with_tls() {
    for (kind, fault, expected) in [
        (
            TransportErrorKind::Closed,
            Some(TlsFault::Unanswered),
            "http",
        ),
        (
            TransportErrorKind::Timeout,
            Some(TlsFault::Unanswered),
            "http",
        ),
        // A failure before the handshake, or in the middle of it, has no such effect.
        (TransportErrorKind::Closed, None, "https"),
        (TransportErrorKind::Timeout, None, "https"),
        (
            TransportErrorKind::Tls,
            Some(TlsFault::NothingInCommon),
            "https",
        ),
    ] {
        let net = Net::over(from_fn(move |_| async move {
            let error = TransportError::new(kind, Phase::Connect);
            Err(match fault {
                Some(fault) => error.with_tls(fault),
                None => error,
            })
        }));
        let client = builder(&net).build().unwrap();
        let found = origin(&client, "localhost:5000/app").await;
        assert_eq!(
            found,
            format!("{expected}://localhost:5000"),
            "{kind:?} {fault:?}"
        );
    }
}

// The probe decides about the secrets that follow, so it carries none itself, nor anything else.
#[tokio::test]
async fn the_probe_carries_no_header() {
    let net = peer(not_tls);
    let mut settings = HostSettings::default();
    settings.tls = TlsIdentity::named("own roots");
    let client = builder(&net).credentials(credential("127.0.0.1:5000"));
    let client = client
        .host("127.0.0.1:5000", settings.clone())
        .build()
        .unwrap();
    assert_eq!(
        origin(&client, "127.0.0.1:5000/app").await,
        "http://127.0.0.1:5000"
    );
    let seen = net.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].headers.is_empty(), "{:?}", seen[0]);
    assert!(seen[0].body.is_empty());
    assert_eq!(seen[0].tls, Some(settings.tls));
}

// A certificate error is an answer in TLS: whoever sits there must not get around it by that.
#[tokio::test]
async fn a_certificate_error_is_no_reason_to_leave_tls() {
    let net = peer(|| Err(TransportError::new(TransportErrorKind::Tls, Phase::Connect)));
    let client = builder(&net)
        .credentials(credential("localhost:5000"))
        .build()
        .unwrap();
    let app = reference("localhost:5000/app:v1");
    for _ in 0..2 {
        let repository = client.repository(&app).await.unwrap();
        assert_eq!(repository.origin().to_string(), "https://localhost:5000");
        let error = repository.manifest(&app.target()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    assert_eq!(net.count("http://"), 0);
    // One probe, and no second attempt of either request (RT2).
    assert_eq!(net.lines().len(), 3);
}

#[tokio::test]
async fn any_answer_over_tls_is_one() {
    for status in [200, 401, 404, 503] {
        let net = Net::serving(move |_| reply(status, &[], ""));
        let client = builder(&net).build().unwrap();
        assert_eq!(
            origin(&client, "a.localhost/app").await,
            "https://a.localhost"
        );
        assert_eq!(
            origin(&client, "a.localhost/app").await,
            "https://a.localhost"
        );
        assert_eq!(net.lines(), ["GET https://a.localhost/v2/"]);
    }
}

#[tokio::test]
async fn a_peer_that_cannot_be_reached_decides_nothing() {
    for kind in [
        TransportErrorKind::Connect,
        TransportErrorKind::Timeout,
        TransportErrorKind::Closed,
        TransportErrorKind::Resolve,
    ] {
        let started = Arc::new(AtomicBool::new(false));
        let up = Arc::clone(&started);
        let net = Net::over(from_fn(move |_| {
            let kind = if up.load(Ordering::SeqCst) {
                TransportErrorKind::NotTls
            } else {
                kind
            };
            async move { Err(TransportError::new(kind, Phase::Connect)) }
        }));
        let client = builder(&net).build().unwrap();
        assert_eq!(
            origin(&client, "[::1]:5000/app").await,
            "https://[::1]:5000"
        );
        started.store(true, Ordering::SeqCst);
        assert_eq!(origin(&client, "[::1]:5000/app").await, "http://[::1]:5000");
        assert_eq!(net.lines().len(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn callers_at_the_same_time_make_one_probe() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let net = Net::over(from_fn(move |_| {
        let held = Arc::clone(&held);
        async move {
            held.acquire().await.unwrap().forget();
            not_tls()
        }
    }));
    let client = builder(&net).build().unwrap();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { origin(&client, "localhost:5000/app").await })
        })
        .collect();
    tokio::task::yield_now().await;
    gate.add_permits(8);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "http://localhost:5000");
    }
    assert_eq!(net.lines().len(), 1);
}

// RT9
#[tokio::test]
async fn rt9_a_dropped_probe_lets_the_next_one_in() {
    let first = AtomicBool::new(true);
    let net = Net::over(from_fn(move |_| {
        let hangs = first.swap(false, Ordering::SeqCst);
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            not_tls()
        }
    }));
    let client = builder(&net).build().unwrap();
    let app = reference("localhost:5000/app");
    assert!(crate::support::poll_once(client.repository(&app)).is_pending());
    assert_eq!(
        origin(&client, "localhost:5000/app").await,
        "http://localhost:5000"
    );
}

#[tokio::test]
async fn what_is_configured_or_not_on_loopback_is_not_probed() {
    let net = Net::serving(|seen| panic!("{seen:?}"));
    let mut plain = HostSettings::default();
    plain.plain_http = true;
    let mut based = HostSettings::default();
    based.base_url = Some("https://localhost:7000/registry".to_owned());
    let client = builder(&net)
        .host("localhost:5000", plain)
        .host("localhost:6000", based)
        .build()
        .unwrap();
    for (name, expected) in [
        ("localhost:5000/app", "http://localhost:5000"),
        ("localhost:6000/app", "https://localhost:7000"),
        ("r.example.com/app", "https://r.example.com"),
        ("10.0.0.1:5000/app", "https://10.0.0.1:5000"),
        ("localhost.example.com/app", "https://localhost.example.com"),
        ("app", "https://registry-1.docker.io"),
    ] {
        assert_eq!(origin(&client, name).await, expected, "{name}");
    }
}

// RD1, CR1: on one host, another port is another origin.
#[tokio::test]
async fn cr1_another_port_of_a_loopback_host_is_somebody_else() {
    let net = Net::over(from_fn(|request: Request<Body>| async move {
        match (request.uri().scheme_str(), request.uri().port_u16()) {
            (Some("https"), _) => not_tls(),
            (_, Some(5000)) => Ok(match request.headers().get("authorization") {
                None => wants_basic(&request),
                Some(_) => reply(307, &[("location", "http://localhost:6000/")], ""),
            }),
            _ => Ok(wants_basic(&request)),
        }
    }));
    let client = builder(&net)
        .credentials(credential("localhost:5000"))
        .build()
        .unwrap();
    let app = reference("localhost:5000/app:v1");
    let repository = client.repository(&app).await.unwrap();
    let error = repository.manifest(&app.target()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(net.count("http://localhost:6000"), 1);
    net.was_never_told("http://localhost:6000", &[BASIC]);
}
