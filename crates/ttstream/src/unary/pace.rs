//! Reads ping-pong messages, each of which must arrive at some speed once it has begun to.

use std::io;
use std::time::Instant;

use stream_core::clock;
use stream_core::io::{Io, ReadBuffer};

use crate::proto::{Arrival, Check, ConnectionError};

/// How fast the message arrives that is read.
#[derive(Debug, Default)]
pub(super) struct Pace {
    arrival: Arrival,
    /// When that is to be checked.
    due: Option<Instant>,
}

impl Pace {
    /// Reads more. Returns 0 if the peer has closed the connection, or nothing has begun to arrive until `idle_at`. `completed`
    /// if a message was processed since the last call, `partial` if the next one has begun to arrive.
    ///
    /// # Errors
    /// Those of the socket, and a message that arrives too slowly.
    pub(super) async fn fill(
        &mut self,
        (io, buffer): (&Io, &mut ReadBuffer),
        completed: bool,
        partial: bool,
        idle_at: Option<Instant>,
    ) -> io::Result<usize> {
        let check = self.arrival.on_processed(buffer.len(), completed, partial, clock::now());
        self.due = check.or(self.due);
        loop {
            let read = buffer.fill(io);
            let read = match if partial { self.due } else { idle_at } {
                Some(at) => tokio::time::timeout_at(at.into(), read).await,
                None => Ok(read.await),
            };
            match read {
                Ok(read) => {
                    self.arrival.on_bytes(buffer.len());
                    return read;
                }
                Err(_) if !partial => return Ok(0),
                Err(_) => self.check()?,
            }
        }
    }

    fn check(&mut self) -> io::Result<()> {
        self.due = match self.arrival.check(false, clock::now()) {
            Check::Idle => None,
            Check::Again(at) => Some(at),
            Check::TooSlow => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, ConnectionError::SlowFrame));
            }
        };
        Ok(())
    }
}
