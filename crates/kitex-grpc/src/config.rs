//! The limits of one connection, each with its default.

use std::time::Duration;

/// Limits of one gRPC connection. The defaults are safe towards peers that are not trusted.
///
/// ```
/// # use kitex_grpc::GrpcConfig;
/// let config = GrpcConfig::default().max_message_size(1024 * 1024);
/// assert_eq!(config.max_message_size, 1024 * 1024);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GrpcConfig {
    /// The largest message in bytes, either way. A larger one is refused with status 8 before its bytes are kept.
    /// Default: 16 MiB.
    pub max_message_size: usize,
    /// The largest header list in bytes that is accepted, counted as HTTP/2 does. Default: 64 KiB.
    pub max_header_list_size: u32,
    /// Flow control: bytes received on one stream and not yet taken. Default: 256 KiB.
    pub stream_receive_window: u32,
    /// Flow control: the same for all streams of the connection together. Below `stream_receive_window` times
    /// the streams, streams that are not read stop the others. Default: 256 MiB.
    pub receive_window: u32,
    /// Server: streams that the peer may reset in one second, ten times as many at once; beyond that the
    /// connection is closed with ENHANCE_YOUR_CALM. Default: 2,000.
    pub max_resets_per_second: u32,
    /// The longest time that the socket may accept no bytes while data is queued. The connection is then closed.
    /// Default: 10 s.
    pub write_timeout: Duration,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            max_message_size: 16 * 1024 * 1024,
            max_header_list_size: 64 * 1024,
            stream_receive_window: 256 * 1024,
            receive_window: 256 * 1024 * 1024,
            max_resets_per_second: 2000,
            write_timeout: Duration::from_secs(10),
        }
    }
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

setters! {
    max_message_size: usize,
    max_header_list_size: u32,
    stream_receive_window: u32,
    receive_window: u32,
    max_resets_per_second: u32,
    write_timeout: Duration,
}

/// Bytes of a stream that are queued at most before Send waits; of one message more only if it is longer.
pub(crate) const MAX_SEND_BUFFER: usize = 64 * 1024;
