//! Makes calls, each on a connection that it has to itself while it lasts. A connection whose call did
//! not end well is not used again: a late answer must not meet the next call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kerrors::{ApplicationException, Error, GoDuration, MessageKind};
use stream_core::call::{UnaryRequest, UnaryResponse};
use stream_core::clock;
use stream_core::dial::Dialer;
use stream_core::io::{Io, ReadBuffer, write_all};
use stream_core::transport::{BoxFuture, UnaryTransport};
use tokio::runtime::{self, Handle};
use ttheader_codec::{Limits, key};

use super::CallProtocol;
use super::wire::{Message, Outgoing, RequestInts, decode, encode};
use crate::sync::Mutex;
use crate::{Metadata, head, status};

/// Idle connections that are kept for the next call, and for how long.
const MAX_IDLE: usize = 100;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The connections of one client's calls.
#[derive(Debug)]
pub(crate) struct Calls {
    dialer: Arc<Dialer>,
    idle: Mutex<VecDeque<Idle>>,
    last_id: AtomicI32,
    reuse: bool,
    protocol: CallProtocol,
    limits: Limits,
    write_timeout: Duration,
}

/// A connection that waits for the next call.
#[derive(Debug)]
struct Idle {
    since: Instant,
    connection: Connection,
}

#[derive(Debug)]
struct Connection {
    io: Io,
    /// Where alone it may be used: a socket's events come to the runtime that dialed, and end with it.
    home: Option<runtime::Id>,
    buffer: ReadBuffer,
}

impl UnaryTransport for Calls {
    fn call<'a>(&'a self, request: UnaryRequest<'a>) -> BoxFuture<'a, Result<UnaryResponse, Error>> {
        Box::pin(self.call_in_scope(request))
    }
}

impl Calls {
    pub(crate) fn new(
        dialer: Arc<Dialer>,
        protocol: CallProtocol,
        limits: Limits,
        write_timeout: Duration,
        reuse: bool,
    ) -> Self {
        Self {
            dialer,
            idle: Mutex::default(),
            last_id: AtomicI32::new(0),
            reuse,
            protocol,
            limits,
            write_timeout,
        }
    }

    /// Makes a call. Dropping the future gives it up and closes its connection.
    async fn call_in_scope(&self, request: UnaryRequest<'_>) -> Result<UnaryResponse, Error> {
        let timed = self.call_in_time(&request);
        let Some(scope) = request.call.scope else { return timed.await };
        tokio::select! {
            biased;
            reason = scope.canceled() => Err(reason.for_stream(request.call.caller, None).0.into()),
            response = timed => response,
        }
    }

    async fn call_in_time(&self, request: &UnaryRequest<'_>) -> Result<UnaryResponse, Error> {
        let Some(deadline) = request.call.deadline else { return self.call_now(request, None).await };
        let left = deadline.saturating_duration_since(clock::now());
        let late = || {
            let (left, to, method) = (GoDuration(left), request.call.callee, request.call.method.name());
            Err(Error::Timeout(format!("timeout={left}, to={to}, method={method}")))
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
    ) -> Result<UnaryResponse, Error> {
        let sequence_id = self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        // First: a call that cannot be sent must cost no connection.
        let mut out = self.encode(request, sequence_id, timeout)?;
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => Connection {
                io: self.dialer.dial().await?,
                home: current_runtime(),
                buffer: ReadBuffer::default(),
            },
        };
        write_all(&connection.io, &mut out, self.write_timeout).await.map_err(Error::network)?;
        if request.call.method.is_oneway() {
            self.put_idle(connection);
            let (metadata, backward) = (Metadata::new(), Vec::new());
            return Ok(UnaryResponse { metadata, backward, result: Ok(Bytes::new()) });
        }
        let response = loop {
            match decode(self.protocol, connection.buffer.bytes(), &self.limits).map_err(Error::network)? {
                Some(response) => break response,
                None => connection.read().await?,
            }
        };
        check(&response, sequence_id)?;
        let reusable = response.metadata.get(key::CONNECTION_RESET).is_none();
        if reusable && connection.buffer.is_empty() {
            self.put_idle(connection);
        }
        read_response(response)
    }

    fn encode(
        &self,
        request: &UnaryRequest<'_>,
        sequence_id: i32,
        timeout: Option<Duration>,
    ) -> Result<BytesMut, Error> {
        let UnaryRequest { call, body } = request;
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

    fn take_idle(&self) -> Option<Connection> {
        let (now, here, mut idle) = (clock::now(), current_runtime(), self.idle.lock());
        // Nobody can use a socket whose runtime is gone, and its peer waits for its end.
        idle.retain(|Idle { connection, .. }| connection.home == here || !connection.io.is_orphaned());
        while let Some(last) = idle.iter().rposition(|waiting| waiting.connection.home == here) {
            let Idle { since, connection } = idle.remove(last)?;
            // Nothing may have arrived since the last response, the end of the connection least of all.
            if now.saturating_duration_since(since) < IDLE_TIMEOUT && connection.io.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    fn put_idle(&self, mut connection: Connection) {
        if !self.reuse {
            return;
        }
        connection.buffer.shrink();
        let mut idle = self.idle.lock();
        idle.push_back(Idle { since: clock::now(), connection });
        let oldest = if idle.len() > MAX_IDLE { idle.pop_front() } else { None };
        drop(idle);
        drop(oldest);
    }
}

impl Connection {
    async fn read(&mut self) -> Result<(), Error> {
        match self.buffer.fill(&self.io).await {
            Ok(0) => Err(Error::network("connection closed by peer before it answered")),
            Ok(_) => Ok(()),
            Err(error) => Err(Error::network(error)),
        }
    }
}

fn current_runtime() -> Option<runtime::Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

fn check(response: &Message, sequence_id: i32) -> Result<(), Error> {
    if response.sequence_id != sequence_id {
        let text = format!("answer has sequence id {}, the call {sequence_id}", response.sequence_id);
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
    Ok(UnaryResponse { backward: head::backward(&metadata), metadata, result })
}
