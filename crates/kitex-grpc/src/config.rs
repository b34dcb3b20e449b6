//! The limits of one connection, each with its default.

use std::time::Duration;

use crate::compression::Compression;

/// Limits of one gRPC connection. The defaults are safe for untrusted peers.
///
/// ```
/// # use kitex_grpc::GrpcConfig;
/// let config = GrpcConfig::default().max_message_size(1024 * 1024);
/// assert_eq!(config.max_message_size, 1024 * 1024);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GrpcConfig {
    /// The largest message in bytes, in both directions. A larger one is refused with status 8
    /// (RESOURCE_EXHAUSTED) before it is buffered. Default: 16 MiB.
    pub max_message_size: usize,
    /// The largest header list in bytes that is accepted or sent, counted as HTTP/2 does. Default: 256 KiB.
    pub max_header_list_size: u32,
    /// Flow control: bytes that one stream may hold received but not taken. Default: 256 KiB.
    pub stream_receive_window: u32,
    /// Flow control: the same for all streams of the connection together. Below `stream_receive_window` times
    /// the number of streams, slow consumers block the other streams. Default: 256 MiB.
    pub receive_window: u32,
    /// Server: the rate of streams that the peer may reset per second, with a burst of ten times as many;
    /// beyond that the connection is closed with ENHANCE_YOUR_CALM. Default: 2,000.
    pub max_resets_per_second: u32,
    /// Client: compresses requests, and asks the server to compress its responses in the same way. A server
    /// compresses for a client that does so, whatever this says; compressed messages are accepted from all. Default:
    /// none.
    pub compression: Option<Compression>,
    /// Server: which status what a handler ends with becomes. Default: Kitex's.
    pub status_style: StatusStyle,
    /// The time for which the socket may accept no bytes while data is queued (backpressure by the peer). The
    /// connection is then closed. Default: 10 s.
    pub write_timeout: Duration,
    /// The longest time that a stream may pass no message, either way; then it ends with status 4, code 12905. Default:
    /// none.
    pub stream_idle_timeout: Option<Duration>,
    /// Keepalive: the time without a byte from the peer, while a stream is open, after which a PING is sent. Servers of
    /// Kitex and grpc-go close a connection whose client sends PINGs less than 5 min apart, unless they are configured
    /// otherwise. Default: none, no PING is sent.
    pub keepalive_interval: Option<Duration>,
    /// Keepalive: the time that the peer may take to answer a PING. The connection is then closed, and its streams end
    /// as when it is lost, 12006. Default: 20 s.
    pub keepalive_timeout: Duration,
    /// Whether code, path and cause of a cancel go from a client of this crate to a server of this crate, where both
    /// have this set, by a frame that HTTP/2 leaves for extensions. Other peers are never sent one. Default: true.
    pub cancel_origin: bool,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            max_message_size: 16 * 1024 * 1024,
            max_header_list_size: 256 * 1024,
            stream_receive_window: 256 * 1024,
            receive_window: 256 * 1024 * 1024,
            max_resets_per_second: 2000,
            compression: None,
            status_style: StatusStyle::default(),
            write_timeout: Duration::from_secs(10),
            stream_idle_timeout: None,
            keepalive_interval: None,
            keepalive_timeout: Duration::from_secs(20),
            cancel_origin: true,
        }
    }
}

/// Which status what a handler ends with becomes. Business errors and panics are the same in both.
///
/// | the handler, or the server | `Kitex` | `Grpc` |
/// |---|---|---|
/// | returns a status | its code, its text and ` [biz error]` | its code and its text |
/// | returns another error | 13, its text and ` [biz error]` | 2 and its text; 1 for a cancel, 4 for a timeout |
/// | has no such method | 1 | 12 |
/// | has no such service | 20 | 12 |
/// | cannot decode the message | 7 | 13 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusStyle {
    /// As Kitex v0.16.3: its clients compare these codes and texts, also those of services further up the chain.
    #[default]
    Kitex,
    /// As grpc-go, for clients that are none of Kitex: retries, proxies and probes know what 12 means, and read 1 as
    /// a cancel of their own.
    Grpc,
}

/// Setters of plain fields.
macro_rules! setters {
    ($($name:ident: $type:ty,)*) => {
        impl GrpcConfig {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )*
        }
    };
}

impl GrpcConfig {
    /// Sets [`stream_idle_timeout`](Self#structfield.stream_idle_timeout); `None` for no limit.
    #[must_use]
    pub fn stream_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.stream_idle_timeout = timeout.into();
        self
    }

    /// Sets [`keepalive_interval`](Self#structfield.keepalive_interval); `None` for no PING.
    #[must_use]
    pub fn keepalive_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.keepalive_interval = interval.into();
        self
    }
}

setters! {
    max_message_size: usize,
    max_header_list_size: u32,
    stream_receive_window: u32,
    receive_window: u32,
    max_resets_per_second: u32,
    compression: Option<Compression>,
    status_style: StatusStyle,
    write_timeout: Duration,
    keepalive_timeout: Duration,
    cancel_origin: bool,
}

/// What observers know this transport by: Kitex's name.
pub(crate) const PROTOCOL: &str = "GRPC";

/// Backpressure: the bytes of a stream that are queued before Send waits, unless a single message is longer.
pub(crate) const MAX_SEND_BUFFER: usize = 64 * 1024;
