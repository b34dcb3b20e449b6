//! Makes ping-pong calls, each on an exclusive connection. A connection whose call has failed is not reused:
//! a late response must not be taken for that of the next call.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kerrors::{ApplicationException, Code, Error, GoDuration, MessageKind, Side, StreamError};
use stream_core::call::{UnaryRequest, UnaryResponse};
use stream_core::clock;
use stream_core::dial::Tried;
use stream_core::io::{Io, ReadBuffer, write_all};
use stream_core::transport::{BoxFuture, SelectInstance, Selected, UnaryFailure, UnaryPaths, UnaryTransport};
use stream_core::{Retryable, UNREAD_FOR, spawn_with_runtime};
use tokio::runtime::{self, Handle};
use tokio::task::AbortHandle;
use ttheader_codec::{Limits, key};

use super::CallProtocol;
use super::pace::Pace;
use super::wire::{Message, Outgoing, RequestInts, decode, encode};
use crate::driver::{RESET_PAUSES, is_reset};
use crate::sync::Mutex;
use crate::{Metadata, head, status};

/// The connections of one client's calls.
#[derive(Debug)]
pub(crate) struct Calls {
    instances: Arc<dyn SelectInstance>,
    idle: Arc<Mutex<IdleList>>,
    last_id: AtomicI32,
    max_idle: usize,
    idle_timeout: Duration,
    protocol: CallProtocol,
    limits: Limits,
    write_timeout: Duration,
}

/// Idle connections, the oldest first.
#[derive(Debug, Default)]
struct IdleList {
    connections: VecDeque<Idle>,
    /// The task that closes those that are idle for too long, while there are any.
    watch: Option<AbortHandle>,
}

/// An idle connection.
#[derive(Debug)]
struct Idle {
    since: Instant,
    connection: Connection,
}

#[derive(Debug)]
struct Connection {
    io: Io,
    /// The address of its instance.
    address: Arc<str>,
    /// The runtime that it may be used on: a socket's events are driven by the runtime that dialed it.
    home: Option<runtime::Id>,
    buffer: ReadBuffer,
}

impl UnaryTransport for Calls {
    fn call<'a>(&'a self, request: UnaryRequest<'a>) -> BoxFuture<'a, Result<UnaryResponse, UnaryFailure>> {
        Box::pin(self.call_in_scope(request))
    }

    fn close(&self) {
        let closed = mem::take(&mut *self.idle.lock());
        // Without the lock: a byte stream may be a user's own.
        drop(closed);
    }
}

impl Calls {
    pub(crate) fn new(
        paths: UnaryPaths,
        protocol: CallProtocol,
        limits: Limits,
        write_timeout: Duration,
    ) -> Self {
        let UnaryPaths { instances, max_idle, idle_timeout, .. } = paths;
        Self {
            instances,
            idle: Arc::default(),
            last_id: AtomicI32::new(0),
            max_idle,
            idle_timeout,
            protocol,
            limits,
            write_timeout,
        }
    }

    /// Makes a call. Dropping the future abandons the call and closes its connection.
    async fn call_in_scope(&self, request: UnaryRequest<'_>) -> Result<UnaryResponse, UnaryFailure> {
        let timed = self.call_in_time(&request);
        let Some(scope) = request.call.scope else { return timed.await };
        tokio::select! {
            biased;
            reason = scope.canceled() => Err(Error::from(reason.for_stream(request.call.caller, None).0).into()),
            response = timed => response,
        }
    }

    async fn call_in_time(&self, request: &UnaryRequest<'_>) -> Result<UnaryResponse, UnaryFailure> {
        let Some(deadline) = request.call.deadline else { return self.call_now(request, None).await };
        let left = deadline.saturating_duration_since(clock::now());
        let late = || {
            let (left, to, method) = (GoDuration(left), request.call.callee, request.call.method.name());
            Err(Error::Timeout(format!("timeout={left}, to={to}, method={method}")).into())
        };
        if left.is_zero() {
            return late();
        }
        tokio::time::timeout(left, self.call_now(request, Some(left))).await.unwrap_or_else(|_| late())
    }

