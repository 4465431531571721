//! The transport keeps the contract, also behind the wrappers of `longshore-transport`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use longshore_hyper::{HyperTransport, ProxySettings, TlsSettings};
use longshore_testkit::transport_conformance::{self as conformance, Setup, Subject};
use longshore_transport::{
    Body, Capabilities, Capability, DynTransport, ServiceTransport, Transport, TransportError,
    from_fn,
};

mod bad;

fn hyper(setup: &Setup) -> HyperTransport {
    let settings = |pem: &str| match pem {
        "" => TlsSettings::default(),
        pem => TlsSettings::default().ca_pem(pem.as_bytes()).unwrap(),
    };
    let builder = HyperTransport::builder()
        .proxy(ProxySettings::none())
        .tls(settings(&setup.roots));
    let identities = setup.identities.iter();
    let builder = identities.fold(builder, |builder, (identity, pem)| {
        builder.tls_for(identity.clone(), settings(pem))
    });
    builder.build().unwrap()
}

#[tokio::test]
async fn hyper_keeps_the_contract() {
    let declared = Capabilities::none()
        .with(Capability::AddressPolicy)
        .with(Capability::ErrorPhase)
        .with(Capability::PeerClass)
        .with(Capability::TlsIdentity);
    conformance::check(&Subject::new(hyper), declared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hyper_keeps_the_contract_on_several_threads() {
    conformance::check(&Subject::new(hyper), Capabilities::all()).await;
}

#[tokio::test]
async fn a_function_keeps_the_contract() {
    let subject = Subject::new(|setup| {
        let inner = DynTransport::new(hyper(setup));
        let function = from_fn(move |request| {
            let inner = inner.clone();
            async move { inner.send(request).await }
        });
        function.declaring(Capabilities::all())
    });
    conformance::check(&subject, Capabilities::all()).await;
}

/// A tower service that sends over a transport.
#[derive(Clone)]
struct Service(HyperTransport);

impl tower_service::Service<Request<Body>> for Service {
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let transport = self.0.clone();
        Box::pin(async move { transport.send(request).await })
    }
}

#[tokio::test]
async fn a_service_keeps_the_contract() {
    let subject = Subject::new(|setup| ServiceTransport(Service(hyper(setup))));
    conformance::check(&subject, Capabilities::none()).await;
}
