//! The cells of the matrix, and what must be seen in each: data. Owns no process.

use crate::caller::Mode;
use crate::link::Wire;

/// What happens to the middle service C, or what is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is killed.
    Kill,
    /// It stops, and continues once the streams above it have ended.
    Stop,
    /// Its network loses everything.
    Blackhole,
    /// Its connection to B is reset.
    Reset,
    /// It is gone, and the client calls again.
    Refused,
    /// The reader at the end of the chain takes nothing.
    SlowReader,
}

impl Fault {
    /// What the time between the fault and the last end is made of.
    pub(crate) fn takes(self) -> &'static str {
        match self {
            Self::Kill | Self::Reset => {
                "6 s of deadline where an idle client stream has nothing that could fail"
            }
            Self::Stop => "6 s of deadline",
            Self::Blackhole => "TCP: 20 s without an acknowledgement, 30 s of silence and a probe",
            Self::Refused => "as for a kill, twice",
            Self::SlowReader => "2 s for a slow consumer; over gRPC or with credits 6 s of deadline",
        }
    }
}

/// What the stream does as the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It is open, and nothing flows.
    Idle,
    /// Messages flow.
    MidStream,
    /// Its client cancels.
    Canceling,
}

/// One cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) wire: Wire,
    pub(crate) fault: Fault,
    pub(crate) mode: Mode,
    pub(crate) moment: Moment,
}

pub(crate) const FAULTS: [Fault; 6] =
    [Fault::Kill, Fault::Stop, Fault::Blackhole, Fault::Reset, Fault::Refused, Fault::SlowReader];
pub(crate) const MODES: [Mode; 3] = [Mode::Client, Mode::Server, Mode::Bidi];
pub(crate) const MOMENTS: [Moment; 3] = [Moment::Idle, Moment::MidStream, Moment::Canceling];

/// Every cell.
pub(crate) fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for wire in Wire::ALL {
        for fault in FAULTS {
            for mode in MODES {
                cells.extend(MOMENTS.map(|moment| Cell { wire, fault, mode, moment }));
            }
        }
    }
    cells
}

impl Cell {
    pub(crate) fn name(&self) -> String {
        format!("{} {:?} {:?} {:?}", self.wire.name(), self.fault, self.mode, self.moment)
    }

    /// What the client sends and asks for.
    pub(crate) fn word(&self) -> &'static str {
        match (self.fault, self.moment) {
            (Fault::SlowReader, _) => "flood",
            (_, Moment::Idle) => "idle",
            _ => "flow",
        }
    }

    /// The client's deadline in seconds: far away where the fault itself must be noticed.
    pub(crate) fn deadline(&self) -> u64 {
        match self.fault {
            Fault::Stop => 6,
            // Nothing is sent that could fail.
            _ if self.mode == Mode::Client && self.moment == Moment::Idle => 6,
            Fault::SlowReader if self.wire.waits_for_readers() => 6,
            _ => 300,
        }
    }

    /// Services whose handlers must end, the first one first, beside the client A.
    pub(crate) fn services(&self) -> &'static [&'static str] {
        match self.fault {
            // A cancel may overtake its stream.
            Fault::Refused if self.moment == Moment::Canceling => &[],
            Fault::Refused => &["B"],
            Fault::Kill => &["B", "D", "E"],
            _ => &["B", "C", "D", "E"],
        }
    }

    /// What the end of `service` may be.
    pub(crate) fn expected(&self, service: &str) -> &'static [End] {
        let rule = RULES.iter().find(|rule| rule.services.contains(service) && (rule.when)(self));
        rule.map_or(&[], |rule| rule.ends)
    }
}

