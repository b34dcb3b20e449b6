//! The shared workloads of the benchmarks, measured by time (`benches`, `bench-codec`) and by instructions
//! (`bench-instructions`).
//!
//! `cargo xtask bench` runs all benchmarks and writes `docs/performance.md`.

pub mod work;
