//! Manifests: exact bytes, verified before they are believed.

use bytes::Bytes;
use longshore::model::{Algorithm, Digest, MANIFEST_LIMIT_BYTES, TagOrDigest, VerifyError};
use longshore::transport::{Body, Exchange, Phase, ScriptedTransport, TestClock};
use longshore::{Cause, Error, ErrorKind, PulledManifest};

use crate::auth::MANIFEST_URI;
use crate::support::{HOME, MANIFEST, Net, app, builder, closed, reply};

async fn pull(net: &Net, target: &str) -> Result<PulledManifest, Error> {
    let target: TagOrDigest = target.parse().unwrap();
    app(builder(net).build().unwrap())
        .await
        .manifest(&target)
        .await
}

fn answering(fields: &[(&'static str, &str)], body: impl Into<Bytes>) -> Net {
    let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
    let body = body.into();
    Net::serving(move |_| {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        reply(200, &fields, body.clone())
    })
}

#[track_caller]
fn mismatch(result: Result<PulledManifest, Error>) -> (Digest, Digest) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Digest);
    match error.cause() {
        Cause::Digest(VerifyError::Digest { expected, actual }) => {
            (expected.clone(), actual.clone())
        }
        other => panic!("{other:?}"),
    }
}

// DG4
#[tokio::test]
async fn dg4_a_manifest_is_its_bytes_as_they_came() {
    let odd = format!("\n {MANIFEST}\t ");
    let pulled = pull(&answering(&[], odd.clone()), "v1").await.unwrap();
    assert_eq!(pulled.manifest.bytes(), odd.as_bytes());
    assert_eq!(*pulled.digest(), Digest::sha256(odd.as_bytes()));
    assert_eq!(pulled.digest_header, None);
}

#[tokio::test]
async fn dg2_content_asked_for_by_digest_has_that_digest() {
    let (right, wrong) = (
        Digest::sha256(MANIFEST.as_bytes()),
        Digest::sha256(b"other"),
    );
    let net = answering(&[], MANIFEST);
    assert_eq!(*pull(&net, right.as_str()).await.unwrap().digest(), right);
    assert_eq!(mismatch(pull(&net, wrong.as_str()).await), (wrong, right));
    // It is the registry's content: another attempt would bring the same.
    assert_eq!(net.lines().len(), 2);
}

#[tokio::test]
async fn dg2_a_digest_header_that_disagrees_with_the_bytes_is_refused_even_by_tag() {
    let (right, wrong) = (
        Digest::sha256(MANIFEST.as_bytes()),
        Digest::sha256(b"other"),
    );
    let lies = answering(&[("docker-content-digest", wrong.as_str())], MANIFEST);
    for target in ["v1", right.as_str()] {
        assert_eq!(
            mismatch(pull(&lies, target).await),
            (wrong.clone(), right.clone())
        );
    }
    let honest = answering(&[("docker-content-digest", right.as_str())], MANIFEST);
    assert_eq!(
        pull(&honest, "v1").await.unwrap().digest_header,
        Some(right)
    );
}

#[tokio::test]
async fn dg2_a_digest_header_that_cannot_be_verified_is_ignored() {
    let right = Digest::sha256(MANIFEST.as_bytes());
    let quoted = format!("\"{right}\"");
    let upper = right.as_str().to_uppercase();
    let header = |value| ("docker-content-digest", value);
    for fields in [
        &[header("sha256:short")][..],
        &[header(right.encoded())],
        &[header(&quoted)],
        &[header(&upper)],
        &[header("md5:abc")],
        &[header("")],
        &[header(
            "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
        )],
    ] {
        for target in ["v1", right.as_str()] {
            let pulled = pull(&answering(fields, MANIFEST), target).await.unwrap();
            assert_eq!(
                (pulled.digest(), pulled.digest_header.as_ref()),
                (&right, None),
                "{fields:?}"
            );
        }
    }
    let twice = [header(right.as_str()), header(right.as_str())];
    let pulled = pull(&answering(&twice, MANIFEST), "v1").await.unwrap();
    assert_eq!(pulled.digest_header, Some(right));
}

#[tokio::test]
async fn a_manifest_asked_for_by_sha512_is_verified_and_named_by_it() {
    let digest = Digest::of(&Algorithm::Sha512, MANIFEST.as_bytes()).unwrap();
    let sha256 = Digest::sha256(MANIFEST.as_bytes());
    let net = answering(&[("docker-content-digest", sha256.as_str())], MANIFEST);
    let pulled = pull(&net, digest.as_str()).await.unwrap();
    assert_eq!(
        (pulled.digest(), pulled.digest_header.clone()),
        (&digest, Some(sha256))
    );
    assert_eq!(
        net.lines(),
        [format!("GET {HOME}/v2/app/manifests/{digest}")]
    );

    let (wrong, pulled) = (
        Digest::of(&Algorithm::Sha512, b"other").unwrap(),
        answering(&[], MANIFEST),
    );
    assert_eq!(
        mismatch(pull(&pulled, wrong.as_str()).await),
        (wrong, digest.clone())
    );

    // By tag, a registry that thinks in sha512 is believed once it was checked.
    let net = answering(&[("docker-content-digest", digest.as_str())], MANIFEST);
    assert_eq!(*pull(&net, "v1").await.unwrap().digest(), digest);
}

