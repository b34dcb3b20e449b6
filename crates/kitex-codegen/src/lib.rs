//! Generates Rust from Thrift IDL: structs, and services, clients and servers for the `kitex` crate. Depends on nothing
//! of the run time.
//!
//! `parse` reads files, `check` reports errors, `names` and `layout` decide names and types, `structs` and `service` write
//! code, `emit` formats it. The output is deterministic, so generated code can be checked in;
//! [`Generated::is_current`] returns whether it is up to date.
//!
//! # Types
//!
//! | IDL | Rust |
//! |---|---|
//! | `bool`, `byte`, `i8`, `i16`, `i32`, `i64`, `double` | `bool`, `i8`, `i8`, `i16`, `i32`, `i64`, `f64` |
//! | `string`, `binary`, `uuid` | `FastStr`, `Bytes`, `[u8; 16]` |
//! | `list<T>`, `set<T>`, `map<K, V>` | `Vec<T>`, `AHashSet<T>`, `AHashMap<K, V>` |
//! | a set or map whose `T` or `K` has no hash (a double, map or set in it) | `VecSet<T>`, `VecMap<K, V>` |
//! | `enum` | a struct around an `i32` with constants, so that unknown numbers are kept |
//! | `union` | an enum with the variants of the IDL and `Unknown` |
//! | `typedef` | `type` |
//! | a `required` field | `T` |
//! | any other field | `Option<T>`, `Option<Box<T>>` for a struct that is large or recursive |
//! | an argument | `T`, `Option<T>` if it is `optional` |
//!
//! # Annotations
//!
//! | annotation | at | effect |
//! |---|---|---|
//! | `streaming.mode = "client"`, `"server"`, `"bidirectional"`, `"unary"` | method | the direction of streaming, as in Kitex |
//! | `rust.name = "x"` (also `pilota.name`) | item, field, method | its name in Rust |
//! | `rust.type = "btree"`, `"string"`, `"vec"` (also `pilota.rust_type`) | field, type | `BTreeSet` or `BTreeMap`; `String`; `Vec<u8>` |
//! | `rust.box = "true"`, `"false"` | field | whether a struct is boxed |
//! | `rust.arc = "true"` (also `pilota.rust_wrapper_arc`) | field | `Arc<T>` |
//! | `rust.attributes = "#[...]"` | struct, union, enum, field | attributes of the type or field |
//!
//! # Protobuf
//!
//! With the feature `protobuf` a file whose name ends with `.proto` is read as Protobuf, without `protoc`. Messages are
//! those of `prost`, services have the shape that Thrift's have; `stream` decides the mode of a method.
//!
//! # In a build script
//!
//! To generate code during the build, in `build.rs`:
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
//! and in the crate `include!(concat!(env!("OUT_DIR"), "/lab.rs"));`, which contains a module for each namespace.

mod ast;
mod builder;
mod check;
mod docs;
mod emit;
mod error;
mod generate;
mod idl;
mod input;
mod layout;
mod lex;
mod mode;
mod model;
mod names;
mod options;
mod parse;
#[cfg(feature = "protobuf")]
mod proto;
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
