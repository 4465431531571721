//! Tests of the conformance cases: each transport breaks one rule, and the named cases must detect
//! it.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, HeaderValue,
    LOCATION, RANGE, SET_COOKIE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use longshore_hyper::HyperTransport;
use longshore_origin::{AddressClass, AddressPolicy, Peer};
use longshore_testkit::transport_conformance::{CASES, Subject};
use longshore_transport::{
    Body, Capabilities, ConnectionWish, Phase, TlsIdentity, Transport, TransportError,
    TransportErrorKind,
};

use crate::hyper;

/// What a transport does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    AddsCredentials,
    AddsHeader,
    BuffersRequests,
    BuffersResponses,
    CallsAllIdentitiesOne,
    CallsErrorsFatal,
    CallsErrorsUnsent,
    CallsEverybodyPublic,
    CallsLimitsOther,
    CallsTlsErrorsMissing,
    Decodes,
    DropsHeader,
    EndsBodiesCleanly,
    EndsRequestsCleanly,
    FailsByStatus,
    FallsBackToHttp,
    FollowsRedirects,
    ForgetsReuse,
    GoesOnWhenDropped,
    IgnoresPolicy,
    KeepsCookies,
    LowersPaths,
    RefusesInterim,
    RefusesLocalhost,
    RefusesTwoLengths,
    Repeats,
    ReusesConnections,
    SendsGetForHead,
    SendsOneByOne,
    SharesPolicies,
}

/// Every fault, with the cases that must notice it.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::AddsCredentials, &["no_credentials_are_added"]),
    (Fault::AddsHeader, &["heads_arrive_unchanged"]),
    (
        Fault::BuffersRequests,
        &[
            "request_bodies_arrive_with_their_length",
            "request_bodies_are_streamed",
        ],
    ),
    (Fault::BuffersResponses, &["response_bodies_are_streamed"]),
    (
        Fault::CallsAllIdentitiesOne,
        &[
            "identities_choose_their_settings",
            "identities_do_not_share_connections",
        ],
    ),
    (
        Fault::CallsErrorsFatal,
        &["a_broken_head_is_an_error", "a_cut_body_is_an_error"],
    ),
    (
        Fault::CallsErrorsUnsent,
        &[
            "errors_say_how_far_the_exchange_was",
            "rt5_reused_connections_are_reported",
        ],
    ),
    (
        Fault::CallsEverybodyPublic,
        &["re3_the_class_of_the_peer_is_reported"],
    ),
    (
        Fault::CallsLimitsOther,
        &[
            "a_flood_of_interim_responses_ends",
            "response_heads_are_limited",
        ],
    ),
    (
        Fault::CallsTlsErrorsMissing,
        &["a_certificate_error_is_not_a_missing_tls"],
    ),
    (Fault::Decodes, &["bodies_are_not_decoded"]),
    (Fault::DropsHeader, &["heads_arrive_unchanged"]),
    (Fault::EndsBodiesCleanly, &["a_cut_body_is_an_error"]),
    (
        Fault::EndsRequestsCleanly,
        &["a_failed_request_body_is_never_complete"],
    ),
    (Fault::FailsByStatus, &["responses_arrive_unchanged"]),
    (
        Fault::FallsBackToHttp,
        &["https_is_never_sent_in_the_clear"],
    ),
    (Fault::FollowsRedirects, &["redirects_are_not_followed"]),
    (
        Fault::ForgetsReuse,
        &["rt5_reused_connections_are_reported"],
    ),
    (
        Fault::GoesOnWhenDropped,
        &["a_dropped_body_ends", "a_dropped_request_ends"],
    ),
    (
        Fault::IgnoresPolicy,
        &[
            "re3_addresses_are_refused_before_connecting",
            "re3_policies_do_not_share_connections",
        ],
    ),
    (Fault::KeepsCookies, &["cookies_are_not_kept"]),
    (Fault::LowersPaths, &["paths_arrive_unchanged"]),
    (Fault::RefusesInterim, &["interim_responses_are_skipped"]),
    (
        Fault::RefusesLocalhost,
        &["cr4_names_below_localhost_are_this_machine"],
    ),
    (Fault::RefusesTwoLengths, &["lengths_are_settled"]),
    (Fault::Repeats, &["requests_are_not_repeated"]),
    (
        Fault::ReusesConnections,
        &["rt5_a_new_connection_is_made_where_one_is_wished_for"],
    ),
    (Fault::SendsGetForHead, &["responses_to_head_have_no_body"]),
    (Fault::SendsOneByOne, &["requests_run_in_parallel"]),
    (
        Fault::SharesPolicies,
        &["re3_policies_do_not_share_connections"],
    ),
];

