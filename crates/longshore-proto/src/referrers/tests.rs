use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use longshore_model::Algorithm;

use super::*;

const SUBJECT: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

fn subject() -> Digest {
    Digest::sha256(SUBJECT)
}

fn listing() -> ReferrersListing {
    let name = "app".parse().unwrap();
    ReferrersListing::new(name, subject(), None, &Quirks::default())
}

fn head(status: u16, fields: &[(&'static str, &str)]) -> response::Parts {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::from_u16(status).unwrap();
    head.headers = HeaderMap::new();
    for (name, value) in fields {
        head.headers
            .append(*name, HeaderValue::from_str(value).unwrap());
    }
    head
}

fn refusal(status: u16, fields: &[(&'static str, &str)]) -> Refusal {
    Refusal::read(&head(status, fields), b"", status == 404)
}

/// An index with one entry for each name, with or without an artifact type.
fn index(names: &[&str], artifact_type: Option<&str>) -> Bytes {
    let entries: Vec<_> = names
        .iter()
        .map(|name| {
            let digest = Digest::sha256(name.as_bytes());
            let kind = artifact_type.map(|text| format!(r#","artifactType":"{text}""#));
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,
                "digest":"{digest}"{}}}"#,
                kind.unwrap_or_default()
            )
        })
        .collect();
    let entries = entries.join(",");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",
        "manifests":[{entries}]}}"#
    )
    .into()
}

#[track_caller]
fn asks(listing: &ReferrersListing, expected: &str) {
    let host = crate::Host::new("https://r.example".parse().unwrap());
    let ask = listing.ask().unwrap();
    assert_eq!(ask.endpoint.write(&host).path_and_query, expected);
}

fn tag_path() -> String {
    format!("/v2/app/manifests/sha256-{}", subject().encoded())
}

/// A list that has fallen back to the tag.
#[track_caller]
fn at_tag() -> ReferrersListing {
    let mut listing = listing();
    let turn = listing.on_refused(&refusal(404, &[]), true).unwrap();
    assert_eq!((turn.page.is_none(), turn.next), (true, ReferrersNext::Ask));
    asks(&listing, &tag_path());
    listing
}

#[track_caller]
fn brings(turn: &ReferrersTurn, names: &[&str], from_tag: bool) {
    let page = turn.page.as_ref().unwrap();
    let found: Vec<_> = page.descriptors().map(|it| &it.digest).collect();
    let expected: Vec<_> = names
        .iter()
        .map(|it| Digest::sha256(it.as_bytes()))
        .collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>());
    assert_eq!(page.from_tag, from_tag);
    let kept: Vec<_> = page.descriptors().cloned().collect();
    assert_eq!(page.clone().into_descriptors(), kept);
}

#[track_caller]
fn brings_nothing(turn: &ReferrersTurn) {
    assert!(turn.page.is_none(), "{turn:?}");
    assert_eq!(turn.next, ReferrersNext::End);
}

#[test]
fn pages_of_the_api_follow_each_other() {
    let mut listing = listing();
    asks(&listing, &format!("/v2/app/referrers/{}", subject()));
    let more = head(200, &[("link", "</x?last=b>; rel=\"next\"")]);
    let turn = listing.on_answer(&more, index(&["a", "b"], None)).unwrap();
    brings(&turn, &["a", "b"], false);
    assert_eq!(turn.next, ReferrersNext::Ask);
    asks(&listing, &format!("/v2/app/referrers/{}?last=b", subject()));
    // The API is known to be there, so that a page is missing is an error.
    assert!(
        listing
            .clone()
            .on_refused(&refusal(404, &[]), false)
            .is_none()
    );
    let turn = listing.on_answer(&head(200, &[]), index(&["c"], None));
    let turn = turn.unwrap();
    brings(&turn, &["c"], false);
    assert_eq!(turn.next, ReferrersNext::End);
    assert!(listing.ask().is_none());
}

