//! Flow control of received messages: the bytes that the streams of a connection hold and that were not yet
//! taken, the number of streams at their window, and how long the connection may stay paused because of them
//! (slow consumers): until their [`Allowance`] is spent. Knows no stream: each
//! [`RecvHalf`](super::recv_half::RecvHalf) reports the bytes it holds.

use std::num::NonZeroU16;
use std::sync::Weak;
use std::time::{Duration, Instant};

use slab::Slab;
use stream_core::MemoryBudget;
use stream_core::memory::{Pressure, Share, Shed};

use super::allowance::{Allowance, Spent};
use super::config::Config;
use super::id::StreamKey;
use super::timers::{Timer, Timers};

#[derive(Debug)]
pub(super) struct RecvFlow {
    /// At which a stream blocks the connection.
    stream_window: usize,
    window: usize,
    /// Both windows, if memory is not short.
    full: (usize, usize),
    /// How near the memory budget is to its limit, when it was last asked.
    pressure: Pressure,
    /// The peer is asked to send within credit.
    by_credits: bool,
    /// What the connection holds of the process's memory.
    share: Share,
    /// Bytes beside those that streams have received: headers of handlers, the part of a frame that has arrived, and what waits to
    /// be written.
    other: usize,
    low: usize,
    high: usize,
    allowance: Allowance,
    timeout_exclusive: Duration,
    /// Bytes that all streams hold.
    bytes: usize,
    /// Streams that have not ended and are at their window.
    blocking: usize,
    /// The pause of the connection, or the last one until it is accounted for.
    stall: Option<Stall>,
    /// What the slow consumers of the connection have spent of its allowance.
    spent: Spent,
    /// What each of them has spent.
    slow: Slab<Spent>,
}

/// The time for which the connection is paused.
#[derive(Debug)]
struct Stall {
    since: Instant,
    /// When the slow consumer timer fires.
    until: Option<Instant>,
    /// The stream at its window; `None` if all streams together are at the connection's.
    key: Option<StreamKey>,
    /// No other stream is held up.
    exclusive: bool,
    /// The connection may be read again. The reader will tell when.
    ended: bool,
}

/// The flow control of one stream. Only [`RecvFlow`] can change it.
#[derive(Debug, Default)]
pub(super) struct Blocking {
    /// The stream is counted as at its window.
    counted: bool,
    /// The place of what it has spent as a slow consumer, plus one; `None` if it has never held up others. Small, since every
    /// stream has it.
    slow: Option<NonZeroU16>,
}

impl Blocking {
    pub(super) fn get(&self) -> bool {
        self.counted
    }
}

impl RecvFlow {
    pub(super) fn new(config: &Config) -> Self {
        // An empty stream never blocks.
        let (stream_window, window) = (config.stream_receive_window.max(1), config.receive_window);
        Self {
            stream_window,
            window,
            full: (stream_window, window),
            pressure: Pressure::None,
            by_credits: false,
            share: Share::new(&MemoryBudget::unlimited()),
            other: 0,
            low: 0,
            high: usize::MAX,
            allowance: Allowance { timeout: config.slow_consumer_timeout, rate: config.slow_consumer_rate },
            timeout_exclusive: config.slow_consumer_timeout_exclusive,
            bytes: 0,
            blocking: 0,
            stall: None,
            spent: Spent::default(),
            slow: Slab::new(),
        }
    }

    /// Counts what the connection holds in `budget`, from now on; `shed` ends a stream if that is used up.
    pub(super) fn count_in(&mut self, budget: &MemoryBudget, shed: Weak<dyn Shed>) {
        self.share = Share::new(budget);
        self.share.register(shed);
        self.weigh();
    }

    /// Returns whether there is a budget to count in.
    #[inline]
    pub(super) fn is_limited(&self) -> bool {
        self.share.is_limited()
    }

