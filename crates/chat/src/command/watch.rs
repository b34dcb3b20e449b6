//! `--watch`: the cancellation tree on the standard error while a reply streams. Drawn in place below the
//! reply on a terminal, as repeated snapshots otherwise.

use std::io::{self, Write};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kitex::inspect;

use super::terminal::Output;
use crate::show::Paint;
use crate::watch::{Canvas, Names, seconds, tree};
use crate::wrap::cut;

/// Shows the tree until it is ended or dropped.
pub(super) struct Watch {
    view: Arc<Mutex<View>>,
    /// The drawing thread ends when this is dropped: it may be blocked by a terminal and must not block
    /// others.
    drawing: SyncSender<()>,
}

struct View {
    names: Names,
    started: Instant,
    /// None if there is no terminal.
    canvas: Option<Canvas>,
    /// Whether the tree was shown during the reply.
    shown: bool,
    ended: bool,
}

impl Watch {
    /// Starts a watch that draws every `pause` milliseconds, if it was requested.
    pub(super) fn asked_for(pause: Option<u64>, names: Names) -> Option<Self> {
        pause.map(|pause| Self::start(Duration::from_millis(pause), names))
    }

    fn start(pause: Duration, names: Names) -> Self {
        let canvas = io::stderr().screen().map(|_| Canvas::default());
        let view =
            Arc::new(Mutex::new(View { names, started: Instant::now(), canvas, shown: false, ended: false }));
        let (drawing, ended) = sync_channel(0);
        let watched = view.clone();
        thread::spawn(move || {
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                lock(&watched).draw();
            }
        });
        Self { view, drawing }
    }

    /// Lets `show` continue the text.
    pub(super) fn around<T>(&self, show: impl FnOnce() -> T) -> T {
        let mut view = lock(&self.view);
        view.erase();
        let shown = show();
        if view.canvas.is_some() || !view.shown {
            view.shown = true;
            view.draw();
        }
        shown
    }

    /// Erases the tree, and lets `end_line` end the text.
    pub(super) fn end(self, end_line: impl FnOnce()) {
        let Self { view, drawing } = self;
        drop(drawing);
        // The thread may be about to draw.
        let mut view = lock(&view);
        view.erase();
        view.ended = true;
        end_line();
    }
}

/// Streams that are shown. A tree higher than the terminal cannot be drawn in place.
const MAX_LINES: usize = 14;

fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

impl View {
    fn draw(&mut self) {
        if self.ended {
            return;
        }
        let tree = |max| tree(&inspect::tree(), &self.names, max);
        match (&mut self.canvas, io::stderr().screen()) {
            (Some(canvas), Some(size)) => {
                let paint = Paint::new(io::stderr().takes_colour());
                // The text has at least one line, the tree an empty one above it, and one below that says what is left
                // out.
                let lines = tree(size.height.saturating_sub(4).min(MAX_LINES));
                let lines = lines.iter().map(|line| paint.dim(&cut(line, size.width)));
                let lines: Vec<_> = std::iter::once(String::new()).chain(lines).collect();
                if lines.len() < size.height {
                    print(&canvas.draw(&lines));
                }
            }
            _ => {
                let lines = tree(MAX_LINES);
                let age = seconds(self.started.elapsed());
                print(&format!("after {age}:\n{}\n", lines.join("\n")));
            }
        }
    }

    fn erase(&mut self) {
        if let Some(canvas) = &mut self.canvas {
            print(&canvas.erase());
        }
    }
}

fn print(text: &str) {
    let mut err = io::stderr().lock();
    // The reader has closed the output: ignored.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
