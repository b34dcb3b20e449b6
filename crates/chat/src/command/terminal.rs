//! What is known of the terminal: its size, and whether it understands colour and control sequences.

use std::io::{IsTerminal, Stderr, Stdout};

/// The size of a terminal in cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// An output that may be a terminal.
pub(super) trait Output: IsTerminal {
    /// Returns the size of the terminal, 80 by 24 if it does not say; `None` if the output is none, or is one that
    /// understands no control sequences.
    fn screen(&self) -> Option<Size>;

    /// Returns whether text may be coloured. NO_COLOR turns off colour alone.
    fn takes_colour(&self) -> bool {
        self.screen().is_some() && !is_set("NO_COLOR")
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

#[cfg(unix)]
fn size(output: &impl std::os::fd::AsFd) -> Size {
    let size = rustix::termios::tcgetwinsize(output).ok();
    let (width, height) = size.map_or((0, 0), |size| (size.ws_col, size.ws_row));
    sized(width, height)
}

#[cfg(not(unix))]
fn size<T>(_: &T) -> Size {
    sized(0, 0)
}

/// A terminal without a size says 0.
fn sized(width: u16, height: u16) -> Size {
    let or = |cells: u16, default| if cells == 0 { default } else { usize::from(cells) };
    Size { width: or(width, 80), height: or(height, 24) }
}

impl Output for Stdout {
    fn screen(&self) -> Option<Size> {
        (self.is_terminal() && !is_dumb()).then(|| size(self))
    }
}

impl Output for Stderr {
    fn screen(&self) -> Option<Size> {
        (self.is_terminal() && !is_dumb()).then(|| size(self))
    }
}
