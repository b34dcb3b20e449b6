//! The errors that an end can see, the cells of the table: code, kind, side, path and text.

use kerrors::{ErrorKind, Side};

use super::{End, SeenError};

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

/// Returns an error that arises on the client.
const fn here(code: i32, kind: ErrorKind, text: &'static str) -> End {
    End::Error(SeenError { code, kind, side: Some(Side::Client), path: "", text })
}

/// Returns an error that arises on the server.
const fn there(code: i32, kind: ErrorKind, text: &'static str) -> End {
    End::Error(SeenError { code, kind, side: Some(Side::Server), path: "", text })
}

/// Returns the error of an Rst frame received by `side`.
const fn by_rst(side: Side, code: i32, path: &'static str, text: &'static str) -> End {
    End::Error(SeenError { code, kind: ErrorKind::Canceled, side: Some(side), path, text })
}

pub(crate) const CANCELED_HERE: End = here(12007, ErrorKind::Canceled, CANCELED);
pub(crate) const CANCELED_BY_A: End = by_rst(Side::Server, 12007, "ServiceA", CANCELED);
pub(crate) const CAUSE_HERE: End = here(12008, ErrorKind::Canceled, "user pressed stop");
pub(crate) const CAUSE_BY_A: End = by_rst(Side::Server, 12008, "ServiceA", "user pressed stop");
pub(crate) const DEADLINE_HERE: End = here(12015, ErrorKind::Timeout, DEADLINE);
pub(crate) const DEADLINE_OF_A: End = by_rst(Side::Server, 12015, "ServiceA", DEADLINE);
pub(crate) const RECV_TIMEOUT_HERE: End = here(12014, ErrorKind::Timeout, RECV);
pub(crate) const RECV_TIMEOUT_OF_A: End = by_rst(Side::Server, 12014, "ServiceA", RECV);
pub(crate) const RECV_TIMEOUT_KEPT: End = here(12014, ErrorKind::Timeout, RECV_KEEP);

pub(crate) const UPSTREAM_HERE: End = by_rst(Side::Client, 12007, "ServiceA", CANCELED);
pub(crate) const UPSTREAM_BY_B: End = by_rst(Side::Server, 12007, "ServiceA -> ServiceB", CANCELED);
pub(crate) const UPSTREAM_LOST_HERE: End = here(12013, ErrorKind::Canceled, LOST);
pub(crate) const UPSTREAM_LOST_BY_B: End = by_rst(Side::Server, 12013, "ServiceB", LOST);
pub(crate) const UPSTREAM_RETURNED_HERE: End = here(12012, ErrorKind::Canceled, RETURNED_TEXT);
pub(crate) const UPSTREAM_RETURNED_BY_B: End = by_rst(Side::Server, 12012, "ServiceB", RETURNED_TEXT);
pub(crate) const FOREIGN_HERE: End = here(12011, ErrorKind::Canceled, "grpc: canceled");
pub(crate) const FOREIGN_BY_B: End =
    by_rst(Side::Server, 12011, "non-ttstream path -> ServiceB", "grpc: canceled");

pub(crate) const RETURNED: End = by_rst(Side::Server, 12012, "", RETURNED_TEXT);
pub(crate) const BIZ: End = End::Biz("biz error: code=404, msg=biz says no");
pub(crate) const FAILED: End = here(12001, ErrorKind::Application, "biz error: handler failed");
pub(crate) const LOST_HERE: End = here(12006, ErrorKind::Connection, "transport is closing");
pub(crate) const LOST_BELOW: End =
    End::Error(SeenError { code: 12013, kind: ErrorKind::Canceled, side: None, path: "", text: LOST });
pub(crate) const GARBAGE_HERE: End =
    here(12004, ErrorKind::Protocol, "no TTHeader frame: magic is 0x2f31, not 0x1000");

