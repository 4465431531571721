//! Token exchanges, against endpoints and drivers that do anything.

use std::time::Duration;

use http::Response;
use http::header::{LOCATION, WWW_AUTHENTICATE};
use http::response::Parts;
use longshore_auth::{
    AuthCall, Authenticator, Credential, ExchangeAction, ExchangeEvent, Prepare, ScopeSet,
    TOKEN_EXCHANGE_LIMIT, TOKEN_REDIRECTS_LIMIT, TokenExchange,
};
use longshore_origin::{Hop, Peer, Secret};
use proptest::prelude::*;

proptest! {
    /// RT1, RE6, and 30 s in all: whatever is reported, an exchange ends within its attempts,
    /// redirects and time. Nothing follows a refusal (CR7).
    #[test]
    fn any_script_ends_an_exchange_within_its_budget(
        offline: bool,
        attempts in 0_u32..6,
        script in prop::collection::vec((event(), 0_u64..8_000), 0..40),
        obedient: bool,
    ) {
        let mut exchange = exchange(offline).with_retries(attempts, rule);
        let started = Duration::from_secs(7);
        let mut now = started;
        let mut action = exchange.start(now);
        let (mut sends, mut waits, mut waited) = (0, 0, Duration::ZERO);
        let (mut last, mut refused) = (None, false);
        let rest = vec![(Event::Fatal, 0); 20];
        for (event, pause) in script.iter().chain(&rest) {
            // An obedient driver reports what belongs to the action, any other just anything.
            let event = match &action {
                ExchangeAction::Finish(_) => break,
                ExchangeAction::Send => {
                    prop_assert!(now - started < TOKEN_EXCHANGE_LIMIT);
                    sends += 1;
                    if obedient { event.of_a_send() } else { event.clone() }
                }
                ExchangeAction::Collect { .. } if obedient => event.of_a_body(),
                ExchangeAction::Wait(wait) => {
                    waits += 1;
                    waited += *wait;
                    prop_assert!(now + *wait < started + TOKEN_EXCHANGE_LIMIT);
                    if obedient { now += *wait; Event::Waited } else { event.clone() }
                }
                ExchangeAction::Collect { .. } => event.clone(),
            };
            now += Duration::from_millis(*pause);
            let head = event.head();
            last = head.as_ref().map(|head| head.status.as_u16());
            action = exchange.on(event.report(head.as_ref()), now, 0);
            // CR7: a refusal is final; only its text is read.
            refused |= matches!(last, Some(401 | 403));
            if refused {
                let text = matches!(action, ExchangeAction::Collect { limit } if limit == 65_536);
                let over = matches!(action, ExchangeAction::Finish(Err(_)));
                prop_assert!(text || over, "{:?}", action);
            }
        }
        prop_assert!(matches!(action, ExchangeAction::Finish(_)), "{:?} {:?}", action, last);
        let attempts = attempts.max(1);
        prop_assert!(sends <= attempts + u32::from(TOKEN_REDIRECTS_LIMIT), "{} sends", sends);
        prop_assert!(waits < attempts, "{} waits", waits);
        prop_assert!(waited < TOKEN_EXCHANGE_LIMIT);
    }
}

#[derive(Clone, Debug)]
enum Event {
    Body(&'static str),
    Fatal,
    Head(u16),
    Interrupted,
    TooLarge,
    Transient,
    Waited,
}

impl Event {
    fn of_a_send(&self) -> Self {
        match self {
            Self::Head(_) | Self::Fatal | Self::Transient => self.clone(),
            _ => Self::Head(200),
        }
    }

    fn of_a_body(&self) -> Self {
        match self {
            Self::Body(_) | Self::Interrupted | Self::TooLarge => self.clone(),
            _ => Self::Interrupted,
        }
    }

    fn head(&self) -> Option<Parts> {
        let Self::Head(status) = self else {
            return None;
        };
        let response = Response::builder().status(*status).header(LOCATION, "/t");
        Some(response.body(()).unwrap().into_parts().0)
    }

    fn report<'a>(&'a self, head: Option<&'a Parts>) -> ExchangeEvent<'a> {
        match (self, head) {
            (Self::Body(body), _) => ExchangeEvent::Body(body.as_bytes()),
            (Self::Head(_), Some(head)) => ExchangeEvent::Head(head, Peer::default()),
            (Self::Interrupted, _) => ExchangeEvent::BodyInterrupted("reset".into()),
            (Self::TooLarge, _) => ExchangeEvent::BodyTooLarge,
            (Self::Transient, _) => ExchangeEvent::Transient("reset".into()),
            (Self::Waited, _) => ExchangeEvent::Waited,
            (Self::Fatal | Self::Head(_), _) => ExchangeEvent::Fatal("no certificate".into()),
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let status = prop::sample::select(&[200, 307, 307, 400, 401, 403, 404, 405, 429, 500, 503][..]);
    let body = prop::sample::select(&[r#"{"token":"t"}"#, r#"{"error":"invalid_grant"}"#, ""][..]);
    prop_oneof![
        5 => status.prop_map(Event::Head),
        1 => body.prop_map(Event::Body),
        1 => Just(Event::Interrupted),
        1 => Just(Event::TooLarge),
        3 => Just(Event::Transient),
        1 => Just(Event::Fatal),
        1 => Just(Event::Waited),
    ]
}

/// A rule that always wants another attempt, sometimes at once.
fn rule(failed: u32, _: Option<&Parts>, _: u32) -> Option<Duration> {
    Some(Duration::from_secs(u64::from(failed % 2) * 10))
}

/// An exchange with a password, by GET or, where a refresh token is requested as well, by POST.
fn exchange(offline: bool) -> TokenExchange {
    let challenge = r#"Bearer realm="https://r.example/token",service="r""#;
    let refusal = Response::builder().status(401);
    let refusal = refusal.header(WWW_AUTHENTICATE, challenge).body(());
    let (refusal, ()) = refusal.unwrap().into_parts();
    let hop = Hop::first("https://r.example".parse().unwrap(), "/v2/").unwrap();
    let mut auth = Authenticator::new();
    let mut call = AuthCall::new();
    if offline {
        call = call.offline();
    }
    let password = Secret::new("hunter2".to_owned());
    call.provide(hop.home(), Credential::basic("me", password).ok());
    auth.refused(&mut call, &hop, &refusal, Peer::default())
        .unwrap();
    let need = ScopeSet::pull("app");
    let prepared = auth.prepare(&mut call, &hop, &need, Duration::ZERO);
    let Ok(Prepare::Fetch(key)) = prepared else {
        panic!("{prepared:?}")
    };
    let exchange = auth.begin(&mut call, &key, Duration::ZERO).unwrap();
    exchange.unwrap()
}
