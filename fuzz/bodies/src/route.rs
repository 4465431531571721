//! Requests as a server reads them, and what it answers.
//!
//! ```text
//! request = method SP target *( LF name ":" value )
//! ```

use std::ops::Range;

use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use longshore_model::{Descriptor, Digest, Manifest, MediaType};
use longshore_proto::endpoint::{
    BlobAnswer, BlobBody, Endpoint, Extent, ListAnswer, ManifestAnswer, NotModified, Read,
    read_repositories, read_tags,
};
use longshore_proto::error_code::ErrorCode;
use longshore_proto::route::{self, NAMESPACE_LIMIT_BYTES, RouteError};
use longshore_proto::{Host, Refusal};

/// Reads the bytes as a request, and answers it.
///
/// # Panics
///
/// When an endpoint that is written is not read as the same endpoint, when its path could mean
/// another path (DG8: nothing encoded and no `..` gets past the grammars), when the status of a
/// refusal does not blame the client, when a write reaches a read-only registry (CA11), when a path
/// before `/v2` changes the endpoint, or when a client cannot read the server's response.
pub fn route(data: &[u8]) {
    let (method, target, headers) = request(data);
    let read = route::read(&method, &target, &headers);
    let read_only = route::read_only(&method, &target, &headers);
    match &read {
        Ok(endpoint) => {
            reads_back(endpoint, &method);
            if endpoint.is_read() {
                assert_eq!(read_only.as_ref(), Ok(endpoint), "CA11");
                answers(endpoint);
            } else {
                let refused = matches!(read_only, Err(RouteError::Method { .. }));
                assert!(refused, "CA11: {endpoint}");
            }
        }
        Err(error) => is_refused(error, &method),
    }
    if let Err(error) = &read_only {
        is_refused(error, &method);
        let is_write = !matches!(method, Method::GET | Method::HEAD);
        let is_of_method = matches!(error, RouteError::Method { .. });
        assert!(is_of_method || !is_write, "CA11: {error}");
    }
    is_mounted(&method, &target, &headers, &read_only);
}

/// Checks that the same request names the same endpoint below another path.
fn is_mounted(
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    read_only: &Result<Endpoint, RouteError>,
) {
    let here = route::read_mounted(method, target, headers);
    if let Err(error) = &here {
        is_refused(error, method);
    }
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    if !is_read {
        assert!(matches!(here, Err(RouteError::Method { .. })), "CA11");
    }
    if let Ok(here) = &here {
        let namespace = here.namespace.as_deref();
        assert!(namespace.is_none_or(|text| (1..=NAMESPACE_LIMIT_BYTES).contains(&text.len())));
        let (path, base) = (target.split('?').next().unwrap_or_default(), here.base());
        let rest = path.strip_prefix(&base);
        assert!(rest.is_some_and(|rest| rest.starts_with("/v2")), "{path}");
        assert_eq!(base.is_empty(), here.outer.is_none());
    }
    if !target.starts_with("/v2/") {
        return;
    }
    match (&here, read_only) {
        (Ok(here), _) => assert_eq!(Ok(&here.endpoint), read_only.as_ref()),
        (Err(RouteError::Namespace), Ok(_)) => {}
        (Err(error), _) => assert!(
            read_only.as_ref() == Err(error) || *error == RouteError::Namespace,
            "{error}"
        ),
    }
    let below = route::read_mounted(method, &format!("/a/b{target}"), headers);
    match (here, below) {
        (Ok(here), Ok(below)) => {
            assert_eq!(
                (below.base(), here.base()),
                ("/a/b".to_owned(), String::new())
            );
            assert_eq!(
                (here.endpoint, here.namespace),
                (below.endpoint, below.namespace)
            );
        }
        (here, below) => assert_eq!(here.err(), below.err()),
    }
}

/// Reads a request. Invalid header fields are skipped, and an invalid method becomes GET.
pub(crate) fn request(data: &[u8]) -> (Method, String, HeaderMap) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let line = lines.next().unwrap_or_default();
    let blank = line.iter().position(|byte| *byte == b' ');
    let (method, target) = line.split_at(blank.unwrap_or(line.len()));
    let target = String::from_utf8_lossy(target.get(1..).unwrap_or_default());
    let mut headers = HeaderMap::new();
    for field in lines {
        let colon = field.iter().position(|byte| *byte == b':');
        let (name, value) = field.split_at(colon.unwrap_or(field.len()));
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let method = Method::from_bytes(method).unwrap_or(Method::GET);
    (method, target.into_owned(), headers)
}

/// Checks that an endpoint, written as a request, is read as the same endpoint, and that its path
/// is safe.
fn reads_back(endpoint: &Endpoint, method: &Method) {
    let head = endpoint.write(&host());
    let is_ping = *endpoint == Endpoint::Ping && *method == Method::HEAD;
    assert!(head.method == *method || is_ping, "{endpoint}");
    let read = route::read(&head.method, &head.path_and_query, &head.headers);
    assert_eq!(read.as_ref(), Ok(endpoint));
    let path = head.path_and_query.split('?').next().unwrap_or_default();
    let rest = path.strip_prefix("/v2/");
    let rest = rest.unwrap_or_else(|| panic!("DG8: {path}"));
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/:._-+=~".contains(&byte);
    assert!(rest.bytes().all(is_safe), "DG8: {path}");
    // The request that opens an upload ends with a slash, and so does the one for the API version.
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let mut segments = rest.split('/').filter(|_| !rest.is_empty());
    assert!(
        segments.all(|segment| !matches!(segment, "" | "." | "..")),
        "DG8: {path}"
    );
    if let Some(name) = endpoint.name() {
        assert!(rest.starts_with(name.as_str()), "DG8: {path}");
    }
}

