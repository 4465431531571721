//! The bodies of requests.

use std::io;
use std::pin::Pin;

use longshore_proto::call::BodyName;
use longshore_transport::Body;

/// Opens the body that an operation named, once for each time the request is sent.
pub(crate) trait OpenBody: Send + Sync {
    fn open(&self, name: BodyName) -> OpeningBody<'_>;
}

pub(crate) type OpeningBody<'a> = Pin<Box<dyn Future<Output = io::Result<Body>> + Send + 'a>>;

/// Used by operations that send no body.
pub(crate) struct NoBody;

impl OpenBody for NoBody {
    fn open(&self, _: BodyName) -> OpeningBody<'_> {
        Box::pin(std::future::ready(Ok(Body::empty())))
    }
}
