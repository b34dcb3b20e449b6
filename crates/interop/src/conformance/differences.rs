//! Where Kitex v0.16.3 does otherwise than the protocol says: data, each with its reason. A difference that is always seen,
//! and then is not, is a failure of the run, so that none outlives the fault that it describes.

use super::pattern::glob;

/// One difference, in all scripts where it is seen.
#[derive(Debug)]
pub(super) struct Difference {
    /// Names of scripts, in which `…` stands for anything.
    names: &'static [&'static str],
    /// The class of the fault.
    pub(super) why: &'static str,
    pub(super) seen: Seen,
}

/// In which runs a difference is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// In every run: it is a failure of the run if it is not.
    Always,
    /// It depends on which of Kitex's goroutines is first: a run may see it or not.
    Timing,
}

const KITEX: &[Difference] = &[
    Difference {
        names: &["unknown …", "a method without a name", "names differ by case"],
        why: "a stream of an unknown method is not answered",
        seen: Seen::Always,
    },
    Difference {
        names: &["order: data after the trailer"],
        why: "data after a trailer is delivered",
        seen: Seen::Timing,
    },
    Difference {
        names: &["order: a second header of a live stream"],
        why: "it takes the place of the stream, and the connection stays open",
        seen: Seen::Always,
    },
    Difference {
        names: &[
            "type: an unknown one …",
            "type: none …",
            "ignored: an unknown type of …",
            "client: an unknown type of …",
            "client: no type of frame …",
        ],
        why: "a frame of an unknown type closes the connection",
        seen: Seen::Always,
    },
    Difference {
        names: &["malformed…: header info longer than the frame"],
        why: "lengths are not compared before the bytes have arrived",
        seen: Seen::Always,
    },
    Difference {
        names: &["ignored: a header of stream 0"],
        why: "stream 0 can be opened",
        seen: Seen::Always,
    },
    Difference {
        names: &["framed call: arguments that are no struct"],
        why: "the connection is closed after the exception",
        seen: Seen::Always,
    },
    Difference {
        names: &["oversize: 17 MiB end …", "oversize: a …", "client: 17 MiB end …"],
        why: "frames and pairs have no limit",
        seen: Seen::Always,
    },
    Difference {
        names: &["client: a second header ends the stream"],
        why: "the connection is closed without an Rst",
        seen: Seen::Always,
    },
    Difference {
        names: &["client: the connection ends …"],
        why: "a lost connection is 12004, not 12006",
        seen: Seen::Always,
    },
    Difference {
        names: &["client: Up, error"],
        why: "an error behind the answer is lost",
        seen: Seen::Always,
    },
    Difference {
        names: &["client: Down, …, biz"],
        why: "messages before a business error may be lost",
        seen: Seen::Timing,
    },
    Difference {
        names: &["client: a cancel with a cause"],
        why: "12007, and the cause is lost",
        seen: Seen::Always,
    },
    Difference {
        names: &["client: malformed, a length …"],
        why: "a length smaller than the header is taken for an empty payload",
        seen: Seen::Always,
    },
    Difference {
        names: &["client: payload …"],
        why: "a message that cannot be read does not end the stream",
        seen: Seen::Always,
    },
];

/// The difference that is listed for a script.
pub(super) fn of(name: &str) -> Option<&'static Difference> {
    KITEX.iter().find(|difference| difference.names.iter().any(|pattern| glob(pattern, name)))
}
