//! Refusals whose body decides (CR7, RT2).

use super::*;

const EXPIRED: &[u8] = br#"{"errors":[{"code":"DENIED","message":"your token has expired"}]}"#;
const LIMITED: &[u8] = br#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#;

/// A call that has sent a token.
fn with_token() -> Call {
    let (mut call, _) = start(&[host("r.example")]);
    call.sends_secret(true);
    call
}

#[track_caller]
fn reads_the_body(verdict: &Verdict) {
    assert!(matches!(verdict, Verdict::Excerpt), "{verdict:?}");
}

#[test]
fn cr7_a_body_that_calls_the_token_expired_renews_it_once() {
    for status in [400, 401, 403] {
        let mut call = with_token();
        let refused = head(status, &[]);
        reads_the_body(&call.on_head(&refused, public(), JITTER));
        let verdict = call.on_refusal(&refused, EXPIRED, JITTER);
        assert!(matches!(verdict, Verdict::Renew), "{status}: {verdict:?}");
        call.sends_secret(true);
        reads_the_body(&call.on_head(&refused, public(), JITTER));
        match (status, call.on_refusal(&refused, EXPIRED, JITTER)) {
            (401, verdict) => assert!(matches!(verdict, Verdict::Authenticate)),
            (_, verdict) => answers(&verdict, Take::Excerpt),
        }
    }
}

#[test]
fn cr7_nothing_is_renewed_for_a_request_without_a_token() {
    let (mut call, _) = start(&[host("r.example")]);
    answers(
        &call.on_head(&head(400, &[]), public(), JITTER),
        Take::Excerpt,
    );
    reads_the_body(&call.on_head(&head(403, &[]), public(), JITTER));
    answers(
        &call.on_refusal(&head(403, &[]), EXPIRED, JITTER),
        Take::Excerpt,
    );
}

#[test]
fn cr7_another_refusal_with_a_token_is_final() {
    for status in [400, 403] {
        let mut call = with_token();
        reads_the_body(&call.on_head(&head(status, &[]), public(), JITTER));
        answers(
            &call.on_refusal(&head(status, &[]), b"access denied", JITTER),
            Take::Excerpt,
        );
    }
}

#[test]
fn rt2_a_403_that_says_it_is_a_rate_limit_is_repeated() {
    let (mut call, _) = start(&[host("r.example")]);
    let refused = head(403, &[("retry-after", "7")]);
    for _ in 1..5 {
        reads_the_body(&call.on_head(&refused, public(), JITTER));
        let step = next(call.on_refusal(&refused, LIMITED, JITTER));
        assert!(
            matches!(step, Step::Wait(wait) if wait == Duration::from_secs(7)),
            "{step:?}"
        );
        sent(call.waited());
    }
    reads_the_body(&call.on_head(&refused, public(), JITTER));
    answers(&call.on_refusal(&refused, LIMITED, JITTER), Take::Excerpt);
    // A 400 is never a rate limit, whatever its body says.
    let mut call = with_token();
    reads_the_body(&call.on_head(&head(400, &[]), public(), JITTER));
    answers(
        &call.on_refusal(&head(400, &[]), LIMITED, JITTER),
        Take::Excerpt,
    );
}

#[test]
fn rt3_a_403_that_is_a_long_rate_limit_ends_the_call() {
    let (mut call, _) = start(&[host("r.example")]);
    let refused = head(403, &[("retry-after", "61")]);
    reads_the_body(&call.on_head(&refused, public(), JITTER));
    answers(&call.on_refusal(&refused, LIMITED, JITTER), Take::Excerpt);
}

#[test]
fn a_refusal_whose_body_decided_nothing_goes_to_the_next_host() {
    let (mut call, _) = start(&[host("mirror.example"), host("r.example")]);
    reads_the_body(&call.on_head(&head(403, &[]), public(), JITTER));
    let step = next(call.on_refusal(&head(403, &[]), b"", JITTER));
    sent_to(step, "https://r.example/v2/app/manifests/v1");
}
