//! Plays an attack: opens its connections, sends at its pace, reads or does not, and counts. Owns the sockets; knows nothing
//! of frames.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::attack::Attack;

/// Bytes per second that all connections of an attack send together: enough to fill any buffer, and a fraction of a core.
pub const BYTES_PER_SECOND: u32 = 60_000_000;
/// Connections that are opened in a second at first.
const OPENS: u32 = 500;
/// Connections that are opened again in a second, in place of those that the server has closed.
const REOPENS: u32 = 20;
/// Time between two turns of all connections.
const TURN: Duration = Duration::from_millis(10);
/// Time between two looks at what has arrived, if there are many connections.
const LOOK: Duration = Duration::from_millis(100);
/// More connections than this are many.
const MANY: usize = 100;
/// Time between the first unit of a connection and the next: what the server sends first has then arrived.
const FIRST: Duration = Duration::from_millis(50);
/// Bytes that one connection is given to write at once.
const BATCH: usize = 64 * 1024;
/// Bytes that are read of one connection in one turn.
const READ: usize = 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(1);

/// What was done, and what became of the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that were opened, those opened again included.
    pub opened: u64,
    /// Connections that the server has closed.
    pub closed: u64,
    /// Units that were sent.
    pub units: u64,
    /// Bytes that were sent.
    pub bytes: u64,
}

/// Attacks the server at `addr` for so long.
///
/// # Errors
/// The address is not one of loopback.
pub fn play(attack: &Attack, addr: SocketAddr, time: Duration) -> io::Result<Outcome> {
    if !addr.ip().is_loopback() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "only a server on loopback may be attacked"));
    }
    let mut play = Play::new(attack, addr);
    let ends = Instant::now() + time;
    while Instant::now() < ends {
        play.turn();
        pause(TURN);
    }
    Ok(play.end())
}

struct Play<'a> {
    attack: &'a Attack,
    addr: SocketAddr,
    connections: Vec<Connection>,
    opens: Bucket,
    reopens: Bucket,
    units: Bucket,
    bytes: Bucket,
    /// The connection whose turn is first.
    first: usize,
    looked: Instant,
    outcome: Outcome,
}

struct Connection {
    socket: TcpStream,
    opened: Instant,
    number: usize,
    units: usize,
    pending: Vec<u8>,
    written: usize,
    /// It has no more units.
    ended: bool,
    closed: bool,
}

impl<'a> Play<'a> {
    fn new(attack: &'a Attack, addr: SocketAddr) -> Self {
        Self {
            attack,
            addr,
            connections: Vec::new(),
            opens: Bucket::new(OPENS),
            reopens: Bucket::new(REOPENS),
            units: Bucket::new(attack.pace),
            bytes: Bucket::new(BYTES_PER_SECOND),
            first: 0,
            looked: Instant::now(),
            outcome: Outcome::default(),
        }
    }

    fn turn(&mut self) {
        self.open();
        self.fill();
        self.write();
        let many = self.connections.len() > MANY;
        if !many || self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            let reads = self.attack.reads;
            self.connections.iter_mut().for_each(|connection| connection.look(reads));
        }
        let before = self.connections.len();
        self.connections.retain(|connection| !connection.closed);
        self.outcome.closed += count(before - self.connections.len());
    }

    fn open(&mut self) {
        while self.connections.len() < self.attack.connections {
            let first = self.outcome.opened < count(self.attack.connections);
            let bucket = if first { &mut self.opens } else { &mut self.reopens };
            if !bucket.take() {
                return;
            }
            // A server that does not accept is asked again in the next turn.
            let Ok(socket) = TcpStream::connect_timeout(&self.addr, CONNECT) else { return };
            if socket.set_nonblocking(true).is_err() {
                return;
            }
            let number = usize::try_from(self.outcome.opened).unwrap_or(0);
            self.outcome.opened += 1;
            self.connections.push(Connection::new(socket, number));
        }
    }

    /// Gives new units to connections that have written theirs, in turn.
    fn fill(&mut self) {
        let left = self.attack.most.saturating_sub(self.outcome.units);
        let mut allowed = self.units.available().min(left);
        let len = self.connections.len();
        let ready = self.connections.iter().filter(|connection| connection.is_ready()).count();
        let share = (allowed / count(ready).max(1)).max(1);
        for at in 0..len {
            if allowed == 0 {
                break;
            }
            let at = (self.first + at) % len;
            let connection = &mut self.connections[at];
            if !connection.is_ready() {
                continue;
            }
            let taken = connection.fill(self.attack.unit, share.min(allowed));
            allowed -= taken;
            self.units.spend(taken);
            self.outcome.units += taken;
            if allowed == 0 {
                self.first = at + 1;
            }
        }
    }

    fn write(&mut self) {
        let len = self.connections.len();
        for at in 0..len {
            let allowed = self.bytes.available();
            if allowed == 0 {
                return;
            }
            let connection = &mut self.connections[(self.first + at) % len];
            let written = connection.write(usize::try_from(allowed).unwrap_or(usize::MAX));
            self.bytes.spend(count(written));
            self.outcome.bytes += count(written);
        }
    }

    /// Reads what has arrived, so that connections that the server has closed are seen.
    fn end(mut self) -> Outcome {
        self.connections.iter_mut().for_each(|connection| connection.look(true));
        self.outcome.closed += count(self.connections.iter().filter(|connection| connection.closed).count());
        self.outcome
    }
}

