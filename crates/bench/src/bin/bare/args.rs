//! Arguments of the bare loop.

use clap::{Args, ValueEnum};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shape {
    /// One task at each end for everything.
    Loop,
    /// A task for each stream at each end, a reader and a writer.
    Tasks,
}

/// The arguments of `bare bench`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct BenchArgs {
    /// The operation of each stream.
    #[arg(long, value_enum, default_value = "echo")]
    pub(crate) what: What,
    /// Number of concurrently busy streams.
    #[arg(long, default_value_t = 100)]
    pub(crate) c: usize,
    /// Size of the payload, in bytes.
    #[arg(long, default_value_t = 1024)]
    pub(crate) b: usize,
    /// Duration in seconds.
    #[arg(long, default_value_t = 4)]
    pub(crate) t: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// One stream each, one message in flight.
    Echo,
    /// One endless response each.
    Down,
    /// Repeated: header, request and trailer; header, response and trailer.
    Open,
}

/// The arguments of `bare hold`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct HoldArgs {
    /// Number of streams.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) c: usize,
    /// Seconds to hold them.
    #[arg(long, default_value_t = 3)]
    pub(crate) t: u64,
}
