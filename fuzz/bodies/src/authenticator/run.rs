//! One call, driven a step at a time and watched.

use std::error::Error;
use std::fmt::Debug;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Request, Response};
use longshore_auth::{
    AuthCall, AuthError, Authorization, ExchangeAction, ExchangeEvent, Issued, Prepare, ScopeSet,
    TokenExchange, TokenKey,
};
use longshore_origin::{AddressClass, Hop, Origin, Peer, Scheme};

use super::script::{Answer, BASIC, GIVEN, SECRETS, TOKEN_MARK, What};
use super::{Issue, World, guard};

/// One call.
pub(super) struct Run {
    call: AuthCall,
    hop: Hop,
    /// Whether any hop was anywhere but home, by our own account.
    left_home: bool,
    /// Whether there was a realm to fall back on when the last request was prepared or refused.
    had_issuer: bool,
    stage: Stage,
    spent: Spent,
}

enum Stage {
    Prepare,
    /// A request is out.
    Sent,
    /// A token is wanted that another call may be fetching.
    Wait(TokenKey),
    /// A token request is out.
    Exchange(Box<TokenExchange>),
    Over,
}

#[derive(Debug, Default)]
struct Spent {
    steps: usize,
    lookups: u8,
    redirects: u8,
    sends: u8,
    token_requests: u8,
    /// Requests of the token exchange that is going on.
    exchange_sends: u8,
}

/// Whose turn it is.
#[derive(Clone, Copy)]
pub(super) enum Turn {
    Same,
    Other,
    Over,
}

