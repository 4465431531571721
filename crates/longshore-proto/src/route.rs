//! Parses the method and URI of a request into the endpoint that they name.
//!
//! ```text
//! target    = [ "/" outer ] path [ "?" query ]   ; the outer path only below a mirror
//! path      = "/v2/" [ "_catalog" / name "/" rest ]
//! rest      = "manifests/" reference / "blobs/" digest / "tags/list" / "referrers/" digest
//!           / "blobs/uploads/" [ session ]
//! reference = tag / digest
//! outer     = name
//! ```
//!
//! A name may itself contain `manifests` or `blobs`, so the path is read from its end. Percent
//! encoding is refused, except of the colon in a digest: none of the grammars needs it (DG8: names,
//! tags and digests follow the grammar of the specification, and no encoded text can avoid these
//! checks).

use std::borrow::Cow;

use http::{HeaderMap, Method, StatusCode};
use longshore_model::{Digest, RepositoryName, TagOrDigest};

use crate::Refusal;
use crate::endpoint::query;
use crate::endpoint::{
    BlobRequest, CatalogueRequest, Deletable, DeleteRequest, Endpoint, ManifestPut,
    ManifestRequest, PageQuery, Read, ReferrersRequest, TagsRequest, UploadRequest, UploadSession,
};
use crate::error_code::{ErrorBody, ErrorCode};
use crate::range::RangesError;

/// Why a request names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The digest is malformed.
    #[error("the digest is malformed")]
    Digest,
    /// The type of the manifest in the body is missing or malformed.
    #[error("the media type of the manifest is missing or malformed")]
    MediaType,
    /// The endpoint does not support this method.
    #[error("the endpoint does not support this method")]
    Method {
        /// The methods that the endpoint supports.
        allow: &'static [Method],
    },
    /// The path before `/v2` is malformed.
    #[error("the path before /v2 is malformed: use segments of repository names")]
    Mount,
    /// The repository name breaks the grammar.
    #[error("the repository name is malformed")]
    Name,
    /// The parameter `ns` is malformed or longer than [`NAMESPACE_LIMIT_BYTES`], or it has several
    /// values that differ.
    #[error("the parameter ns is malformed, too long, or has several values")]
    Namespace,
    /// The requested ranges of a blob are refused.
    #[error(transparent)]
    Ranges(RangesError),
    /// The tag or digest of a manifest is malformed.
    #[error("the tag or digest of the manifest is malformed")]
    Reference,
    /// The path belongs to no endpoint.
    #[error("no such endpoint")]
    Unknown,
    /// The session or the range of an upload is malformed.
    #[error("the session or the range of the upload is malformed")]
    Upload,
}

impl RouteError {
    /// The status to answer with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unknown => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The error code to answer with.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Digest => ErrorCode::DigestInvalid,
            Self::Method { .. } => ErrorCode::Unsupported,
            Self::Mount | Self::Name | Self::Namespace => ErrorCode::NameInvalid,
            Self::MediaType | Self::Reference => ErrorCode::ManifestInvalid,
            // The specification has no code for ranges; the registry Distribution uses this one.
            Self::Ranges(_) => ErrorCode::from("RANGE_INVALID"),
            Self::Unknown => ErrorCode::NameUnknown,
            Self::Upload => ErrorCode::BlobUploadInvalid,
        }
    }

    /// The refusal to answer with: status, code, and `Allow` where the method is wrong.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let body = ErrorBody::one(self.code(), &self.to_string());
        let refusal = Refusal::new(self.status(), body);
        match self {
            Self::Method { allow } => refusal.with_allow(allow.iter().cloned()),
            _ => refusal,
        }
    }
}

