//! What a connection does as the memory budget is used up: smaller windows and credits, and the streams that it ends.

mod harness;

use std::sync::Weak;
use std::task::Poll;

use harness::{Dial, Pair};
use kerrors::{Code, Side};
use stream_core::MemoryBudget;
use stream_core::memory::{NO_MEMORY, Share, Shed};
use ttheader_codec::FrameType;
use ttstream::proto::{Config, StreamKey};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const LIMIT: usize = 100 * MIB;

/// Ends nothing.
struct Nothing;

impl Shed for Nothing {
    fn shed(&self, _: usize) -> usize {
        0
    }
}

/// Returns a pair whose server counts in `budget`, and an accepted stream.
fn pair(config: &Config, budget: &MemoryBudget) -> (Pair, StreamKey, StreamKey) {
    let mut pair = Pair::new(config.clone(), config.clone());
    pair.server.conn.count_in(budget, Weak::<Nothing>::new());
    let key = open(&mut pair);
    (pair, key.0, key.1)
}

fn open(pair: &mut Pair) -> (StreamKey, StreamKey) {
    let key = pair.open(&Dial::default());
    pair.drive();
    (key, pair.accepted(key))
}

/// Sends messages of 1 KiB until they are read no more, or Send waits. Returns what the server holds.
fn fill(pair: &mut Pair, key: StreamKey) -> usize {
    for _ in 0..4 * KIB {
        if !pair.send(Side::Client, key, &[0; KIB]).unwrap() {
            break;
        }
        pair.drive();
        if pair.server.conn.is_paused() {
            break;
        }
    }
    pair.server.conn.received_bytes()
}

/// Returns the bytes that were taken.
fn take(pair: &mut Pair, key: StreamKey) -> usize {
    let count =
        (0..).take_while(|_| matches!(pair.recv(Side::Server, key), Poll::Ready(Ok(Some(_))))).count();
    pair.drive();
    count * KIB
}

/// Whether flow control is by credits; what other connections hold, in percent of the budget; what a stream holds of which
/// nothing is taken, at first, and each time after all was taken.
const WINDOWS: [(bool, usize, usize, usize); 6] = [
    (false, 50, MIB, MIB),
    (false, 85, MIB, MIB),
    (false, 92, MIB / 4, MIB / 4),
    (true, 50, MIB, MIB),
    (true, 85, MIB, MIB),
    // A first window was granted before memory was short.
    (true, 92, MIB / 4, MIB / 16),
];

#[test]
fn memory_budget_makes_receive_windows_smaller_while_it_is_nearly_used_up() {
    for (credits, percent, first, then) in WINDOWS {
        let row = format!("credits {credits}, {percent} %");
        let budget = MemoryBudget::new(LIMIT);
        let mut others = Share::new(&budget);
        others.set(LIMIT / 100 * percent);
        let (mut pair, key, handler) = pair(&Config::default().flow_credits(credits), &budget);
        assert_eq!(pair.server.conn.has_credits(), credits, "{row}");
        for held in [first, then, then, then] {
            assert_eq!(fill(&mut pair, key), held, "{row}");
            assert_eq!(take(&mut pair, handler), held, "{row}");
        }
        drop(others);
        fill(&mut pair, key);
        take(&mut pair, handler);
        assert_eq!(fill(&mut pair, key), MIB, "{row}: the others hold nothing any more");
    }
}

/// Whether flow control is by credits; the bytes of a part of a frame, and from which the connection is closed for it; the
/// bytes that are free then, `None` if the connection is to be closed.
const SHED: [(bool, usize, usize, Option<usize>); 5] = [
    (false, 0, 128 * KIB, Some(50 * KIB)),
    (true, 0, 128 * KIB, Some(50 * KIB)),
    (false, 100 * KIB, 128 * KIB, Some(50 * KIB)),
    (false, 100 * KIB, 0, None),
    (false, 200 * KIB, 128 * KIB, None),
];

