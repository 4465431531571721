//! Asking token endpoints.
//!
//! What is asked and what an answer means is the [`TokenExchange`]'s to say; here it is sent, in
//! time, and again where it may be.

use std::time::Duration;

use http::response;
use http_body::Body as _;
use longshore_auth::{AuthError, ExchangeError, ExchangeStep, Issued, TokenError, TokenExchange};
use longshore_origin::Origin;
use longshore_proto::call::{FailureClass, Take};
use longshore_proto::retry::{Jitter, backoff, is_retryable, retry_after};
use longshore_transport::{
    Body, Phase, Sensitivity, TlsIdentity, TransportError, TransportErrorKind,
};

use crate::collect::{BodyError, collect};
use crate::send::{Sender, class, race};

/// What token endpoints are asked with.
pub(crate) struct Exchanger<'a> {
    pub(crate) sender: &'a Sender,
    pub(crate) jitter: &'a (dyn Fn() -> u32 + Send + Sync),
    /// How often a request is sent at most.
    pub(crate) attempts: u32,
    /// The registry the token is for.
    pub(crate) registry: &'a Origin,
    /// How the registry itself is spoken to.
    pub(crate) tls: &'a TlsIdentity,
}

impl Exchanger<'_> {
    /// Asks a token endpoint, for 30 s in all (RT).
    pub(crate) async fn run(&self, exchange: TokenExchange) -> Result<Issued, AuthError> {
        let realm = exchange.hop().origin().clone();
        let alarm = self.sender.clock().alarm(TOKEN_LIMIT);
        let issued = race(self.run_with_retries(exchange), alarm).await;
        issued.unwrap_or_else(|| {
            let late = TransportError::new(TransportErrorKind::Timeout, Phase::Head);
            Err(AuthError::unreachable(realm, late))
        })
    }

    /// Asks a token endpoint, again where it cannot answer.
    async fn run_with_retries(&self, mut exchange: TokenExchange) -> Result<Issued, AuthError> {
        let began = self.sender.clock().now();
        let mut attempts = 0;
        loop {
            let (wait, error) = match self.send(&exchange).await {
                Ok((head, body)) => {
                    let retry = is_retryable(head.status);
                    let peer = head.extensions.get().copied().unwrap_or_default();
                    match exchange.on_head(&head, peer) {
                        Ok(ExchangeStep::Send) => continue,
                        Ok(ExchangeStep::Collect { limit }) => {
                            let limit = limit as u64;
                            let take = Take::Document { limit };
                            match collect(self.sender.clock(), &head, body, take).await {
                                Ok(bytes) => return exchange.on_body(&bytes),
                                // A refusal is one, whatever is lost of what it says (CR7).
                                Err(_) if !head.status.is_success() => {
                                    return exchange.on_body(&[]);
                                }
                                Err(BodyError::TooLarge { .. }) => {
                                    let source = ExchangeError::Response(TokenError::TooLong);
                                    let realm = exchange.hop().origin().clone();
                                    return Err(AuthError::Exchange { realm, source });
                                }
                                Err(BodyError::Transport(error)) => {
                                    (None, unreachable(&exchange, error))
                                }
                            }
                        }
                        Err(error) if retry => (retry_after(head.status, &head.headers), error),
                        Err(error) => return Err(error),
                    }
                }
                Err(error) if class(&error) == FailureClass::Fatal => {
                    return Err(unreachable(&exchange, error));
                }
                Err(error) => (None, unreachable(&exchange, error)),
            };
            attempts += 1;
            let wait = wait.unwrap_or_else(|| backoff(attempts, Jitter::new((self.jitter)())));
            let spent = self.sender.clock().now().saturating_sub(began);
            let spent = spent.saturating_add(wait);
            if attempts >= self.attempts || spent >= TOKEN_LIMIT {
                return Err(error);
            }
            self.sender.clock().sleep(wait).await;
        }
    }

    async fn send(
        &self,
        exchange: &TokenExchange,
    ) -> Result<(response::Parts, Body), TransportError> {
        let mut request = exchange.request().map(Body::from);
        // Without a form the only secret is in the Authorization header, which speaks for itself.
        if request.body().is_end_stream() {
            request.extensions_mut().insert(Sensitivity::Plain);
        }
        // A realm on the registry's own origin is spoken to as the registry is, but only on the
        // registry's own word: what a client certificate earns is not for somebody else (CR5).
        if exchange.hop().origin() == self.registry && !exchange.key().is_foreign() {
            request.extensions_mut().insert(self.tls.clone());
        }
        let response = self.sender.send(request, TOKEN_LIMIT).await?;
        Ok(response.into_parts())
    }
}

fn unreachable(exchange: &TokenExchange, error: TransportError) -> AuthError {
    AuthError::unreachable(exchange.hop().origin().clone(), error)
}

/// A token request may take so long in all, repetitions and waits included (RT).
pub(crate) const TOKEN_LIMIT: Duration = Duration::from_secs(30);