    async fn call_now(
        &self,
        request: &UnaryRequest<'_>,
        timeout: Option<Duration>,
    ) -> Result<UnaryResponse, UnaryFailure> {
        let sequence_id = self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        // Encoded first: a call that cannot be encoded must not cost a connection.
        let mut out = self.encode(request, sequence_id, timeout)?;
        // The call is a load of its instance until it ends.
        let (connection, selected) = self.connect(request).await?;
        let response = self.call_on(connection, request, sequence_id, &mut out).await;
        let response = response.map_err(|failure| {
            let is_final = failure.retryable == Retryable::Never;
            let refused_by = (!is_final).then(|| selected.address().clone());
            UnaryFailure { refused_by, ..failure }
        });
        selected.ended(match &response {
            Ok(response) => response.result.as_ref().err(),
            Err(failure) => Some(&failure.error),
        });
        response
    }

    async fn call_on(
        &self,
        mut connection: Connection,
        request: &UnaryRequest<'_>,
        sequence_id: i32,
        out: &mut BytesMut,
    ) -> Result<UnaryResponse, UnaryFailure> {
        request.connected(connection.io.local_addr(), connection.io.peer_addr());
        let sent = write_all(&connection.io, out, self.write_timeout).await.map_err(not_sent);
        self.check_peer(&connection, sent)?;
        request.sent();
        let sent_at = clock::now();
        if request.call.method.is_oneway() {
            self.put_idle(connection);
            let (metadata, trailer, backward) = (Metadata::new(), Metadata::new(), Vec::new());
            return Ok(UnaryResponse { metadata, trailer, backward, result: Ok(Bytes::new()) });
        }
        let mut pace = Pace::default();
        let response = loop {
            match decode(self.protocol, connection.buffer.bytes(), &self.limits).map_err(Error::network)? {
                Some(response) => break response,
                None => {
                    let read = connection.read(&mut pace, sent_at).await;
                    self.check_peer(&connection, read)?;
                }
            }
        };
        check(&response, sequence_id)?;
        let reusable = response.metadata.get(key::CONNECTION_RESET).is_none();
        if reusable && connection.buffer.is_empty() {
            self.put_idle(connection);
        }
        let is_refused = response.metadata.get(key::OVER_LIMIT).is_some();
        match read_response(response)? {
            UnaryResponse { result: Err(Error::Remote(exception)), .. } if is_refused => {
                Err(UnaryFailure::new(refused(&exception), Retryable::Always))
            }
            response => Ok(response),
        }
    }

    fn encode(
        &self,
        request: &UnaryRequest<'_>,
        sequence_id: i32,
        timeout: Option<Duration>,
    ) -> Result<BytesMut, Error> {
        let UnaryRequest { call, body, .. } = request;
        let mut out = BytesMut::new();
        let message = Outgoing {
            name: call.method.name(),
            kind: if call.method.is_oneway() { MessageKind::Oneway } else { MessageKind::Call },
            sequence_id,
            metadata: &head::strings(call),
            body,
            request: Some(RequestInts { from: call.caller, to: call.callee, timeout }),
        };
        encode(self.protocol, &message, &self.limits, &mut out).map_err(Error::codec)?;
        Ok(out)
    }

    /// Returns a connection to an instance. One that cannot be reached is skipped.
    async fn connect(&self, request: &UnaryRequest<'_>) -> Result<(Connection, Selected), Error> {
        let mut tried = Tried::after(request.refused_by);
        loop {
            let selected = self.instances.select(&request.call, &mut tried).await?;
            let address = selected.address();
            if let Some(connection) = self.take_idle(address) {
                return Ok((connection, selected));
            }
            if let Some(io) = selected.dial(&mut tried).await {
                let (address, home) = (address.clone(), current_runtime());
                let connection = Connection { io, address, home, buffer: ReadBuffer::default() };
                return Ok((connection, selected));
            }
        }
    }

