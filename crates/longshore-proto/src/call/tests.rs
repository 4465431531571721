use http::Response;
use longshore_model::{Digest, MediaType};
use longshore_origin::{AddressClass, Origin, Scheme};

use super::*;
use crate::endpoint::{
    Deletable, DeleteRequest, ManifestPut, ManifestRequest, Read, UploadRequest, UploadStep,
};
use crate::{Absent, Quirks};

mod head;
mod refusal;

const JITTER: Jitter = Jitter::new(0);
const LEAST: Duration = Duration::from_millis(100);

fn host(authority: &str) -> Host {
    Host::new(Origin::from_authority(Scheme::Https, authority).unwrap())
}

fn start(hosts: &[Host]) -> (Call, Step) {
    let request = ManifestRequest::new(Read::Get, "app".parse().unwrap(), "v1".parse().unwrap());
    let ask = Ask::new(Endpoint::Manifest(request), Take::Document { limit: 9 });
    Call::start(ask, hosts.into(), CallPolicy::default())
}

fn head(status: u16, fields: &[(&str, &str)]) -> response::Parts {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap().into_parts().0
}

fn public() -> Peer {
    Peer::new(Some(AddressClass::Public), false)
}

fn need(name: &str, access: Access) -> Need {
    let name = name.to_owned();
    Need::Repository { name, access }
}

fn put() -> Ask {
    let request = ManifestPut::new(
        "app".parse().unwrap(),
        "v1".parse().unwrap(),
        MediaType::OCI_MANIFEST,
    );
    let mut ask = Ask::new(Endpoint::ManifestPut(request), Take::Nothing);
    ask.body = Some(BODY);
    ask
}

fn upload(step: UploadStep) -> Ask {
    let request = UploadRequest::new("app".parse().unwrap(), step);
    Ask::new(Endpoint::Upload(request), Take::Nothing)
}

fn chunk() -> UploadStep {
    UploadStep::Chunk {
        session: None,
        range: None,
    }
}

/// Starts a call to a mirror and the registry.
fn begin(ask: Ask) -> (Call, Step) {
    let mirror = host("mirror.example").with_prefix("hub".parse().unwrap());
    let hosts = [mirror, host("r.example")];
    Call::start(ask, hosts.into(), CallPolicy::default())
}

/// Opens an upload session at the registry and follows its `Location`.
#[track_caller]
fn session(location: &str) -> Place {
    let (mut call, step) = begin(upload(UploadStep::Start {
        digest: None,
        algorithm: None,
    }));
    sent_to(step, "https://r.example/v2/app/blobs/uploads/");
    answers(
        &call.on_head(&head(202, &[("location", location)]), public(), JITTER),
        Take::Nothing,
    );
    let ended = call.end();
    assert_eq!((ended.attempts, ended.peer), (1, public()));
    assert_eq!(ended.endpoint.verb().to_string(), "push");
    let place = ended.place.unwrap();
    place.follow(location.as_bytes(), public()).unwrap()
}

const BODY: BodyName = BodyName {
    offset: 0,
    length: Some(9),
};

#[track_caller]
fn sent(step: Step) -> Sending {
    match step {
        Step::Send(sending) => *sending,
        other => panic!("nothing was sent: {other:?}"),
    }
}

#[track_caller]
fn sent_to(step: Step, uri: &str) {
    assert_eq!(sent(step).hop.uri().to_string(), uri);
}

#[track_caller]
fn next(verdict: Verdict) -> Step {
    match verdict {
        Verdict::Next(step) => step,
        other => panic!("this was final: {other:?}"),
    }
}

/// As [`Call::on_head`], with an empty body where the call wants to read it.
fn on_head(call: &mut Call, head: &response::Parts) -> Verdict {
    match call.on_head(head, public(), JITTER) {
        Verdict::Excerpt => call.on_refusal(head, b"", JITTER),
        verdict => verdict,
    }
}

#[track_caller]
fn answers(verdict: &Verdict, expected: Take) {
    match verdict {
        Verdict::Answer(take) => assert_eq!(*take, expected),
        other => panic!("this was not final: {other:?}"),
    }
}

