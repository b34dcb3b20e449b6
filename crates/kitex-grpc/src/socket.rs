//! The byte stream under an HTTP/2 connection: `stream-core`'s `Io` as tokio's `AsyncRead` and `AsyncWrite`.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use kerrors::Side;
use stream_core::clock;
use stream_core::io::{Io, ReadBuffer};
use stream_core::rt::Timer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::frames::{Found, Headers, Scanner};
use crate::origin::Origins;
use crate::wire::Wire;
use crate::writer::Writer;

/// How long the end of a connection with streams is held back, and how often it is checked for a reset meanwhile: the
/// peer's system answers unread bytes with a reset within a round trip.
const RESET_WAIT: Duration = Duration::from_millis(250);
const RESET_CHECK: Duration = Duration::from_millis(5);

/// The byte stream of h2. Frames of our own are found in it and put into it.
#[derive(Debug)]
pub(crate) struct Socket {
    io: Arc<Io>,
    /// Bytes that were read and not yet consumed.
    read: ReadBuffer,
    origins: Arc<Origins>,
    incoming: Scanner,
    side: Side,
    /// The highest id of a stream of which headers have come. Clients open streams in the order of their ids.
    opened: u32,
    writer: Writer,
    wire: Arc<Wire>,
    /// Until when the end is held back.
    end: Option<Instant>,
    end_timer: Timer,
}

impl Socket {
    /// Returns the stream `io`, of which `read` was read before and this end is `side`. It is closed when it accepts
    /// nothing for `write_timeout`.
    pub(crate) fn new(
        io: Io,
        read: BytesMut,
        write_timeout: Duration,
        side: Side,
        origins: Arc<Origins>,
    ) -> Self {
        let incoming = match side {
            Side::Client => Scanner::default(),
            Side::Server => Scanner::after_preface(),
        };
        let (io, wire) = (Arc::new(io), Arc::<Wire>::default());
        let writer = Writer::new(io.clone(), write_timeout, side, wire.clone(), origins.clone());
        // For the handshake.
        wire.begin_turn();
        let read = ReadBuffer::new(read);
        let (end, end_timer) = (None, Timer::default());
        Self { io, read, origins, incoming, side, opened: 0, writer, wire, end, end_timer }
    }

    /// Returns what is known of the other end.
    pub(crate) fn wire(&self) -> Arc<Wire> {
        self.wire.clone()
    }

