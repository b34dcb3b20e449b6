//! How streams end: the table's columns and the words in its cells. Knows no connection, so that the
//! same rows can be put to any two peers.
#![allow(dead_code, reason = "each user of the table takes its own columns")]

pub(crate) mod ends;
pub(crate) mod rows;

use kerrors::{Kind, Side};

/// Who streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The server: header, one request and trailer leave the client at once.
    Down,
    /// The client; the server answers once, as it returns.
    Up,
    /// Both.
    Bidi,
}

/// How far the stream is when its end begins. Messages that arrived are not taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The client has opened; for an end that begins at the client or between, nothing has arrived.
    Fresh,
    /// The server has answered with its header, no message has passed but a unary request.
    Answered,
    /// Who streams has sent two messages.
    Flowing,
    /// The same, and the client has closed its direction.
    HalfClosed,
    /// As `Flowing`; then the handler has returned, and its trailer is under way.
    Finishing,
}

/// What ends the stream, or tries to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The client cancels.
    Cancel,
    /// The client cancels and says why: "user pressed stop".
    Cause,
    /// The client's deadline of 100 ms passes.
    Deadline,
    /// A Recv of the client's waits for 100 ms.
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
    /// Bytes that are no frame arrive at one end.
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
    /// An Rst frame whose payload is no exception.
    OddRstTo(Side),
    /// A header frame for a stream that has one.
    HeaderTo(Side),
    /// A data frame that no peer should send: before the header, or after the trailer.
    DataTo(Side),
    /// A frame of type 9.
    UnknownTo(Side),
    /// A Meta frame.
    MetaTo(Side),
    /// The trailer of the other end holds an exception: 6 "peer failed".
    TrailerTo(Side),
    /// The trailer of the other end holds bytes that are no exception.
    OddTrailerTo(Side),
    /// The server's trailer holds a biz error whose extra is no JSON.
    OddBiz,
    /// Messages arrive and one end takes none.
    Slow(Side),
    /// A Recv of the handler's waits for 100 ms.
    HandlerRecvTimeout,
    /// A Send of one end's could not queue its message within 100 ms.
    SendTimeout(Side),
    /// No message has passed for 100 ms, and one end is not to bear that.
    Idle(Side),
    /// The server, ServiceB, ends everything as it shuts down.
    EndAll,
    /// The server runs as many handlers as it may.
    Refused,
    /// The server is shutting down.
    Draining,
}

/// What one end sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It never learned that there is a stream.
    Unaware,
    /// The stream goes on.
    Live,
    /// It holds no handle any more.
    Gone,
    /// Recv says that nothing comes any more, Send that it is closed.
    Clean,
    /// Send and Recv say this biz error.
    Biz(&'static str),
    /// Send and Recv say this error.
    Error(Told),
    /// Recv says this error, the stream goes on.
    RecvError(Told),
}

/// An error, column by column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) kind: Kind,
    pub(crate) side: Option<Side>,
    /// As it is printed: `ServiceA -> ServiceB`.
    pub(crate) path: &'static str,
    pub(crate) text: &'static str,
}

impl Told {
    /// The whole sentence.
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

/// One row: where the stream is, what both ends see, which frames each has sent when all is over, and
/// how many messages each end could still take before its end.
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
