//! What the benchmarks have in common: the tally that every peer keeps, and the pieces of work that are
//! measured by time (`benches`, `bench-codec`) and by instructions (`bench-instructions`).
//!
//! `cargo xtask bench` runs it all and writes `docs/performance.md`.

pub mod tally;
pub mod work;
