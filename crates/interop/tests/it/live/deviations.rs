//! Deviations of Kitex's end from the rows: its behavior, and ours then. Each cell must be seen, so that none
//! outlives the fault that it describes.

use kitex::Side;

use super::table::{Mode, State, Way};

/// One difference, in all rows where it is seen.
#[derive(Debug)]
pub(crate) struct Deviation {
    pub(crate) of: Versions,
    pub(crate) way: fn(Way) -> bool,
    pub(crate) place: fn(Mode, State) -> bool,
    /// Columns of the comparison, and the values that may be seen there.
    pub(crate) cells: &'static [(&'static str, &'static [&'static str])],
    /// The reason, and our behavior.
    pub(crate) why: &'static str,
}

/// Versions of Kitex that differ so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    All,
    /// v0.16.3, and not v0.15.1.
    Current,
    /// v0.15.1 alone.
    Older,
}

impl Versions {
    pub(crate) fn has(self, is_older: bool) -> bool {
        match self {
            Self::All => true,
            Self::Current => !is_older,
            Self::Older => is_older,
        }
    }
}

type Place = fn(Mode, State) -> bool;

const ANYWHERE: Place = |_, _| true;

/// Our client, Kitex's server.
pub(crate) const OF_SERVER: &[Deviation] = &[
    Deviation {
        of: Versions::Older,
        way: |way| matches!(way, Way::Return | Way::ReturnBiz | Way::ReturnError),
        place: |_, state| state == State::Fresh,
        cells: &[("Kitex sent", &["T"])],
        why: "Kitex v0.15.1 sends no header before the trailer of a stream without a message, as we do where a \
              stream has ended.",
    },
    Deviation {
        of: Versions::Current,
        way: |_| true,
        place: |mode, state| state == State::Fresh || (mode, state) == (Mode::Up, State::Flowing),
        cells: &[("Kitex sent", &["HT"])],
        why: "Kitex answers a stream that has ended with a header before its trailer. Our client drops both; \
              our server sends no header then, over which a Kitex client would close the connection.",
    },
    Deviation {
        of: Versions::All,
        way: |way| way == Way::UnknownTo(Side::Server),
        place: ANYWHERE,
        cells: &[
            ("client", &["[ttstream error, code=12006] [client-side stream] "]),
            ("client sent", &["HDD"]),
            ("Kitex sent", &["HDD", ""]),
            ("Kitex's handler", &["[ttstream error, code=12013] "]),
        ],
        why: "Kitex's server closes the connection over a frame of a type that does not exist, and with it \
              every other stream. Ours ends the one stream: 12004.",
    },
];

/// Kitex's client, our server.
pub(crate) const OF_CLIENT: &[Deviation] = &[
    Deviation {
        of: Versions::Older,
        way: |way| way == Way::GarbageTo(Side::Client),
        place: |mode, _| mode == Mode::Bidi,
        cells: &[("Kitex sent", &["HDT"])],
        why: "The client of v0.15.1 still sends its trailer on a connection that it has given up.",
    },
    Deviation {
        of: Versions::Older,
        way: |way| matches!(way, Way::Deadline | Way::RecvTimeout),
        place: ANYWHERE,
        cells: &[
            (
                "Kitex's client",
                &["[ttstream error, code=12011] [client-side stream] context deadline exceeded"],
            ),
            ("our handler", &[TIMEOUT_FROM_OLDER]),
            ("our handler, Send or Recv", &[TIMEOUT_FROM_OLDER]),
        ],
        why: "Kitex v0.15.1 has no code for a timeout of its own: it cancels with 12011, as for a cancel that \
              came from another protocol.",
    },
    Deviation {
        of: Versions::All,
        way: |way| way == Way::Cause,
        place: ANYWHERE,
        cells: &[
            ("Kitex's client", &[CANCELED_HERE]),
            ("our handler", &[CANCELED_BY_A]),
            ("our handler, Send or Recv", &[CANCELED_BY_A]),
        ],
        why: "Kitex knows of causes and sends none: 12007. Our client says 12008 and the cause.",
    },
    Deviation {
        of: Versions::All,
        way: |way| way == Way::GarbageTo(Side::Client),
        place: ANYWHERE,
        cells: &[(
            "Kitex's client",
            &[
                "[ttstream error, code=12004] not TTHeader protocol (first4Bytes=0x48545450, second4Bytes=0x2f312e31)",
            ],
        )],
        why: "The same code in other words, without a side.",
    },
    Deviation {
        of: Versions::All,
        way: |way| way == Way::HeaderTo(Side::Client),
        place: ANYWHERE,
        cells: CONNECTION_CLOSED,
        why: "Kitex's client closes the connection over a second header, and with it every other stream: what \
              kills 30 of 100 streams when one is canceled before its first response. Ours ends the one stream.",
    },
    Deviation {
        of: Versions::All,
        way: |way| way == Way::UnknownTo(Side::Client),
        place: ANYWHERE,
        cells: CONNECTION_CLOSED,
        why: "Kitex's client closes the connection over a frame of a type that does not exist. Ours ends the \
              one stream.",
    },
    Deviation {
        of: Versions::All,
        way: |way| way == Way::UnknownTo(Side::Client),
        place: |_, state| state == State::Fresh,
        cells: &[("server sent", &[""])],
        why: "The same, before our server has said anything.",
    },
    Deviation {
        of: Versions::All,
        way: |way| way == Way::UnknownTo(Side::Client),
        place: ANYWHERE,
        cells: &[("Kitex's client", &["[ttstream error, code=12004] unexpected frame type: 9"])],
        why: "The same code in other words, without a side.",
    },
    Deviation {
        of: Versions::All,
        way: |way| matches!(way, Way::TrailerTo(_) | Way::OddTrailerTo(_) | Way::OddBiz),
        place: |mode, _| mode == Mode::Up,
        cells: &[("Kitex's client", &[""])],
        why: "CloseAndRecv of Kitex has its answer and does not wait for how the stream ends. Ours does: an \
              error behind the answer is the call's.",
    },
    Deviation {
        of: Versions::All,
        way: |way| way == Way::OddTrailerTo(Side::Client),
        place: ANYWHERE,
        cells: &[(
            "Kitex's client",
            &["[ttstream error, code=12004] [client-side stream] ReadMessageBegin: bad version"],
        )],
        why: "The same code in other words.",
    },
    Deviation {
        of: Versions::All,
        way: |way| way == Way::OddBiz,
        place: ANYWHERE,
        cells: &[(
            "Kitex's client",
            &["[ttstream error, code=12003] [client-side stream] malformed header info, extra: odd"],
        )],
        why: "The same code; Kitex shows what is no JSON, we why it is none.",
    },
];

const CONNECTION_CLOSED: &[(&str, &[&str])] = &[
    ("our handler", &["[ttstream error, code=12013] "]),
    ("our handler, Send or Recv", &["[ttstream error, code=12013] "]),
    ("Kitex sent", &["HDT", "HD"]),
    ("server sent", &["H", "HD"]),
];

const TIMEOUT_FROM_OLDER: &str = "[ttstream error, code=12011] [server-side stream] [canceled path: non-ttstream path -> ServiceA] context deadline exceeded";
const CANCELED_HERE: &str = "[ttstream error, code=12007] [client-side stream] user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";
const CANCELED_BY_A: &str = "[ttstream error, code=12007] [server-side stream] [canceled path: ServiceA] user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";
