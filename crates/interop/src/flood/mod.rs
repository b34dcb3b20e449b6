//! Attacks on a server, as a table, and a client that measures what others see meanwhile. `cargo xtask flood` runs all of them
//! against this workspace and against real Kitex, and writes what they cost.
//!
//! A server on loopback only: each attack is refused at any other address.

mod attack;
mod grpc_rows;
mod http2;
mod play;
pub mod probe;
mod tt_rows;

pub use self::attack::Attack;
pub use self::play::{BYTES_PER_SECOND, Outcome, play};

/// Returns every attack.
pub fn attacks() -> impl Iterator<Item = &'static Attack> {
    tt_rows::ROWS.iter().chain(grpc_rows::ROWS)
}