#[test]
fn rd5_a_circle_ends_the_list_after_its_page() {
    let mut listing = listing();
    let more = head(200, &[("link", "</x?last=b>; rel=\"next\"")]);
    let turn = listing.on_answer(&more, index(&["a"], None)).unwrap();
    assert_eq!(turn.next, ReferrersNext::Ask);
    let turn = listing.on_answer(&more, index(&["b"], None)).unwrap();
    brings(&turn, &["b"], false);
    let circle = ListingError::Loop { page: 2 };
    assert_eq!(turn.next, ReferrersNext::Fail(circle));
    assert!(listing.ask().is_none());
}

#[test]
fn a_filter_is_applied_unless_the_registry_did() {
    let wanted: MediaType = "application/x".parse().unwrap();
    let body = index(&["a"], Some("application/y"));
    for (applied, names) in [("artifactType", &["a"][..]), ("other", &[])] {
        let name = "app".parse().unwrap();
        let quirks = Quirks::default();
        let mut listing = ReferrersListing::new(name, subject(), Some(wanted.clone()), &quirks);
        let head = head(200, &[("oci-filters-applied", applied)]);
        let turn = listing.on_answer(&head, body.clone()).unwrap();
        brings(&turn, names, false);
    }
}

#[test]
fn the_tag_is_read_where_the_api_is_missing() {
    let harbor = refusal(401, &[]);
    assert!(listing().on_refused(&harbor, true).is_some());
    let quirks = Quirks {
        referrers: ReferrersSupport::Tag,
        ..Quirks::default()
    };
    let known = ReferrersListing::new("app".parse().unwrap(), subject(), None, &quirks);
    asks(&known, &tag_path());

    let mut listing = at_tag();
    let turn = listing.on_answer(&head(200, &[]), index(&["a"], Some("application/x")));
    let turn = turn.unwrap();
    brings(&turn, &["a"], true);
    assert_eq!(turn.next, ReferrersNext::End);
    brings_nothing(&at_tag().on_refused(&refusal(404, &[]), true).unwrap());
}

#[test]
fn the_tag_is_read_after_the_api_is_refused() {
    let challenge = [("www-authenticate", "Basic realm=\"x\"")];
    for (status, with_credentials, is_final) in [
        (400, true, false),
        (404, true, false),
        (405, true, false),
        (401, false, false),
        (403, false, false),
        (401, true, true),
        (403, true, true),
        (429, false, true),
        (500, false, true),
        (503, false, true),
    ] {
        let refusal = refusal(status, &challenge);
        let mut listing = listing();
        let turn = listing.on_refused(&refusal, with_credentials);
        assert_eq!(turn.is_none(), is_final, "{status}");
        if !is_final {
            asks(&listing, &tag_path());
        }
    }
}

#[test]
fn a_refusal_of_the_tag_means_that_there_are_no_referrers() {
    for (status, is_final) in [
        (400, false),
        (404, false),
        (405, false),
        (401, true),
        (403, true),
        (429, true),
        (500, true),
    ] {
        let turn = at_tag().on_refused(&refusal(status, &[]), false);
        assert_eq!(turn.is_none(), is_final, "{status}");
        turn.iter().for_each(brings_nothing);
    }
}