/// Answers the call with this head, waits if it wants to, and gives the next request.
#[track_caller]
fn again(call: &mut Call, head: &response::Parts) -> Sending {
    match next(on_head(call, head)) {
        Step::Wait(_) => sent(call.waited()),
        step => sent(step),
    }
}

#[test]
fn a_success_is_taken_as_asked() {
    let (mut call, step) = start(&[host("r.example")]);
    let sending = sent(step);
    assert_eq!(
        sending.hop.uri().to_string(),
        "https://r.example/v2/app/manifests/v1"
    );
    assert_eq!(sending.needs, [need("app", Access::Pull)]);
    assert_eq!(sending.body, None);
    assert_eq!(sending.head_timeout, Duration::from_secs(30));
    answers(
        &call.on_head(&head(200, &[]), public(), JITTER),
        Take::Document { limit: 9 },
    );
}

#[test]
fn dg6_every_request_asks_for_the_stored_bytes() {
    let (_, step) = start(&[host("r.example")]);
    assert_eq!(sent(step).headers[header::ACCEPT_ENCODING], "identity");
}

#[test]
fn rt1_rt2_a_failing_status_is_repeated_four_times_and_then_final() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (mut call, _) = start(&[host("r.example")]);
        let failing = head(status, &[]);
        for _ in 1..5 {
            again(&mut call, &failing);
        }
        assert_eq!(call.attempts(), 5);
        answers(&call.on_head(&failing, public(), JITTER), Take::Excerpt);
    }
}

#[test]
fn rt2_other_refusals_are_final_at_once() {
    for status in [400, 403, 404, 405, 410, 413, 416, 418, 501, 505] {
        let (mut call, _) = start(&[host("r.example")]);
        answers(&on_head(&mut call, &head(status, &[])), Take::Excerpt);
    }
}

#[test]
fn rt3_retry_after_replaces_the_wait() {
    let (mut call, _) = start(&[host("r.example")]);
    let limited = head(429, &[("retry-after", "7")]);
    let step = next(call.on_head(&limited, public(), JITTER));
    assert!(
        matches!(step, Step::Wait(wait) if wait == Duration::from_secs(7)),
        "{step:?}"
    );
}

// RT1, RT3: `Retry-After: 0` is no leave to write again at once.
#[test]
fn rt1_a_write_waits_although_the_registry_asks_for_no_wait() {
    let step = UploadStep::Start {
        digest: None,
        algorithm: None,
    };
    let request = UploadRequest::new("a".parse().unwrap(), step);
    let ask = Ask::new(Endpoint::Upload(request), Take::Nothing);
    let hosts = [host("r.example")].into();
    let (mut call, _) = Call::start(ask, hosts, CallPolicy::default());
    let limited = head(429, &[("retry-after", "0")]);
    let step = next(call.on_head(&limited, public(), JITTER));
    assert!(
        matches!(step, Step::Wait(wait) if wait >= Duration::from_millis(100)),
        "{step:?}"
    );
}

#[test]
fn rt3_a_long_retry_after_ends_the_call() {
    let (mut call, _) = start(&[host("r.example")]);
    let limited = head(429, &[("retry-after", "61")]);
    answers(&call.on_head(&limited, public(), JITTER), Take::Excerpt);
}

#[test]
fn rt_the_sum_of_waits_is_bounded() {
    let (mut call, _) = start(&[host("r.example")]);
    let limited = head(429, &[("retry-after", "60")]);
    again(&mut call, &limited);
    again(&mut call, &limited);
    answers(&call.on_head(&limited, public(), JITTER), Take::Excerpt);
}

#[test]
fn rt1_one_attempt_switches_retries_off() {
    let request = ManifestRequest::new(Read::Get, "a".parse().unwrap(), "b".parse().unwrap());
    let ask = Ask::new(Endpoint::Manifest(request), Take::Stream);
    let policy = CallPolicy {
        retry: RetryPolicy::with_attempts(1),
        ..CallPolicy::default()
    };
    let (mut call, _) = Call::start(ask, [host("r.example")].into(), policy);
    answers(
        &call.on_head(&head(503, &[]), public(), JITTER),
        Take::Excerpt,
    );
}

