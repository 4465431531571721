//! Requests, written and read.

use http::{HeaderMap, StatusCode};
use longshore_proto::endpoint::{
    BlobRequest, CatalogueRequest, ChunkRange, Deletable, DeleteRequest, Endpoint, ManifestPut,
    ManifestRequest, PageQuery, ReferrersRequest, TagsRequest, UploadRequest, UploadSession,
    UploadStep,
};
use longshore_proto::error_code::ErrorCode;
use longshore_proto::route;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{digest, host, media_type, name, range_set, read, tag, target};

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let page = "(n=[0-9]{1,4}(&last=[a-z0-9%]{0,9})?)?";
    prop_oneof![
        Just(Endpoint::Ping),
        page.prop_map(|page| Endpoint::Catalogue(CatalogueRequest::new(PageQuery::raw(&page)))),
        (name(), page).prop_map(|(name, page)| {
            Endpoint::Tags(TagsRequest::new(name, PageQuery::raw(&page)))
        }),
        (
            name(),
            digest(),
            proptest::option::of(media_type()),
            proptest::option::of(page)
        )
            .prop_map(|(name, subject, artifact_type, page)| {
                let mut request = ReferrersRequest::new(name, subject, artifact_type.as_ref());
                // A following page: its query is the registry's.
                if let Some(page) = page {
                    request.page = PageQuery::raw(&page);
                }
                Endpoint::Referrers(request)
            }),
        (
            read(),
            name(),
            target(),
            vec(media_type(), 0..4),
            proptest::option::of(entity_tags())
        )
            .prop_map(|(read, name, target, accept, known)| {
                let mut request = ManifestRequest::new(read, name, target);
                request.accept = accept;
                request.if_none_match = known.map(String::into);
                Endpoint::Manifest(request)
            }),
        (
            read(),
            name(),
            digest(),
            proptest::option::of(range_set()),
            proptest::option::of("\"[a-z]{1,9}\""),
            proptest::option::of(entity_tags())
        )
            .prop_map(|(read, name, digest, range, if_range, known)| {
                let mut request = BlobRequest::new(read, name, digest);
                request.range = range;
                request.if_range = if_range;
                request.if_none_match = known.map(String::into);
                Endpoint::Blob(request)
            }),
        (name(), target(), media_type(), vec(tag(), 0..4)).prop_map(
            |(name, target, media_type, tags)| {
                // A request by tag names no other tags.
                let tags = tags.into_iter().filter(|_| target.digest().is_some());
                let tags: Vec<_> = tags.collect();
                let request = ManifestPut::new(name, target, media_type);
                Endpoint::ManifestPut(request.with_tags(tags))
            }
        ),
        (name(), deletable())
            .prop_map(|(name, content)| Endpoint::Delete(DeleteRequest::new(name, content))),
        (name(), upload_step())
            .prop_map(|(name, step)| Endpoint::Upload(UploadRequest::new(name, step))),
    ]
}

fn entity_tags() -> &'static str {
    "\\*|(W/)?\"[a-z]{1,9}\"(, \"[a-z]{1,9}\")?"
}

fn deletable() -> impl Strategy<Value = Deletable> {
    prop_oneof![
        digest().prop_map(Deletable::Blob),
        target().prop_map(Deletable::Manifest),
    ]
}

fn upload_step() -> impl Strategy<Value = UploadStep> {
    let session = "[A-Za-z0-9_=~-]{1,40}".prop_map(|text| UploadSession::parse(&text));
    let range = (0..i64::MAX as u64, 0..i64::MAX as u64)
        .prop_map(|(a, b)| ChunkRange::new(a.min(b), a.max(b)));
    let range = prop_oneof![Just(None), range];
    prop_oneof![
        proptest::option::of(digest()).prop_map(|digest| UploadStep::Start {
            digest,
            algorithm: None,
        }),
        (digest(), proptest::option::of(name()))
            .prop_map(|(digest, from)| UploadStep::Mount { digest, from }),
        (session.clone(), range.clone())
            .prop_map(|(session, range)| UploadStep::Chunk { session, range }),
        (session.clone(), digest(), range).prop_map(|(session, digest, range)| {
            UploadStep::Finish {
                session,
                digest,
                range,
            }
        }),
        session
            .clone()
            .prop_map(|session| UploadStep::Status { session }),
        session.prop_map(|session| UploadStep::Cancel { session }),
    ]
}

proptest! {
    #[test]
    fn reading_what_was_written_gives_the_endpoint_back(endpoint in endpoint()) {
        let head = endpoint.write(&host());
        let path = head.path_and_query.as_str();
        prop_assert_eq!(route::read(&head.method, path, &head.headers).unwrap(), endpoint);
    }

    #[test]
    fn only_reads_reach_a_read_only_registry(endpoint in endpoint()) {
        let head = endpoint.write(&host());
        let read = route::read_only(&head.method, &head.path_and_query, &head.headers);
        if endpoint.is_read() {
            prop_assert_eq!(read.unwrap(), endpoint);
        } else {
            let refusal = read.unwrap_err().refusal();
            prop_assert_eq!(refusal.status, StatusCode::METHOD_NOT_ALLOWED);
            prop_assert!(refusal.body.names(&ErrorCode::Unsupported));
            prop_assert!(!refusal.allow.contains(&head.method));
        }
    }

    #[test]
    fn routing_never_panics(path in "(/v2)?(/|[ -~]{0,40})", method in "[A-Z]{1,6}") {
        let method = method.parse().unwrap();
        match route::read(&method, &path, &HeaderMap::new()) {
            Ok(endpoint) => {
                let head = endpoint.write(&host());
                let read = route::read(&head.method, &head.path_and_query, &head.headers);
                prop_assert_eq!(read.unwrap(), endpoint);
            }
            Err(error) => prop_assert!(error.refusal().status.is_client_error()),
        }
    }
}
