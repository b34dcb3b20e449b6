//! The runtime functions that drivers need: tasks, timers, fairness, log lines. One implementation uses
//! tokio; the other has no runtime and is for models, which loom runs on its own threads.

#[cfg(loom)]
mod model;
#[cfg(feature = "tokio")]
mod on_tokio;

#[cfg(loom)]
pub use model::{Spawner, Task, Timer, log, poll_proceed, sleep, timeout, yield_now};
#[cfg(feature = "tokio")]
pub use on_tokio::{Spawner, Timer, check, log, poll_proceed, sleep, timeout, timeout_if, yield_now};
