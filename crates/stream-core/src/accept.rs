//! The seam for a secure layer at a server, such as TLS, below all protocols. Knows no such layer.

use std::fmt;
use std::io;

use bytes::BytesMut;

use crate::io::Io;
use crate::{BoxFuture, Extensions};

/// Makes a secure byte stream of an accepted one, before the protocol is detected: the server's end of TLS, for example.
pub trait Acceptor: fmt::Debug + Send + Sync + 'static {
    /// Performs the handshake. The server drops the future, and with it the connection, after
    /// `handshake_timeout` of its configuration.
    ///
    /// # Errors
    /// The peer is refused. The server logs the error, at a bounded rate.
    fn accept(&self, io: Io) -> BoxFuture<'_, io::Result<Secured>>;
}

/// A connection whose handshake is complete, or that needs none.
#[derive(Debug)]
pub struct Secured {
    /// The byte stream that the protocol is detected on.
    pub io: Io,
    /// The bytes already read from `io`.
    pub read: BytesMut,
    /// What is known of the connection. The context of each handler has it, as it has the values of observers.
    pub extensions: Extensions,
}

impl Secured {
    /// Returns `io` as it is: nothing was read from it, and nothing is known of it.
    pub fn unchanged(io: Io) -> Self {
        Self { io, read: BytesMut::new(), extensions: Extensions::default() }
    }
}
