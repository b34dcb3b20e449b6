//! The errors of a model: one line each, with advice. Owns the texts.

use std::time::Duration;

use thiserror::Error;

use super::sse::MAX_EVENT_LEN;

/// The error of a reply. Texts of a peer are quoted on one line, bounded and escaped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// `OPENAI_BASE_URL` is invalid.
    #[error("OPENAI_BASE_URL is no http address ({reason}): set one such as http://127.0.0.1:8080/v1")]
    BaseUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// `OPENAI_API_KEY` is not valid in a header.
    #[error("OPENAI_API_KEY is not valid in an HTTP header: set it again, without line breaks")]
    ApiKey,
    /// No TLS client can be created.
    #[error("TLS is not available ({reason}): install the system's certificates, or use an http address")]
    Tls {
        /// What is missing.
        reason: String,
    },
    /// No connection, or it was lost before the response.
    #[error("cannot reach {url} ({reason}): check OPENAI_BASE_URL, and that the endpoint is running")]
    Unreachable {
        /// The URL of the request.
        url: String,
        /// The system's error.
        reason: String,
    },
    /// Another status than 200.
    #[error("{url} answered HTTP {status} ({message}): {}", advice(*status))]
    Status {
        /// The URL of the request.
        url: String,
        /// The status.
        status: u16,
        /// The endpoint's message.
        message: String,
    },
    /// Status 200, but the body is not a stream of events.
    #[error("{url} answered with {content_type} instead of a stream: check OPENAI_BASE_URL")]
    NotAStream {
        /// The URL of the request.
        url: String,
        /// The content type of the response.
        content_type: String,
    },
    /// The endpoint reported an error within the reply.
    #[error("the model ended its reply with an error ({message}): ask again, or check OPENAI_MODEL")]
    Reply {
        /// The endpoint's message.
        message: String,
    },
    /// The connection ended before the reply did.
    #[error("{url} closed the connection before the end of the reply: ask again")]
    Cut {
        /// The URL of the request.
        url: String,
    },
    /// Nothing was received for too long.
    #[error("{url} sent nothing for {silence:?}: check that the endpoint is not overloaded, and ask again")]
    Silent {
        /// The URL of the request.
        url: String,
        /// The timeout.
        silence: Duration,
    },
    /// An oversize event.
    #[error("{url} sent an event of more than {MAX_EVENT_LEN} bytes: check OPENAI_BASE_URL")]
    EventTooLarge {
        /// The URL of the request.
        url: String,
    },
    /// An event that is not a chunk of a chat completion.
    #[error("{url} sent an event that is no chat completion ({reason}): check OPENAI_BASE_URL")]
    NotUnderstood {
        /// The URL of the request.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Returns the advice for a status.
const fn advice(status: u16) -> &'static str {
    match status {
        401 => "set OPENAI_API_KEY",
        403 => "check OPENAI_API_KEY and what it is allowed to use",
        400 | 422 => "check OPENAI_MODEL",
        404 => "check OPENAI_BASE_URL, which usually ends in /v1, and OPENAI_MODEL",
        408 | 429 | 500..=599 => "ask again later",
        _ => "check OPENAI_BASE_URL",
    }
}
