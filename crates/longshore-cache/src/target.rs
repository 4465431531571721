//! The target of a request, with the names that it has at the upstream.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use longshore_model::RepositoryName;
use longshore_proto::Refusal;
use longshore_proto::endpoint::{CatalogueRequest, Endpoint};
use longshore_proto::error_code::{ErrorBody, ErrorCode};
use longshore_proto::route::{self, Mounted, RouteError};

use crate::name::{ImageName, UpstreamName};
use crate::router::{Address, Router};

#[cfg(test)]
mod tests;

/// The largest number of entries in a page of a list (CA11: a larger `n` is reduced to it).
pub const PAGE_ENTRIES_LIMIT: usize = 1000;

/// The target of a request to a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The version check.
    Ping,
    /// The repositories that the cache knows.
    Catalogue(Box<TargetCatalogue>),
    /// Content or a list of a repository.
    Read(Box<TargetRead>),
}

/// A request for the repositories that the cache knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetCatalogue {
    /// The request as it was received.
    pub(crate) request: CatalogueRequest,
    /// The path before the API, without a trailing slash.
    pub(crate) base: String,
    /// The upstream that the request names, if any: only its repositories are listed.
    pub(crate) upstream: Option<UpstreamName>,
}

/// A request for content or a list of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetRead {
    /// The repository.
    pub(crate) image: ImageName,
    /// The request, with the name that the repository has at the upstream.
    pub(crate) endpoint: Endpoint,
    /// How the client named the repository.
    pub(crate) outer: Outer,
    /// The value of `ns`, to be repeated in `OCI-Namespace`.
    pub(crate) namespace: Option<HeaderValue>,
}

/// How the client named the repository. Links and documents in the answer use this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outer {
    /// The path before the API, without a trailing slash.
    pub(crate) base: String,
    /// The name in the path.
    pub(crate) name: RepositoryName,
}

impl Target {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// The error answer: 405 to every method that does not read, whatever the path is (CA11: the
    /// cache is read-only), 400 if a name or digest is malformed or the names in the request
    /// disagree, and 404 for an unknown path or upstream.
    pub(crate) fn read(parts: &Parts, router: &Router) -> Result<Self, Refusal> {
        let text = parts.uri.path_and_query().map_or("", |text| text.as_str());
        let request = route::read_mounted(&parts.method, text, &parts.headers);
        let request = request.map_err(|error| error.refusal())?;
        let host = host(parts)?;
        let address = Address {
            base: request.outer.as_ref(),
            name: request.endpoint.name(),
            namespace: request.namespace.as_deref(),
            host: host.as_deref(),
        };
        if address.name.is_some() {
            let image = router.find(&address).map_err(|error| error.refusal())?;
            return Ok(Self::Read(Box::new(TargetRead::new(image, request)?)));
        }
        let upstream = router.named(&address).map_err(|error| error.refusal())?;
        let (base, upstream) = (request.base(), upstream.cloned());
        match request.endpoint {
            Endpoint::Catalogue(request) => Ok(Self::Catalogue(Box::new(TargetCatalogue {
                request,
                base,
                upstream,
            }))),
            _ => Ok(Self::Ping),
        }
    }
}

impl TargetRead {
    /// Changes the request to the name that the repository has at the upstream.
    fn new(image: ImageName, request: Mounted) -> Result<Self, Refusal> {
        let base = request.base();
        let mut endpoint = request.endpoint;
        let name = match &mut endpoint {
            Endpoint::Blob(request) => &mut request.name,
            Endpoint::Manifest(request) => &mut request.name,
            Endpoint::Referrers(request) => &mut request.name,
            Endpoint::Tags(request) => &mut request.name,
            // The other endpoints write, or name no repository.
            _ => return Err(RouteError::Unknown.refusal()),
        };
        let name = std::mem::replace(name, image.repository.clone());
        // A namespace that the router knows is a host, so it is a valid header value.
        let namespace = request.namespace;
        let namespace = namespace.and_then(|ns| HeaderValue::try_from(ns).ok());
        Ok(Self {
            image,
            endpoint,
            outer: Outer { base, name },
            namespace,
        })
    }
}

/// The host that the request was sent to (RFC 9112 §3.2: that of the URI, else the one field).
fn host(parts: &Parts) -> Result<Option<Cow<'_, str>>, Refusal> {
    if let Some(authority) = parts.uri.authority() {
        return Ok(Some(authority.as_str().into()));
    }
    let mut fields = parts.headers.get_all(header::HOST).iter();
    match (fields.next(), fields.next()) {
        (field, None) => Ok(field.map(|field| String::from_utf8_lossy(field.as_bytes()))),
        (_, Some(_)) => {
            let body = ErrorBody::one(ErrorCode::Unsupported, "the request has two `Host` fields");
            Err(Refusal::new(StatusCode::BAD_REQUEST, body))
        }
    }
}

impl Router {
    /// Finds the repository that a request names; `None` for the version check and for the list of
    /// repositories, which name no repository.
    ///
    /// A cache answers exactly the requests for which this returns no error.
    ///
    /// ```
    /// use http::Request;
    /// use longshore_cache::{Router, UpstreamName};
    ///
    /// let quay: UpstreamName = "quay.io".parse()?;
    /// let router = Router::builder().upstream(quay)?.build();
    /// let uri = "/v2/prometheus/busybox/manifests/latest?ns=quay.io";
    /// let (parts, ()) = Request::get(uri).body(())?.into_parts();
    /// let image = router.resolve(&parts)?.ok_or("about no repository")?;
    /// assert_eq!(image.to_string(), "quay.io/prometheus/busybox");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error answer: 405 to every method that does not read, whatever the path is (CA11: the
    /// cache is read-only), 400 if a name or digest is malformed or the names in the request
    /// disagree, and 404 for an unknown path or upstream.
    pub fn resolve(&self, parts: &Parts) -> Result<Option<ImageName>, Refusal> {
        match Target::read(parts, self)? {
            Target::Read(read) => Ok(Some(read.image)),
            Target::Catalogue(_) | Target::Ping => Ok(None),
        }
    }
}
