//! Writing manifests and tags, mounting blobs, and deleting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use longshore::model::{Digest, MediaType, Tag, TagOrDigest};
use longshore::origin::Secret;
use longshore::transport::{Body, Clock, TestClock};
use longshore::{
    Credential, CredentialError, CredentialSource, Error, ErrorKind, MountOutcome, Notice,
    PushOptions, PushedManifest, Repository, UploadOutcome,
};

use crate::auth::unauthorized;
use crate::support::{
    AUTH, HOME, MANIFEST, Net, Seen, app, basic, builder, collecting, reply, timed,
};

const BLOB: &[u8] = b"the content of a blob";

fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// The requests to the registry except a ping: method and path, with the digest of [`MANIFEST`] as
/// `D`.
fn lines(net: &Net) -> Vec<String> {
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let line = |seen: &Seen| {
        let path = seen.uri.replace(HOME, "");
        format!("{} {}", seen.method, path.replace(digest.as_str(), "D"))
    };
    let seen = net.seen();
    let requests = seen.iter().filter(|seen| !is_ping(seen));
    requests.map(line).collect()
}

fn is_ping(seen: &Seen) -> bool {
    seen.uri.ends_with("/v2/")
}

async fn repository(net: &Net) -> Repository {
    app(builder(net).attempts(1).build().unwrap()).await
}

async fn put(net: &Net, names: &[&str]) -> Result<PushedManifest, Error> {
    let bytes = Bytes::from_static(MANIFEST.as_bytes());
    let repository = repository(net).await;
    let media_type = MediaType::OCI_MANIFEST;
    let names = tags(names);
    let pushed = repository.put_manifest_with_tags(None, &media_type, bytes, &names);
    pushed.await
}

/// Stores every manifest. Of the tags in a query it sets those that are not `other`.
fn sets_tags(seen: &Seen) -> Response<Body> {
    if !is_ping(seen) {
        assert_eq!(seen.body, MANIFEST.as_bytes());
    }
    let query = seen.uri.split_once('?').map_or("", |(_, query)| query);
    let named = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("tag="));
    let set: Vec<_> = named.filter(|tag| *tag != "other").collect();
    let set = set.join(", ");
    let fields: &[(&str, &str)] = &[("oci-tag", &set)];
    reply(201, if set.is_empty() { &[] } else { fields }, "")
}

#[tokio::test]
async fn a_manifest_is_sent_as_it_is() {
    let net = Net::serving(|_| reply(201, &[], ""));
    let pushed = put(&net, &["v1"]).await.unwrap();
    assert_eq!(pushed.digest, Digest::sha256(MANIFEST.as_bytes()));
    assert_eq!(net.seen().pop().unwrap().body, MANIFEST.as_bytes());
    assert_eq!(lines(&net), ["PUT /v2/app/manifests/v1"]);
}

// DG7 (an upload succeeds only if the digest in the response is the expected one)
#[tokio::test]
async fn dg7_a_manifest_that_was_stored_as_another_is_an_error() {
    let other = Digest::sha256(BLOB);
    let answered = other.clone();
    let net =
        Net::serving(move |_| reply(201, &[("docker-content-digest", answered.as_str())], ""));
    for names in [&["v1"][..], &["v1", "v2"]] {
        let error = put(&net, names).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(format!("{error:?}").contains(other.as_str()), "{error:?}");
    }
}

