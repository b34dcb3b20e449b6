//! Why an operation of etcd has failed.

use std::io;

use kerrors::Escaped;

/// Characters of a text of etcd that are shown.
const MAX_TEXT: usize = 1024;

/// Returns what is shown of a text of etcd: not all of a long one, and no character that ends a log line.
pub(crate) fn shown(text: &str) -> String {
    let end = text.char_indices().nth(MAX_TEXT).map_or(text.len(), |(at, _)| at);
    Escaped(text.get(..end).unwrap_or_default()).to_string()
}

/// Why an operation of etcd has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// The name of a service is empty or has a `/`.
    #[error("service name {0:?} is empty or has a slash")]
    BadService(String),
    /// An address cannot be registered.
    #[error(
        "address {0:?} cannot be registered: give the IP address and the port on which clients reach the server"
    )]
    BadAddress(String),
    /// The scheme of an endpoint says something else than whether TLS is set.
    #[error("etcd's endpoint {0:?}: https needs Etcd::tls, and http excludes it")]
    BadScheme(String),
    /// No endpoint was given.
    #[error("etcd has no endpoint")]
    NoEndpoint,
    /// There is no tokio runtime.
    #[error("there is no tokio runtime")]
    NoRuntime,
    /// An endpoint could not be reached.
    #[error("etcd cannot be reached at {endpoint}: {source}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// The system's error.
        source: io::Error,
    },
    /// The connection was lost.
    #[error("connection to etcd was lost: {0}")]
    Lost(String),
    /// An operation took longer than its time limit, 3 s by default.
    #[error("etcd did not respond within the time limit of an operation")]
    Timeout,
    /// etcd has refused an operation.
    #[error("etcd refused the operation: {message}")]
    Refused {
        /// A code of gRPC.
        code: i64,
        /// Its text.
        message: String,
    },
    /// A response is not what etcd sends.
    #[error("the response is not one of etcd: {0}")]
    Protocol(String),
}