/// Checks that a refusal has a status 4xx, names the allowed methods, and can be read by a client.
fn is_refused(error: &RouteError, method: &Method) {
    let refusal = error.refusal();
    let status = match error {
        RouteError::Method { allow } => {
            assert!(!allow.contains(method), "{method}");
            assert_eq!(refusal.allow, *allow);
            StatusCode::METHOD_NOT_ALLOWED
        }
        RouteError::Unknown => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    assert_eq!(refusal.status, status, "{error}");
    assert!(refusal.body.names(&error.code()), "{error}");
    let (head, body) = refusal.write(&Method::GET).into_parts();
    assert_eq!(Refusal::read(&head, &body, false), refusal);
    assert_eq!(head.headers.contains_key(header::ALLOW), status == 405);
    assert!(refusal.write(&Method::HEAD).body().is_empty());
}

/// Checks that a client can read the responses of a server that has all content.
fn answers(endpoint: &Endpoint) {
    match endpoint {
        Endpoint::Blob(request) => {
            for length in [0, 1, 4096] {
                let digest = &request.digest;
                match request.answer(length).map(Response::into_parts) {
                    Ok((head, BlobBody::Bytes(bytes))) => {
                        is_sent(&head, &bytes, digest, request.read);
                        assert!(bytes.end <= length, "{endpoint}");
                    }
                    // The target `multi_range` checks these.
                    Ok((_, BlobBody::Multipart(_))) => assert_eq!(request.read, Read::Get),
                    Err(refusal) => assert_eq!(refusal.status, StatusCode::BAD_REQUEST),
                }
            }
        }
        Endpoint::Manifest(request) => {
            let manifest = Descriptor::of(MediaType::OCI_INDEX, b"{}");
            let (head, bytes) = request.answer(&manifest).into_parts();
            is_sent(&head, &bytes, &manifest.digest, request.read);
            if head.status == StatusCode::OK {
                let answer = ManifestAnswer::read(&head).map(|answer| answer.length);
                assert_eq!(answer, Ok(Some(2)), "{endpoint}");
            }
        }
        Endpoint::Catalogue(request) => {
            let pages = |most| request.answer("", &names(), most);
            is_a_page(pages(1000), |page| {
                read_repositories(&page.to_vec().into()).is_ok()
            });
            is_a_page(pages(1), |page| {
                read_repositories(&page.to_vec().into()).is_ok()
            });
        }
        Endpoint::Tags(request) => {
            let pages = |most| request.answer("/base", &names(), most);
            is_a_page(pages(1000), |page| read_tags(&page.to_vec().into()).is_ok());
            is_a_page(pages(1), |page| read_tags(&page.to_vec().into()).is_ok());
        }
        Endpoint::Referrers(request) => {
            let referrers = ["keel", "mast"]
                .map(|content| Descriptor::of(MediaType::OCI_MANIFEST, content.as_bytes()));
            let page = request.answer("", referrers, 1);
            let is_index = |page: &[u8]| Manifest::parse(page.to_vec().into(), None).is_ok();
            is_a_page(Ok(page), is_index);
        }
        _ => {}
    }
}

/// Checks a response with the content, with a part of it, or with 304.
fn is_sent(head: &Parts, bytes: &Range<u64>, digest: &Digest, read: Read) {
    assert!(bytes.start <= bytes.end);
    assert!(read == Read::Get || bytes.is_empty(), "a HEAD has no body");
    if head.status == StatusCode::NOT_MODIFIED {
        assert!(bytes.is_empty());
        let answer = NotModified::read(head);
        return assert_eq!(answer, Ok(NotModified::new(digest.clone())));
    }
    let answer = BlobAnswer::read(head).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(answer.digest.as_ref(), Some(digest));
    if read == Read::Get {
        assert_eq!(answer.length, Some(bytes.end - bytes.start));
    }
    if let Extent::Part { first, last, .. } = answer.extent {
        assert_eq!(*bytes, first..last + 1);
    }
}

/// Checks that a client can read the page and follow its link, or that the query was refused.
fn is_a_page(page: Result<Response<impl AsRef<[u8]>>, Refusal>, is_read: impl Fn(&[u8]) -> bool) {
    match page {
        Ok(page) => {
            let (head, page) = page.into_parts();
            assert!(is_read(page.as_ref()));
            let answer = ListAnswer::read(&head).unwrap_or_else(|error| panic!("{error}"));
            if let Some(next) = answer.next {
                let next = next.strip_prefix("/base").unwrap_or(&next);
                let read = route::read_only(&Method::GET, next, &HeaderMap::new());
                assert!(read.is_ok(), "{next}");
            }
        }
        Err(refusal) => {
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            let code = ErrorCode::from("PAGINATION_NUMBER_INVALID");
            assert!(refusal.body.names(&code), "{refusal}");
        }
    }
}

fn names() -> [String; 3] {
    ["anchor", "keel", "mast"].map(str::to_owned)
}

fn host() -> Host {
    let origin = "https://registry.longshore.test".parse();
    Host::new(origin.unwrap_or_else(|error| panic!("{error}")))
}
