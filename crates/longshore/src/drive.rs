//! The loop that takes an [`Ask`] to its final answer.
//!
//! It matches, awaits and hands on. What to send and what an answer means is decided by the
//! machines: the [`Call`] (attempts, hops, waits, hosts), the authenticator (secrets) and, above
//! this loop, the operation that asks.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header, response};
use longshore_auth::{AuthCall, AuthError, Authorization, Prepare, ScopeSet, TokenKey};
use longshore_origin::{Hop, Peer};
use longshore_proto::call::{Ask, Call, Ended, Sending, Step, Take, Verdict};
use longshore_proto::endpoint::{Access, AnswerBody, Endpoint, Need};
use longshore_proto::{Refusal, RefusalKind, is_web_page};
use longshore_transport::{Body, ConnectionWish, Phase, Sensitivity, TransportError, WireWish};

use crate::body::{NoBody, OpenBody};
use crate::client::Client;
use crate::collect::{BodyError, announced, collect};
use crate::error::{Cause, Error};
use crate::exchange::Exchanger;
use crate::limit::{Permit, RequestSlot, SlotDemand};
use crate::operation::Operation;
use crate::send::class;
use crate::site::Site;

/// The final answer to an [`Ask`].
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) payload: Payload,
    /// Whether this status of this host means that the content does not exist.
    absent: bool,
    /// Whether an earlier attempt was sent that got no answer of the registry.
    lost: bool,
    /// Whether the collected body is a web page.
    web_page: bool,
    ended: Ended,
}

/// The body of an answer.
pub(crate) enum Payload {
    /// Collected, up to the requested length, with the memory permit of the document (LI2).
    Bytes(
        Bytes,
        #[expect(dead_code, reason = "held, never read")] Option<Permit>,
    ),
    /// Read by the caller as it arrives. The request slot is held until the body has been read.
    Stream(Body, RequestSlot),
}

impl Answer {
    /// Takes the collected body out of the answer. The memory of a document is held until the
    /// answer is dropped.
    pub(crate) fn take_bytes(&mut self) -> Bytes {
        match &mut self.payload {
            Payload::Bytes(bytes, _) => std::mem::take(bytes),
            Payload::Stream(..) => Bytes::new(),
        }
    }

    /// What is known about the call that ended with this answer.
    pub(crate) const fn ended(&self) -> &Ended {
        &self.ended
    }

    /// Whether an earlier attempt of the same request was sent and may have been carried out,
    /// because no answer of the registry to it arrived.
    pub(crate) const fn follows_lost_answer(&self) -> bool {
        self.lost
    }

    /// The head of the answer, with status 429 if it is a 403 that says it is a rate limit (RT2).
    pub(crate) fn classified_head(&self) -> Cow<'_, response::Parts> {
        let mut head = Cow::Borrowed(&self.head);
        let is_forbidden = self.head.status == StatusCode::FORBIDDEN;
        if is_forbidden && self.refusal().kind() == RefusalKind::RateLimited {
            head.to_mut().status = StatusCode::TOO_MANY_REQUESTS;
        }
        head
    }

    /// The answer as a refusal.
    pub(crate) fn refusal(&self) -> Refusal {
        let body: &[u8] = match &self.payload {
            Payload::Bytes(bytes, _) => bytes,
            Payload::Stream(..) => &[],
        };
        Refusal::read(&self.head, body, self.absent)
    }

    /// Whether the answer asks to wait longer than the client waits (RT3), so that its operation
    /// ends.
    pub(crate) fn asks_too_long(&self, site: &Site) -> bool {
        let refusal = self.refusal();
        let is_rate_limit = refusal.kind() == RefusalKind::RateLimited;
        let longest = site.client().policy().retry.longest_wait(is_rate_limit);
        refusal.retry_after.is_some_and(|wait| wait > longest)
    }

    /// The answer if it is a success, or else the error of the refusal.
    pub(crate) fn successful(self, site: &Site) -> Result<Self, Error> {
        if self.head.status.is_success() {
            Ok(self)
        } else {
            Err(self.refused(site))
        }
    }

    /// The collected body, if a `GET` replaced the `HEAD` (DG2).
    pub(crate) fn in_place_of_head(&mut self) -> Option<Bytes> {
        let is_get = self.ended.endpoint.answer_body() == AnswerBody::Content;
        is_get.then(|| self.take_bytes())
    }

    /// The error of a refusal.
    pub(crate) fn refused(self, site: &Site) -> Error {
        let refusal = Cause::Refused(self.refusal());
        self.failed(site, refusal)
    }

    /// Whether the body is a web page where a registry would have sent something else.
    pub(crate) const fn is_web_page(&self) -> bool {
        self.web_page
    }

    /// The error of an answer that cannot be used. For a web page this is [`Cause::WebPage`],
    /// whatever `cause` says.
    pub(crate) fn failed(self, site: &Site, cause: Cause) -> Error {
        let cause = if self.web_page && self.head.status.is_success() {
            Cause::WebPage
        } else {
            cause
        };
        let operation = Operation::Request(self.ended.endpoint.clone());
        site.error(operation, cause).of_call(&self.ended)
    }
}

