use http::{HeaderMap, Method};
use longshore_model::{Digest, Manifest, MediaType};

use super::*;
use crate::endpoint::{Endpoint, ListAnswer, TagsRequest, read_tags};
use crate::route;

/// The tags and the target of the link that a server with the tags `a` to `e` answers.
#[track_caller]
fn page(query: &str, most: usize) -> (Vec<String>, Option<String>) {
    let tags = ["a", "b", "c", "d", "e"].map(str::to_owned);
    let request = TagsRequest::new("app".parse().unwrap(), PageQuery::raw(query));
    let (head, body) = request.answer("", &tags, most).unwrap().into_parts();
    assert_eq!(head.headers["content-length"], body.len().to_string());
    let next = ListAnswer::read(&head).unwrap().next;
    (read_tags(&body).unwrap().collect(), next)
}

#[track_caller]
fn check(query: &str, tags: &[&str], next: Option<&str>) {
    let (found, link) = page(query, 1000);
    assert_eq!(found, tags, "{query}");
    let link = link.map(|target| target.replace("/v2/app/tags/list?", ""));
    assert_eq!(link.as_deref(), next, "{query}");
}

#[test]
fn a_page_has_the_entries_after_the_last_one() {
    check("", &["a", "b", "c", "d", "e"], None);
    check("n=2", &["a", "b"], Some("n=2&last=b"));
    check("n=2&last=b", &["c", "d"], Some("n=2&last=d"));
    check("n=2&last=d", &["e"], None);
    check("n=5", &["a", "b", "c", "d", "e"], None);
    check("last=c", &["d", "e"], None);
    check("last=e", &[], None);
    check("last=bb&n=1", &["c"], Some("n=1&last=c"));
    check("last=%ff", &[], None);
    check("last=&n=1", &["a"], Some("n=1&last=a"));
}

#[test]
fn a_page_of_no_entries_has_no_link() {
    check("n=0", &[], None);
    check("n=0&last=b", &[], None);
}

#[test]
fn other_parameters_choose_the_list_and_stay() {
    check("ns=r.example&n=1", &["a"], Some("ns=r.example&n=1&last=a"));
    let (_, next) = page("last=a&ns=%3Cx%3E", 1);
    let next = next.unwrap();
    assert_eq!(next, "/v2/app/tags/list?ns=%3Cx%3E&last=b");
}

#[test]
fn a_number_of_entries_is_clamped() {
    assert_eq!(page("n=9", 2).1.unwrap(), "/v2/app/tags/list?n=2&last=b");
    assert_eq!(page("", 2).1.unwrap(), "/v2/app/tags/list?last=b");
    let huge = "n=99999999999999999999999999";
    assert_eq!(page(huge, 3).0, ["a", "b", "c"]);
    assert_eq!(page("n=&last=b", 1000).0, ["c", "d", "e"]);
}

#[test]
fn a_count_that_is_not_a_number_is_refused() {
    for query in ["n=x", "n=%ff", "n=-1", "n=1.5", "n=%2B1", "n= 1", "n=0x1"] {
        let request = TagsRequest::new("app".parse().unwrap(), PageQuery::raw(query));
        let refusal = request.answer("", &[], 9).unwrap_err();
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{query}");
        let code = ErrorCode::from("PAGINATION_NUMBER_INVALID");
        assert!(refusal.body.names(&code), "{query}");
    }
}

/// A referrer that takes about this many bytes of a page.
fn referrer(number: u32, bytes: usize, artifact_type: &str) -> Descriptor {
    let digest = Digest::sha256(&number.to_be_bytes());
    let mut referrer = Descriptor::new(MediaType::OCI_MANIFEST, digest, 2);
    referrer.artifact_type = Some(artifact_type.parse().unwrap());
    let text = "x".repeat(bytes);
    referrer.annotations.insert("text".to_owned(), text);
    referrer
}

