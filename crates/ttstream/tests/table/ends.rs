//! The cells of the table that say what an end sees, each with its code, kind, side, path and words.

use kerrors::{Kind, Side};

use super::{End, Told};

const CANCELED: &str = "user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";
const DEADLINE: &str = "stream timeout, timeout in ctx: 100ms";
const RECV: &str = "stream Recv timeout, timeout config={Timeout:100ms DisableCancelRemote:false}";
const RECV_KEEP: &str = "stream Recv timeout, timeout config={Timeout:100ms DisableCancelRemote:true}";
const LOST: &str = "canceled by connection closed";
const RETURNED_TEXT: &str = "canceled by business handler returning";
const HEADER_TWICE: &str = "stream[1] already set header";
const UNKNOWN: &str = "unexpected frame type";
const SLOW: &str = "receive buffer is full: the consumer is slower than the sender";
const REFUSED_TEXT: &str =
    "too many streams or handlers on this connection: retry later or on another connection";

/// An error that arises at the client.
const fn here(code: i32, kind: Kind, text: &'static str) -> End {
    End::Error(Told { code, kind, side: Some(Side::Client), path: "", text })
}

/// An error that arises at the server.
const fn there(code: i32, kind: Kind, text: &'static str) -> End {
    End::Error(Told { code, kind, side: Some(Side::Server), path: "", text })
}

/// What an Rst frame brings to `side`.
const fn told(side: Side, code: i32, path: &'static str, text: &'static str) -> End {
    End::Error(Told { code, kind: Kind::Canceled, side: Some(side), path, text })
}

pub(crate) const CANCELED_HERE: End = here(12007, Kind::Canceled, CANCELED);
pub(crate) const CANCELED_BY_A: End = told(Side::Server, 12007, "ServiceA", CANCELED);
pub(crate) const CAUSE_HERE: End = here(12008, Kind::Canceled, "user pressed stop");
pub(crate) const CAUSE_BY_A: End = told(Side::Server, 12008, "ServiceA", "user pressed stop");
pub(crate) const DEADLINE_HERE: End = here(12015, Kind::Timeout, DEADLINE);
pub(crate) const DEADLINE_OF_A: End = told(Side::Server, 12015, "ServiceA", DEADLINE);
pub(crate) const RECV_TIMEOUT_HERE: End = here(12014, Kind::Timeout, RECV);
pub(crate) const RECV_TIMEOUT_OF_A: End = told(Side::Server, 12014, "ServiceA", RECV);
pub(crate) const RECV_TIMEOUT_KEPT: End = here(12014, Kind::Timeout, RECV_KEEP);

pub(crate) const UPSTREAM_HERE: End = told(Side::Client, 12007, "ServiceA", CANCELED);
pub(crate) const UPSTREAM_BY_B: End = told(Side::Server, 12007, "ServiceA -> ServiceB", CANCELED);
pub(crate) const UPSTREAM_LOST_HERE: End = here(12013, Kind::Canceled, LOST);
pub(crate) const UPSTREAM_LOST_BY_B: End = told(Side::Server, 12013, "ServiceB", LOST);
pub(crate) const UPSTREAM_RETURNED_HERE: End = here(12012, Kind::Canceled, RETURNED_TEXT);
pub(crate) const UPSTREAM_RETURNED_BY_B: End = told(Side::Server, 12012, "ServiceB", RETURNED_TEXT);
pub(crate) const FOREIGN_HERE: End = here(12011, Kind::Canceled, "grpc: canceled");
pub(crate) const FOREIGN_BY_B: End =
    told(Side::Server, 12011, "non-ttstream path -> ServiceB", "grpc: canceled");

pub(crate) const RETURNED: End = told(Side::Server, 12012, "", RETURNED_TEXT);
pub(crate) const BIZ: End = End::Biz("biz error: code=404, msg=biz says no");
pub(crate) const FAILED: End = here(12001, Kind::Application, "biz error: handler failed");
pub(crate) const LOST_HERE: End = here(12006, Kind::Protocol, "transport is closing");
pub(crate) const LOST_BELOW: End =
    End::Error(Told { code: 12013, kind: Kind::Canceled, side: None, path: "", text: LOST });
pub(crate) const GARBAGE_HERE: End =
    here(12004, Kind::Protocol, "no TTHeader frame: magic is 0x2f31, not 0x1000");