impl Site {
    /// Asks until there is a final answer.
    pub(crate) async fn drive(&self, ask: Ask) -> Result<Answer, Error> {
        self.drive_with(ask, &NoBody, &mut AuthCall::new()).await
    }

    /// As [`drive`](Self::drive). `bodies` opens the body that the ask names, and `auth` then holds
    /// the authentication state of the last host, including the token that was sent.
    pub(crate) async fn drive_with(
        &self,
        mut ask: Ask,
        bodies: &dyn OpenBody,
        auth: &mut AuthCall,
    ) -> Result<Answer, Error> {
        ask.pushes |= self.pushes();
        let demand = SlotDemand::of(&ask);
        let writes = !ask.endpoint.is_read();
        let (call, step) = Call::start(ask, self.hosts(), *self.client().policy());
        let drive = Drive {
            site: self,
            call,
            auth,
            bodies,
            demand,
            slot: None,
            host: None,
            last: None,
            lost: false,
            sent: None,
            pinged: false,
            writes,
        };
        drive.run(step).await
    }
}

/// A call in progress, with the resources that it holds.
struct Drive<'a> {
    site: &'a Site,
    call: Call,
    auth: &'a mut AuthCall,
    bodies: &'a dyn OpenBody,
    demand: SlotDemand,
    slot: Option<RequestSlot>,
    /// Which host `auth` is about.
    host: Option<usize>,
    /// The last failure of the transport.
    last: Option<TransportError>,
    /// Whether an attempt was sent that got no answer of the registry.
    lost: bool,
    /// The secret that the last request was authorized with.
    sent: Option<Authorization>,
    /// Whether the registry was asked for its challenge before a body is sent.
    pinged: bool,
    /// Whether this call changes something in the registry.
    writes: bool,
}

/// The result of one step of a call.
enum Turn {
    Answer(response::Parts, Payload),
    Next(Step),
}

