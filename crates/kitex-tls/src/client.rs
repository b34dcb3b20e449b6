//! The client's end: its configuration, and a connector that makes a TLS connection of that of another connector.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Side};
use stream_core::BoxFuture;
use stream_core::client::Connector;
use stream_core::guard::guarded;
use stream_core::io::{Io, unix_path};

use crate::error::{TlsError, failed};
use crate::handshake::handshake;
use crate::pem::{Identity, Roots};
use crate::provider::provider;
use crate::reload::{Material, Reloadable, watch};
use crate::session::Session;
use crate::stream::TlsStream;

/// TLS of a client. Clones are the same configuration: a reload of one is a reload of all.
///
/// A client with TLS never uses plaintext: a connection whose handshake fails is closed, and the call that needed it fails.
/// Every handshake is a full one, in which the server's certificate is verified.
#[derive(Clone)]
pub struct ClientTls(Arc<Shared>);

struct Shared {
    config: Reloadable<ClientConfig>,
    names: Names,
}

/// Returns the server name of an address; `None` if it is the host of the address.
type NameOf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

#[derive(Clone)]
enum Names {
    /// The host of the address.
    Host,
    Fixed(ServerName<'static>),
    By(NameOf),
}

/// Builds a [`ClientTls`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct ClientTlsBuilder {
    material: Material,
    name: Option<String>,
    names: Names,
}

impl ClientTls {
    /// Returns a builder of the TLS of a client that trusts servers with a certificate signed by one of these CAs.
    pub fn builder(roots: Roots) -> ClientTlsBuilder {
        ClientTlsBuilder {
            material: Material { identity: None, roots: Some(roots) },
            name: None,
            names: Names::Host,
        }
    }

    /// Replaces the client's certificate for new connections; open ones continue.
    ///
    /// # Errors
    /// The key does not belong to the certificate: the previous certificate stays in use.
    pub fn replace_identity(&self, identity: Identity) -> Result<(), TlsError> {
        self.0.config.replace(Some(identity), None)
    }

    /// Replaces the CAs of servers for new connections.
    ///
    /// # Errors
    /// The CAs cannot be used: the previous ones stay in use.
    pub fn replace_roots(&self, roots: Roots) -> Result<(), TlsError> {
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

    /// Calls [`reload`](Self::reload) after each `period`, for ever, and logs changes and errors. Spawn it on a runtime, and abort
    /// the task to stop it.
    pub async fn watch(self, period: Duration) {
        watch(self, period, Self::reload).await;
    }

    /// Returns a connector that performs the handshake on the connections of `below`, within the client's timeout of a dial. It
    /// offers these ALPN protocols: `h2` for gRPC, none for TTHeader.
    pub fn connector(&self, below: Arc<dyn Connector>, alpn: &[&str]) -> impl Connector + use<> {
        let alpn = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsConnector { tls: self.clone(), below, alpn }
    }
}

impl ClientTlsBuilder {
    /// Sets the client's own certificate, for servers that require one (mutual TLS). Default: none.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.material.identity = Some(identity);
        self
    }

    /// Sets the name that the certificate of every server must have, which is also sent to the server (SNI). Default: the host of
    /// the dialed address, a DNS name or an IP address. Required for Unix sockets.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets a function that returns the server name of an address, for addresses of a service registry; `None` is the host of the
    /// address. It must not block.
    pub fn server_name_by(mut self, name: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.names = Names::By(Arc::new(name));
        self
    }

    /// Builds the configuration.
    ///
    /// # Errors
    /// The key does not belong to the certificate, the CAs cannot be used, or the server name is not valid.
    pub fn build(self) -> Result<ClientTls, TlsError> {
        let Self { material, name, names } = self;
        let names = match name {
            Some(name) => Names::Fixed(server_name(name.clone()).map_err(|error| TlsError::Invalid {
                from: format!("the server name {name:?}"),
                reason: error.to_string(),
            })?),
            None => names,
        };
        let config = Reloadable::new(material, Box::new(config))?;
        Ok(ClientTls(Arc::new(Shared { config, names })))
    }
}

fn config(material: &Material) -> Result<ClientConfig, TlsError> {
    let Some(roots) = &material.roots else {
        return Err(TlsError::NoCertificate { from: "the client's roots".to_owned() });
    };
    let invalid = |from: String, reason: String| TlsError::Invalid { from, reason };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.store()?, provider())
        .build()
        .map_err(|error| invalid(roots.name(), error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(roots.name(), error.to_string()))?
        .with_webpki_verifier(verifier);
    let mut config = match &material.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (certificates, key) = identity.parts()?;
            builder
                .with_client_auth_cert(certificates, key)
                .map_err(|error| invalid(identity.name(), error.to_string()))?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Connects through another connector, and performs the handshake.
#[derive(Debug)]
struct TlsConnector {
    tls: ClientTls,
    below: Arc<dyn Connector>,
    alpn: Vec<Vec<u8>>,
}

impl Connector for TlsConnector {
    fn connect<'a>(&'a self, address: &'a str, timeout: Duration) -> BoxFuture<'a, io::Result<Io>> {
        Box::pin(async move {
            let name = self.tls.name_of(address)?;
            let io = self.below.connect(address, timeout).await?;
            self.tls.secure(io, name, self.alpn.clone()).await
        })
    }
}

impl ClientTls {
    fn name_of(&self, address: &str) -> io::Result<ServerName<'static>> {
        let chosen = match &self.0.names {
            Names::Fixed(name) => return Ok(name.clone()),
            Names::Host => None,
            Names::By(name_of) => guarded(|| name_of(address)).map_err(|text| {
                io::Error::other(format!("panic: [happened in the function of server names] {text}"))
            })?,
        };
        let name =
            chosen.or_else(|| host(address).map(str::to_owned)).and_then(|name| server_name(name).ok());
        name.ok_or_else(|| {
            let text = format!("TLS: {address} has no valid server name: set the server name of this client");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })
    }

    async fn secure(&self, io: Io, name: ServerName<'static>, alpn: Vec<Vec<u8>>) -> io::Result<Io> {
        let connection = ClientConnection::new_with_alpn(self.0.config.get(), name, alpn);
        let connection = connection.map_err(|error| failed(&error, Side::Client))?;
        let mut session = Session::new(connection, BytesMut::new());
        handshake(&io, &mut session).await?;
        Ok(TlsStream::into_io(io, session))
    }
}

fn server_name(name: String) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
    ServerName::try_from(name)
}

/// Returns the host of `host:port`; of an address without a port all of it. `None` for a Unix socket.
fn host(address: &str) -> Option<&str> {
    if unix_path(address).is_some() {
        return None;
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    Some(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host))
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("certificates", &self.0.config)
            .field("server_name", &self.0.names)
            .finish()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host of the address"),
            Self::Fixed(name) => f.write_str(&name.to_str()),
            Self::By(_) => f.write_str("by a function"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn server_name_is_the_host_of_an_address() {
        let rows = [
            ("model.example:443", Some("model.example")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]:80", Some("::1")),
            ("echo", Some("echo")),
            ("/run/model.sock", None),
            ("unix:model.sock", None),
        ];
        for (address, expected) in rows {
            assert_eq!(host(address), expected, "{address}");
        }
    }
}
