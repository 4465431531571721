//! Sending the requests of token exchanges.
//!
//! [`TokenExchange`] says what to do and what an answer means; this loop does it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::response;
use longshore_auth::{AuthError, ExchangeAction, ExchangeEvent, Issued, TokenExchange};
use longshore_origin::Origin;
use longshore_proto::call::{Failure, Take};
use longshore_proto::retry::{Jitter, backoff, is_retryable, retry_after};
use longshore_transport::{
    Body, Clock, DynTransport, ErrorKind, Phase, TlsIdentity, TransportError,
};

use crate::collect::{Broken, collect};
use crate::drive::{failure, race, send};

/// What token endpoints are asked with.
pub(crate) struct Exchanger<'a> {
    pub(crate) transport: &'a DynTransport,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) jitter: &'a (dyn Fn() -> u32 + Send + Sync),
    /// How often a request is sent at most.
    pub(crate) attempts: u32,
    /// The registry the token is for.
    pub(crate) registry: &'a Origin,
    /// How the registry itself is spoken to.
    pub(crate) tls: &'a TlsIdentity,
}

impl Exchanger<'_> {
    /// Runs an exchange to its end.
    pub(crate) async fn run(&self, exchange: TokenExchange) -> Result<Issued, AuthError> {
        let mut exchange = exchange.with_retries(self.attempts, wait_before_retry);
        let mut action = exchange.start(self.clock.now());
        let mut answer = None;
        loop {
            let content;
            let time_left = exchange.time_left(self.clock.now());
            let event = match action {
                ExchangeAction::Send => match self.send(&exchange, time_left).await {
                    Ok(arrived) => {
                        let (head, _) = answer.insert(arrived);
                        let peer = head.extensions.get().copied().unwrap_or_default();
                        ExchangeEvent::Head(head, peer)
                    }
                    Err(error) if failure(&error) == Failure::Fatal => {
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
                        Err(Broken::TooLarge { .. }) => ExchangeEvent::BodyTooLarge,
                        Err(Broken::Transport(error)) => {
                            ExchangeEvent::BodyInterrupted(error.into())
                        }
                    }
                }
                ExchangeAction::Wait(wait) => {
                    self.clock.sleep(wait).await;
                    ExchangeEvent::Waited
                }
                ExchangeAction::Finish(issued) => return issued,
            };
            action = exchange.on(event, self.clock.now(), (self.jitter)());
        }
    }

    async fn send(
        &self,
        exchange: &TokenExchange,
        time_left: Duration,
    ) -> Result<(response::Parts, Body), TransportError> {
        let mut request = exchange.request().map(Body::from);
        // A realm on the registry's own origin is spoken to as the registry is, but only on the
        // registry's own word: what a client certificate earns is not for somebody else (CR5).
        if exchange.hop().origin() == self.registry && !exchange.key().is_foreign() {
            request.extensions_mut().insert(self.tls.clone());
        }
        let response = send(self.transport, &**self.clock, request, time_left).await?;
        Ok(response.into_parts())
    }

    async fn collect(
        &self,
        answer: Option<(response::Parts, Body)>,
        limit: usize,
        time_left: Duration,
    ) -> Result<Bytes, Broken> {
        let Some((head, body)) = answer else {
            return Ok(Bytes::new());
        };
        let limit = limit as u64;
        let collecting = collect(self.clock, &head, body, Take::Document { limit });
        let collected = race(collecting, self.clock.alarm(time_left)).await;
        let late = || Broken::Transport(TransportError::new(ErrorKind::Timeout, Phase::Body));
        collected.unwrap_or_else(|| Err(late()))
    }
}

/// The wait before another attempt, by the rule of all other requests (RT1–RT3).
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
