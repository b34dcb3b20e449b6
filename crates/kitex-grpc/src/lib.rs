//! Kitex streams over gRPC: a transport for `stream-core`, on `h2` without hyper or tonic.
//!
//! Payloads are bytes here; statuses and their texts are Kitex's. `docs/grpc.md` says what is known of the wire,
//! and which test shows it.
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
