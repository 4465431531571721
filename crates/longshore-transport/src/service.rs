//! Any clonable tower service as a transport.

use std::future::poll_fn;

use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use crate::{Body, Transport, TransportError};

/// A `tower_service::Service` as a [`Transport`].
///
/// The service is cloned for each request and asked for readiness on the clone, as the `Service`
/// contract wants it. It declares no capability of its own; see [`Transport::declaring`].
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a plain wrapper")]
pub struct ServiceTransport<S>(pub S);

impl<S, B> Transport for ServiceTransport<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<TransportError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<TransportError>,
{
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let mut service = self.0.clone();
        poll_fn(|cx| service.poll_ready(cx))
            .await
            .map_err(Into::into)?;
        let response = service.call(request).await.map_err(Into::into)?;
        Ok(response.map(Body::wrap))
    }
}
