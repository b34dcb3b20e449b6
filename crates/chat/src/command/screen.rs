//! The reply on the standard output, and all else on the standard error. Owns line ends, and what `--json` and `--quiet`
//! print.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::terminal::Output;
use crate::line;
use crate::report::Report;
use crate::show::{Look, Paint, ending};
use crate::text::printable;
use crate::user::Outcome;
use crate::wrap::{Wrap, paragraph};

/// How a reply is printed.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Form {
    /// Print the reply alone, and errors.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Print a JSON object on a line for each token, then one for each service, and no other text.
    #[arg(long)]
    json: bool,
}

impl Form {
    /// Whether a question in this terminal was given a form.
    pub(super) const fn is_default(self) -> bool {
        !self.quiet && !self.json
    }
}

/// The output of a reply.
pub(super) struct Screen {
    form: Form,
    out: io::Stdout,
    wrap: Wrap,
    /// Whether the last character of the reply was not the end of a line.
    within_line: bool,
}

impl Screen {
    pub(super) fn new(form: Form) -> Self {
        Self { form, out: io::stdout(), wrap: Wrap::new(), within_line: false }
    }

    /// Prints the way of a question through the services.
    pub(super) fn head(&self, way: &str) {
        let look = look();
        let lines = paragraph(way, 2, look.width).into_iter().map(|line| look.paint.dim(&line) + "\n");
        self.note(&(lines.collect::<String>() + "\n"));
    }

    /// Prints a piece of the reply immediately. On a terminal its lines are broken at spaces.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        if self.form.json {
            return self.write(&format!("{}\n", json!({"ev": "token", "text": text})));
        }
        let mut text = printable(text);
        if let Some(last) = text.chars().next_back() {
            self.within_line = last != '\n';
        }
        if let Some(size) = self.out.screen() {
            text = self.wrap.push(&text, size.width);
        }
        self.write(&text)
    }

    /// Ends the current line of the reply, if it is not empty.
    pub(super) fn end_line(&mut self) {
        if std::mem::take(&mut self.within_line) {
            // The reader has closed the output: ignored.
            let _ = self.write("\n");
        }
    }

    /// Prints how a reply ended, at the client and at the other services.
    pub(super) fn end(&mut self, outcome: &Outcome, hops: &[Report]) {
        if !self.form.json {
            return self.note(&format!("\n{}", ending(outcome, hops, look())));
        }
        let since = outcome.cancel.map(|cancel| cancel.at);
        for report in std::iter::once(&outcome.report).chain(hops) {
            let mut line = line::json(report);
            let received = since.and_then(|since| report.received?.checked_duration_since(since));
            line["received_us"] =
                received.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).into();
            // The reader has closed the output: ignored.
            let _ = self.write(&format!("{line}\n"));
        }
    }

    /// Prints text of our own.
    fn note(&self, text: &str) {
        if self.form.is_default() {
            // The reader has closed the output: ignored.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// How text of our own looks: as the standard error can show it.
fn look() -> Look {
    let err = io::stderr();
    let width = err.screen().map_or(usize::MAX, |size| size.width);
    Look { paint: Paint::new(err.takes_colour()), width }
}
