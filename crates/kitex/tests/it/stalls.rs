//! How long the machine stands still. Some times that the library waits are too short for one that does so for a second, and no
//! configuration makes them longer.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A thread that measures how late it is woken. It ends when the sender is dropped.
struct Stalls(SyncSender<()>, JoinHandle<Duration>);

impl Stalls {
    fn measure() -> Self {
        let (stop, stopped) = sync_channel(0);
        let thread = thread::spawn(move || {
            let (mut longest, mut began) = (Duration::ZERO, Instant::now());
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(5)) {
                longest = longest.max(began.elapsed());
                began = Instant::now();
            }
            longest.max(began.elapsed())
        });
        Self(stop, thread)
    }

    fn longest(self) -> Duration {
        drop(self.0);
        self.1.join().unwrap()
    }
}

/// Makes the check. If it fails and the machine has stood still for longer than `bearable` meanwhile, that says nothing, and it is
/// made again.
pub(crate) async fn unless_stalled(bearable: Duration, mut check: impl AsyncFnMut() -> Result<(), String>) {
    loop {
        let stalls = Stalls::measure();
        let result = check().await;
        let longest = stalls.longest();
        match result {
            Ok(()) => return,
            Err(text) if longest > bearable => println!("stood still for {longest:?}: {text}"),
            Err(text) => panic!("{text}"),
        }
    }
}
