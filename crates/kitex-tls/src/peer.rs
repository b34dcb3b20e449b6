//! The certificates of a client, for handlers.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The certificates that a client has presented and the server has verified. A handler gets them from its context:
/// `ctx.extension::<PeerCertificates>()`. None if the client has no certificate or the connection is plaintext. Cheap to clone.
#[derive(Clone)]
pub struct PeerCertificates(Arc<[CertificateDer<'static>]>);

impl PeerCertificates {
    pub(crate) fn new(certificates: &[CertificateDer<'static>]) -> Self {
        Self(certificates.into())
    }

    /// Returns the certificates as DER: the client's own first, then its chain as it was sent.
    pub fn der(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Returns the DNS names of the client's own certificate (subject alternative names).
    pub fn dns_names(&self) -> Vec<String> {
        self.names(|certificate| certificate.valid_dns_names().map(str::to_owned).collect())
    }

    /// Returns the URIs of the client's own certificate (subject alternative names), such as the id of SPIFFE.
    pub fn uri_names(&self) -> Vec<String> {
        self.names(|certificate| certificate.valid_uri_names().map(str::to_owned).collect())
    }

    fn names(&self, names: impl FnOnce(&EndEntityCert<'_>) -> Vec<String>) -> Vec<String> {
        let own = self.0.first().and_then(|certificate| EndEntityCert::try_from(certificate).ok());
        own.map(|certificate| names(&certificate)).unwrap_or_default()
    }
}

/// The names and the number of certificates.
impl fmt::Debug for PeerCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificates")
            .field("dns_names", &self.dns_names())
            .field("uri_names", &self.uri_names())
            .field("certificates", &self.0.len())
            .finish()
    }
}
