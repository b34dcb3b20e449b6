//! What a seed draws: the chain of services, its network and faults, and what the user does with each call.

use std::time::Duration;

use kitex::client::Transport;
use kitex::testing::{Fault, Faults, Link, Random, Simulation};

/// A link carries a buffer in each round trip. With less, a cancel would wait for seconds behind a message that is half sent.
const LEAST_BUFFER: usize = 4000;

/// A simulation over one transport.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) transport: Transport,
    /// The number of services, one behind the other.
    pub(crate) hops: usize,
    pub(crate) link: Link,
    pub(crate) trouble: Trouble,
    pub(crate) calls: Vec<Call>,
    /// The largest number of handlers that run at a service at the same time.
    pub(crate) max_handlers: usize,
    pub(crate) memory: usize,
    /// Servers begin to shut down while calls may still run.
    pub(crate) shuts_down_early: bool,
}

/// Which faults there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// None: every call succeeds that is not ended on purpose.
    None,
    /// Delays, stalls and short partitions: no handler runs twice.
    Slow,
    /// All kinds.
    All,
}

/// One call of the user.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) mode: Mode,
    /// The time of the call, from the start.
    pub(crate) start: Duration,
    /// The number of messages of the side that sends.
    pub(crate) count: i64,
    pub(crate) size: usize,
    /// The time between two messages.
    pub(crate) pause: Duration,
    /// The time that the user takes for each message.
    pub(crate) reading: Duration,
    pub(crate) last: Last,
    pub(crate) user: User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Unary,
    Up,
    Down,
    Bidi,
}

/// What the last handler of the chain does after its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Returns,
    Fails,
    WaitsForCancel,
}

/// What the user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    Reads,
    Cancels(Duration),
    Drops(Duration),
    HasDeadline(Duration),
}

impl Plan {
    pub(crate) fn draw(simulation: &Simulation, transport: Transport) -> Self {
        let mut random = simulation.random(0);
        let trouble = match random.below(8) {
            0 => Trouble::None,
            1 | 2 => Trouble::Slow,
            _ => Trouble::All,
        };
        let calls = (0..random.within(2..=8)).map(|_| Call::draw(&mut random, trouble)).collect::<Vec<_>>();
        let is_calm = trouble == Trouble::None;
        Self {
            transport,
            hops: random.within(2..=6),
            link: link(&mut random),
            trouble,
            max_handlers: if is_calm { calls.len() } else { random.within(2..=8) },
            memory: match trouble {
                Trouble::None => 1 << 30,
                // A server that runs out of memory closes connections.
                Trouble::Slow => 1 << simulation.random(1).within(14..=18),
                Trouble::All => 1 << random.within(17..=24),
            },
            shuts_down_early: !is_calm && random.once_in(4),
            calls,
        }
    }

    pub(crate) fn faults(&self) -> Faults {
        match self.trouble {
            Trouble::None => Faults::default().total(Duration::ZERO),
            Trouble::Slow => Faults::default().kinds(&Fault::SLOW),
            Trouble::All => Faults::default(),
        }
    }
}

fn link(random: &mut Random) -> Link {
    let least = ms(random.below(20));
    let link = Link::default().latency(least..=least + ms(random.below(30)));
    let link = if random.once_in(2) { link.piece(1..=random.within(1..=2000)) } else { link };
    let link =
        if random.once_in(3) { link.buffer(random.within(100..=70_000).max(LEAST_BUFFER)) } else { link };
    let link = if random.once_in(4) { link.loss(random.within(5..=100)) } else { link };
    if random.once_in(4) { link.bandwidth(100_000) } else { link }
}

impl Call {
    fn draw(random: &mut Random, trouble: Trouble) -> Self {
        let after = ms(random.below(2000));
        let user = match random.below(6) {
            0 | 1 => User::Cancels(after),
            2 => User::Drops(after),
            3 => User::HasDeadline(after),
            _ => User::Reads,
        };
        let last = match random.below(4) {
            0 if user != User::Reads => Last::WaitsForCancel,
            1 => Last::Fails,
            _ => Last::Returns,
        };
        let mode =
            *random.pick(&[Mode::Unary, Mode::Up, Mode::Down, Mode::Down, Mode::Bidi, Mode::Bidi]).unwrap();
        // Without faults nothing ends a stream for its size.
        let most = if trouble == Trouble::None { 200 } else { 20_000 };
        Self {
            mode,
            start: ms(random.below(3000)),
            count: i64::try_from(random.below(30)).unwrap(),
            size: if random.once_in(3) { random.below(most) } else { random.below(50) },
            pause: ms(random.below(100)),
            reading: if random.once_in(4) { ms(random.below(300)) } else { Duration::ZERO },
            last,
            user,
        }
    }
}

pub(crate) fn ms(ms: usize) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap())
}
