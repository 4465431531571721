//! A token server that signs what a registry will believe.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::requests::unpoisoned;
use crate::serve::Server;
use crate::{Gate, Listen, RecordedRequest, Requests, ScriptedResponse};

pub use self::issuer::{Claims, GrantedAccess, Issuer};

mod issuer;

/// A token server: *Token Authentication "Requesting a Token"*, the `GET` form.
///
/// It issues JWTs signed with ES256 whose certificate rides in `x5c`; a registry trusts them when
/// it trusts [`Issuer::certificate_pem`]. Unless told otherwise it gives anyone what they ask for.
#[derive(Debug)]
pub struct TokenServer {
    server: Server,
    state: Arc<State>,
}

impl TokenServer {
    /// Settings for a server that names itself and its one service `longshore-testkit`.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            listen: Listen::loopback(),
            state: State {
                issuer: Arc::new(Issuer::new("longshore-testkit")),
                service: "longshore-testkit".to_owned(),
                users: Vec::new(),
                anonymous: true,
                lifetime: Duration::from_secs(300),
                announcement: Announcement::Lifetime,
                member: Member::Token,
                grant: None,
                refused_action: None,
                gate: None,
                delay: Duration::ZERO,
                scripted: Mutex::default(),
            },
        }
    }

    /// What a challenge names as its realm.
    #[must_use]
    pub fn realm(&self) -> String {
        format!("{}/token", self.server.url())
    }

    /// What a challenge names as its service, and tokens as their audience.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.state.service
    }

    /// Who signs, for a registry that is to check.
    #[must_use]
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.state.issuer
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Every request it had.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        self.server.requests()
    }

    /// Answers the next request with `answer`; called again, the one after it.
    pub fn answer_next(&self, answer: ScriptedResponse) {
        unpoisoned(&self.state.scripted).next.push(answer);
    }

    /// Answers every request with `answer` from now on, once those set for the next are used up.
    pub fn answer_always(&self, answer: ScriptedResponse) {
        unpoisoned(&self.state.scripted).always = Some(answer);
    }
}

/// Settings of a [`TokenServer`].
#[derive(Debug)]
pub struct Builder {
    listen: Listen,
    state: State,
}

impl Builder {
    /// Where it listens.
    #[must_use]
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen = listen;
        self
    }

    /// The name in `iss`.
    #[must_use]
    pub fn issuer(mut self, name: &str) -> Self {
        self.state.issuer = Arc::new(Issuer::new(name));
        self
    }

    /// The only service it issues tokens for; a request that names another gets 400.
    #[must_use]
    pub fn service(mut self, service: &str) -> Self {
        service.clone_into(&mut self.state.service);
        self
    }

    /// Knows a user. From the first one on nobody is served without a password, unless
    /// [`anonymous`](Self::anonymous) follows.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.state
            .users
            .push((name.to_owned(), password.to_owned()));
        self.state.anonymous = false;
        self
    }

    /// Serves requests without credentials too.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.state.anonymous = true;
        self
    }

    /// How long tokens live, and `expires_in` says they do; 300 s if not set.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.state.lifetime = lifetime;
        self
    }

    /// What `expires_in` says, whatever the truth: any JSON, or nothing.
    #[must_use]
    pub fn expires_in(mut self, announced: Option<Value>) -> Self {
        self.state.announcement = Announcement::Other(announced);
        self
    }

    /// Which member of the answer holds the token.
    #[must_use]
    pub fn member(mut self, member: Member) -> Self {
        self.state.member = member;
        self
    }

    /// Decides which of the actions asked for are granted; the user is `None` when anonymous.
    #[must_use]
    pub fn grant(
        mut self,
        grant: impl Fn(Option<&str>, &GrantedAccess) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.state.grant = Some(Grant(Box::new(grant)));
        self
    }

    /// Refuses a whole request with 400 if one of its scopes names this action. Quay does this for
    /// `delete`.
    #[must_use]
    pub fn refuse_action(mut self, action: &str) -> Self {
        self.state.refused_action = Some(action.to_owned());
        self
    }

    /// Holds every answer until `gate` opens.
    #[must_use]
    pub fn hold(mut self, gate: Gate) -> Self {
        self.state.gate = Some(gate);
        self
    }

    /// Waits this long before each answer, in real time: for demonstrations. Tests hold a gate.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.state.delay = delay;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub fn start(self) -> io::Result<TokenServer> {
        let state = Arc::new(self.state);
        let serving = Arc::clone(&state);
        let server = Server::start(&self.listen, move |request: &RecordedRequest| {
            serving.answer(request)
        })?;
        Ok(TokenServer { server, state })
    }
}

/// Where an answer carries its token: the specification allows either name, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Member {
    /// `access_token`, as OAuth 2.0 calls it.
    AccessToken,
    /// Both, with the same value.
    Both,
    /// `token`.
    Token,
}