#[test]
fn rt5_a_stale_connection_earns_one_more_attempt_at_once() {
    let (mut call, _) = start(&[host("r.example")]);
    assert!(sent(call.on_error(FailureClass::Stale, JITTER)).fresh);
    let step = call.on_error(FailureClass::Stale, JITTER);
    assert!(
        matches!(step, Step::Wait(wait) if wait == LEAST),
        "{step:?}"
    );
    assert_eq!(call.attempts(), 1);
}

#[test]
fn a_failure_that_repeats_names_the_attempts() {
    let (mut call, _) = start(&[host("r.example")]);
    for _ in 1..5 {
        call.on_error(FailureClass::Transient, JITTER);
        sent(call.waited());
    }
    match call.on_error(FailureClass::Transient, JITTER) {
        Step::Fail(error) => assert_eq!(error.to_string(), "no answer after 5 attempts"),
        step => panic!("{step:?}"),
    }
}

#[test]
fn rt2_a_fatal_failure_is_not_repeated() {
    let (mut call, _) = start(&[host("r.example")]);
    match call.on_error(FailureClass::Fatal, JITTER) {
        Step::Fail(error) => assert_eq!(error.to_string(), "no answer after 1 attempt"),
        step => panic!("{step:?}"),
    }
}

#[test]
fn rd1_a_redirect_is_followed_and_headers_are_built_anew() {
    for status in [301, 302, 303, 307, 308] {
        let (mut call, _) = start(&[host("r.example")]);
        let moved = head(status, &[("location", "https://cdn.example/x?sig=1")]);
        let sending = again(&mut call, &moved);
        assert_eq!(sending.hop.uri().to_string(), "https://cdn.example/x?sig=1");
        assert!(!sending.hop.is_home());
        assert_eq!(sending.method, Method::GET);
        assert_eq!(sending.headers.len(), 2, "{:?}", sending.headers);
    }
}

#[test]
fn rd1_the_sixth_redirect_is_refused() {
    let (mut call, _) = start(&[host("r.example")]);
    let moved = head(307, &[("location", "/again")]);
    for _ in 0..5 {
        again(&mut call, &moved);
    }
    let step = next(call.on_head(&moved, public(), JITTER));
    assert!(
        matches!(step, Step::Fail(CallError::Redirects { limit: 5 })),
        "{step:?}"
    );
}

#[test]
fn rd2_a_redirect_to_plain_http_is_refused() {
    let (mut call, _) = start(&[host("r.example")]);
    let moved = head(307, &[("location", "http://cdn.example/x")]);
    let step = next(call.on_head(&moved, public(), JITTER));
    assert!(
        matches!(step, Step::Fail(CallError::Redirect(_))),
        "{step:?}"
    );
}

#[test]
fn rd7_a_redirect_without_one_location_is_an_error() {
    for fields in [&[][..], &[("location", "/a"), ("location", "/b")][..]] {
        let (mut call, _) = start(&[host("r.example")]);
        let step = next(call.on_head(&head(302, fields), public(), JITTER));
        assert!(
            matches!(step, Step::Fail(CallError::Location { status: 302 })),
            "{step:?}"
        );
    }
}

#[test]
fn a_retry_begins_at_home_again() {
    let (mut call, _) = start(&[host("r.example")]);
    again(
        &mut call,
        &head(307, &[("location", "https://cdn.example/x")]),
    );
    let sending = again(&mut call, &head(503, &[]));
    assert_eq!(
        sending.hop.uri().to_string(),
        "https://r.example/v2/app/manifests/v1"
    );
}

