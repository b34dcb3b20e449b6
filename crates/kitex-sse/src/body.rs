//! The body of an event stream. Owns frames, ids and keep-alive comments; where events come from is a [`Source`].

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::Event;
use crate::call::Source;

/// The body of a response: server-sent events, or JSON where the call failed before its first message. Dropping it
/// before its end cancels the call.
#[must_use = "dropping the body cancels the call"]
pub struct SseBody(State);

enum State {
    Events(Box<Events>),
    Json(Bytes),
    Done,
}

struct Events {
    source: Box<dyn Source>,
    /// What `source` has appended and is not encoded yet.
    waiting: Vec<Event>,
    buffer: BytesMut,
    keep_alive: Option<KeepAlive>,
    next_id: Option<u64>,
}

/// How a body sends its events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) retry: Option<Duration>,
    pub(crate) next_id: Option<u64>,
}

impl SseBody {
    /// Returns a body of `events`, which need not come from a call: for a view that a service streams to browsers. It
    /// has a keep-alive comment every 15 s. Dropping the body drops `events`.
    pub fn of_events(events: impl Stream<Item = Event> + Send + 'static) -> Self {
        let settings = Settings { keep_alive: Some(DEFAULT_KEEP_ALIVE), retry: None, next_id: None };
        Self::new(Box::new(Plain(Box::pin(events))), settings)
    }

    pub(crate) fn new(source: Box<dyn Source>, settings: Settings) -> Self {
        let mut buffer = BytesMut::new();
        match settings.retry {
            Some(retry) => buffer.extend_from_slice(format!("retry: {}\n\n", retry.as_millis()).as_bytes()),
            // Proxies and browsers show a response as open once it has a byte.
            None => buffer.extend_from_slice(COMMENT),
        }
        let keep_alive = settings.keep_alive.map(KeepAlive::new);
        let next_id = settings.next_id;
        Self(State::Events(Box::new(Events { source, waiting: Vec::new(), buffer, keep_alive, next_id })))
    }

    pub(crate) fn json(json: String) -> Self {
        Self(State::Json(json.into()))
    }
}

impl Body for SseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut self.0 {
            State::Events(events) => match events.poll_bytes(cx) {
                Poll::Ready(bytes) => bytes,
                Poll::Pending => return Poll::Pending,
            },
            State::Json(json) => Some(std::mem::take(json)).filter(|json| !json.is_empty()),
            State::Done => None,
        };
        if bytes.is_none() {
            self.0 = State::Done;
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Events(_) => false,
            State::Json(json) => json.is_empty(),
            State::Done => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Json(json) => SizeHint::with_exact(u64::try_from(json.len()).unwrap_or(u64::MAX)),
            State::Events(_) => SizeHint::default(),
            State::Done => SizeHint::with_exact(0),
        }
    }
}

impl Events {
    /// The next bytes: as many events as are there, up to a bound; or a comment where there has been none for a while.
    fn poll_bytes(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Bytes>> {
        let mut open = true;
        while open && self.buffer.len() < MAX_FRAME {
            match self.source.poll_events(cx, &mut self.waiting) {
                Poll::Ready(more) => open = more,
                Poll::Pending => break,
            }
            self.encode();
        }
        if self.buffer.is_empty() {
            if !open {
                return Poll::Ready(None);
            }
            let due = self.keep_alive.as_mut().is_some_and(|keep_alive| keep_alive.poll_due(cx));
            if !due {
                return Poll::Pending;
            }
            self.buffer.extend_from_slice(COMMENT);
        }
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.restart();
        }
        Poll::Ready(Some(self.buffer.split().freeze()))
    }

    fn encode(&mut self) {
        for mut event in self.waiting.drain(..) {
            if let Some(id) = self.next_id.filter(|_| !event.has_id()) {
                event = event.id(id.to_string());
                self.next_id = Some(id.saturating_add(1));
            }
            event.encode(&mut self.buffer);
        }
    }
}

impl fmt::Debug for SseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Events(_) => "events",
            State::Json(_) => "json",
            State::Done => "done",
        };
        f.debug_tuple("SseBody").field(&state).finish()
    }
}

/// Events that come from no call.
struct Plain(Pin<Box<dyn Stream<Item = Event> + Send>>);

impl Source for Plain {
    fn poll_events(&mut self, cx: &mut TaskContext<'_>, events: &mut Vec<Event>) -> Poll<bool> {
        self.0.as_mut().poll_next(cx).map(|event| {
            let open = event.is_some();
            events.extend(event);
            open
        })
    }
}

/// The time since the last frame.
struct KeepAlive {
    interval: Duration,
    timer: Pin<Box<Sleep>>,
}

impl KeepAlive {
    fn new(interval: Duration) -> Self {
        Self { interval, timer: Box::pin(sleep(interval)) }
    }

    fn poll_due(&mut self, cx: &mut TaskContext<'_>) -> bool {
        self.timer.as_mut().poll(cx).is_ready()
    }

    fn restart(&mut self) {
        let now = Instant::now();
        self.timer.as_mut().reset(now.checked_add(self.interval).unwrap_or(now));
    }
}

pub(crate) const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(15);
const COMMENT: &[u8] = b":\n\n";
/// Bytes of a frame, unless one event is longer.
const MAX_FRAME: usize = 16 * 1024;
