//! Thrift IDL to Rust: structs, and services, clients and servers for the `kitex` crate. Owns the way from IDL
//! files to formatted text; knows nothing of connections and calls.
//!
//! `parse` reads, `check` refuses, `names` and `layout` choose, `structs` and `service` write, `emit` lays it
//! out. One run takes a fraction of a second and gives the same bytes every time, so generated code can be checked
//! in and [`Generated::is_current`] keeps it true.
//!
//! # Which type stands for which
//!
//! | IDL | Rust |
//! |---|---|
//! | `bool`, `byte`, `i8`, `i16`, `i32`, `i64`, `double` | `bool`, `i8`, `i8`, `i16`, `i32`, `i64`, `f64` |
//! | `string`, `binary`, `uuid` | `FastStr`, `Bytes`, `[u8; 16]` |
//! | `list<T>`, `set<T>`, `map<K, V>` | `Vec<T>`, `AHashSet<T>`, `AHashMap<K, V>` |
//! | a set or map whose `T` or `K` has no hash (a double, map or set in it) | `VecSet<T>`, `VecMap<K, V>` |
//! | `enum` | a struct around an `i32` with constants, so that unknown numbers are kept |
//! | `union` | an enum with the variant `Unknown` beside those of the IDL |
//! | `typedef` | `type` |
//! | a `required` field | `T` |
//! | any other field | `Option<T>`, `Option<Box<T>>` for a struct that is large or holds itself |
//! | an argument | `T`, `Option<T>` if it is `optional` |
//!
//! # Annotations
//!
//! | annotation | at | effect |
//! |---|---|---|
//! | `streaming.mode = "client"`, `"server"`, `"bidirectional"`, `"unary"` | method | how messages travel, as in Kitex |
//! | `rust.name = "x"` (also `pilota.name`) | item, field, method | its name in Rust |
//! | `rust.type = "btree"`, `"string"`, `"vec"` (also `pilota.rust_type`) | field, type | `BTreeSet` or `BTreeMap`; `String`; `Vec<u8>` |
//! | `rust.box = "true"`, `"false"` | field | whether a struct stands in a box |
//! | `rust.arc = "true"` (also `pilota.rust_wrapper_arc`) | field | `Arc<T>` |
//! | `rust.attributes = "#[...]"` | struct, union, enum, field | attributes of the type or field |
//!
//! # In a build script
//!
//! A `build.rs` that generates on every build instead:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     match kitex_codegen::Builder::new().idl("idl/lab.thrift").compile() {
//!         Ok(()) => ExitCode::SUCCESS,
//!         Err(error) => {
//!             println!("cargo::error={error}");
//!             ExitCode::FAILURE
//!         }
//!     }
//! }
//! ```
//!
//! and in the crate `include!(concat!(env!("OUT_DIR"), "/lab.rs"));`, which brings a module for each
//! namespace.

mod ast;
mod builder;
mod check;
mod docs;
mod emit;
mod error;
mod generate;
mod idl;
mod layout;
mod lex;
mod mode;
mod model;
mod names;
mod options;
mod parse;
mod rust;
mod scope;
mod service;
mod services;
mod shorten;
mod structs;
mod value;

pub use crate::{
    builder::{Builder, Generated},
    error::Error,
};