#[tokio::test]
async fn each_fault_is_noticed() {
    let mut missed = Vec::new();
    for (fault, names) in FAULTS {
        // With these two faults a case waits until its time limit. The other faults end the case
        // with an error.
        let hangs = [Fault::GoesOnWhenDropped, Fault::SendsOneByOne].contains(fault);
        let subject = Subject::new(|setup| Bad::new(*fault, hyper(setup)));
        let subject = if hangs {
            subject.patience(Duration::from_millis(500))
        } else {
            subject
        };
        for name in *names {
            let case = CASES.iter().find(|case| case.name == *name).unwrap();
            let said = case
                .run(&subject)
                .await
                .err()
                .map(|error| error.to_string());
            let said = said.unwrap_or_default();
            if !said.starts_with(name) || said.contains("no end within") != hangs {
                missed.push(format!("{fault:?}: {name} says {said:?}"));
            }
        }
    }
    assert_eq!(missed, [""; 0]);
}

#[test]
fn each_case_notices_a_fault() {
    let noticing = FAULTS.iter().flat_map(|(_, names)| *names).copied();
    let noticing: BTreeSet<_> = noticing.collect();
    let all: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(noticing, all);
}

#[tokio::test]
#[should_panic(expected = "redirects_are_not_followed: the status: found 404, expected 301")]
async fn a_check_names_the_case_and_what_was_found() {
    let subject = Subject::new(|setup| Bad::new(Fault::FollowsRedirects, hyper(setup)));
    longshore_testkit::transport_conformance::check(&subject, Capabilities::all()).await;
}

#[tokio::test]
#[should_panic(expected = "the transport declares other capabilities")]
async fn a_check_is_told_what_is_declared() {
    let subject = Subject::new(hyper);
    longshore_testkit::transport_conformance::check(&subject, Capabilities::none()).await;
}

