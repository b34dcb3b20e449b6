//! Traces and metrics beside those of Kitex's own users: obs-opentelemetry v0.3.0 and monitor-prometheus v0.2.0 on real
//! Kitex. `cargo xtask interop` builds the program in `otel-peer` and sets [`peer::PROGRAM`]; without it the tests are
//! skipped, and say so.

mod metrics;
mod peer;
mod traces;

#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../../../kitex-otel/examples/receiver/mod.rs"]
mod receiver;
