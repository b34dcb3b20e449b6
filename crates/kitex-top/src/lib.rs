//! The open streams and the last cancels of running services, joined into one tree, on a terminal.
//!
//! `follow` reads what each service says, `board` joins it, `view` makes lines or JSON of it, `live` draws them and takes
//! keys, `program` is the command line.

mod board;
mod follow;
mod live;
mod program;
mod table;
mod view;

pub use program::{Failure, Program};