/// Reads the endpoint of a request.
///
/// `target` is the path and query of the request, not decoded. Lists, uploads and the `PUT` of a
/// manifest by digest have a query; the query of any other request is ignored.
///
/// # Errors
///
/// [`RouteError`] says which part is malformed; its [`refusal`](RouteError::refusal) is the answer.
pub fn read(method: &Method, target: &str, headers: &HeaderMap) -> Result<Endpoint, RouteError> {
    let (path, query) = split(target);
    Resource::parse(path)?.endpoint(method, query, headers)
}

/// Reads the endpoint of a request to a read-only registry.
///
/// Every request that does not read content or names is refused with 405, `UNSUPPORTED` and the
/// methods that read, for any path (CA11: a read-only server answers every write with 405).
///
/// # Errors
///
/// As [`read`]; also [`RouteError::Method`] for every request that does not read content or names.
pub fn read_only(
    method: &Method,
    target: &str,
    headers: &HeaderMap,
) -> Result<Endpoint, RouteError> {
    let (path, query) = split(target);
    Resource::for_reading(method, Resource::parse(path))?.endpoint(method, query, headers)
}

/// A request to a read-only registry that may be mounted below another path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mounted {
    /// The path before `/v2`, without its slashes: `mirror/quay` of `/mirror/quay/v2/…`.
    pub outer: Option<RepositoryName>,
    /// The parameter `ns`, decoded: the registry of the image, for which the client uses this
    /// server as a mirror. Any text of at most [`NAMESPACE_LIMIT_BYTES`]; `None` when it is missing
    /// or empty.
    pub namespace: Option<String>,
    /// The endpoint, as [`read_only`] reads it from the rest of the path.
    pub endpoint: Endpoint,
}

impl Mounted {
    /// The path below which the client finds the API, as
    /// [`TagsRequest::answer`](crate::endpoint::TagsRequest::answer) takes it: nothing, or a slash
    /// and the outer path.
    #[must_use]
    pub fn base(&self) -> String {
        let outer = self.outer.as_ref();
        outer.map_or_else(String::new, |outer| format!("/{outer}"))
    }
}

/// Maximum length in bytes of the parameter `ns`: a host name of 253 characters and a port (LI).
pub const NAMESPACE_LIMIT_BYTES: usize = 259;

/// Reads a request to a read-only registry that serves as a mirror of others.
///
/// Clients of a mirror send three things that clients of a registry do not:
///
/// - A path before `/v2`: containerd and dockerd append `/v2` to the path of the mirror's URL. A
///   path that begins with `/v2/` has no such part; otherwise the part ends before the first
///   segment `v2`. Its segments follow the grammar of repository names.
/// - The parameter `ns` in any request, which names the registry of the image.
/// - A prefix before the name of the repository. It remains in the name of the endpoint.
///
/// This function does not compare them with any configuration. The caller must use a parameter or
/// path only to select a known upstream, never as an address (CA11).
///
/// ```
/// use http::{HeaderMap, Method};
/// use longshore_proto::route;
///
/// let target = "/mirror/v2/library/alpine/manifests/3.20?ns=docker.io";
/// let request = route::read_mounted(&Method::GET, target, &HeaderMap::new())?;
/// assert_eq!(request.base(), "/mirror");
/// assert_eq!(request.namespace.as_deref(), Some("docker.io"));
/// assert_eq!(request.endpoint.to_string(), "manifest 3.20 of library/alpine");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As [`read_only`], and [`RouteError::Mount`] or [`RouteError::Namespace`] when the outer path or
/// the parameter `ns` is malformed. Several parameters `ns` must agree.
pub fn read_mounted(
    method: &Method,
    target: &str,
    headers: &HeaderMap,
) -> Result<Mounted, RouteError> {
    let (path, query) = split(target);
    let (outer, path) = split_mount(path);
    let outer = match outer.map(str::parse) {
        None => Ok(None),
        Some(outer) => outer.map(Some).map_err(|_| RouteError::Mount),
    };
    let resource = Resource::for_reading(method, Resource::parse(path))?;
    Ok(Mounted {
        outer: outer?,
        namespace: namespace(query)?,
        endpoint: resource.endpoint(method, query, headers)?,
    })
}

