//! Typed streaming RPC with cancellation, compatible with CloudWeGo Kitex StreamX. Unofficial; not affiliated with
//! CloudWeGo.
//!
//! `kitex-codegen` generates a trait and a client from a Thrift IDL. A service implements the trait: each method gets a
//! [`Context`] and the request or a typed stream, and returns a result. A method of the client takes a `&Context` and
//! returns a response or a typed stream. When a handler's stream ends, all streams and calls that it opened under its
//! context are canceled immediately; each hop reports the code and the path of services that canceled it.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/generated/echo.rs"));
//! use echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
//! use kitex::testing::Network;
//! use kitex::{Code, Context, Result, Server, ServerStreamingServer};
//!
//! struct Counter;
//!
//! #[kitex::async_trait]
//! impl Mirror for Counter {
//!     async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
//!         Ok(Resp { msg: req.msg, ..Resp::default() })
//!     }
//!
//!     async fn down(&self, _: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
//!         for seq in 0.. {
//!             // Fails with the reason as soon as the client cancels.
//!             stream.send(&Resp { seq: Some(seq), ..Resp::default() }).await?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//!     let network = Network::new();
//!     let server = network.serve(Server::builder("counter").service(MirrorServer::new(Counter)))?;
//!     let client = MirrorClient::new(network.client("counter").caller("reader").build()?);
//!
//!     let (ctx, canceler) = Context::background().with_cancel();
//!     let mut stream = client.down(&ctx, Req::default()).await?;
//!     assert_eq!(stream.recv().await?.and_then(|response| response.seq), Some(0));
//!     canceler.cancel();
//!     let error = stream.recv().await.expect_err("the stream is canceled");
//!     assert_eq!(error.code(), Some(Code::CANCELED));
//!
//!     server.shutdown().await;
//!     Ok(())
//! }
//! ```
//!
//! Here [`testing::Network`] connects client and server in memory. To use sockets, serve with
//! [`Server::builder`]`(...).bind("0.0.0.0:8888")` and connect with [`Client::builder`]`(...).address("host:8888")`.
//!
//! - [`Server`], [`Client`]: builders of servers and clients. [`middleware`]: layers around calls and messages.
//! - [`Context`]: cancel, deadline, metainfo. [`Error`], [`Code`]: how a call or stream ended.
//! - [`ServerStreamingClient`] and the types listed with it: typed streams. [`testing`]: tests without sockets.
//! - [`inspect`], [`observe`]: open streams, and events of calls for metrics and traces.
//!
//! Features of the connection are configured at the builders: flow control and backpressure
//! ([`client::ConnectionConfig`]), timeouts, keepalive of sockets (always on), and graceful shutdown
//! ([`server::ServerBuilder::exit_wait`]). `docs/limits.md` in the repository lists every limit.
//!
//! The protocols are in [`stream_core`], [`ttstream`] and [`kitex_grpc`], error texts in [`kerrors`], payloads in
//! [`kitex_thrift`].

pub mod client;
mod codec;
mod context;
pub mod inspect;
mod invoke;
mod message_layer;
mod metainfo;
pub mod middleware;
pub mod server;
mod streams;
pub mod testing;

pub use async_trait::async_trait;
pub use bytes;
pub use kerrors::{
    ApplicationException, BadServiceName, BizStatusError, CancelPath, Code, Error, ErrorKind, GrpcStatus,
    RecvTimeout, Result, Side, StreamError,
};
pub use kitex_thrift::{AHashMap, AHashSet, FastStr, Limits, VecMap, VecSet, generated};
/// Types of generated code, at the path used by code of earlier versions.
#[doc(hidden)]
pub mod pilota {
    pub use kitex_thrift::{AHashMap, AHashSet, Bytes, FastStr};
}
/// What code generated from `.proto` files names.
#[cfg(feature = "protobuf")]
#[doc(no_inline)]
pub use {prost, prost_types};

pub use stream_core::cancel::Reason;
pub use stream_core::io::Address;
pub use stream_core::observe;
pub use stream_core::{
    Extensions, MemoryBudget, Metadata, Metainfo, Method, PayloadCodec, StreamingMode, ThreadPerCore,
};
/// The crates below this one, for items that it does not re-export by name.
#[doc(no_inline)]
pub use {kerrors, kitex_grpc, kitex_thrift, stream_core, ttheader_codec, ttstream};

pub use client::{CallOptions, Client};
#[cfg(feature = "protobuf")]
pub use codec::Protobuf;
pub use codec::{Codec, Payload, Thrift};
pub use context::{Canceler, Context};
/// TLS: see [`ClientBuilder::tls`](client::ClientBuilder::tls) and [`ServerBuilder::tls`](server::ServerBuilder::tls).
#[cfg(feature = "tls")]
#[doc(no_inline)]
pub use kitex_tls as tls;
pub use metainfo::Propagation;
pub use server::{Call, Response, ResponseFuture, Server, Service};
pub use streams::{
    BidiStreamingClient, BidiStreamingServer, ClientStreamingClient, ClientStreamingServer, MessageReceiver,
    MessageSender, RecvMessage, SendMessage, ServerStreamingClient, ServerStreamingServer,
};
