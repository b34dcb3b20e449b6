//! Thrift payloads for Kitex streams: structs to bytes and back. Owns what may be believed of a peer's bytes;
//! knows nothing of streams, frames, connections or calls.
//!
//! A stream's payload is one bare thrift binary struct; a ping-pong call's stands inside a thrift message, which is
//! read and written elsewhere. Whatever comes from a peer is read by the checked reader, which trusts no length and
//! bounds the depth, the stack and the memory. What a peer may make us spend is in [`Limits`].

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects
    )
)]

mod containers;
mod error;
mod fields;
#[doc(hidden)]
pub mod generated;
mod limits;
mod payload;
mod reader;
mod skip;
mod ttype;
mod vec;
mod wire;
mod writer;

pub use ahash::{AHashMap, AHashSet};
pub use bytes::Bytes;
pub use faststr::FastStr;

pub use crate::{
    error::{DecodeError, EncodeError, Fault},
    limits::Limits,
    payload::Payload,
    vec::{VecMap, VecSet},
};

pub(crate) use crate::{
    reader::{Decoded, Reader},
    wire::Wire,
    writer::Writer,
};
