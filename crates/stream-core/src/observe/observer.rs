//! What users implement to watch calls, and what they are shown. Metrics and traces are built on it alone.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kerrors::{Error, Side};

use crate::call::CallKind;
use crate::cancel::Label;
use crate::io::Address;
use crate::{Extensions, Metadata, Metainfo, Method};

/// Watches the calls of a client or of a server: streams and ping-pong calls, over every transport.
///
/// [`start`](Self::start) is called once for each call, before anything of it is sent or routed. The returned
/// [`CallObserver`] receives the events of this call only, and can hold its state: a span, a timer.
///
/// Called by the tasks that make or serve calls, never by those that read and write sockets: the time that an observer
/// takes delays only its own call. A panic in `start` ends the call with code 12001; any other panic is logged and has
/// no effect.
///
/// ```
/// use std::time::Instant;
/// use stream_core::observe::{CallEnd, CallObserver, CallStart, Observer};
///
/// /// Prints how long each call took. A metrics library would record a histogram with these labels.
/// struct Durations;
///
/// struct Running {
///     labels: [String; 3],
///     started: Instant,
/// }
///
/// impl Observer for Durations {
///     fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
///         // A client may send any method name, so an unknown one must not become a label.
///         let method = call.method.map_or("unknown".to_owned(), |method| method.to_string());
///         let caller = call.caller.as_deref().unwrap_or("unknown").to_owned();
///         Some(Box::new(Running { labels: [caller, call.callee.to_string(), method], started: Instant::now() }))
///     }
/// }
///
/// impl CallObserver for Running {
///     fn finish(&self, end: &CallEnd<'_>) {
///         let status = end.error.map_or("ok", |error| error.kind().as_str());
///         println!("{:?} {status}: {:?}", self.labels, self.started.elapsed());
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A call starts. At a client nothing of it has been sent: metainfo added to [`CallStart::metainfo`] is sent with it.
    /// At a server the handler has not started: values added to [`CallStart::extensions`] are in the handler's context.
    /// Return `None` to receive no events of this call.
    fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>>;
}

/// Receives the events of one call, each once and in the order of the methods here: messages in the order in which
/// they are sent or received, [`finish`](Self::finish) once and last on every path. A call that could not be opened has no
/// other event. A call that is tried again, as [`Retry`](crate::client::Retry) says, is one call, which ends with its last
/// attempt. Sends and Recvs of a stream may be reported at the same time, by two tasks.
pub trait CallObserver: Send + Sync + 'static {
    /// The call has its connection. Called again when a call that was refused is tried again on another connection; its
    /// messages are then sent again too, but reported once.
    fn connected(&self, _connection: &Connected<'_>) {}

    /// Client: whether [`header`](Self::header) is to be called, asked at the start of the call. Each stream's header is
    /// copied for it, so a client whose observers all do without it has cheaper streams. Default: `true`.
    fn wants_header(&self) -> bool {
        true
    }

    /// Client: the header of the response was received. Not called if there was none.
    fn header(&self, _header: &Metadata) {}

    /// Client: whether [`meta`](Self::meta) is to be called, asked at the start of the call. It takes a lock for each message,
    /// so a client whose observers all do without it has cheaper messages. Default: `true`.
    fn wants_meta(&self) -> bool {
        true
    }

    /// Client: a meta frame of TTHeader Streaming was received, for example from a proxy. Reported at the next Recv; if
    /// more than eight have arrived before it, only the first eight.
    fn meta(&self, _strings: &Metadata, _payload: &[u8]) {}

    /// A message was passed to the connection: a request, a response, the arguments or the result of a ping-pong call.
    fn sent(&self, _message: &MessageEvent) {}

    /// A message was taken from the connection.
    fn received(&self, _message: &MessageEvent) {}

    /// A Send returned an error. If the stream has ended, `finish` follows; otherwise it continues.
    fn send_failed(&self, _error: &Error) {}

    /// A Recv returned an error. If the stream has ended, `finish` follows; otherwise it continues.
    fn recv_failed(&self, _error: &Error) {}

    /// The call has ended; no event follows. A client's stream ends when its handles return the end, a server's when
    /// its handler has returned.
    fn finish(&self, _end: &CallEnd<'_>) {}
}

/// The data of a call at its start, some of which an observer may change.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallStart<'a> {
    /// The side of the call that is observed.
    pub side: Side,
    /// Whether it is a stream or a ping-pong call.
    pub kind: CallKind,
    /// The protocol: `TTHeaderStreaming`, `TTHeader`, `Framed` or `GRPC`, as Kitex names them.
    pub protocol: &'static str,
    /// The method. `None` at a server that has no such method; then [`names`](Self::names) are those that the peer sent.
    pub method: Option<&'a Method>,
    /// The names of the service in the IDL and of the method, as the client sends them.
    pub names: (Cow<'a, str>, Cow<'a, str>),
    /// The name of the calling service: at a client its own name, `None` if it has none. At a server the peer's, if it
    /// was sent: by gRPC and TTHeader in the header, by TTHeader Streaming in the transient metainfo `service.name`, where
    /// observers for traces write it.
    pub caller: Option<Cow<'a, str>>,
    /// The name of the called service: at a server its own name.
    pub callee: Cow<'a, str>,
    /// Server: the address of the client.
    pub peer: Option<&'a Address>,
    /// Client: the stream under whose handler the call is made, if it is.
    pub parent: Option<Label>,
    /// The time left until the call's deadline.
    pub timeout: Option<Duration>,
    /// Client: headers set by the user. Server: every string received with the call, under its key on the wire.
    pub headers: &'a Metadata,
    /// The metainfo of the call. A client's observer may change what is sent, a server's what the handler gets. A server finds keys of traces by [`Metainfo::transient_folded`], since gRPC changes their case.
    pub metainfo: &'a mut Metainfo,
    /// Client: values of the call's context. Server: values of the handler's context, and of the contexts of the calls
    /// that the handler makes.
    pub extensions: &'a mut Extensions,
}

/// The connection of a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connected<'a> {
    /// The stream's name in this process, as in [`StreamInfo::label`](super::StreamInfo::label). `None` for ping-pong
    /// calls.
    pub stream: Option<Label>,
    /// The address of this end.
    pub local: &'a Address,
    /// The address of the other end.
    pub peer: &'a Address,
}

/// A message that was sent or received.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MessageEvent {
    /// Its encoded length, without headers.
    pub bytes: usize,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CallEnd<'a> {
    /// The error; `None` if the call succeeded. [`Error::kind`], [`Error::code`], [`Error::path`] and
    /// [`Error::message`] describe it, also for a cancel.
    pub error: Option<&'a Error>,
    /// Server: how its handler ended. `None` at a client, and if no handler has run.
    pub handler: Option<HandlerFate>,
}

/// How the handler of a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerFate {
    /// It returned, or panicked.
    Returned,
    /// Its future was dropped after a cancel, as its [`OnCancel`](crate::handler::OnCancel) policy has it, or with its
    /// runtime.
    Dropped,
}

/// Observers of one client or server.
#[derive(Clone, Default)]
pub struct Observers(Option<Arc<Vec<Arc<dyn Observer>>>>);

impl Observers {
    /// Returns the same observers and one more.
    #[must_use]
    pub fn with(&self, observer: impl Observer) -> Self {
        let known = self.iter().cloned();
        let observers = known.chain([Arc::new(observer) as Arc<dyn Observer>]).collect();
        Self(Some(Arc::new(observers)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Observer>> {
        self.0.iter().flat_map(|observers| observers.iter())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.iter().count())
    }
}