#[test]
fn a_401_and_a_lacking_scope_go_to_the_authenticator() {
    let (mut call, _) = start(&[host("r.example")]);
    let lacking = [("www-authenticate", r#"Bearer error="insufficient_scope""#)];
    for head in [head(401, &[]), head(403, &lacking)] {
        let verdict = call.on_head(&head, public(), JITTER);
        assert!(matches!(verdict, Verdict::Authenticate), "{verdict:?}");
    }
    assert!(call.denied().is_none());
}

#[test]
fn a_mirror_that_cannot_serve_is_passed_over() {
    let mirror = host("mirror.example").with_prefix("hub".parse().unwrap());
    let hosts = [mirror, host("r.example").with_base("/base/")];
    let registry = "https://r.example/base/v2/app/manifests/v1";

    let (mut call, step) = start(&hosts);
    let sending = sent(step);
    let at_mirror = "https://mirror.example/v2/hub/app/manifests/v1";
    assert_eq!(sending.hop.uri().to_string(), at_mirror);
    assert_eq!(sending.needs, [need("hub/app", Access::Pull)]);
    sent_to(
        next(call.on_head(&head(404, &[]), public(), JITTER)),
        registry,
    );
    answers(
        &call.on_head(&head(404, &[]), public(), JITTER),
        Take::Excerpt,
    );

    let (mut call, _) = start(&hosts);
    sent_to(call.denied().unwrap(), registry);
    let (mut call, _) = start(&hosts);
    sent_to(call.on_error(FailureClass::Fatal, JITTER), registry);
}

#[test]
fn absence_is_what_the_host_calls_so() {
    let quirks = Quirks {
        absent: Absent::NotFoundOrForbidden,
        ..Quirks::default()
    };
    let (call, _) = start(&[host("r.example").with_quirks(quirks)]);
    assert!(call.is_absent(StatusCode::FORBIDDEN));
    let (call, _) = start(&[host("r.example")]);
    assert!(!call.is_absent(StatusCode::FORBIDDEN));
    assert!(call.is_absent(StatusCode::NOT_FOUND));
}

#[test]
fn a_write_goes_to_the_registry_itself_and_carries_its_body() {
    let (mut call, step) = begin(put());
    let sending = sent(step);
    let at_registry = "https://r.example/v2/app/manifests/v1";
    assert_eq!(sending.hop.uri().to_string(), at_registry);
    assert_eq!(sending.method, Method::PUT);
    assert_eq!(sending.body, Some(BODY));
    assert_eq!(sending.needs, [need("app", Access::Push)]);
    assert_eq!(
        sending.headers[header::CONTENT_TYPE],
        MediaType::OCI_MANIFEST.as_str()
    );
    // RT4: storing a manifest twice has the same effect as storing it once.
    let again = again(&mut call, &head(503, &[]));
    assert_eq!((again.method, again.body), (Method::PUT, Some(BODY)));
    answers(
        &call.on_head(&head(404, &[]), public(), JITTER),
        Take::Excerpt,
    );
    assert!(call.denied().is_none());
}

#[test]
fn rd3_a_write_follows_two_redirects_that_keep_method_and_body() {
    for status in [307, 308] {
        let (mut call, _) = begin(put());
        let moved = head(status, &[("location", "/elsewhere")]);
        for _ in 0..2 {
            let sending = again(&mut call, &moved);
            assert_eq!(sending.hop.uri().to_string(), "https://r.example/elsewhere");
            assert_eq!(sending.method, Method::PUT);
            assert_eq!(sending.body, Some(BODY));
        }
        let step = next(call.on_head(&moved, public(), JITTER));
        assert!(
            matches!(step, Step::Fail(CallError::Redirects { limit: 2 })),
            "{step:?}"
        );
    }
}

#[test]
fn rd3_a_write_follows_no_redirect_that_changes_its_method_or_origin() {
    for status in [301, 302, 303] {
        let (mut call, _) = begin(put());
        let moved = head(status, &[("location", "/elsewhere")]);
        let step = next(call.on_head(&moved, public(), JITTER));
        assert!(
            matches!(step, Step::Fail(CallError::WriteRedirect { status: s }) if s == status),
            "{step:?}"
        );
    }
    let (mut call, _) = begin(put());
    let moved = head(307, &[("location", "https://cdn.example/x")]);
    match next(call.on_head(&moved, public(), JITTER)) {
        Step::Fail(CallError::ForeignWrite { to }) => {
            assert_eq!(to.to_string(), "https://cdn.example");
        }
        step => panic!("{step:?}"),
    }
}

// RD3: the deletion of a tag never becomes that of the manifest, its other tags included.
#[test]
fn rd3_a_deletion_follows_no_redirect_to_other_content() {
    let digest = Digest::sha256(b"");
    let delete = |content| {
        Ask::new(
            Endpoint::Delete(DeleteRequest::new("app".parse().unwrap(), content)),
            Take::Nothing,
        )
    };
    let tag = Deletable::Manifest("v1".parse().unwrap());
    let blob = Deletable::Blob(digest.clone());
    let by_digest = format!("/v2/app/manifests/{digest}");
    let blobs = format!("/v2/app/blobs/{digest}");
    for (content, to, follows) in [
        (&tag, "/v2/app/manifests/v1", true),
        (&tag, "/base/v2/app/manifests/v1?shard=2", true),
        (&tag, "/v2/app/manifests/v2", false),
        (&tag, "/v2/other/manifests/v1", false),
        (&tag, "/v2/other/v2/app/manifests/v1", false),
        (&tag, "/v2/app/manifests/v1/", false),
        (&tag, "/elsewhere", false),
        (&tag, by_digest.as_str(), false),
        (&blob, blobs.as_str(), true),
        (&blob, by_digest.as_str(), false),
    ] {
        let (mut call, _) = begin(delete(content.clone()));
        let moved = head(307, &[("location", to)]);
        match next(call.on_head(&moved, public(), JITTER)) {
            Step::Send(sending) if follows => assert_eq!(sending.hop.path_and_query(), to),
            Step::Fail(CallError::OtherDeleted) if !follows => {}
            step => panic!("{to}: {step:?}"),
        }
    }
}

#[test]
fn rt4_a_chunk_is_sent_once() {
    let mut ask = upload(chunk());
    ask.from = Some(session("/upload/1?_state=a%2Fb=="));
    for failure in [FailureClass::Stale, FailureClass::Transient] {
        let (mut call, _) = begin(ask.clone());
        let step = call.on_error(failure, JITTER);
        assert!(
            matches!(step, Step::Fail(CallError::Failed { attempts: 1 })),
            "{step:?}"
        );
    }
    let (mut call, _) = begin(ask);
    answers(
        &call.on_head(&head(503, &[]), public(), JITTER),
        Take::Excerpt,
    );
}

#[test]
fn rt4_a_body_that_cannot_be_sent_twice_is_sent_once() {
    let mut ask = put();
    ask.repeatable = Repeatable::Never;
    let (mut call, _) = begin(ask);
    answers(
        &call.on_head(&head(503, &[]), public(), JITTER),
        Take::Excerpt,
    );
}

#[test]
fn rd4_a_session_is_requested_at_its_location_with_its_query_unchanged() {
    let place = session("/upload/1?_state=a%2Fb==&x");
    let mut ask = upload(chunk());
    ask.from = Some(place.clone());
    let (_, step) = begin(ask);
    sent_to(step, "https://r.example/upload/1?_state=a%2Fb==&x");

    let digest = Digest::sha256(b"");
    let mut ask = upload(UploadStep::Finish {
        session: None,
        digest: digest.clone(),
        range: None,
    });
    ask.from = Some(place);
    let (mut call, step) = begin(ask);
    let sending = sent(step);
    let digest = digest.as_str().replace(':', "%3A");
    let expected = format!("https://r.example/upload/1?_state=a%2Fb==&x&digest={digest}");
    assert_eq!(sending.hop.uri().to_string(), expected);
    assert_eq!(sending.needs, [need("app", Access::Push)]);
    assert_eq!(sending.head_timeout, Duration::from_secs(300));
    // Not even a refusal makes the call go to another host.
    answers(
        &call.on_head(&head(404, &[]), public(), JITTER),
        Take::Excerpt,
    );
}

#[test]
fn rd4_a_session_at_another_origin_is_not_trusted() {
    let mut ask = upload(chunk());
    ask.from = Some(session("https://uploads.example/1"));
    let (mut call, step) = begin(ask);
    let sending = sent(step);
    assert_eq!(sending.hop.uri().to_string(), "https://uploads.example/1");
    assert!(!sending.hop.is_home());
    let challenge = [(
        "www-authenticate",
        "Bearer realm=\"https://uploads.example/t\"",
    )];
    answers(
        &call.on_head(&head(401, &challenge), public(), JITTER),
        Take::Excerpt,
    );
}

#[test]
fn a_mount_needs_both_repositories_and_the_target_first() {
    let (_, step) = begin(upload(UploadStep::Mount {
        digest: Digest::sha256(b""),
        from: Some("base/os".parse().unwrap()),
    }));
    let sending = sent(step);
    let expected = [need("app", Access::Push), need("base/os", Access::Pull)];
    assert_eq!(sending.needs, expected);
    assert_eq!(sending.method, Method::POST);
}
