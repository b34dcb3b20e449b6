//! The terminal, or whatever stands in its place. Owns line ends and marks.

use std::io::{self, IsTerminal, Write};

use crate::show::Paint;
use crate::text::printable;

/// Where a reply is printed.
pub(super) struct Screen {
    out: io::Stdout,
    /// Whether the last character was not the end of a line.
    within_line: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { out: io::stdout(), within_line: false }
    }

    /// Marks are for people at a terminal that understands them and who did not say no.
    pub(super) fn paint(&self) -> Paint {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Paint::new(self.out.is_terminal() && !unwanted)
    }

    /// Shows text at once.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        let text = printable(text);
        if let Some(last) = text.chars().next_back() {
            self.within_line = last != '\n';
        }
        self.write(&text)
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
