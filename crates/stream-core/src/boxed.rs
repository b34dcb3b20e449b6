//! A boxed future.

use std::future::Future;
use std::pin::Pin;

/// A boxed future. Used once per connection or per call, never per message.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
