//! How a reply's end looks on a terminal: what each hop saw of a cancel, or a line of summary. Owns the
//! words and the columns; knows nothing of where they are printed.

use std::time::{Duration, Instant};

use kitex::{Error, Side};

use crate::columns;
use crate::report::{Report, Work};
use crate::text::one_line;
use crate::user::{Cancel, Outcome, Stop};

/// Whether and how text is marked. Without a terminal it is not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// With marks, or without.
    pub const fn new(on: bool) -> Self {
        Self { on }
    }

    /// Text that stands back.
    pub fn dim(self, text: &str) -> String {
        if self.on { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// What is said after a reply: `hops` are the reports of the services, in the order of the chain.
pub fn ending(outcome: &Outcome, hops: &[Report], paint: Paint) -> String {
    let text = match &outcome.cancel {
        Some(cancel) if outcome.report.ended.is_err() => canceled(outcome, cancel, hops, paint),
        Some(_) => format!(
            "Stopped after {}; by then the whole reply had come, and there was nothing to cancel.\n",
            tokens(outcome.report.tokens)
        ),
        None => complete(outcome),
    };
    let model = hops.iter().find_map(|report| Some((report, report.work.as_ref()?)));
    text + &model.map(|(report, work)| kept(report, work)).unwrap_or_default()
}

fn complete(outcome: &Outcome) -> String {
    let how = if outcome.at_limit { "The agent ended the reply at its limit" } else { "Complete" };
    let first = outcome.first.map(|first| format!(", the first after {first:.1?}"));
    let (count, took) = (tokens(outcome.report.tokens), outcome.took);
    format!("{how}: {count} in {took:.1?}{}.\n", first.unwrap_or_default())
}

fn canceled(outcome: &Outcome, cancel: &Cancel, hops: &[Report], paint: Paint) -> String {
    let why = match cancel.why {
        Stop::Enough => "as many as were wanted",
        Stop::Interrupt => "interrupted",
        Stop::NobodyReads => "nobody reads them",
    };
    let seen = std::iter::once(&outcome.report).chain(hops).collect::<Vec<_>>();
    let mut text = format!("Canceled after {}: {why}.\n\n", tokens(outcome.report.tokens));
    text += &table(&seen, cancel.at, paint);
    for sentence in sentences(&seen) {
        text += &(paint.dim(&format!("  {sentence}")) + "\n");
    }
    text + "\n"
}

/// One line a hop.
fn table(seen: &[&Report], canceled_at: Instant, paint: Paint) -> String {
    let rows = seen.iter().map(|report| row(report, canceled_at));
    let rows = std::iter::once(TITLES.map(str::to_owned)).chain(rows).collect::<Vec<_>>();
    let lines = columns::lines(&rows, FIRST_NUMBER);
    let lines = lines.iter().enumerate().map(|(at, line)| match at {
        0 => paint.dim(line) + "\n",
        _ => line.clone() + "\n",
    });
    lines.collect::<String>() + "\n"
}

const COLUMNS: usize = 6;
const TITLES: [&str; COLUMNS] = ["service", "side", "code", "canceled path", "after the cancel", "tokens"];
/// From this column on there are numbers, which stand to the right.
const FIRST_NUMBER: usize = 4;

fn row(report: &Report, canceled_at: Instant) -> [String; COLUMNS] {
    let (side, code, path) = match &report.ended {
        Ok(()) => ("-", "-".to_owned(), "its part was complete".to_owned()),
        Err(error) => (side(error), code(error), path(error)),
    };
    let after = report.at.checked_duration_since(canceled_at);
    let after = after.map_or_else(|| "-".to_owned(), microseconds);
    [report.service.to_owned(), side.to_owned(), code, path, after, report.tokens.to_string()]
}

/// Where an error was seen.
pub(crate) fn side(error: &Error) -> &'static str {
    match error.stream().and_then(kitex::StreamError::side) {
        Some(Side::Client) => "client",
        Some(Side::Server) => "server",
        None => "-",
    }
}

fn code(error: &Error) -> String {
    error.code().map_or_else(|| "-".to_owned(), |code| code.to_string())
}

fn path(error: &Error) -> String {
    match (error.path(), error.stream()) {
        (Some(path), _) => path.to_string(),
        (None, Some(_)) => "-".to_owned(),
        (None, None) => one_line(&error.to_string()),
    }
}

fn microseconds(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}

/// What the codes mean, each once.
fn sentences(seen: &[&Report]) -> Vec<String> {
    let mut sentences = Vec::new();
    for error in seen.iter().filter_map(|report| report.ended.as_ref().err()?.stream()) {
        let sentence = format!("{}: {}", error.code(), one_line(error.message()));
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    sentences
}

/// What the model did after a cancel, and where its work is.
fn kept(model: &Report, work: &Work) -> String {
    let made = format!("{}, {} bytes", tokens(model.tokens), work.bytes);
    let kept = work.file.as_ref().map(|file| format!("Its work is kept: {made}, in {}.\n", file.display()));
    if model.ended.is_ok() {
        return kept.unwrap_or_default();
    }
    let late = format!("The model made {} after the cancel had reached it.\n", tokens(work.late));
    late + &kept.unwrap_or_else(|| format!("Its work: {made}. --transcripts DIR keeps it in a file.\n"))
}

/// A number of tokens in words.
pub(crate) fn tokens(count: u64) -> String {
    if count == 1 { "1 token".to_owned() } else { format!("{count} tokens") }
}
