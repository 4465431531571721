//! A second opinion on every step of a call, written from the rules.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use longshore_origin::{AddressClass, AddressPolicy, AddressRange, Hop, Peer, Scheme};
use longshore_proto::Host;
use longshore_proto::call::{Call, CallError, FailureClass, Sending, Step, Take, Verdict};
use longshore_proto::endpoint::{Access, Endpoint, Need};

use super::script::{ALLOWED, EXPIRED, Event, LIMITED, Setup, What};
use crate::answer::number;

/// What a call has done so far, by our own account.
pub(super) struct Watch<'a> {
    setup: &'a Setup,
    /// Why the next request is sent.
    cause: Cause,
    /// Which host is asked.
    at: usize,
    /// How often it was asked.
    attempts: u32,
    /// Whether `GET` was sent to this host in place of `HEAD`.
    get: bool,
    /// Whether this host has called a token expired.
    renewed: bool,
    /// The hop before, how many there were, and whether any was away from home.
    before: Option<Hop>,
    redirects: u32,
    left_home: bool,
    /// Whether each peer since the first hop was at a public address.
    all_public: bool,
    waited: Duration,
    stale: bool,
    grants: u32,
    sends: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    /// The first request to the first host.
    Start,
    /// `HEAD` was not answered, and `GET` is sent in its place.
    Get,
    /// The authenticator had something new to say.
    Granted,
    NextHost,
    Redirect,
    /// After a wait.
    Repeat,
    /// After a connection that was stale.
    Stale,
}

impl<'a> Watch<'a> {
    pub(super) fn new(setup: &'a Setup) -> Self {
        Self {
            setup,
            cause: Cause::Start,
            at: 0,
            attempts: 1,
            get: false,
            renewed: false,
            before: None,
            redirects: 0,
            left_home: false,
            all_public: true,
            waited: Duration::ZERO,
            stale: false,
            grants: 0,
            sends: 0,
        }
    }

    /// RT1, RT3: a wait is short, and so are all together.
    pub(super) fn waits(&mut self, wait: Duration) {
        if self.cause == Cause::Start {
            return assert_eq!(wait, self.setup.ask.delay);
        }
        assert_eq!(self.cause, Cause::Repeat, "a wait for nothing");
        self.waited += wait;
        assert!(self.waited <= WAITS_LIMIT, "waited {:?}", self.waited);
    }

    pub(super) fn sends(&mut self, sending: &Sending, attempts: u32) {
        self.sends += 1;
        assert!(self.sends <= SENDS_LIMIT, "{} requests", self.sends);
        match self.cause {
            Cause::Granted => {}
            Cause::Redirect => self.is_followed(&sending.hop),
            Cause::NextHost => {
                self.at += 1;
                self.attempts = 1;
                (self.get, self.renewed) = (false, false);
                self.begins_at_home(&sending.hop);
            }
            Cause::Get => {
                self.get = true;
                self.attempts = 1;
                self.begins_at_home(&sending.hop);
            }
            Cause::Repeat => {
                self.attempts += 1;
                self.begins_at_home(&sending.hop);
            }
            Cause::Start | Cause::Stale => self.begins_at_home(&sending.hop),
        }
        assert!(self.attempts <= self.attempts_limit(), "RT1");
        assert_eq!(attempts, self.attempts);
        self.carries_the_endpoint(sending);
        self.before = Some(sending.hop.clone());
    }

    fn begins_at_home(&mut self, hop: &Hop) {
        (self.redirects, self.left_home, self.all_public) = (0, false, true);
        let host = self.host();
        assert_eq!(hop.origin(), host.origin());
        assert_eq!(hop.home(), host.origin());
        assert!(hop.is_home());
        assert_eq!(hop.policy(), AddressPolicy::Any);
        let written = self.endpoint().write(host);
        assert_eq!(hop.path_and_query(), written.path_and_query);
    }