    /// Sets the bytes that the connection holds beside those of its streams.
    #[inline]
    pub(super) fn set_other(&mut self, bytes: usize) {
        if self.share.is_limited() && self.other != bytes {
            self.other = bytes;
            self.weigh();
        }
    }

    /// Counts what the connection holds, if that has changed by a step. The bounds of `bytes` between which it need not be
    /// looked at are kept here, so that a message costs a comparison.
    #[cold]
    #[inline(never)]
    fn weigh(&mut self) -> Option<Pressure> {
        let all = self.bytes.saturating_add(self.other);
        let pressure = self.share.is_off(all).then(|| self.share.set(all));
        let (low, high) = self.share.bounds();
        (self.low, self.high) = (low.saturating_sub(self.other), high.saturating_sub(self.other));
        pressure
    }

    #[cold]
    #[inline(never)]
    fn grown(&mut self) {
        if let Some(pressure) = self.weigh() {
            self.resize(pressure);
        }
    }

    #[cold]
    #[inline(never)]
    fn shrunk(&mut self) {
        if let Some(pressure) = self.weigh().filter(|pressure| *pressure < Pressure::Tight) {
            self.resize(pressure);
        }
    }

    /// Sets the windows, which are smaller while memory is short. They become smaller only where a message is received: there
    /// the slow consumer timer is armed if the connection is paused now.
    fn resize(&mut self, pressure: Pressure) {
        self.pressure = pressure;
        if self.by_credits {
            return;
        }
        self.stream_window = pressure.shrink(self.full.0);
        self.window = if pressure >= Pressure::Tight { pressure.shrink(self.full.1) } else { self.full.1 };
    }

    /// Returns how near the memory budget is to its limit. With credits, less is granted under pressure.
    pub(super) fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// Returns the bytes that all streams hold, each message charged at least 256.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether all streams together are at the connection's window.
    pub(super) fn is_over_window(&self) -> bool {
        self.bytes >= self.window
    }

