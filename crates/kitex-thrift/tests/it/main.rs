//! Payloads as a peer may send them, decoded through code that `kitex-codegen` made of
//! `tests/idl/shapes.thrift`.

#![allow(missing_docs)]

// Makes `::kitex` in generated code mean this crate.
extern crate self as kitex;

pub use kitex_thrift::generated;

include!("../generated/shapes.rs");

mod conversations;
mod costs;
mod hostile;
mod round_trip;
mod wire;
