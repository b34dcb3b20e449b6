//! The heap's peak while hostile payloads are decoded: within what the limits allow, and the payload once more for
//! what is copied. Alone in its binary, because the counter sees all threads.

#![allow(missing_docs)]

// Makes `::kitex` in generated code mean this crate.
extern crate self as kitex;

pub use kitex_thrift::generated;

include!("generated/shapes.rs");

use bytes::Bytes;
use kitex_thrift::{Limits, Payload};
use peak_alloc::PeakAlloc;
use shapes::Bombs;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;
const BINARY: u8 = 11;
const STRUCT: u8 = 12;
const MAP: u8 = 13;
const SET: u8 = 14;
const LIST: u8 = 15;

/// A field with a container of `count` elements, as many of them there as fit into `size` bytes.
fn bomb(field: (u8, u8), head: &[u8], count: usize, element: &[u8], size: usize) -> Bytes {
    let mut bytes = vec![field.0, 0, field.1];
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(&u32::try_from(count).unwrap().to_be_bytes());
    bytes.extend(element.repeat(size / element.len()));
    bytes.push(0);
    bytes.into()
}

/// How much more there is on the heap at the peak of decoding than before it.
fn peak(payload: Bytes) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let decoded = Bombs::decode(payload);
    let peak = HEAP.peak_usage() - before;
    drop(decoded);
    peak
}

#[test]
fn no_payload_takes_more_than_its_limits() {
    let empty_text = [0, 0, 0, 0];
    let limits = Limits::new();
    let short_blob = [0, 0, 0, 1, 7];
    let keyed = [0, 0, 0, 1, 0];
    let link = [STRUCT, 0, 1, 0, 0];
    for size in [MIB / 16, MIB, 4 * MIB, 16 * MIB] {
        let all = |element: &[u8]| size / element.len();
        let rows = [
            ("list of empty structs", bomb((LIST, 1), &[STRUCT], all(&[0]), &[0], size)),
            ("few announced of many", bomb((LIST, 1), &[STRUCT], 20_000.min(size), &[0], size)),
            ("set of empty structs", bomb((SET, 2), &[STRUCT], all(&[0]), &[0], size)),
            ("map of empty structs", bomb((MAP, 3), &[8, STRUCT], all(&keyed), &keyed, size)),
            ("list of boxes", bomb((LIST, 4), &[STRUCT], all(&link), &link, size)),
            ("list of empty strings", bomb((LIST, 5), &[BINARY], all(&empty_text), &empty_text, size)),
            ("list of short binaries", bomb((LIST, 6), &[BINARY], all(&short_blob), &short_blob, size)),
            ("list that breaks off", bomb((LIST, 1), &[STRUCT], 10_000.min(size / 2), &[0xff], size)),
            ("list longer than all", bomb((LIST, 1), &[STRUCT], 0x7fff_ffff, &[0], size)),
            ("map longer than all", bomb((MAP, 3), &[8, STRUCT], 0x7fff_ffff, &[0], size)),
            ("lists again and again", again(size)),
        ];
        for (name, payload) in rows {
            let bound = limits.allowance + (limits.expansion + 1) * payload.len();
            let peak = peak(payload);
            assert!(peak <= bound, "{name} of {size} bytes: {peak} bytes, {bound} at most");
        }
    }
}

/// The same field again and again, each time with a list of 16 empty structs.
fn again(size: usize) -> Bytes {
    let mut field = vec![LIST, 0, 1, STRUCT, 0, 0, 0, 16];
    field.extend([0; 16]);
    field.repeat(size / field.len()).into_iter().chain([0]).collect::<Vec<_>>().into()
}