    /// RD1, RD2: how often a redirect is followed, and where to.
    fn is_followed(&mut self, hop: &Hop) {
        self.redirects += 1;
        assert!(self.redirects <= REDIRECTS_LIMIT, "RD1");
        let home = self.host().origin().clone();
        assert_eq!(*hop.home(), home);
        self.left_home |= *hop.origin() != home;
        assert_eq!(hop.is_home(), !self.left_home, "RD1: {hop:?}");
        let before = self.before.as_ref().map(|hop| hop.origin().scheme());
        if before == Some(Scheme::Https) {
            assert_eq!(hop.origin().scheme(), Scheme::Https, "RD2: {hop:?}");
        }
        if self.left_home {
            assert_ne!(hop.policy(), AddressPolicy::Any, "RD2: {hop:?}");
            self.is_no_narrower(hop);
        }
    }

    /// RD2: a public registry does not lead into private networks, and nobody to a class *never*.
    fn is_no_narrower(&self, hop: &Hop) {
        let address = hop.origin().address();
        let class = address.map(AddressClass::of);
        assert_ne!(class, Some(AddressClass::Never), "RD2: {hop:?}");
        if !self.all_public {
            return;
        }
        let allowed = |address: IpAddr| {
            let range = ALLOWED.parse::<AddressRange>();
            self.setup.allowed && range.is_ok_and(|range| range.contains(address))
        };
        let is_allowed = address.is_some_and(allowed);
        let is_public = class.is_none_or(|class| class == AddressClass::Public);
        assert!(is_public || is_allowed, "RD2: {hop:?}");
        assert!(
            address.is_some() || !hop.origin().is_loopback_name(),
            "RD2: {hop:?}"
        );
    }

    /// RD1, DG6: the headers of each hop are the endpoint's own, and none is a secret.
    fn carries_the_endpoint(&self, sending: &Sending) {
        let host = self.host();
        let written = self.endpoint().write(host);
        assert_eq!(sending.headers, written.headers, "RD1");
        assert_eq!(sending.method, written.method);
        let coding = sending.headers.get(header::ACCEPT_ENCODING);
        assert!(coding.is_some_and(|coding| coding == "identity"), "DG6");
        for secret in [
            header::AUTHORIZATION,
            header::PROXY_AUTHORIZATION,
            header::COOKIE,
        ] {
            assert!(!sending.headers.contains_key(secret), "CR1, CR10");
        }
        match (&*self.endpoint(), sending.needs.as_slice()) {
            (Endpoint::Ping, []) | (Endpoint::Catalogue(_), [Need::Catalogue]) => {}
            (_, [Need::Repository { name, access }]) => {
                assert_eq!(*access, Access::Pull, "CR8");
                let path = format!("/v2/{name}/");
                assert!(written.path_and_query.starts_with(&path), "CR8: {name}");
            }
            (endpoint, needs) => panic!("CR8: {endpoint} needs {needs:?}"),
        }
    }

    /// Tells the call what came; gives what it does next, or nothing when it is over.
    pub(super) fn hears(&mut self, call: &mut Call, sending: Sending, line: &[u8]) -> Option<Step> {
        let event = Event::read(line);
        let Peer { class, .. } = event.peer;
        self.all_public &= class == Some(AddressClass::Public);
        let head = match &event.what {
            What::Head(head) => head,
            What::Fails(failure) => {
                let step = call.on_error(*failure, event.jitter);
                self.after_failure(*failure, &step);
                return Some(step);
            }
        };
        call.sends_secret(event.secret);
        let mut verdict = call.on_head(head, event.peer, event.jitter);
        if let Verdict::Excerpt = verdict {
            assert!(!self.is_head(), "an answer to HEAD has no body");
            assert!(matches!(head.status.as_u16(), 400 | 401 | 403));
            verdict = call.on_refusal(head, event.body, event.jitter);
        }
        match verdict {
            Verdict::Answer(take) => {
                self.is_final(head.status, &head.headers, take);
                None
            }
            Verdict::Excerpt => panic!("the body was read already"),
            Verdict::Authenticate => {
                assert!(matches!(head.status.as_u16(), 401 | 403));
                self.asks_the_authenticator(call, sending, event.denies)
            }
            Verdict::Renew => {
                assert!(event.secret && event.body == EXPIRED, "CR7");
                assert!(!std::mem::replace(&mut self.renewed, true), "CR7");
                self.asks_the_authenticator(call, sending, event.denies)
            }
            Verdict::Next(step) => {
                let limited = head.status == StatusCode::FORBIDDEN && event.body == LIMITED;
                let status = match (limited, &step) {
                    // RT2
                    (true, Step::Wait(_)) => StatusCode::TOO_MANY_REQUESTS,
                    _ => head.status,
                };
                self.after_head(status, &head.headers, &step);
                Some(step)
            }
        }
    }

