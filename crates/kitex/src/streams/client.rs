//! The client's ends of streams. Dropping one before its end cancels the stream.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use kerrors::{Error, Result};
use kitex_thrift::Payload;
use stream_core::Metadata;
use stream_core::stream::RecvStream;

use super::{MessageReceiver, MessageSender, RecvMessage, SendMessage};
use crate::middleware::{MessageLayers, RawStream};

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
        pub fn recv(&mut self) -> RecvMessage<'_, Resp> {
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
pub struct ServerStreamingClient<Resp> {
    receiver: MessageReceiver<Resp>,
}

impl<Resp: Payload> ServerStreamingClient<Resp> {
    pub(crate) fn new(receiver: RecvStream, layers: MessageLayers) -> Self {
        Self { receiver: MessageReceiver::new(receiver, layers) }
    }

    receives!();
}

impl<Resp: Payload> Stream for ServerStreamingClient<Resp> {
    type Item = Result<Resp>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

/// A stream of requests, one answer.
#[derive(Debug)]
#[must_use = "dropping the stream cancels it"]
pub struct ClientStreamingClient<Req, Resp> {
    sender: MessageSender<Req>,
    receiver: MessageReceiver<Resp>,
    /// The answer, while the end that decides whether it counts has not come.
    answer: Option<Resp>,
}

impl<Req: Payload, Resp: Payload> ClientStreamingClient<Req, Resp> {
    pub(crate) fn new(stream: RawStream, layers: MessageLayers) -> Self {
        let RawStream { sender, receiver } = stream;
        Self {
            sender: MessageSender::new(sender, layers.clone()),
            receiver: MessageReceiver::new(receiver, layers),
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
pub struct BidiStreamingClient<Req, Resp> {
    sender: MessageSender<Req>,
    receiver: MessageReceiver<Resp>,
}

impl<Req: Payload, Resp: Payload> BidiStreamingClient<Req, Resp> {
    pub(crate) fn new(stream: RawStream, layers: MessageLayers) -> Self {
        let RawStream { sender, receiver } = stream;
        Self {
            sender: MessageSender::new(sender, layers.clone()),
            receiver: MessageReceiver::new(receiver, layers),
        }
    }

    sends!();

    /// Says that nothing more will be sent; answers still come.
    pub fn close_send(&self) {
        self.sender.close_send();
    }

    receives!();

    /// Both directions apart, for two tasks.
    pub fn split(self) -> (MessageSender<Req>, MessageReceiver<Resp>) {
        (self.sender, self.receiver)
    }
}

impl<Req: Payload, Resp: Payload> Stream for BidiStreamingClient<Req, Resp> {
    type Item = Result<Resp>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}
