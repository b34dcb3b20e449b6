//! Bytes that are no frame, made from those of a good one. Owns nothing else.

use super::wire::{Raw, frame, message};

/// Bytes that are no frame of a stream, by what is wrong with them.
pub(super) fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let good = || Raw { payload: message("a", 0), ..Raw::of_stream("3", 1, "Bidi") }.encode();
    let changed = |at: usize, bytes: &[u8]| {
        let mut frame = good();
        frame.splice(at..at + bytes.len(), bytes.iter().copied());
        frame
    };
    let info = |info: &[u8]| frame(2, 1, info.to_vec(), b"");
    vec![
        ("another magic", changed(4, &[0x20, 0])),
        ("a web request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a length smaller than the header", changed(0, &[0, 0, 0, 20])),
        ("a length of zero", changed(0, &[0, 0, 0, 0])),
        ("no header info", changed(12, &[0, 0])),
        ("header info longer than the frame", changed(12, &[0xff, 0xff])),
        ("an unknown protocol id", changed(14, &[0x77])),
        ("a transform", changed(15, &[1])),
        ("255 transforms", changed(15, &[255])),
        ("an unknown block", info(&[0x10, 0, 0x55, 0])),
        ("a count beyond the header", info(&[0x10, 0, 0x10, 0xff, 0xff, 0])),
        ("an int value beyond the header", info(&[0x10, 0, 0x10, 0, 1, 0, 27, 0xff, 0xff])),
        ("a string value beyond the header", info(&[0x10, 0, 0x01, 0, 1, 0, 3, b'i', b's', b'n', 0xff, 0])),
        ("a token beyond the header", info(&[0x10, 0, 0x11, 0xff, 0xff])),
    ]
}

/// The first bytes of a frame that is longer than any peer accepts.
pub(super) fn beyond_the_format() -> Vec<u8> {
    [&0x4000_0000_u32.to_be_bytes()[..], &[0x10, 0, 0, 2, 0, 0, 0, 1, 0, 4]].concat()
}
