//! `lab-peer` and its twin on real Kitex, in every mix, as processes: each peer prints the output of Kitex
//! alone. And tests of the known differences from Kitex.
//!
//! No test depends on elapsed time: tests wait for lines, and fail if they never come.

mod bad_input;
mod by_tonic;
mod cases;
mod causes;
mod chain;
mod chat;
mod clock;
mod conformance;
mod differential;
mod fleet;
mod flood;
mod grpc_bounds;
mod grpc_go;
mod isolation;
mod killmatrix;
mod latency;
mod lines;
mod live;
mod local;
mod mixes;
mod order;
mod origin;
mod oversize;
mod peer;
mod pools;
mod protobuf;
mod rolling;
mod seed;
mod tls;
mod trouble;
mod unix;
mod unknown;
