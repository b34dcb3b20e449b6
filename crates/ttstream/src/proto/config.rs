//! The windows, buffers and timeouts of one connection, each with its default.

use std::time::Duration;

use kerrors::RecvTimeout;
use ttheader_codec::Limits;

/// Limits of one connection. The defaults are safe towards peers that are not trusted.
///
/// ```
/// # use std::time::Duration;
/// # use ttstream::proto::Config;
/// let config = Config::default().receive_window(1024 * 1024).stream_idle_timeout(Duration::from_secs(60));
/// assert_eq!(config.receive_window, 1024 * 1024);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Limits of a frame. Default: 16 MiB per frame, 1,024 pairs per header.
    pub limits: Limits,
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
    /// How long a stream may pass no message in either direction, measured to within a quarter. The stream
    /// then ends with code 12905. Default: no limit.
    pub stream_idle_timeout: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            stream_receive_window: 1024 * 1024,
            receive_window: 16 * 1024 * 1024,
            slow_consumer_timeout: Duration::from_millis(500),
            slow_consumer_timeout_exclusive: Duration::from_secs(30),
            stream_send_buffer: 64 * 1024,
            send_buffer: 1024 * 1024,
            stream_idle_timeout: None,
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
    stream_receive_window: usize,
    receive_window: usize,
    slow_consumer_timeout: Duration,
    slow_consumer_timeout_exclusive: Duration,
    stream_send_buffer: usize,
    send_buffer: usize,
}

impl Config {
    /// Sets [`stream_idle_timeout`](Self#structfield.stream_idle_timeout); `None` for no limit.
    #[must_use]
    pub fn stream_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.stream_idle_timeout = timeout.into();
        self
    }
}

/// What a server bounds on each of its connections, beside [`Config`]. A client sets these for each call, or not
/// at all.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Handlers that may run at the same time on the connection. A handler counts until it returns, even if its
    /// stream has ended. A stream beyond the limit is answered with an Rst frame of code 12900.
    pub max_concurrent_streams: usize,
    /// The longest wait of each Recv of a handler; `None` for no limit.
    pub recv_timeout: Option<RecvTimeout>,
}

impl Default for ServerLimits {
    /// 1,024 handlers, no limit of a Recv.
    fn default() -> Self {
        Self { max_concurrent_streams: 1024, recv_timeout: None }
    }
}
