//! A certificate authority made on the spot, and server certificates of every kind.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority that exists for one test.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new authority with a new key.
    ///
    /// # Panics
    ///
    /// When the system has no randomness to make a key from.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "longshore test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(made(CertifiedIssuer::self_signed(
            params,
            made(KeyPair::generate()),
        )))
    }

    /// The authority's certificate, as a CA file holds it.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these host names and addresses, valid now.
    ///
    /// # Panics
    ///
    /// When a name is neither an address nor a DNS name.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Identity {
        self.sign(names, CertificateParams::default())
    }

    /// A certificate for these names whose time was over long ago.
    ///
    /// # Panics
    ///
    /// When a name is neither an address nor a DNS name.
    #[must_use]
    pub fn expired(&self, names: &[&str]) -> Identity {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign(names, params)
    }

    /// A certificate for these names that is not valid yet.
    ///
    /// # Panics
    ///
    /// When a name is neither an address nor a DNS name.
    #[must_use]
    pub fn not_yet_valid(&self, names: &[&str]) -> Identity {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2901, 1, 1);
        params.not_after = date_time_ymd(2902, 1, 1);
        self.sign(names, params)
    }

    fn sign(&self, names: &[&str], mut params: CertificateParams) -> Identity {
        let named = made(CertificateParams::new(
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        ));
        params.subject_alt_names = named.subject_alt_names;
        params
            .distinguished_name
            .push(DnType::CommonName, "longshore test server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = made(KeyPair::generate());
        let certificate = made(params.signed_by(&key, &self.0));
        Identity {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// A certificate and its private key.
#[derive(Debug)]
pub struct Identity {
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    /// A certificate no authority vouches for, with its key.
    ///
    /// # Panics
    ///
    /// When a name is neither an address nor a DNS name.
    #[must_use]
    pub fn self_signed(names: &[&str]) -> Self {
        Self::signed_by_itself(names, IsCa::NoCa)
    }

    /// A self-signed CA certificate for these names with its key, as `openssl req -x509` makes it
    /// for a server.
    ///
    /// # Panics
    ///
    /// When a name is neither an address nor a DNS name.
    #[must_use]
    pub fn self_signed_authority(names: &[&str]) -> Self {
        Self::signed_by_itself(names, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn signed_by_itself(names: &[&str], is_ca: IsCa) -> Self {
        let names = names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>();
        let mut params = made(CertificateParams::new(names));
        params
            .distinguished_name
            .push(DnType::CommonName, "longshore self-signed");
        params.is_ca = is_ca;
        let key = made(KeyPair::generate());
        let certificate = made(params.self_signed(&key));
        Self {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
        }
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key in PEM (PKCS #8).
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The certificate in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The private key in DER (PKCS #8, ECDSA over P-256).
    #[must_use]
    pub fn key_der(&self) -> Vec<u8> {
        self.key.serialize_der()
    }

    /// What a server needs to speak TLS as this identity, offering `protocols` by ALPN.
    pub(crate) fn server_config(&self, protocols: &[&[u8]]) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key_der()));
        let mut config = made(
            made(
                rustls::ServerConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions(),
            )
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key),
        );
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            certificate_pem: self.certificate_pem.clone(),
            certificate: self.certificate.clone(),
            key: made(KeyPair::try_from(self.key_der())),
        }
    }
}

/// Certificates are made from our own constants and the caller's names: a failure is a mistake in
/// the test that asked.
#[track_caller]
fn made<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("cannot make a test certificate: {error}"),
    }
}