impl Run {
    pub(super) fn new(world: &World<'_>) -> Self {
        let call = AuthCall::new();
        let offline = world.script.setup.offline;
        Self {
            call: if offline { call.offline() } else { call },
            hop: Hop::first(world.home.clone(), "/v2/tools/anchor/manifests/1")
                .unwrap_or_else(|error| panic!("{error}")),
            left_home: false,
            had_issuer: false,
            stage: Stage::Prepare,
            spent: Spent::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// The key this call is fetching a token for.
    pub(super) fn locked(&self) -> Option<&TokenKey> {
        match &self.stage {
            Stage::Exchange(exchange) => Some(exchange.key()),
            _ => None,
        }
    }

    /// Goes on by one thing a driver does; `locked` is the key another call holds.
    pub(super) fn step(&mut self, world: &mut World<'_>, locked: Option<&TokenKey>) -> Turn {
        self.spent.steps += 1;
        self.within_budget();
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Prepare => self.prepare(world),
            Stage::Sent => return self.hear(world),
            Stage::Wait(key) if Some(&key) == locked => {
                self.stage = Stage::Wait(key);
                return Turn::Other;
            }
            Stage::Wait(key) => self.begin(world, key),
            Stage::Exchange(exchange) => return self.hear_realm(world, exchange),
            Stage::Over => return Turn::Over,
        }
        Turn::Same
    }

    fn prepare(&mut self, world: &World<'_>) {
        let need = ScopeSet::pull(REPOSITORY);
        self.had_issuer = world.has_issuer;
        let auth = &world.authenticator;
        let prepared = auth.prepare(&mut self.call, &self.hop, &need, world.now);
        self.stage = match self.checked(world, prepared) {
            None => Stage::Over,
            Some(Prepare::Anonymous) => self.send(),
            Some(Prepare::Attach(authorization)) => {
                self.may_show(world, &authorization);
                self.send()
            }
            Some(Prepare::Lookup(origin)) => {
                assert_eq!(
                    origin, world.home,
                    "CR1: credentials are those of the registry"
                );
                assert!(
                    !self.left_home,
                    "CR5: none are looked for once home was left"
                );
                self.spent.lookups += 1;
                self.call
                    .provide(&origin, world.script.setup.credential.clone());
                Stage::Prepare
            }
            Some(Prepare::Fetch(key)) => {
                assert_eq!(key.registry(), self.hop.origin(), "CR6");
                Stage::Wait(key)
            }
        };
    }

    fn send(&mut self) -> Stage {
        self.spent.sends += 1;
        Stage::Sent
    }

    /// Takes the registry's answer, or that of wherever it has sent us.
    fn hear(&mut self, world: &mut World<'_>) -> Turn {
        let Answer {
            pause,
            other_next,
            what,
        } = world.script.answer();
        world.now += pause;
        match what {
            What::Challenge(fields) => self.challenged(world, &fields),
            What::Redirect(location) => self.redirected(world, location),
            What::Drop | What::Status(_) | What::Token(_) => {}
        }
        self.turn(other_next)
    }

    fn challenged(&mut self, world: &mut World<'_>, fields: &[&[u8]]) {
        let is_basic = |field: &&[u8]| {
            let mut words = field.windows(BASIC_SCHEME.len());
            words.any(|word| word.eq_ignore_ascii_case(BASIC_SCHEME))
        };
        world.asked_for_basic |= !self.left_home && fields.iter().any(is_basic);
        let head = head(401, &WWW_AUTHENTICATE, fields);
        self.had_issuer = world.has_issuer;
        let auth = &mut world.authenticator;
        let refused = auth.refused(&mut self.call, &self.hop, &head, peer());
        if self.checked(world, refused).is_some() {
            self.stage = Stage::Prepare;
        }
    }

    fn redirected(&mut self, world: &World<'_>, location: &[u8]) {
        self.spent.redirects += 1;
        if self.spent.redirects > REDIRECTS_LIMIT {
            return;
        }
        if let Ok(hop) = self.hop.follow(location, peer()) {
            self.left_home |= *hop.origin() != world.home;
            assert_eq!(hop.is_home(), !self.left_home, "RD1");
            self.hop = hop;
            self.stage = Stage::Prepare;
        }
    }

    /// Begins the token request, the lock on its key in hand.
    fn begin(&mut self, world: &World<'_>, key: TokenKey) {
        let begun = world.authenticator.begin(&mut self.call, &key, world.now);
        self.stage = match self.checked(world, begun) {
            None => Stage::Over,
            Some(None) => Stage::Prepare,
            Some(Some(mut exchange)) => {
                self.spent.token_requests += 1;
                self.spent.exchange_sends = 0;
                let action = exchange.start(world.now);
                assert!(matches!(action, ExchangeAction::Send), "{action:?}");
                self.ask_realm(world, &exchange);
                Stage::Exchange(Box::new(exchange))
            }
        };
    }

    /// Takes the token endpoint's answer.
    fn hear_realm(&mut self, world: &mut World<'_>, mut exchange: Box<TokenExchange>) -> Turn {
        let Answer {
            pause,
            other_next,
            what,
        } = world.script.answer();
        world.now += pause;
        let answer = match what {
            What::Challenge(fields) => Some((head(401, &WWW_AUTHENTICATE, &fields), Vec::new())),
            What::Drop => None,
            What::Redirect(location) => Some((head(307, &LOCATION, &[location]), Vec::new())),
            What::Status(status) => Some((head(status, &LOCATION, &[]), Vec::new())),
            What::Token(body) => Some((head(200, &LOCATION, &[]), world.token_response(body))),
        };
        let status = answer.as_ref().map(|(head, _)| head.status.as_u16());
        let form = exchange.request().into_body();
        let password = form.starts_with(b"grant_type=password");
        let refuses_post = match status {
            Some(404 | 405) => true,
            Some(400) => password,
            _ => false,
        };
        if !form.is_empty() && refuses_post {
            world.get_only.push(realm_of(&exchange));
        }
        let final_ = matches!(status, Some(401 | 403));
        let mut action = match &answer {
            Some((head, _)) => exchange.on(ExchangeEvent::Head(head, peer()), world.now, 0),
            None => {
                let broken = ExchangeEvent::Transient("the connection broke".into());
                exchange.on(broken, world.now, 0)
            }
        };
        if let (ExchangeAction::Collect { limit }, Some((_, body))) = (&action, &answer) {
            let event = if body.len() <= *limit {
                ExchangeEvent::Body(body)
            } else {
                ExchangeEvent::BodyTooLarge
            };
            action = exchange.on(event, world.now, 0);
        }
        match action {
            ExchangeAction::Send => {
                self.ask_realm(world, &exchange);
                self.stage = Stage::Exchange(exchange);
                self.turn(other_next)
            }
            ExchangeAction::Finish(result) => {
                self.finish(world, &exchange, result, final_, other_next)
            }
            ExchangeAction::Collect { .. } | ExchangeAction::Wait(_) => {
                panic!("{action:?} after {status:?}")
            }
        }
    }

    /// Ends the token request; `final_` says that the realm has refused the credentials.
    fn finish(
        &mut self,
        world: &mut World<'_>,
        exchange: &TokenExchange,
        result: Result<Issued, AuthError>,
        final_: bool,
        other_next: bool,
    ) -> Turn {
        if let Ok(issued) = &result {
            world.issues.push(self.issue(exchange, issued));
            world.has_issuer |= !self.left_home;
        }
        let key = exchange.key().clone();
        let auth = &mut world.authenticator;
        let finished = auth.finish(&mut self.call, key, result, world.now);
        assert!(
            !final_ || finished.is_err(),
            "CR7: the realm's refusal is final"
        );
        if self.checked(world, finished).is_some() {
            self.stage = Stage::Prepare;
        }
        self.turn(other_next)
    }

    fn issue(&self, exchange: &TokenExchange, issued: &Issued) -> Issue {
        Issue {
            token: issued.token.expose().to_owned(),
            registry: self.hop.origin().clone(),
            anonymous: !holds_secret(&wire(exchange)),
        }
    }

    fn turn(&self, other_next: bool) -> Turn {
        match (&self.stage, other_next) {
            (Stage::Over, _) => Turn::Over,
            (_, true) => Turn::Other,
            (_, false) => Turn::Same,
        }
    }

    /// What a result says or shows holds no secret, and an error is the end of the call.
    fn checked<T: Debug>(&mut self, world: &World<'_>, result: Result<T, AuthError>) -> Option<T> {
        let shown = format!("{result:?} {:?}", self.call);
        assert!(
            !holds_secret(&shown) && !shown.contains(TOKEN_MARK),
            "OU3: {shown}"
        );
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                shows_no_secret(&error);
                self.had_to_give_up(&error);
                let need = ScopeSet::pull(REPOSITORY);
                let auth = &world.authenticator;
                let again = auth.prepare(&mut self.call, &self.hop, &need, world.now);
                assert!(again.is_err(), "the call goes on after {error}");
                None
            }
        }
    }

    /// RE1–RE4: a realm that may not be asked, or none, is no reason where one has issued tokens.
    fn had_to_give_up(&self, error: &AuthError) {
        let for_want_of_a_realm = match error {
            AuthError::NoRealm { .. } | AuthError::Realm { .. } | AuthError::RealmRefused(_) => {
                true
            }
            AuthError::NoUsableChallenge { schemes, .. } => schemes.is_empty(),
            _ => false,
        };
        let had_to = self.left_home || !self.had_issuer;
        assert!(had_to || !for_want_of_a_realm, "{error}");
    }

    /// CR1, CR3, CR4, CR6, RD1: what may go with a request to the registry, or elsewhere.
    fn may_show(&self, world: &World<'_>, authorization: &Authorization) {
        let Some(header) = authorization.header(&self.hop) else {
            return;
        };
        assert!(header.is_sensitive(), "OU3");
        if let Ok(elsewhere) = self.hop.follow(ELSEWHERE, peer()) {
            assert_eq!(authorization.header(&elsewhere), None, "CR1");
        }
        let text = String::from_utf8_lossy(header.as_bytes());
        let at_home = !self.left_home && *self.hop.origin() == world.home;
        let setup = &world.script.setup;
        assert!(
            guard::is_secure(setup, self.hop.origin()),
            "CR4: {}",
            self.hop.origin()
        );
        match text.split_once(' ') {
            Some(("Basic", BASIC)) => {
                assert!(at_home, "CR1: a password for {}", self.hop.origin());
                assert!(world.asked_for_basic, "CR3: nobody asked for Basic");
            }
            Some(("Bearer", GIVEN)) => {
                assert!(at_home, "CR1: the user's token for {}", self.hop.origin());
            }
            Some(("Bearer", token)) => {
                let fits = |issue: &Issue| {
                    issue.token == token
                        && issue.registry == *self.hop.origin()
                        && (issue.anonymous || at_home)
                };
                let fits = world.issues.iter().any(fits);
                assert!(fits, "CR6: {token} for {}", self.hop.origin());
            }
            _ => panic!("{text} is nothing anybody has"),
        }
    }

    /// CR5, CR8, RE1–RE4, RE6: who may be asked for a token, with what, and for what.
    fn ask_realm(&mut self, world: &World<'_>, exchange: &TokenExchange) {
        self.spent.exchange_sends += 1;
        let setup = &world.script.setup;
        let registry = self.hop.origin();
        let request = exchange.request();
        let realm = origin_of(&request);
        assert_eq!(realm, *exchange.key().realm().origin(), "RE6");
        let allowed = guard::may_be_asked(setup, registry, !self.left_home, &realm);
        assert!(allowed, "RE1–RE3: {registry} has us ask {realm}");
        let text = wire(exchange);
        let is_post = !request.body().is_empty();
        let refused = world.get_only.contains(&realm_of(exchange));
        assert!(!is_post || !refused, "{realm} is sent a POST again");
        if holds_secret(&text) {
            assert!(!self.left_home, "CR5: {realm} is shown credentials");
            let trusted = guard::may_see_credentials(setup, registry, &realm);
            assert!(trusted, "RE4: {realm} is shown credentials for {registry}");
            assert!(
                !text.contains(GIVEN),
                "CR1: a given token is for the registry only"
            );
        }
        if self.spent.exchange_sends == 1 && !guard::is_own(registry, &realm) {
            asks_no_more_than_needed(exchange, &request);
        }
    }

    fn within_budget(&self) {
        let spent = &self.spent;
        assert!(spent.steps <= STEPS_LIMIT, "{spent:?}");
        assert!(spent.sends <= SENDS_LIMIT, "{spent:?}");
        assert!(spent.lookups <= 1, "{spent:?}");
        assert!(
            spent.token_requests <= TOKEN_REQUESTS_LIMIT,
            "CR7: {spent:?}"
        );
        assert!(
            spent.exchange_sends <= 1 + TOKEN_REDIRECTS_LIMIT,
            "RE6: {spent:?}"
        );
    }
}