/// A code, or any if there is none, and a part of the text.
pub(crate) type End = (Option<i64>, &'static str);

/// Where a rule applies, and the ends that it allows.
struct Rule {
    /// Services, by their letters.
    services: &'static str,
    when: fn(&Cell) -> bool,
    ends: &'static [End],
}

const fn code(code: i64) -> End {
    (Some(code), "")
}

/// A handler that waits for its context alone sees the deadline that came with the stream, if it passes before a cancel comes.
const OWN_DEADLINE: End = (None, "context deadline exceeded");

const fn is_client_idle(cell: &Cell) -> bool {
    matches!((cell.mode, cell.moment), (Mode::Client, Moment::Idle))
}

const fn is_canceling(cell: &Cell) -> bool {
    matches!(cell.moment, Moment::Canceling)
}

/// The first rule that applies counts. Over gRPC an end has the code of TTHeader Streaming, unless its cause came before the
/// server had announced that it reads them (then the status: 1 canceled, 4 deadline), or a handler returned it (13).
const RULES: &[Rule] = &[
    // Whether the dial fails or the deadline passes first, the client sees as its stream ends.
    Rule {
        services: "A",
        when: |cell| cell.fault == Fault::Refused && is_client_idle(cell),
        ends: &[(Some(12001), "refused"), (Some(13), "refused"), code(12015)],
    },
    Rule {
        services: "A",
        when: |cell| cell.fault == Fault::Refused && is_canceling(cell),
        ends: &[code(12007), (Some(12001), "refused"), (Some(13), "refused")],
    },
    Rule {
        services: "A",
        when: |cell| cell.fault == Fault::Refused && cell.wire == Wire::Grpc,
        ends: &[(Some(13), "refused")],
    },
    Rule { services: "A", when: |cell| cell.fault == Fault::Refused, ends: &[(Some(12001), "refused")] },
    Rule { services: "B", when: |cell| cell.fault == Fault::Refused, ends: &[(None, "refused")] },
    // The cancel and the fault are on their way at the same time: each hop reports the one that comes first.
    Rule {
        services: "A",
        when: is_canceling,
        ends: &[code(12007), (Some(12001), "code=12006"), (Some(13), "connection error")],
    },
    Rule {
        services: "BCDE",
        when: |cell| is_canceling(cell) && cell.fault == Fault::SlowReader,
        ends: &[code(12007), code(12901), (Some(12001), "code=12901"), code(1)],
    },
    Rule {
        services: "BCDE",
        when: |cell| is_canceling(cell) && cell.fault == Fault::Stop,
        ends: &[code(12007), code(1)],
    },
    Rule { services: "B", when: is_canceling, ends: &[code(12007), code(12006), code(1)] },
    Rule { services: "CDE", when: is_canceling, ends: &[code(12007), code(12013), code(12006), code(1)] },
    Rule {
        services: "ABCDE",
        when: |cell| {
            cell.fault == Fault::Stop || (cell.fault == Fault::SlowReader && cell.wire.waits_for_readers())
        },
        ends: &[code(12015), code(4), code(1), OWN_DEADLINE],
    },
    Rule {
        services: "ABC",
        when: |cell| cell.fault == Fault::SlowReader && cell.mode == Mode::Client,
        ends: &[(Some(12001), "code=12901")],
    },
    Rule { services: "ABCDE", when: |cell| cell.fault == Fault::SlowReader, ends: &[code(12901)] },
    // Kill, blackhole and reset.
    Rule { services: "A", when: is_client_idle, ends: &[code(12015), code(4)] },
    Rule { services: "B", when: is_client_idle, ends: &[code(12015), code(12006), code(4), code(1)] },
    // The deadline travels with the stream.
    Rule {
        services: "CDE",
        when: is_client_idle,
        ends: &[code(12013), code(12006), code(12015), code(4), code(1), OWN_DEADLINE],
    },
    Rule { services: "A", when: |cell| cell.wire == Wire::Grpc, ends: &[(Some(13), "connection error")] },
    Rule { services: "A", when: |_| true, ends: &[(Some(12001), "code=12006")] },
    Rule { services: "B", when: |_| true, ends: &[code(12006)] },
    // Its connections above and below are lost at the same time.
    Rule { services: "C", when: |_| true, ends: &[code(12013), code(12006)] },
    // Nothing is answered before the end of a client stream.
    Rule {
        services: "DE",
        when: |cell| cell.wire == Wire::Grpc && cell.mode == Mode::Client,
        ends: &[code(12013), code(1)],
    },
    Rule { services: "DE", when: |_| true, ends: &[code(12013)] },
];
