//! The server's ends of streams, which handlers get.

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

/// Adds to the header of a response.
fn set_header(sender: &SendStream, key: Bytes, value: Bytes) -> Result<()> {
    let header = Metadata::from_iter([(key, value)]);
    match sender.set_header(&header) {
        true => Ok(()),
        false => Err(Error::other("stream header already sent")),
    }
}

/// Methods for the header and trailer of a response; the argument is the field with the raw sender.
macro_rules! response_methods {
    ($($sender:ident).+) => {
        /// Adds to the header of the response, which is sent with the first message or with the trailer.
        ///
        /// # Errors
        /// The header was already sent.
        pub fn set_header(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<()> {
            set_header(&self.$($sender).+, key.into(), value.into())
        }

        /// Sends the header of the response now.
        ///
        /// # Errors
        /// The error of the stream; [`Code::ILLEGAL_OPERATION`](crate::Code::ILLEGAL_OPERATION) if the header is too
        /// large.
        pub fn send_header(&self) -> Result<()> {
            self.$($sender).+.send_header()
        }

        /// Adds a callback, called once when the handler has returned, with the error of the stream.
        pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
            self.$($sender).+.on_close(callback);
        }

        /// Adds to the trailer, which is sent when the handler returns.
        pub fn set_trailer(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
            self.request.set_trailer(key.into(), value.into());
        }
    };
}

macro_rules! receives {
    () => {
        /// Receives the next request; `None` when the client has closed its sending side. Cancel-safe.
        ///
        /// # Errors
        /// The error of the stream, with the code and the path of a cancel.
        pub fn recv(&mut self) -> RecvMessage<'_, Req, C> {
            self.receiver.recv()
        }
    };
}

macro_rules! sends {
    () => {
        /// Sends one response; waits while the send buffer is full (backpressure). Cancel-safe.
        ///
        /// # Errors
        /// The error of the stream, with the code and the path of a cancel.
        pub fn send(&self, response: &Resp) -> SendMessage<'_> {
            self.sender.send(response)
        }
    };
}

/// The server's end of a call with one request and a stream of responses. Clones send on the same stream.
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

    response_methods!(sender.raw);
}

impl<Resp, C> Clone for ServerStreamingServer<Resp, C> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), request: self.request.clone() }
    }
}

/// The server's end of a call with a stream of requests and one response, which the handler returns.
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

    response_methods!(sender);
}

impl<C, Req: Payload<C>> Stream for ClientStreamingServer<Req, C> {
    type Item = Result<Req>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

/// The server's end of a call with streams of requests and responses.
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

    response_methods!(sender.raw);

    /// Splits the stream into its receiving and sending halves, for two tasks. Set header and trailer before.
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
