//! Any bytes as the messages of a ping-pong connection, in both protocols: what is read does not depend on how the bytes are
//! divided, and a message that was read can be written and read again.
#![no_main]

use fuzz::{Script, check_text};
use libfuzzer_sys::fuzz_target;
use ttheader_codec::Limits;
use ttstream::{CallProtocol, fuzz as calls};

const TIGHT: Limits = Limits { frame_len: 300, header_len: 120, pairs: 3 };

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let step = usize::from(script.byte());
    let protocol = script.pick(&[CallProtocol::Ttheader, CallProtocol::Framed]);
    let limits = script.pick(&[Limits::default(), TIGHT]);
    let bytes = script.rest();
    let (seen, error) = calls::calls(protocol, bytes, bytes.len(), &limits);
    let parted = calls::calls(protocol, bytes, step, &limits);
    assert_eq!(parted, (seen, error), "in pieces of {step}");
    parted.1.iter().for_each(|text| check_text(text));
});
