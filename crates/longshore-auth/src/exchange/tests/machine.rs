//! Tests of every transition of the machine.

use longshore_origin::Secret;

use super::*;

/// An event, or time that passes before the next one.
enum E {
    Body(&'static str),
    Fatal,
    Head(u16),
    Interrupted,
    Pass(u64),
    RetryAfter(u16, u64),
    Redirect(&'static str),
    TooLarge,
    Transient,
    Waited,
}

const TOKEN: &str = r#"{"token":"t"}"#;

/// Plays events and lists the actions, up to the end.
fn play(mut exchange: TokenExchange, events: &[E]) -> String {
    let started = Duration::from_secs(1_000);
    let mut now = started;
    let mut actions = vec![exchange.start(now)];
    for event in events {
        let parts = |status: u16, field: &str, value: &str| {
            let response = Response::builder().status(status).header(field, value);
            response.body(()).unwrap().into_parts().0
        };
        let head;
        let event = match event {
            E::Pass(seconds) => {
                now += Duration::from_secs(*seconds);
                continue;
            }
            E::Head(status) => {
                head = parts(*status, "x-nothing", "");
                ExchangeEvent::Head(&head, Peer::default())
            }
            E::RetryAfter(status, seconds) => {
                head = parts(*status, "retry-after", &seconds.to_string());
                ExchangeEvent::Head(&head, Peer::default())
            }
            E::Redirect(location) => {
                head = parts(307, "location", location);
                ExchangeEvent::Head(&head, Peer::default())
            }
            E::Body(body) => ExchangeEvent::Body(body.as_bytes()),
            E::Fatal => ExchangeEvent::Fatal("no certificate".into()),
            E::Interrupted => ExchangeEvent::BodyInterrupted("reset in the body".into()),
            E::TooLarge => ExchangeEvent::BodyTooLarge,
            E::Transient => ExchangeEvent::Transient("reset".into()),
            E::Waited => ExchangeEvent::Waited,
        };
        actions.push(exchange.on(event, now, 7));
    }
    actions.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn shown(action: &ExchangeAction) -> String {
    match action {
        ExchangeAction::Collect { limit } if *limit == ERROR_BODY_LIMIT_BYTES => "Text".to_owned(),
        ExchangeAction::Collect { limit } => {
            assert_eq!(*limit, TOKEN_RESPONSE_LIMIT_BYTES);
            "Collect".to_owned()
        }
        ExchangeAction::Finish(Ok(issued)) => format!("token {}", issued.token.expose()),
        ExchangeAction::Finish(Err(error)) => {
            let source = std::error::Error::source(error);
            source.map_or_else(|| name_of(error), |source| format!("error: {source}"))
        }
        ExchangeAction::Send => "Send".to_owned(),
        ExchangeAction::Wait(wait) => format!("Wait {}", wait.as_millis()),
    }
}

fn name_of(error: &AuthError) -> String {
    let text = format!("{error:?}");
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Waits `failed` seconds, plus `jitter` milliseconds.
fn rule(failed: u32, answer: Option<&Parts>, jitter: u32) -> Option<Duration> {
    let backoff = Duration::from_secs(failed.into()) + Duration::from_millis(jitter.into());
    let Some(head) = answer else {
        return Some(backoff);
    };
    let asked = head.headers.get("retry-after");
    let asked = asked.and_then(|value| value.to_str().ok()?.parse().ok());
    matches!(head.status.as_u16(), 429 | 503).then(|| asked.map_or(backoff, Duration::from_secs))
}

/// A GET with a password.
fn get() -> TokenExchange {
    exchange(basic_account())
}

/// A POST with a password.
fn post() -> TokenExchange {
    let key = key("https://a.example/t", "r", SCOPES, basic_account());
    let options = RequestOptions {
        offline: true,
        get_only: false,
    };
    TokenExchange::new(key, options).unwrap()
}

/// A POST with an identity token.
fn refresh() -> TokenExchange {
    exchange(Some(Credential::IdentityToken(Secret::new("t".into()))))
}

#[track_caller]
fn check(make: fn() -> TokenExchange, events: &[E], expected: &str) {
    assert_eq!(play(make().with_retries(3, rule), events), expected);
}

#[test]
fn a_success_is_collected_and_read() {
    check(
        get,
        &[E::Head(200), E::Body(TOKEN)],
        "Send, Collect, token t",
    );
    let no_token = "Send, Collect, error: the token response has no token";
    check(get, &[E::Head(200), E::Body("{}")], no_token);
}

// LI1: a body that is too long is not read to its end, and the token is not requested again.
#[test]
fn li1_a_body_above_the_limit_is_final() {
    let too_long = "Send, Collect, error: the token response is longer than 262144 bytes";
    check(get, &[E::Head(200), E::TooLarge], too_long);
}

// RE6: at most two redirects; a redirect is not an attempt, and each attempt may have two.
#[test]
fn re6_redirects_are_followed_twice_over_all_attempts() {
    check(
        get,
        &[
            E::Redirect("/a"),
            E::Transient,
            E::Waited,
            E::Redirect("/b"),
            E::Redirect("/c"),
        ],
        "Send, Send, Wait 1007, Send, Send, error: more than 2 redirects, or a redirect of a POST",
    );
}

// RT1: three attempts, and a wait before each but the first.
#[test]
fn rt1_what_passes_is_retried_as_often_as_allowed() {
    check(
        get,
        &[
            E::Transient,
            E::Waited,
            E::Head(503),
            E::Waited,
            E::Head(200),
            E::Body(TOKEN),
        ],
        "Send, Wait 1007, Send, Wait 2007, Send, Collect, token t",
    );
    check(
        get,
        &[
            E::Head(200),
            E::Interrupted,
            E::Waited,
            E::Transient,
            E::Waited,
            E::Transient,
        ],
        "Send, Collect, Wait 1007, Send, Wait 2007, Send, error: reset",
    );
    check(
        get,
        &[
            E::Head(200),
            E::Interrupted,
            E::Waited,
            E::Head(200),
            E::Interrupted,
            E::Waited,
            E::Head(200),
            E::Interrupted,
        ],
        "Send, Collect, Wait 1007, Send, Collect, Wait 2007, Send, Collect, error: reset in the \
         body",
    );
}

// RT2, RT3: the rule decides which statuses are retried, and when.
#[test]
fn rt3_the_rule_decides_about_other_statuses() {
    check(
        get,
        &[E::RetryAfter(429, 3), E::Waited, E::Head(404), E::Body("")],
        "Send, Wait 3000, Send, Text, error: the answer is 404 Not Found",
    );
    check(
        get,
        &[E::Head(500), E::Body("try later")],
        "Send, Text, error: the answer is 500 Internal Server Error (it says: try later)",
    );
    // Without a rule there is one attempt.
    let actions = play(get(), &[E::Transient]);
    assert_eq!(actions, "Send, error: reset");
    let actions = play(get(), &[E::Head(503), E::Interrupted]);
    assert_eq!(
        actions,
        "Send, Text, error: the answer is 503 Service Unavailable"
    );
}

#[test]
fn a_fatal_failure_is_not_retried() {
    check(get, &[E::Fatal], "Send, error: no certificate");
}

// CR7: a refusal is final, whatever the rule says and whatever its body does.
#[test]
fn cr7_a_refusal_is_never_retried() {
    fn always(_: u32, _: Option<&Parts>, _: u32) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    for status in [401, 403] {
        for make in [get, post, refresh] {
            for event in [E::Body(TOKEN), E::Interrupted, E::TooLarge] {
                let make = make().with_retries(9, always);
                let actions = play(make, &[E::Head(status), event]);
                assert_eq!(actions, "Send, Text, CredentialsRefused");
            }
        }
        let anonymous = exchange(None).with_retries(9, always);
        assert_eq!(
            play(anonymous, &[E::Head(status), E::Body("")]),
            "Send, Text, CredentialsRequired"
        );
    }
    let collected = |event| play(post().with_retries(9, always), &[E::Head(400), event]);
    let refused = collected(E::Body(r#"{"error":"invalid_grant"}"#));
    assert_eq!(refused, "Send, Collect, CredentialsRefused");
    for event in [E::Body(""), E::Interrupted, E::TooLarge] {
        let post_refused = "Send, Collect, error: the answer to a POST is 400 Bad Request";
        assert_eq!(collected(event), post_refused);
    }
    for make in [post, refresh] {
        for status in [404, 405] {
            let actions = play(make().with_retries(9, always), &[E::Head(status)]);
            assert!(actions.contains("the answer to a POST is "), "{actions}");
        }
    }
}

// RT table: a token request takes 30 s in all.
#[test]
fn rt_no_wait_reaches_and_no_send_passes_the_time_limit() {
    let limit = TOKEN_EXCHANGE_LIMIT.as_secs();
    check(
        get,
        &[E::RetryAfter(503, limit), E::Body("")],
        "Send, Text, error: the answer is 503 Service Unavailable",
    );
    check(
        get,
        &[E::RetryAfter(503, limit - 1), E::Pass(limit - 1), E::Waited],
        "Send, Wait 29000, Send",
    );
    check(
        get,
        &[E::Pass(29), E::RetryAfter(503, 1), E::Body("")],
        "Send, Text, error: the answer is 503 Service Unavailable",
    );
    // A wait that lasted longer than it should, and an answer that came too late.
    check(
        get,
        &[E::RetryAfter(503, 1), E::Pass(limit), E::Waited],
        "Send, Wait 1000, error: the answer is 503 Service Unavailable",
    );
    check(
        get,
        &[E::Pass(limit), E::Redirect("/a")],
        "Send, error: no token within 30 seconds",
    );
    check(get, &[E::Pass(limit), E::Transient], "Send, error: reset");
    let mut exchange = get();
    let at = Duration::from_secs;
    let _ = exchange.start(at(5));
    let left = [5, 15, 34, 35, 99].map(|now| exchange.time_left(at(now)).as_secs());
    assert_eq!(left, [30, 20, 1, 0, 0]);
}

#[test]
fn an_event_that_does_not_belong_to_the_last_action_ends_the_exchange() {
    let unexpected = |actions: &str| {
        format!(
            "{actions}, error: the driver of the exchange reported an event that does not belong \
             to the last action"
        )
    };
    for event in [E::Waited, E::Body(TOKEN), E::Interrupted, E::TooLarge] {
        check(get, &[event], &unexpected("Send"));
    }
    for event in [E::Waited, E::Head(200), E::Fatal, E::Transient] {
        check(get, &[E::Head(200), event], &unexpected("Send, Collect"));
    }
    for event in [E::Head(200), E::Body(TOKEN), E::Transient] {
        check(get, &[E::Transient, event], &unexpected("Send, Wait 1007"));
    }
    let over = unexpected("Send, error: no certificate");
    check(get, &[E::Fatal, E::Head(200)], &over);
    let mut exchange = get();
    let first = exchange.on(ExchangeEvent::Waited, Duration::ZERO, 0);
    let twice = exchange.start(Duration::ZERO);
    for action in [first, twice] {
        assert_eq!(shown(&action), unexpected("")[2..]);
    }
}

// OU3
#[test]
fn ou3_an_event_shows_nothing_of_a_body() {
    let event = ExchangeEvent::Body(b"hunter2");
    assert_eq!(format!("{event:?}"), "Body");
}
