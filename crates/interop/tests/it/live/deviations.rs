//! Where Kitex's end does something else than a row says: what it does, and what ours does then. Each
//! must be seen, so that none outlives the fault that it tells of.

use kitex::Side;

use super::table::{Mode, State, Way};

/// One difference, wherever it is seen.
#[derive(Debug)]
pub(crate) struct Deviation {
    pub(crate) way: fn(Way) -> bool,
    pub(crate) place: fn(Mode, State) -> bool,
    /// Which end it is seen at, as the comparison names it.
    pub(crate) column: &'static str,
    /// What is seen there.
    pub(crate) seen: &'static str,
    /// Why, and what we do.
    pub(crate) why: &'static str,
}

/// Our client, Kitex's server.
pub(crate) const OF_SERVER: &[Deviation] = &[
    Deviation {
        way: |_| true,
        place: |mode, state| state == State::Fresh || (mode, state) == (Mode::Up, State::Flowing),
        column: "Kitex sent",
        seen: "HT",
        why: "Kitex answers a stream that has ended with a header before its trailer. Our client drops both; \
              our server sends no header then, over which a Kitex client would close the connection.",
    },
    Deviation {
        way: |way| way == Way::HeaderTo(Side::Server),
        place: |_, _| true,
        column: "client",
        seen: "waits",
        why: SECOND_HEADER,
    },
    Deviation {
        way: |way| way == Way::HeaderTo(Side::Server),
        place: |mode, _| mode != Mode::Down,
        column: "client may send",
        seen: "true",
        why: SECOND_HEADER,
    },
    Deviation {
        way: |way| way == Way::HeaderTo(Side::Server),
        place: |_, _| true,
        column: "Kitex's handler",
        seen: "nothing",
        why: SECOND_HEADER,
    },
    Deviation {
        way: |way| way == Way::UnknownTo(Side::Server),
        place: |_, _| true,
        column: "client",
        seen: "[ttstream error, code=12006] [client-side stream] ",
        why: UNKNOWN_FRAME,
    },
    Deviation {
        way: |way| way == Way::UnknownTo(Side::Server),
        place: |mode, _| mode != Mode::Down,
        column: "client sent",
        seen: "HDD",
        why: UNKNOWN_FRAME,
    },
    Deviation {
        way: |way| way == Way::UnknownTo(Side::Server),
        place: |mode, _| mode != Mode::Up,
        column: "Kitex sent",
        seen: "HDD",
        why: UNKNOWN_FRAME,
    },
    Deviation {
        way: |way| way == Way::UnknownTo(Side::Server),
        place: |mode, _| mode == Mode::Up,
        column: "Kitex sent",
        seen: "",
        why: UNKNOWN_FRAME,
    },
    Deviation {
        way: |way| way == Way::UnknownTo(Side::Server),
        place: |_, _| true,
        column: "Kitex's handler",
        seen: "[ttstream error, code=12013] ",
        why: UNKNOWN_FRAME,
    },
];

const SECOND_HEADER: &str = "Kitex's server takes a second header for a second stream of the same id, and tells \
    the first handler nothing any more, not even that the connection is lost. Ours closes the connection: 12002.";
const UNKNOWN_FRAME: &str = "Kitex's server closes the connection over a frame of a type that does not exist, and \
    with it every other stream. Ours ends the one stream: 12004.";