    fn asks_the_authenticator(
        &mut self,
        call: &mut Call,
        sending: Sending,
        denies: bool,
    ) -> Option<Step> {
        if denies || self.grants == GRANTS_LIMIT {
            self.cause = Cause::NextHost;
            let step = call.denied();
            assert_eq!(step.is_some(), self.has_next_host());
            return step;
        }
        self.grants += 1;
        self.cause = Cause::Granted;
        Some(Step::Send(Box::new(sending)))
    }

    /// What is sent to this host.
    fn endpoint(&self) -> Cow<'a, Endpoint> {
        let endpoint = &self.setup.ask.endpoint;
        match endpoint.with_get() {
            Some(get) if self.get => Cow::Owned(get),
            _ => Cow::Borrowed(endpoint),
        }
    }

    fn is_head(&self) -> bool {
        self.endpoint().with_get().is_some()
    }

    /// Whether this is `GET` in place of the `HEAD` that was sent last (DG2).
    fn is_get_for_head(&self, step: &Step) -> bool {
        matches!(step, Step::Send(sending) if self.is_head() && sending.method == Method::GET)
    }

    fn after_failure(&mut self, failure: FailureClass, step: &Step) {
        let first_stale = failure == FailureClass::Stale && !self.stale;
        self.stale |= first_stale;
        self.cause = match step {
            Step::Send(_) if first_stale => Cause::Stale,
            // RT5
            _ if first_stale => panic!("a stale connection earns one more attempt at once"),
            Step::Wait(wait) => {
                assert_ne!(failure, FailureClass::Fatal, "RT2");
                self.is_backoff(*wait);
                Cause::Repeat
            }
            step if self.is_get_for_head(step) => {
                assert!(self.left_home && failure != FailureClass::Fatal, "DG2");
                Cause::Get
            }
            Step::Send(_) => Cause::NextHost,
            Step::Fail(CallError::Failed { attempts }) => {
                assert_eq!(*attempts, self.attempts);
                assert!(!self.has_next_host(), "another host is left");
                Cause::NextHost
            }
            Step::Fail(error) => panic!("{error} after {failure:?}"),
        };
    }

    fn after_head(&mut self, status: StatusCode, headers: &HeaderMap, step: &Step) {
        self.cause = match step {
            Step::Send(_) if is_redirect(status) => Cause::Redirect,
            Step::Fail(_) if is_redirect(status) => Cause::Redirect,
            step if self.is_get_for_head(step) => {
                assert_ne!(status, StatusCode::TOO_MANY_REQUESTS, "RT3");
                let absent = matches!(status.as_u16(), 404 | 410);
                assert!(self.left_home || !absent, "DG2: {status}");
                Cause::Get
            }
            Step::Send(_) => {
                assert!(!status.is_success() && self.has_next_host());
                Cause::NextHost
            }
            Step::Wait(wait) => {
                assert!(is_repeated(status), "RT2: {status}");
                match asked(status, headers) {
                    Asked::Nothing => self.is_backoff(*wait),
                    Asked::Seconds(seconds) => assert_eq!(wait.as_secs(), seconds, "RT3"),
                    Asked::Otherwise => {}
                }
                assert!(*wait <= RETRY_AFTER_LIMIT, "RT3: {wait:?}");
                Cause::Repeat
            }
            Step::Fail(error) => panic!("{error} after {status}"),
        };
    }

    fn is_final(&self, status: StatusCode, headers: &HeaderMap, take: Take) {
        assert!(!is_redirect(status) && status != StatusCode::UNAUTHORIZED);
        let usable = status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE;
        assert!(usable || !self.has_next_host(), "another host is left");
        let spent = self.attempts == self.attempts_limit();
        if is_repeated(status) && !spent && asked(status, headers) == Asked::Nothing {
            let least = WAITS_LIMIT.saturating_sub(LONGEST_BACKOFF);
            assert!(self.waited > least, "RT1: {} attempts", self.attempts);
        }
        let expected = match (self.is_head(), status.is_success()) {
            (true, is_success) => {
                let code = status.as_u16();
                assert!(!matches!(code, 400 | 403 | 405 | 501), "DG2: {status}");
                assert!(
                    is_success || !self.left_home || code == 429,
                    "DG2: {status}"
                );
                Take::Nothing
            }
            (false, true) => self.setup.ask.take,
            (false, false) => Take::Excerpt,
        };
        assert_eq!(take, expected);
    }

    /// RT1: random in [100 ms, min(10 s, 0.5 s · 2^(n-1))].
    fn is_backoff(&self, wait: Duration) {
        let longest = Duration::from_millis(500 << (self.attempts - 1).min(8)).min(LONGEST_BACKOFF);
        let range = Duration::from_millis(100)..=longest;
        assert!(range.contains(&wait), "RT1: {wait:?} of {range:?}");
    }

    fn host(&self) -> &'a Host {
        let hosts = &self.setup.hosts;
        let host = hosts.get(self.at);
        host.unwrap_or_else(|| panic!("a host beyond the last of {}", hosts.len()))
    }

    fn has_next_host(&self) -> bool {
        self.at + 1 < self.setup.hosts.len()
    }

    fn attempts_limit(&self) -> u32 {
        self.setup.attempts.unwrap_or(ATTEMPTS_LIMIT)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// RT2
fn is_repeated(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// What an answer says of how long to wait (RT3).
#[derive(Debug, PartialEq)]
enum Asked {
    Nothing,
    Seconds(u64),
    /// A point in time, several fields, or nothing sensible.
    Otherwise,
}

fn asked(status: StatusCode, headers: &HeaderMap) -> Asked {
    let mut fields = headers.get_all(header::RETRY_AFTER).iter();
    match (status.as_u16(), fields.next(), fields.next()) {
        (429 | 503, Some(value), None) => {
            let digits = value.as_bytes().trim_ascii();
            let (seconds, rest) = number(digits);
            let is_number = !digits.is_empty() && rest.is_empty();
            if is_number && seconds <= 1_000_000_000 {
                Asked::Seconds(seconds)
            } else {
                Asked::Otherwise
            }
        }
        (429 | 503, Some(_), Some(_)) => Asked::Otherwise,
        _ => Asked::Nothing,
    }
}

// The limits as the rules state them; the crate has constants of its own.

/// RT1
const ATTEMPTS_LIMIT: u32 = 5;
/// RD1
const REDIRECTS_LIMIT: u32 = 5;
/// RT, "sum of waits per request"
const WAITS_LIMIT: Duration = Duration::from_secs(120);
/// RT3
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(60);
/// RT1
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// How often an authenticator has something new to say in one call, and more.
const GRANTS_LIMIT: u32 = 9;

/// Two hosts, each asked five times over five redirects with HEAD and with GET; one stale
/// connection; what is granted.
const SENDS_LIMIT: usize = 2 * 2 * 5 * 6 + 6 + 9;
