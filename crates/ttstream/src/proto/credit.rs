//! Negotiated flow control between two peers of this crate: how far its negotiation is on a connection, and the wire form
//! of its frames. Each end says how many bytes of each stream it receives without further ado; grants of more follow as
//! the messages are taken. Knows no stream.
//!
//! ```text
//!  client                             server
//!    header of a stream, window >              the offer
//!                           < meta 0, window   the server grants, and pauses the connection for no stream
//!    meta 0, window >                          the client sends within credit, and does the same
//!                           < meta 0, window   the server sends within credit
//!    meta 0, window, grants >   < meta 0, window, grants
//! ```
//!
//! An end sends within credit only after it has got a meta frame of stream 0: a relay that passes on headers and not those
//! leaves the connection as it is without credits.

use bytes::{BufMut, BytesMut};
use kerrors::Side;
use stream_core::memory::Pressure;
use ttheader_codec::{EncodeError, FrameType, Head, HeaderTemplate, key};

use super::config::Config;
use super::id::{StreamId, StreamKey};
use super::queue::charge_of;

/// The negotiation, and what either end has granted the other.
#[derive(Debug)]
pub(super) struct Credit {
    enabled: bool,
    /// What this end receives of each stream before it grants more.
    window: u32,
    /// What it grants in addition to a stream that has received all of that at once: once, while `left` is enough.
    burst: u32,
    /// What is left for bursts.
    left: usize,
    phase: Phase,
    /// What this end may send on each stream before the peer grants more; none if it does not send within credit.
    limit: Option<u32>,
    /// The header of this end's meta frames. Made when it is needed.
    header: Option<HeaderTemplate>,
    sent: PerStream,
    received: PerStream,
}

/// What each stream has used of its credit, by the index of its key: streams of connections without credits need no memory.
#[derive(Debug, Default)]
struct PerStream(Vec<Option<(StreamKey, Usage)>>);

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// The charges of all messages, less what was granted.
    used: i64,
    /// What was granted for a burst.
    burst: u32,
}

/// How far the negotiation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was offered, or not accepted.
    Off,
    /// Client: the offer was sent.
    Offered,
    /// The server has accepted: this end grants. At a server the client may not know that yet, at a client the server may not
    /// know that it does.
    Accepted,
    /// Both ends send within credit.
    Agreed,
}

/// What follows from a meta frame of stream 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It has no meaning here.
    Unexpected,
    /// This end sends within credit from now on, and says so in a frame of its own.
    Limit,
    /// Nothing for this end to do but to count the grants.
    Grants,
}

/// A grant: its stream, and the bytes that may be sent in addition.
pub(super) type Grant = (StreamId, u32);

/// The encoded size of a grant.
const GRANT: usize = 8;

impl Credit {
    pub(super) fn new(config: &Config) -> Self {
        let bytes = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        // So small that the receive window of the connection holds many streams of which nothing is taken.
        let window = bytes(config.stream_receive_window.min(config.receive_window / 64)).max(1);
        let left = config.receive_window / 4;
        Self {
            enabled: config.flow_credits,
            window,
            burst: bytes(config.stream_receive_window.min(left)).saturating_sub(window),
            left,
            phase: Phase::Off,
            limit: None,
            header: None,
            sent: PerStream::default(),
            received: PerStream::default(),
        }
    }

    /// Client: returns what to offer in the next header frame.
    #[inline]
    pub(super) fn offer(&self) -> Option<u32> {
        (self.enabled && self.phase == Phase::Off).then_some(self.window)
    }

    /// Client: a header frame was sent, with an offer if there was one.
    #[inline]
    pub(super) fn offered(&mut self) {
        if self.offer().is_some() {
            self.phase = Phase::Offered;
        }
    }

    /// Server: returns whether an offer would be accepted.
    #[inline]
    pub(super) fn takes_offer(&self) -> bool {
        self.enabled && self.phase == Phase::Off
    }

    /// Server: accepts an offer.
    pub(super) fn accept(&mut self) {
        self.phase = Phase::Accepted;
    }

    /// Handles a meta frame of the peer, which is `empty` or contains grants.
    pub(super) fn on_meta(&mut self, side: Side, empty: bool) -> Effect {
        let (phase, answer) = match (self.phase, side, empty) {
            (Phase::Offered, _, true) => (Phase::Accepted, Effect::Limit),
            // The client has seen the server's, so it sends within credit.
            (Phase::Accepted, Side::Server, true) => (Phase::Agreed, Effect::Limit),
            // The server's second one follows the client's.
            (Phase::Accepted, _, true) => (Phase::Agreed, Effect::Grants),
            (Phase::Accepted, Side::Client, false) | (Phase::Agreed, _, false) => {
                (self.phase, Effect::Grants)
            }
            _ => (self.phase, Effect::Unexpected),
        };
        self.phase = phase;
        answer
    }

    /// Returns whether both ends send within credit.
    pub(super) fn is_agreed(&self) -> bool {
        self.phase == Phase::Agreed
    }

    /// From now on each stream sends `window` and what the peer grants in addition.
    pub(super) fn limit_sends(&mut self, window: u32) {
        self.limit = Some(window);
    }

    /// Counts a message of `len` bytes that this end sends.
    #[inline]
    pub(super) fn count_sent(&mut self, key: StreamKey, len: usize) {
        if self.phase != Phase::Off {
            self.sent.add(key, len);
        }
    }

    /// Returns whether the stream may send one more message, of any size: a frame is never divided.
    #[inline]
    pub(super) fn may_send(&self, key: StreamKey) -> bool {
        self.limit.is_none_or(|limit| self.sent.get(key).used < limit.into())
    }

