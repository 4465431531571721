//! Lists: tags, referrers, repositories.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use longshore::model::{Digest, MediaType, Reference};
use longshore::transport::{Exchange, ScriptedTransport, TestClock};
use longshore::{Client, ErrorKind, Repository};

const HOME: &str = "https://r.example/v2";

fn client(script: impl IntoIterator<Item = Exchange>) -> (Client, ScriptedTransport) {
    let transport = ScriptedTransport::new(script);
    let client = Client::builder()
        .transport(transport.clone())
        .clock(TestClock::default())
        .attempts(1)
        .build()
        .unwrap();
    (client, transport)
}

async fn repository(script: impl IntoIterator<Item = Exchange>) -> (Repository, ScriptedTransport) {
    let (client, transport) = client(script);
    let reference: Reference = "r.example/app:1".parse().unwrap();
    (client.repository(&reference).await.unwrap(), transport)
}

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
async fn f42_the_tag_stands_in_only_where_the_api_is_not_there() {
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
    // F43: none is no error.
    assert_eq!(found(&repository, None).await, []);
    transport.finish();

    for (status, kind) in [(403, ErrorKind::Denied), (503, ErrorKind::Unavailable)] {
        let (repository, transport) = self::repository([get(&path, status)]).await;
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
