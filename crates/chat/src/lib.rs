//! A chat over three streaming services, gateway -> agent -> model. Whoever goes away ends the whole
//! chain at once: each service learns who canceled and along which path, the model stops, and what it
//! has made is kept.
//!
//! `service` is what runs, `user` who asks, `chain` all of it in one process, `report` what each of them
//! saw, `show` how that looks on a terminal, `watch` how the open streams do, `command` the words of the
//! program.

/// What the services speak, generated from `idl/chat.thrift`.
#[path = "generated/chat.rs"]
mod generated;

pub mod chain;
mod columns;
pub mod command;
pub mod model;
pub mod next;
pub mod report;
pub mod service;
pub mod show;
mod text;
pub mod user;
pub mod watch;

pub use generated::chat as api;
