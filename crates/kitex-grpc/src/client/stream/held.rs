//! What a client's stream holds of the memory budget, and its end when that is used up.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use kerrors::{Code, Side, StreamError};
use stream_core::memory::NO_MEMORY;

use super::ClientStream;
use super::state::ResponseState;
use crate::held::Holds;
use crate::status;

impl Holds for ClientStream {
    fn held(&self) -> usize {
        let mut state = self.state.lock();
        // The response of a stream that is not read would stay in h2, with the messages behind it.
        if !state.waiting.is_waiting()
            && let ResponseState::Header(response) = &mut state.incoming
            && let Poll::Ready(response) = Pin::new(response).poll(&mut Context::from_waker(Waker::noop()))
        {
            self.read_response(&mut state, response);
        }
        let held = match &mut state.incoming {
            ResponseState::Messages(incoming) | ResponseState::Trailers(incoming) => incoming.held(),
            ResponseState::Header(_) | ResponseState::Ended => 0,
        };
        let held = held.saturating_add(state.pending.len());
        let has_ended = state.end.is_outcome();
        drop(state);
        if has_ended {
            self.waker.wake_senders();
        }
        held
    }

    fn unsent(&self) -> usize {
        let state = self.state.lock();
        if state.end.is_outcome() { 0 } else { state.pending.unsent() }
    }

    fn shed(&self) {
        let origin = StreamError::new(Code::SLOW_CONSUMER).with_cause(NO_MEMORY).on_side(Side::Client);
        self.expire(status::no_memory().with_origin(origin));
    }
}
