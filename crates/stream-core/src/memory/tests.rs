//! The arithmetic of the memory budget. What it does to connections is in the tests of `kitex`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{BASE, MemoryBudget, Pressure, STEP, Share, Shed, system};

#[test]
fn memory_budget_counts_steps_and_gives_back_all_of_them() {
    let budget = MemoryBudget::new(10 * STEP);
    let mut share = Share::new(&budget);
    let mut held = |bytes: usize| {
        let changes = share.is_off(bytes);
        if changes {
            share.set(bytes);
        }
        (changes, budget.used() - BASE)
    };
    // Neither small changes nor those around a step change the sum.
    for (bytes, changes, used) in [
        (STEP - 1, false, 0),
        (STEP, true, STEP),
        (STEP - 1, false, STEP),
        (2 * STEP - 1, false, STEP),
        (2 * STEP, true, 2 * STEP),
        (STEP, false, 2 * STEP),
        (STEP - 1, true, 0),
        (9 * STEP, true, 9 * STEP),
        (0, true, 0),
    ] {
        assert_eq!(held(bytes), (changes, used), "{bytes}");
    }
    drop(share);
    assert_eq!(budget.used(), 0);
}

#[test]
fn memory_budget_has_pressure_at_its_parts_and_none_without_a_limit() {
    for (percent, pressure) in [
        (79, Pressure::None),
        (80, Pressure::High),
        (89, Pressure::High),
        (90, Pressure::Tight),
        (94, Pressure::Tight),
        (95, Pressure::Full),
    ] {
        let budget = MemoryBudget::new(100 * STEP);
        let mut share = Share::new(&budget);
        assert_eq!(share.set(percent * STEP), pressure, "{percent}");
        assert_eq!(budget.refuses_streams(Instant::now).is_some(), pressure >= Pressure::High, "{percent}");
        assert_eq!(
            budget.refuses_connections(Instant::now).is_some(),
            pressure >= Pressure::Tight,
            "{percent}"
        );
    }
    let unlimited = MemoryBudget::unlimited();
    let share = Share::new(&unlimited);
    assert!(
        !share.is_off(1 << 40) && unlimited.refuses_streams(Instant::now).is_none() && unlimited.used() == 0
    );
}

/// A connection whose streams hold so many steps each, and that holds `part` in a part of a frame.
struct Streams {
    held: Mutex<Vec<usize>>,
    part: AtomicUsize,
    share: Mutex<Share>,
    ended: AtomicUsize,
}

impl Streams {
    fn new(budget: &MemoryBudget, held: &[usize], part: usize) -> Arc<Self> {
        let (held, share) = (Mutex::new(held.to_vec()), Mutex::new(Share::new(budget)));
        let streams =
            Arc::new(Self { held, part: AtomicUsize::new(part), share, ended: AtomicUsize::new(0) });
        let shed: std::sync::Weak<Self> = Arc::downgrade(&streams);
        streams.share.lock().unwrap().register(shed);
        streams.count();
        streams
    }

