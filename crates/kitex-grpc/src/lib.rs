//! Kitex streams over gRPC: a transport for `stream-core`, on `h2` without hyper or tonic.
//!
//! Payloads are bytes; statuses and their texts are Kitex's. `docs/grpc.md` describes the wire format, with
//! the test of each fact. Services and clients are written with the crate `kitex`, which has this transport
//! built in; use this crate to build on `stream-core` directly. Flow control, backpressure and limits are
//! configured by [`GrpcConfig`]; HTTP/2 keepalive pings are not implemented, TCP keepalive is on.
//!
//! ```
//! use kitex_grpc::{GrpcConfig, GrpcTransport, protocols};
//! use stream_core::client::{Client, ClientConfig, StaticAddresses};
//!
//! let limits = GrpcConfig::default().max_message_size(4 * 1024 * 1024);
//!
//! // A client whose streams are carried by gRPC.
//! let mut transport = GrpcTransport::default();
//! transport.connection = limits.clone();
//! let client = Client::new(transport, StaticAddresses::new(["127.0.0.1:8888"]), ClientConfig::default());
//! assert_eq!(client.pool_stats().connections, 0);
//!
//! // The protocols of a server's port, in addition to others.
//! let protocols = protocols(&limits);
//! assert!(protocols[0].detect(b"PRI * HT"));
//! ```
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

mod bucket;
mod client;
mod compression;
mod config;
mod frames;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod header;
mod held;
mod idle;
mod incoming;
mod keepalive;
mod message;
mod observed;
mod origin;
mod pending;
mod percent;
mod reset;
mod response;
mod server;
mod socket;
mod status;
mod timeout;
mod trailer;
mod wake;
mod wire;
mod writer;

pub use client::GrpcTransport;
pub use compression::Compression;
pub use config::{GrpcConfig, StatusStyle};
pub use server::protocols;
