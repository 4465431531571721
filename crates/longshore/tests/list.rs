//! Lists: tags, referrers, repositories.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "support/scripted.rs"]
mod scripted;

use bytes::Bytes;
use http::{Request, Response};
use longshore::model::{Algorithm, Digest, MediaType, Reference};
use longshore::transport::{Body, Exchange, TestClock, from_fn};
use longshore::{COLLECTED_LIMIT_BYTES, Client, ErrorKind, Repository};

use scripted::{client, repository};

const HOME: &str = "https://r.example/v2";

fn get(path: &str, status: u16) -> Exchange {
    Exchange::new("GET", &format!("{HOME}{path}"), status)
}

#[tokio::test]
async fn tags_come_page_by_page() {
    let (repository, transport) = repository([
        get("/app/tags/list?n=2", 200)
            .header("link", "</v2/app/tags/list?n=2&last=b>; rel=\"next\"")
            .body(r#"{"name":"app","tags":["a","b"]}"#),
        get("/app/tags/list?n=2&last=b", 200).body(r#"{"name":"app","tags":["c"]}"#),
    ])
    .await;
    assert_eq!(
        repository.tags(Some(2), None).collect().await.unwrap(),
        ["a", "b", "c"]
    );
    transport.finish();
}

#[tokio::test]
async fn rd5_the_next_page_is_asked_for_at_home_whatever_the_link_says() {
    let (repository, transport) = repository([
        get("/app/tags/list", 200)
            .header("link", "<https://evil.example/steal?last=a>; rel=\"next\"")
            .body(r#"{"tags":["a"]}"#),
        get("/app/tags/list?last=a", 200).body(r#"{"tags":["b"]}"#),
    ])
    .await;
    assert_eq!(
        repository.tags(None, None).collect().await.unwrap(),
        ["a", "b"]
    );
    transport.finish();
}

#[tokio::test]
async fn rd5_a_circle_gives_what_came_and_then_an_error() {
    let page = |path: &str| {
        get(path, 200)
            .header("link", "</v2/app/tags/list?last=a>; rel=\"next\"")
            .body(r#"{"tags":["a"]}"#)
    };
    let (repository, transport) =
        repository([page("/app/tags/list"), page("/app/tags/list?last=a")]).await;
    let mut tags = repository.tags(None, None);
    assert_eq!(tags.next().await.unwrap().unwrap(), "a");
    assert_eq!(tags.next().await.unwrap().unwrap(), "a");
    let error = tags.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(tags.next().await.is_none());
    transport.finish();
}

#[tokio::test]
async fn what_is_no_page_is_an_error() {
    for (status, body, kind) in [
        (200, "<html>", ErrorKind::Protocol),
        (
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#,
            ErrorKind::NotFound,
        ),
        (403, "", ErrorKind::Denied),
        (405, "", ErrorKind::Unsupported),
        (500, "", ErrorKind::Unavailable),
    ] {
        let (repository, _) = repository([get("/app/tags/list", status).body(body)]).await;
        let error = repository.tags(None, None).collect().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
    }
}

#[tokio::test]
async fn repositories_are_listed_for_the_whole_registry() {
    let (client, transport) = client([
        get("/_catalog", 401).header(
            "www-authenticate",
            r#"Bearer realm="https://r.example/token",service="s",scope="registry:catalog:*""#,
        ),
        Exchange::new(
            "GET",
            "https://r.example/token?service=s&scope=registry%3Acatalog%3A%2A",
            200,
        )
        .body(r#"{"token":"t"}"#),
        get("/_catalog", 200)
            .wants("authorization", "Bearer t")
            .body(r#"{"repositories":["a","b/c"]}"#),
    ]);
    let names = client.repositories("r.example", None, None).await.unwrap();
    assert_eq!(names.collect().await.unwrap(), ["a", "b/c"]);
    transport.finish();
}

fn index(entries: &[(&str, &str)]) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|(content, artifact_type)| {
            let digest = Digest::sha256(content.as_bytes());
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7,
                "digest":"{digest}","artifactType":"{artifact_type}"}}"#
            )
        })
        .collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",
        "manifests":[{}]}}"#,
        entries.join(",")
    )
}

fn subject() -> Digest {
    Digest::sha256(b"subject")
}

fn artifact_type() -> MediaType {
    "text/a".parse().unwrap()
}

fn digests(of: &[&str]) -> Vec<Digest> {
    of.iter()
        .map(|content| Digest::sha256(content.as_bytes()))
        .collect()
}

async fn found(repository: &Repository, wanted: Option<&MediaType>) -> Vec<Digest> {
    let found = repository
        .referrers(&subject(), wanted)
        .collect()
        .await
        .unwrap();
    found
        .into_iter()
        .map(|descriptor| descriptor.digest)
        .collect()
}