    fn count(&self) {
        let held = self.held.lock().unwrap().iter().sum::<usize>() + self.part.load(Ordering::Relaxed);
        self.share.lock().unwrap().set(held * STEP);
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Shed for Streams {
    fn shed(&self, part: usize) -> usize {
        let largest = |held: &Vec<usize>| held.iter().copied().max().unwrap_or_default();
        let freed = {
            let mut held = self.held.lock().unwrap();
            let (largest, own) = (largest(&held), self.part.load(Ordering::Relaxed));
            if own > largest && own * STEP > part {
                self.part.swap(0, Ordering::Relaxed)
            } else {
                held.retain(|held| *held != largest);
                largest
            }
        };
        self.ended.fetch_add(usize::from(freed > 0), Ordering::Relaxed);
        self.count();
        freed * STEP
    }
}

/// What the streams of three connections hold, and parts of frames, in steps of a hundredth of the budget; what is ended at
/// each.
type Row = ([(&'static [usize], usize); 3], [usize; 3]);
const ENDED: [Row; 4] = [
    ([(&[10, 20], 0), (&[5, 6, 30], 0), (&[25], 0)], [0, 1, 0]),
    ([(&[10, 20], 0), (&[5, 6, 30], 0), (&[18], 0)], [0, 0, 0]),
    ([(&[1, 40, 2, 41], 0), (&[60], 0), (&[], 0)], [1, 1, 0]),
    // 8 steps are 128 KiB.
    ([(&[10, 11], 40), (&[], 0), (&[40], 0)], [1, 0, 0]),
];

#[test]
fn memory_budget_ends_streams_of_the_connection_that_holds_most() {
    for (connections, expected) in ENDED {
        let budget = MemoryBudget::new(100 * STEP);
        let connections = connections.map(|(held, part)| Streams::new(&budget, held, part));
        budget.relieve();
        assert_eq!(connections.each_ref().map(|streams| streams.ended()), expected);
        assert!(budget.pressure() < Pressure::Full);
        drop(connections);
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn memory_budget_closes_connections_for_small_parts_of_frames_from_100_percent_on() {
    let budget = MemoryBudget::new(100 * STEP);
    let connections: Vec<_> = (0..13).map(|_| Streams::new(&budget, &[], 8)).collect();
    budget.relieve();
    let ended = || connections.iter().map(|streams| streams.ended()).sum::<usize>();
    assert_eq!(ended(), 1);
    assert_eq!(budget.pressure(), Pressure::Full, "less than 100 % are kept");
    // Connections are not searched again before there is more than a hundredth in addition.
    connections[12].held.lock().unwrap().push(1);
    connections[12].count();
    budget.relieve();
    assert_eq!(ended(), 1);
}

/// What two connections hold, in streams and a part of a frame, in hundredths of the budget; what is ended at each after refusals of
/// 30 s.
const OVERDUE: [(Connections, [usize; 2]); 5] = [
    ([(&[40, 41], 0), (&[1], 0)], [1, 0]),
    ([(&[1], 0), (&[30, 31, 32], 0)], [0, 1]),
    ([(&[45], 0), (&[20, 29], 0)], [0, 1]),
    // A part of a frame, of 128 KiB too.
    ([(&[40], 45), (&[], 0)], [1, 0]),
    ([(&[2, 3], 8), (&[], 68)], [0, 1]),
];
type Connections = [(&'static [usize], usize); 2];

#[test]
fn memory_budget_ends_streams_once_others_were_refused_for_30_s() {
    for (connections, expected) in OVERDUE {
        let budget = MemoryBudget::new(100 * STEP);
        let connections = connections.map(|(held, part)| Streams::new(&budget, held, part));
        let begin = Instant::now();
        let refused = |seconds| budget.refuses_streams(|| begin + Duration::from_secs(seconds)).is_some();
        let ended = || connections.each_ref().map(|streams| streams.ended());
        for seconds in [0, 10, 20, 29] {
            assert_eq!((refused(seconds), ended()), (true, [0, 0]), "{seconds} s");
        }
        assert_eq!((refused(30), ended()), (false, expected));
        // Not again once there was no refusal for 30 s.
        connections[0].held.lock().unwrap().push(100 - budget.used() / STEP - 12);
        connections[0].count();
        assert_eq!((refused(60), ended()), (true, expected));
    }
}

#[test]
fn memory_budget_ends_small_parts_of_frames_too_once_connections_were_refused_for_30_s() {
    let budget = MemoryBudget::new(100 * STEP);
    let connections: Vec<_> = (0..23).map(|_| Streams::new(&budget, &[], 4)).collect();
    let begin = Instant::now();
    for (seconds, expected) in [(0, 0), (15, 0), (30, 5)] {
        // Nothing that this would end is left.
        budget.relieve();
        let refused = budget.refuses_connections(|| begin + Duration::from_secs(seconds));
        let ended = connections.iter().map(|streams| streams.ended()).sum::<usize>();
        assert_eq!((refused.is_none(), ended), (expected > 0, expected), "{seconds} s");
    }
}

#[test]
fn memory_budget_of_a_process_is_that_of_its_cgroup_or_machine() {
    let rows: [(&str, &[&str]); 4] = [
        (
            "0::/a/b\n",
            &["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"],
        ),
        (
            "3:cpu,memory:/a\n2:cpuset:/b\n",
            &["/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"],
        ),
        ("0::/\n", &["/sys/fs/cgroup/memory.max"]),
        ("nonsense", &[]),
    ];
    for (own, files) in rows {
        assert_eq!(system::files(own).collect::<Vec<_>>(), files, "{own}");
    }
    for (text, limit) in [
        ("max\n", None),
        ("9223372036854771712\n", None),
        ("1073741824\n", Some(1 << 30)),
        ("", None),
        ("-1", None),
    ] {
        assert_eq!(system::parse(text), limit, "{text}");
    }
    for (text, total) in [
        ("MemTotal:       24684096 kB\nMemFree:         1000 kB\n", Some(24_684_096 * 1024)),
        ("MemFree: 1000 kB\nMemTotal: 8 kB", Some(8192)),
        ("MemTotal: 8 MB", None),
        ("MemTotal: 99999999999999999999 kB", None),
        ("MemFree: 1000 kB\n", None),
        ("", None),
    ] {
        assert_eq!(system::total(text), total, "{text}");
    }
    if cfg!(target_os = "linux") {
        let limit = MemoryBudget::process().limit().expect("a limit");
        assert!((1 << 20..1 << 50).contains(&limit), "{limit}");
    }
}
