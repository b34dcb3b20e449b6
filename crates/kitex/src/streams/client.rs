//! The client's ends of streams. Dropping one before the stream has ended cancels it.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use kerrors::{Error, Result};
use stream_core::Metadata;
use stream_core::stream::RecvStream;

use super::{MessageReceiver, MessageSender, RecvMessage, SendMessage};
use crate::codec::{Payload, Thrift};
use crate::invoke::RawStream;
use crate::message_layer::MessageSettings;

macro_rules! response_methods {
    () => {
        /// Waits for the header of the response. Cancel-safe.
        ///
        /// # Errors
        /// The error of the stream, if it ended without a header.
        pub async fn header(&mut self) -> Result<Metadata> {
            self.receiver.header().await
        }

        /// Adds a callback, called once when the stream has ended, with the error; at once if it has already ended.
        pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
            self.receiver.on_close(callback);
        }

        /// Returns the trailer of the server; `None` if the stream has not ended.
        pub fn trailer(&self) -> Option<Metadata> {
            self.receiver.trailer()
        }
    };
}

macro_rules! receives {
    () => {
        /// Receives the next response; `None` at the clean end. Cancel-safe.
        ///
        /// # Errors
        /// The error of the stream, after every response that was received before it.
        pub fn recv(&mut self) -> RecvMessage<'_, Resp, C> {
            self.receiver.recv()
        }

        response_methods!();
    };
}

macro_rules! sends {
    () => {
        /// Sends one request; waits while the send buffer is full (backpressure). Cancel-safe.
        ///
        /// # Errors
        /// The error of the stream; [`Code::ILLEGAL_OPERATION`](crate::Code::ILLEGAL_OPERATION) after `close_send`.
        pub fn send(&self, request: &Req) -> SendMessage<'_> {
            self.sender.send(request)
        }
    };
}

/// The client's end of a call with one request and a stream of responses.
#[derive(Debug)]
#[must_use = "dropping the stream cancels it"]
pub struct ServerStreamingClient<Resp, C = Thrift> {
    receiver: MessageReceiver<Resp, C>,
}

impl<C, Resp: Payload<C>> ServerStreamingClient<Resp, C> {
    pub(crate) fn new(receiver: RecvStream, settings: MessageSettings) -> Self {
        Self { receiver: MessageReceiver::new(receiver, settings) }
    }

    receives!();
}

impl<C, Resp: Payload<C>> Stream for ServerStreamingClient<Resp, C> {
    type Item = Result<Resp>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

/// The client's end of a call with a stream of requests and one response.
#[derive(Debug)]
#[must_use = "dropping the stream cancels it"]
pub struct ClientStreamingClient<Req, Resp, C = Thrift> {
    sender: MessageSender<Req, C>,
    receiver: MessageReceiver<Resp, C>,
    /// The response, kept until the trailer has arrived: an error in it replaces the response.
    response: Option<Resp>,
}

impl<C, Req: Payload<C>, Resp: Payload<C>> ClientStreamingClient<Req, Resp, C> {
    pub(crate) fn new(stream: RawStream, settings: MessageSettings) -> Self {
        let RawStream { sender, receiver } = stream;
        Self {
            sender: MessageSender::new(sender, settings.clone()),
            receiver: MessageReceiver::new(receiver, settings),
            response: None,
        }
    }

    sends!();

    /// Closes the sending side, and waits for the response and the end of the stream. Cancel-safe: a response that has
    /// arrived is kept for the next call.
    ///
    /// # Errors
    /// The error of the stream; the stream ended without a response.
    pub async fn close_and_recv(&mut self) -> Result<Resp> {
        self.sender.close_send();
        let missing = || Error::network("stream ended without a response");
        if self.response.is_none() {
            self.response = Some(self.receiver.recv().await?.ok_or_else(missing)?);
        }
        // An error may follow the response.
        match self.receiver.recv().await? {
            None => self.response.take().ok_or_else(missing),
            Some(_) => Err(Error::network("stream has a second response")),
        }
    }

    response_methods!();
}

/// The client's end of a call with streams of requests and responses.
#[derive(Debug)]
#[must_use = "dropping the stream cancels it"]
pub struct BidiStreamingClient<Req, Resp, C = Thrift> {
    sender: MessageSender<Req, C>,
    receiver: MessageReceiver<Resp, C>,
}

impl<C, Req: Payload<C>, Resp: Payload<C>> BidiStreamingClient<Req, Resp, C> {
    pub(crate) fn new(stream: RawStream, settings: MessageSettings) -> Self {
        let RawStream { sender, receiver } = stream;
        Self {
            sender: MessageSender::new(sender, settings.clone()),
            receiver: MessageReceiver::new(receiver, settings),
        }
    }

    sends!();

    /// Closes the sending side; responses can still be received.
    pub fn close_send(&self) {
        self.sender.close_send();
    }

    receives!();

    /// Splits the stream into its sending and receiving halves, for two tasks.
    pub fn split(self) -> (MessageSender<Req, C>, MessageReceiver<Resp, C>) {
        (self.sender, self.receiver)
    }
}

impl<C, Req: Payload<C>, Resp: Payload<C>> Stream for BidiStreamingClient<Req, Resp, C> {
    type Item = Result<Resp>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}
