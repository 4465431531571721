//! The transport keeps the contract, and does what it declares.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use longshore::transport::{Capabilities, Capability};
use longshore_example_reqwest::ReqwestTransport;
use longshore_testkit::transport_conformance::{self as conformance, Setup, Subject};
use reqwest::{Certificate, Client, ClientBuilder};

/// A client that trusts these roots, in PEM, in addition to those of the system.
fn trusting(pem: &str) -> impl Fn() -> ClientBuilder + Send + Sync + use<> {
    let roots = Certificate::from_pem_bundle(pem.as_bytes()).unwrap();
    move || Client::builder().tls_certs_merge(roots.clone())
}

fn transport(setup: &Setup) -> ReqwestTransport {
    // Another provider may be installed already, by another test.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let transport = ReqwestTransport::new(trusting(&setup.roots));
    let identities = setup.identities.iter();
    identities.fold(transport, |transport, (identity, roots)| {
        transport.identity(identity.clone(), trusting(roots))
    })
}

#[tokio::test]
async fn the_contract_is_kept() {
    let declared = Capabilities::none()
        .with(Capability::AddressPolicy)
        .with(Capability::PeerClass)
        .with(Capability::TlsIdentity);
    conformance::check(&Subject::new(transport), declared).await;
}
