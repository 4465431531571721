//! A transport that replays a conversation.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};

use crate::{Body, Capabilities, Transport, TransportError};

/// One request that is expected, and what it gets.
#[derive(Debug)]
pub struct Exchange {
    method: Method,
    uri: String,
    wants: Vec<(String, Option<String>)>,
    answer: Result<ScriptedAnswer, TransportError>,
}

#[derive(Debug)]
struct ScriptedAnswer {
    status: StatusCode,
    headers: HeaderMap,
    extensions: http::Extensions,
    frames: Vec<Result<Bytes, TransportError>>,
}

impl Exchange {
    /// Expects `method` on exactly this URI, and answers it with `status`.
    ///
    /// # Panics
    ///
    /// When the method or status is not one HTTP allows.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a script is written by a test")]
    pub fn new(method: &str, uri: &str, status: u16) -> Self {
        Self {
            method: method.parse().expect("a script names HTTP methods"),
            uri: uri.to_owned(),
            wants: Vec::new(),
            answer: Ok(ScriptedAnswer {
                status: StatusCode::from_u16(status).expect("a script names HTTP statuses"),
                headers: HeaderMap::new(),
                extensions: http::Extensions::new(),
                frames: Vec::new(),
            }),
        }
    }

    /// Expects `method` on this URI, and fails it.
    #[must_use]
    pub fn failing(method: &str, uri: &str, error: TransportError) -> Self {
        let mut exchange = Self::new(method, uri, 200);
        exchange.answer = Err(error);
        exchange
    }

    /// The request must carry this header with this value.
    #[must_use]
    pub fn wants(mut self, name: &str, value: &str) -> Self {
        self.wants.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// The request must not carry this header.
    #[must_use]
    pub fn lacks(mut self, name: &str) -> Self {
        self.wants.push((name.to_owned(), None));
        self
    }

    /// The answer carries this header.
    ///
    /// # Panics
    ///
    /// When the name or value is not one HTTP allows.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a script is written by a test")]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(answer) = &mut self.answer {
            answer.headers.append(
                http::HeaderName::from_bytes(name.as_bytes()).expect("a script names headers"),
                value.parse().expect("a script gives header values"),
            );
        }
        self
    }

    /// The answer reports this fact in its extensions, as `longshore_origin::Peer`.
    #[must_use]
    pub fn fact<F: Clone + Send + Sync + 'static>(mut self, fact: F) -> Self {
        if let Ok(answer) = &mut self.answer {
            answer.extensions.insert(fact);
        }
        self
    }

    /// The answer's body goes on with these bytes, as one frame.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        if let Ok(answer) = &mut self.answer {
            answer.frames.push(Ok(bytes.into()));
        }
        self
    }

    /// The answer's body breaks off here.
    #[must_use]
    pub fn broken(mut self, error: TransportError) -> Self {
        if let Ok(answer) = &mut self.answer {
            answer.frames.push(Err(error));
        }
        self
    }
}

/// A transport that replays a conversation, and panics at a request the script does not have.
///
/// Clones share the script. It connects to nothing, so it declares every capability. Call
/// [`finish`](Self::finish) at the end of a test: a request that was never made is a failure too.
#[derive(Clone, Debug)]
pub struct ScriptedTransport(Arc<Mutex<VecDeque<Exchange>>>);

impl ScriptedTransport {
    /// Expects these exchanges, in this order.
    #[must_use]
    pub fn new(script: impl IntoIterator<Item = Exchange>) -> Self {
        Self(Arc::new(Mutex::new(script.into_iter().collect())))
    }

    /// Panics unless every exchange of the script took place.
    ///
    /// # Panics
    ///
    /// When the script was not played to its end.
    pub fn finish(&self) {
        let rest: Vec<_> = self
            .script()
            .iter()
            .map(|exchange| format!("{} {}", exchange.method, exchange.uri))
            .collect();
        assert!(rest.is_empty(), "never requested: {rest:?}");
    }

    #[expect(clippy::expect_used, reason = "a poisoned script means a failed test")]
    fn script(&self) -> MutexGuard<'_, VecDeque<Exchange>> {
        self.0.lock().expect("the script is not poisoned")
    }
}

impl Transport for ScriptedTransport {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let next = self.script().pop_front();
        let Some(exchange) = next else {
            panic!("not in the script: {} {}", request.method(), request.uri());
        };
        assert_eq!(
            (request.method(), request.uri().to_string()),
            (&exchange.method, exchange.uri.clone()),
            "another request than the script's"
        );
        for (name, wanted) in &exchange.wants {
            let found = request
                .headers()
                .get(name)
                .map(|v| String::from_utf8_lossy(v.as_bytes()));
            assert_eq!(
                found.as_deref(),
                wanted.as_deref(),
                "header {name} of {} {}",
                exchange.method,
                exchange.uri
            );
        }
        let answer = exchange.answer?;
        let mut response = Response::new(Body::wrap(Frames(answer.frames.into())));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        *response.extensions_mut() = answer.extensions;
        Ok(response)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }
}

/// The frames a scripted body gives out.
struct Frames(VecDeque<Result<Bytes, TransportError>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, TransportError>>> {
        let frame = self.0.pop_front();
        std::task::Poll::Ready(frame.map(|frame| frame.map(http_body::Frame::data)))
    }
}
