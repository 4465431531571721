//! Method and URI of a request, read back into the endpoint they name.
//!
//! ```text
//! path      = "/v2/" [ "_catalog" / name "/" rest ] [ "?" query ]
//! rest      = "manifests/" reference / "blobs/" digest / "tags/list" / "referrers/" digest
//! reference = tag / digest
//! ```
//!
//! A name may itself contain `manifests` or `blobs`, so the path is read from its end. Percent
//! encoding other than of unreserved characters is refused: none of the grammars needs it (DG8).

use http::{HeaderMap, Method, StatusCode};
use longshore_model::{Digest, RepositoryName};

use crate::endpoint::{
    BlobRequest, CatalogueRequest, Endpoint, ManifestRequest, PageQuery, Read, ReferrersRequest,
    TagsRequest,
};
use crate::error_code::ErrorCode;

/// Why a request is none of the endpoints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The digest is malformed.
    #[error("the digest is malformed")]
    Digest,
    /// The method is not one of this endpoint.
    #[error("the method is not one of this endpoint")]
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
}

impl RouteError {
    /// The status to answer with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Digest | Self::Name | Self::Reference => StatusCode::BAD_REQUEST,
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
            Self::Reference => ErrorCode::ManifestInvalid,
            Self::Unknown => ErrorCode::NameUnknown,
        }
    }
}

/// Reads the endpoint of a request.
///
/// `target` is path and query, as they stand in the request; only lists have a query.
///
/// # Errors
///
/// [`RouteError`] says which part is malformed; its [`status`](RouteError::status) and
/// [`code`](RouteError::code) make the answer.
pub fn read(method: &Method, target: &str, headers: &HeaderMap) -> Result<Endpoint, RouteError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let rest = path.strip_prefix("/v2").ok_or(RouteError::Unknown)?;
    let read = match *method {
        Method::GET => Ok(Read::Get),
        Method::HEAD => Ok(Read::Head),
        _ => Err(RouteError::Method),
    };
    let page = || match read {
        Ok(Read::Get) => Ok(PageQuery::raw(query)),
        _ => Err(RouteError::Method),
    };
    match rest {
        "" | "/" => return read.map(|_| Endpoint::Ping),
        "/_catalog" => return Ok(Endpoint::Catalogue(CatalogueRequest::new(page()?))),
        _ => {}
    }
    let mut parts = rest
        .strip_prefix('/')
        .ok_or(RouteError::Unknown)?
        .rsplitn(3, '/');
    let (Some(last), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(RouteError::Unknown);
    };
    let known = matches!(kind, "manifests" | "blobs" | "referrers") || (kind, last) == TAGS_LIST;
    if !known {
        return Err(RouteError::Unknown);
    }
    let name: RepositoryName = name.parse().map_err(|_| RouteError::Name)?;
    // A colon is the one character of these grammars that some clients encode.
    let last = last.replacen("%3A", ":", 1).replacen("%3a", ":", 1);
    let digest = || last.parse::<Digest>().map_err(|_| RouteError::Digest);
    Ok(match kind {
        "manifests" => {
            let target = last.parse().map_err(|_| RouteError::Reference)?;
            Endpoint::Manifest(ManifestRequest::read(read?, name, target, headers))
        }
        "blobs" => Endpoint::Blob(BlobRequest::read(read?, name, digest()?, headers)),
        "referrers" => {
            let mut request = ReferrersRequest::new(name, digest()?, None);
            request.page = page()?;
            Endpoint::Referrers(request)
        }
        _ => Endpoint::Tags(TagsRequest::new(name, page()?)),
    })
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
        check(&Method::GET, "/v1/a/manifests/1", Err(RouteError::Unknown));
        check(&Method::GET, "/v2x", Err(RouteError::Unknown));
    }
}
