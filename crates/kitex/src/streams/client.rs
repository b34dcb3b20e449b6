//! The client's ends of streams. Dropping one before its end cancels the stream.

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

macro_rules! answers {
    () => {
        /// Returns the header of the response, once it is there. Cancel-safe.
        ///
        /// # Errors
        /// What the stream ended with, if it ended without a header.
        pub async fn header(&mut self) -> Result<Metadata> {
            self.receiver.header().await
        }

        /// Calls `callback` once when this end has learned of the stream's end, with what went wrong.
        pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
            self.receiver.on_close(callback);
        }

        /// What the server ended the stream with; `None` if it has not ended.
        pub fn trailer(&self) -> Option<Metadata> {
            self.receiver.trailer()
        }
    };
}

macro_rules! receives {
    () => {
        /// The next answer; `None` at the clean end. Cancel-safe.
        ///
        /// # Errors
        /// What the stream ended with, after every answer that came before.
        pub fn recv(&mut self) -> RecvMessage<'_, Resp, C> {
            self.receiver.recv()
        }

        answers!();
    };
}

macro_rules! sends {
    () => {
        /// Sends one request; waits while too much is queued. Cancel-safe.
        ///
        /// # Errors
        /// What the stream ended with; 12005 after `close_send`.
        pub fn send(&self, request: &Req) -> SendMessage<'_> {
            self.sender.send(request)
        }
    };
}

/// One request, a stream of answers.
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

/// A stream of requests, one answer.
#[derive(Debug)]
#[must_use = "dropping the stream cancels it"]
pub struct ClientStreamingClient<Req, Resp, C = Thrift> {
    sender: MessageSender<Req, C>,
    receiver: MessageReceiver<Resp, C>,
    /// The response, while the end that decides whether it counts has not come.
    answer: Option<Resp>,
}

impl<C, Req: Payload<C>, Resp: Payload<C>> ClientStreamingClient<Req, Resp, C> {
    pub(crate) fn new(stream: RawStream, settings: MessageSettings) -> Self {
        let RawStream { sender, receiver } = stream;
        Self {
            sender: MessageSender::new(sender, settings.clone()),
            receiver: MessageReceiver::new(receiver, settings),
            answer: None,
        }
    }

    sends!();

    /// Ends the requests, and waits for the answer and the end of the stream. Cancel-safe: an answer that has come
    /// stays until the end has come too.
    ///
    /// # Errors
    /// What the stream ended with; that it ended without an answer.
    pub async fn close_and_recv(&mut self) -> Result<Resp> {
        self.sender.close_send();
        let missing = || Error::network("stream ended without an answer");
        if self.answer.is_none() {
            self.answer = Some(self.receiver.recv().await?.ok_or_else(missing)?);
        }
        // The end decides whether the answer counts: an error may follow it.
        match self.receiver.recv().await? {
            None => self.answer.take().ok_or_else(missing),
            Some(_) => Err(Error::network("stream brought a second answer")),
        }
    }

    answers!();
}

/// Two streams.
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

    /// Says that nothing more will be sent; answers still come.
    pub fn close_send(&self) {
        self.sender.close_send();
    }

    receives!();

    /// Both directions apart, for two tasks.
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
