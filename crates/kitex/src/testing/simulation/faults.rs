//! Faults at random times, until a time.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::network::Simulation;
use super::random::Random;
use super::world::Pair;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// [`Simulation::delay`], of up to a second.
    Delay,
    /// [`Simulation::stall`], in one direction.
    Stall,
    /// [`Simulation::partition`].
    Partition,
    /// [`Simulation::reset`], of a link's connections.
    Reset,
    /// [`Simulation::crash`] of a host that listens.
    Crash,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Delay, Self::Stall, Self::Partition, Self::Reset, Self::Crash];
    /// The kinds that lose no connection, if they last for less than 20 s.
    pub const SLOW: [Self; 3] = [Self::Delay, Self::Stall, Self::Partition];
}

/// Faults that the seed draws: which, where, when and for how long. Links are those over which something was dialed before,
/// hosts are those that listen.
///
/// Default: every kind, one begins 10 to 500 ms after the one before, each lasts for 10 ms to 1 s, for 3 s altogether.
#[derive(Clone, Debug)]
pub struct Faults {
    kinds: Vec<Fault>,
    gap: RangeInclusive<Duration>,
    duration: RangeInclusive<Duration>,
    total: Duration,
}

impl Default for Faults {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            kinds: Fault::ALL.to_vec(),
            gap: ms(10)..=ms(500),
            duration: ms(10)..=ms(1000),
            total: ms(3000),
        }
    }
}

impl Faults {
    /// Sets the kinds of faults. One that is listed twice is drawn twice as often.
    #[must_use]
    pub fn kinds(self, kinds: &[Fault]) -> Self {
        Self { kinds: kinds.to_vec(), ..self }
    }

    /// Sets the time between the beginnings of two faults.
    #[must_use]
    pub fn gap(self, gap: RangeInclusive<Duration>) -> Self {
        Self { gap, ..self }
    }

    /// Sets how long each fault lasts. A partition of 20 s or more ends the connections across it.
    #[must_use]
    pub fn duration(self, duration: RangeInclusive<Duration>) -> Self {
        Self { duration, ..self }
    }

    /// Sets the time after which no fault begins and all are ended.
    #[must_use]
    pub fn total(self, total: Duration) -> Self {
        Self { total, ..self }
    }
}

/// The end of a fault.
#[derive(Debug)]
enum Undo {
    Heal(Pair),
    Restart(Arc<str>),
}

impl Simulation {
    /// Injects faults until their time is over, then ends every fault. Those that overlap on one link or host end together.
    pub async fn inject(&self, faults: Faults) {
        let Faults { kinds, gap, duration, total } = faults;
        let mut random = Random::new(self.seed()).fork(3);
        let (mut undos, end): (Vec<(Instant, Undo)>, _) = (Vec::new(), Instant::now() + total);
        let mut next = Instant::now() + random.time(&gap);
        loop {
            let first = undos.iter().map(|(at, _)| *at).min();
            let at = first.into_iter().chain([next, end]).min().unwrap_or(end);
            sleep_until(at).await;
            if at == end {
                break;
            }
            for (_, undo) in undos.extract_if(.., |(due, _)| *due <= at) {
                self.undo(&undo);
            }
            if next <= at {
                let lasts = random.time(&duration);
                undos.extend(self.begin(&kinds, &mut random).map(|undo| (at + lasts, undo)));
                next = at + random.time(&gap).max(Duration::from_millis(1));
            }
        }
        self.heal_all();
        self.note("faults are over");
    }

    fn begin(&self, kinds: &[Fault], random: &mut Random) -> Option<Undo> {
        let (pairs, hosts) = self.update(|world| world.targets());
        let fault = random.pick(kinds)?;
        let pair = random.pick(&pairs)?;
        let (mut from, mut to) = (&*pair.0, &*pair.1);
        match fault {
            Fault::Delay => {
                let delay = random.time(&(Duration::from_millis(1)..=Duration::from_secs(1)));
                self.delay(from, to, delay);
            }
            Fault::Stall => {
                if random.once_in(2) {
                    (from, to) = (to, from);
                }
                self.stall(from, to);
            }
            Fault::Partition => self.partition(from, to),
            Fault::Reset => {
                self.reset(from, to);
                return None;
            }
            Fault::Crash => {
                let host = random.pick(&hosts)?.clone();
                self.crash(&host);
                return Some(Undo::Restart(host));
            }
        }
        Some(Undo::Heal(pair.clone()))
    }

    fn undo(&self, undo: &Undo) {
        match undo {
            Undo::Heal(Pair(first, second)) => self.heal(first, second),
            Undo::Restart(host) => self.restart(host),
        }
    }
}
