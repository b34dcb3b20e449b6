//! A client's connection with a server's: any commands of their users, any chunks and delays.
#![no_main]

use std::time::Instant;

use fuzz::{Pair, Script};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let mut pair = Pair::new(&mut script, Instant::now());
    while !script.is_empty() {
        pair.act(&mut script);
    }
    pair.finish_all();
});