// DG1
#[tokio::test]
async fn dg1_what_cannot_be_verified_is_refused() {
    let error = pull(
        &answering(&[], MANIFEST),
        "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

fn padded(length: usize) -> Bytes {
    let mut body = MANIFEST.as_bytes().to_vec();
    body.resize(length, b' ');
    body.into()
}

/// A body in pieces of which it does not tell how many there are.
fn unannounced(content: &Bytes) -> Body {
    let pieces = content
        .chunks(1 << 20)
        .map(|piece| crate::support::Piece::Bytes(content.slice_ref(piece)));
    crate::support::Pieces::body(&TestClock::default(), pieces)
}

// LI1
#[tokio::test]
async fn li1_a_manifest_may_have_eight_mebibytes_and_no_byte_more() {
    let limit = MANIFEST_LIMIT_BYTES;
    let (full, over) = (padded(limit), padded(limit + 1));
    let pulled = pull(&answering(&[], full.clone()), "v1").await.unwrap();
    assert_eq!(pulled.manifest.bytes().len(), limit);
    let length = (limit + 1).to_string();
    let nets = [
        answering(&[], over.clone()),
        Net::serving(move |_| reply(200, &[], unannounced(&over))),
        // It fails by what it says, not by what it brings.
        answering(&[("content-length", &length)], MANIFEST),
    ];
    for net in nets {
        let error = pull(&net, "v1").await.unwrap_err();
        assert!(
            matches!(error.cause(), Cause::TooLarge { limit: 8_388_608 }),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(net.lines().len(), 1);
    }
    let net = Net::serving(move |_| reply(200, &[], unannounced(&full)));
    assert_eq!(
        pull(&net, "v1").await.unwrap().manifest.bytes().len(),
        limit
    );
}

// DG6
#[tokio::test]
async fn dg6_a_coded_manifest_is_refused_unless_its_bytes_are_what_was_meant() {
    let gzip: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let coded = ("content-encoding", "gzip");
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let claimed = ("docker-content-digest", digest.as_str());

    let net = answering(&[coded], gzip);
    assert_eq!(
        pull(&net, "v1").await.unwrap_err().kind(),
        ErrorKind::Protocol
    );
    assert_eq!(
        pull(&net, digest.as_str()).await.unwrap_err().kind(),
        ErrorKind::Digest
    );
    // Nothing tells that these bytes were meant.
    let net = answering(&[coded], MANIFEST);
    assert_eq!(
        pull(&net, "v1").await.unwrap_err().kind(),
        ErrorKind::Protocol
    );
    // The digest does.
    assert_eq!(*pull(&net, digest.as_str()).await.unwrap().digest(), digest);
    assert_eq!(
        *pull(&answering(&[coded, claimed], MANIFEST), "v1")
            .await
            .unwrap()
            .digest(),
        digest
    );
    let net = answering(&[("content-encoding", "identity")], MANIFEST);
    assert_eq!(*pull(&net, "v1").await.unwrap().digest(), digest);
}

// DG5
#[tokio::test]
async fn dg5_a_type_that_contradicts_the_document_is_refused() {
    for (content_type, expected) in [
        ("application/vnd.oci.image.manifest.v1+json", Ok(())),
        ("application/json; charset=utf-8", Ok(())),
        // A malformed value is ignored.
        (
            "application/vnd.oci.image.manifest.v1+json; charset",
            Ok(()),
        ),
        ("application/vnd.oci.image.manifest.v1+json;;=\"", Ok(())),
        ("text/plain", Ok(())),
        ("binary/octet-stream", Ok(())),
        ("no type", Ok(())),
        ("/", Ok(())),
        ("", Ok(())),
        (
            "application/vnd.oci.image.index.v1+json",
            Err(ErrorKind::Protocol),
        ),
    ] {
        let net = answering(&[("content-type", content_type)], MANIFEST);
        let result = pull(&net, "v1")
            .await
            .map(|_| ())
            .map_err(|error| error.kind());
        assert_eq!(result, expected, "{content_type}");
    }
    for body in ["", "<html>", "{}", "[]", "\u{0}"] {
        let error = pull(&answering(&[], body), "v1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
        let is_expected = match error.cause() {
            Cause::WebPage => body == "<html>",
            Cause::Document(_) => body != "<html>",
            _ => false,
        };
        assert!(is_expected, "{error:?}");
    }
}

#[tokio::test]
async fn a_success_other_than_200_is_no_manifest() {
    for status in [201, 204, 206] {
        let net = Net::serving(move |_| reply(status, &[], MANIFEST));
        let error = pull(&net, "v1").await.unwrap_err();
        assert!(
            matches!(error.cause(), Cause::Violation(_)),
            "{status}: {error:?}"
        );
    }
}

// RT1: until its last byte is there, a document can be asked for again.
#[tokio::test]
async fn a_manifest_that_breaks_off_is_asked_for_again() {
    let net = Net::over(ScriptedTransport::new([
        Exchange::new("GET", MANIFEST_URI, 200)
            .body(&MANIFEST[..9])
            .broken(closed(Phase::Body)),
        Exchange::new("GET", MANIFEST_URI, 200)
            .body(&MANIFEST[..9])
            .body(&MANIFEST[9..]),
    ]));
    let pulled = pull(&net, "v1").await.unwrap();
    assert_eq!(pulled.manifest.bytes(), MANIFEST.as_bytes());
}

#[tokio::test]
async fn absent_unauthorized_and_failed_are_three_answers() {
    // How often the blob and the manifest are asked for together; a refused HEAD may only mean that
    // HEAD is not supported.
    for (status, expected, requests) in [
        (404, Ok(false), 2),
        (401, Err(ErrorKind::Auth), 4),
        (403, Err(ErrorKind::Denied), 4),
        (405, Err(ErrorKind::Unsupported), 4),
        (429, Err(ErrorKind::RateLimited), 10),
        (500, Err(ErrorKind::Unavailable), 10),
        (503, Err(ErrorKind::Unavailable), 10),
    ] {
        let net = Net::serving(move |_| reply(status, &[("content-length", "7")], ""));
        let app = app(builder(&net).build().unwrap()).await;
        let blob = app.blob_head(&Digest::sha256(b"x")).await;
        let blob = blob
            .map(|head| head.is_some())
            .map_err(|error| error.kind());
        assert_eq!(blob, expected, "blob, {status}");
        let manifest = app.manifest_head(&"v1".parse().unwrap()).await;
        let manifest = manifest
            .map(|head| head.is_some())
            .map_err(|error| error.kind());
        assert_eq!(manifest, expected, "manifest, {status}");
        assert_eq!(net.lines().len(), requests, "{:?}", net.lines());
    }
}

/// A registry with a manifest and a blob that answers `HEAD` with this.
fn answering_head(status: u16, fields: &'static [(&'static str, &'static str)]) -> Net {
    Net::serving(move |seen| match seen.method.as_str() {
        "HEAD" => reply(status, fields, ""),
        _ if seen.uri.contains("/manifests/") => reply(200, &[], MANIFEST),
        _ => reply(200, &[("content-length", "7")], "content"),
    })
}

#[tokio::test]
async fn dg2_get_follows_a_head_without_a_usable_answer() {
    let blob = Digest::sha256(b"content");
    for (status, fields) in [
        (400, &[][..]),
        (403, &[]),
        (405, &[]),
        (501, &[]),
        (200, &[]),
        (200, &[("content-length", "0")]),
        (
            200,
            &[
                ("content-length", "-5"),
                ("docker-content-digest", "md5:abc"),
            ],
        ),
        (
            200,
            &[
                ("content-length", "many"),
                ("docker-content-digest", "none"),
            ],
        ),
    ] {
        let net = answering_head(status, fields);
        let app = app(builder(&net).build().unwrap()).await;
        let head = app.blob_head(&blob).await.unwrap().unwrap();
        assert_eq!(head.size, Some(7), "{status} {fields:?}");
        let v1 = "v1".parse().unwrap();
        let head = app.manifest_head(&v1).await.unwrap().unwrap();
        assert_eq!(head.digest, Some(Digest::sha256(MANIFEST.as_bytes())));
        assert_eq!(head.size, Some(MANIFEST.len() as u64));
        assert_eq!(net.lines().len(), 4, "{:?}", net.lines());
    }
}

// The body of a blob is not read for its size.
#[tokio::test]
async fn the_size_is_unknown_if_get_does_not_give_it_either() {
    for fields in [&[][..], &[("content-length", "0")]] {
        let net = Net::serving(move |_| reply(200, fields, "content"));
        let app = app(builder(&net).build().unwrap()).await;
        let head = app.blob_head(&Digest::sha256(b"content")).await;
        assert_eq!(head.unwrap().unwrap().size, None, "{fields:?}");
    }
}

#[tokio::test]
async fn a_head_tells_what_the_registry_claims() {
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let claimed = digest.clone();
    let net = Net::serving(move |_| {
        let fields = [
            ("docker-content-digest", claimed.as_str()),
            ("content-type", "application/vnd.oci.image.manifest.v1+json"),
            ("content-length", "337"),
        ];
        reply(200, &fields, "")
    });
    let app = app(builder(&net).build().unwrap()).await;
    let head = app
        .manifest_head(&"v1".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((head.digest, head.size), (Some(digest.clone()), Some(337)));
    assert_eq!(
        head.media_type.unwrap().as_str(),
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(
        app.blob_head(&digest).await.unwrap().unwrap().size,
        Some(337)
    );
}