/// Splits a path into the part before `/v2`, without its first slash, and the rest.
fn split_mount(path: &str) -> (Option<&str>, &str) {
    let is_api = |rest: &str| rest == "/v2" || rest.starts_with("/v2/");
    let mut slashes = path.match_indices('/').map(|(at, _)| path.split_at(at));
    match slashes.find(|(_, rest)| is_api(rest)) {
        Some((outer, rest)) if !outer.is_empty() => {
            (Some(outer.strip_prefix('/').unwrap_or(outer)), rest)
        }
        _ => (None, path),
    }
}

/// The value of the parameter `ns`.
fn namespace(query: &str) -> Result<Option<String>, RouteError> {
    let values = query::all(query, "ns").map_err(|_| RouteError::Namespace)?;
    let mut values = values.into_iter().filter(|value| !value.is_empty());
    let first = values.next();
    if values.any(|value| Some(value) != first) {
        return Err(RouteError::Namespace);
    }
    match first {
        Some(first) if first.len() > NAMESPACE_LIMIT_BYTES => Err(RouteError::Namespace),
        first => Ok(first),
    }
}

fn split(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// The resource that the path of a request names, for any method.
enum Resource {
    Blob(RepositoryName, Digest),
    Catalogue,
    Manifest(RepositoryName, TagOrDigest),
    Ping,
    Referrers(RepositoryName, Digest),
    Tags(RepositoryName),
    Upload(RepositoryName, Option<UploadSession>),
}

impl Resource {
    fn parse(path: &str) -> Result<Self, RouteError> {
        let rest = path.strip_prefix("/v2").ok_or(RouteError::Unknown)?;
        match rest {
            "" | "/" => return Ok(Self::Ping),
            "/_catalog" => return Ok(Self::Catalogue),
            _ => {}
        }
        let rest = rest.strip_prefix('/').ok_or(RouteError::Unknown)?;
        let mut parts = rest.rsplitn(3, '/');
        let (Some(last), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(RouteError::Unknown);
        };
        let name = match (kind, last) {
            ("manifests" | "blobs" | "referrers", _) | ("tags", "list") => name,
            ("uploads", _) => name.strip_suffix("/blobs").ok_or(RouteError::Unknown)?,
            _ => return Err(RouteError::Unknown),
        };
        let name: RepositoryName = name.parse().map_err(|_| RouteError::Name)?;
        // The colon is the only character of these grammars that some clients encode.
        let decoded = match last.contains('%') {
            true => last.replacen("%3A", ":", 1).replacen("%3a", ":", 1).into(),
            false => Cow::Borrowed(last),
        };
        let digest = || decoded.parse().map_err(|_| RouteError::Digest);
        Ok(match kind {
            "blobs" => Self::Blob(name, digest()?),
            "manifests" => {
                let target = decoded.parse().map_err(|_| RouteError::Reference)?;
                Self::Manifest(name, target)
            }
            "referrers" => Self::Referrers(name, digest()?),
            "uploads" if last.is_empty() => Self::Upload(name, None),
            "uploads" => {
                let session = UploadSession::parse(last).ok_or(RouteError::Upload)?;
                Self::Upload(name, Some(session))
            }
            _ => Self::Tags(name),
        })
    }

    /// The resource of a path, if this method may read it.
    fn for_reading(method: &Method, found: Result<Self, RouteError>) -> Result<Self, RouteError> {
        let allow = found.as_ref().map_or(READS, Self::reads);
        if allow.contains(method) {
            found
        } else {
            Err(RouteError::Method { allow })
        }
    }

    /// The methods that the specification defines for this path.
    const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Blob(..) => &[Method::GET, Method::HEAD, Method::DELETE],
            Self::Manifest(..) => &[Method::GET, Method::HEAD, Method::PUT, Method::DELETE],
            Self::Upload(_, None) => &[Method::POST],
            Self::Upload(_, Some(_)) => &[Method::GET, Method::PATCH, Method::PUT, Method::DELETE],
            Self::Catalogue | Self::Ping | Self::Referrers(..) | Self::Tags(..) => self.reads(),
        }
    }

    /// The methods for this path that read content or names.
    const fn reads(&self) -> &'static [Method] {
        match self {
            Self::Blob(..) | Self::Manifest(..) | Self::Ping => READS,
            Self::Catalogue | Self::Referrers(..) | Self::Tags(..) => &[Method::GET],
            Self::Upload(..) => &[],
        }
    }

    fn endpoint(
        self,
        method: &Method,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Endpoint, RouteError> {
        let allow = self.methods();
        if !allow.contains(method) {
            return Err(RouteError::Method { allow });
        }
        let read = match *method {
            Method::HEAD => Read::Head,
            _ => Read::Get,
        };
        let page = || PageQuery::raw(query);
        Ok(match (self, method) {
            (Self::Blob(name, digest), &Method::DELETE) => {
                Endpoint::Delete(DeleteRequest::new(name, Deletable::Blob(digest)))
            }
            (Self::Blob(name, digest), _) => {
                Endpoint::Blob(BlobRequest::read(read, name, digest, headers)?)
            }
            (Self::Catalogue, _) => Endpoint::Catalogue(CatalogueRequest::new(page())),
            (Self::Manifest(name, target), &Method::DELETE) => {
                Endpoint::Delete(DeleteRequest::new(name, Deletable::Manifest(target)))
            }
            (Self::Manifest(name, target), &Method::PUT) => {
                Endpoint::ManifestPut(ManifestPut::read(name, target, query, headers)?)
            }
            (Self::Manifest(name, target), _) => {
                Endpoint::Manifest(ManifestRequest::read(read, name, target, headers))
            }
            (Self::Ping, _) => Endpoint::Ping,
            (Self::Referrers(name, subject), _) => {
                let mut request = ReferrersRequest::new(name, subject, None);
                request.page = page();
                Endpoint::Referrers(request)
            }
            (Self::Tags(name), _) => Endpoint::Tags(TagsRequest::new(name, page())),
            (Self::Upload(name, session), _) => {
                let request = UploadRequest::read(method, name, session, query, headers);
                Endpoint::Upload(request?)
            }
        })
    }
}

