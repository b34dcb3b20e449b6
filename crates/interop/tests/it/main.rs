//! `lab-peer` and its twin on real Kitex, in every mix, as processes: what each place prints is what
//! Kitex alone prints. And what Kitex does badly, done well.
//!
//! Nothing is proved by the passing of time: a test waits for lines, and fails if they never come.

mod bad_input;
mod cases;
mod causes;
mod chain;
mod isolation;
mod latency;
mod lines;
mod live;
mod local;
mod mixes;
mod order;
mod peer;
mod pools;
mod seed;
mod trouble;
mod unix;
mod unknown;