    /// Returns an idle connection to the instance at `address`.
    fn take_idle(&self, address: &str) -> Option<Connection> {
        let (now, here) = (clock::now(), current_runtime());
        self.remove_orphans(here);
        let is_next =
            |Idle { connection, .. }: &Idle| connection.home == here && *connection.address == *address;
        let next = || {
            let idle = &mut self.idle.lock().connections;
            let last = idle.iter().rposition(is_next)?;
            idle.remove(last)
        };
        // Nothing may have arrived since the last response, in particular not the end of the connection.
        let is_usable = |Idle { since, connection }: &Idle| {
            now.saturating_duration_since(*since) < self.idle_timeout && connection.io.is_quiet()
        };
        std::iter::from_fn(next).find(is_usable).map(|waiting| waiting.connection)
    }

    /// Removes the idle connections whose runtime was shut down: they are unusable, and their peers wait for their end.
    /// They are checked and dropped without the lock: a byte stream may be a user's.
    fn remove_orphans(&self, here: Option<runtime::Id>) {
        let Some(elsewhere) = self.take_out(|connection| connection.home != here) else { return };
        let (removed, mut kept) = elsewhere
            .into_iter()
            .partition::<VecDeque<_>, _>(|Idle { connection, .. }| connection.io.is_orphaned());
        let mut idle = self.idle.lock();
        kept.append(&mut idle.connections);
        let excess = kept.len().saturating_sub(self.max_idle);
        idle.connections = kept.split_off(excess);
        drop(idle);
        drop((removed, kept));
    }

    /// Returns the idle connections for which `is_taken` returns true, which are idle no longer, or `None`.
    fn take_out(&self, is_taken: impl Fn(&Connection) -> bool) -> Option<VecDeque<Idle>> {
        let idle = &mut self.idle.lock().connections;
        if !idle.iter().any(|Idle { connection, .. }| is_taken(connection)) {
            return None;
        }
        let waiting = mem::take(idle).into_iter();
        let (taken, kept) = waiting.partition(|Idle { connection, .. }| is_taken(connection));
        *idle = kept;
        Some(taken)
    }

    /// A connection was lost before its peer had read the request: those that wait for a call to the same peer are lost
    /// too, most likely.
    fn check_peer(&self, lost: &Connection, result: Result<(), UnaryFailure>) -> Result<(), UnaryFailure> {
        if result.as_ref().is_err_and(|failure| failure.retryable == Retryable::Always) {
            // Dropped without the lock: a byte stream may be a user's.
            drop(self.take_out(|connection| connection.address == lost.address));
        }
        result
    }

    fn put_idle(&self, mut connection: Connection) {
        if self.max_idle == 0 || !self.instances.has(&connection.address) {
            return;
        }
        connection.buffer.shrink();
        let mut idle = self.idle.lock();
        idle.connections.push_back(Idle { since: clock::now(), connection });
        // A runtime that has ended has ended its tasks.
        if idle.watch.as_ref().is_none_or(AbortHandle::is_finished) {
            let watch = close_idle(Arc::downgrade(&self.idle), self.idle_timeout);
            idle.watch = Some(spawn_with_runtime(watch));
        }
        let oldest = if idle.connections.len() > self.max_idle { idle.connections.pop_front() } else { None };
        drop(idle);
        drop(oldest);
    }
}

impl Drop for IdleList {
    fn drop(&mut self) {
        self.watch.iter().for_each(AbortHandle::abort);
    }
}

/// Closes connections of a client that are idle for `timeout`, until there are none.
async fn close_idle(idle: Weak<Mutex<IdleList>>, timeout: Duration) {
    while let Some(oldest) = oldest(&idle) {
        let left = timeout.saturating_sub(clock::now().saturating_duration_since(oldest));
        tokio::time::sleep(left).await;
        close_expired(&idle, timeout);
    }
}