#[tokio::test]
async fn several_tags_are_set_with_one_request_for_ten_of_them() {
    let names: Vec<_> = (1..=12).map(|number| format!("v{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let net = Net::serving(sets_tags);
    let pushed = put(&net, &names).await.unwrap();
    assert_eq!(pushed.digest, Digest::sha256(MANIFEST.as_bytes()));
    let query = |names: &[&str]| format!("tag={}", names.join("&tag="));
    assert_eq!(
        lines(&net),
        [
            format!("PUT /v2/app/manifests/D?{}", query(&names[..10])),
            format!("PUT /v2/app/manifests/D?{}", query(&names[10..])),
        ]
    );
}

#[tokio::test]
async fn a_tag_that_the_registry_did_not_set_gets_a_request_of_its_own() {
    let net = Net::serving(sets_tags);
    put(&net, &["v1", "other", "v2"]).await.unwrap();
    assert_eq!(
        lines(&net),
        [
            "PUT /v2/app/manifests/D?tag=v1&tag=other&tag=v2",
            "PUT /v2/app/manifests/other",
        ]
    );
}

#[tokio::test]
async fn a_registry_that_sets_no_tags_with_a_digest_gets_one_request_for_each() {
    // One ignores the parameter, the others refuse the request.
    for status in [201, 400, 403, 404, 405, 414] {
        let net = Net::serving(move |seen| {
            let status = if seen.uri.contains('?') { status } else { 201 };
            reply(status, &[("oci-subject", "sha256:x")], "")
        });
        let pushed = put(&net, &["v1", "v2"]).await.unwrap();
        assert_eq!(pushed.subject, None);
        assert_eq!(
            lines(&net),
            [
                "PUT /v2/app/manifests/D?tag=v1&tag=v2",
                "PUT /v2/app/manifests/v1",
                "PUT /v2/app/manifests/v2",
            ],
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_registry_that_ignored_the_tags_once_is_not_asked_again() {
    let names: Vec<_> = (1..=12).map(|number| format!("v{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let net = Net::serving(|_| reply(201, &[], ""));
    put(&net, &names).await.unwrap();
    let all = lines(&net);
    assert_eq!(all.len(), 1 + names.len());
    assert_eq!(all[12], "PUT /v2/app/manifests/v12");
}

#[tokio::test]
async fn one_tag_or_none_is_one_request() {
    for (names, expected) in [
        (&["v1"][..], "PUT /v2/app/manifests/v1"),
        (&[], "PUT /v2/app/manifests/D"),
    ] {
        let net = Net::serving(sets_tags);
        put(&net, names).await.unwrap();
        assert_eq!(lines(&net), [expected]);
    }
}

#[tokio::test]
async fn the_error_of_several_tags_names_the_one_that_was_refused() {
    let net = Net::serving(|seen| {
        let refused = seen.uri.contains('?') || seen.uri.ends_with("/v2");
        reply(if refused { 400 } else { 201 }, &[], "")
    });
    let error = put(&net, &["v1", "v2", "v3"]).await.unwrap_err();
    let text = "cannot push manifest v2 of app to r.example.com: the registry refuses (status 400)";
    assert_eq!(error.to_string(), text);
    assert_eq!(lines(&net).len(), 3);
    // A registry that cannot answer is not asked for each tag.
    let net = Net::serving(|_| reply(503, &[], ""));
    let error = put(&net, &["v1", "v2"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(lines(&net).len(), 1);
}

#[tokio::test]
async fn bytes_that_are_not_the_digest_are_not_sent() {
    let net = Net::serving(sets_tags);
    let repository = repository(&net).await;
    let digest = Digest::sha256(BLOB);
    let bytes = Bytes::from_static(MANIFEST.as_bytes());
    let media_type = MediaType::OCI_MANIFEST;
    let target = TagOrDigest::Digest(digest.clone());
    let names = tags(&["v1"]);
    let by_digest = repository.put_manifest(&target, &media_type, bytes.clone());
    let with_tag =
        repository.put_manifest_with_tags(Some(&digest), &media_type, bytes.clone(), &names);
    for error in [by_digest.await.unwrap_err(), with_tag.await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Digest);
    }
    assert_eq!(lines(&net), [""; 0]);
}

#[tokio::test]
async fn an_existing_manifest_is_read_once_and_tagged() {
    let net = Net::serving(|seen| match seen.method.as_str() {
        "GET" => reply(
            200,
            &[("content-type", MediaType::OCI_MANIFEST.as_str())],
            MANIFEST,
        ),
        _ => sets_tags(seen),
    });
    let repository = repository(&net).await;
    let source = "v1".parse().unwrap();
    let tagged = repository.tag(&source, &tags(&["v2", "v1", "v3"])).await;
    let digest = Digest::sha256(MANIFEST.as_bytes());
    assert_eq!(tagged.unwrap().digest, digest);
    let put = net.seen().pop().unwrap();
    let media_type = MediaType::OCI_MANIFEST;
    assert_eq!(put.header("content-type"), Some(media_type.as_str()));
    assert_eq!(
        lines(&net),
        [
            "GET /v2/app/manifests/v1",
            "PUT /v2/app/manifests/D?tag=v2&tag=v3"
        ]
    );
    // The manifest has this tag already.
    let tagged = repository.tag(&source, &tags(&["v1"])).await;
    assert_eq!(tagged.unwrap().digest, digest);
    assert_eq!(lines(&net).len(), 3);
}

#[tokio::test]
async fn the_subject_that_the_registry_recorded_is_returned() {
    let subject = Digest::sha256(BLOB);
    let answered = subject.clone();
    let net = Net::serving(move |_| reply(201, &[("oci-subject", answered.as_str())], ""));
    for names in [&["v1"][..], &["v1", "v2"]] {
        let pushed = put(&net, names).await.unwrap();
        assert_eq!(pushed.subject.as_ref(), Some(&subject));
    }
}

#[tokio::test]
async fn a_blob_that_the_registry_has_is_told_from_one_that_it_has_not() {
    let length = BLOB.len().to_string();
    let digest = Digest::sha256(BLOB);
    let known = digest.clone();
    let net = Net::serving(move |seen| match seen.uri.ends_with(known.as_str()) {
        true => reply(200, &[("content-length", &length)], ""),
        false => reply(404, &[], ""),
    });
    let repository = repository(&net).await;
    assert!(repository.has_blob(&digest).await.unwrap());
    let other = Digest::sha256(b"other");
    assert!(!repository.has_blob(&other).await.unwrap());
    let expected = [digest, other].map(|digest| format!("HEAD /v2/app/blobs/{digest}"));
    assert_eq!(lines(&net), expected);
}

async fn mount(repository: &Repository) -> Result<MountOutcome, Error> {
    let from = "a/base".parse().unwrap();
    repository.mount_blob(&Digest::sha256(BLOB), &from).await
}

fn not_mounted(status: u16) -> MountOutcome {
    let status = Some(status.try_into().unwrap());
    MountOutcome::NotMounted { status }
}

#[tokio::test]
async fn a_blob_is_mounted_or_the_session_that_was_opened_is_cancelled() {
    let digest = Digest::sha256(BLOB).to_string().replace(':', "%3A");
    let post = format!("POST /v2/app/blobs/uploads/?mount={digest}&from=a%2Fbase");
    let delete = "DELETE /session?state=a%2F";
    for (status, expected, requests) in [
        (201, MountOutcome::Mounted, &[post.as_str()][..]),
        (202, not_mounted(202), &[&post, delete]),
        (400, not_mounted(400), &[&post]),
        (403, not_mounted(403), &[&post]),
        (404, not_mounted(404), &[&post]),
        (405, not_mounted(405), &[&post]),
    ] {
        let net = Net::serving(move |seen| {
            let status = if seen.method == "POST" { status } else { 204 };
            reply(status, &[("location", "/session?state=a%2F")], "")
        });
        let outcome = mount(&repository(&net).await).await.unwrap();
        assert_eq!(outcome, expected);
        assert_eq!(lines(&net), requests);
    }
}

#[tokio::test]
async fn a_refused_mount_is_told_once_for_two_repositories() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let notices = Arc::clone(&told);
    let net = Net::serving(
        |seen| match (seen.method.as_str(), seen.uri.contains("mount")) {
            ("POST", true) => reply(403, &[], ""),
            ("POST", false) => reply(202, &[("location", "/s")], ""),
            _ => reply(201, &[], ""),
        },
    );
    let client = builder(&net).transport(collecting(&net));
    let client = client.on_notice(move |notice: &Notice| {
        notices.lock().unwrap().push(notice.to_string());
    });
    let repository = app(client.build().unwrap()).await;
    let content = Bytes::from_static(BLOB);
    let mut options = PushOptions::default();
    options.digest = Some(Digest::sha256(BLOB));
    options.mount = Some("other".parse().unwrap());
    let pushed = repository.put_blob(&content, options).await.unwrap();
    assert_eq!(pushed.mount_refused.unwrap().as_u16(), 403);
    for _ in 0..2 {
        assert_eq!(mount(&repository).await.unwrap(), not_mounted(403));
    }
    let notice = |from| {
        format!("{HOME} refuses to mount blobs of {from} in app (status 403), so they are sent")
    };
    assert_eq!(*told.lock().unwrap(), [notice("other"), notice("a/base")]);
}

#[tokio::test]
async fn the_error_of_a_refused_write_says_why() {
    const BODY: &str =
        r#"{"errors":[{"code":"PRECONDITION","message":"configured as immutable"}]}"#;
    const MISSING: &str = r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#;
    const INVALID: &str = r#"{"errors":[{"code":"MANIFEST_INVALID","detail":"no layers"}]}"#;
    const FULL: &str = r#"{"errors":[{"code":"DENIED","message":"quota exceeded"}]}"#;
    for (status, body, kind, said) in [
        (
            412,
            BODY,
            ErrorKind::Denied,
            "the tag is immutable (status 412, PRECONDITION (configured as immutable))",
        ),
        (
            404,
            MISSING,
            ErrorKind::NotFound,
            "the repository does not exist, and the registry does not create it with a push \
             (status 404, NAME_UNKNOWN)",
        ),
        (
            400,
            INVALID,
            ErrorKind::Unsupported,
            "the registry does not accept the manifest: \"no layers\" (status 400, \
             MANIFEST_INVALID)",
        ),
        (
            412,
            FULL,
            ErrorKind::Denied,
            "the quota or the storage of the registry is used up (status 412, DENIED (quota \
             exceeded))",
        ),
        (
            405,
            "",
            ErrorKind::Unsupported,
            "the registry accepts no writes (status 405)",
        ),
    ] {
        let net = Net::serving(move |_| reply(status, &[], body));
        let error = put_v1(&repository(&net).await).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        let text = format!("cannot push manifest v1 of app to r.example.com: {said}");
        assert_eq!(error.to_string(), text);
        assert!(error.write_refusal().is_some());
    }
}

// DG7 (an upload succeeds only if the digest in the response is the expected one)
#[tokio::test]
async fn dg7_another_blob_that_was_mounted_is_an_error() {
    let other = Digest::sha256(b"other");
    let net = Net::serving(move |_| reply(201, &[("docker-content-digest", other.as_str())], ""));
    let error = mount(&repository(&net).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let net = Net::serving(|_| reply(503, &[], ""));
    let error = mount(&repository(&net).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

// CR8 (a scope is what the operation needs, plus pull on a mount source)
#[tokio::test]
async fn cr8_a_mount_asks_for_one_token_with_the_target_first() {
    const CHALLENGE: &str = r#"Bearer realm="https://auth.example.com/token",service="r""#;
    for (accepted, expected) in [(true, MountOutcome::Mounted), (false, not_mounted(401))] {
        let net = Net::serving(move |seen| {
            if seen.uri.starts_with(AUTH) {
                return reply(200, &[], r#"{"token":"t"}"#);
            }
            match seen.header("authorization") {
                Some(_) if accepted => reply(201, &[], ""),
                _ => unauthorized(CHALLENGE),
            }
        });
        let client = builder(&net).credentials(basic()).build().unwrap();
        assert_eq!(mount(&app(client).await).await.unwrap(), expected);
        let tokens: Vec<_> = net.seen().into_iter().map(|seen| seen.uri).collect();
        let tokens: Vec<_> = tokens.iter().filter(|uri| uri.starts_with(AUTH)).collect();
        let scopes = "scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Aa%2Fbase%3Apull";
        assert_eq!(tokens, [&format!("{AUTH}/token?service=r&{scopes}")]);
    }
}

#[tokio::test]
async fn a_tag_that_cannot_be_deleted_costs_no_manifest() {
    for (status, code) in [
        (400, "UNSUPPORTED"),
        (400, "DIGEST_INVALID"),
        (405, "UNSUPPORTED"),
    ] {
        let net = Net::serving(move |_| {
            let body = format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#);
            reply(status, &[], Bytes::from(body))
        });
        let repository = repository(&net).await;
        let error = repository.delete_tag(&"v1".parse().unwrap()).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(lines(&net), ["DELETE /v2/app/manifests/v1"]);
    }
}

const PUSH_CHALLENGE: &str =
    r#"Bearer realm="https://auth.example.com/token",service="r",scope="repository:app:pull,push""#;

const INVALID_TOKEN: &str =
    r#"Bearer realm="https://auth.example.com/token",service="r",error="invalid_token""#;

/// A registry that requires a token, except for the paths in `open`, and a token endpoint.
fn guarded(open: &'static [&'static str]) -> Net {
    Net::serving(move |seen| {
        if seen.uri.starts_with(AUTH) {
            return reply(200, &[], r#"{"token":"t","expires_in":300}"#);
        }
        let is_open = open.iter().any(|open| seen.uri.ends_with(open));
        match (seen.header("authorization"), seen.method.as_str()) {
            (None, _) if !is_open => unauthorized(PUSH_CHALLENGE),
            (_, "PUT") => reply(201, &[], ""),
            (_, "POST") => reply(202, &[("location", "/s")], ""),
            _ => reply(200, &[], MANIFEST),
        }
    })
}

/// Each request: method, path without query, and the length of its body if it has one.
fn bodies(net: &Net) -> Vec<String> {
    let line = |seen: &Seen| {
        let path = seen.uri.replace(HOME, "");
        let path = path.split('?').next().unwrap();
        match seen.body.len() {
            0 => format!("{} {path}", seen.method),
            length => format!("{} {path} {length}", seen.method),
        }
    };
    net.seen().iter().map(line).collect()
}

async fn put_v1(repository: &Repository) -> Result<PushedManifest, Error> {
    let bytes = Bytes::from_static(MANIFEST.as_bytes());
    let target = "v1".parse().unwrap();
    let media_type = MediaType::OCI_MANIFEST;
    repository.put_manifest(&target, &media_type, bytes).await
}

#[tokio::test]
async fn a_token_is_requested_before_a_body_is_sent() {
    let put = format!("PUT /v2/app/manifests/v1 {}", MANIFEST.len());
    let token = format!("GET {AUTH}/token");
    for cached in [true, false] {
        let net = guarded(&[]);
        let client = builder(&net).credentials(basic());
        let client = if cached {
            client
        } else {
            client.no_token_cache()
        };
        let repository = app(client.build().unwrap()).await;
        put_v1(&repository).await.unwrap();
        assert_eq!(bodies(&net), ["GET /v2/", &token, &put]);
        // Now the challenge is known.
        put_v1(&repository).await.unwrap();
        let again: &[&str] = if cached { &[&put] } else { &[&token, &put] };
        assert_eq!(&bodies(&net)[3..], again);
    }
}

#[tokio::test]
async fn a_token_for_reading_is_not_tried_for_a_body() {
    let net = guarded(&[]);
    let client = builder(&net).credentials(basic()).build().unwrap();
    let repository = app(client).await;
    repository.manifest(&"v1".parse().unwrap()).await.unwrap();
    let before = net.seen().len();
    put_v1(&repository).await.unwrap();
    let put = format!("PUT /v2/app/manifests/v1 {}", MANIFEST.len());
    assert_eq!(
        bodies(&net)[before..],
        [&*format!("GET {AUTH}/token"), &put]
    );
}

#[tokio::test]
async fn a_registry_without_tokens_is_asked_once_for_its_challenge() {
    // One registry lets everybody write; the other one's ping does not say that it requires a
    // token.
    let put = format!("PUT /v2/app/manifests/v1 {}", MANIFEST.len());
    let token = format!("GET {AUTH}/token");
    for (open, expected) in [
        (&["/v2/", "/v1"][..], &["GET /v2/", &put, &put][..]),
        (&["/v2/"], &["GET /v2/", &put, &token, &put, &put]),
    ] {
        let net = guarded(open);
        let client = builder(&net).credentials(basic()).build().unwrap();
        let repository = app(client).await;
        put_v1(&repository).await.unwrap();
        put_v1(&repository).await.unwrap();
        assert_eq!(bodies(&net), expected);
    }
}

// CR7 (a refused token is renewed once), RT7
#[tokio::test]
async fn rt7_a_push_outlives_any_number_of_tokens() {
    // Each request takes 50 s, and each token lives for 60 s.
    let clock = TestClock::default();
    let time = clock.clone();
    let issued = AtomicU64::new(0);
    let net = Net::serving(move |seen| {
        if seen.uri.starts_with(AUTH) {
            let now = time.now().as_secs();
            issued.store(now, Ordering::SeqCst);
            return reply(
                200,
                &[],
                format!(r#"{{"token":"t{now}","expires_in":60}}"#).into_bytes(),
            );
        }
        let valid = format!("Bearer t{}", issued.load(Ordering::SeqCst));
        let is_young = time.now().as_secs() < issued.load(Ordering::SeqCst) + 60;
        if seen.header("authorization") != Some(&valid) || !is_young {
            return unauthorized(PUSH_CHALLENGE);
        }
        time.advance(Duration::from_secs(50));
        match seen.method.as_str() {
            "PUT" => reply(201, &[], ""),
            _ => reply(202, &[("location", "/s")], ""),
        }
    });
    let client = timed(&net, &clock).credentials(basic());
    let client = client.transport(collecting(&net)).build().unwrap();
    let mut options = PushOptions::default();
    (options.digest, options.chunk) = (Some(Digest::sha256(BLOB)), Some(3));
    let content = Bytes::from_static(BLOB);
    let pushed = app(client).await.put_blob(&content, options).await;
    assert_eq!(pushed.unwrap().outcome, UploadOutcome::Sent);
    // The 21 bytes of the blob are sent once, in seven chunks; with the first and the last request
    // that makes nine, two with each token.
    let sent: usize = net.seen().iter().map(|seen| seen.body.len()).sum();
    assert_eq!(sent, BLOB.len());
    assert_eq!(net.count(AUTH), 5);
    let refused = net
        .seen()
        .iter()
        .filter(|seen| seen.header("authorization").is_none())
        .count();
    assert_eq!(refused, 1);
}

/// A source that gives `u:1`, then `u:2`, and so on, like a helper whose answers expire.
#[derive(Clone, Default)]
struct Expiring(Arc<AtomicU64>);

impl CredentialSource for Expiring {
    async fn lookup(&self, _: &str) -> Result<Option<Credential>, CredentialError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let password = Secret::new(number.to_string());
        Ok(Some(Credential::basic("u", password).unwrap()))
    }

    fn is_renewable(&self, _: &str) -> bool {
        true
    }
}

// CR7 (a 400 or 403 that says the token expired counts as a refused token, and a credential helper
// is asked once more)
#[tokio::test]
async fn cr7_a_write_asks_the_helper_again_when_the_password_expired() {
    const EXPIRED: &str =
        r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired."}]}"#;
    // `u:1` and `u:2`
    const PASSWORDS: [&str; 2] = ["Basic dTox", "Basic dToy"];
    for status in [400, 401, 403] {
        let net = Net::serving(move |seen| match seen.header("authorization") {
            None => reply(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
            Some(shown) if shown == PASSWORDS[1] => reply(201, &[], ""),
            Some(_) => reply(
                status,
                &[("www-authenticate", "Basic realm=\"r\"")],
                EXPIRED,
            ),
        });
        let source = Expiring::default();
        let client = builder(&net).credentials(source.clone()).build().unwrap();
        put_v1(&app(client).await).await.unwrap();
        assert_eq!(source.0.load(Ordering::SeqCst), 2, "{status}");
        let shown = net.seen().into_iter().filter(|seen| seen.method == "PUT");
        let shown: Vec<_> = shown
            .map(|seen| seen.headers["authorization"].clone())
            .collect();
        assert_eq!(shown, PASSWORDS, "{status}");
    }
}

// CR7
#[tokio::test]
async fn cr7_a_write_renews_a_token_that_the_registry_calls_expired() {
    let denied = r#"{"errors":[{"code":"DENIED","message":"token expired"}]}"#;
    for status in [400, 401, 403] {
        let tokens = AtomicU64::new(0);
        let net = Net::serving(move |seen| {
            if seen.uri.starts_with(AUTH) {
                let number = tokens.fetch_add(1, Ordering::SeqCst) + 1;
                return reply(200, &[], format!(r#"{{"token":"t{number}"}}"#).into_bytes());
            }
            match seen.header("authorization") {
                Some("Bearer t2") => reply(201, &[], ""),
                Some(_) if status != 401 => reply(status, &[], denied),
                Some(_) => unauthorized(INVALID_TOKEN),
                None => unauthorized(PUSH_CHALLENGE),
            }
        });
        let client = builder(&net).credentials(basic()).build().unwrap();
        put_v1(&app(client).await).await.unwrap();
        let token = format!("GET {AUTH}/token");
        let put = format!("PUT /v2/app/manifests/v1 {}", MANIFEST.len());
        assert_eq!(
            bodies(&net),
            ["GET /v2/", &token, &put, &token, &put],
            "{status}"
        );
    }
}
