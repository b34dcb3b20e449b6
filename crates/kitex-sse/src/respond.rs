//! Opens a call for an HTTP client and makes the response. Owns the head of the response: status and headers.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use kitex::{Context, Error, Payload, Result, ServerStreamingClient};
use serde_json::json;
use tokio::time::timeout;

use crate::body::{DEFAULT_KEEP_ALIVE, Settings, SseBody};
use crate::call::{Call, ToEvents};
use crate::error::{error_json, status_of};
use crate::guard::{ClientGuard, Guarded};

/// Makes event streams of calls.
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `respond` is called"]
pub struct Sse {
    body: Settings,
    first_message_wait: Duration,
    status: fn(&Error) -> StatusCode,
}

impl Default for Sse {
    fn default() -> Self {
        let body = Settings { keep_alive: Some(DEFAULT_KEEP_ALIVE), retry: None, next_id: None };
        Self { body, first_message_wait: DEFAULT_FIRST_MESSAGE_WAIT, status: status_of }
    }
}

impl Sse {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long nothing may be sent before a comment is sent. Default 15 s. It bounds how long a client that
    /// vanished without closing its connection keeps its call, see
    /// [`set_lost_peer_timeout`](crate::set_lost_peer_timeout). At least 1 ms.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.body.keep_alive = Some(interval.max(MIN_KEEP_ALIVE));
        self
    }

    /// Sends no comments.
    pub fn without_keep_alive(mut self) -> Self {
        self.body.keep_alive = None;
        self
    }

    /// Sets how long a browser waits before it reconnects, in whole milliseconds. Default: the browser's own time, 3 s
    /// for most.
    pub fn retry(mut self, wait: Duration) -> Self {
        self.body.retry = Some(wait);
        self
    }

    /// Numbers the events that have no id, from `first` on. Default: no ids.
    pub fn number(mut self, first: u64) -> Self {
        self.body.next_id = Some(first);
        self
    }

    /// Sets how long the head of the response waits for the first message, so that an error before it can set the HTTP
    /// status. Default 10 s. After that the head is 200, and an error is an `event: error`. Zero: the head does not wait.
    pub fn first_message_wait(mut self, wait: Duration) -> Self {
        self.first_message_wait = wait;
        self
    }

    /// Sets which HTTP status an error before the first message has. Default: [`status_of`].
    pub fn status(mut self, status: fn(&Error) -> StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Opens a call under a child of `ctx` and returns the response for it. The client has disconnected when this future
    /// or the response's body is dropped: then the call is canceled with 12011 and the cause
    /// [`Disconnected`](crate::Disconnected).
    ///
    /// Needs a tokio runtime with time.
    pub async fn respond<T, C, F>(
        self,
        ctx: &Context,
        open: impl FnOnce(Context) -> F,
        to_events: impl ToEvents<T>,
    ) -> Response<SseBody>
    where
        T: Payload<C> + Send + 'static,
        C: 'static,
        F: Future<Output = Result<ServerStreamingClient<T, C>>>,
    {
        let (ctx, guard) = ClientGuard::new(ctx);
        let opened = async {
            let mut stream = open(ctx).await?;
            let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
            match timeout(self.first_message_wait, next).await.ok() {
                Some(Some(Err(error))) => Err(error),
                first => Ok((stream, first)),
            }
        };
        match (Guarded { guard: Some(guard), work: Box::pin(opened) }).await {
            (Ok((stream, first)), guard) => {
                let call = Call::new(guard, stream, first, to_events);
                Self::events(SseBody::new(Box::new(call), self.body))
            }
            (Err(error), guard) => {
                guard.into_iter().for_each(ClientGuard::disarm);
                failure(&error, (self.status)(&error))
            }
        }
    }

    /// Returns a response of status 200 and the headers of an event stream: `text/event-stream`, and that neither a
    /// cache nor a proxy (`X-Accel-Buffering: no`) may hold events back.
    pub fn events(body: SseBody) -> Response<SseBody> {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        response
    }
}

/// `{"error": ...}` with [`error_json`].
fn failure(error: &Error, status: StatusCode) -> Response<SseBody> {
    let mut response = Response::new(SseBody::json(json!({"error": error_json(error)}).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const DEFAULT_FIRST_MESSAGE_WAIT: Duration = Duration::from_secs(10);
const MIN_KEEP_ALIVE: Duration = Duration::from_millis(1);
