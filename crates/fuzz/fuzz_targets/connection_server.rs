//! A server's connection with a peer that sends anything, and handlers that call anything.
#![no_main]

use fuzz::{Peer, Script};
use kerrors::Side;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| Peer::play(Side::Server, &mut Script::new(input)));
