//! A transport wrapper with capabilities that the caller declares.

use http::{Request, Response};

use crate::{Body, Capabilities, Transport, TransportError};

/// A transport with the capabilities that the caller declares for it; made by
/// [`Transport::declaring`].
#[derive(Clone, Debug)]
pub struct Declared<T> {
    transport: T,
    capabilities: Capabilities,
}

impl<T> Declared<T> {
    pub(crate) const fn new(transport: T, capabilities: Capabilities) -> Self {
        Self {
            transport,
            capabilities,
        }
    }
}

impl<T: Transport> Transport for Declared<T> {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        self.transport.send(request).await
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}
