//! Servers whose own certificate is in the user's list of trusted certificates.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// Accepts the certificates in the user's list, and verifies the chain of all others.
///
/// Path validation (RFC 5280 §6) does not accept a CA certificate for a server, nor a server
/// certificate without its issuer. But if the server's certificate is itself in the list, byte for
/// byte, only its dates and names remain to be checked.
#[derive(Debug)]
pub(crate) struct KnownOrChained {
    known: Vec<CertificateDer<'static>>,
    chains: Arc<dyn ServerCertVerifier>,
}

impl KnownOrChained {
    pub(crate) fn new(
        known: &[CertificateDer<'static>],
        chains: Arc<dyn ServerCertVerifier>,
    ) -> Self {
        Self {
            known: known.to_vec(),
            chains,
        }
    }
}

impl ServerCertVerifier for KnownOrChained {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.known.iter().any(|known| known == end_entity) {
            return self.chains.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        check_dates(end_entity, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Checks the validity period, which includes both of its ends (RFC 5280 §4.1.2.5).
fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = Certificate::from_der(certificate);
    let parsed = parsed.map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let period = parsed.tbs_certificate.validity;
    let not_before = period.not_before.to_unix_duration();
    let not_after = period.not_after.to_unix_duration();
    let at = |time: Duration| UnixTime::since_unix_epoch(time);
    let time = Duration::from_secs(now.as_secs());
    if time < not_before {
        let not_before = at(not_before);
        let time = now;
        return Err(CertificateError::NotValidYetContext { time, not_before }.into());
    }
    if time > not_after {
        let not_after = at(not_after);
        let time = now;
        return Err(CertificateError::ExpiredContext { time, not_after }.into());
    }
    Ok(())
}
