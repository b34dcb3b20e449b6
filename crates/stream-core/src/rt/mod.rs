//! What the driver needs of a runtime: tasks, timers, fairness, log lines. One implementation on tokio, and
//! one without for the models, which loom runs on threads of its own.

#[cfg(loom)]
mod model;
#[cfg(feature = "tokio")]
mod on_tokio;

#[cfg(loom)]
pub use model::{Spawner, Task, Timer, log, poll_proceed, sleep, timeout, yield_now};
#[cfg(feature = "tokio")]
pub use on_tokio::{Spawner, Timer, check, log, poll_proceed, sleep, timeout, yield_now};
