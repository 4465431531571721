//! The one place that hands requests to the transport.
//!
//! Calls, token exchanges and the loopback probe all send through [`Sender::send`], so each request
//! has a time limit and a line in the log.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use longshore_origin::RedactedUri;
use longshore_proto::call::FailureClass;
use longshore_proto::retry::date_on_receipt;
use longshore_transport::{
    Body, Clock, DynTransport, Phase, Timer, Transport, TransportError, TransportErrorKind,
};

use self::guard::RequestGuard;

mod guard;

/// A transport and the clock that limits its answers. Clones share both.
#[derive(Clone)]
pub(crate) struct Sender {
    transport: DynTransport,
    clock: Arc<dyn Clock>,
}

impl Sender {
    pub(crate) fn new(transport: DynTransport, clock: Arc<dyn Clock>) -> Self {
        Self { transport, clock }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Sends one request, and waits at most `limit` for the head of its answer once its body has
    /// been sent.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Body>, TransportError> {
        let method = request.method().clone();
        let uri = request.uri().clone();
        let began = self.clock.now();
        let (guard, request) = RequestGuard::watch(&self.clock, request, limit);
        let answer = guard.race(self.transport.send(request)).await;
        let late = || TransportError::new(TransportErrorKind::Timeout, Phase::Head);
        let mut result = answer.unwrap_or_else(|| Err(late()));
        if let Ok(response) = &mut result {
            // RT3: a `Retry-After` may be a point in time.
            date_on_receipt(response.headers_mut(), self.clock.unix_time());
        }
        let took = self.clock.now().saturating_sub(began).as_millis();
        let shown = RedactedUri::new(&uri);
        match &result {
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::debug!(
                    target: "longshore::request",
                    "{method} {shown} {status} ({took} ms)"
                );
            }
            Err(error) => {
                tracing::debug!(
                    target: "longshore::request",
                    "{method} {shown} failed: {error}"
                );
            }
        }
        result
    }
}

/// The output of `work`, or `None` if the alarm rings first.
pub(crate) async fn race<T>(work: impl Future<Output = T>, mut alarm: Timer) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// The class of a transport's failure.
pub(crate) fn class(error: &TransportError) -> FailureClass {
    if error.is_stale() {
        FailureClass::Stale
    } else if error.kind().is_retryable() {
        FailureClass::Transient
    } else {
        FailureClass::Fatal
    }
}
