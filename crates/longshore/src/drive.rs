//! The only loop that sends.
//!
//! It matches, awaits and hands on. What to send and what an answer means is decided by the
//! machines: the [`Call`] (attempts, hops, waits, hosts), the authenticator (secrets) and, above
//! this loop, the operation that asks.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header, response};
use longshore_auth::{AuthCall, Authorization, Prepare, ScopeSet, TokenKey};
use longshore_origin::RedactedUri;
use longshore_proto::Refusal;
use longshore_proto::call::{Ask, Call, Failure, Sending, Step, Take, Verdict};
use longshore_proto::endpoint::Access;
use longshore_transport::{
    Body, Clock, DynTransport, Phase, Sensitivity, Timer, Transport, TransportError,
    TransportErrorKind, WireWish,
};

use crate::collect::{Broken, announced, collect};
use crate::error::{Cause, Error};
use crate::exchange::Exchanger;
use crate::limit::Permit;
use crate::repository::Site;

/// The final answer to an [`Ask`].
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) content: Content,
    pub(crate) attempts: u32,
    absent: bool,
}

pub(crate) enum Content {
    Bytes(Bytes),
    Stream(Body, Held),
}

/// What a body needs as long as it is read (LI2).
#[expect(dead_code, reason = "held")]
pub(crate) struct Held {
    turn: Permit,
    room: Option<Permit>,
}

impl Answer {
    /// The body, where it was collected.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.content {
            Content::Bytes(bytes) => bytes,
            Content::Stream(..) => Bytes::new(),
        }
    }

    /// The answer as an error answer.
    pub(crate) fn refusal(&self) -> Refusal {
        let body: &[u8] = match &self.content {
            Content::Bytes(bytes) => bytes,
            Content::Stream(..) => &[],
        };
        Refusal::read(&self.head, body, self.absent)
    }
}

impl Site {
    /// Asks until there is a final answer.
    pub(crate) async fn drive(&self, ask: Ask) -> Result<Answer, Error> {
        self.drive_as(ask, &mut AuthCall::new()).await
    }

    /// As [`drive`](Self::drive), with a memory of the secrets that went along to the last host.
    pub(crate) async fn drive_as(&self, ask: Ask, auth: &mut AuthCall) -> Result<Answer, Error> {
        let what = ask.endpoint.to_string();
        let client = self.client();
        let (is_stream, is_large) = (ask.take == Take::Stream, ask.bulk);
        let mut held = self.hold(is_stream, is_large).await;
        let mut last = None;
        let (mut call, mut step) = Call::start(ask, self.hosts(), *client.policy());
        let mut host = None;
        loop {
            let sending = match step {
                Step::Send(sending) => sending,
                Step::Wait(wait) => {
                    // Others need not wait with it.
                    drop(held);
                    client.clock().sleep(wait).await;
                    held = self.hold(is_stream, is_large).await;
                    step = call.waited();
                    continue;
                }
                Step::Fail(error) => {
                    let error = Error::new(&what, self.registry(), Cause::Call(error, last));
                    return Err(error.after(call.attempts()));
                }
            };
            // Hosts may share an origin, so what one of them refused, and what that cost (CR7), is
            // told apart by host.
            if host.replace(call.asked()) != Some(call.asked()) {
                *auth = AuthCall::new();
                if let Some(credential) = self.known_credential() {
                    auth.provide(self.origin(), credential);
                }
            }
            let authorization = match self.authorize(auth, &sending).await {
                Ok(authorization) => authorization,
                Err(cause) => match call.denied() {
                    Some(next) => {
                        step = next;
                        continue;
                    }
                    None => return Err(self.error(&what, cause).after(call.attempts())),
                },
            };
            let sent = self.send(&sending, authorization).await;
            let response = match sent {
                Ok(response) => response,
                Err(error) => {
                    step = call.on_error(failure(&error), client.jitter());
                    last = Some(error);
                    continue;
                }
            };
            let peer = response.extensions().get().copied().unwrap_or_default();
            let (head, body) = response.into_parts();
            client.notices().read(&sending.hop, &head.headers);
            match call.on_head(&head, peer, client.jitter()) {
                Verdict::Next(next) => step = next,
                Verdict::Authenticate => {
                    let learned = client.auth().refused(auth, &sending.hop, &head, peer);
                    step = match learned {
                        Ok(()) => Step::Send(sending),
                        Err(error) => match call.denied() {
                            Some(next) => next,
                            None => {
                                let said = self.collect(&head, body, Take::Excerpt).await;
                                let said = said.unwrap_or_default();
                                let refusal = Box::new(Refusal::read(&head, &said, false));
                                let cause = Cause::Auth(error, Some(refusal));
                                return Err(self.error(&what, cause).after(call.attempts()));
                            }
                        },
                    };
                }
                Verdict::Answer(take) => {
                    let (absent, attempts) = (call.is_absent(head.status), call.attempts());
                    let collected = match take {
                        Take::Stream => {
                            let content = Content::Stream(body, held);
                            return Ok(Answer {
                                head,
                                content,
                                attempts,
                                absent,
                            });
                        }
                        take => self.collect(&head, body, take).await,
                    };
                    match collected {
                        Ok(bytes) => {
                            let content = Content::Bytes(bytes);
                            return Ok(Answer {
                                head,
                                content,
                                attempts,
                                absent,
                            });
                        }
                        Err(Broken::TooLarge { limit }) => {
                            let error = self.error(&what, Cause::TooLarge { limit });
                            return Err(error.after(attempts));
                        }
                        Err(Broken::Transport(error)) => {
                            step = call.on_error(failure(&error), client.jitter());
                            last = Some(error);
                        }
                    }
                }
            }
        }
    }

