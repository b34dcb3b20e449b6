//! Errors of TLS configurations, and the texts of failed handshakes. A text names what to change.

use std::io;
use std::path::PathBuf;

use rustls::{AlertDescription, CertificateError, Error, Side};
use thiserror::Error as ThisError;

/// Why a TLS configuration cannot be used.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A text contains no certificate.
    #[error("no certificate in {from}: it must contain a PEM block of type CERTIFICATE")]
    NoCertificate {
        /// The file or the argument.
        from: String,
    },
    /// A text contains no private key.
    #[error(
        "no private key in {from}: it must contain a PEM block of type PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY"
    )]
    NoKey {
        /// The file or the argument.
        from: String,
    },
    /// A text is not valid PEM, or what it contains is not valid.
    #[error("cannot use {from}: {reason}")]
    Invalid {
        /// The file or the argument.
        from: String,
        /// What is wrong.
        reason: String,
    },
}

/// Returns the error of a handshake or of a connection that ended with `error`, at the end `side`.
pub(crate) fn failed(error: &Error, side: Side) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {}", explain(error, side)))
}

fn explain(error: &Error, side: Side) -> String {
    let peer = peer(side);
    match error {
        Error::InvalidCertificate(error) => certificate(error, side),
        Error::AlertReceived(alert) => alert_text(*alert, side),
        Error::NoCertificatesPresented => format!(
            "the {peer} has sent no certificate, which this {} requires: give the client an identity",
            name(side)
        ),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            format!(
                "the {peer} does not speak TLS, or violates it ({error}): check that it uses TLS on this address"
            )
        }
        Error::PeerIncompatible(_) => format!("the {peer} has no TLS version or cipher in common ({error})"),
        Error::NoApplicationProtocol => format!("the {peer} offers no ALPN protocol of this {}", name(side)),
        error => error.to_string(),
    }
}

fn certificate(error: &CertificateError, side: Side) -> String {
    let peer = peer(side);
    match error {
        CertificateError::UnknownIssuer => {
            format!(
                "the {peer}'s certificate is not signed by a trusted CA: add its CA to the roots of this {}",
                name(side)
            )
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            let expected = expected.to_str();
            format!(
                "the {peer}'s certificate is for {names}, not for {expected}: issue it for that name, or set the server name of this client"
            )
        }
        CertificateError::NotValidForName => {
            format!("the {peer}'s certificate is for another name: set the server name of this client")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!(
                "the {peer}'s certificate has expired: renew it and reload it there, or correct this machine's clock"
            )
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the {peer}'s certificate is not valid yet: check the clocks of both machines")
        }
        error => format!("the {peer}'s certificate is refused: {error}"),
    }
}

/// Returns the name in rustls's `DnsName("name")` or `IpAddress(address)`.
fn bare(presented: &str) -> &str {
    let name = presented.split_once('(').and_then(|(_, name)| name.strip_suffix(')'));
    name.unwrap_or(presented).trim_matches('"')
}

fn alert_text(alert: AlertDescription, side: Side) -> String {
    let (own, peer) = (name(side), peer(side));
    match alert {
        AlertDescription::CertificateRequired => {
            format!("the {peer} requires a certificate of this {own}: set its identity")
        }
        AlertDescription::UnknownCA => {
            format!(
                "the {peer} does not trust the CA of this {own}'s certificate: add the CA to the roots there"
            )
        }
        AlertDescription::CertificateExpired => {
            format!("the {peer} refused this {own}'s certificate: it has expired, renew and reload it")
        }
        // Sent by servers of older Go for a certificate that is missing, too.
        AlertDescription::BadCertificate => {
            format!("the {peer} refused this {own}'s certificate, or requires one (BadCertificate)")
        }
        AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate => {
            format!("the {peer} refused this {own}'s certificate ({alert:?})")
        }
        AlertDescription::NoApplicationProtocol => {
            format!(
                "the {peer} has no ALPN protocol in common with this {own}: check that it serves gRPC (h2)"
            )
        }
        alert => format!("the {peer} ended the connection with alert {alert:?}"),
    }
}

/// Returns the error of a peer that closed the connection during the handshake.
pub(crate) fn closed_in_handshake(side: Side) -> io::Error {
    let text = match side {
        Side::Client => {
            "TLS: the server closed the connection during the handshake: check that it uses TLS on this address"
        }
        Side::Server => "TLS: the client closed the connection during the handshake",
    };
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

const fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

const fn peer(side: Side) -> &'static str {
    match side {
        Side::Client => "server",
        Side::Server => "client",
    }
}
