//! The windows, buffers and timeouts of one connection, each with its default.

use std::time::Duration;

use kerrors::RecvTimeout;
use ttheader_codec::Limits;

/// Limits of one connection. The defaults are safe for untrusted peers.
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
    /// Flow control: bytes that one stream may hold received but not taken, each message charged at least 256
    /// bytes. While a stream is at its window the connection is not read, unless flow control is by
    /// [credits](Self#structfield.flow_credits). 0 counts as 1. Default: 1 MiB.
    pub stream_receive_window: usize,
    /// Flow control: the same for all streams of the connection together. Headers of running handlers may take half as much in
    /// addition; further streams are refused. Default: 16 MiB.
    pub receive_window: usize,
    /// The time for which a slow consumer, a stream at its window, may hold up a connection with other streams, in total:
    /// each pause counts. It is regained in four times as much time without a pause, and by the bytes that the
    /// consumer takes, at [`slow_consumer_rate`](Self#structfield.slow_consumer_rate). The stream then ends with
    /// [`SLOW_CONSUMER`](kerrors::Code::SLOW_CONSUMER). All slow consumers of a connection have twice this time together;
    /// then each has a tenth. Default: 500 ms.
    pub slow_consumer_timeout: Duration,
    /// The rate, in bytes per second and with each message counted with at least 256, from which on a consumer is not slow,
    /// however often its stream is at its window. 0: any progress is enough. Default: 8 MiB.
    pub slow_consumer_rate: usize,
    /// The same for a stream that is the only one of its connection: it blocks no other stream, and TCP's
    /// flow control affects it alone. Default: 30 s.
    pub slow_consumer_timeout_exclusive: Duration,
    /// Flow control by credits, if the peer is of this crate and has it on too; other peers, Kitex's too, do not notice.
    /// Send then waits until the peer has granted the bytes that it sends, so a slow consumer holds up its own stream alone:
    /// the connection is paused only at [`receive_window`](Self#structfield.receive_window), and
    /// [`SLOW_CONSUMER`](kerrors::Code::SLOW_CONSUMER) ends a stream only then. A Send to a peer that takes nothing waits
    /// until its stream ends: by a deadline, a timeout of Send, or
    /// [`stream_idle_timeout`](Self#structfield.stream_idle_timeout). Default: off.
    pub flow_credits: bool,
    /// Backpressure: bytes of one stream queued to be written before Send waits, each message charged at
    /// least 256 bytes. Default: 64 KiB.
    pub stream_send_buffer: usize,
    /// Backpressure: the same for all streams of the connection together; open waits too. Default: 1 MiB.
    pub send_buffer: usize,
    /// The time for which a stream may pass no message in either direction, with a tolerance of a quarter.
    /// The stream then ends with [`IDLE_TIMEOUT`](kerrors::Code::IDLE_TIMEOUT). Default: none.
    pub stream_idle_timeout: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            stream_receive_window: 1024 * 1024,
            receive_window: 16 * 1024 * 1024,
            slow_consumer_timeout: Duration::from_millis(500),
            slow_consumer_rate: 8 * 1024 * 1024,
            slow_consumer_timeout_exclusive: Duration::from_secs(30),
            flow_credits: false,
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
    slow_consumer_rate: usize,
    slow_consumer_timeout_exclusive: Duration,
    flow_credits: bool,
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

/// Limits of a server's connection in addition to [`Config`]. A client sets them per call, or not at all.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// The largest number of handlers that run concurrently on the connection. A handler counts until it
    /// returns, even if its stream has ended. A stream beyond the limit is refused with an Rst frame of code
    /// [`TOO_MANY_STREAMS`](kerrors::Code::TOO_MANY_STREAMS).
    pub max_concurrent_streams: usize,
    /// The timeout of each Recv of a handler; `None` for none.
    pub recv_timeout: Option<RecvTimeout>,
}

impl Default for ServerLimits {
    /// Returns 1,024 handlers, and no Recv timeout.
    fn default() -> Self {
        Self { max_concurrent_streams: 1024, recv_timeout: None }
    }
}