#[derive(Debug)]
struct State {
    issuer: Arc<Issuer>,
    service: String,
    users: Vec<(String, String)>,
    anonymous: bool,
    lifetime: Duration,
    announcement: Announcement,
    member: Member,
    grant: Option<Grant>,
    refused_action: Option<String>,
    gate: Option<Gate>,
    delay: Duration,
    scripted: Mutex<Scripted>,
}

#[derive(Debug)]
enum Announcement {
    Lifetime,
    Other(Option<Value>),
}

#[derive(Debug, Default)]
struct Scripted {
    next: Vec<ScriptedResponse>,
    always: Option<ScriptedResponse>,
}

impl Scripted {
    fn take(&mut self) -> Option<ScriptedResponse> {
        if self.next.is_empty() {
            self.always.clone()
        } else {
            Some(self.next.remove(0))
        }
    }
}

struct Grant(Box<Decision>);

type Decision = dyn Fn(Option<&str>, &GrantedAccess) -> Vec<String> + Send + Sync;

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant(..)")
    }
}

impl State {
    fn answer(&self, request: &RecordedRequest) -> ScriptedResponse {
        // Decided before anything waits: requests held together are answered in order.
        let answer = self.decide(request).delay(self.delay);
        match &self.gate {
            Some(gate) => answer.hold(gate.clone()),
            None => answer,
        }
    }

    fn decide(&self, request: &RecordedRequest) -> ScriptedResponse {
        if let Some(answer) = unpoisoned(&self.scripted).take() {
            return answer;
        }
        if request.path() != "/token" {
            return ScriptedResponse::status(StatusCode::NOT_FOUND);
        }
        if request.method != Method::GET {
            return ScriptedResponse::status(StatusCode::METHOD_NOT_ALLOWED)
                .header(ALLOW, HeaderValue::from_static("GET"));
        }
        let Ok(user) = self.user(request) else {
            return unauthorized();
        };
        let asked = Asked::read(request.query());
        if asked.service.is_some_and(|service| service != self.service) {
            return ScriptedResponse::json(&json!({"details": "unknown service"}))
                .with_status(StatusCode::BAD_REQUEST);
        }
        let refused = self.refused_action.as_ref();
        let is_refused =
            |entry: &GrantedAccess| refused.is_some_and(|refused| entry.actions.contains(refused));
        if asked.access.iter().any(is_refused) {
            return ScriptedResponse::json(&json!({"details": "could not decode the scope"}))
                .with_status(StatusCode::BAD_REQUEST);
        }
        self.token(user, asked.access)
    }

    /// Who asks: `Ok(None)` is nobody, which is allowed here.
    fn user(&self, request: &RecordedRequest) -> Result<Option<&str>, WrongCredentials> {
        let Some(authorization) = request.headers.get(AUTHORIZATION) else {
            return if self.anonymous {
                Ok(None)
            } else {
                Err(WrongCredentials)
            };
        };
        let encoded = authorization
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Basic "));
        let pair = encoded
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .unwrap_or_default();
        self.users
            .iter()
            .find(|(name, password)| format!("{name}:{password}").as_bytes() == pair)
            .map(|(name, _)| Some(name.as_str()))
            .ok_or(WrongCredentials)
    }

    fn token(&self, user: Option<&str>, mut access: Vec<GrantedAccess>) -> ScriptedResponse {
        if let Some(Grant(grant)) = &self.grant {
            for entry in &mut access {
                entry.actions = grant(user, entry);
            }
        }
        let token = self.issuer.issue(
            user.unwrap_or_default(),
            &self.service,
            self.lifetime,
            access,
        );
        let mut document = serde_json::Map::new();
        if self.member != Member::AccessToken {
            document.insert("token".to_owned(), Value::from(token.as_str()));
        }
        if self.member != Member::Token {
            document.insert("access_token".to_owned(), Value::from(token.as_str()));
        }
        let announced = match &self.announcement {
            Announcement::Lifetime => Some(Value::from(self.lifetime.as_secs())),
            Announcement::Other(value) => value.clone(),
        };
        if let Some(seconds) = announced {
            document.insert("expires_in".to_owned(), seconds);
        }
        ScriptedResponse::json(&Value::Object(document))
            .header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }
}

struct WrongCredentials;

/// What the query of a token request asks for.
struct Asked {
    service: Option<String>,
    access: Vec<GrantedAccess>,
}

impl Asked {
    /// Scopes come in several `scope` parameters, in one separated by spaces, or both.
    fn read(query: &str) -> Self {
        let mut asked = Self {
            service: None,
            access: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "service" => asked.service = Some(value.into_owned()),
                "scope" => asked
                    .access
                    .extend(value.split(' ').filter_map(GrantedAccess::parse)),
                _ => {}
            }
        }
        asked
    }
}

fn unauthorized() -> ScriptedResponse {
    ScriptedResponse::json(&json!({"details": "incorrect username or password"}))
        .with_status(StatusCode::UNAUTHORIZED)
        .header(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"token\""),
        )
}

#[cfg(test)]
mod tests;
