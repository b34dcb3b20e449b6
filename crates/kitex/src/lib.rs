//! Typed services on TTHeader Streaming, in the words of CloudWeGo Kitex. Unofficial; not affiliated with
//! CloudWeGo.
//!
//! A service is written against the trait that `kitex-codegen` makes of its Thrift IDL: each method gets
//! a [`Context`], the request or a typed stream, and returns a result. A client's method takes a
//! `&Context` and returns a typed stream. What a handler opens under its context ends when its own
//! stream does, at once, and each hop can say who canceled and along which path.
//!
//! This crate has doors only: builders, typed streams, context, metainfo. The protocol is
//! [`stream_core`]'s, the sentences are [`kerrors`]', the payloads [`kitex_thrift`]'s.

pub mod client;
mod context;
pub mod inspect;
mod metainfo;
pub mod middleware;
pub mod server;
mod streams;

pub use async_trait::async_trait;
pub use bytes;
pub use kerrors::{
    ApplicationException, BadServiceName, BizStatusError, CancelPath, Code, Error, GrpcStatus, Kind,
    RecvTimeout, Result, Side, StreamError,
};
pub use kitex_thrift::{Payload, generated};
pub use pilota;
pub use stream_core::cancel::Reason;
pub use stream_core::io::Address;
pub use stream_core::observe;
pub use stream_core::{Cores, Metadata, Method, StreamingMode};
/// The crates that this one stands on, for what it does not re-export by name.
#[doc(no_inline)]
pub use {kerrors, kitex_grpc, kitex_thrift, stream_core, ttheader_codec, ttstream};

pub use client::{CallOptions, Client};
pub use context::{Canceler, Context};
pub use metainfo::Propagation;
pub use server::{Answer, Answering, Call, Server, Service};
pub use streams::{
    BidiStreamingClient, BidiStreamingServer, ClientStreamingClient, ClientStreamingServer, MessageReceiver,
    MessageSender, RecvMessage, SendMessage, ServerStreamingClient, ServerStreamingServer,
};
