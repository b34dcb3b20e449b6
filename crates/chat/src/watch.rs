//! How the cancellation tree looks: a line a stream, below the one that caused it; a line a cancel; and how
//! lines stand below running text. Owns the words and the columns; knows nothing of who draws when.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use kitex::inspect::Node;
use kitex::observe::{CancelView, StreamInfo, StreamView};
use kitex::{CancelPath, Side};

use crate::columns;
use crate::text::one_line;

/// The services of this process, by where they listen.
pub type Names = HashMap<SocketAddr, &'static str>;

/// A line a stream, and what was opened below it below it; of a large tree the first lines.
pub fn tree(roots: &[Node], names: &Names) -> Vec<String> {
    let mut rows = vec![TREE_TITLES.map(str::to_owned)];
    for root in roots {
        grow(root, 0, names, &mut rows);
    }
    let more = rows.len().saturating_sub(MAX_LINES + 1);
    rows.truncate(MAX_LINES + 1);
    let mut lines = columns::lines(&rows, FIRST_NUMBER_OF_TREE);
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// The peer comes last: it is what a narrow terminal cuts.
const TREE_TITLES: [&str; 6] = ["stream", "state", "age", "sent", "received", "peer"];
const FIRST_NUMBER_OF_TREE: usize = 2;
/// A tree that is higher than the terminal cannot be drawn in place.
const MAX_LINES: usize = 14;

fn grow(node: &Node, depth: usize, names: &Names, rows: &mut Vec<[String; 6]>) {
    let StreamView { info, phase, sent, received } = &node.stream;
    let branch = if depth == 0 { String::new() } else { format!("{}└ ", " ".repeat(depth - 1)) };
    rows.push([
        format!("{branch}{}", whose(info, names)),
        phase.to_string(),
        seconds(info.opened.elapsed()),
        format!("{}, {} B", sent.messages, sent.bytes),
        format!("{}, {} B", received.messages, received.bytes),
        info.peer.to_string(),
    ]);
    for child in &node.children {
        grow(child, depth + 1, names, rows);
    }
}

/// Which method, and which end of its stream.
fn whose(info: &StreamInfo, names: &Names) -> String {
    let (end, address, word) = match info.side {
        Side::Client => ("client", &info.peer, " of "),
        Side::Server => ("server", &info.local, " at "),
    };
    let text = |bytes: &[u8]| one_line(&String::from_utf8_lossy(bytes));
    let name = address
        .socket_addr()
        .and_then(|address| names.get(&address))
        .map(|name| format!("{word}{name}"))
        .unwrap_or_default();
    format!("{end} {}.{}{name}", text(&info.service), text(&info.method))
}

/// A line a cancel, by the length of its path and so by the way it took, and each cause once; none if there
/// was none.
pub fn cancels(cancels: &[CancelView], names: &Names) -> Vec<String> {
    if cancels.is_empty() {
        return Vec::new();
    }
    let mut cancels: Vec<_> = cancels.iter().collect();
    cancels.sort_by_key(|cancel| cancel.error.path().map_or(0, |path| path.services().count()));
    let rows = cancels.iter().map(|cancel| cancel_row(cancel, names));
    let rows: Vec<_> = std::iter::once(CANCEL_TITLES.map(str::to_owned)).chain(rows).collect();
    let mut lines = columns::lines(&rows, FIRST_NUMBER_OF_CANCEL);
    lines.push(String::new());
    for CancelView { error, .. } in cancels {
        let cause = format!("  {}: {}", error.code(), one_line(error.message()));
        if !lines.contains(&cause) {
            lines.push(cause);
        }
    }
    lines
}

const CANCEL_TITLES: [&str; 4] = ["stream", "code", "canceled path", "took"];
const FIRST_NUMBER_OF_CANCEL: usize = 3;

fn cancel_row(cancel: &CancelView, names: &Names) -> [String; 4] {
    let CancelView { stream, error, took, .. } = cancel;
    [
        whose(stream, names),
        error.code().to_string(),
        error.path().map_or_else(|| "-".to_owned(), CancelPath::to_string),
        format!("{} µs", took.as_micros()),
    ]
}

/// A time as one reads it.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Draws lines below the text that a terminal shows, and takes them away so that the text can go on. The
/// cursor stays where the text ends.
#[derive(Debug, Default)]
pub struct Canvas {
    drawn: bool,
}

impl Canvas {
    /// What makes a terminal show `lines`, in place of those before.
    pub fn draw(&mut self, lines: &[String]) -> String {
        let mut out = self.erase();
        if lines.is_empty() {
            return out;
        }
        self.drawn = true;
        // Room first: what scrolls now moves the text and the cursor alike, and the column is kept.
        out += &format!("{}\x1b[{}A\x1b7\x1b[?7l", "\x1bD".repeat(lines.len()), lines.len());
        for line in lines {
            out += &format!("\x1b[E{line}");
        }
        out + "\x1b[?7h\x1b8"
    }

    /// What makes a terminal show none.
    pub fn erase(&mut self) -> String {
        if std::mem::take(&mut self.drawn) { "\x1b[J".to_owned() } else { String::new() }
    }
}
