//! TLS below the transports of the crate `kitex`, TTHeader Streaming, gRPC and ping-pong calls, by rustls: mutual TLS, server
//! names, and certificates that are reloaded without a restart. Usually used through the feature `tls` of `kitex`.
//!
//! ```no_run
//! use kitex_tls::{ClientTls, Identity, Roots, ServerTls};
//!
//! // A server that requires certificates of its clients (mutual TLS).
//! let server = ServerTls::builder(Identity::from_files("server.pem", "server.key")?)
//!     .client_roots(Roots::from_file("ca.pem")?)
//!     .build()?;
//!
//! // A client with a certificate of its own.
//! let client = ClientTls::builder(Roots::from_file("ca.pem")?)
//!     .identity(Identity::from_files("client.pem", "client.key")?)
//!     .build()?;
//!
//! // The files are read again, for example after they were renewed.
//! let changed = server.reload()?;
//! # drop((client, changed));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`ServerTls`] is an [`Acceptor`](stream_core::accept::Acceptor) of `stream-core`, [`ClientTls::connector`] a
//! [`Connector`](stream_core::client::Connector): no transport knows that there is TLS.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod client;
mod error;
mod handshake;
mod peer;
mod pem;
mod provider;
mod reload;
mod server;
mod session;
mod stream;

pub use client::{ClientTls, ClientTlsBuilder};
pub use error::TlsError;
pub use peer::PeerCertificates;
pub use pem::{Identity, Roots};
pub use server::{ServerTls, ServerTlsBuilder};
