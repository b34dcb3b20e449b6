//! Runtimes, dials and servers that die at random, while clients that outlive them open streams. Nothing may hang,
//! each stream has one outcome, and in the end nothing is left.

#![allow(clippy::disallowed_methods, reason = "threads and runtimes live and die in real time")]

mod calls;
mod ledger;
mod parts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use interop::dial::Failure;
use kitex::observe;

use self::ledger::{Ledger, PATIENCE};
use self::parts::World;

/// Threads that start a server, let it die and start the next.
const SERVERS: u64 = 3;
/// Threads that start a runtime, make calls on it and let it die.
const WORKERS: u64 = 4;
/// Lets parts die for `time`.
///
/// # Errors
/// A call has hung, a stream had no outcome or two, or something is left.
pub(crate) fn run(time: Duration, seed: u64) -> Result<(), Failure> {
    // What a process opens once and keeps.
    live(Duration::from_secs(1), seed)?;
    let before = Left::settled(None);
    let ledger = live(time, seed)?;
    let after = Left::settled(Some(&before));
    println!("{}\nbefore {before:?}\nafter  {after:?}", ledger.summary());
    ledger.check()?;
    if after.threads > before.threads || after.descriptors > before.descriptors || after.streams > 0 {
        return Err("threads, streams or descriptors are left".into());
    }
    println!("{} s of parts that die, seed {seed}: no call hung, nothing is left", time.as_secs());
    Ok(())
}

fn live(time: Duration, seed: u64) -> Result<Arc<Ledger>, Failure> {
    let ledger = Arc::new(Ledger::default());
    let world = Arc::new(World::new(ledger.clone(), seed)?);
    let stop = Arc::new(AtomicBool::new(false));
    let start = |number: u64, round: fn(&World, &mut parts::Random) -> Result<(), Failure>| {
        let (world, stop) = (world.clone(), stop.clone());
        let mut random = parts::Random::new(seed.wrapping_mul(1_000).wrapping_add(number));
        thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                round(&world, &mut random)?;
            }
            Ok(())
        })
    };
    let servers: Vec<_> = (0..SERVERS).map(|number| start(number, parts::serve)).collect();
    let workers: Vec<_> = (0..WORKERS).map(|number| start(100 + number, calls::work)).collect();
    thread::sleep(time);
    stop.store(true, Ordering::SeqCst);
    for thread in workers.into_iter().chain(servers) {
        join(thread)?;
    }
    Ok(ledger)
}

fn join(thread: JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
    let since = Instant::now();
    while !thread.is_finished() {
        if since.elapsed() > PATIENCE * 2 {
            return Err("a thread does not end".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    thread.join().map_err(|_| "a thread has panicked")?
}

/// What the process has.
#[derive(Debug)]
struct Left {
    threads: usize,
    streams: usize,
    descriptors: usize,
}

impl Left {
    fn now() -> Self {
        let count = |folder| std::fs::read_dir(folder).map_or(0, Iterator::count);
        Self {
            threads: count("/proc/self/task"),
            streams: observe::streams().len(),
            descriptors: count("/proc/self/fd"),
        }
    }

    /// As soon as there is no more than `wanted`, or after a while: threads and connections that are asked to end take
    /// their time.
    fn settled(wanted: Option<&Self>) -> Self {
        let since = Instant::now();
        loop {
            let left = Self::now();
            let wanted_threads = wanted.map_or(1, |wanted| wanted.threads);
            let wanted_descriptors = wanted.map_or(0, |wanted| wanted.descriptors);
            let done =
                left.streams == 0 && left.threads <= wanted_threads && left.descriptors <= wanted_descriptors;
            if done || since.elapsed() > Duration::from_secs(if wanted.is_some() { 20 } else { 3 }) {
                return left;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
