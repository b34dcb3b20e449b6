//! Thrift payloads for Kitex streams: pilota structs to bytes and back. Owns what may be believed of a peer's
//! bytes; knows nothing of streams, frames, connections or calls.
//!
//! A stream's payload is one bare thrift binary struct; a ping-pong call's stands inside a thrift message, which is
//! read and written elsewhere. Whatever comes from a peer is read by the checked [`Reader`], never by pilota's own
//! decoder, which trusts every length and has no limit of depth. What a peer may make us spend is in [`Limits`].

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects
    )
)]

mod error;
#[doc(hidden)]
pub mod generated;
mod limits;
mod payload;
mod protocol;
mod reader;
mod skip;

pub use crate::{
    error::{DecodeError, EncodeError, Fault},
    limits::Limits,
    payload::Payload,
    reader::Reader,
};