#[test]
fn memory_budget_ends_the_stream_that_holds_most_with_slow_consumer() {
    for (credits, part, limit, freed) in SHED {
        let row = format!("credits {credits}, {part} of {limit}");
        let (budget, config) = (MemoryBudget::new(LIMIT), Config::default().flow_credits(credits));
        let (mut pair, key, handler) = pair(&config, &budget);
        let (large, at) = open(&mut pair);
        for (key, messages) in [(key, 30), (large, 50)] {
            (0..messages).for_each(|_| assert!(pair.send(Side::Client, key, &[0; KIB]).unwrap()));
        }
        pair.drive();
        pair.server.conn.set_partial_bytes(part);
        let used = budget.used();
        assert_eq!(pair.server.conn.shed(limit), freed, "{row}");
        let Some(freed) = freed else { continue };
        assert!(budget.used() <= used - freed / 2, "{row}");
        pair.server.collect();
        pair.drive();
        let Poll::Ready(Err(error)) = pair.recv(Side::Server, at) else { panic!("{row}: it has ended") };
        assert_eq!(error.code(), Some(Code::SLOW_CONSUMER), "{row}");
        assert!(error.to_string().contains(NO_MEMORY), "{row}: {error}");
        assert!(
            pair.to_client.sent.last(large.id().get(), FrameType::Rst).is_some(),
            "{row}: the peer knows"
        );
        assert_eq!(take(&mut pair, handler), 30 * KIB, "{row}: the other stream has lost nothing");
    }
}

/// What the peer does not read: messages that handlers have sent, of how many streams, and the bytes of each message; whether the
/// next write has more of it than a stream, so that the connection is to be closed.
const UNREAD: [(usize, usize, bool); 4] =
    [(1, KIB, false), (1, 40 * KIB, false), (8, KIB, false), (1, 200 * KIB, true)];

#[test]
fn memory_budget_counts_what_waits_to_be_written_and_ends_the_stream_with_most_of_it() {
    for (streams, len, closes) in UNREAD {
        let row = format!("{streams} streams, {len} bytes");
        let budget = MemoryBudget::new(LIMIT);
        let (mut pair, _, first) = pair(&Config::default(), &budget);
        let mut handlers = vec![first];
        handlers.extend((1..streams).map(|_| open(&mut pair).1));
        let before = budget.used();
        // Until Send waits: one after the other, so that the first one's are in the batch and the rest at the streams.
        for &handler in &handlers {
            while pair.send(Side::Server, handler, &vec![0; len]).unwrap() {}
        }
        let unsent = pair.server.conn.transmit_bytes();
        assert!(unsent >= 100 * KIB, "{row}: {unsent}");
        let counted = budget.used() - before;
        assert!(counted <= unsent && counted + 32 * KIB > unsent, "{row}: {counted} of {unsent}");

        let freed = pair.server.conn.shed(128 * KIB);
        assert_eq!(freed.is_none(), closes, "{row}");
        let Some(freed) = freed else {
            pair.lose();
            assert!(budget.used() < before + 16 * KIB, "{row}: a closed connection holds nothing");
            assert_eq!(pair.server.conn.shed(0), Some(0), "{row}: it is closed once");
            continue;
        };
        assert!(freed >= 64 * KIB, "{row}: {freed}");
        let left = pair.server.conn.transmit_bytes();
        assert!(left < unsent - freed + KIB, "{row}: {left} are left, with the Rst");
        let counted = budget.used() - before;
        assert!(counted <= left && counted + 32 * KIB > left, "{row}: {counted} of {left}");
        pair.server.collect();
        let ended = |pair: &mut Pair, key| pair.send(Side::Server, key, &[0]).is_err();
        let ended = handlers.iter().filter(|key| ended(&mut pair, **key)).count();
        assert_eq!(ended, 1, "{row}");
        pair.drive();
        assert!(budget.used() < before + 16 * KIB, "{row}: what was written is free");
    }
}