    /// The peer has granted the stream `bytes`.
    pub(super) fn receive_grant(&mut self, key: StreamKey, bytes: u32) {
        self.sent.grant(key, bytes);
    }

    /// Returns whether this end grants.
    #[inline]
    pub(super) fn grants(&self) -> bool {
        matches!(self.phase, Phase::Accepted | Phase::Agreed)
    }

    /// Counts a message of `len` bytes that has arrived.
    #[inline]
    pub(super) fn count_received(&mut self, key: StreamKey, len: usize) {
        if self.grants() {
            self.received.add(key, len);
        }
    }

    /// Returns whether the peer has sent all that it may on the stream.
    pub(super) fn is_exhausted(&self, key: StreamKey) -> bool {
        self.received.get(key).used >= self.window.into()
    }

    /// Returns what to grant a stream that holds `held` bytes: as much as was taken. `None` while that is less than half of
    /// the window. Under `pressure` the window is smaller, without a burst: what was granted before is not taken back.
    pub(super) fn take_grant(&mut self, key: StreamKey, held: usize, pressure: Pressure) -> Option<u32> {
        let Usage { used, burst } = self.received.get(key);
        let window = pressure.shrink_u32(self.window);
        let burst = match burst {
            _ if window < self.window => 0,
            0 if used >= self.window.into() => self.begin_burst(key),
            burst => burst,
        };
        let held = i64::try_from(held).unwrap_or(i64::MAX);
        let withheld = self.window.saturating_sub(window);
        let taken = used.saturating_sub(held).saturating_sub(withheld.into()).saturating_add(burst.into());
        let grant = u32::try_from(taken).ok().filter(|grant| *grant >= window.div_ceil(2))?;
        self.received.grant(key, grant);
        Some(grant)
    }

    /// Returns a grant after which the peer may send as much as on a new stream.
    pub(super) fn take_all(&mut self, key: StreamKey) -> u32 {
        let grant = u32::try_from(self.received.get(key).used.max(0)).unwrap_or(u32::MAX);
        self.received.grant(key, grant);
        grant
    }

    /// The stream has ended: what it has for a burst is left for others.
    pub(super) fn end_burst(&mut self, key: StreamKey) {
        if self.received.get(key).burst > 0 {
            let burst = std::mem::take(&mut self.received.get_mut(key).burst);
            self.left = self.left.saturating_add(burst as usize);
        }
    }

    /// Forgets what a peer may have granted on an earlier stream of the same id and place.
    pub(super) fn begin(&mut self, key: StreamKey) {
        self.sent.remove(key);
        self.received.remove(key);
    }

    /// Lets a stream hold more than its window. Bounded, so that many slow consumers leave room for others.
    fn begin_burst(&mut self, key: StreamKey) -> u32 {
        let Some(left) = self.left.checked_sub(self.burst as usize) else { return 0 };
        self.left = left;
        self.received.get_mut(key).burst = self.burst;
        self.burst
    }

    /// Appends a meta frame with this end's window, and with `grant` if there is one.
    pub(super) fn put(&mut self, grant: Option<Grant>, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.header.is_none() {
            let window = self.window.to_string();
            let ints =
                [(key::FRAME_TYPE, FrameType::Meta.as_bytes()), (key::FLOW_CREDITS, window.as_bytes())];
            self.header = Some(HeaderTemplate::new(Head::streaming(0), ints)?);
        }
        let len = if grant.is_some() { GRANT } else { 0 };
        if let Some(header) = &self.header {
            header.write(0, len, out)?;
        }
        if let Some((id, bytes)) = grant {
            out.put_i32(id.get());
            out.put_u32(bytes);
        }
        Ok(())
    }
}

impl PerStream {
    fn get(&self, key: StreamKey) -> Usage {
        let found = self.0.get(key.index()).copied().flatten().filter(|(found, _)| *found == key);
        found.map(|(_, usage)| usage).unwrap_or_default()
    }

    #[expect(clippy::indexing_slicing, reason = "the place is made if it is missing")]
    fn get_mut(&mut self, key: StreamKey) -> &mut Usage {
        let index = key.index();
        if index >= self.0.len() {
            self.0.resize(index.saturating_add(1), None);
        }
        let place = &mut self.0[index];
        if place.is_none_or(|(found, _)| found != key) {
            *place = None;
        }
        &mut place.get_or_insert((key, Usage::default())).1
    }

    fn remove(&mut self, key: StreamKey) {
        if let Some(place) = self.0.get_mut(key.index()) {
            *place = None;
        }
    }

    /// Adds a message of `len` bytes.
    fn add(&mut self, key: StreamKey, len: usize) {
        let usage = self.get_mut(key);
        usage.used = usage.used.saturating_add_unsigned(charge_of(len) as u64);
    }

    fn grant(&mut self, key: StreamKey, bytes: u32) {
        let usage = self.get_mut(key);
        usage.used = usage.used.saturating_sub(bytes.into());
    }
}

/// Returns the window in the value of [`key::FLOW_CREDITS`].
pub(super) fn window_of(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok().filter(|window| *window > 0)
}

/// Returns the grants in the payload of a meta frame; `None` if it is no list of grants.
pub(super) fn grants_of(payload: &[u8]) -> Option<impl Iterator<Item = Grant> + '_> {
    let (grants, rest) = payload.as_chunks::<GRANT>();
    let grant = |&[i0, i1, i2, i3, b0, b1, b2, b3]: &[u8; GRANT]| {
        let id = StreamId::new(i32::from_be_bytes([i0, i1, i2, i3]))?;
        Some((id, u32::from_be_bytes([b0, b1, b2, b3])))
    };
    rest.is_empty().then(|| grants.iter().filter_map(grant))
}
