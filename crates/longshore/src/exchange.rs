//! Sending the requests of token exchanges.
//!
//! [`TokenExchange`] says what to do and what an answer means; this loop does it.

use std::time::Duration;

use bytes::Bytes;
use http::response;
use http_body::Body as _;
use longshore_auth::{AuthError, ExchangeAction, ExchangeEvent, Issued, TokenExchange};
use longshore_origin::Origin;
use longshore_proto::call::{FailureClass, Take};
use longshore_proto::retry::{Jitter, backoff, is_retryable, retry_after};
use longshore_transport::{
    Body, Phase, Sensitivity, TlsIdentity, TransportError, TransportErrorKind,
};

use crate::collect::{BodyError, collect};
use crate::send::{Sender, class, race};

/// Runs token exchanges.
pub(crate) struct Exchanger<'a> {
    pub(crate) sender: &'a Sender,
    pub(crate) jitter: &'a (dyn Fn() -> u32 + Send + Sync),
    /// Maximum number of times a request is sent.
    pub(crate) attempts: u32,
    /// The registry the token is for.
    pub(crate) registry: &'a Origin,
    /// The TLS settings of the registry itself.
    pub(crate) tls: &'a TlsIdentity,
}

impl Exchanger<'_> {
    /// Runs an exchange to its end.
    pub(crate) async fn run(&self, exchange: TokenExchange) -> Result<Issued, AuthError> {
        let mut exchange = exchange.with_retries(self.attempts, wait_before_retry);
        let mut action = exchange.start(self.sender.clock().now());
        let mut answer = None;
        loop {
            if !matches!(action, ExchangeAction::Collect { .. }) {
                // An answer that is not read keeps its connection busy.
                answer = None;
            }
            let content;
            let time_left = exchange.time_left(self.sender.clock().now());
            let event = match action {
                ExchangeAction::Send => match self.send(&exchange, time_left).await {
                    Ok(arrived) => {
                        let (head, _) = answer.insert(arrived);
                        let peer = head.extensions.get().copied().unwrap_or_default();
                        ExchangeEvent::Head(head, peer)
                    }
                    Err(error) if class(&error) == FailureClass::Fatal => {
                        ExchangeEvent::Fatal(error.into())
                    }
                    Err(error) => ExchangeEvent::Transient(error.into()),
                },
                ExchangeAction::Collect { limit } => {
                    match self.collect(answer.take(), limit, time_left).await {
                        Ok(collected) => {
                            content = collected;
                            ExchangeEvent::Body(&content)
                        }
                        Err(BodyError::TooLarge { .. }) => ExchangeEvent::BodyTooLarge,
                        Err(BodyError::Transport(error)) => {
                            ExchangeEvent::BodyInterrupted(error.into())
                        }
                    }
                }
                ExchangeAction::Wait(wait) => {
                    self.sender.clock().sleep(wait).await;
                    ExchangeEvent::Waited
                }
                ExchangeAction::Finish(issued) => return issued,
            };
            action = exchange.on(event, self.sender.clock().now(), (self.jitter)());
        }
    }

    async fn send(
        &self,
        exchange: &TokenExchange,
        time_left: Duration,
    ) -> Result<(response::Parts, Body), TransportError> {
        let mut request = exchange.request().map(Body::from);
        // Without a form the only secret is in the Authorization header, which marks the request as
        // secret by itself.
        if request.body().is_end_stream() {
            request.extensions_mut().insert(Sensitivity::Plain);
        }
        // A realm on the registry's own origin gets the registry's TLS settings, but only if the
        // registry itself named it: a client certificate is not for other origins (CR5).
        if exchange.hop().origin() == self.registry && !exchange.key().is_foreign() {
            request.extensions_mut().insert(self.tls.clone());
        }
        let response = self.sender.send(request, time_left).await?;
        Ok(response.into_parts())
    }

    async fn collect(
        &self,
        answer: Option<(response::Parts, Body)>,
        limit: usize,
        time_left: Duration,
    ) -> Result<Bytes, BodyError> {
        let Some((head, body)) = answer else {
            return Ok(Bytes::new());
        };
        let limit = limit as u64;
        let collecting = collect(self.sender.clock(), &head, body, Take::Document { limit });
        let collected = race(collecting, self.sender.clock().alarm(time_left)).await;
        let late = || {
            BodyError::Transport(TransportError::new(
                TransportErrorKind::Timeout,
                Phase::Body,
            ))
        };
        collected.unwrap_or_else(|| Err(late()))
    }
}

/// The wait before another attempt, by the same rule as for all other requests (RT1–RT3).
fn wait_before_retry(
    failed: u32,
    answer: Option<&response::Parts>,
    jitter: u32,
) -> Option<Duration> {
    let wait = backoff(failed, Jitter::new(jitter));
    match answer {
        None => Some(wait),
        Some(head) => is_retryable(head.status)
            .then(|| retry_after(head.status, &head.headers).unwrap_or(wait)),
    }
}
