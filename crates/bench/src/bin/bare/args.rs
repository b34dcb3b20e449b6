//! Arguments of the loop: its shape, what it measures, what it holds.

use clap::{Args, ValueEnum};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shape {
    /// One task at each end that does everything.
    Loop,
    /// A task for each stream at each end, a reader and a writer.
    Tasks,
}

/// The words of `bare bench`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct BenchArgs {
    /// What each stream does.
    #[arg(long, value_enum, default_value = "echo")]
    pub(crate) what: What,
    /// Streams that are busy at once.
    #[arg(long, default_value_t = 100)]
    pub(crate) c: usize,
    /// Bytes of payload.
    #[arg(long, default_value_t = 1024)]
    pub(crate) b: usize,
    /// Seconds.
    #[arg(long, default_value_t = 4)]
    pub(crate) t: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// One stream each, one message on its way.
    Echo,
    /// One endless answer each.
    Down,
    /// Header, request and trailer; header, answer and trailer; again and again.
    Open,
}

/// The words of `bare hold`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct HoldArgs {
    /// Streams.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) c: usize,
    /// Seconds to hold them.
    #[arg(long, default_value_t = 3)]
    pub(crate) t: u64,
}