impl Connection {
    fn new(socket: TcpStream, number: usize) -> Self {
        let opened = Instant::now();
        Self {
            socket,
            opened,
            number,
            units: 0,
            pending: Vec::new(),
            written: 0,
            ended: false,
            closed: false,
        }
    }

    fn is_ready(&self) -> bool {
        let begun = self.units == 0 || self.opened.elapsed() >= FIRST;
        begun && self.pending.is_empty() && !self.ended && !self.closed
    }

    /// Takes at most so many units, and returns how many there were.
    fn fill(&mut self, unit: fn(usize, usize) -> Vec<u8>, most: u64) -> u64 {
        let mut taken = 0;
        let most = if self.units == 0 { most.min(1) } else { most };
        while taken < most && self.pending.len() < BATCH {
            let bytes = unit(self.number, self.units);
            if bytes.is_empty() {
                self.ended = true;
                break;
            }
            self.pending.extend_from_slice(&bytes);
            self.units += 1;
            taken += 1;
        }
        taken
    }

    /// Writes what the socket accepts, at most so many bytes.
    fn write(&mut self, most: usize) -> usize {
        let began = self.written;
        let end = self.pending.len().min(began.saturating_add(most));
        while self.written < end && !self.closed {
            match self.socket.write(&self.pending[self.written..end]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.closed = true,
            }
        }
        let written = self.written - began;
        if self.written == self.pending.len() {
            self.pending.clear();
            self.written = 0;
        }
        written
    }

    /// Looks whether the server has closed it, and discards what has arrived if `reads`.
    fn look(&mut self, reads: bool) {
        let mut buffer = [0; 16 * 1024];
        let mut total = 0;
        while total < READ && !self.closed {
            let seen = if reads { self.socket.read(&mut buffer) } else { self.socket.peek(&mut buffer[..1]) };
            match seen {
                Ok(0) => self.closed = true,
                Ok(read) => total += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.closed = true,
            }
            if !reads {
                // A reset is an error of the socket, behind what was not read.
                self.closed |= !matches!(self.socket.take_error(), Ok(None));
                return;
            }
        }
    }
}

/// A token bucket: what a pace allows, and at most a tenth of a second of it at once.
struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second), tokens: 1.0, filled: Instant::now() }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative")]
    fn available(&mut self) -> u64 {
        let now = Instant::now();
        let more = now.duration_since(self.filled).as_secs_f64() * self.per_second;
        self.filled = now;
        self.tokens = (self.tokens + more).min((self.per_second / 10.0).max(1.0));
        self.tokens.max(0.0) as u64
    }

    #[expect(clippy::cast_precision_loss, reason = "what is spent in a turn is small")]
    fn spend(&mut self, tokens: u64) {
        self.tokens -= tokens as f64;
    }

    fn take(&mut self) -> bool {
        let any = self.available() > 0;
        if any {
            self.spend(1);
        }
        any
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the pace of an attack is its own clock")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
