//! A socket with a buffer for each direction. Reading never waits for writing, so that two ends that both
//! send much cannot deadlock.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The space for one read, in bytes.
const READ: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Pump {
    socket: TcpStream,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
}

impl Pump {
    pub(crate) fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self { socket, input: BytesMut::with_capacity(READ), output: BytesMut::with_capacity(READ) })
    }

    /// Writes the buffered bytes, waits until the socket is readable, or, if there is `more` to write,
    /// writable, and reads. Returns `false` at the end.
    pub(crate) async fn turn(&mut self, more: bool) -> io::Result<bool> {
        self.write()?;
        let interest = if more || !self.output.is_empty() {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        if self.socket.ready(interest).await?.is_readable() { self.read() } else { Ok(true) }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.socket.try_write(&self.output) {
                Ok(written) => self.output.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        Ok(())
    }

    fn read(&mut self) -> io::Result<bool> {
        self.input.reserve(READ);
        match self.socket.try_read_buf(&mut self.input) {
            Ok(read) => Ok(read > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }
}
