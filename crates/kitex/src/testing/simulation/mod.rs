//! Simulated networks: see the documentation of [`crate::testing`].

mod connection;
mod faults;
mod link;
mod network;
mod random;
mod run;
mod stream;
mod trace;
mod world;

pub use faults::{Fault, Faults};
pub use link::Link;
pub use network::Simulation;
pub use random::Random;
pub use run::{seeds, simulate};
