//! Kitex streams over gRPC: a transport for `stream-core`, on `h2` without hyper or tonic.
//!
//! Payloads are bytes here; statuses and their texts are Kitex's. `docs/grpc.md` says what is known of the wire,
//! and which test shows it. Services and clients are written with the crate `kitex`, which has this transport built
//! in; this crate is for those who build on `stream-core` alone.
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
//! // What a server speaks on its port, beside other protocols.
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
mod config;
mod header;
mod incoming;
mod message;
mod percent;
mod reset;
mod response;
mod server;
mod socket;
mod status;
mod timeout;
mod trailer;
mod wake;

pub use client::GrpcTransport;
pub use config::GrpcConfig;
pub use server::protocols;
