//! Any bytes as a cancel path, with any names added hop by hop: it stays within its bounds, keeps the service
//! that canceled and the last hop, and cannot forge a log line.
#![no_main]

use fuzz::{Script, check_text};
use kerrors::{CancelPath, Code, Side, StreamError, check_service_name};
use libfuzzer_sys::fuzz_target;

const MAX_HOPS: usize = 64;
const MAX_BYTES: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let hops: Vec<String> = (0..script.byte() % 8).map(|_| script.text()).collect();
    let (code, message) = (script.int(), script.swollen());
    let times = script.pick(&[1, 1, 1, 1, 1, 1, 1, 16]);
    let wire = script.rest().repeat(times);
    let Some(mut path) = CancelPath::from_wire(&wire) else { return assert!(wire.is_empty()) };
    check_path(&path);
    for hop in hops.iter().filter(|hop| check_service_name(hop).is_ok()) {
        let longer = path.then(hop);
        check_hop(&path, &longer, hop);
        path = longer;
    }
    check_error(&StreamError::received(Side::Server, Code::new(code), &message, Some(path)));
});

fn check_path(path: &CancelPath) {
    assert!(path.as_wire().len() <= MAX_BYTES, "{} bytes", path.as_wire().len());
    let names = path.services().count();
    assert!((1..=MAX_HOPS).contains(&names), "{names} names");
    check_text(&path.to_string());
    assert_eq!(CancelPath::from_wire(path.as_wire().as_bytes()).as_ref(), Some(path));
}

fn check_hop(before: &CancelPath, after: &CancelPath, hop: &str) {
    check_path(after);
    assert_eq!(after.services().last(), Some(hop));
    let (first, kept) = (before.services().next().unwrap(), after.services().next().unwrap());
    assert!(first.starts_with(kept), "the service that canceled is lost");
    assert!(first == kept || kept.len() > MAX_BYTES / 4 - 4, "cut without need");
    assert_eq!(*before, before.then(""));
}

fn check_error(error: &StreamError) {
    check_text(&error.to_string());
    check_text(&error.clone().on_side(Side::Client).with_cause("\n\u{7f}\u{85}").to_string());
    assert!(error.message().len() <= 3 * MAX_BYTES);
    assert!(error.is_canceled());
}