impl World<'_> {
    /// The body of a token response: as the script has it, or with a token nobody has seen.
    fn token_response(&self, body: &[u8]) -> Vec<u8> {
        if body.starts_with(b"{") {
            return body.to_vec();
        }
        let lifetime = super::script::number(body).0;
        let number = self.issues.len();
        format!(r#"{{"token":"{TOKEN_MARK}{number}","expires_in":{lifetime}}}"#).into_bytes()
    }
}

/// CR8: beside what the realm's own query says, scopes name our repository and `pull` alone.
fn asks_no_more_than_needed(exchange: &TokenExchange, request: &Request<Bytes>) {
    let own = exchange.key().realm().path_and_query();
    let path_and_query = request.uri().path_and_query();
    let asked = path_and_query.map_or("", |text| text.as_str());
    let added = asked
        .strip_prefix(own)
        .unwrap_or_else(|| panic!("RE6: {asked} is not {own}"));
    let form = String::from_utf8_lossy(request.body());
    for pair in added.split(['?', '&']).chain(form.split('&')) {
        if let Some(scope) = pair.strip_prefix("scope=") {
            assert_eq!(scope, NEEDED, "CR8: of {}", exchange.key().realm().origin());
        }
    }
}

/// Where tokens are issued, path and all.
fn realm_of(exchange: &TokenExchange) -> String {
    let realm = exchange.key().realm();
    format!("{}{}", realm.origin(), realm.path_and_query())
}

