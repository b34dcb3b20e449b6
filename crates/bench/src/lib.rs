//! What the benchmarks have in common: the pieces of work that are measured by time (`benches`,
//! `bench-codec`) and by instructions (`bench-instructions`).
//!
//! `cargo xtask bench` runs it all and writes `docs/performance.md`.

pub mod work;
