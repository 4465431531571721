//! Registries that do not answer `HEAD` as they should, and tokens that expire early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Response;
use longshore::auth::AuthError;
use longshore::model::{Digest, TagOrDigest};
use longshore::transport::Body;
use longshore::{Cause, ErrorKind, Repository};

use crate::auth::{CHALLENGE, unauthorized};
use crate::support::{AUTH, HOME, MANIFEST, Net, Seen, app, basic, blob_uri, builder, reply};

const CONTENT: &[u8] = b"content";
const STORE: &str = "https://store.example.org";

/// Answers `GET` with the manifest or the blob.
fn content(seen: &Seen) -> Response<Body> {
    if seen.uri.contains("manifest") {
        reply(200, &[], MANIFEST)
    } else {
        reply(200, &[("content-length", "7")], CONTENT.to_vec())
    }
}

/// The digest of the tag and the size of the blob, by their heads.
async fn heads(app: &Repository) -> (Digest, u64) {
    let tag: TagOrDigest = "v1".parse().unwrap();
    let manifest = app.manifest_head(&tag).await.unwrap().unwrap();
    let blob = app.blob_head(&Digest::sha256(CONTENT)).await.unwrap();
    (manifest.digest.unwrap(), blob.unwrap().size.unwrap())
}

fn expected() -> (Digest, u64) {
    (Digest::sha256(MANIFEST.as_bytes()), 7)
}

#[tokio::test]
async fn dg2_a_store_whose_urls_are_signed_for_get_is_asked_with_get() {
    let net = Net::serving(|seen| match seen.uri.strip_prefix(STORE) {
        None if seen.uri.contains("/manifests/") => reply(
            307,
            &[("location", "https://store.example.org/manifest?sig=1")],
            "",
        ),
        None => reply(
            307,
            &[("location", "https://store.example.org/blob?sig=1")],
            "",
        ),
        Some(_) if seen.method == "HEAD" => reply(403, &[], ""),
        Some(_) => content(seen),
    });
    let app = app(builder(&net).build().unwrap()).await;
    assert_eq!(heads(&app).await, expected());
    let lines = net.lines();
    assert_eq!(lines.len(), 8, "{lines:?}");
}

#[tokio::test]
async fn dg2_a_head_refused_with_a_valid_token_requests_no_other_token() {
    let net = Net::serving(|seen| {
        if seen.uri.starts_with(AUTH) {
            return reply(200, &[], r#"{"token":"t"}"#);
        }
        match seen.header("authorization") {
            Some("Bearer t") if seen.method == "GET" => content(seen),
            _ => unauthorized(CHALLENGE),
        }
    });
    let app = app(builder(&net).build().unwrap()).await;
    assert_eq!(heads(&app).await, expected());
    assert_eq!(net.count(AUTH), 1);
    // The challenge, HEAD and GET for the manifest; HEAD and GET for the blob.
    assert_eq!(net.count(HOME), 5, "{:?}", net.lines());
}

#[tokio::test]
async fn dg2_what_does_not_exist_is_absent_after_one_request() {
    let net = Net::serving(|_| reply(404, &[], ""));
    let app = app(builder(&net).build().unwrap()).await;
    let digest = Digest::sha256(CONTENT);
    assert_eq!(app.blob_head(&digest).await.unwrap(), None);
    assert_eq!(app.manifest_head(&digest.into()).await.unwrap(), None);
    assert_eq!(net.lines().len(), 2);
}

#[tokio::test]
async fn the_error_after_a_refused_head_has_the_message_of_the_refused_get() {
    let net = Net::serving(|seen| match seen.method.as_str() {
        "HEAD" => reply(403, &[], ""),
        _ => reply(
            403,
            &[],
            r#"{"errors":[{"code":"denied","message":"not yours"}]}"#,
        ),
    });
    let app = app(builder(&net).build().unwrap()).await;
    let error = app.blob_head(&Digest::sha256(CONTENT)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(
        error
            .to_string()
            .ends_with("denied (status 403, DENIED (not yours))"),
        "{error}"
    );
}

/// A registry that refuses every token but the last one as expired, with this status and body.
fn expiring(status: u16, body: &'static str, last: u32) -> Net {
    let issued = Arc::new(AtomicU32::new(0));
    Net::serving(move |seen| {
        if seen.uri.starts_with(AUTH) {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return reply(200, &[], format!(r#"{{"token":"t{number}"}}"#).into_bytes());
        }
        match seen.header("authorization") {
            None => unauthorized(CHALLENGE),
            Some(shown) if shown == format!("Bearer t{last}") => content(seen),
            Some(_) => reply(status, &[], body),
        }
    })
}

const EXPIRED: [&str; 3] = [
    r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired."}]}"#,
    r#"{"message":"invalid token"}"#,
    "<html><title>Token expired</title></html>",
];

#[tokio::test]
async fn cr7_a_token_that_a_body_calls_expired_is_renewed() {
    for status in [400, 401, 403] {
        for body in EXPIRED {
            let net = expiring(status, body, 2);
            let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
            let blob = app.blob(&Digest::sha256(CONTENT), Some(7)).unwrap();
            assert_eq!(blob.bytes(7).await.unwrap(), CONTENT, "{status} {body}");
            assert_eq!(
                (net.count(HOME), net.count(AUTH)),
                (3, 2),
                "{:?}",
                net.lines()
            );
        }
    }
}

#[tokio::test]
async fn cr7_a_call_renews_a_token_once() {
    let net = expiring(403, EXPIRED[0], 3);
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    let blob = app.blob(&Digest::sha256(CONTENT), Some(7)).unwrap();
    let error = blob.bytes(7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let said = &error.refusal().unwrap().body.entries[0];
    assert_eq!(
        said.message.as_deref(),
        Some("Your authorization token has expired.")
    );
    assert_eq!(
        (net.count(HOME), net.count(AUTH)),
        (3, 2),
        "{:?}",
        net.lines()
    );
}

// CR7
#[tokio::test]
async fn a_refusal_about_an_expired_token_that_was_not_sent_is_final() {
    let net = Net::serving(|seen| match seen.header("authorization") {
        None => unauthorized("Basic realm=\"r\""),
        Some(_) => reply(403, &[], EXPIRED[0]),
    });
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    let blob = app.blob(&Digest::sha256(CONTENT), Some(7)).unwrap();
    let error = blob.bytes(7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(
        !matches!(
            error.cause(),
            Cause::Auth(AuthError::NotRenewable { .. }, _)
        ),
        "{error:?}"
    );
    assert_eq!(net.count(HOME), 2);
}

#[tokio::test]
async fn rt2_a_403_that_says_it_is_a_rate_limit_is_repeated() {
    let left = AtomicU32::new(2);
    let net = Net::serving(move |seen| {
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        }) {
            Ok(_) => reply(403, &[], r#"{"message":"API rate limit exceeded"}"#),
            Err(_) => content(seen),
        }
    });
    let client = builder(&net).build().unwrap();
    let blob = app(client).await.blob(&Digest::sha256(CONTENT), None);
    assert_eq!(blob.unwrap().bytes(7).await.unwrap(), CONTENT);
    assert_eq!(net.count(&blob_uri(HOME, CONTENT)), 3);

    let net = Net::serving(|_| {
        reply(
            403,
            &[("retry-after", "900")],
            r#"{"message":"API rate limit exceeded"}"#,
        )
    });
    let blob = app(builder(&net).build().unwrap()).await;
    let blob = blob.blob(&Digest::sha256(CONTENT), None).unwrap();
    let error = blob.bytes(7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry_after().unwrap().as_secs(), 900);
    assert_eq!(net.lines().len(), 1);
}
