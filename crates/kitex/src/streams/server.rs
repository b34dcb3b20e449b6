//! The server's ends of streams: what a handler gets.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures_core::Stream;
use kerrors::{Error, Result};
use stream_core::Metadata;
use stream_core::stream::SendStream;

use super::{MessageReceiver, MessageSender, RecvMessage, SendMessage};
use crate::codec::{Payload, Thrift};
use crate::context::Request;
use crate::invoke::RawStream;
use crate::message_layer::MessageSettings;

/// Adds to the header of an answer.
fn set_header(sender: &SendStream, key: Bytes, value: Bytes) -> Result<()> {
    let header = Metadata::from_iter([(key, value)]);
    match sender.set_header(&header) {
        true => Ok(()),
        false => Err(Error::other("stream header already sent")),
    }
}

/// The header and trailer of an answer, at the end of a stream whose raw sender stands in this field.
macro_rules! answers {
    ($($sender:ident).+) => {
        /// Adds to the header of the answer, which leaves with the first message, or with the trailer.
        ///
        /// # Errors
        /// The header has left already.
        pub fn set_header(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<()> {
            set_header(&self.$($sender).+, key.into(), value.into())
        }

        /// Sends the header of the answer now.
        ///
        /// # Errors
        /// What the stream ended with; 12005 if the header is too large.
        pub fn send_header(&self) -> Result<()> {
            self.$($sender).+.send_header()
        }

        /// Calls `callback` once when the handler has returned, with what the stream ended with.
        pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
            self.$($sender).+.on_close(callback);
        }

        /// Adds to the trailer, which leaves when the handler returns.
        pub fn set_trailer(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
            self.request.set_trailer(key.into(), value.into());
        }
    };
}

macro_rules! receives {
    () => {
        /// The next request; `None` when the client has sent all. Cancel-safe.
        ///
        /// # Errors
        /// What the stream ended with: who canceled, and along which path.
        pub fn recv(&mut self) -> RecvMessage<'_, Req, C> {
            self.receiver.recv()
        }
    };
}

macro_rules! sends {
    () => {
        /// Sends one answer; waits while too much is queued. Cancel-safe.
        ///
        /// # Errors
        /// What the stream ended with: who canceled, and along which path.
        pub fn send(&self, answer: &Resp) -> SendMessage<'_> {
            self.sender.send(answer)
        }
    };
}

/// One request, a stream of answers. Clones send on the same stream.
#[derive(Debug)]
pub struct ServerStreamingServer<Resp, C = Thrift> {
    sender: MessageSender<Resp, C>,
    request: Arc<Request>,
}

impl<C, Resp: Payload<C>> ServerStreamingServer<Resp, C> {
    pub(crate) fn new(sender: SendStream, request: Arc<Request>, settings: MessageSettings) -> Self {
        Self { sender: MessageSender::new(sender, settings), request }
    }

    sends!();

    answers!(sender.raw);
}

impl<Resp, C> Clone for ServerStreamingServer<Resp, C> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), request: self.request.clone() }
    }
}

/// A stream of requests, one answer: what the handler returns.
#[derive(Debug)]
pub struct ClientStreamingServer<Req, C = Thrift> {
    receiver: MessageReceiver<Req, C>,
    sender: SendStream,
    request: Arc<Request>,
}

impl<C, Req: Payload<C>> ClientStreamingServer<Req, C> {
    pub(crate) fn new(stream: RawStream, request: Arc<Request>, settings: MessageSettings) -> Self {
        let RawStream { sender, receiver } = stream;
        Self { receiver: MessageReceiver::new(receiver, settings), sender, request }
    }

    receives!();

    answers!(sender);
}

impl<C, Req: Payload<C>> Stream for ClientStreamingServer<Req, C> {
    type Item = Result<Req>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

/// Two streams.
#[derive(Debug)]
pub struct BidiStreamingServer<Req, Resp, C = Thrift> {
    receiver: MessageReceiver<Req, C>,
    sender: MessageSender<Resp, C>,
    request: Arc<Request>,
}

impl<C, Req: Payload<C>, Resp: Payload<C>> BidiStreamingServer<Req, Resp, C> {
    pub(crate) fn new(stream: RawStream, request: Arc<Request>, settings: MessageSettings) -> Self {
        let RawStream { sender, receiver } = stream;
        Self {
            receiver: MessageReceiver::new(receiver, settings.clone()),
            sender: MessageSender::new(sender, settings),
            request,
        }
    }

    receives!();

    sends!();

    answers!(sender.raw);

    /// Both directions apart, for two tasks. Set header and trailer before.
    pub fn split(self) -> (MessageReceiver<Req, C>, MessageSender<Resp, C>) {
        (self.receiver, self.sender)
    }
}

impl<C, Req: Payload<C>, Resp: Payload<C>> Stream for BidiStreamingServer<Req, Resp, C> {
    type Item = Result<Req>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}
