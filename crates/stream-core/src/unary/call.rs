//! Makes calls, each on a connection that it has to itself while it lasts. A connection whose call did
//! not end well is not used again: a late answer must not meet the next call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kerrors::{ApplicationException, Error, GoDuration, MessageKind};
use tokio::net::TcpStream;
use ttheader_codec::key;

use super::serve::{read_some, write_all};
use super::wire::{Message, Outgoing, RequestInts, decode, encode};
use super::{CallAnswer, CallRequest};
use crate::client::Dialer;
use crate::cores::Place;
use crate::sync::Mutex;
use crate::{Metadata, status};

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
}

/// A connection that waits for the next call.
#[derive(Debug)]
struct Idle {
    since: Instant,
    /// Where alone it may be used: a socket's events come to the thread that dialed, and end with it.
    home: Option<ThreadId>,
    socket: Socket,
}

#[derive(Debug)]
struct Socket {
    socket: TcpStream,
    buf: BytesMut,
}

impl Calls {
    pub(crate) fn new(dialer: Arc<Dialer>, reuse: bool) -> Self {
        Self { dialer, idle: Mutex::default(), last_id: AtomicI32::new(0), reuse }
    }

    /// Makes a call. Dropping the future gives it up and closes its connection.
    pub(crate) async fn call(&self, request: &CallRequest<'_>) -> Result<CallAnswer, Error> {
        let timed = self.call_in_time(request);
        let Some(scope) = request.scope else { return timed.await };
        tokio::select! {
            biased;
            reason = scope.canceled() => Err(reason.for_stream(request.from, None).0.into()),
            answer = timed => answer,
        }
    }

    async fn call_in_time(&self, request: &CallRequest<'_>) -> Result<CallAnswer, Error> {
        let Some(deadline) = request.deadline else { return self.call_now(request, None).await };
        let left = deadline.saturating_duration_since(Instant::now());
        let late = || {
            let left = GoDuration(left);
            Err(Error::Timeout(format!("timeout={left}, to={}, method={}", request.to, request.method)))
        };
        if left.is_zero() {
            return late();
        }
        tokio::time::timeout(left, self.call_now(request, Some(left))).await.unwrap_or_else(|_| late())
    }

    async fn call_now(
        &self,
        request: &CallRequest<'_>,
        timeout: Option<Duration>,
    ) -> Result<CallAnswer, Error> {
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => Socket { socket: self.dialer.socket().await?, buf: BytesMut::new() },
        };
        let sequence_id = self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut out = BytesMut::new();
        let message = Outgoing {
            name: request.method,
            kind: if request.oneway { MessageKind::Oneway } else { MessageKind::Call },
            sequence_id,
            metadata: request.metadata,
            body: request.body,
            request: Some(RequestInts { from: request.from, to: request.to, timeout }),
        };
        encode(request.protocol, &message, &mut out).map_err(Error::codec)?;
        let config = &self.dialer.config().connection;
        write_all(&connection.socket, &mut out, config.write_timeout).await.map_err(Error::network)?;
        if request.oneway {
            self.put_idle(connection);
            return Ok(CallAnswer { metadata: Metadata::new(), result: Ok(Bytes::new()) });
        }
        let answer = loop {
            match decode(request.protocol, &mut connection.buf, &config.limits).map_err(Error::network)? {
                Some(answer) => break answer,
                None => connection.read().await?,
            }
        };
        check(&answer, sequence_id)?;
        let reusable = answer.metadata.get(key::CONNECTION_RESET).is_none();
        if reusable && connection.buf.is_empty() {
            self.put_idle(connection);
        }
        read_answer(answer)
    }

    fn take_idle(&self) -> Option<Socket> {
        let (mut idle, here) = (self.idle.lock(), Place::thread());
        while let Some(last) = idle.iter().rposition(|waiting| waiting.home == here) {
            let Idle { since, socket, .. } = idle.remove(last)?;
            if since.elapsed() < IDLE_TIMEOUT && socket.is_quiet() {
                return Some(socket);
            }
        }
        None
    }

    fn put_idle(&self, connection: Socket) {
        if !self.reuse {
            return;
        }
        let mut idle = self.idle.lock();
        idle.push_back(Idle { since: Instant::now(), home: Place::thread(), socket: connection });
        let oldest = if idle.len() > MAX_IDLE { idle.pop_front() } else { None };
        drop(idle);
        drop(oldest);
    }
}

impl Socket {
    async fn read(&mut self) -> Result<(), Error> {
        match read_some(&self.socket, &mut self.buf).await {
            Ok(0) => Err(Error::network("connection closed by peer before it answered")),
            Ok(_) => Ok(()),
            Err(error) => Err(Error::network(error)),
        }
    }

    /// Whether the peer has sent nothing since the last answer, and not closed.
    fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = self.socket.try_read(&mut byte);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

fn check(answer: &Message, sequence_id: i32) -> Result<(), Error> {
    if answer.sequence_id != sequence_id {
        let text = format!("answer has sequence id {}, the call {sequence_id}", answer.sequence_id);
        return Err(Error::network(text));
    }
    Ok(())
}

fn read_answer(answer: Message) -> Result<CallAnswer, Error> {
    let Message { kind, metadata, body, .. } = answer;
    let result = match kind {
        MessageKind::Exception => {
            Err(Error::Remote(ApplicationException::decode_body(&body).map_err(Error::network)?))
        }
        _ => match status::biz_from(&metadata).map_err(Error::network)? {
            Some(biz) => Err(biz.into()),
            None => Ok(body),
        },
    };
    Ok(CallAnswer { metadata, result })
}
