//! Clients: how a service is reached, and under which name it is called.

mod builder;
mod direct;
pub(crate) mod options;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kerrors::{Error, RecvTimeout, Result};
use kitex_thrift::{DecodeError, Fault};
use stream_core::guard::guarded_future;

pub use builder::{BuildError, ClientBuilder, Transport};
pub use kitex_grpc::GrpcConfig;
pub use options::CallOptions;
pub use stream_core::client::{
    AddressSource, Connector, PoolKind, PoolStats, StaticAddresses, SystemConnector,
};
pub use stream_core::server::MemoryConnector;
pub use ttstream::proto::Config as ConnectionConfig;
pub use ttstream::{CallProtocol, SocketConfig};

use self::direct::Direct;
use crate::codec::Payload;
use crate::invoke::{Invoke, RawStream};
use crate::message_layer::{MessageSettings, panicked};
use crate::streams::{
    BidiStreamingClient, ClientStreamingClient, MessageSender, ServerStreamingClient, encode,
};
use crate::{Context, Method};

/// Calls one service. Cheap to clone; clones share connections. Generated clients stand on it.
#[derive(Clone)]
pub struct Client {
    direct: Direct,
    /// The layers around `direct`, if there are any.
    layered: Option<Arc<dyn Invoke>>,
    messages: MessageSettings,
    options: CallOptions,
}

impl Client {
    /// The same client, with another Recv timeout.
    #[must_use]
    pub fn with_recv_timeout(&self, timeout: impl Into<Option<RecvTimeout>>) -> Self {
        self.with_options(|options| options.recv_timeout = timeout.into())
    }

    /// The same client, with other options for its calls.
    #[must_use]
    pub fn with_options(&self, change: impl FnOnce(&mut CallOptions)) -> Self {
        let mut client = self.clone();
        change(&mut client.options);
        client
    }

    /// Closes the connections gracefully: what is queued is written, and after a cancel a connection stays open until
    /// the peer has had time to read it. Call it before the process exits. Takes 1 s at most.
    pub async fn close(&self) {
        self.direct.raw.close().await;
    }

    /// How its connections stand.
    pub fn pool_stats(&self) -> PoolStats {
        self.direct.raw.pool_stats()
    }

    /// Makes a ping-pong call. For generated code. Cancel-safe: dropping the future gives the call up; whether the
    /// handler has run is not known.
    ///
    /// # Errors
    /// What the handler ended with; that no connection could be had, or it was lost; that the context
    /// ended.
    pub async fn call<A: Payload<C>, R: Payload<C>, C>(
        &self,
        ctx: &Context,
        method: &Method,
        args: &A,
    ) -> Result<R> {
        let result = self.call_raw(ctx, method, encode(args)?.freeze()).await?;
        R::decode_within(result, self.messages.limits()).map_err(|error| match lacks_result(&error) {
            true => Error::missing_result(method.name()),
            false => error,
        })
    }

    /// Makes a call that is not answered; it has been handed to the system when this returns. For
    /// generated code.
    ///
    /// # Errors
    /// That no connection could be had, or it was lost; that the context ended.
    pub async fn oneway<A: Payload<C>, C>(&self, ctx: &Context, method: &Method, args: &A) -> Result<()> {
        self.call_raw(ctx, method, encode(args)?.freeze()).await.map(drop)
    }

    /// Makes a ping-pong call with encoded arguments, and returns the encoded result. For methods that are known only
    /// at run time.
    ///
    /// # Errors
    /// As [`call`](Self::call), except that nothing is decoded.
    pub async fn call_raw(&self, ctx: &Context, method: &Method, args: Bytes) -> Result<Bytes> {
        let options = self.options.clone();
        match &self.layered {
            Some(layered) => {
                let called = guarded_future(layered.call(ctx, method, options, args)).await;
                called.unwrap_or_else(|text| Err(panicked(&text)))
            }
            None => Box::pin(self.direct.call_now(ctx, method, options, args)).await,
        }
    }

    /// Opens a stream whose messages are bytes. For methods that are known only at run time.
    ///
    /// # Errors
    /// As [`client_streaming`](Self::client_streaming).
    pub async fn open_raw(&self, ctx: &Context, method: &Method) -> Result<RawStream> {
        self.open(ctx, method).await
    }

    /// Opens a stream of requests with one answer. For generated code. Cancel-safe: a stream whose opening is dropped
    /// is canceled.
    ///
    /// # Errors
    /// That no connection could be had; that the context has ended; that the header is too large.
    pub async fn client_streaming<Req: Payload<C>, Resp: Payload<C>, C>(
        &self,
        ctx: &Context,
        method: &Method,
    ) -> Result<ClientStreamingClient<Req, Resp, C>> {
        let stream = self.open(ctx, method).await?;
        Ok(ClientStreamingClient::new(stream, self.messages.clone()))
    }

    /// Opens a stream of answers to `request`. For generated code. Cancel-safe: a stream whose opening is dropped is
    /// canceled.
    ///
    /// # Errors
    /// As [`client_streaming`](Self::client_streaming); that the request cannot be encoded.
    pub async fn server_streaming<Req: Payload<C>, Resp: Payload<C>, C>(
        &self,
        ctx: &Context,
        method: &Method,
        request: &Req,
    ) -> Result<ServerStreamingClient<Resp, C>> {
        let RawStream { sender, receiver } = self.open(ctx, method).await?;
        let sender = MessageSender::<Req, C>::new(sender, self.messages.clone());
        sender.send(request).await?;
        sender.close_send();
        Ok(ServerStreamingClient::new(receiver, self.messages.clone()))
    }

    /// Opens two streams. For generated code. Cancel-safe: a stream whose opening is dropped is canceled.
    ///
    /// # Errors
    /// As [`client_streaming`](Self::client_streaming).
    pub async fn bidi_streaming<Req: Payload<C>, Resp: Payload<C>, C>(
        &self,
        ctx: &Context,
        method: &Method,
    ) -> Result<BidiStreamingClient<Req, Resp, C>> {
        let stream = self.open(ctx, method).await?;
        Ok(BidiStreamingClient::new(stream, self.messages.clone()))
    }

    async fn open(&self, ctx: &Context, method: &Method) -> Result<RawStream> {
        let options = self.options.clone();
        match &self.layered {
            Some(layered) => {
                let opened = guarded_future(layered.open(ctx, method, options)).await;
                opened.unwrap_or_else(|text| Err(panicked(&text)))
            }
            // Boxed: the way to a stream is short and wide, and would widen every handler that goes it.
            None => Box::pin(self.direct.open_now(ctx, method, options)).await,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { direct, messages, options, .. } = self;
        f.debug_struct("Client")
            .field("service", &direct.shared.service)
            .field("options", options)
            .field("messages", messages)
            .finish_non_exhaustive()
    }
}

/// Returns whether a response holds neither a result nor an exception.
fn lacks_result(error: &Error) -> bool {
    let Error::Codec(error) = error else { return false };
    error.downcast_ref::<DecodeError>().is_some_and(|error| matches!(error.fault(), Fault::MissingResult))
}
