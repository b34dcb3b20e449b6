//! Keepalive: PINGs on a silent connection with streams, where they are configured. Owns when one is sent, and when the
//! peer counts as lost.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::{Ping, PingPong};
use stream_core::clock;
use stream_core::rt::Timer;

use crate::GrpcConfig;
use crate::origin::Origins;

/// The shortest interval and timeout: zero would send without end.
const SHORTEST: Duration = Duration::from_millis(1);

/// The keepalive of one connection.
pub(crate) struct Keepalive {
    pings: PingPong,
    interval: Duration,
    timeout: Duration,
    timer: Timer,
    due: Instant,
    /// A PING has no answer yet.
    asked: bool,
}

impl Keepalive {
    /// Returns the keepalive that `config` asks for, if any; `pings` are those of the connection.
    pub(crate) fn new(config: &GrpcConfig, pings: Option<PingPong>) -> Option<Self> {
        let interval = config.keepalive_interval?.max(SHORTEST);
        let timeout = config.keepalive_timeout.max(SHORTEST);
        let mut new = Self {
            pings: pings?,
            interval,
            timeout,
            timer: Timer::default(),
            due: clock::now(),
            asked: false,
        };
        new.wait(interval);
        Some(new)
    }

    fn wait(&mut self, time: Duration) {
        let now = clock::now();
        self.due = now.checked_add(time).unwrap_or(now);
    }

    /// Sends a PING if nothing has come for the interval; to be called before the connection is polled, which writes it.
    /// `has_streams`: without a stream no PING is sent. Completes when the peer has not answered in time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, has_streams: bool, origins: &Origins) -> Poll<()> {
        loop {
            if self.asked && self.pings.poll_pong(cx).is_ready() {
                self.asked = false;
                self.wait(self.interval);
            }
            if self.timer.poll_until(Some(self.due), cx).is_pending() {
                return Poll::Pending;
            }
            let silent = !origins.take_activity();
            match self.asked {
                true if silent => return Poll::Ready(()),
                // The answer stands behind what the peer sends.
                true => self.wait(self.timeout),
                // Fails if the connection has ended, which its own poll finds.
                false if silent && has_streams && self.pings.send_ping(Ping::opaque()).is_ok() => {
                    self.asked = true;
                    self.wait(self.timeout);
                }
                false => self.wait(self.interval),
            }
        }
    }
}
