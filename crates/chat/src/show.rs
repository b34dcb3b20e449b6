//! Formats the end of a reply for a terminal: the error of each hop after a cancel, or a summary line. Owns
//! the texts and the columns; knows nothing of the output.

use std::time::Instant;

use kitex::{Error, GrpcStatus, Side};

use crate::columns;
use crate::report::{Report, Work};
use crate::text::one_line;
use crate::user::{Cancel, Outcome, Stop};
use crate::wrap::paragraph;

/// The styling of text. Off without a terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Returns styling that is on or off.
    pub const fn new(on: bool) -> Self {
        Self { on }
    }

    /// Returns dimmed text.
    pub fn dim(self, text: &str) -> String {
        if self.on { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// How text is shown.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The styling.
    pub paint: Paint,
    /// The columns of the terminal; lines are shorter. `usize::MAX` if there is none.
    pub width: usize,
}

/// Returns the text after a reply: `hops` are the reports of the services, in the order of the chain.
pub fn ending(outcome: &Outcome, hops: &[Report], look: Look) -> String {
    let text = match &outcome.cancel {
        Some(cancel) if outcome.report.ended.is_err() => canceled(outcome, cancel, hops, look),
        Some(_) => format!(
            "Stopped after {}; by then the whole reply had come, and there was nothing to cancel.\n",
            tokens(outcome.report.tokens)
        ),
        None => complete(outcome),
    };
    let model = hops.iter().find_map(|report| Some((report, report.work.as_ref()?)));
    let work = model.map(|(report, work)| kept(report, work)).unwrap_or_default();
    text + &work
        .lines()
        .flat_map(|line| paragraph(line, 0, look.width))
        .map(|line| line + "\n")
        .collect::<String>()
}

fn complete(outcome: &Outcome) -> String {
    let how = if outcome.at_limit { "The agent ended the reply at its limit" } else { "Complete" };
    let first = outcome.first.map(|first| format!(", the first after {first:.1?}"));
    let (count, took) = (tokens(outcome.report.tokens), outcome.took);
    format!("{how}: {count} in {took:.1?}{}.\n", first.unwrap_or_default())
}

fn canceled(outcome: &Outcome, cancel: &Cancel, hops: &[Report], look: Look) -> String {
    let why = match cancel.why {
        Stop::Enough => "as many as were wanted",
        Stop::Interrupt => "interrupted",
        Stop::NobodyReads => "nobody reads them",
    };
    let seen = std::iter::once(&outcome.report).chain(hops).collect::<Vec<_>>();
    let mut text = format!("Canceled after {}: {why}.\n\n", tokens(outcome.report.tokens));
    text += &table(&seen, cancel.at, look);
    for sentence in sentences(&seen) {
        for line in paragraph(&format!("  {sentence}"), 4, look.width) {
            text += &(look.paint.dim(&line) + "\n");
        }
    }
    text + "\n"
}

/// Returns one line per hop.
fn table(seen: &[&Report], canceled_at: Instant, look: Look) -> String {
    let rows = seen.iter().map(|report| row(report, canceled_at));
    let rows = std::iter::once(TITLES.map(str::to_owned)).chain(rows).collect::<Vec<_>>();
    let lines = columns::table(&rows, NUMBERS, look.width);
    let lines = lines.iter().enumerate().map(|(at, line)| match at {
        0 => look.paint.dim(line) + "\n",
        _ => line.clone() + "\n",
    });
    lines.collect::<String>() + "\n"
}

const COLUMNS: usize = 6;
const TITLES: [&str; COLUMNS] = ["service", "side", "code", "received after", "tokens", "canceled path"];
/// The columns with numbers, which are right-aligned.
const NUMBERS: std::ops::Range<usize> = 3..5;

fn row(report: &Report, canceled_at: Instant) -> [String; COLUMNS] {
    let (side, code, path) = match &report.ended {
        Ok(()) => ("-", "-".to_owned(), "its part was complete".to_owned()),
        Err(error) => (side(error), code(error), path(error)),
    };
    let after = report.received.and_then(|received| received.checked_duration_since(canceled_at));
    let after = after.map_or_else(|| "-".to_owned(), |time| format!("{} µs", time.as_micros()));
    [report.service.to_owned(), side.to_owned(), code, after, report.tokens.to_string(), path]
}

/// Returns the side on which an error was seen.
pub(crate) fn side(error: &Error) -> &'static str {
    match error.side() {
        Some(Side::Client) => "client",
        Some(Side::Server) => "server",
        None => "-",
    }
}

fn code(error: &Error) -> String {
    error.code().map_or_else(|| "-".to_owned(), |code| code.to_string())
}

fn path(error: &Error) -> String {
    match (error.path(), error.code()) {
        (Some(path), _) => path.to_string(),
        (None, Some(_)) => "-".to_owned(),
        (None, None) => one_line(&error.to_string()),
    }
}

/// Returns the texts of the codes, each once.
fn sentences(seen: &[&Report]) -> Vec<String> {
    let mut sentences = Vec::new();
    for error in seen.iter().filter_map(|report| report.ended.as_ref().err()) {
        let Some(code) = error.code() else { continue };
        let origin = error.grpc_status().and_then(GrpcStatus::origin);
        let text = origin.map_or_else(|| error.message(), |origin| origin.message().into());
        let sentence = format!("{code}: {}", one_line(&text));
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    sentences
}

/// Returns the model's work after a cancel, and where it is kept.
fn kept(model: &Report, work: &Work) -> String {
    let made = format!("{}, {} bytes", tokens(model.tokens), work.bytes);
    let kept = work.file.as_ref().map(|file| format!("Its work is kept: {made}, in {}.\n", file.display()));
    if model.ended.is_ok() {
        return kept.unwrap_or_default();
    }
    let late = format!("The model made {} after the cancel had reached it.\n", tokens(work.late));
    late + &kept.unwrap_or_else(|| format!("Its work: {made}. --transcripts DIR keeps it in a file.\n"))
}

/// Returns a number of tokens with its unit.
pub(crate) fn tokens(count: u64) -> String {
    if count == 1 { "1 token".to_owned() } else { format!("{count} tokens") }
}
