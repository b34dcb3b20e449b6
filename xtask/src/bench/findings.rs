//! What a run has measured, and under which conditions.

use std::time::Duration;

use super::cancel::Cancels;
use super::codec::Codec;
use super::growth::Growth;
use super::hops::Hops;
use super::matrix::Matrix;
use super::memory::Memory;
use super::scale::Scale;
use super::writes::Writes;
use crate::Result;
use crate::machine::Machine;

/// All that was measured; what could not be says why.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) matrix: Matrix,
    pub(super) memory: Result<Vec<Memory>, String>,
    pub(super) writes: Result<Writes, String>,
    pub(super) cancels: Result<Vec<Cancels>, String>,
    pub(super) hops: Result<Vec<Hops>, String>,
    pub(super) growth: Result<Growth, String>,
    pub(super) codec: Result<Codec, String>,
}

/// What a document reports.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) scale: Scale,
    pub(super) machine: Machine,
    pub(super) findings: Findings,
    pub(super) built_by: Vec<String>,
    /// Command lines of a server and a client of each peer.
    pub(super) started_with: Vec<String>,
    pub(super) took: Duration,
}
