//! Formats a report as the line of a service in its own process: for people, and for programs.

use std::time::{SystemTime, UNIX_EPOCH};

use kitex::Error;
use serde_json::{Value, json};

use crate::report::{Report, Work};
use crate::show::{side, tokens};
use crate::text::one_line;

/// Returns the line for people.
pub(crate) fn text(report: &Report) -> String {
    let count = tokens(report.tokens);
    let end = match &report.ended {
        Ok(()) => format!("complete after {count}"),
        Err(error) if error.is_canceled() => format!("canceled after {count}: {}", cancel(error)),
        Err(error) => format!("failed after {count}: {}", one_line(&error.to_string())),
    };
    let work = report.work.as_ref().map(|work| work_text(report, work)).unwrap_or_default();
    format!("{}: {end}{work}", report.service)
}

fn cancel(error: &Error) -> String {
    let code = error.code().map(|code| format!("code {code}, ")).unwrap_or_default();
    let path = error.path().map_or_else(|| "no path".to_owned(), |path| format!("path {path}"));
    format!("{code}{} side, {path}", side(error))
}

fn work_text(report: &Report, work: &Work) -> String {
    let late = report.ended.is_err().then(|| format!("; {} after the cancel", tokens(work.late)));
    let file = work.file.as_ref().map(|file| format!("; kept in {}", file.display()));
    late.unwrap_or_default() + &file.unwrap_or_default()
}

/// Returns the line for programs.
pub(crate) fn json(report: &Report) -> Value {
    let error = report.ended.as_ref().err();
    let end = match error {
        None => "complete",
        Some(error) if error.is_canceled() => "canceled",
        Some(_) => "failed",
    };
    let mut line = json!({
        "ev": "reply",
        "service": report.service,
        "chat": report.chat,
        "end": end,
        "code": error.and_then(Error::code).map(kitex::Code::number),
        "side": error.map(side),
        "path": error.and_then(Error::path).map(|path| path.services().collect::<Vec<_>>()),
        "error": error.map(Error::to_string),
        "tokens": report.tokens,
        "ts": wall(report),
    });
    if let Some(work) = &report.work {
        line["late"] = work.late.into();
        line["bytes"] = work.bytes.into();
        line["file"] = work.file.as_ref().map(|file| file.display().to_string()).into();
    }
    line
}

/// Returns the time at which the service saw the end, in nanoseconds since 1970.
fn wall(report: &Report) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = now.saturating_sub(report.at.elapsed());
    u64::try_from(then.as_nanos()).unwrap_or(u64::MAX)
}
