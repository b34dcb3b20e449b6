//! A server's connection against a peer that sends anything, while its handlers do anything.
#![no_main]

use fuzz::{Peer, Script};
use kerrors::Side;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| Peer::play(Side::Server, &mut Script::new(input)));