impl Drive<'_> {
    async fn run(mut self, mut step: Step) -> Result<Answer, Error> {
        loop {
            let turn = match step {
                Step::Send(sending) => {
                    self.take_slot().await;
                    self.attempt(sending).await
                }
                Step::Wait(wait) => {
                    // Frees the slot, so that other requests can use it during the wait.
                    self.slot = None;
                    let client = self.site.client();
                    let origin = self.site.origin();
                    if wait > client.policy().retry.retry_after {
                        client.notices().waiting_for_quota(origin, wait);
                    }
                    client.clock().sleep(wait).await;
                    Ok(Turn::Next(self.call.waited()))
                }
                Step::Fail(error) => Err(Cause::Call(error, self.last.take())),
            };
            match turn {
                Ok(Turn::Next(next)) => step = next,
                Ok(Turn::Answer(head, payload)) => {
                    let web_page = match &payload {
                        Payload::Bytes(bytes, _) => is_web_page(bytes),
                        Payload::Stream(..) => false,
                    };
                    return Ok(Answer {
                        absent: self.call.is_absent(head.status),
                        lost: self.lost,
                        web_page,
                        head,
                        payload,
                        ended: self.call.end(),
                    });
                }
                Err(cause) => {
                    if matches!(&cause, Cause::Auth(AuthError::CredentialsRefused { .. }, _)) {
                        self.site.credential_refused();
                    }
                    let ended = self.call.end();
                    let operation = Operation::Request(ended.endpoint.clone());
                    return Err(self.site.error(operation, cause).of_call(&ended));
                }
            }
        }
    }

    /// Takes a slot, unless the call holds one.
    async fn take_slot(&mut self) {
        if self.slot.is_none() {
            let (client, origin) = (self.site.client(), self.site.origin());
            let slot = client.limit().slot(origin, self.demand, &**client.clock());
            self.slot = Some(slot.await);
        }
    }

    fn client(&self) -> &Client {
        self.site.client()
    }

    /// Sends one request and passes the result to the call.
    async fn attempt(&mut self, sending: Box<Sending>) -> Result<Turn, Cause> {
        self.meet_host();
        if has_body(&sending) {
            self.auth.token_first();
        }
        let authorization = match self.authorize(&sending).await {
            Ok(authorization) => authorization,
            Err(cause) => return self.call.denied().map(Turn::Next).ok_or(cause),
        };
        // Opened only after the token is known, because opening a body may mean producing it.
        let body = match sending.body {
            Some(name) => self.bodies.open(name).await.map_err(Cause::RequestBody)?,
            None => Body::empty(),
        };
        let request = self.request(&sending, authorization.as_ref(), body);
        let headers = request.headers();
        self.call
            .sends_secret(headers.contains_key(header::AUTHORIZATION));
        self.sent = authorization;
        let sent = self.client().sender().send(request, sending.head_timeout);
        let response = match sent.await {
            Ok(response) => response,
            Err(error) => return Ok(Turn::Next(self.on_error(error))),
        };
        let peer = response.extensions().get().copied().unwrap_or_default();
        let (head, body) = response.into_parts();
        // In 429 and 503 the registry says that it did nothing.
        self.lost |= matches!(head.status.as_u16(), 408 | 500 | 502 | 504);
        if self.sent.is_none() && self.writes && head.status.is_success() {
            self.site.set_open();
        }
        let mut values = head.headers.values();
        if !values.any(|value| self.is_secret(value.as_bytes())) {
            self.client().notices().read(&sending.hop, &head.headers);
        }
        self.conclude(sending, (head, body, peer)).await
    }

    /// Does what the call decides about an answer.
    async fn conclude(
        &mut self,
        sending: Box<Sending>,
        (head, body, peer): (response::Parts, Body, Peer),
    ) -> Result<Turn, Cause> {
        let client = self.site.client();
        let jitter = client.jitter();
        let (mut body, mut excerpt) = (body, Bytes::new());
        let mut verdict = self.call.on_head(&head, peer, jitter);
        if !matches!(verdict, Verdict::Excerpt) {
            self.keep_pace(&sending.hop, &head, &[]);
        }
        loop {
            let learned = match verdict {
                Verdict::Next(step) => return Ok(Turn::Next(step)),
                Verdict::Answer(take) => return self.answer(head, body, take).await,
                Verdict::Excerpt => {
                    // The part that arrived is enough, because this is the body of an error.
                    let collected = self.collect(&head, body, Take::Excerpt).await;
                    (excerpt, _) = collected.unwrap_or_default();
                    body = Body::from(excerpt.clone());
                    self.keep_pace(&sending.hop, &head, &excerpt);
                    verdict = self.call.on_refusal(&head, &excerpt, jitter);
                    continue;
                }
                Verdict::Authenticate => {
                    client.auth().refused(self.auth, &sending.hop, &head, peer)
                }
                Verdict::Renew => client.auth().expired(self.auth, &sending.hop),
            };
            return match learned {
                Ok(()) => Ok(Turn::Next(Step::Send(sending))),
                Err(AuthError::NotRenewable { .. }) => {
                    verdict = self.call.on_refusal(&head, &excerpt, jitter);
                    continue;
                }
                Err(error) => self.denied(error, &head, body).await,
            };
        }
    }

    /// Adapts the number of requests in flight to the registry to this answer. Only the registry
    /// itself counts, not a mirror or a store that it redirects to.
    fn keep_pace(&self, hop: &Hop, head: &response::Parts, excerpt: &[u8]) {
        let is_home = hop.is_home() && hop.home() == self.site.origin();
        let Some(slot) = self.slot.as_ref().filter(|_| is_home) else {
            return;
        };
        if head.status.is_success() {
            return slot.on_good();
        }
        let refusal = Refusal::read(head, excerpt, false);
        let client = self.client();
        let is_rate_limit = refusal.kind() == RefusalKind::RateLimited;
        if is_rate_limit || head.status == StatusCode::SERVICE_UNAVAILABLE {
            let longest = client.policy().retry.longest_wait(is_rate_limit);
            let wait = refusal.retry_after.filter(|wait| *wait <= longest);
            slot.on_pushback(client.clock().now(), wait);
        } else if !head.status.is_server_error() {
            slot.on_good();
        }
    }

    /// Starts with a new authentication state at each new host. Hosts may share an origin, but a
    /// refusal by one host, and the token requests made for it (CR7: token requests are counted for
    /// each call), do not count for the next host.
    fn meet_host(&mut self) {
        let asked = self.call.asked();
        if self.host.replace(asked) != Some(asked) {
            *self.auth = AuthCall::new();
            self.site.provide_known(self.auth, self.writes);
        }
    }

    fn on_error(&mut self, error: TransportError) -> Step {
        let jitter = self.client().jitter();
        self.lost |= error.phase() != Phase::Connect;
        let step = self.call.on_error(class(&error), jitter);
        self.last = Some(error);
        step
    }

    /// The authenticator can do no more at this host.
    async fn denied(
        &mut self,
        error: AuthError,
        head: &response::Parts,
        body: Body,
    ) -> Result<Turn, Cause> {
        if let Some(next) = self.call.denied() {
            return Ok(Turn::Next(next));
        }
        let excerpt = self.collect(head, body, Take::Excerpt).await;
        let (excerpt, _) = excerpt.unwrap_or_default();
        let refusal = Refusal::read(head, &excerpt, false);
        Err(Cause::Auth(error, Some(Box::new(refusal))))
    }

    async fn answer(
        &mut self,
        head: response::Parts,
        body: Body,
        take: Take,
    ) -> Result<Turn, Cause> {
        if take == Take::Stream
            && let Some(slot) = self.slot.take()
        {
            return Ok(Turn::Answer(head, Payload::Stream(body, slot)));
        }
        match self.collect(&head, body, take).await {
            Ok((bytes, memory)) => Ok(Turn::Answer(head, Payload::Bytes(bytes, memory))),
            Err(BodyError::TooLarge { limit }) => Err(Cause::TooLarge { limit }),
            Err(BodyError::Transport(error)) => Ok(Turn::Next(self.on_error(error))),
        }
    }

    /// Builds the request, with its wishes to the transport as extensions.
    fn request(
        &self,
        sending: &Sending,
        authorization: Option<&Authorization>,
        body: Body,
    ) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = sending.method.clone();
        *request.uri_mut() = sending.hop.uri().clone();
        *request.headers_mut() = sending.headers.clone();
        // An authorization gives its header only to a hop of the origin it was made for (CR1: a
        // secret goes to the origin it belongs to).
        let mut sensitivity = match authorization.and_then(|auth| auth.header(&sending.hop)) {
            Some(value) => {
                let headers = request.headers_mut();
                headers.insert(header::AUTHORIZATION, value.clone());
                Sensitivity::Secret
            }
            None => Sensitivity::Plain,
        };
        let is_home = sending.hop.is_home() && sending.hop.home() == self.site.origin();
        if is_home && !self.site.headers().is_empty() {
            add_headers(request.headers_mut(), self.site.headers());
            sensitivity = Sensitivity::Secret;
        }
        let wishes = request.extensions_mut();
        wishes.insert(sensitivity);
        wishes.insert(sending.hop.policy());
        wishes.insert(if sending.bulk {
            WireWish::Bulk
        } else {
            WireWish::Small
        });
        if sending.fresh {
            wishes.insert(ConnectionWish::New);
        }
        if is_home {
            wishes.insert(self.site.tls().clone());
        }
        request
    }

    async fn collect(
        &self,
        head: &response::Parts,
        body: Body,
        take: Take,
    ) -> Result<(Bytes, Option<Permit>), BodyError> {
        let client = self.client();
        let memory = match take {
            Take::Document { limit } => {
                // A body of unknown length may be as long as the limit.
                let length = match announced(head, &body) {
                    0 => limit,
                    length => length.min(limit),
                };
                Some(client.limit().document(length).await)
            }
            _ => None,
        };
        let bytes = collect(client.clock(), head, body, take).await?;
        if take == Take::Excerpt && self.is_secret(&bytes) {
            return Ok((Bytes::new(), None));
        }
        Ok((bytes, memory))
    }

    /// Whether a text of the registry repeats the secret that it was sent (OU3: a secret appears in
    /// no log or error).
    fn is_secret(&self, text: &[u8]) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.is_in(text))
    }

    /// Gets the secret for a request from the authenticator, after the look-ups and token requests
    /// that the authenticator asks for; `None` means an anonymous request.
    async fn authorize(&mut self, sending: &Sending) -> Result<Option<Authorization>, Cause> {
        let client = self.site.client();
        let scopes = scopes(&sending.needs);
        loop {
            let prepared =
                client
                    .auth()
                    .prepare(self.auth, &sending.hop, &scopes, client.auth_now());
            match prepared.map_err(|error| Cause::Auth(error, None))? {
                Prepare::Anonymous if self.needs_challenge(sending) => {
                    self.pinged = true;
                    self.ping().await?;
                }
                Prepare::Anonymous => return Ok(None),
                Prepare::Attach(authorization) => return Ok(Some(authorization)),
                Prepare::Lookup(origin) => {
                    // The credential is the registry's; a mirror of it has none (CR1).
                    if origin == *self.site.origin() {
                        let found = self.site.look_up(self.auth, self.writes).await;
                        found.map_err(Cause::Credentials)?;
                    } else {
                        self.auth.provide(&origin, None);
                    }
                }
                Prepare::Fetch(key) => self.fetch_token(key).await?,
            }
        }
    }

    /// Whether to ask for the registry's challenge before this request is sent. Otherwise the
    /// registry may refuse the request without a secret, and its body would be sent twice.
    fn needs_challenge(&self, sending: &Sending) -> bool {
        let is_home = sending.hop.is_home() && sending.hop.home() == self.site.origin();
        let mut unknown = has_body(sending) && is_home && !self.pinged && !self.site.is_open();
        unknown &= !self.client().auth().is_challenged_by(self.site.origin());
        unknown
    }

    /// Asks the registry for its challenge with a request that needs no access (end-1). Any other
    /// answer is ignored, because the request that follows will show the problem.
    async fn ping(&mut self) -> Result<(), Cause> {
        let (site, client) = (self.site, self.site.client());
        let home: Vec<_> = site.hosts().last().cloned().into_iter().collect();
        let ask = Ask::new(Endpoint::Ping, Take::Excerpt);
        let (_, Step::Send(ping)) = Call::start(ask, home.into(), *client.policy()) else {
            return Ok(());
        };
        let request = self.request(&ping, None, Body::empty());
        let Ok(response) = client.sender().send(request, ping.head_timeout).await else {
            return Ok(());
        };
        let peer = response.extensions().get().copied().unwrap_or_default();
        let (head, body) = response.into_parts();
        // The body is read to its end, so that the connection can be reused.
        let _ = self.collect(&head, body, Take::Excerpt).await;
        if head.status.is_success() {
            site.set_open();
        }
        if head.status != StatusCode::UNAUTHORIZED {
            return Ok(());
        }
        let learned = client.auth().refused(self.auth, &ping.hop, &head, peer);
        learned.map_err(|error| Cause::Auth(error, None))
    }

    /// Fetches the token of this key, unless another call has just done so.
    async fn fetch_token(&mut self, key: TokenKey) -> Result<(), Cause> {
        let client = self.site.client();
        let failed = |error| Cause::Auth(error, None);
        let _flight = match client.tokens() {
            Some(tokens) => Some(tokens.flight(&key).await),
            None => None,
        };
        let begun = client.auth().begin(self.auth, &key, client.auth_now());
        let Some(exchange) = begun.map_err(failed)? else {
            return Ok(());
        };
        let exchanger = Exchanger {
            sender: client.sender(),
            jitter: client.random(),
            attempts: client.policy().retry.attempts,
            registry: self.site.origin(),
            tls: self.site.tls(),
        };
        let issued = exchanger.run(exchange).await;
        let now = client.auth_now();
        let finished = client.auth().finish(self.auth, key, issued, now);
        finished.map_err(failed)
    }
}

