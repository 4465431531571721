//! Properties of the protocol values and machines.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use http::{HeaderMap, Response, response};
use longshore_model::{Digest, MediaType, RepositoryName, Tag, TagOrDigest};
use longshore_origin::{Origin, Scheme};
use longshore_proto::Host;
use longshore_proto::endpoint::Read;
use longshore_proto::range::{ByteRange, RangeSet};
use proptest::prelude::*;

#[path = "properties/answer.rs"]
mod answer;
#[path = "properties/endpoint.rs"]
mod endpoint;
#[path = "properties/list.rs"]
mod list;
#[path = "properties/machine.rs"]
mod machine;
#[path = "properties/multipart.rs"]
mod multipart;
#[path = "properties/range_field.rs"]
mod range_field;

fn name() -> impl Strategy<Value = RepositoryName> {
    "[a-z0-9]{1,8}(/(manifests|blobs|[a-z0-9]{1,8}(\\.|_|__|-)[a-z0-9]{1,4})){0,3}"
        .prop_map(|text| text.parse().unwrap())
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 8]>().prop_map(|content| Digest::sha256(&content))
}

fn tag() -> impl Strategy<Value = Tag> {
    "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}".prop_map(|text| text.parse().unwrap())
}

fn target() -> impl Strategy<Value = TagOrDigest> {
    prop_oneof![
        tag().prop_map(TagOrDigest::from),
        digest().prop_map(TagOrDigest::from),
    ]
}

fn range() -> impl Strategy<Value = ByteRange> {
    let position = 0..i64::MAX as u64;
    prop_oneof![
        position.clone().prop_map(ByteRange::From),
        (position.clone(), position.clone()).prop_map(|(a, b)| ByteRange::Span(a.min(b), a.max(b))),
        position.prop_map(ByteRange::Suffix),
    ]
}

fn range_set() -> impl Strategy<Value = RangeSet> {
    proptest::collection::vec(range(), 1..5).prop_map(|ranges| RangeSet::new(ranges).unwrap())
}

fn read() -> impl Strategy<Value = Read> {
    prop_oneof![Just(Read::Get), Just(Read::Head)]
}

fn media_type() -> impl Strategy<Value = MediaType> {
    proptest::sample::select(vec![
        MediaType::OCI_MANIFEST,
        MediaType::OCI_INDEX,
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_LIST,
    ])
}

fn host() -> Host {
    Host::new(Origin::from_authority(Scheme::Https, "r.example").unwrap())
}

fn head(status: http::StatusCode, headers: HeaderMap) -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.headers = headers;
    parts
}
