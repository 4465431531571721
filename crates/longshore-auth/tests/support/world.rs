// A driver with a script instead of a network, and a recorder of everything it sends. Included by
// the tests of the authenticator, its property tests and its fuzz target.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::response::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Response};
use longshore_auth::{
    AuthCall, AuthError, Authenticator, Credential, ExchangeAction, ExchangeEvent, Issued, Prepare,
    ScopeSet, TokenExchange, TokenKey,
};
use longshore_origin::{Hop, Origin, Peer};

/// Whoever answers: registries and token endpoints together.
pub(crate) trait Server {
    /// `STATUS`, then a challenge, a location or a body, as the status wants. Without an answer, a
    /// request has succeeded and a token request has failed on the way; so it has with [`DROPPED`].
    fn answer(&mut self, request: &Sent) -> Option<String>;
}

/// Answers in the order given, whatever is asked.
impl Server for VecDeque<String> {
    fn answer(&mut self, _: &Sent) -> Option<String> {
        self.pop_front()
    }
}

/// A client's surroundings.
pub(crate) struct World<S = VecDeque<String>> {
    pub(crate) auth: Authenticator,
    pub(crate) now: Duration,
    /// What every lookup finds.
    pub(crate) credential: Option<Credential>,
    /// What a lookup returns after the credential was refused, if it is renewable.
    pub(crate) renewed: Option<Option<Credential>>,
    pub(crate) lookups: Vec<Origin>,
    pub(crate) server: S,
    pub(crate) sent: Vec<Sent>,
    pub(crate) need: ScopeSet,
}

/// One request that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) to: Origin,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// The form, if it has one.
    pub(crate) body: String,
    /// The registry a token was asked for, if it was a token request.
    pub(crate) token_for: Option<Origin>,
    /// The token that was issued to it.
    pub(crate) issued: Option<String>,
    /// Whether the hop was home; of no meaning for a token request.
    pub(crate) at_home: bool,
}

impl<S: Server> World<S> {
    pub(crate) fn new(auth: Authenticator, credential: Option<Credential>, server: S) -> Self {
        Self {
            auth,
            now: Duration::from_secs(1_000),
            credential,
            renewed: None,
            lookups: Vec::new(),
            server,
            sent: Vec::new(),
            need: ScopeSet::pull("app"),
        }
    }

    /// One logical call from its first hop on.
    pub(crate) fn call(&mut self, hop: &Hop) -> Result<u16, AuthError> {
        self.drive(&mut AuthCall::new(), hop.clone())
    }

    /// Drives a call to its end; redirects are followed five times.
    pub(crate) fn drive(&mut self, call: &mut AuthCall, mut hop: Hop) -> Result<u16, AuthError> {
        let mut redirects = 0;
        loop {
            let prepared = self.auth.prepare(call, &hop, &self.need, self.now)?;
            let authorization = match prepared {
                Prepare::Anonymous => None,
                Prepare::Attach(authorization) => Some(authorization),
                Prepare::Lookup(registry) => {
                    match &self.renewed {
                        None => call.provide(&registry, self.credential.clone()),
                        Some(renewed) => {
                            let refused = call.refused_credential(&registry);
                            let found = refused.map_or(&self.credential, |_| renewed);
                            call.provide_renewable(&registry, found.clone());
                        }
                    }
                    self.lookups.push(registry);
                    continue;
                }
                Prepare::Fetch(key) => {
                    self.fetch(call, key)?;
                    continue;
                }
            };
            let header = authorization.as_ref().and_then(|a| a.header(&hop));
            let (head, body) = self.request(&hop, header);
            match head.status.as_u16() {
                400 | 403 if body == EXPIRED => self.auth.expired(call, &hop)?,
                401 => self.auth.refused(call, &hop, &head, Peer::default())?,
                307 if redirects < 5 => {
                    redirects += 1;
                    let location = head.headers.get(LOCATION).map(HeaderValue::as_bytes);
                    match hop.follow(location.unwrap_or_default(), Peer::default()) {
                        Ok(next) => hop = next,
                        Err(_) => return Ok(307),
                    }
                }
                status => return Ok(status),
            }
        }
    }

    pub(crate) fn fetch(&mut self, call: &mut AuthCall, key: TokenKey) -> Result<(), AuthError> {
        if let Some(exchange) = self.auth.begin(call, &key, self.now)? {
            let result = self.exchange(exchange);
            self.auth.finish(call, key, result, self.now)?;
        }
        Ok(())
    }

    pub(crate) fn exchange(&mut self, mut exchange: TokenExchange) -> Result<Issued, AuthError> {
        let mut action = exchange.start(self.now);
        let mut answer = None;
        loop {
            let event = match action {
                ExchangeAction::Send => {
                    answer = self.send_to_realm(&exchange);
                    match &answer {
                        Some((head, _)) => ExchangeEvent::Head(head, Peer::default()),
                        None => ExchangeEvent::Transient("connection reset".into()),
                    }
                }
                ExchangeAction::Collect { .. } => {
                    let body = answer.as_ref().map(|(_, body)| body.as_bytes());
                    ExchangeEvent::Body(body.unwrap_or_default())
                }
                ExchangeAction::Wait(_) => ExchangeEvent::Waited,
                ExchangeAction::Finish(result) => {
                    if let (Ok(issued), Some(sent)) = (&result, self.sent.last_mut()) {
                        sent.issued = Some(issued.token.expose().to_owned());
                    }
                    return result;
                }
            };
            action = exchange.on(event, self.now, 0);
        }
    }

    fn send_to_realm(&mut self, exchange: &TokenExchange) -> Option<(Parts, String)> {
        let request = exchange.request();
        let path = request.uri().path_and_query();
        self.send(Sent {
            to: exchange.hop().origin().clone(),
            path: path.map_or("", PathAndQuery::as_str).to_owned(),
            authorization: text(request.headers().get(AUTHORIZATION)),
            body: String::from_utf8_lossy(request.body()).into_owned(),
            token_for: Some(exchange.key().registry().clone()),
            issued: None,
            at_home: false,
        })
    }

    fn request(&mut self, hop: &Hop, header: Option<&HeaderValue>) -> (Parts, String) {
        let answer = self.send(Sent {
            to: hop.origin().clone(),
            path: hop.uri().path().to_owned(),
            authorization: text(header),
            body: String::new(),
            token_for: None,
            issued: None,
            at_home: hop.is_home(),
        });
        answer.unwrap_or_else(|| (Response::new(()).into_parts().0, String::new()))
    }

    fn send(&mut self, request: Sent) -> Option<(Parts, String)> {
        let line = self.server.answer(&request);
        self.sent.push(request);
        let line = line.filter(|line| line != DROPPED)?;
        let (status, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let mut response = Response::builder().status(status);
        if status == "401" && !rest.is_empty() {
            for field in rest.split(" | ") {
                response = response.header(WWW_AUTHENTICATE, field);
            }
        }
        if status.starts_with('3') {
            response = response.header(LOCATION, rest);
        }
        let response = response.body(rest.to_owned()).expect("a valid script");
        Some(response.into_parts())
    }
}

/// The body of a 400 or 403 that says that the token expired.
pub(crate) const EXPIRED: &str = "expired";

/// No answer, in a script that goes on.
pub(crate) const DROPPED: &str = "DROPPED";

fn text(value: Option<&HeaderValue>) -> Option<String> {
    value.map(|value| value.to_str().expect("visible ASCII").to_owned())
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authorization = self.authorization.as_deref().unwrap_or("-");
        write!(f, "{}{} {authorization}", self.to, self.path)
    }
}