    /// Waits for what a request needs until it is answered, and a stream until it is read.
    async fn hold(&self, is_stream: bool, is_large: bool) -> Held {
        let limit = self.client().limit();
        let room = if is_stream {
            Some(limit.stream(is_large).await)
        } else {
            None
        };
        let turn = limit.acquire(self.origin()).await;
        Held { turn, room }
    }

    /// The secret for a request, if it gets one: what the authenticator says, with the look-ups
    /// and token requests it needs first.
    async fn authorize(
        &self,
        call: &mut AuthCall,
        sending: &Sending,
    ) -> Result<Option<Authorization>, Cause> {
        let client = self.client();
        let scopes = match sending.need.as_ref().map(|need| (need.access, &need.name)) {
            Some((Access::Catalogue, _)) => ScopeSet::parse("registry:catalog:*"),
            Some((_, Some(name))) => ScopeSet::pull(name),
            _ => ScopeSet::empty(),
        };
        loop {
            let prepared = client
                .auth()
                .prepare(call, &sending.hop, &scopes, client.auth_now());
            match prepared.map_err(|error| Cause::Auth(error, None))? {
                Prepare::Anonymous => return Ok(None),
                Prepare::Attach(authorization) => return Ok(Some(authorization)),
                Prepare::Lookup(origin) => {
                    // The credential is the registry's; a mirror of it has none (CR1).
                    let credential = if origin == *self.origin() {
                        self.credential().await.map_err(Cause::Credentials)?
                    } else {
                        None
                    };
                    call.provide(&origin, credential);
                }
                Prepare::Fetch(key) => self.fetch(call, key).await?,
            }
        }
    }

    /// Fetches the token of this key, unless somebody else just did.
    async fn fetch(&self, call: &mut AuthCall, key: TokenKey) -> Result<(), Cause> {
        let client = self.client();
        let auth = |error| Cause::Auth(error, None);
        let _flight = match client.tokens() {
            Some(tokens) => Some(tokens.flight(&key).await),
            None => None,
        };
        let begun = client.auth().begin(call, &key, client.auth_now());
        let Some(exchange) = begun.map_err(auth)? else {
            return Ok(());
        };
        let issued = self.exchanger().run(exchange).await;
        let now = client.auth_now();
        client.auth().finish(call, key, issued, now).map_err(auth)
    }

    fn exchanger(&self) -> Exchanger<'_> {
        let client = self.client();
        Exchanger {
            transport: client.transport(),
            clock: client.clock(),
            jitter: client.random(),
            attempts: client.policy().retry.attempts,
            registry: self.origin(),
            tls: self.tls(),
        }
    }

    /// Sends one request, with the wishes the transport needs to know.
    async fn send(
        &self,
        sending: &Sending,
        authorization: Option<Authorization>,
    ) -> Result<Response<Body>, TransportError> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = sending.method.clone();
        *request.uri_mut() = sending.hop.uri().clone();
        *request.headers_mut() = sending.headers.clone();
        // An authorization gives its header only to a hop of the origin it was made for (CR1).
        let authorization = authorization
            .as_ref()
            .and_then(|auth| auth.header(&sending.hop));
        let sensitivity = match authorization {
            Some(value) => {
                let headers = request.headers_mut();
                headers.insert(header::AUTHORIZATION, value.clone());
                Sensitivity::Secret
            }
            None => Sensitivity::Plain,
        };
        let wishes = request.extensions_mut();
        wishes.insert(sensitivity);
        wishes.insert(sending.hop.policy());
        wishes.insert(if sending.bulk {
            WireWish::Bulk
        } else {
            WireWish::Small
        });
        if sending.hop.is_home() && sending.hop.home() == self.origin() {
            wishes.insert(self.tls().clone());
        }
        let client = self.client();
        send(
            client.transport(),
            &**client.clock(),
            request,
            sending.head_timeout,
        )
        .await
    }

    async fn collect(
        &self,
        head: &response::Parts,
        body: Body,
        take: Take,
    ) -> Result<Bytes, Broken> {
        let client = self.client();
        let _room = match take {
            Take::Document { limit } => {
                let length = announced(head, &body);
                // What does not say how long it is may be as long as it may be.
                let length = if length == 0 {
                    limit
                } else {
                    length.min(limit)
                };
                Some(client.limit().document(length).await)
            }
            _ => None,
        };
        collect(client.clock(), head, body, take).await
    }
}

/// Sends one request and waits no longer than `limit` for the head of its answer.
pub(crate) async fn send(
    transport: &DynTransport,
    clock: &dyn Clock,
    request: Request<Body>,
    limit: Duration,
) -> Result<Response<Body>, TransportError> {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let began = clock.now();
    let answer = race(transport.send(request), clock.alarm(limit)).await;
    let result = answer.unwrap_or_else(|| {
        Err(TransportError::new(
            TransportErrorKind::Timeout,
            Phase::Head,
        ))
    });
    let took = clock.now().saturating_sub(began).as_millis();
    let shown = RedactedUri::new(&uri);
    match &result {
        Ok(response) => {
            let status = response.status().as_u16();
            tracing::debug!(target: "longshore::request", "{method} {shown} {status} ({took} ms)");
        }
        Err(error) => {
            tracing::debug!(target: "longshore::request", "{method} {shown} failed: {error}");
        }
    }
    result
}

/// What `work` gives, or `None` if the alarm rings first.
pub(crate) async fn race<T>(work: impl Future<Output = T>, mut alarm: Timer) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// What a call has to know of a transport's failure.
pub(crate) fn failure(error: &TransportError) -> Failure {
    if error.is_stale() {
        Failure::Stale
    } else if error.kind().is_retryable() {
        Failure::Transient
    } else {
        Failure::Fatal
    }
}

#[cfg(test)]
mod tests;
