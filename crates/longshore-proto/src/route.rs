//! Method and URI of a request, read back into the endpoint they name.
//!
//! ```text
//! path      = "/v2/" [ "_catalog" / name "/" rest ] [ "?" query ]
//! rest      = "manifests/" reference / "blobs/" digest / "tags/list" / "referrers/" digest
//!           / "blobs/uploads/" [ session ]
//! reference = tag / digest
//! ```
//!
//! A name may itself contain `manifests` or `blobs`, so the path is read from its end. Percent
//! encoding is refused, except of the colon in a digest: none of the grammars needs it (DG8).

use http::{HeaderMap, Method, StatusCode};
use longshore_model::{Digest, RepositoryName, TagOrDigest};

use crate::endpoint::{
    BlobRequest, CatalogueRequest, Deletable, DeleteRequest, Endpoint, ManifestPut,
    ManifestRequest, PageQuery, Read, ReferrersRequest, TagsRequest, UploadRequest, UploadSession,
};
use crate::error_code::ErrorCode;

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
    /// The endpoint does not have this method.
    #[error("the endpoint does not have this method")]
    Method,
    /// The repository name breaks the grammar.
    #[error("the repository name is malformed")]
    Name,
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
            Self::Digest | Self::MediaType | Self::Name | Self::Reference | Self::Upload => {
                StatusCode::BAD_REQUEST
            }
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unknown => StatusCode::NOT_FOUND,
        }
    }

    /// The error code to answer with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Digest => ErrorCode::DigestInvalid,
            Self::Method => ErrorCode::Unsupported,
            Self::Name => ErrorCode::NameInvalid,
            Self::MediaType | Self::Reference => ErrorCode::ManifestInvalid,
            Self::Unknown => ErrorCode::NameUnknown,
            Self::Upload => ErrorCode::BlobUploadInvalid,
        }
    }
}

/// Reads the endpoint of a request.
///
/// `target` is the path and query as they stand in the request. Lists and uploads have a query; the
/// query of any other request is ignored.
///
/// # Errors
///
/// [`RouteError`] says which part is malformed; its [`status`](RouteError::status) and
/// [`code`](RouteError::code) make the answer.
pub fn read(method: &Method, target: &str, headers: &HeaderMap) -> Result<Endpoint, RouteError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let rest = path.strip_prefix("/v2").ok_or(RouteError::Unknown)?;
    match rest {
        "" | "/" => return read_method(method).map(|_| Endpoint::Ping),
        "/_catalog" => {
            let request = CatalogueRequest::new(page(method, query)?);
            return Ok(Endpoint::Catalogue(request));
        }
        _ => {}
    }
    let mut parts = rest
        .strip_prefix('/')
        .ok_or(RouteError::Unknown)?
        .rsplitn(3, '/');
    let (Some(last), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(RouteError::Unknown);
    };
    let name = match (kind, last) {
        ("manifests" | "blobs" | "referrers", _) | TAGS_LIST => name,
        ("uploads", _) => name.strip_suffix("/blobs").ok_or(RouteError::Unknown)?,
        _ => return Err(RouteError::Unknown),
    };
    let name: RepositoryName = name.parse().map_err(|_| RouteError::Name)?;
    // A colon is the one character of these grammars that some clients encode.
    let decoded = last.replacen("%3A", ":", 1).replacen("%3a", ":", 1);
    let digest = || decoded.parse::<Digest>().map_err(|_| RouteError::Digest);
    match kind {
        "manifests" => {
            let target = decoded.parse().map_err(|_| RouteError::Reference)?;
            manifest(method, name, target, headers)
        }
        "blobs" if method == Method::DELETE => Ok(Endpoint::Delete(DeleteRequest::new(
            name,
            Deletable::Blob(digest()?),
        ))),
        "blobs" => {
            let read = read_method(method)?;
            let request = BlobRequest::read(read, name, digest()?, headers);
            Ok(Endpoint::Blob(request))
        }
        "referrers" => {
            let mut request = ReferrersRequest::new(name, digest()?, None);
            request.page = page(method, query)?;
            Ok(Endpoint::Referrers(request))
        }
        "uploads" => {
            let session = match last {
                "" => None,
                text => Some(UploadSession::parse(text).ok_or(RouteError::Upload)?),
            };
            let request = UploadRequest::read(method, name, session, query, headers)?;
            Ok(Endpoint::Upload(request))
        }
        _ => Ok(Endpoint::Tags(TagsRequest::new(name, page(method, query)?))),
    }
}

fn manifest(
    method: &Method,
    name: RepositoryName,
    target: TagOrDigest,
    headers: &HeaderMap,
) -> Result<Endpoint, RouteError> {
    Ok(match *method {
        Method::DELETE => Endpoint::Delete(DeleteRequest::new(name, Deletable::Manifest(target))),
        Method::PUT => {
            let request = ManifestPut::read(name, target, headers);
            Endpoint::ManifestPut(request.ok_or(RouteError::MediaType)?)
        }
        _ => {
            let read = read_method(method)?;
            Endpoint::Manifest(ManifestRequest::read(read, name, target, headers))
        }
    })
}

fn read_method(method: &Method) -> Result<Read, RouteError> {
    match *method {
        Method::GET => Ok(Read::Get),
        Method::HEAD => Ok(Read::Head),
        _ => Err(RouteError::Method),
    }
}

/// A list is read with `GET` alone.
fn page(method: &Method, query: &str) -> Result<PageQuery, RouteError> {
    match *method {
        Method::GET => Ok(PageQuery::raw(query)),
        _ => Err(RouteError::Method),
    }
}

/// The last two segments of the path of a list of tags.
const TAGS_LIST: (&str, &str) = ("tags", "list");

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
        check(&Method::POST, "/v2/a/manifests/1", Err(RouteError::Method));
        check(&Method::GET, "/v2/a/tags", Err(RouteError::Unknown));
        check(&Method::HEAD, "/v2/a/tags/list", Err(RouteError::Method));
        check(&Method::POST, "/v2/_catalog", Err(RouteError::Method));
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
            &Method::GET,
            "/v2/a/blobs/uploads/",
            Err(RouteError::Method),
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
}
