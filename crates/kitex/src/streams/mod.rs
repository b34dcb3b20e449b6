//! Typed streams, with Kitex's names. Each wraps a raw sender, a raw receiver, or both, and only encodes and decodes
//! messages.

mod client;
mod message;
mod server;

pub use client::{BidiStreamingClient, ClientStreamingClient, ServerStreamingClient};
pub(crate) use message::encode;
pub use message::{MessageReceiver, MessageSender, RecvMessage, SendMessage};
pub use server::{BidiStreamingServer, ClientStreamingServer, ServerStreamingServer};