const GATEWAY: &str = "gateway says no";
pub(crate) const GATEWAY_HERE: End = told(Side::Client, 12009, "Gateway", GATEWAY);
pub(crate) const GATEWAY_THERE: End = told(Side::Server, 12009, "Gateway", GATEWAY);
pub(crate) const GATEWAY_BY_A: End = told(Side::Server, 12009, "Gateway -> ServiceA", GATEWAY);
/// The handler whose stream a proxy has reset ends with the error that it saw.
pub(crate) const GATEWAY_FAILED: End = here(
    12001,
    Kind::Application,
    "biz error: [ttstream error, code=12009] [server-side stream] [canceled path: Gateway] gateway says no",
);
pub(crate) const RST_HERE: End = told(Side::Client, 13, "", "rst");
pub(crate) const RST_THERE: End = told(Side::Server, 13, "", "rst");
pub(crate) const RST_FAILED: End =
    here(12001, Kind::Application, "biz error: [ttstream error, code=13] [server-side stream] rst");

pub(crate) const HEADER_HERE: End = here(12002, Kind::Protocol, HEADER_TWICE);
pub(crate) const HEADER_BY_A: End = told(Side::Server, 12002, "ServiceA", HEADER_TWICE);
pub(crate) const UNKNOWN_HERE: End = here(12004, Kind::Protocol, UNKNOWN);
pub(crate) const UNKNOWN_BY_A: End = told(Side::Server, 12004, "ServiceA", UNKNOWN);
pub(crate) const UNKNOWN_THERE: End = there(12004, Kind::Protocol, UNKNOWN);
pub(crate) const UNKNOWN_TOLD: End = told(Side::Client, 12004, "", UNKNOWN);
pub(crate) const SLOW_HERE: End = here(12901, Kind::Refused, SLOW);
pub(crate) const SLOW_BY_A: End = told(Side::Server, 12901, "ServiceA", SLOW);
pub(crate) const SLOW_THERE: End = there(12901, Kind::Refused, SLOW);
pub(crate) const SLOW_TOLD: End = told(Side::Client, 12901, "", SLOW);
pub(crate) const REFUSED: End = told(Side::Client, 12900, "", REFUSED_TEXT);

pub(crate) const DRAINING: End = told(Side::Client, 12903, "", "server is shutting down: retry on another");
pub(crate) const ENDED_BY_B: End = told(Side::Client, 12013, "ServiceB", LOST);

const SEND: &str = "stream Send timeout, timeout=100ms";
const IDLE: &str = "stream idle timeout, timeout=100ms";
pub(crate) const SEND_TIMEOUT_HERE: End = here(12904, Kind::Timeout, SEND);
pub(crate) const SEND_TIMEOUT_OF_A: End = told(Side::Server, 12904, "ServiceA", SEND);
pub(crate) const SEND_TIMEOUT_THERE: End = there(12904, Kind::Timeout, SEND);
pub(crate) const SEND_TIMEOUT_TOLD: End = told(Side::Client, 12904, "", SEND);
pub(crate) const IDLE_HERE: End = here(12905, Kind::Timeout, IDLE);
pub(crate) const IDLE_OF_A: End = told(Side::Server, 12905, "ServiceA", IDLE);
pub(crate) const IDLE_THERE: End = there(12905, Kind::Timeout, IDLE);
pub(crate) const IDLE_TOLD: End = told(Side::Client, 12905, "", IDLE);
pub(crate) const RECV_TIMEOUT_THERE: End = there(12014, Kind::Timeout, RECV);
pub(crate) const RECV_TIMEOUT_TOLD: End = told(Side::Client, 12014, "", RECV);

const NO_EXCEPTION: &str = "no thrift message: version is 0x6f64, not 0x8001";
pub(crate) const PEER_FAILED: End = here(12001, Kind::Application, "peer failed");
pub(crate) const ODD_TRAILER: End = here(12004, Kind::Protocol, NO_EXCEPTION);
pub(crate) const ODD_BIZ: End =
    here(12003, Kind::Protocol, "malformed header info, extra: expected value at line 1 column 1");
pub(crate) const REQUESTS_FAILED: End = End::RecvError(Told {
    code: 12001,
    kind: Kind::Application,
    side: Some(Side::Server),
    path: "",
    text: "peer failed",
});
pub(crate) const ODD_REQUESTS: End = End::RecvError(Told {
    code: 12004,
    kind: Kind::Protocol,
    side: Some(Side::Server),
    path: "",
    text: NO_EXCEPTION,
});