    /// Returns what writes for this stream.
    pub(crate) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// The other end is closed. If there are streams, waits for the reset that shows that it has not read them.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wire.live.load(Ordering::Acquire) == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let now = clock::now();
            let end = *self.end.get_or_insert_with(|| now.checked_add(RESET_WAIT).unwrap_or(now));
            if self.io.is_reset() {
                self.wire.set_unread();
            }
            if now >= end || self.wire.is_unread() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.end_timer.poll_until(now.checked_add(RESET_CHECK), cx));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.is_some() {
            return self.poll_end(cx);
        }
        let Self { io, read, wire, incoming, origins, writer, side, opened, .. } = &mut *self;
        if read.is_empty() {
            match read.poll_fill(io, cx) {
                // What has come before is read first.
                Poll::Pending => {
                    return writer.failure().map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
                }
                Poll::Ready(filled) => match wire.check(filled)? {
                    0 => return self.poll_end(cx),
                    bytes => wire.count_read(bytes),
                },
            }
        }
        let bytes = read.bytes();
        let offered = bytes.get(..bytes.len().min(buf.remaining())).unwrap_or_default();
        origins.hear();
        // Before h2 sees the reset that follows.
        let received = |found: Found<'_>| match found {
            Found::Own(stream, payload) => origins.receive(stream, payload),
            Found::Headers(Headers { stream, ends_stream, .. }) => match side {
                // The first of its stream: a request, or most responses.
                _ if stream > *opened => *opened = stream,
                // Trailers of a response.
                Side::Client if ends_stream => {}
                // Trailers of a request; at a client an interim response, or what follows one, or a response out of order.
                Side::Client | Side::Server => wire.note_block(stream),
            },
        };
        let len = wire.pass(|left| incoming.scan_some(offered, left, received));
        if len == 0 {
            // Wakes the task once others have run.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
            return Poll::Pending;
        }
        buf.put_slice(offered.get(..len).unwrap_or_default());
        bytes.advance(len);
        if read.is_empty() {
            read.shrink();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_accept(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.writer.poll_end(cx))?;
        // Already closed, if it fails.
        let _ = self.io.shutdown();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use stream_core::io::{Address, ByteStream};
    use stream_core::sync::Mutex;

    use super::*;

    /// A layer that encrypts what it is offered first and accepts it with the second call: it may then be offered nothing else.
    #[derive(Debug, Default)]
    struct Layer {
        committed: Mutex<Vec<u8>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl ByteStream for Layer {
        fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn try_read_buf(&self, _: &mut BytesMut) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            // A call that is refused ends; the next one is accepted.
            Poll::Pending
        }

        fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let offered: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let committed = std::mem::take(&mut *self.committed.lock());
            if committed.is_empty() {
                *self.committed.lock() = offered;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            assert_eq!(offered, committed, "other bytes are offered than were encrypted");
            self.written.lock().extend(&offered);
            Ok(offered.len())
        }

        fn committed(&self) -> usize {
            self.committed.lock().len()
        }

        fn shutdown(&self) -> io::Result<()> {
            Ok(())
        }

        fn is_quiet(&self) -> bool {
            true
        }
    }

    fn socket(io: Io, origins: &Arc<Origins>) -> Socket {
        Socket::new(io, BytesMut::new(), Duration::from_secs(60), Side::Server, origins.clone())
    }

    /// A frame of our own that is queued while bytes of h2 are encrypted stands behind them.
    #[tokio::test]
    async fn frames_of_our_own_wait_for_bytes_that_a_layer_has_committed() {
        let (layer, origins) = (Layer::default(), Arc::new(Origins::new(Side::Server)));
        let written = layer.written.clone();
        let mut socket = socket(Io::layered(layer, Address::Unix(None), Address::Unix(None)), &origins);
        // More than waits: a DATA frame, of which a part is offered with the call.
        let frame = [&[1, 0, 0, 0, 0, 0, 0, 0, 1][..], &[7; 1 << 16]].concat();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut socket).poll_write(&mut cx, &frame).is_pending());
        origins.announce();
        assert!(
            Pin::new(&mut socket).poll_flush(&mut cx).is_ready(),
            "nothing but what is committed may be offered"
        );
        assert!(matches!(Pin::new(&mut socket).poll_write(&mut cx, &frame), Poll::Ready(Ok(65_545))));
        assert_eq!(*written.lock(), frame);
        assert!(Pin::new(&mut socket).poll_flush(&mut cx).is_pending(), "its own frame is offered");
        assert!(matches!(Pin::new(&mut socket).poll_flush(&mut cx), Poll::Ready(Ok(()))));
        assert_eq!(written.lock().len(), frame.len() + 10);
    }

    /// Accepts up to `room` bytes; keeps the sizes of the writes.
    #[derive(Clone, Debug, Default)]
    struct Sink {
        room: Arc<Mutex<usize>>,
        writes: Arc<Mutex<Vec<usize>>>,
        fails: Arc<Mutex<bool>>,
    }

    impl ByteStream for Sink {
        fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn try_read_buf(&self, _: &mut BytesMut) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            if *self.fails.lock() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let mut room = self.room.lock();
            let len = slices.iter().map(|slice| slice.len()).sum::<usize>().min(*room);
            if len == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            *room -= len;
            self.writes.lock().push(len);
            Ok(len)
        }

        fn committed(&self) -> usize {
            0
        }

        fn shutdown(&self) -> io::Result<()> {
            Ok(())
        }

        fn is_quiet(&self) -> bool {
            true
        }
    }

    /// The room of the peer, the frames of 1,009 bytes that h2 passes, how many of them are accepted, and the writes.
    type Row = (usize, usize, usize, &'static [usize]);

    #[tokio::test]
    async fn frames_of_one_poll_take_one_write_and_what_waits_is_bounded() {
        let rows: [Row; 5] = [
            (usize::MAX, 1, 1, &[1_009]),
            (usize::MAX, 30, 30, &[30_270]),
            // The 65th does not fit and is written with those that wait.
            (usize::MAX, 70, 70, &[65_585, 5_045]),
            (10_000, 30, 30, &[10_000]),
            (0, 70, 64, &[]),
        ];
        for (room, frames, accepted, writes) in rows {
            let (sink, origins) = (Sink::default(), Arc::new(Origins::new(Side::Server)));
            *sink.room.lock() = room;
            let mut socket =
                socket(Io::layered(sink.clone(), Address::Unix(None), Address::Unix(None)), &origins);
            let writer = socket.writer();
            writer.batch();
            let frame = [&[0, 3, 0xe8, 0, 0, 0, 0, 0, 1][..], &[7; 1_000]].concat();
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let taken = (0..frames).take_while(|_| {
                let written = Pin::new(&mut socket).poll_write(&mut cx, &frame);
                assert!(!matches!(Pin::new(&mut socket).poll_flush(&mut cx), Poll::Ready(Err(_))));
                matches!(written, Poll::Ready(Ok(1_009)))
            });
            assert_eq!(taken.count(), accepted, "{room}");
            assert!(writer.write_batch(&mut cx));
            assert_eq!(*sink.writes.lock(), writes, "{room}");
            *sink.room.lock() = usize::MAX;
            assert!(matches!(Pin::new(&mut socket).poll_shutdown(&mut cx), Poll::Ready(Ok(()))));
            assert_eq!(sink.writes.lock().iter().sum::<usize>(), accepted * 1_009, "the end writes the rest");
        }
    }

    #[tokio::test]
    async fn a_write_that_fails_ends_reads_and_writes_of_h2() {
        let (sink, origins) = (Sink::default(), Arc::new(Origins::new(Side::Server)));
        let mut socket =
            socket(Io::layered(sink.clone(), Address::Unix(None), Address::Unix(None)), &origins);
        let (writer, wire) = (socket.writer(), socket.wire());
        writer.batch();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(Pin::new(&mut socket).poll_write(&mut cx, b"abc"), Poll::Ready(Ok(3))));
        *sink.fails.lock() = true;
        assert!(!writer.write_batch(&mut cx), "h2 is polled again");
        assert!(writer.write_batch(&mut cx), "once");
        assert!(wire.is_unread());
        let mut bytes = [0; 8];
        let read = Pin::new(&mut socket).poll_read(&mut cx, &mut ReadBuf::new(&mut bytes));
        assert!(matches!(read, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
        assert!(matches!(Pin::new(&mut socket).poll_write(&mut cx, b"d"), Poll::Ready(Err(_))));
    }
}
