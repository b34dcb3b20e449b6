//! Clients, and their settings.

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
pub use kitex_grpc::{Compression, GrpcConfig};
pub use options::CallOptions;
pub use stream_core::client::{
    Balance, Candidates, Connector, ConsistentHash, Discover, DnsInstances, Instance, InstanceFile,
    InstanceSet, LeastStreams, PoolKind, PoolStats, Retry, RoundRobin, SharedInstances, StaticAddresses,
    SystemConnector, WatchedInstances,
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

/// A client of one service. A clone is cheap and shares the connections. Generated clients wrap it.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/generated/echo.rs"));
/// use std::time::Duration;
/// use echo::{MirrorClient, Req};
/// use kitex::{Client, Context, Result};
///
/// # fn main() {}
/// async fn count(address: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
///     let client = Client::builder("counter")
///         .caller("reader")
///         .address(address)
///         .connect_timeout(Duration::from_secs(1))
///         .build()?;
///     let client = MirrorClient::new(client);
///
///     // Everything opened under `ctx` ends after 10 s.
///     let ctx = Context::background().with_timeout(Duration::from_secs(10));
///     let mut stream = client.down(&ctx, Req::default()).await?;
///     while let Some(response) = stream.recv().await? {
///         println!("{response:?}");
///     }
///     client.close().await;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Client {
    direct: Direct,
    /// The middleware around `direct`, if there is any.
    layered: Option<Arc<dyn Invoke>>,
    messages: MessageSettings,
    options: CallOptions,
}

impl Client {
    /// Returns the same client with another Recv timeout.
    #[must_use]
    pub fn with_recv_timeout(&self, timeout: impl Into<Option<RecvTimeout>>) -> Self {
        self.with_options(|options| options.recv_timeout = timeout.into())
    }

    /// Returns the same client with other options for its calls.
    #[must_use]
    pub fn with_options(&self, change: impl FnOnce(&mut CallOptions)) -> Self {
        let mut client = self.clone();
        change(&mut client.options);
        client
    }

    /// Closes the connections gracefully: queued frames are written, and after a cancel a connection stays open until the
    /// peer has had time to read the Rst. Takes at most 1 s. Call it before the process exits.
    pub async fn close(&self) {
        self.direct.raw.close().await;
    }

    /// Returns the number of connections, streams and dials.
    pub fn pool_stats(&self) -> PoolStats {
        self.direct.raw.pool_stats()
    }

    /// Makes a ping-pong call. For generated code. Cancel-safe: dropping the future abandons the call; the handler may or
    /// may not have run.
    ///
    /// # Errors
    /// The error of the handler; no connection could be established, or it was lost; the context has ended.
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

    /// Makes a call without a response; returns when the request was written to the socket. For generated code.
    ///
    /// # Errors
    /// No connection could be established, or it was lost; the context has ended.
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

    /// Opens a stream of requests with one response. For generated code. Cancel-safe: a stream whose opening is dropped
    /// is canceled.
    ///
    /// # Errors
    /// No connection could be established; the context has ended; the header is too large.
    pub async fn client_streaming<Req: Payload<C>, Resp: Payload<C>, C>(
        &self,
        ctx: &Context,
        method: &Method,
    ) -> Result<ClientStreamingClient<Req, Resp, C>> {
        let stream = self.open(ctx, method).await?;
        Ok(ClientStreamingClient::new(stream, self.messages.clone()))
    }

    /// Opens a stream of responses to `request`. For generated code. Cancel-safe: a stream whose opening is dropped is
    /// canceled.
    ///
    /// # Errors
    /// As [`client_streaming`](Self::client_streaming); the request cannot be encoded.
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

    /// Opens a bidirectional stream. For generated code. Cancel-safe: a stream whose opening is dropped is canceled.
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
            // Boxed: this future is large and short-lived, and would enlarge the future of every handler that opens a stream.
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

/// Returns whether a response has neither a result nor an exception.
fn lacks_result(error: &Error) -> bool {
    let Error::Codec(error) = error else { return false };
    error.downcast_ref::<DecodeError>().is_some_and(|error| matches!(error.fault(), Fault::MissingResult))
}