/// Returns since when the oldest connection is idle. If there is none, the next one has a task of its own.
fn oldest(idle: &Weak<Mutex<IdleList>>) -> Option<Instant> {
    let idle = idle.upgrade()?;
    let mut idle = idle.lock();
    let oldest = idle.connections.iter().map(|idle| idle.since).min();
    if oldest.is_none() {
        idle.watch = None;
    }
    oldest
}

fn close_expired(idle: &Weak<Mutex<IdleList>>, timeout: Duration) {
    let Some(idle) = idle.upgrade() else { return };
    let now = clock::now();
    let is_expired = |idle: &Idle| now.saturating_duration_since(idle.since) >= timeout;
    let mut idle = idle.lock();
    let (expired, kept) =
        mem::take(&mut idle.connections).into_iter().partition::<VecDeque<_>, _>(is_expired);
    idle.connections = kept;
    drop(idle);
    // Without the lock: a byte stream may be a user's own.
    drop(expired);
}

impl Connection {
    /// Reads more of the response to the request that was written last, at `sent_at`.
    async fn read(&mut self, pace: &mut Pace, sent_at: Instant) -> Result<(), UnaryFailure> {
        let partial = !self.buffer.is_empty();
        let read = pace.fill((&self.io, &mut self.buffer), false, partial, None);
        let (error, retryable) = match read.await {
            Ok(1..) => return Ok(()),
            Ok(0) => {
                let is_unread = self.buffer.is_empty() && self.is_reset_soon().await;
                (Error::network("connection closed by peer before the response"), lost(is_unread))
            }
            // The request was not read to its end, or part of the response would be here.
            Err(error) => {
                let is_unread = is_reset(&error);
                (Error::network(error), lost(is_unread))
            }
        };
        // Later, the reset is more likely one of a network, which proves nothing.
        let is_late = clock::now().saturating_duration_since(sent_at) > UNREAD_FOR;
        let retryable = if is_late { lost(false) } else { retryable };
        let is_answered = !self.buffer.is_empty();
        Err(UnaryFailure::new(error, if is_answered { Retryable::Never } else { retryable }))
    }

    /// Returns whether a reset follows the end of the connection: the peer's system sends one in response to bytes
    /// that no program reads.
    async fn is_reset_soon(&self) -> bool {
        for pause in RESET_PAUSES {
            if self.io.is_reset() {
                return true;
            }
            tokio::time::sleep(pause).await;
        }
        self.io.is_reset()
    }
}

/// The server has run no handler, since a limit was reached.
fn refused(exception: &ApplicationException) -> Error {
    let code = Code::new(exception.type_id);
    StreamError::new(code).on_side(Side::Client).with_cause(exception.text()).into()
}

/// The peer has not got the whole request.
fn not_sent(error: io::Error) -> UnaryFailure {
    let retryable = lost(is_reset(&error));
    UnaryFailure::new(Error::network(error), retryable)
}

/// Returns whether a call without any response may be made again whose connection was lost.
fn lost(is_unread: bool) -> Retryable {
    if is_unread { Retryable::Always } else { Retryable::IfIdempotent }
}

fn current_runtime() -> Option<runtime::Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

fn check(response: &Message, sequence_id: i32) -> Result<(), Error> {
    if response.sequence_id != sequence_id {
        let text = format!("response has sequence id {}, the call has {sequence_id}", response.sequence_id);
        return Err(Error::network(text));
    }
    Ok(())
}

fn read_response(response: Message) -> Result<UnaryResponse, Error> {
    let Message { kind, metadata, body, .. } = response;
    let result = match kind {
        MessageKind::Exception => {
            Err(Error::Remote(ApplicationException::decode_body(&body).map_err(Error::network)?))
        }
        _ => match status::biz_from(&metadata).map_err(Error::network)? {
            Some(biz) => Err(biz.into()),
            None => Ok(body),
        },
    };
    Ok(UnaryResponse { backward: head::backward(&metadata), metadata, trailer: Metadata::new(), result })
}