/// Everything of a token request that goes onto the wire.
fn wire(exchange: &TokenExchange) -> String {
    let request = exchange.request();
    let authorization = request.headers().get(AUTHORIZATION);
    let authorization = authorization.map(HeaderValue::as_bytes).unwrap_or_default();
    format!(
        "{} {} {}",
        request.uri(),
        String::from_utf8_lossy(authorization),
        String::from_utf8_lossy(request.body())
    )
}

fn origin_of<B>(request: &Request<B>) -> Origin {
    let scheme = match request.uri().scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        other => panic!("a request without a scheme we know: {other:?}"),
    };
    let authority = request
        .uri()
        .authority()
        .map_or("", |authority| authority.as_str());
    Origin::from_authority(scheme, authority).unwrap_or_else(|error| panic!("{error}"))
}

fn shows_no_secret(error: &dyn Error) {
    let mut next = Some(error);
    while let Some(error) = next {
        let shown = error.to_string();
        let plain = !shown.contains(char::is_control) && !shown.contains(TOKEN_MARK);
        assert!(plain && !holds_secret(&shown), "OU1, OU3: {shown:?}");
        next = error.source();
    }
}

fn holds_secret(text: &str) -> bool {
    SECRETS.into_iter().any(|secret| text.contains(secret))
}

/// A response head; values no header can hold are left out, as a transport would.
fn head(status: u16, name: &HeaderName, values: &[&[u8]]) -> Parts {
    let mut response = Response::new(());
    if let Ok(status) = http::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    for value in values
        .iter()
        .flat_map(|value| HeaderValue::from_bytes(value))
    {
        response.headers_mut().append(name, value);
    }
    response.into_parts().0
}

/// Every peer was reached at a public address.
fn peer() -> Peer {
    Peer::new(Some(AddressClass::Public), false)
}

const REPOSITORY: &str = "tools/anchor";
/// Where no script goes.
const ELSEWHERE: &[u8] = b"https://nobody.invalid/";
/// The scope of a pull from [`REPOSITORY`], percent-encoded.
const NEEDED: &str = "repository%3Atools%2Fanchor%3Apull";

const BASIC_SCHEME: &[u8] = b"basic";

// The limits as the rules state them; the crate has constants of its own.

/// RD1
const REDIRECTS_LIMIT: u8 = 5;
/// RE6
const TOKEN_REDIRECTS_LIMIT: u8 = 2;
/// CR7
const TOKEN_REQUESTS_LIMIT: u8 = 2;

/// What may end in a redirect, what may be refused unasked at home and at each hop, a guess, a
/// password and two tokens that turn out wrong, and the last.
const SENDS_LIMIT: u8 = REDIRECTS_LIMIT + (1 + REDIRECTS_LIMIT) + 4 + 1;

/// Far more than the sends and token requests a call may have need.
pub(super) const STEPS_LIMIT: usize = 100;
