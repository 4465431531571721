use super::*;

fn manifest() -> Descriptor {
    Descriptor::of(MediaType::OCI_INDEX, b"{}")
}

fn request(read: Read, if_none_match: Option<&str>) -> ManifestRequest {
    let target = "latest".parse().unwrap();
    let mut request = ManifestRequest::new(read, "app".parse().unwrap(), target);
    request.if_none_match = if_none_match.map(Box::from);
    request
}

#[test]
fn a_head_says_all_that_a_get_says() {
    let (get, bytes) = request(Read::Get, None).answer(&manifest()).into_parts();
    assert_eq!((get.status, bytes), (StatusCode::OK, 0..2));
    let digest = manifest().digest;
    assert_eq!(get.headers["content-type"], MediaType::OCI_INDEX.as_str());
    assert_eq!(get.headers["content-length"], "2");
    assert_eq!(get.headers["docker-content-digest"], digest.as_str());
    assert_eq!(get.headers["etag"], format!("\"{digest}\""));
    let (head, bytes) = request(Read::Head, None).answer(&manifest()).into_parts();
    assert_eq!((head.headers, bytes), (get.headers, 0..0));
}

#[test]
fn a_manifest_that_the_client_has_is_not_sent_again() {
    let etag = format!("\"{}\"", manifest().digest);
    for (known, status) in [(etag.as_str(), 304), ("*", 304), ("\"other\"", 200)] {
        for read in [Read::Get, Read::Head] {
            let response = request(read, Some(known)).answer(&manifest());
            assert_eq!(response.status().as_u16(), status, "{known}");
            let is_sent = status == 200 && read == Read::Get;
            assert_eq!(
                *response.body(),
                if is_sent { 0..2 } else { 0..0 },
                "{known}"
            );
            assert_eq!(response.headers()["etag"], etag, "{known}");
            let head = response.into_parts().0;
            let expected = NotModified::new(manifest().digest);
            let not_modified = NotModified::read(&head);
            assert_eq!(not_modified.ok(), (status == 304).then_some(expected));
        }
    }
}

#[test]
fn several_tags_are_parameters_of_a_request_by_digest() {
    let digest = manifest().digest;
    let put = |target: TagOrDigest| {
        ManifestPut::new("app".parse().unwrap(), target, MediaType::OCI_INDEX)
            .with_tags(["v1".parse().unwrap(), "1.2_3".parse().unwrap()])
    };
    let host = Host::new("https://r.example".parse().unwrap());
    let head = put(digest.clone().into()).write(&host);
    let path = format!("/v2/app/manifests/{digest}?tag=v1&tag=1.2_3");
    assert_eq!(head.path_and_query, path);
    let read = |target: TagOrDigest, query| {
        let request = ManifestPut::read("app".parse().unwrap(), target, query, &head.headers);
        request.map(|request| request.tags.iter().map(Tag::to_string).collect::<Vec<_>>())
    };
    let by_digest = |query| read(digest.clone().into(), query);
    assert_eq!(by_digest("tag=v1&x=y&tag=v2").unwrap(), ["v1", "v2"]);
    assert_eq!(by_digest("tag=").unwrap_err(), RouteError::Reference);
    assert_eq!(by_digest("tag=a%2Fb").unwrap_err(), RouteError::Reference);
    // The parameter belongs to requests by digest.
    assert_eq!(read("v1".parse().unwrap(), "tag=/").unwrap(), [""; 0]);
}

#[test]
fn the_tags_that_were_set_are_read_from_every_line() {
    let mut response = Response::builder().status(201);
    for line in ["v1, v2", "", "v3", "not a tag,v4"] {
        response = response.header("OCI-Tag", line);
    }
    let head = response.body(()).unwrap().into_parts().0;
    let stored = ManifestStored::read(&head).unwrap();
    let tags: Vec<_> = stored.tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["v1", "v2", "v3", "v4"]);
}
