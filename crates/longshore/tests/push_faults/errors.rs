//! What the error of a push says: which request failed last, where, and why.

use bytes::Bytes;
use http::{Method, StatusCode, header};
use longshore::ErrorKind;
use longshore_testkit::recorder::Recorder;
use longshore_testkit::registry::{Misbehaviour, Part, Rule};
use longshore_testkit::{Listen, ScriptedResponse};

use crate::support::{BLOB, app, builder, chunked, lines, push, registry, whole};

// OU5 (an error states the operation, the registry and the status)
#[tokio::test]
async fn ou5_an_upload_that_broke_off_too_often_says_why_it_did() {
    let registry = registry(|_| {});
    let unclear = Misbehaviour::Status(StatusCode::BAD_GATEWAY);
    registry.misbehave(Rule::on(Part::Upload, unclear).method(Method::PATCH));
    let cut = Rule::on(Part::Upload, Misbehaviour::CutRequestAfter(0));
    registry.misbehave(cut.method(Method::PATCH));
    let failed = push(&registry, chunked()).await.unwrap_err();
    let text = format!("{failed:?}");
    assert_eq!(failed.kind(), ErrorKind::Unavailable, "{text}");
    for word in [
        "the upload broke off 5 times",
        "push a blob of app",
        "no answer",
    ] {
        assert!(text.contains(word), "{text}");
    }
    assert!(!text.contains("cannot read"), "{text}");
    let registry = self::registry(|_| {});
    let busy = Misbehaviour::Status(StatusCode::BAD_GATEWAY);
    registry.misbehave(Rule::on(Part::Upload, busy).method(Method::PATCH));
    let forgets = Misbehaviour::Header(header::RANGE, "0-0".parse().unwrap());
    registry.misbehave(Rule::on(Part::Upload, forgets).method(Method::GET));
    let failed = push(&registry, chunked()).await.unwrap_err();
    let text = format!("{failed:?}");
    assert!(text.contains("status 502"), "{text}");
    assert!(text.contains("the upload broke off 5 times"), "{text}");
}

// OU5, DG7: the questions of a push are part of the push.
#[tokio::test]
async fn ou5_a_question_that_has_no_answer_is_not_called_a_read() {
    let registry = registry(|_| {});
    let lost = Misbehaviour::HangUp;
    let lost = |method| Rule::on(Part::Upload, lost.clone()).method(method);
    registry.misbehave(lost(Method::PATCH));
    registry.misbehave(lost(Method::GET));
    let failed = push(&registry, chunked()).await.unwrap_err();
    let text = failed.to_string();
    assert!(text.starts_with("cannot push blob sha256:"), "{text}");
}

// OU5: the registry is not where the upload failed.
#[tokio::test]
async fn ou5_a_session_elsewhere_is_named() {
    let refusal = ScriptedResponse::status(StatusCode::FORBIDDEN);
    let elsewhere = Recorder::start(Listen::loopback(), move |_| refusal.clone()).unwrap();
    let registry = registry(|_| {});
    let location = format!("{}{{location}}?signature=secret", elsewhere.url());
    let moved = Rule::on(Part::Upload, Misbehaviour::Location(location));
    registry.misbehave(moved.times(1));
    let failed = push(&registry, whole()).await.unwrap_err();
    let text = failed.to_string();
    let expected = format!("(upload session at {})", elsewhere.url());
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains(&registry.authority()), "{text}");
    assert!(!format!("{failed:?}").contains("secret"), "{failed:?}");
}

// RT1 (1 attempt switches retries off)
#[tokio::test]
async fn rt1_with_one_attempt_an_upload_is_not_resumed() {
    let unclear = Misbehaviour::Status(StatusCode::BAD_GATEWAY);
    let cut = Misbehaviour::CutRequestAfter(3);
    let early = ScriptedResponse::status(StatusCode::ACCEPTED);
    let early = Misbehaviour::AnswerEarly(Box::new(early));
    for what in [unclear, cut, early] {
        let registry = registry(|_| {});
        let rule = Rule::on(Part::Upload, what.clone()).method(Method::PATCH);
        registry.misbehave(rule.times(1));
        let client = builder(&registry).attempts(1);
        let repository = app(&registry, &client.build().unwrap()).await;
        let content = Bytes::from(BLOB.repeat(1024 * 1024));
        let mut options = chunked();
        options.digest = None;
        options.chunk = Some(20 * 1024 * 1024);
        let failed = repository.put_blob(&content, options).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed:?}");
        let seen = lines(&registry);
        let seen: Vec<_> = seen
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(seen, ["POST", "PATCH", "DELETE"], "{what:?} {failed:?}");
    }
}