/// A good transport with one fault.
#[derive(Clone)]
struct Bad {
    fault: Fault,
    inner: HyperTransport,
    cookie: Arc<Mutex<Option<HeaderValue>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Bad {
    fn new(fault: Fault, inner: HyperTransport) -> Self {
        Self {
            fault,
            inner,
            cookie: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Makes the fault in what is sent.
    async fn spoil_request(&self, request: &mut Request<Body>) -> Result<(), TransportError> {
        let headers = request.headers_mut();
        match self.fault {
            Fault::AddsCredentials => {
                let uri = request.uri().to_string();
                if let Some((before, after)) = uri.split_once('@') {
                    *request.uri_mut() = format!("http://{after}").parse().unwrap();
                    let value = HeaderValue::try_from(before).unwrap();
                    request.headers_mut().insert(AUTHORIZATION, value);
                }
            }
            Fault::AddsHeader => {
                let gzip = HeaderValue::from_static("gzip");
                headers.append(ACCEPT_ENCODING, gzip);
            }
            Fault::BuffersRequests => {
                let body = std::mem::take(request.body_mut());
                *request.body_mut() = collected(body).await?.into();
            }
            Fault::CallsAllIdentitiesOne => {
                request.extensions_mut().insert(TlsIdentity::named("one"));
            }
            Fault::DropsHeader => {
                headers.remove(RANGE);
            }
            Fault::EndsRequestsCleanly => {
                let body = std::mem::take(request.body_mut());
                *request.body_mut() = Body::wrap(Clean(body));
            }
            Fault::IgnoresPolicy => {
                request.extensions_mut().remove::<AddressPolicy>();
            }
            Fault::KeepsCookies => {
                let cookie = self.cookie.lock().unwrap().clone();
                cookie.map(|cookie| headers.insert(COOKIE, cookie));
            }
            Fault::LowersPaths => {
                *request.uri_mut() = request.uri().to_string().to_lowercase().parse().unwrap();
            }
            Fault::RefusesLocalhost if request.uri().host() != Some("127.0.0.1") => {
                let (kind, phase) = (TransportErrorKind::Resolve, Phase::Connect);
                return Err(TransportError::new(kind, phase));
            }
            Fault::ReusesConnections => {
                request.extensions_mut().remove::<ConnectionWish>();
            }
            Fault::SendsGetForHead if request.method() == Method::HEAD => {
                *request.method_mut() = Method::GET;
            }
            Fault::SharesPolicies => {
                let policy = request.extensions_mut().remove::<AddressPolicy>();
                let address = request.uri().host().unwrap().parse().unwrap();
                policy.unwrap_or_default().check(address).map_err(|e| {
                    let (kind, phase) = (TransportErrorKind::AddressRefused, Phase::Connect);
                    TransportError::new(kind, phase).with_source(e)
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes the fault in what is received.
    async fn spoil_response(
        &self,
        mut response: Response<Body>,
    ) -> Result<Response<Body>, TransportError> {
        match self.fault {
            Fault::BuffersResponses => {
                let (parts, body) = response.into_parts();
                let body = collected(body).await?.into();
                return Ok(Response::from_parts(parts, body));
            }
            Fault::CallsErrorsFatal => {
                return Ok(response.map(|body| Body::wrap(Mapped(body, fatal))));
            }
            Fault::CallsEverybodyPublic => {
                let peer = Peer::new(Some(AddressClass::Public), false);
                response.extensions_mut().insert(peer);
            }
            Fault::Decodes => {
                response.headers_mut().remove(CONTENT_ENCODING);
            }
            Fault::EndsBodiesCleanly => {
                return Ok(response.map(|body| Body::wrap(Clean(body))));
            }
            Fault::FailsByStatus if !response.status().is_success() => {
                let (kind, phase) = (TransportErrorKind::Other, Phase::Head);
                return Err(TransportError::new(kind, phase));
            }
            Fault::ForgetsReuse => {
                let peer = response.extensions_mut().get_mut::<Peer>().unwrap();
                peer.reused = false;
            }
            Fault::RefusesTwoLengths
                if response.headers().get_all(CONTENT_LENGTH).iter().count() > 1 =>
            {
                let (kind, phase) = (TransportErrorKind::Protocol, Phase::Head);
                return Err(TransportError::new(kind, phase));
            }
            Fault::KeepsCookies => {
                let cookie = response.headers().get(SET_COOKIE).cloned();
                *self.cookie.lock().unwrap() = cookie;
            }
            _ => {}
        }
        Ok(response)
    }

    fn spoil_error(&self, error: TransportError) -> TransportError {
        let (kind, phase, reused) = (error.kind(), error.phase(), error.is_reused());
        let (kind, phase, reused) = match (self.fault, kind) {
            (Fault::CallsErrorsFatal, _) => return fatal(error),
            (Fault::CallsErrorsUnsent, _) => (kind, Phase::Connect, false),
            (Fault::CallsLimitsOther, TransportErrorKind::HeaderLimit) => {
                (TransportErrorKind::Other, phase, reused)
            }
            (Fault::CallsTlsErrorsMissing, TransportErrorKind::Tls) => {
                (TransportErrorKind::NotTls, phase, reused)
            }
            _ => return error,
        };
        TransportError::new(kind, phase)
            .on_reused(reused)
            .with_source(error)
    }

    /// Sends a request, and sends another one after it if the fault is to repeat, fall back or
    /// follow.
    async fn send_again(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let again = copy(&request);
        let answer = self.inner.send(request).await;
        match (self.fault, &answer) {
            (Fault::Repeats, Err(_)) => self.inner.send(again).await,
            (Fault::FallsBackToHttp, Err(_)) if again.uri().scheme_str() == Some("https") => {
                let mut again = again;
                let uri = again.uri().to_string().replace("https:", "http:");
                *again.uri_mut() = uri.parse().unwrap();
                self.inner.send(again).await
            }
            (Fault::FollowsRedirects, Ok(response)) => {
                let mut again = again;
                let Some(location) = response.headers().get(LOCATION) else {
                    return answer;
                };
                let location = location.to_str().unwrap();
                let uri = match location.strip_prefix('/') {
                    Some(path) => format!("http://{}/{path}", again.uri().authority().unwrap()),
                    None => location.to_owned(),
                };
                *again.uri_mut() = uri.parse().unwrap();
                self.inner.send(again).await
            }
            _ => answer,
        }
    }

    /// Sends in a separate task, which reads the whole body even if the caller drops it.
    async fn send_apart(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let inner = self.inner.clone();
        let (sender, frames) = tokio::sync::mpsc::unbounded_channel();
        let (head, answered) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            match inner.send(request).await {
                Err(error) => drop(head.send(Err(error))),
                Ok(response) => {
                    let (parts, mut body) = response.into_parts();
                    let _ = head.send(Ok(parts));
                    while let Some(frame) = body.frame().await {
                        let _ = sender.send(frame);
                    }
                }
            }
        });
        let parts = answered.await.unwrap()?;
        Ok(Response::from_parts(parts, Body::wrap(Received(frames))))
    }
}

impl Transport for Bad {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        self.spoil_request(&mut request).await?;
        let _turn = match self.fault {
            Fault::SendsOneByOne => Some(self.turn.lock().await),
            _ => None,
        };
        if self.fault == Fault::RefusesInterim {
            return refusing_interim(&self.inner, request).await;
        }
        let answer = match self.fault {
            Fault::FallsBackToHttp | Fault::FollowsRedirects | Fault::Repeats => {
                self.send_again(request).await
            }
            Fault::GoesOnWhenDropped => self.send_apart(request).await,
            _ => self.inner.send(request).await,
        };
        match answer {
            Ok(response) => self.spoil_response(response).await,
            Err(error) => Err(self.spoil_error(error)),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }
}

/// Returns the first interim response as the final one; sends the request if there is none.
async fn refusing_interim(
    inner: &HyperTransport,
    request: Request<Body>,
) -> Result<Response<Body>, TransportError> {
    let authority = request.uri().authority().unwrap().as_str().to_owned();
    let mut stream = tokio::net::TcpStream::connect(authority).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, ask)
        .await
        .unwrap();
    let mut line = [0; "HTTP/1.1 100".len()];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut line)
        .await
        .unwrap();
    if line.starts_with(b"HTTP/1.1 1") {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::CONTINUE;
        return Ok(response);
    }
    inner.send(request).await
}

fn copy(request: &Request<Body>) -> Request<Body> {
    let body = request.body().known().unwrap_or_default().to_vec();
    let mut copy = Request::new(Body::from(body));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = Uri::clone(request.uri());
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

async fn collected(mut body: Body) -> Result<Bytes, TransportError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    Ok(bytes.into())
}

fn fatal(error: TransportError) -> TransportError {
    let phase = error.phase();
    TransportError::new(TransportErrorKind::Canceled, phase).with_source(error)
}

type Frames = Result<Frame<Bytes>, TransportError>;

/// A body that ends cleanly instead of failing.
struct Clean(Body);

impl http_body::Body for Clean {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frames>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.and_then(Result::ok).map(Ok))
    }
}

/// A body whose errors are replaced by those of the function.
struct Mapped(Body, fn(TransportError) -> TransportError);

impl http_body::Body for Mapped {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frames>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(self.1)))
    }
}

/// The frames that another task reads.
struct Received(tokio::sync::mpsc::UnboundedReceiver<Frames>);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frames>> {
        self.0.poll_recv(cx)
    }
}
