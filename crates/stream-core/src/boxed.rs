//! A boxed future.

use std::future::Future;
use std::pin::Pin;

/// A boxed future, for what happens once a connection or once a call, never once a message.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