const GATEWAY: &str = "gateway says no";
pub(crate) const GATEWAY_HERE: End = by_rst(Side::Client, 12009, "Gateway", GATEWAY);
pub(crate) const GATEWAY_THERE: End = by_rst(Side::Server, 12009, "Gateway", GATEWAY);
pub(crate) const GATEWAY_BY_A: End = by_rst(Side::Server, 12009, "Gateway -> ServiceA", GATEWAY);
/// A handler whose stream was reset by a proxy returns the error that it saw.
pub(crate) const GATEWAY_FAILED: End = here(
    12001,
    ErrorKind::Application,
    "biz error: [ttstream error, code=12009] [server-side stream] [canceled path: Gateway] gateway says no",
);
pub(crate) const RST_HERE: End = by_rst(Side::Client, 13, "", "rst");
pub(crate) const RST_THERE: End = by_rst(Side::Server, 13, "", "rst");
pub(crate) const RST_FAILED: End =
    here(12001, ErrorKind::Application, "biz error: [ttstream error, code=13] [server-side stream] rst");

pub(crate) const HEADER_HERE: End = here(12002, ErrorKind::Protocol, HEADER_TWICE);
pub(crate) const HEADER_BY_A: End = by_rst(Side::Server, 12002, "ServiceA", HEADER_TWICE);
pub(crate) const UNKNOWN_HERE: End = here(12004, ErrorKind::Protocol, UNKNOWN);
pub(crate) const UNKNOWN_BY_A: End = by_rst(Side::Server, 12004, "ServiceA", UNKNOWN);
pub(crate) const UNKNOWN_THERE: End = there(12004, ErrorKind::Protocol, UNKNOWN);
pub(crate) const UNKNOWN_BY_RST: End = by_rst(Side::Client, 12004, "", UNKNOWN);
pub(crate) const SLOW_HERE: End = here(12901, ErrorKind::Refused, SLOW);
pub(crate) const SLOW_BY_A: End = by_rst(Side::Server, 12901, "ServiceA", SLOW);
pub(crate) const SLOW_THERE: End = there(12901, ErrorKind::Refused, SLOW);
pub(crate) const SLOW_BY_RST: End = by_rst(Side::Client, 12901, "", SLOW);
pub(crate) const REFUSED: End = by_rst(Side::Client, 12900, "", REFUSED_TEXT);

pub(crate) const DRAINING: End = by_rst(Side::Client, 12903, "", "server is shutting down: retry on another");
pub(crate) const ENDED_BY_B: End = by_rst(Side::Client, 12013, "ServiceB", LOST);

const SEND: &str = "stream Send timeout, timeout=100ms";
const IDLE: &str = "stream idle timeout, timeout=100ms";
pub(crate) const SEND_TIMEOUT_HERE: End = here(12904, ErrorKind::Timeout, SEND);
pub(crate) const SEND_TIMEOUT_OF_A: End = by_rst(Side::Server, 12904, "ServiceA", SEND);
pub(crate) const SEND_TIMEOUT_THERE: End = there(12904, ErrorKind::Timeout, SEND);
pub(crate) const SEND_TIMEOUT_BY_RST: End = by_rst(Side::Client, 12904, "", SEND);
pub(crate) const IDLE_HERE: End = here(12905, ErrorKind::Timeout, IDLE);
pub(crate) const IDLE_OF_A: End = by_rst(Side::Server, 12905, "ServiceA", IDLE);
pub(crate) const IDLE_THERE: End = there(12905, ErrorKind::Timeout, IDLE);
pub(crate) const IDLE_BY_RST: End = by_rst(Side::Client, 12905, "", IDLE);
pub(crate) const RECV_TIMEOUT_THERE: End = there(12014, ErrorKind::Timeout, RECV);
pub(crate) const RECV_TIMEOUT_BY_RST: End = by_rst(Side::Client, 12014, "", RECV);

const NO_EXCEPTION: &str = "no thrift message: version is 0x6f64, not 0x8001";
pub(crate) const PEER_FAILED: End = here(12001, ErrorKind::Application, "peer failed");
pub(crate) const ODD_TRAILER: End = here(12004, ErrorKind::Protocol, NO_EXCEPTION);
pub(crate) const ODD_BIZ: End =
    here(12003, ErrorKind::Protocol, "malformed header info, extra: expected value at line 1 column 1");
pub(crate) const REQUESTS_FAILED: End = End::RecvError(SeenError {
    code: 12001,
    kind: ErrorKind::Application,
    side: Some(Side::Server),
    path: "",
    text: "peer failed",
});
pub(crate) const ODD_REQUESTS: End = End::RecvError(SeenError {
    code: 12004,
    kind: ErrorKind::Protocol,
    side: Some(Side::Server),
    path: "",
    text: NO_EXCEPTION,
});
