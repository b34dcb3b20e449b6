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
    /// The time for the answer has passed.
    late: bool,
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
            late: false,
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
                (self.asked, self.late) = (false, false);
                self.wait(self.interval);
            }
            if self.timer.poll_until(Some(self.due), cx).is_pending() {
                return Poll::Pending;
            }
            let silent = !origins.take_activity();
            match self.asked {
                true if silent && self.late => return Poll::Ready(()),
                // A process that stood still has not read what has come meanwhile: the connection is polled once more.
                true if silent => {
                    self.late = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                // The answer stands behind what the peer sends.
                true => {
                    self.late = false;
                    self.wait(self.timeout);
                }
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Waker;

    use bytes::BytesMut;
    use kerrors::Side;
    use stream_core::io::Io;
    use tokio::time::advance;

    use super::*;
    use crate::socket::Socket;

    const INTERVAL: Duration = Duration::from_secs(30);
    const TIMEOUT: Duration = Duration::from_secs(20);

    fn socket(io: Io, side: Side) -> (Socket, Arc<Origins>) {
        let origins = Arc::new(Origins::new(side));
        (Socket::new(io, BytesMut::new(), INTERVAL, side, origins.clone()), origins)
    }

    /// This end does not run from the time at which it has sent the PING until the answer is late.
    #[tokio::test(start_paused = true)]
    async fn keepalive_reads_what_has_come_before_the_peer_counts_as_lost() {
        for answers in [true, false] {
            let (client, server) = Io::pair(1 << 16);
            let ((client, origins), (server, _)) =
                (socket(client, Side::Client), socket(server, Side::Server));
            let (opened, accepted) =
                tokio::join!(h2::client::handshake(client), h2::server::handshake(server));
            let ((_requests, mut connection), mut accepted) = (opened.unwrap(), accepted.unwrap());
            let mut config = GrpcConfig::default().keepalive_interval(INTERVAL);
            config.keepalive_timeout = TIMEOUT;
            let mut keepalive = Keepalive::new(&config, connection.ping_pong()).unwrap();
            let mut connection = pin!(connection);
            let mut cx = Context::from_waker(Waker::noop());
            // The settings of both ends.
            for _ in 0..3 {
                assert!(connection.as_mut().poll(&mut cx).is_pending());
                assert!(accepted.poll_accept(&mut cx).is_pending());
            }
            origins.take_activity();
            advance(INTERVAL + INTERVAL).await;
            assert!(keepalive.poll(&mut cx, true, &origins).is_pending());
            assert!(connection.as_mut().poll(&mut cx).is_pending());
            if answers {
                assert!(accepted.poll_accept(&mut cx).is_pending());
            }
            advance(TIMEOUT + TIMEOUT).await;
            assert!(keepalive.poll(&mut cx, true, &origins).is_pending(), "nothing was read yet");
            assert!(connection.as_mut().poll(&mut cx).is_pending());
            assert_eq!(keepalive.poll(&mut cx, true, &origins).is_pending(), answers);
        }
    }
}
