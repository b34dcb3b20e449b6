//! Why a model gives no reply: one line each, which ends in what to do about it. Owns the sentences.

use std::time::Duration;

use thiserror::Error;

use super::sse::MAX_EVENT_LEN;

/// Why there is no reply, or no more of it. What a peer said is quoted on one line, bounded and escaped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// `OPENAI_BASE_URL` cannot be asked.
    #[error("OPENAI_BASE_URL is no http address ({reason}): set one such as http://127.0.0.1:8080/v1")]
    BaseUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// `OPENAI_API_KEY` does not fit into a header.
    #[error("OPENAI_API_KEY holds what no HTTP header can carry: set it again, without line breaks")]
    ApiKey,
    /// No TLS client can be made.
    #[error("TLS is not available ({reason}): install the system's certificates, or use an http address")]
    Tls {
        /// What is missing.
        reason: String,
    },
    /// No connection, or it was lost before the answer began.
    #[error("cannot reach {url} ({reason}): check OPENAI_BASE_URL, and that the endpoint is running")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// Another status than 200.
    #[error("{url} answered HTTP {status} ({message}): {}", advice(*status))]
    Status {
        /// Who was asked.
        url: String,
        /// The status.
        status: u16,
        /// What the endpoint said about it.
        message: String,
    },
    /// Status 200, but the body is no stream of events.
    #[error("{url} answered with {content_type} instead of a stream: check OPENAI_BASE_URL")]
    NotAStream {
        /// Who was asked.
        url: String,
        /// What came instead.
        content_type: String,
    },
    /// The endpoint reported an error within the reply.
    #[error("the model ended its reply with an error ({message}): ask again, or check OPENAI_MODEL")]
    Reply {
        /// What the endpoint said.
        message: String,
    },
    /// The connection ended before the reply did.
    #[error("{url} closed the connection before the end of the reply: ask again")]
    Cut {
        /// Who was asked.
        url: String,
    },
    /// Nothing came for too long.
    #[error("{url} sent nothing for {silence:?}: check that the endpoint is not overloaded, and ask again")]
    Silent {
        /// Who was asked.
        url: String,
        /// How long was waited.
        silence: Duration,
    },
    /// An event without end.
    #[error("{url} sent an event of more than {MAX_EVENT_LEN} bytes: check OPENAI_BASE_URL")]
    EventTooLarge {
        /// Who was asked.
        url: String,
    },
    /// An event that is no piece of a chat completion.
    #[error("{url} sent an event that is no chat completion ({reason}): check OPENAI_BASE_URL")]
    NotUnderstood {
        /// Who was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What to do about a status.
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