    /// Returns whether the connection is paused: nothing more may be received now.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocking > 0 || self.is_over_window()
    }

    /// No stream blocks the connection from now on: the peer is asked to send within credit.
    pub(super) fn end_blocking_by_streams(&mut self) {
        self.by_credits = true;
        (self.stream_window, self.window) = (usize::MAX, self.full.1);
    }

    /// Charges `charge` received bytes of a live stream, which now holds `held`.
    #[inline]
    pub(super) fn charge(&mut self, charge: usize, held: usize, blocking: &mut Blocking) {
        self.bytes = self.bytes.saturating_add(charge);
        if self.bytes > self.high {
            self.grown();
        }
        if !blocking.counted && held >= self.stream_window {
            blocking.counted = true;
            self.blocking = self.blocking.saturating_add(1);
        }
    }

    /// Credits `charge` bytes taken from a stream, which now holds `held`.
    #[inline]
    pub(super) fn credit(&mut self, charge: usize, held: usize, blocking: &mut Blocking) {
        self.bytes = self.bytes.saturating_sub(charge);
        if self.bytes < self.low {
            self.shrunk();
        }
        if let Some(slow) = blocking.slow {
            self.take_from_slow(slow, charge);
        }
        if held < self.stream_window {
            self.unblock(blocking);
        }
    }

    #[cold]
    fn take_from_slow(&mut self, slow: NonZeroU16, charge: usize) {
        if let Some(spent) = self.slow.get_mut(place(slow)) {
            spent.take(charge);
            self.spent.take(charge);
        }
    }

    /// Ends the flow control of a stream that has ended and receives nothing.
    pub(super) fn end(&mut self, blocking: &mut Blocking) {
        self.unblock(blocking);
        if let Some(slow) = blocking.slow.take() {
            self.slow.try_remove(place(slow));
        }
    }

    /// Ends the blocking of the connection by a stream that has room again.
    fn unblock(&mut self, blocking: &mut Blocking) {
        if std::mem::take(&mut blocking.counted) {
            self.blocking = self.blocking.saturating_sub(1);
        }
    }

    /// Arms the slow consumer timer, because the connection is paused: by the stream `cause`, which is at its window, or by
    /// all together. `exclusive` if no other stream waits, `latest` if there is another limit.
    pub(super) fn arm_stall(
        &mut self,
        now: Instant,
        cause: Option<(StreamKey, &mut Blocking)>,
        exclusive: bool,
        latest: Option<Instant>,
        timers: &mut Timers,
    ) {
        if self.stall.is_some() {
            return;
        }
        let (key, blocking) = cause.unzip();
        let time = match exclusive {
            true => self.timeout_exclusive,
            false => self.begin_stall(now, blocking),
        };
        let until = now.checked_add(time).into_iter().chain(latest).min();
        until.into_iter().for_each(|at| timers.arm(at, Timer::Stall));
        self.stall = Some(Stall { since: now, until, key, exclusive, ended: false });
    }

    /// Returns how long the connection may be paused.
    fn begin_stall(&mut self, now: Instant, blocking: Option<&mut Blocking>) -> Duration {
        self.allowance.begin(&mut self.spent, now);
        let slow = blocking.and_then(|blocking| {
            blocking.slow = blocking.slow.or_else(|| self.add_slow());
            blocking.slow
        });
        let Some(spent) = slow.and_then(|slow| self.slow.get_mut(place(slow))) else {
            return self.allowance.left(&Spent::default(), &self.spent);
        };
        self.allowance.begin(spent, now);
        self.allowance.left(spent, &self.spent)
    }

    /// Returns a place for what a stream spends; `None` if 65,535 have one, and each pause is then taken as its first.
    fn add_slow(&mut self) -> Option<NonZeroU16> {
        let place = u16::try_from(self.slow.vacant_key()).ok()?.checked_add(1)?;
        self.slow.insert(Spent::default());
        NonZeroU16::new(place)
    }

    /// Takes the pause of an exclusive stream, because it is no longer exclusive. Returns the stream and when the timer
    /// would have fired.
    pub(super) fn share_stall(
        &mut self,
        timers: &mut Timers,
    ) -> Option<(Option<StreamKey>, Option<Instant>)> {
        let stall = self.stall.take_if(|stall| stall.exclusive && !stall.ended)?;
        timers.disarm(stall.until, Timer::Stall);
        Some((stall.key, stall.until))
    }

    /// Disarms the slow consumer timer, because the connection may be read again.
    pub(super) fn disarm_stall(&mut self, timers: &mut Timers) {
        if let Some(stall) = &mut self.stall {
            timers.disarm(stall.until, Timer::Stall);
            stall.ended = true;
        }
    }

    /// Returns whether a pause has ended and is not accounted for.
    #[inline]
    pub(super) fn has_ended_stall(&self) -> bool {
        self.stall.as_ref().is_some_and(|stall| stall.ended)
    }

    /// Accounts for the pause that has ended. Returns the stream that has caused it, if that is to be charged too, and
    /// the time.
    pub(super) fn end_stall(&mut self, now: Instant) -> Option<(StreamKey, Duration)> {
        let stall = self.stall.take().filter(|stall| !stall.exclusive)?;
        let end = stall.until.map_or(now, |until| until.min(now));
        let paused = end.saturating_duration_since(stall.since);
        self.allowance.end(&mut self.spent, paused, now);
        stall.key.map(|key| (key, paused))
    }

    /// Charges a stream that has caused a pause.
    pub(super) fn charge_stall(&mut self, blocking: &Blocking, paused: Duration, now: Instant) {
        if let Some(spent) = blocking.slow.and_then(|slow| self.slow.get_mut(place(slow))) {
            self.allowance.end(spent, paused, now);
        }
    }
}

fn place(slow: NonZeroU16) -> usize {
    usize::from(slow.get()).saturating_sub(1)
}
