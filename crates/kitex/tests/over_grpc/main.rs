//! The tests of `it` over gRPC: the same functions, the same rows, with another [`TRANSPORT`]. Where the transports
//! differ, a row says what is expected of each (`fixture::by`), or a test says why it is not for gRPC
//! (`fixture::of_ttheader_alone`).
//!
//! Left out are files whose peers write frames of TTHeader by hand (`header`, `misbehaving_clients`, `misbehaving_servers`,
//! `oversize`, `reads`, `resets`), those that concern no transport (`addresses`, `dial`), `observers`, whose
//! tests select each transport, and `limits_tcp`, which waits for a minute.

#![allow(dead_code, unused_imports, reason = "the fixture serves the files that are left out too")]

#[path = "../it/admission.rs"]
mod admission;
#[path = "../it/bursts.rs"]
mod bursts;
#[path = "../it/cancel.rs"]
mod cancel;
#[path = "../it/clock.rs"]
mod clock;
#[path = "../it/context.rs"]
mod context;
#[path = "../it/cores.rs"]
mod cores;
#[path = "../it/deadline.rs"]
mod deadline;
#[path = "../it/decode_limits.rs"]
mod decode_limits;
#[path = "../it/drops.rs"]
mod drops;
#[path = "../it/endings.rs"]
mod endings;
#[path = "../it/events.rs"]
mod events;
#[path = "../it/fixture/mod.rs"]
mod fixture;
#[path = "../it/flow.rs"]
mod flow;
#[path = "../it/healthy.rs"]
mod healthy;
#[path = "../it/inspect.rs"]
mod inspect;
#[path = "../it/interrupted.rs"]
mod interrupted;
#[path = "../it/limits.rs"]
mod limits;
#[path = "../it/lost.rs"]
mod lost;
#[path = "../it/metainfo.rs"]
mod metainfo;
#[path = "../it/middleware.rs"]
mod middleware;
#[path = "../it/modes.rs"]
mod modes;
#[path = "../it/panics.rs"]
mod panics;
#[path = "../it/panics_at_ends.rs"]
mod panics_at_ends;
#[path = "../it/policy.rs"]
mod policy;
#[path = "../it/pools.rs"]
mod pools;
#[path = "../it/retry_lost/mod.rs"]
mod retry_lost;
#[path = "../it/runtimes.rs"]
mod runtimes;
#[path = "../it/saves.rs"]
mod saves;
#[path = "../it/secrets.rs"]
mod secrets;
#[path = "../it/services.rs"]
mod services;
#[path = "../it/shutdown.rs"]
mod shutdown;
#[cfg(unix)]
#[path = "../it/signals.rs"]
mod signals;
#[path = "../it/times.rs"]
mod times;
#[path = "../it/unix.rs"]
mod unix;

/// What carries the streams of clients that set no other transport.
pub(crate) const TRANSPORT: kitex::client::Transport = kitex::client::Transport::Grpc;
