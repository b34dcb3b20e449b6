//! The server's end: its configuration, and the handshake before a server detects the protocol of a connection.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ServerConfig, ServerConnection, Side};
use stream_core::accept::{Acceptor, Secured};
use stream_core::io::Io;
use stream_core::{BoxFuture, Extensions, buffer_pool};

use crate::error::{TlsError, failed};
use crate::handshake::{handshake, linger};
use crate::peer::PeerCertificates;
use crate::pem::{Identity, Roots};
use crate::provider::provider;
use crate::reload::{Material, Reloadable, watch};
use crate::session::Session;
use crate::stream::TlsStream;

/// TLS of a server. Clones are the same configuration: a reload of one is a reload of all.
///
/// Every handshake is a full one: the server resumes no session, so a certificate or a CA that was replaced counts from the next
/// connection on.
#[derive(Clone)]
pub struct ServerTls(Arc<Shared>);

struct Shared {
    config: Reloadable<ServerConfig>,
    plaintext: Plaintext,
}

/// What a server does with a connection that does not begin with a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plaintext {
    Refused,
    Allowed,
}

/// Builds a [`ServerTls`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct ServerTlsBuilder {
    material: Material,
    client_certificate: ClientCertificate,
    plaintext: Plaintext,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientCertificate {
    Required,
    Optional,
}

impl ServerTls {
    /// Returns a builder of the TLS of a server with this certificate.
    pub fn builder(identity: Identity) -> ServerTlsBuilder {
        ServerTlsBuilder {
            material: Material { identity: Some(identity), roots: None },
            client_certificate: ClientCertificate::Required,
            plaintext: Plaintext::Refused,
        }
    }

    /// Replaces the certificate for new connections; open ones continue.
    ///
    /// # Errors
    /// The key does not belong to the certificate: the previous certificate stays in use.
    pub fn replace_identity(&self, identity: Identity) -> Result<(), TlsError> {
        self.0.config.replace(Some(identity), None)
    }

    /// Replaces the CAs of clients for new connections. A server that had none requires client certificates from then on.
    ///
    /// # Errors
    /// The CAs cannot be used: the previous ones stay in use.
    pub fn replace_client_roots(&self, roots: Roots) -> Result<(), TlsError> {
        self.0.config.replace(None, Some(roots))
    }

    /// Reads the files of certificate, key and CAs again, and uses them for new connections. Returns whether anything has changed.
    /// Blocks while it reads.
    ///
    /// # Errors
    /// A file cannot be read or used: the previous certificates stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.0.config.reload()
    }

    /// Calls [`reload`](Self::reload) after each `period`, for ever, and logs changes and errors. Spawn it on the runtime of the
    /// server, and abort the task to stop it.
    pub async fn watch(self, period: Duration) {
        watch(self, period, Self::reload).await;
    }
}

impl ServerTlsBuilder {
    /// Sets the CAs of clients. Each client must then have a certificate signed by one of them (mutual TLS). Default: none,
    /// clients are not asked for a certificate.
    pub fn client_roots(mut self, roots: Roots) -> Self {
        self.material.roots = Some(roots);
        self
    }

    /// Admits clients without a certificate too. A certificate that a client has must still be signed by a CA of
    /// [`client_roots`](Self::client_roots).
    pub fn optional_client_certificate(mut self) -> Self {
        self.client_certificate = ClientCertificate::Optional;
        self
    }

    /// Serves connections without TLS on the same port too: a connection whose first byte is 0x16 is TLS, any other is plaintext.
    /// For the time of a migration. Default: a connection without TLS is closed and logged.
    pub fn allow_plaintext(mut self) -> Self {
        self.plaintext = Plaintext::Allowed;
        self
    }

    /// Builds the configuration.
    ///
    /// # Errors
    /// The key does not belong to the certificate, or the CAs cannot be used.
    pub fn build(self) -> Result<ServerTls, TlsError> {
        let Self { material, client_certificate, plaintext } = self;
        let build = Box::new(move |material: &Material| config(material, client_certificate));
        Ok(ServerTls(Arc::new(Shared { config: Reloadable::new(material, build)?, plaintext })))
    }
}

/// The ALPN protocol of gRPC. A client that offers none may speak any protocol of the server.
const H2: &[u8] = b"h2";

fn config(material: &Material, client_certificate: ClientCertificate) -> Result<ServerConfig, TlsError> {
    let Some(identity) = &material.identity else {
        return Err(TlsError::NoCertificate { from: "the server's TLS".to_owned() });
    };
    let (certificates, key) = identity.parts()?;
    let invalid =
        |error: rustls::Error| TlsError::Invalid { from: identity.name(), reason: error.to_string() };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_client_cert_verifier(verifier(material.roots.as_ref(), client_certificate)?)
        .with_single_cert(certificates, key)
        .map_err(invalid)?;
    config.alpn_protocols = vec![H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn verifier(
    roots: Option<&Roots>,
    client_certificate: ClientCertificate,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(roots) = roots else { return Ok(Arc::new(NoClientAuth)) };
    let builder = WebPkiClientVerifier::builder_with_provider(roots.store()?, provider());
    let builder = match client_certificate {
        ClientCertificate::Required => builder,
        ClientCertificate::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| TlsError::Invalid { from: roots.name(), reason: error.to_string() })
}

impl Acceptor for ServerTls {
    fn accept(&self, io: Io) -> BoxFuture<'_, io::Result<Secured>> {
        Box::pin(self.secure(io))
    }
}

/// The first byte of a TLS connection: the type of a handshake record.
const HANDSHAKE: u8 = 0x16;

impl ServerTls {
    async fn secure(&self, io: Io) -> io::Result<Secured> {
        let mut read = buffer_pool::acquire();
        match read_first(&io, &mut read).await? {
            HANDSHAKE => {}
            _ if self.0.plaintext == Plaintext::Allowed => {
                return Ok(Secured { io, read, extensions: Extensions::default() });
            }
            _ => {
                let text = "TLS: the client does not use TLS, which this server requires: configure TLS in the client";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        let connection = ServerConnection::new(self.0.config.get());
        let mut session = Session::new(connection.map_err(|error| failed(&error, Side::Server))?, read);
        if let Err(error) = handshake(&io, &mut session).await {
            linger(&io).await;
            return Err(error);
        }
        let mut extensions = Extensions::default();
        if let Some(certificates) = session.connection().peer_certificates() {
            extensions.insert(PeerCertificates::new(certificates));
        }
        Ok(Secured { io: TlsStream::into_io(io, session), read: BytesMut::new(), extensions })
    }
}

/// Reads until there is a byte, and returns it.
async fn read_first(io: &Io, read: &mut BytesMut) -> io::Result<u8> {
    loop {
        if let Some(first) = read.first() {
            return Ok(*first);
        }
        poll_fn(|cx| io.poll_read_ready(cx)).await?;
        read.reserve(FIRST_READ);
        match io.try_read_buf(read) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

/// The space for the first read, in bytes: a client's first flight is smaller.
const FIRST_READ: usize = 1024;

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("certificates", &self.0.config)
            .field("plaintext", &self.0.plaintext)
            .finish()
    }
}
