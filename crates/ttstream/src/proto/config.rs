//! The windows, buffers and timeouts of one connection, each with its default.

use std::time::Duration;

use kerrors::RecvTimeout;
use ttheader_codec::Limits;

/// Limits of one connection. The defaults are safe towards peers that are not trusted.
///
/// ```
/// # use std::time::Duration;
/// # use ttstream::proto::Config;
/// let config = Config::default().max_concurrent_streams(100).stream_idle_timeout(Duration::from_secs(60));
/// assert_eq!(config.max_concurrent_streams, 100);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Limits of a frame. Default: 16 MiB per frame, 1,024 pairs per header.
    pub limits: Limits,
    /// Server: handlers that may run at the same time on the connection. A handler counts until it returns,
    /// even if its stream has ended. A stream beyond the limit is answered with an Rst frame of code 12900.
    /// Default: 1,024.
    pub max_concurrent_streams: usize,
    /// Flow control: bytes received on one stream and not yet taken, each message charged at least 256
    /// bytes. While a stream is at its window the connection is not read. 0 counts as 1. Default: 1 MiB.
    pub stream_receive_window: usize,
    /// Flow control: the same for all streams of the connection together. Default: 16 MiB.
    pub receive_window: usize,
    /// How long a stream at its window may keep a connection with other streams from being read. The stream
    /// then ends with code 12901. Default: 500 ms.
    pub slow_consumer_timeout: Duration,
    /// The same for a stream that is the only one of its connection: nothing else waits for it, and TCP's
    /// flow control acts on it alone. Default: 30 s.
    pub slow_consumer_timeout_exclusive: Duration,
    /// Backpressure: bytes of one stream queued to be written before Send waits, each message charged at
    /// least 256 bytes. Default: 64 KiB.
    pub stream_send_buffer: usize,
    /// Backpressure: the same for all streams of the connection together; open waits too. Default: 1 MiB.
    pub send_buffer: usize,
    /// Server: how long each Recv of a handler may wait. A client sets this per call. Default: no limit.
    pub recv_timeout: Option<RecvTimeout>,
    /// How long a stream may pass no message in either direction, measured to within a quarter. The stream
    /// then ends with code 12905. Default: no limit.
    pub stream_idle_timeout: Option<Duration>,
    /// How long the socket may accept no bytes while data is queued. The connection is then closed. Default:
    /// 10 s.
    pub write_timeout: Duration,
    /// How long to poll the socket after each read before waiting for it. Trades CPU for latency; other tasks
    /// that are ready still run. Default: zero (off).
    pub busy_poll: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_concurrent_streams: 1024,
            stream_receive_window: 1024 * 1024,
            receive_window: 16 * 1024 * 1024,
            slow_consumer_timeout: Duration::from_millis(500),
            slow_consumer_timeout_exclusive: Duration::from_secs(30),
            stream_send_buffer: 64 * 1024,
            send_buffer: 1024 * 1024,
            recv_timeout: None,
            stream_idle_timeout: None,
            write_timeout: Duration::from_secs(10),
            busy_poll: Duration::ZERO,
        }
    }
}

/// Setters of plain fields.
macro_rules! setters {
    ($($name:ident: $type:ty,)*) => {
        impl Config {
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

setters! {
    limits: Limits,
    max_concurrent_streams: usize,
    stream_receive_window: usize,
    receive_window: usize,
    slow_consumer_timeout: Duration,
    slow_consumer_timeout_exclusive: Duration,
    stream_send_buffer: usize,
    send_buffer: usize,
    write_timeout: Duration,
    busy_poll: Duration,
}

impl Config {
    /// Sets [`recv_timeout`](Self#structfield.recv_timeout); `None` for no limit.
    #[must_use]
    pub fn recv_timeout(mut self, timeout: impl Into<Option<RecvTimeout>>) -> Self {
        self.recv_timeout = timeout.into();
        self
    }

    /// Sets [`stream_idle_timeout`](Self#structfield.stream_idle_timeout); `None` for no limit.
    #[must_use]
    pub fn stream_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.stream_idle_timeout = timeout.into();
        self
    }
}
