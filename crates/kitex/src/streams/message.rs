//! Typed messages on raw halves: encoded into a thread-local buffer, decoded from the frame.

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
use crate::message_layer::{Layered, MessageSettings};

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

    /// Sends one message; waits while the send buffer is full (backpressure). Cancel-safe: the message is sent entirely
    /// or not at all.
    ///
    /// # Errors
    /// The error of the stream; [`Code::ILLEGAL_OPERATION`](crate::Code::ILLEGAL_OPERATION) if this direction has ended;
    /// the message cannot be encoded.
    pub fn send(&self, message: &T) -> SendMessage<'_> {
        let message = match encode(message) {
            Ok(buf) if !self.settings.has_layers() => Outgoing::Scratch(buf),
            Ok(buf) => Outgoing::Layered(self.settings.on_send(self.raw.shared_info(), buf.freeze())),
            Err(error) => Outgoing::Refused(Some(Box::new(error))),
        };
        SendMessage { raw: &self.raw, message, timer: SendTimer::default() }
    }

    /// Closes the sending side of a client.
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

/// A future that waits until a message is queued; see [`MessageSender::send`].
// Written by hand, like `RecvMessage`: it is part of many handlers' futures, and an async block would be larger.
#[must_use = "futures do nothing unless awaited"]
pub struct SendMessage<'a> {
    raw: &'a SendStream,
    message: Outgoing,
    timer: SendTimer,
}

/// A message, encoded when Send was called.
enum Outgoing {
    /// In the thread's buffer, which is returned when the future is dropped.
    Scratch(BytesMut),
    /// On its way through the layers.
    Layered(Layered),
    /// As returned by the layers.
    Owned(Message<'static>),
    /// The result of Send.
    Refused(Option<Box<Error>>),
}

impl Future for SendMessage<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Self { raw, message, timer } = &mut *self;
        if let Outgoing::Layered(layered) = message {
            *message = match ready!(layered.as_mut().poll(cx)) {
                Ok(message) => Outgoing::Owned(Message::Owned(message)),
                Err(error) => Outgoing::Refused(Some(Box::new(error))),
            };
        }
        match message {
            Outgoing::Scratch(buf) => raw.poll_send(cx, &Message::Borrowed(buf), timer),
            Outgoing::Owned(message) => raw.poll_send(cx, message, timer),
            Outgoing::Refused(error) => Poll::Ready(error.take().map_or(Ok(()), |error| {
                raw.report_failure(&error);
                Err(*error)
            })),
            Outgoing::Layered(_) => Poll::Pending,
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

/// Receives messages of one type. As a [`Stream`] it ends after the first error that ends the stream.
pub struct MessageReceiver<T, C = Thrift> {
    raw: RecvStream,
    settings: MessageSettings,
    ended: bool,
    _type: PhantomData<fn() -> (T, C)>,
}

impl<C, T: Payload<C>> MessageReceiver<T, C> {
    pub(crate) fn new(raw: RecvStream, settings: MessageSettings) -> Self {
        Self { raw, settings: settings.of_receiver(), ended: false, _type: PhantomData }
    }

    /// Receives the next message; `None` at the clean end of the peer's direction. Cancel-safe.
    ///
    /// # Errors
    /// The error of the stream, after every message that was received before it; the message cannot be decoded, and
    /// then the stream continues.
    pub fn recv(&mut self) -> RecvMessage<'_, T, C> {
        RecvMessage { raw: self.raw.recv(), settings: &self.settings, _type: PhantomData }
    }

    /// Waits for the header of the response. Cancel-safe.
    ///
    /// # Errors
    /// The error of the stream, if it ended without a header.
    pub async fn header(&mut self) -> Result<Metadata> {
        self.raw.header().await
    }

    /// Adds a callback, called once when the stream has ended, with the error; at once if it has already ended.
    pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
        self.raw.on_close(callback);
    }

    /// Returns the trailer of the peer; `None` if it has not ended its direction.
    pub fn trailer(&self) -> Option<Metadata> {
        self.raw.trailer()
    }
}

/// Returns the message that the layers have passed on.
fn decode<C, T: Payload<C>>(
    message: Result<Bytes>,
    settings: &MessageSettings,
    stream: &RecvStream,
) -> Result<T> {
    let decoded = message.and_then(|message| T::decode_within(message, settings.limits()));
    decoded.inspect_err(|error| stream.report_failure(error))
}

/// A future that waits for the next message; see [`MessageReceiver::recv`].
#[must_use = "futures do nothing unless awaited"]
pub struct RecvMessage<'a, T, C = Thrift> {
    raw: Recv<'a>,
    settings: &'a MessageSettings,
    _type: PhantomData<fn() -> (T, C)>,
}

impl<C, T: Payload<C>> Future for RecvMessage<'_, T, C> {
    type Output = Result<Option<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Self { raw, settings, .. } = &mut *self;
        loop {
            if let Some(layered) = settings.poll_recv(cx) {
                return layered.map(|message| decode(message, settings, raw.stream()).map(Some));
            }
            match ready!(Pin::new(&mut *raw).poll(cx))? {
                Some(message) if settings.has_layers() => settings.start_recv(raw.stream(), message),
                message => {
                    let decode = |message| decode(Ok(message), settings, raw.stream());
                    return Poll::Ready(message.map(decode).transpose());
                }
            }
        }
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
        loop {
            let Self { raw, settings, ended, .. } = &mut *self;
            if let Some(layered) = settings.poll_recv(cx) {
                return layered.map(|message| Some(decode(message, settings, raw)));
            }
            match ready!(raw.poll_recv(cx)) {
                Ok(Some(message)) if settings.has_layers() => settings.start_recv(raw, message),
                Ok(Some(message)) => return Poll::Ready(Some(decode(Ok(message), settings, raw))),
                Ok(None) => {
                    *ended = true;
                    return Poll::Ready(None);
                }
                Err(error) => {
                    *ended = !error.is_retryable();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl<T, C> fmt::Debug for MessageReceiver<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
