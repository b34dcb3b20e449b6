//! Formats the cancellation tree, a line per stream, below its parent; and draws lines below running text. Owns the texts and the columns; knows nothing of when they are drawn.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use kitex::Side;
use kitex::inspect::Node;
use kitex::observe::{StreamInfo, StreamView};

use crate::columns;
use crate::text::one_line;

/// The services of this process, by their addresses.
pub type Names = HashMap<SocketAddr, &'static str>;

/// Returns a line per stream, with its children below; of a large tree the first lines, `max` of them.
pub fn tree(roots: &[Node], names: &Names, max: usize) -> Vec<String> {
    let mut rows = vec![TREE_TITLES.map(str::to_owned)];
    for root in roots {
        grow(root, 0, names, &mut rows);
    }
    let more = rows.len().saturating_sub(max + 1);
    rows.truncate(max + 1);
    let mut lines = columns::lines(&rows, FIRST_NUMBER_OF_TREE..TREE_TITLES.len());
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// The peer is last, since a narrow terminal cuts it.
const TREE_TITLES: [&str; 6] = ["stream", "state", "age", "sent", "received", "peer"];
const FIRST_NUMBER_OF_TREE: usize = 2;

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

/// Returns the method and the end of a stream.
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

/// Returns a readable time.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Draws lines below the text of a terminal, and erases them so that the text can continue. The cursor stays
/// at the end of the text.
#[derive(Debug, Default)]
pub struct Canvas {
    drawn: bool,
}

impl Canvas {
    /// Returns the output that draws `lines`, replacing those before.
    pub fn draw(&mut self, lines: &[String]) -> String {
        let mut out = self.erase();
        if lines.is_empty() {
            return out;
        }
        self.drawn = true;
        // Room first: scrolling moves the text and the cursor alike, and keeps the column.
        out += &format!("{}\x1b[{}A\x1b7\x1b[?7l", "\x1bD".repeat(lines.len()), lines.len());
        for line in lines {
            out += &format!("\x1b[E{line}");
        }
        out + "\x1b[?7h\x1b8"
    }

    /// Returns the output that erases the lines.
    pub fn erase(&mut self) -> String {
        if std::mem::take(&mut self.drawn) { "\x1b[J".to_owned() } else { String::new() }
    }
}