#[tokio::test]
async fn referrers_are_filtered_here_unless_the_registry_did() {
    let wanted = artifact_type();
    let path = format!("/app/referrers/{}", subject());
    let filtered = format!("{path}?artifactType=text%2Fa");
    let both = index(&[("a", "text/a"), ("b", "text/b")]);
    let (repository, transport) = repository([
        get(&path, 200).body(both.clone()),
        get(&filtered, 200).body(both.clone()),
        get(&filtered, 200)
            .header("oci-filters-applied", "artifactType")
            .body(both),
    ])
    .await;
    assert_eq!(found(&repository, None).await, digests(&["a", "b"]));
    assert_eq!(found(&repository, Some(&wanted)).await, digests(&["a"]));
    assert_eq!(
        found(&repository, Some(&wanted)).await,
        digests(&["a", "b"])
    );
    transport.finish();
}

#[tokio::test]
async fn referrers_come_in_pages_with_their_bytes() {
    let path = format!("/app/referrers/{}", subject());
    let (first, second) = (index(&[("a", "text/a")]), index(&[("b", "text/b")]));
    let (repository, transport) = repository([
        get(&path, 200)
            .header("link", "<?page=2>; rel=\"next\"")
            .body(first.clone()),
        get(&format!("{path}?page=2"), 200).body(second.clone()),
    ])
    .await;
    let pages = repository
        .referrers_pages(&subject(), None)
        .collect()
        .await
        .unwrap();
    let bytes: Vec<_> = pages
        .iter()
        .map(|page| page.manifest.bytes().clone())
        .collect();
    assert_eq!(bytes, [first, second]);
    assert!(pages.iter().all(|page| !page.from_tag));
    transport.finish();
}

#[tokio::test]
async fn the_tag_stands_in_only_where_the_api_is_not_there() {
    let path = format!("/app/referrers/{}", subject());
    let tag = format!("/app/manifests/sha256-{}", subject().encoded());
    let filtered = format!("{path}?artifactType=text%2Fa");
    let (repository, transport) = repository([
        get(&filtered, 404),
        get(&tag, 200).body(index(&[("a", "text/a"), ("b", "text/b")])),
        get(&path, 404),
        get(&tag, 404),
    ])
    .await;
    assert_eq!(
        found(&repository, Some(&artifact_type())).await,
        digests(&["a"])
    );
    // An empty list is not an error.
    assert_eq!(found(&repository, None).await, []);
    transport.finish();

    // Old Harbor: 401, and not a word of what it wants.
    let (repository, transport) = self::repository([
        get(&path, 401),
        get(&tag, 200).body(index(&[("a", "text/a")])),
        get(&path, 401).header("www-authenticate", "Negotiate"),
        get(&tag, 200).body(index(&[("b", "text/a")])),
        get(&path, 200).body("<html>"),
        get(&tag, 200).body(index(&[("c", "text/a")])),
    ])
    .await;
    for one in ["a", "b", "c"] {
        assert_eq!(found(&repository, None).await, digests(&[one]));
    }
    transport.finish();

    for (status, kind) in [(403, ErrorKind::Denied), (503, ErrorKind::Unavailable)] {
        let exchanges = match status {
            503 => vec![get(&path, status)],
            _ => vec![get(&path, status), get(&tag, status)],
        };
        let (repository, transport) = self::repository(exchanges).await;
        let error = repository
            .referrers(&subject(), None)
            .collect()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind);
        transport.finish();
    }
}

#[tokio::test]
async fn a_tag_that_leads_to_the_subject_itself_holds_no_referrers() {
    let subject = index(&[("a", "text/a")]);
    let digest = Digest::sha256(subject.as_bytes());
    let (repository, transport) = repository([
        get(&format!("/app/referrers/{digest}"), 404),
        get(&format!("/app/manifests/sha256-{}", digest.encoded()), 200).body(subject),
    ])
    .await;
    assert!(
        repository
            .referrers(&digest, None)
            .collect()
            .await
            .unwrap()
            .is_empty()
    );
    transport.finish();
}

// The tag of a subject under SHA-512 is cut, and its own digest is not the one by SHA-256.
#[tokio::test]
async fn a_subject_by_sha512_is_not_taken_for_its_referrers() {
    let subject = index(&[("a", "text/a")]);
    let digest = Digest::of(&Algorithm::Sha512, subject.as_bytes()).unwrap();
    let tag = format!("/app/manifests/sha512-{}", &digest.encoded()[..64]);
    let (repository, transport) = repository([
        get(&format!("/app/referrers/{digest}"), 404),
        get(&tag, 200).body(subject),
    ])
    .await;
    let found = repository.referrers(&digest, None).collect().await.unwrap();
    assert_eq!(found, []);
    transport.finish();
}

