//! Lists and the links between their pages.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use longshore_model::{Descriptor, Digest, Manifest, MediaType};
use longshore_proto::endpoint::{
    Endpoint, ListAnswer, read_repositories, read_tags, write_repositories, write_tags,
};
use longshore_proto::listing::Listing;
use longshore_proto::{Host, link, route};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{digest, head, host, media_type, name};

/// The host of a server, and the path below which its API begins.
fn place() -> impl Strategy<Value = (Host, &'static str)> {
    let base = proptest::sample::select(&["", "/registry", "/a/v2/b"][..]);
    (base, proptest::option::of(name())).prop_map(|(base, prefix)| {
        let host = host().with_base(base);
        let host = match prefix {
            Some(prefix) => host.with_prefix(prefix),
            None => host,
        };
        (host, base)
    })
}

/// Distinct names, sorted by their bytes.
fn sorted(name: &'static str) -> impl Strategy<Value = Vec<String>> {
    let names = vec(name, 0..30).prop_map(BTreeSet::from_iter);
    names.prop_map(|names| names.into_iter().collect())
}

/// Asks for one page after the other, until the machine says that the list has ended.
fn walk(
    mut listing: Listing,
    (host, base): (&Host, &str),
    server: impl Fn(&Endpoint) -> Response<Bytes>,
    entries: impl Fn(&ListAnswer, Bytes) -> Vec<String>,
) -> Result<Vec<String>, TestCaseError> {
    let (mut all, mut link): (Vec<_>, Option<String>) = Default::default();
    loop {
        let asked = listing.ask().endpoint.write(host);
        // The link leads to the very page that the machine asks for.
        prop_assert!(link.is_none_or(|link| link == asked.path_and_query));
        let here = asked.path_and_query.strip_prefix(base).unwrap();
        let request = route::read_only(&asked.method, here, &asked.headers).unwrap();
        let (head, body) = server(&request).into_parts();
        let answer = ListAnswer::read(&head).unwrap();
        let page = entries(&answer, body);
        let goes_on = listing.on_page(&answer, page.iter().map(String::as_str));
        all.extend(page);
        if !goes_on.unwrap() {
            return Ok(all);
        }
        link = answer.next;
    }
}

