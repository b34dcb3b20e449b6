//! Typed streams, named as Kitex names them. Each stands on a raw sender, a raw receiver, or both; only
//! messages are encoded and decoded here.

mod client;
mod message;
mod server;

pub use client::{BidiStreamingClient, ClientStreamingClient, ServerStreamingClient};
pub(crate) use message::encode;
pub use message::{MessageReceiver, MessageSender, RecvMessage, SendMessage};
pub use server::{BidiStreamingServer, ClientStreamingServer, ServerStreamingServer};
