//! Requests as a cache of several registries reads them.
//!
//! ```text
//! request = method SP target *( LF name ":" value )
//! ```

use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use longshore_cache::{ImageName, Router, RouterError, UpstreamName};
use longshore_proto::Refusal;
use longshore_proto::error_code::ErrorBody;

use crate::route::request;

/// Reads the bytes as a request to a cache, and finds the repository that it is about.
///
/// # Panics
///
/// When the upstream is not a configured one, when a write is not refused as such, when the status
/// of a refusal does not blame the client (CA11), when its body cannot be read, or when the
/// repository has another name if it is written with every name of its upstream.
pub fn cache_route(data: &[u8]) {
    let (method, target, headers) = request(data);
    let Ok(uri) = target.parse::<Uri>() else {
        return;
    };
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri, parts.headers) = (method, uri, headers);
    let Ok(router) = router() else {
        panic!("the names in the configuration are told apart")
    };
    let found = router.resolve(&parts);
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    assert!(
        is_read || found.is_err(),
        "CA11: {} was not refused",
        parts.method
    );
    match found {
        Ok(Some(image)) => is_inside(&router, &image),
        Ok(None) => {}
        Err(refusal) => is_refused(&refusal, &parts.method),
    }
}

/// The upstreams of the configuration, each with one more name.
const UPSTREAMS: [(&str, &str, &str); 4] = [
    ("docker.io", "docker.io", "docker.example"),
    ("quay.io", "quay.io", "quay.cache.example"),
    (
        "registry.example",
        "registry.example:5000",
        "r.cache.example",
    ),
    ("team/mirror", "mirror.example", "m.cache.example"),
];

fn router() -> Result<Router, RouterError> {
    let mut router = Router::builder();
    for (prefix, namespace, host) in UPSTREAMS {
        let name = upstream(prefix);
        router = router
            .upstream(name.clone())?
            .namespace(namespace, &name)?
            .host(host, &name)?;
    }
    let hub = upstream("docker.io");
    Ok(router
        .official_images(&hub)?
        .default_upstream(&hub)?
        .build())
}

fn upstream(prefix: &str) -> UpstreamName {
    let Ok(name) = prefix.parse() else {
        panic!("{prefix} follows the grammar")
    };
    name
}

/// Checks that the upstream is configured, and that all its names lead to the same repository.
fn is_inside(router: &Router, image: &ImageName) {
    let names = UPSTREAMS
        .iter()
        .find(|(prefix, ..)| *prefix == image.upstream.as_str());
    let Some((prefix, namespace, host)) = names else {
        panic!("CA11: {image} is outside the configuration")
    };
    let repository = &image.repository;
    if prefix.len() + 1 + repository.as_str().len() > longshore_model::REPOSITORY_NAME_LIMIT_BYTES {
        return;
    }
    let uri = format!("/{prefix}/v2/{prefix}/{repository}/manifests/1?ns={namespace}");
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.uri = uri.parse().unwrap_or_default();
    parts
        .headers
        .insert(http::header::HOST, HeaderValue::from_static(host));
    assert_eq!(resolved(router, &parts).as_ref(), Some(image), "{uri}");
}

fn resolved(router: &Router, parts: &Parts) -> Option<ImageName> {
    router.resolve(parts).ok().flatten()
}

/// Checks that the client can read the refusal, which blames it.
fn is_refused(refusal: &Refusal, method: &Method) {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match refusal.status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => assert!(is_read, "CA11: {refusal}"),
        StatusCode::METHOD_NOT_ALLOWED => {}
        _ => panic!("{refusal}"),
    }
    let (head, body) = refusal.write(&Method::GET).into_parts();
    assert_eq!(head.status, refusal.status);
    assert_eq!(ErrorBody::parse(&body), refusal.body, "{body:?}");
}