proptest! {
    #[test]
    fn the_pages_of_a_list_of_names_are_the_list(
        (host, base) in place(),
        repository in name(),
        tags in sorted("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,3}"),
        repositories in sorted("[a-z0-9]{1,3}(/[a-z0-9]{1,3})?"),
        n in proptest::option::of(0..40_u32),
        most in 1..40_usize,
    ) {
        let is_empty = n == Some(0);
        let listing = Listing::tags(repository, n, None);
        let server = |request: &Endpoint| match request {
            Endpoint::Tags(request) => request.answer(base, &tags, most).unwrap(),
            other => panic!("{other:?}"),
        };
        let found = walk(listing, (&host, base), server, |_, page| {
            read_tags(&page).unwrap().collect()
        })?;
        prop_assert_eq!(&found, if is_empty { &[][..] } else { &tags });

        let server = |request: &Endpoint| match request {
            Endpoint::Catalogue(request) => request.answer(base, &repositories, most).unwrap(),
            other => panic!("{other:?}"),
        };
        let listing = Listing::catalogue(n, None);
        let entries = |_: &ListAnswer, page: Bytes| read_repositories(&page).unwrap().collect();
        let found = walk(listing, (&host, base), server, entries)?;
        prop_assert_eq!(&found, if is_empty { &[][..] } else { &repositories });
    }

    #[test]
    fn a_list_begins_after_any_text(
        tags in sorted("[a-c.]{1,3}"),
        last in "\\PC{0,3}|[a-d.]{1,4}",
        most in 1..9_usize,
    ) {
        let listing = Listing::tags("app".parse().unwrap(), None, Some(&last));
        let server = |request: &Endpoint| match request {
            Endpoint::Tags(request) => request.answer("", &tags, most).unwrap(),
            other => panic!("{other:?}"),
        };
        let found = walk(listing, (&host(), ""), server, |_, page| {
            read_tags(&page).unwrap().collect()
        })?;
        let expected: Vec<_> = tags.iter().filter(|tag| **tag > last).cloned().collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn the_pages_of_a_list_of_referrers_are_the_list(
        (host, base) in place(),
        (repository, subject) in (name(), digest()),
        contents in vec((0..20_u8, media_type(), ".{0,9}"), 0..30),
        wanted in proptest::option::of(media_type()),
        most in 1..40_usize,
    ) {
        let referrers: Vec<_> = contents.into_iter().map(|(content, artifact_type, text)| {
            let digest = Digest::sha256(&[content]);
            let mut referrer = Descriptor::new(MediaType::OCI_MANIFEST, digest, 1);
            referrer.artifact_type = Some(artifact_type);
            referrer.annotations.insert("text".to_owned(), text);
            referrer
        }).collect();
        let listing = Listing::referrers(repository, subject, wanted.as_ref());
        let server = |request: &Endpoint| match request {
            Endpoint::Referrers(request) => request.answer(base, referrers.clone(), most),
            other => panic!("{other:?}"),
        };
        let entries = |answer: &ListAnswer, page: Bytes| {
            assert_eq!(answer.filtered, wanted.is_some());
            let page = Manifest::parse(page, answer.content_type.as_deref()).unwrap();
            let page = &page.document().as_index().unwrap().manifests;
            page.iter().map(|entry| entry.digest.to_string()).collect()
        };
        let found = walk(listing, (&host, base), server, entries)?;
        let is_wanted = |entry: &&Descriptor| {
            wanted.is_none() || entry.artifact_type == wanted
        };
        let expected = referrers.iter().filter(is_wanted).map(|entry| entry.digest.to_string());
        prop_assert_eq!(found, Vec::from_iter(BTreeSet::from_iter(expected)));
    }

    #[test]
    fn no_query_makes_a_page_that_cannot_be_read(
        query in "([ -~]{0,9}|n=[0-9]{0,3}|last=[ -~]{0,4}|\\PC{0,3})(&[ -~]{0,9}){0,2}",
        tags in sorted("[a-z]{1,2}"),
    ) {
        let target = format!("/v2/app/tags/list?{query}");
        let request = route::read_only(&Method::GET, &target, &HeaderMap::new());
        let Ok(Endpoint::Tags(request)) = request else { panic!("{target}") };
        match request.answer("", &tags, 2) {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let page: Vec<_> = read_tags(&body).unwrap().collect();
                let next = ListAnswer::read(&head).unwrap().next;
                let is_over = page.last().is_none_or(|last| tags.last() == Some(last));
                prop_assert_eq!(next.is_none(), is_over, "{}", target);
            }
            Err(refusal) => prop_assert_eq!(refusal.status, StatusCode::BAD_REQUEST),
        }
    }

    #[test]
    fn pages_of_names_read_back(repository in name(), names in vec("\\PC{1,20}", 0..9)) {
        let page = Bytes::from(write_tags(&repository, &names));
        prop_assert!(read_tags(&page).unwrap().eq(names.clone()));
        let page = Bytes::from(write_repositories(&names));
        prop_assert!(read_repositories(&page).unwrap().eq(names));
    }

    #[test]
    fn a_page_that_was_written_reads_back(
        next in proptest::option::of("/v2/[a-z]{1,5}/tags/list\\?last=[a-z,;]{0,9}"),
        filtered: bool,
    ) {
        let mut answer = ListAnswer::last("application/json");
        answer.next = next;
        answer.filtered = filtered;
        let (status, headers) = answer.write();
        prop_assert_eq!(ListAnswer::read(&head(status, headers)).unwrap(), answer);
    }

    #[test]
    fn no_bytes_make_a_link_panic(bytes in vec(any::<u8>(), 0..60)) {
        if let Ok(Some(target)) = link::next([bytes.as_slice()]) {
            prop_assert!(target.len() <= bytes.len());
        }
    }

    #[test]
    fn a_link_is_found_behind_any_other(
        target in "[a-z/?=,;]{0,20}",
        title in "[ -!#-\\[\\]-~]{0,9}",
    ) {
        let field = format!("<x>; title=\"{title}\", <{target}>; title=\"{title}\"; rel=next");
        prop_assert_eq!(link::next([field.as_bytes()]), Ok(Some(target.as_bytes())));
    }
}
