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
#![allow(dead_code)]

mod config;
mod header;
mod message;
mod percent;
mod reset;
mod response;
mod timeout;
mod trailer;

pub use config::GrpcConfig;
