//! What the driver needs of a runtime: tasks, timers, fairness, log lines. One implementation on tokio, and
//! one without for the models, which loom runs on threads of its own.

#[cfg(all(test, loom))]
mod model;
#[cfg(feature = "tokio")]
mod on_tokio;

#[cfg(all(test, loom))]
pub(crate) use model::{Spawner, Task, Timer, log, poll_proceed, sleep, timeout, yield_now};
#[cfg(feature = "tokio")]
pub(crate) use on_tokio::{Spawner, Timer, log, poll_proceed, sleep, timeout, yield_now};
