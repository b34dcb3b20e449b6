//! A chat over streaming services, gateway -> agent -> model and retriever. A cancel at any point ends everything
//! downstream immediately: each service reports the code and the cancel path, the model stops, and the tokens
//! made so far are kept.
//!
//! `http` is the gateway for browsers and its page, `status` what each service serves of itself over HTTP, `telemetry` its
//! metrics and traces.
//! `service` contains the services, `user` the client, `chain` all of them in one process, `report` the
//! outcome of each, `show` its display on a terminal, `watch` that of the open streams, `command` the command
//! line.

/// The API of the services, generated from `idl/chat.thrift`.
#[path = "generated/chat.rs"]
mod generated;

pub mod chain;
mod columns;
pub mod command;
mod fetch;
pub mod http;
mod line;
pub mod model;
pub mod next;
pub mod options;
pub mod proto;
pub mod report;
pub mod service;
pub mod show;
pub mod status;
pub mod telemetry;
mod text;
pub mod user;
pub mod watch;
pub mod wrap;

pub use generated::chat as api;
