//! The columns and values of the table of stream ends. Knows no connection, so that the same rows can be
//! played on any two peers.
#![allow(dead_code, reason = "each user of the table takes its own columns")]

pub(crate) mod ends;
pub(crate) mod rows;

use kerrors::{ErrorKind, Side};

/// The streaming direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The server: header, one request and trailer leave the client at once.
    Down,
    /// The client; the server sends one response, as it returns.
    Up,
    /// Both.
    Bidi,
}

/// The state of the stream when its end begins. Received messages are not taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The client has opened the stream; if the end begins on the client or a proxy, nothing has arrived.
    Fresh,
    /// The server has sent its header; no message has passed except a unary request.
    Answered,
    /// The streaming side has sent two messages.
    Flowing,
    /// The same, and the client has closed its direction.
    HalfClosed,
    /// As `Flowing`; then the handler has returned, and its trailer is in flight.
    Finishing,
}

/// The cause that ends the stream, or tries to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The client cancels.
    Cancel,
    /// The client cancels with a cause: "user pressed stop".
    Cause,
    /// The client's deadline of 100 ms passes.
    Deadline,
    /// A Recv of the client times out after 100 ms.
    RecvTimeout,
    /// The same, and the stream is to stay usable.
    RecvTimeoutKeep,
    /// The client is ServiceB, and ServiceA cancels the stream under whose handler this one was opened.
    Upstream,
    /// The same, and the connection from ServiceA is lost.
    UpstreamLost,
    /// The same, and ServiceB's handler returns.
    UpstreamReturned,
    /// The client is ServiceB, and a gRPC caller cancels its handler: "grpc: canceled".
    Foreign,
    /// The client drops its handle.
    Release,
    /// The handler returns.
    Return,
    /// The handler ends with biz error 404 "biz says no" {"k":"v"}.
    ReturnBiz,
    /// The handler ends with "handler failed".
    ReturnError,
    /// The connection is lost.
    Lost,
    /// The client has seen the end, but not taken the messages before it; then it cancels.
    LateCancel,
    /// The same, and its deadline passes.
    LateDeadline,
    /// The same, and the connection is lost.
    LateLost,
    /// Invalid bytes arrive at one end.
    GarbageTo(Side),
    /// A proxy sends an Rst frame to one end: 12009 "gateway says no", path Gateway.
    RstTo(Side),
    /// The same to both ends.
    RstToBoth,
    /// The same to the server's end, and the handler returns without an error.
    RstThenReturn,
    /// The same to the client's end, and the server sends two more messages.
    RstThenData,
    /// An Rst frame without a payload, and without a path.
    BareRstTo(Side),
    /// An Rst frame with an invalid payload.
    OddRstTo(Side),
    /// A second header frame of a stream.
    HeaderTo(Side),
    /// A data frame that violates the protocol: before the header, or after the trailer.
    DataTo(Side),
    /// A frame of type 9.
    UnknownTo(Side),
    /// A Meta frame.
    MetaTo(Side),
    /// The trailer of the other end holds an exception: 6 "peer failed".
    TrailerTo(Side),
    /// The trailer of the other end has an invalid payload.
    OddTrailerTo(Side),
    /// The server's trailer has a biz error whose extra is invalid JSON.
    OddBiz,
    /// One end is a slow consumer: messages arrive and it takes none.
    Slow(Side),
    /// A Recv of the handler times out after 100 ms.
    HandlerRecvTimeout,
    /// A Send of one end times out after 100 ms.
    SendTimeout(Side),
    /// The idle timeout of one end passes: no message for 100 ms.
    Idle(Side),
    /// The server, ServiceB, ends all streams as it shuts down.
    EndAll,
    /// The server runs the largest number of handlers.
    Refused,
    /// The server is draining in a graceful shutdown.
    Draining,
}

/// The outcome that one end sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It never saw the stream.
    Unaware,
    /// The stream continues.
    Live,
    /// It has dropped its handle.
    Gone,
    /// Recv returns the clean end, Send that the stream is closed.
    Clean,
    /// Send and Recv return this biz error.
    Biz(&'static str),
    /// Send and Recv return this error.
    Error(SeenError),
    /// Recv returns this error, the stream continues.
    RecvError(SeenError),
}

/// An error, column by column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenError {
    pub(crate) code: i32,
    pub(crate) kind: ErrorKind,
    pub(crate) side: Option<Side>,
    /// As it is printed: `ServiceA -> ServiceB`.
    pub(crate) path: &'static str,
    pub(crate) text: &'static str,
}

impl SeenError {
    /// Returns the whole error text.
    pub(crate) fn sentence(&self) -> String {
        let side = match self.side {
            Some(Side::Client) => "[client-side stream] ",
            Some(Side::Server) => "[server-side stream] ",
            None => "",
        };
        let path =
            if self.path.is_empty() { String::new() } else { format!("[canceled path: {}] ", self.path) };
        format!("[ttstream error, code={}] {side}{path}{}", self.code, self.text)
    }
}

/// One row: the state of the stream, the outcomes of both ends, the frames that each has sent in the end, and
/// the number of messages that each end could still take before its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) mode: Mode,
    pub(crate) state: State,
    pub(crate) client: End,
    pub(crate) server: End,
    /// H header, D data, T trailer, R Rst.
    pub(crate) client_sends: &'static str,
    pub(crate) server_sends: &'static str,
    pub(crate) left: [usize; 2],
}

pub(crate) const fn row(
    (mode, state): (Mode, State),
    (client, server): (End, End),
    (client_sends, server_sends): (&'static str, &'static str),
    left: [usize; 2],
) -> Row {
    Row { mode, state, client, server, client_sends, server_sends, left }
}
