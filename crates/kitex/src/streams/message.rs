//! Messages on raw halves: encoded into a buffer that the thread reuses, decoded from the frame.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use kerrors::{Error, Result};
use stream_core::Message;
use stream_core::Metadata;
use stream_core::stream::{Recv, RecvStream, SendStream, SendTimer};

use crate::codec::{Payload, Thrift};
use crate::message_layer::MessageSettings;

thread_local! {
    static SCRATCH: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// Buffers above this size are not kept for the next message.
const MAX_SCRATCH: usize = 64 * 1024;

pub(crate) fn encode<C>(message: &impl Payload<C>) -> Result<BytesMut> {
    let mut buf = SCRATCH.take();
    buf.clear();
    message.encode(&mut buf)?;
    Ok(buf)
}

fn recycle(buf: BytesMut) {
    if buf.capacity() <= MAX_SCRATCH {
        SCRATCH.set(buf);
    }
}

/// Sends messages of one type. Clones send on the same stream.
pub struct MessageSender<T, C = Thrift> {
    pub(super) raw: SendStream,
    settings: MessageSettings,
    _type: PhantomData<fn(T) -> C>,
}

impl<C, T: Payload<C>> MessageSender<T, C> {
    pub(crate) fn new(raw: SendStream, settings: MessageSettings) -> Self {
        Self { raw, settings, _type: PhantomData }
    }

    /// Sends one message; waits while too much is queued. Cancel-safe: sent whole or not at all.
    ///
    /// # Errors
    /// What the stream ended with; 12005 if this direction has ended; that the message cannot be encoded.
    pub fn send(&self, message: &T) -> SendMessage<'_> {
        let message = match encode(message) {
            Ok(buf) if !self.settings.has_layers() => Outgoing::Scratch(buf),
            Ok(buf) => match self.settings.on_send(&self.raw, buf.freeze()) {
                Ok(message) => Outgoing::Layered(Message::Owned(message)),
                Err(error) => Outgoing::Refused(Some(Box::new(error))),
            },
            Err(error) => Outgoing::Refused(Some(Box::new(error))),
        };
        SendMessage { raw: &self.raw, message, timer: SendTimer::default() }
    }

    /// A client's: says that nothing more will be sent.
    pub fn close_send(&self) {
        self.raw.close_send();
    }
}

impl<T, C> Clone for MessageSender<T, C> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), settings: self.settings.clone(), _type: PhantomData }
    }
}

impl<T, C> fmt::Debug for MessageSender<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

/// Waits until a message is queued; see [`MessageSender::send`].
///
/// Written out, as [`RecvMessage`] is: it is part of many a handler's future, and holds nothing twice.
#[must_use = "futures do nothing unless awaited"]
pub struct SendMessage<'a> {
    raw: &'a SendStream,
    message: Outgoing,
    timer: SendTimer,
}

/// A message, encoded when Send was called.
enum Outgoing {
    /// In the thread's buffer, which goes back when the future is dropped.
    Scratch(BytesMut),
    /// As the layers have passed it on.
    Layered(Message<'static>),
    /// What Send returns.
    Refused(Option<Box<Error>>),
}

impl Future for SendMessage<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Self { raw, message, timer } = &mut *self;
        match message {
            Outgoing::Scratch(buf) => raw.poll_send(cx, &Message::Borrowed(buf), timer),
            Outgoing::Layered(message) => raw.poll_send(cx, message, timer),
            Outgoing::Refused(error) => Poll::Ready(error.take().map_or(Ok(()), |error| Err(*error))),
        }
    }
}

impl Drop for SendMessage<'_> {
    fn drop(&mut self) {
        if let Outgoing::Scratch(buf) = &mut self.message {
            recycle(mem::take(buf));
        }
    }
}

impl fmt::Debug for SendMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

/// Receives messages of one type. As a [`Stream`] it ends behind the first error that ends the stream.
pub struct MessageReceiver<T, C = Thrift> {
    raw: RecvStream,
    settings: MessageSettings,
    ended: bool,
    _type: PhantomData<fn() -> (T, C)>,
}

impl<C, T: Payload<C>> MessageReceiver<T, C> {
    pub(crate) fn new(raw: RecvStream, settings: MessageSettings) -> Self {
        Self { raw, settings, ended: false, _type: PhantomData }
    }

    /// The next message; `None` at the clean end of the peer's direction. Cancel-safe.
    ///
    /// # Errors
    /// What the stream ended with, after every message that came before; that the message cannot be
    /// decoded, and then the stream goes on.
    pub fn recv(&mut self) -> RecvMessage<'_, T, C> {
        RecvMessage { raw: self.raw.recv(), settings: &self.settings, _type: PhantomData }
    }

    /// Returns the header of the response, once it is there. Cancel-safe.
    ///
    /// # Errors
    /// What the stream ended with, if it ended without a header.
    pub async fn header(&mut self) -> Result<Metadata> {
        self.raw.header().await
    }

    /// Calls `callback` once when the stream has ended, with what went wrong.
    pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
        self.raw.on_close(callback);
    }

    /// What the peer ended its direction with; `None` if it has not.
    pub fn trailer(&self) -> Option<Metadata> {
        self.raw.trailer()
    }
}

fn decode<C, T: Payload<C>>(message: Bytes, settings: &MessageSettings, stream: &RecvStream) -> Result<T> {
    T::decode_within(settings.on_recv(stream, message)?, settings.limits())
}

/// Waits for the next message; see [`MessageReceiver::recv`].
#[must_use = "futures do nothing unless awaited"]
pub struct RecvMessage<'a, T, C = Thrift> {
    raw: Recv<'a>,
    settings: &'a MessageSettings,
    _type: PhantomData<fn() -> (T, C)>,
}

impl<C, T: Payload<C>> Future for RecvMessage<'_, T, C> {
    type Output = Result<Option<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let message = ready!(Pin::new(&mut self.raw).poll(cx))?;
        Poll::Ready(message.map(|message| decode(message, self.settings, self.raw.stream())).transpose())
    }
}

impl<T, C> fmt::Debug for RecvMessage<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

impl<C, T: Payload<C>> Stream for MessageReceiver<T, C> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.raw.poll_recv(cx)) {
            Ok(Some(message)) => Poll::Ready(Some(decode(message, &self.settings, &self.raw))),
            Ok(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Err(error) => {
                self.ended = !error.is_retryable();
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl<T, C> fmt::Debug for MessageReceiver<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