/// The methods that read content.
const READS: &[Method] = &[Method::GET, Method::HEAD];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &Method, path: &str, expected: Result<&str, RouteError>) {
        let found = read(method, path, &HeaderMap::new()).map(|endpoint| endpoint.to_string());
        assert_eq!(found, expected.map(str::to_owned), "{method} {path}");
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn every_path_names_one_endpoint() {
        check(&Method::GET, "/v2/", Ok("the API version"));
        check(&Method::GET, "/v2", Ok("the API version"));
        check(&Method::GET, "/v2/a/manifests/1", Ok("manifest 1 of a"));
        check(
            &Method::HEAD,
            "/v2/blobs/manifests/manifests/v1",
            Ok("manifest v1 of blobs/manifests"),
        );
        check(
            &Method::GET,
            &format!("/v2/a/b/blobs/{DIGEST}"),
            Ok(&format!("blob {DIGEST} of a/b")),
        );
        check(
            &Method::GET,
            "/v2/_catalog?n=5",
            Ok("the list of repositories"),
        );
        check(
            &Method::GET,
            "/v2/tags/tags/list?last=1",
            Ok("the tags of tags"),
        );
        check(
            &Method::GET,
            &format!("/v2/a/referrers/{DIGEST}?artifactType=x"),
            Ok(&format!("the referrers of {DIGEST} in a")),
        );
        check(
            &Method::PUT,
            "/v2/a/manifests/1",
            Err(RouteError::MediaType),
        );
        check(&Method::DELETE, "/v2/a/manifests/1", Ok("manifest 1 of a"));
        check(
            &Method::DELETE,
            &format!("/v2/a/blobs/{DIGEST}"),
            Ok(&format!("blob {DIGEST} of a")),
        );
        check(
            &Method::POST,
            "/v2/blobs/uploads/blobs/uploads/",
            Ok("a blob of blobs/uploads"),
        );
        check(
            &Method::POST,
            &format!("/v2/a/blobs/uploads/?mount={DIGEST}&from=b"),
            Ok(&format!("blob {DIGEST} of a")),
        );
        check(
            &Method::PUT,
            &format!("/v2/a/blobs/uploads/1-2?_state=x&digest={DIGEST}"),
            Ok(&format!("blob {DIGEST} of a")),
        );
        check(
            &Method::GET,
            "/v2/a/blobs/uploads/1-2",
            Ok("an upload of a"),
        );
        let encoded = DIGEST.replace(':', "%3A");
        check(
            &Method::GET,
            &format!("/v2/a/blobs/{encoded}"),
            Ok(&format!("blob {DIGEST} of a")),
        );
    }

    #[test]
    fn dg8_malformed_parts_are_named() {
        check(&Method::GET, "/v2/UP/manifests/1", Err(RouteError::Name));
        check(
            &Method::GET,
            "/v2/a/../b/manifests/1",
            Err(RouteError::Name),
        );
        check(&Method::GET, "/v2/a%2Fb/manifests/1", Err(RouteError::Name));
        check(&Method::GET, "/v2/a//manifests/1", Err(RouteError::Name));
        check(&Method::GET, "/v2/a/manifests/", Err(RouteError::Reference));
        check(
            &Method::GET,
            "/v2/a/manifests/%00",
            Err(RouteError::Reference),
        );
        check(&Method::GET, "/v2/a/blobs/latest", Err(RouteError::Digest));
        check(&Method::GET, "/v2/a/tags", Err(RouteError::Unknown));
        check(
            &Method::GET,
            "/v2/a/referrers/latest",
            Err(RouteError::Digest),
        );
        check(
            &Method::PUT,
            "/v2/a/blobs/uploads/1",
            Err(RouteError::Digest),
        );
        check(
            &Method::POST,
            "/v2/a/blobs/uploads/?digest=x",
            Err(RouteError::Digest),
        );
        check(
            &Method::POST,
            &format!("/v2/a/blobs/uploads/?mount={DIGEST}&from=UP"),
            Err(RouteError::Name),
        );
        check(
            &Method::PATCH,
            "/v2/a/blobs/uploads/a%2Fb",
            Err(RouteError::Upload),
        );
        check(
            &Method::PATCH,
            "/v2/a/blobs/uploads/..",
            Err(RouteError::Upload),
        );
        check(&Method::PATCH, "/v2/a/uploads/1", Err(RouteError::Unknown));
        check(&Method::GET, "/v1/a/manifests/1", Err(RouteError::Unknown));
        check(&Method::GET, "/v2x", Err(RouteError::Unknown));
    }

    #[test]
    fn a_wrong_method_is_answered_with_the_right_ones() {
        let (blob, session) = (format!("/v2/a/blobs/{DIGEST}"), "/v2/a/blobs/uploads/1");
        for (wrong, path, allow) in [
            (Method::POST, "/v2/a/manifests/1", "GET, HEAD, PUT, DELETE"),
            (Method::PUT, blob.as_str(), "GET, HEAD, DELETE"),
            (Method::HEAD, "/v2/a/tags/list", "GET"),
            (Method::POST, "/v2/_catalog", "GET"),
            (Method::PUT, "/v2/", "GET, HEAD"),
            (Method::GET, "/v2/a/blobs/uploads/", "POST"),
            (Method::POST, session, "GET, PATCH, PUT, DELETE"),
        ] {
            let error = read(&wrong, path, &HeaderMap::new()).unwrap_err();
            let (head, body) = error.refusal().write(&wrong).into_parts();
            assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(head.headers["allow"], allow, "{path}");
            let body = ErrorBody::parse(&body);
            assert!(body.names(&ErrorCode::Unsupported) != (wrong == Method::HEAD));
        }
    }

    #[test]
    fn a_read_only_registry_refuses_every_write() {
        let upload = format!("/v2/a/blobs/uploads/?digest={DIGEST}");
        for (write, path, allow) in [
            (Method::PUT, "/v2/a/manifests/1", "GET, HEAD"),
            (Method::DELETE, "/v2/a/manifests/1", "GET, HEAD"),
            (Method::PATCH, "/v2/a/tags/list", "GET"),
            (Method::POST, upload.as_str(), ""),
            (Method::GET, "/v2/a/blobs/uploads/1", ""),
            (Method::PUT, "/v2/UP/manifests/1", "GET, HEAD"),
            (Method::POST, "/elsewhere", "GET, HEAD"),
        ] {
            let error = read_only(&write, path, &HeaderMap::new()).unwrap_err();
            let head = error.refusal().write(&write).into_parts().0;
            assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(head.headers["allow"], allow, "{path}");
        }
        for (path, expected) in [
            ("/v2/a/manifests/1", Ok("manifest 1 of a")),
            ("/v2/UP/manifests/1", Err(RouteError::Name)),
        ] {
            let found = read_only(&Method::HEAD, path, &HeaderMap::new());
            let found = found.map(|endpoint| endpoint.to_string());
            assert_eq!(found, expected.map(str::to_owned));
        }
    }

    /// The outer path, the parameter `ns` and the endpoint.
    #[track_caller]
    fn check_mounted(
        target: &str,
        expected: Result<(Option<&str>, Option<&str>, &str), RouteError>,
    ) {
        let found = read_mounted(&Method::GET, target, &HeaderMap::new());
        let found = found.map(|found| {
            let outer = found.outer.map(|outer| outer.to_string());
            (outer, found.namespace, found.endpoint.to_string())
        });
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let expected = expected.map(|(outer, namespace, endpoint)| {
            (owned(outer), owned(namespace), endpoint.to_owned())
        });
        assert_eq!(found, expected, "{target}");
    }

    #[test]
    fn a_mirror_is_reached_below_any_path() {
        for (target, outer, endpoint) in [
            ("/v2/", None, "the API version"),
            ("/mirror/v2", Some("mirror"), "the API version"),
            ("/a/b.c/v2/", Some("a/b.c"), "the API version"),
            ("/a/v2/x/manifests/1", Some("a"), "manifest 1 of x"),
            ("/a/v2/v2/x/manifests/1", Some("a"), "manifest 1 of v2/x"),
            ("/v2/a/v2/x/manifests/1", None, "manifest 1 of a/v2/x"),
            ("/v2/v2/manifests/1", None, "manifest 1 of v2"),
            ("/v21/v2/x/tags/list", Some("v21"), "the tags of x"),
            ("/a/v2/_catalog", Some("a"), "the list of repositories"),
        ] {
            check_mounted(target, Ok((outer, None, endpoint)));
        }
        let long = format!("/{}/v2/", "a".repeat(300));
        for (target, expected) in [
            ("/Mirror/v2/x/manifests/1", RouteError::Mount),
            ("/a//v2/x/manifests/1", RouteError::Mount),
            ("//v2/x/manifests/1", RouteError::Mount),
            ("/../v2/x/manifests/1", RouteError::Mount),
            ("/a%2Fb/v2/x/manifests/1", RouteError::Mount),
            ("a/v2/x/manifests/1/", RouteError::Unknown),
            (&long, RouteError::Mount),
            ("/a/v1/x/manifests/1", RouteError::Unknown),
            ("/a", RouteError::Unknown),
            ("", RouteError::Unknown),
            ("/a/v2x/", RouteError::Unknown),
            ("/a/v2/UP/manifests/1", RouteError::Name),
        ] {
            check_mounted(target, Err(expected));
        }
    }

    // CA11: `ns` is read, and chooses nothing here.
    #[test]
    fn ca11_the_parameter_ns_is_read_from_any_request() {
        let blob = format!("blob {DIGEST} of a");
        let path = format!("/v2/a/blobs/{DIGEST}");
        let longest = "a".repeat(NAMESPACE_LIMIT_BYTES);
        for (query, expected) in [
            ("", Ok(None)),
            ("?ns", Ok(None)),
            ("?ns=", Ok(None)),
            ("?ns=docker.io", Ok(Some("docker.io"))),
            ("?ns=r.example%3A5000", Ok(Some("r.example:5000"))),
            ("?x=1&ns=a&ns=&ns=%61", Ok(Some("a"))),
            (
                "?ns=http://169.254.169.254/",
                Ok(Some("http://169.254.169.254/")),
            ),
            (&format!("?ns={longest}"), Ok(Some(&*longest))),
            (&format!("?ns={longest}a"), Err(RouteError::Namespace)),
            ("?ns=a&ns=b", Err(RouteError::Namespace)),
            ("?ns=%ff", Err(RouteError::Namespace)),
        ] {
            let expected = expected.map(|namespace| (None, namespace, blob.as_str()));
            check_mounted(&format!("{path}{query}"), expected);
        }
        check_mounted(
            "/m/v2/a/tags/list?n=1&ns=docker.io",
            Ok((Some("m"), Some("docker.io"), "the tags of a")),
        );
        check_mounted("/v2/?ns=a", Ok((None, Some("a"), "the API version")));
        let refusal = RouteError::Namespace.refusal();
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        assert!(refusal.body.names(&ErrorCode::NameInvalid));
    }

    #[test]
    fn ca11_every_write_is_refused_on_every_path() {
        let (blob, reads) = (format!("/v2/a/blobs/{DIGEST}"), "GET, HEAD");
        let referrers = format!("/v2/a/referrers/{DIGEST}");
        let start = format!("/v2/a/blobs/uploads/?mount={DIGEST}&from=b&ns=x&ns=y");
        for (path, allow) in [
            ("/v2/", reads),
            ("/v2/a/manifests/1", reads),
            ("/v2/a/manifests/1?ns=%ff", reads),
            (&blob, reads),
            ("/v2/_catalog", "GET"),
            ("/v2/a/tags/list", "GET"),
            (&referrers, "GET"),
            (&start, ""),
            ("/v2/a/blobs/uploads/1", ""),
            ("/v2/UP/manifests/1", reads),
            ("/elsewhere", reads),
        ] {
            let (mounted, malformed) = (format!("/m{path}"), format!("/M%{path}"));
            for write in [
                Method::DELETE,
                Method::PUT,
                Method::POST,
                Method::PATCH,
                Method::CONNECT,
                Method::from_bytes(b"PURGE").unwrap(),
            ] {
                for target in [path, &mounted, &malformed] {
                    let error = read_mounted(&write, target, &HeaderMap::new()).unwrap_err();
                    let (head, body) = error.refusal().write(&write).into_parts();
                    assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED, "{target}");
                    assert_eq!(head.headers["allow"], allow, "{write} {target}");
                    assert!(ErrorBody::parse(&body).names(&ErrorCode::Unsupported));
                }
            }
            // A list has no HEAD, as in Distribution.
            let head = read_mounted(&Method::HEAD, path, &HeaderMap::new());
            let is_refused = matches!(head, Err(RouteError::Method { .. }));
            assert_eq!(is_refused, allow != reads, "{path}");
        }
    }
}