/// The pages that a server with these referrers answers, from the first to the last.
#[track_caller]
fn pages(query: &str, referrers: &[Descriptor], most: usize) -> Vec<Vec<Descriptor>> {
    let subject = Digest::sha256(b"");
    let mut target = format!("/base/v2/app/referrers/{subject}?{query}");
    let mut pages = Vec::new();
    loop {
        let here = target.strip_prefix("/base").unwrap();
        let request = match route::read_only(&Method::GET, here, &HeaderMap::new()) {
            Ok(Endpoint::Referrers(request)) => request,
            other => panic!("{other:?}"),
        };
        let response = request.answer("/base", referrers.iter().cloned(), most);
        let (head, body) = response.into_parts();
        assert!(body.len() as u64 <= PAGE_LIMIT_BYTES);
        let answer = ListAnswer::read(&head).unwrap();
        let is_filter = query.starts_with("artifactType=") && !query.ends_with('=');
        assert_eq!(answer.filtered, is_filter, "{query}");
        let page = Manifest::parse(body, answer.content_type.as_deref()).unwrap();
        pages.push(page.document().as_index().unwrap().manifests.clone());
        match answer.next {
            Some(next) => target = next,
            None => return pages,
        }
    }
}

#[test]
fn referrers_come_in_pages_of_one_artifact_type() {
    let mut referrers: Vec<_> = (0..7).map(|number| referrer(number, 9, "a/b")).collect();
    referrers.extend([referrer(7, 9, "c/d"), referrers[3].clone()]);
    let query = "artifactType=a%2Fb";
    let found = pages(query, &referrers, 3);
    let lengths: Vec<_> = found.iter().map(Vec::len).collect();
    assert_eq!(lengths, [3, 3, 1]);
    let found = found.concat();
    assert!(found.is_sorted_by(|a, b| a.digest.as_str() < b.digest.as_str()));
    assert!(
        found
            .iter()
            .all(|referrer| referrers[..7].contains(referrer))
    );
    assert_eq!(pages("artifactType=", &[], 3).concat(), []);
    assert_eq!(pages("", &referrers, 100).concat().len(), 8);
    assert_eq!(pages("artifactType=x%2Fy", &referrers, 3).concat(), []);
}

#[test]
fn li_a_page_of_referrers_is_not_longer_than_a_client_reads() {
    let large = [0, 1, 2].map(|number| referrer(number, 3_000_000, "a/b"));
    let lengths: Vec<_> = pages("", &large, 1000).iter().map(Vec::len).collect();
    assert_eq!(lengths, [2, 1]);
    let many = vec![referrer(0, 1, "a/b"); DESCRIPTORS_LIMIT + 1];
    let slice = PageQuery::default().slice(&many, None, usize::MAX);
    assert_eq!(slice.entries.len(), DESCRIPTORS_LIMIT);
    let over = [referrer(0, 9_000_000, "a/b"), referrer(1, 9, "a/b")];
    let slice = PageQuery::default().slice(&over, None, 2);
    assert_eq!(slice.entries.len(), 1);
    assert!(slice.next.is_some());
}

// CA11: a cache clamps `n` to 1,000, whatever the upstream allows.
#[test]
fn ca11_a_list_of_somebody_else_is_sliced_for_the_path_of_the_client() {
    let tags: Vec<_> = (0..1500).map(|tag| format!("{tag:04}")).collect();
    let target = "/mirror/v2/docker.io/library/app/tags/list?n=5000&ns=docker.io&last=0099";
    let request = route::read_mounted(&Method::GET, target, &HeaderMap::new()).unwrap();
    let (base, Endpoint::Tags(wanted)) = (request.base(), request.endpoint) else {
        panic!("{target}")
    };
    let (head, body) = wanted.answer(&base, &tags, 1000).unwrap().into_parts();
    assert!(body.starts_with(br#"{"name":"docker.io/library/app","tags":["0100","0101","#));
    assert!(
        read_tags(&body)
            .unwrap()
            .eq(tags[100..1100].iter().cloned())
    );
    let next = "/mirror/v2/docker.io/library/app/tags/list?ns=docker.io&n=1000&last=1099";
    assert_eq!(ListAnswer::read(&head).unwrap().next.as_deref(), Some(next));
    let request = route::read_mounted(&Method::GET, next, &HeaderMap::new()).unwrap();
    assert_eq!(request.base(), base);
    let Endpoint::Tags(wanted) = request.endpoint else {
        panic!("{next}")
    };
    let (head, body) = wanted.answer(&base, &tags, 1000).unwrap().into_parts();
    assert!(read_tags(&body).unwrap().eq(tags[1100..].iter().cloned()));
    assert_eq!(ListAnswer::read(&head).unwrap().next, None);
}
