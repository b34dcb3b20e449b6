//! The terminal, or whatever stands in its place. Owns line ends and marks.

use std::io::{self, IsTerminal, Write};

use crate::show::Paint;
use crate::text::printable;

/// Where a reply is printed.
pub(super) struct Screen {
    out: io::Stdout,
    /// Whether the last character was not the end of a line.
    within_line: bool,
    /// Lines are ended here, since what stands below them must know where they end.
    wraps: bool,
    column: usize,
}

/// Where a line is ended, at the next space. No terminal is as narrow.
const FULL_LINE: usize = 64;

/// Whether somebody at a terminal understands marks and did not say no.
pub(super) fn marks_are_understood() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !unwanted
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { out: io::stdout(), within_line: false, wraps: false, column: 0 }
    }

    /// Marks are for people at a terminal that understands them and who did not say no.
    pub(super) fn paint(&self) -> Paint {
        Paint::new(self.out.is_terminal() && marks_are_understood())
    }

    /// Ends lines before the terminal does, if it is one.
    pub(super) fn wrap(&mut self, wanted: bool) {
        self.wraps = wanted && self.out.is_terminal();
    }

    /// Shows text at once.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        let mut text = printable(text);
        if self.wraps {
            text = self.wrapped(&text);
        }
        if let Some(last) = text.chars().next_back() {
            self.within_line = last != '\n';
        }
        self.write(&text)
    }

    fn wrapped(&mut self, text: &str) -> String {
        let wrap = |c| {
            let c = if c == ' ' && self.column >= FULL_LINE { '\n' } else { c };
            self.column = if c == '\n' { 0 } else { self.column + 1 };
            c
        };
        text.chars().map(wrap).collect()
    }

    /// Begins a new line unless one has just begun.
    pub(super) fn end_line(&mut self) {
        if self.within_line {
            self.say("\n");
        }
    }

    /// Shows text of our own, marks and all. If nobody reads any more there is nobody to tell.
    pub(super) fn say(&mut self, text: &str) {
        self.within_line = !text.ends_with('\n');
        let _ = self.write(text);
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}
