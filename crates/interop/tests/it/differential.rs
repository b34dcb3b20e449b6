//! Frames that `ttheader-codec` and gopkg decode alike. `cargo xtask differential` does so with 100,000.

use interop::differential;

use crate::peer::{Peer, go_is_here};

#[test]
fn decoder_agrees_with_gopkg_on_generated_frames() {
    if go_is_here() {
        let counts =
            differential::run(&Peer::Go.program(), 20, 5_000).unwrap_or_else(|error| panic!("{error}"));
        assert!(counts.accepted > 1_500 && counts.refused > 1_000, "{counts:?}");
    }
}

/// A program that decodes nothing is noticed at once.
#[test]
fn decoder_that_disagrees_is_noticed() {
    let error = differential::run("echo", 20, 100).expect_err("it decodes nothing");
    assert!(error.contains("seed 20, frame "), "{error}");
}
