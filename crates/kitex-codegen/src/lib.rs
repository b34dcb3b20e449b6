//! Thrift IDL to Rust: structs by pilota-build, services, clients and servers for the `kitex` crate by
//! templates of ours. Owns the way from IDL files to formatted text; knows nothing of connections and calls.
//!
//! `idl` reads, `check` refuses, `pilota` runs pilota-build with our `backend` and its `service` templates,
//! `pass` makes the result safe on a peer's bytes, `emit` lays it out. One run takes a fraction of a second
//! and gives the same bytes every time, so generated code is checked in and [`Generated::is_current`] keeps
//! it true.
//!
//! A `build.rs` that generates on every build instead:
//!
//! ```no_run
//! # fn main() -> Result<(), kitex_codegen::Error> {
//! kitex_codegen::Builder::new().idl("idl/lab.thrift").compile()
//! # }
//! ```
//!
//! and in the crate `include!(concat!(env!("OUT_DIR"), "/lab.rs"));`, which brings a module for each
//! namespace.

mod backend;
mod builder;
mod catalog;
mod check;
mod docs;
mod emit;
mod error;
mod idl;
mod mode;
mod model;
mod pass;
mod pilota;
mod place;
mod quiet;
mod service;

pub use crate::{
    builder::{Builder, Generated},
    error::Error,
};