#[test]
fn the_tag_is_read_after_an_answer_that_is_not_an_index() {
    let html = [("content-type", "text/html; charset=utf-8")];
    let image = r#"{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"a:b","size":0},
        "layers":[]}"#;
    for (head, body) in [
        (head(200, &html), "<html>Sign in</html>"),
        (head(200, &html), "{}"),
        (head(200, &[]), "{}"),
        (head(200, &[]), ""),
        (head(200, &[]), r#"{"errors":[{"code":"UNSUPPORTED"}]}"#),
        (head(200, &[]), image),
        (head(204, &[]), ""),
    ] {
        let mut listing = listing();
        let turn = listing.on_answer(&head, body.into()).unwrap();
        let next = (turn.page.is_none(), turn.next);
        assert_eq!(next, (true, ReferrersNext::Ask), "{body}");
        asks(&listing, &tag_path());
        brings_nothing(&listing.on_answer(&head, body.into()).unwrap());
    }
    // After the first page, a missing page is an error.
    let mut begun = listing();
    let more = head(200, &[("link", "</x?last=b>; rel=\"next\"")]);
    begun.on_answer(&more, index(&["a"], None)).unwrap();
    assert!(begun.on_answer(&head(200, &[]), "{}".into()).is_err());
    // LI: this is an index, only too large, so it may contain referrers.
    let many = vec![r#"{"mediaType":"a/b","digest":"a:b","size":0}"#; 10_001].join(",");
    let many = format!(r#"{{"schemaVersion":2,"manifests":[{many}]}}"#);
    let error = listing().on_answer(&head(200, &[]), many.clone().into());
    let too_many = |error| {
        matches!(
            error,
            Err(ReferrersError::Document(DocumentError::Manifest(
                ManifestError::TooManyDescriptors
            )))
        )
    };
    assert!(too_many(error.map(drop)));
    let error = at_tag().on_answer(&head(200, &[]), many.into());
    assert!(too_many(error.map(drop)));
}

#[test]
fn a_tag_that_resolves_to_the_subject_holds_no_referrers() {
    let turn = at_tag().on_answer(&head(200, &[]), SUBJECT.into());
    brings_nothing(&turn.unwrap());
}

#[test]
fn children_of_the_subject_are_not_its_referrers() {
    let children = index(&["a", "b"], None);
    let digest = Digest::sha256(&children);
    let mut waiting = ReferrersListing {
        subject: digest.clone(),
        ..at_tag()
    };
    // The tag resolves to another index with some of the same entries.
    let turn = waiting.on_answer(&head(200, &[]), index(&["b"], None));
    let turn = turn.unwrap();
    assert_eq!((turn.page.is_none(), turn.next), (true, ReferrersNext::Ask));
    asks(&waiting, &format!("/v2/app/manifests/{digest}"));

    let turn = waiting.clone().on_answer(&head(200, &[]), children.clone());
    brings_nothing(&turn.unwrap());
    let turn = waiting
        .clone()
        .on_refused(&refusal(404, &[]), true)
        .unwrap();
    brings(&turn, &["b"], true);
    // DG2: the subject is what its digest says, or nothing is decided by it.
    let other = waiting
        .clone()
        .on_answer(&head(200, &[]), index(&["z"], None));
    assert!(
        matches!(
            other,
            Err(ReferrersError::Document(DocumentError::Digest(_)))
        ),
        "{other:?}"
    );

    let mut waiting = ReferrersListing {
        subject: digest,
        ..at_tag()
    };
    let turn = waiting.on_answer(&head(200, &[]), index(&["b", "c"], None));
    assert_eq!(turn.unwrap().next, ReferrersNext::Ask);
    let turn = waiting.on_answer(&head(200, &[]), children).unwrap();
    brings(&turn, &["b", "c"], true);
}

#[test]
fn dg2_a_tag_whose_bytes_are_not_as_claimed_is_refused() {
    let claimed = Digest::sha256(b"other").to_string();
    let head = head(200, &[("docker-content-digest", &claimed)]);
    let turn = at_tag().on_answer(&head, index(&["a"], None));
    assert!(
        matches!(
            turn,
            Err(ReferrersError::Document(DocumentError::Digest(_)))
        ),
        "{turn:?}"
    );
}

#[test]
fn dg6_a_coded_page_is_refused() {
    let head = head(200, &[(header::CONTENT_ENCODING.as_str(), "gzip")]);
    for mut listing in [listing(), at_tag()] {
        let turn = listing.on_answer(&head, index(&["a"], None));
        assert!(
            matches!(
                turn,
                Err(ReferrersError::Document(DocumentError::Violation(_)))
            ),
            "{turn:?}"
        );
    }
}

#[test]
fn the_tag_of_a_subject_is_cut_to_what_a_tag_may_be() {
    let hex = "a".repeat(64);
    let digest: Digest = format!("sha256:{hex}").parse().unwrap();
    assert_eq!(
        fallback_tag(&digest).unwrap().as_str(),
        format!("sha256-{hex}")
    );
    let digest: Digest = format!("sha512:{}", "b".repeat(128)).parse().unwrap();
    assert_eq!(digest.algorithm(), Algorithm::Sha512);
    let expected = format!("sha512-{}", "b".repeat(64));
    assert_eq!(fallback_tag(&digest).unwrap().as_str(), expected);
}
