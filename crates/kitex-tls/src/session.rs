//! One TLS connection without its byte stream: plaintext in, ciphertext out, and back. Owns what waits between the two;
//! writes to and reads from the stream below only when it is asked to, and never waits.

use std::io::{self, BufRead, IoSlice, Write};

use bytes::{Buf, BytesMut};
use rustls::{Connection, Side};
use stream_core::buffer_pool;
use stream_core::io::Io;

use crate::error::failed;

/// The ciphertext that is read from the stream below with one call, in bytes.
const READ: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    side: Side,
    /// Ciphertext that was read and not yet decrypted. Empty, unless the last read of plaintext had no room for it.
    incoming: BytesMut,
    /// Bytes of plaintext that are decrypted and not yet taken.
    decrypted: usize,
    /// Bytes of plaintext that are encrypted and not yet reported as written.
    unreported: usize,
    /// The peer has ended its direction, by close_notify.
    ended: bool,
    said_goodbye: bool,
}

impl Session {
    pub(crate) fn new(connection: impl Into<Connection>, incoming: BytesMut) -> Self {
        let connection = connection.into();
        let side = match connection {
            Connection::Client(_) => Side::Client,
            Connection::Server(_) => Side::Server,
        };
        Self { connection, side, incoming, decrypted: 0, unreported: 0, ended: false, said_goodbye: false }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) const fn side(&self) -> Side {
        self.side
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Returns whether the next read returns something without a read below.
    pub(crate) fn has_input(&self) -> bool {
        self.decrypted > 0 || self.ended || !self.incoming.is_empty()
    }

    /// Reads ciphertext once if none is left, and decrypts it: into `out`, as far as it has room. Returns `false` at the end of
    /// the stream below.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing to read below; else that of the stream below, or that the
    /// peer violates TLS or has sent an alert.
    pub(crate) fn read(&mut self, io: &Io, out: &mut BytesMut) -> io::Result<bool> {
        if self.incoming.is_empty() {
            let mut incoming = buffer_pool::acquire();
            incoming.reserve(READ);
            match io.try_read_buf(&mut incoming) {
                Ok(1..) => self.incoming = incoming,
                other => {
                    buffer_pool::release(incoming);
                    return other.map(|_| false);
                }
            }
        }
        let decrypted = self.decrypt(out);
        if self.incoming.is_empty() {
            buffer_pool::release(std::mem::take(&mut self.incoming));
        }
        // An alert, or what a key update requires. If it is not accepted now, it goes out before the next data; an error is
        // that of the next write too.
        let _ = self.flush(io);
        decrypted.map(|()| true)
    }

    /// Decrypts what was read, as far as `out` has room; without a byte of room, as far as the connection holds it.
    fn decrypt(&mut self, out: &mut BytesMut) -> io::Result<()> {
        while !self.incoming.is_empty() && self.decrypted == 0 && !self.ended {
            let mut rest: &[u8] = &self.incoming;
            let read = self.connection.read_tls(&mut rest)?;
            self.incoming.advance(read);
            let state = self.connection.process_new_packets().map_err(|error| failed(&error, self.side))?;
            self.decrypted = state.plaintext_bytes_to_read();
            self.ended = state.peer_has_closed();
            self.take(out)?;
        }
        if self.ended {
            // Nothing counts after the end.
            self.incoming.clear();
        }
        Ok(())
    }

    /// Moves decrypted bytes into the spare capacity of `out`. Returns their number.
    pub(crate) fn take(&mut self, out: &mut BytesMut) -> io::Result<usize> {
        let before = out.len();
        while self.decrypted > 0 && out.len() < out.capacity() {
            let mut reader = self.connection.reader();
            let chunk = reader.fill_buf()?;
            let len = chunk.len().min(out.capacity().saturating_sub(out.len()));
            out.extend_from_slice(chunk.get(..len).unwrap_or_default());
            reader.consume(len);
            self.decrypted = self.decrypted.saturating_sub(len);
            if len == 0 {
                break;
            }
        }
        Ok(out.len().saturating_sub(before))
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns the number of bytes that are encrypted and not yet reported as written.
    pub(crate) const fn unreported(&self) -> usize {
        self.unreported
    }

    /// Encrypts and writes `slices`, of which the first bytes are those that earlier calls have not reported. Returns how many
    /// bytes were accepted below; bytes that are encrypted and wait are reported by a later call, so that the writer
    /// continues to write.
    pub(crate) fn write(&mut self, io: &Io, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let total = slices.iter().fold(0_usize, |total, slice| total.saturating_add(slice.len()));
        let mut accepted = 0_usize;
        loop {
            let waiting = self.flush(io)?;
            let reported = self.unreported.saturating_sub(waiting).min(total.saturating_sub(accepted));
            self.unreported = self.unreported.saturating_sub(reported);
            accepted = accepted.saturating_add(reported);
            if waiting > 0 || accepted == total {
                break;
            }
            self.unreported = self.encrypt(slices, accepted)?;
        }
        if accepted == 0 && total > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(accepted) }
    }

    /// Encrypts `slices` after the first `skip` bytes, up to the buffer limit of rustls (64 KiB). Several slices share records.
    fn encrypt(&mut self, slices: &[IoSlice<'_>], skip: usize) -> io::Result<usize> {
        let encrypted = match skip {
            0 => self.connection.writer().write_vectored(slices),
            _ => {
                let mut rest = slices.to_vec();
                let mut rest = rest.as_mut_slice();
                IoSlice::advance_slices(&mut rest, skip);
                self.connection.writer().write_vectored(rest)
            }
        };
        match encrypted {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            encrypted => encrypted,
        }
    }

    /// Writes waiting ciphertext until the stream below accepts no more. Returns the number of bytes that still wait.
    pub(crate) fn flush(&mut self, io: &Io) -> io::Result<usize> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Below(io)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Processes nothing, since everything read was processed.
                    let state = self.connection.process_new_packets();
                    return Ok(state.map_or(1, |state| state.tls_bytes_to_write().max(1)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }

    /// Tells the peer that nothing follows, so that it can tell the end from a cut connection.
    pub(crate) fn close(&mut self, io: &Io) {
        if !std::mem::replace(&mut self.said_goodbye, true) {
            self.connection.send_close_notify();
            // The stream below is closed next, whether this was written or not.
            let _ = self.flush(io);
        }
    }
}

/// The stream below, as rustls writes to it: all records of a batch with one call.
struct Below<'a>(&'a Io);

impl Write for Below<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Discards what has arrived: a socket that is closed with unread bytes resets the connection, and the peer may then lose what it
/// has not read yet.
pub(crate) fn discard(io: &Io) {
    let mut unread = buffer_pool::acquire();
    for _ in 0..MAX_DISCARDED_READS {
        unread.clear();
        unread.reserve(READ);
        if !matches!(io.try_read_buf(&mut unread), Ok(1..)) {
            break;
        }
    }
    buffer_pool::release(unread);
}

/// A peer that writes faster than this end reads does not delay a close.
const MAX_DISCARDED_READS: usize = 4;
