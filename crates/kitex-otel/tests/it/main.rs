//! The spans and durations of real calls, over each transport in memory.

mod spans;

#[rustfmt::skip]
#[path = "../../../kitex/examples/generated/echo.rs"]
mod generated;
