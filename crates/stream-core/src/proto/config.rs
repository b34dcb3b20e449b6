//! Every bound of a connection, with its default. All of them count bytes, streams or time.

use std::time::Duration;

use kerrors::RecvTimeout;
use ttheader_codec::Limits;

/// Bounds of one connection. The defaults are safe towards peers that are not trusted.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bounds of a frame. Default: 16 MiB a frame, 1,024 pairs a header.
    pub limits: Limits,
    /// Server: handlers that run at once on the connection, ended streams included as long as their
    /// handler runs. One more is answered with an Rst of code 12900. Default 1,024.
    pub max_concurrent_streams: usize,
    /// Bytes received for one stream and not yet taken; a message counts 256 at least. At this mark the
    /// connection is not read for a while. Default 1 MiB.
    pub stream_receive_window: usize,
    /// The same for all streams of the connection together. Default 16 MiB.
    pub receive_window: usize,
    /// How long a connection with several streams may stay unread because of one that is full. Then that
    /// stream ends with code 12901. Default 500 ms.
    pub slow_consumer_timeout: Duration,
    /// The same for a connection whose only stream is the full one: there TCP is the stream's own flow
    /// control. Default 30 s.
    pub slow_consumer_timeout_exclusive: Duration,
    /// Bytes of one stream that may wait to be written before Send waits. Default 64 KiB.
    pub stream_send_buffer: usize,
    /// The same for all streams of the connection together. Default 1 MiB.
    pub send_buffer: usize,
    /// How long each Recv of a handler may wait. Default: as long as the stream lives. A client's is a
    /// matter of the call.
    pub recv_timeout: Option<RecvTimeout>,
    /// How long a stream may go without a message either way, to a quarter more. Then it ends with code
    /// 12905. Default: for ever.
    pub stream_idle_timeout: Option<Duration>,
    /// How long the socket may take nothing while something waits to be written. Then the connection is
    /// closed. Default 10 s.
    pub write_timeout: Duration,
    /// How long the connection looks for more after each read before it sleeps: twice the round trips of one
    /// stream and more where an idle processor is slow to wake, as virtual ones are, for a processor that is
    /// busy while it looks. What else is ready runs meanwhile. Default: not at all.
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
