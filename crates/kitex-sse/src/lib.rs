//! Server-sent events from Kitex streams.
//!
//! [`Sse::respond`] opens a server-streaming call and returns an HTTP response whose body is the call's messages as
//! server-sent events. The body is an [`http_body::Body`], so it works with axum, hyper and warp. When the client
//! disconnects, the HTTP server drops the body, and the call is canceled at once in the whole chain: code 12011, cause
//! [`Disconnected`].
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../kitex/examples/generated/echo.rs"));
//! use echo::{MirrorClient, Req, Resp};
//! use http::Response;
//! use kitex::Context;
//! use kitex_sse::{Event, Sse, SseBody};
//!
//! // An axum handler may return this; so may a hyper service.
//! async fn down(client: MirrorClient, question: String) -> Response<SseBody> {
//!     let request = Req { msg: Some(question.into()), ..Req::default() };
//!     let open = |ctx: Context| async move { client.down(&ctx, request).await };
//!     let event = |answer: Resp| Event::data(answer.msg.unwrap_or_default()).name("token");
//!     Sse::new().respond(&Context::background(), open, event).await
//! }
//! # fn main() {}
//! ```
//!
//! The response is 200 once the first message has come or [`Sse::first_message_wait`] has passed. An error before that
//! sets the HTTP status (see [`status_of`]) and is the JSON body; a later one is an `event: error`, see [`error_json`].
//! While no message comes, a comment is sent every [`Sse::keep_alive`], so that a connection whose client is gone
//! without a word is noticed; see [`set_lost_peer_timeout`] for the other half of it.
//!
//! At most one message and 16 KiB of encoded events are held: a client that reads slowly slows the call down by its
//! flow control.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod body;
mod call;
mod error;
mod event;
mod guard;
mod last_event_id;
mod respond;
mod socket;

pub use body::SseBody;
pub use call::ToEvents;
pub use error::{error_json, status_of};
pub use event::Event;
pub use guard::{Disconnected, cancel_on_disconnect};
pub use last_event_id::LastEventId;
pub use respond::Sse;
pub use socket::set_lost_peer_timeout;