/// Adds configured fields, as secrets, except where the client has set the field (CR10).
fn add_headers(headers: &mut HeaderMap, configured: &HeaderMap) {
    for name in configured.keys().filter(|name| **name != header::HOST) {
        if headers.contains_key(name) {
            continue;
        }
        for value in configured.get_all(name) {
            let mut value = value.clone();
            value.set_sensitive(true);
            headers.append(name, value);
        }
    }
}

fn has_body(sending: &Sending) -> bool {
    sending.body.is_some_and(|body| body.length != Some(0))
}

/// The scope of a token that covers all of these needs.
fn scopes(needs: &[Need]) -> ScopeSet {
    let scopes = needs.iter().map(scope);
    let all = scopes.reduce(|one, other| one.union(&other));
    all.unwrap_or_else(ScopeSet::empty)
}

/// The matches have no wildcard, so a new kind of access cannot be mapped to a token for reading by
/// accident.
fn scope(need: &Need) -> ScopeSet {
    match need {
        Need::Catalogue => ScopeSet::parse("registry:catalog:*"),
        Need::Repository { name, access } => match access {
            Access::Delete => ScopeSet::delete(name),
            Access::Pull => ScopeSet::pull(name),
            Access::Push => ScopeSet::push(name),
        },
    }
}

#[cfg(test)]
mod tests;
