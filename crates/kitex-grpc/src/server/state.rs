//! The state of the server's end of one stream.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use kerrors::{Error, GrpcStatus};
use stream_core::Metadata;
use stream_core::call::CallHead;
use stream_core::cancel::{Cascade, Reason as CancelReason, Scope};
use stream_core::stream::HeldStream;
use tokio::task::AbortHandle;

use crate::incoming::{Incoming, Waiting};
use crate::observed::Observed;
use crate::pending::Pending;

pub(super) struct State {
    /// Boxed, since it is taken when the handler begins.
    pub(super) head: Option<Box<CallHead>>,
    pub(super) scope: Option<Scope>,
    pub(super) outgoing: Outgoing,
    /// Encoded messages that the connection's task is about to pass to h2.
    pub(super) pending: Pending,
    pub(super) incoming: Option<Incoming>,
    pub(super) waiting: Waiting,
    pub(super) header: Metadata,
    /// The result of Recv from now on.
    pub(super) received: Option<Result<(), Error>>,
    /// The status that ended the stream before its handler returned.
    pub(super) outcome: Option<GrpcStatus>,
    /// What its handles get once the handler has returned.
    pub(super) finished: Option<GrpcStatus>,
    pub(super) deadline: Option<AbortHandle>,
    pub(super) observed: Observed,
}

/// The direction to the client.
pub(super) enum Outgoing {
    /// The header was not sent.
    Header(SendResponse<Bytes>),
    Messages(SendStream<Bytes>),
    /// The trailers were sent, or the stream has ended.
    Ended,
}

/// Actions to run once the lock of a stream is released.
#[derive(Default)]
#[must_use]
pub(super) struct After {
    pub(super) cascade: Option<Cascade>,
    pub(super) receiver: Option<Waker>,
    /// The end of the stream under its handler, to be recorded.
    pub(super) ended: Option<(Option<HeldStream>, GrpcStatus)>,
}

impl State {
    /// Ends the stream before its handler has returned, and closes the handler's scope.
    pub(super) fn end(&mut self, status: GrpcStatus) -> After {
        if self.finished.is_some() || self.outcome.is_some() {
            return After::default();
        }
        let reason = CancelReason::Foreign(Arc::new(status.clone()));
        let ended = Some((self.observed.held(), status.clone()));
        self.outcome = Some(status);
        let cascade = self.scope.as_ref().map(|scope| scope.close(&reason));
        After { cascade, receiver: self.waiting.take(), ended }
    }

    /// Drops the h2 handles.
    pub(super) fn give_up(&mut self) {
        self.incoming = None;
        self.outgoing = Outgoing::Ended;
        self.pending.clear();
        self.deadline.take().into_iter().for_each(|timer| timer.abort());
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.outgoing {
            Outgoing::Header(respond) => respond.send_reset(reason),
            Outgoing::Messages(send) => send.send_reset(reason),
            Outgoing::Ended => {}
        }
    }

    pub(super) fn ended_send(&self) -> Result<(), Error> {
        match self.outcome.as_ref().or(self.finished.as_ref()) {
            Some(status) => Err(status.clone().into()),
            None => Ok(()),
        }
    }

    pub(super) fn ended_recv(&self) -> Option<Result<Option<Bytes>, Error>> {
        if let Err(error) = self.ended_send() {
            return Some(Err(error));
        }
        self.received.clone().map(|received| received.map(|()| None))
    }
}