fn children(of: &[&str], annotation: &str) -> String {
    let entries: Vec<_> = of
        .iter()
        .map(|content| {
            let digest = Digest::sha256(content.as_bytes());
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7,
                "digest":"{digest}"}}"#
            )
        })
        .collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",
        "annotations":{{"a":"{annotation}"}},"manifests":[{}]}}"#,
        entries.join(",")
    )
}

#[tokio::test]
async fn children_of_the_subject_are_not_its_referrers() {
    let subject = children(&["a", "b"], "subject");
    let digest = Digest::sha256(subject.as_bytes());
    let path = format!("/app/referrers/{digest}");
    let tag = format!("/app/manifests/sha256-{}", digest.encoded());
    let itself = format!("/app/manifests/{digest}");
    for (tagged, status, expected) in [
        // As some registries answer: another document with the same children.
        (children(&["b", "a"], "copy"), 200, &[][..]),
        (children(&["b", "c"], "referrers"), 200, &["b", "c"]),
        // The subject may be gone.
        (children(&["b"], "referrers"), 404, &["b"]),
    ] {
        let (repository, transport) = repository([
            get(&path, 404),
            get(&tag, 200).body(tagged),
            get(&itself, status).body(subject.clone()),
        ])
        .await;
        let found = repository.referrers(&digest, None).collect().await.unwrap();
        let found: Vec<_> = found.into_iter().map(|entry| entry.digest).collect();
        assert_eq!(found, digests(expected));
        transport.finish();
    }
}

#[tokio::test]
async fn dg6_a_coded_page_is_refused_before_it_is_read() {
    let path = format!("/app/referrers/{}", subject());
    let coded = |path: &str, body: &str| {
        get(path, 200)
            .header("content-encoding", "gzip")
            .body(body.to_owned())
    };
    let (repository, transport) = repository([
        coded("/app/tags/list", r#"{"tags":["a"]}"#),
        coded(&path, &index(&[("a", "text/a")])),
    ])
    .await;
    let tags = repository.tags(None, None).collect().await.unwrap_err();
    assert_eq!(tags.kind(), ErrorKind::Protocol);
    let referrers = repository.referrers(&subject(), None).collect().await;
    assert_eq!(referrers.unwrap_err().kind(), ErrorKind::Protocol);
    transport.finish();
}

#[tokio::test]
async fn a_page_that_is_too_large_for_the_registry_is_asked_for_smaller() {
    let (repository, transport) = repository([
        get("/app/tags/list?n=1000&last=a", 413),
        get("/app/tags/list?n=100&last=a", 200).body(r#"{"tags":["b"]}"#),
    ])
    .await;
    let tags = repository.tags(Some(1000), Some("a"));
    assert_eq!(tags.collect().await.unwrap(), ["b"]);
    transport.finish();
}

/// Pages of about this many bytes, each with one tag, without end.
async fn endless(size: usize) -> Repository {
    let page = std::sync::atomic::AtomicU32::new(0);
    let transport = from_fn(move |_: Request<Body>| {
        let number = page.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let padding = "x".repeat(size);
        let body = format!(r#"{{"tags":["{number}"],"padding":"{padding}"}}"#);
        let answer = Response::builder()
            .header("link", format!("<?last={number}>; rel=\"next\""))
            .body(Body::from(Bytes::from(body)));
        async move { Ok(answer.unwrap()) }
    });
    let client = Client::builder()
        .transport(transport)
        .clock(TestClock::default())
        .build()
        .unwrap();
    let reference: Reference = "r.example/app:1".parse().unwrap();
    client.repository(&reference).await.unwrap()
}

#[tokio::test]
async fn li_a_list_that_is_collected_whole_is_bounded_in_bytes() {
    let repository = endless(4 * 1024 * 1024).await;
    let error = repository.tags(None, None).collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    // A stream holds a page at a time, and goes on.
    let mut tags = repository.tags(None, None);
    let first: u64 = tags.next().await.unwrap().unwrap().parse().unwrap();
    for page in 1..=COLLECTED_LIMIT_BYTES / (4 * 1024 * 1024) + 1 {
        let tag = tags.next().await.unwrap().unwrap();
        assert_eq!(tag, (first + page).to_string());
    }
}

#[tokio::test]
async fn a_later_page_that_is_not_there_is_no_reason_to_ask_for_the_tag() {
    let path = format!("/app/referrers/{}", subject());
    let (repository, transport) = repository([
        get(&path, 200)
            .header("link", "<?page=2>; rel=\"next\"")
            .body(index(&[("a", "text/a")])),
        get(&format!("{path}?page=2"), 404),
    ])
    .await;
    let mut referrers = repository.referrers(&subject(), None);
    let first = referrers.next().await.unwrap().unwrap();
    assert_eq!([first.digest], digests(&["a"])[..]);
    let error = referrers.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(referrers.next().await.is_none());
    transport.finish();
}
